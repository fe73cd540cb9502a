//! How long polls take: a histogram with steps by powers of two.

use super::counters::Counter;
use std::ops::Range;
use std::time::Duration;

/// Bucket 0 ends at 2⁷ ns; each one ends at twice the end of the one before; the last one, at 2³⁸ ns (four and a half minutes), is open.
const FIRST_BITS: u32 = 7;
const BUCKETS: usize = 32;

/// The histogram of one worker, written by it alone.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    /// The sum of all times, in nanoseconds.
    sum: Counter,
}

impl Histogram {
    /// Counts a poll. By the owner alone.
    pub(crate) fn record(&self, nanos: u64) {
        self.buckets[bucket_of(nanos)].up();
        self.sum.add(nanos);
    }
}

fn bucket_of(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.leading_zeros();
    (bits.saturating_sub(FIRST_BITS) as usize).min(BUCKETS - 1)
}

fn end_of(bucket: usize) -> Duration {
    if bucket == BUCKETS - 1 { Duration::MAX } else { Duration::from_nanos(1 << (FIRST_BITS as usize + bucket)) }
}

/// How long polls took: counts by length, in steps that double. Asked for with [`Config::poll_times`](crate::Config::poll_times).
///
/// # Examples
///
/// ```
/// use runtime_core::{Config, Engine, yield_now};
/// use std::time::Duration;
///
/// let engine = Engine::new(Config { workers: 1, poll_times: true, ..Config::default() }).unwrap();
/// engine.run(async { yield_now().await }).unwrap();
/// let times = engine.handle().metrics().poll_times.unwrap();
/// assert_eq!(times.count(), 2);
/// assert_eq!(times.buckets().map(|(_, count)| count).sum::<u64>(), 2);
/// assert!(times.quantile(0.5) <= times.quantile(1.0));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollTimes {
    /// How many polls fell into each step.
    counts: Vec<u64>,
    /// The sum of all times.
    sum: Duration,
}

impl PollTimes {
    pub(crate) fn of(histograms: &[&Histogram]) -> Self {
        let total = |counter: fn(&Histogram, usize) -> u64, index| histograms.iter().map(|h| counter(h, index)).sum();
        Self {
            counts: (0..BUCKETS).map(|bucket| total(|h, bucket| h.buckets[bucket].get(), bucket)).collect(),
            sum: Duration::from_nanos(total(|h, _| h.sum.get(), 0)),
        }
    }

    /// The steps, shortest first, each with the number of polls whose length lies in it. The last one ends at [`Duration::MAX`].
    pub fn buckets(&self) -> impl Iterator<Item = (Range<Duration>, u64)> {
        self.counts.iter().enumerate().map(|(bucket, count)| {
            let start = bucket.checked_sub(1).map_or(Duration::ZERO, end_of);
            (start..end_of(bucket), *count)
        })
    }

    /// How many polls there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took together.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Config, Engine, Handle};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new(Config { workers: 1, poll_times: true, ..Config::default() }).unwrap();
    /// let times = engine.run(async {
    ///     runtime_core::yield_now().await;
    ///     Handle::current().metrics().poll_times.unwrap()
    /// });
    /// assert!(times.unwrap().sum() > Duration::ZERO);
    /// ```
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The end of the step in which the poll lies that is longer than this share of them (0.5 for the median). Zero if there were none.
    ///
    /// # Panics
    ///
    /// When `share` does not lie between 0 and 1.
    pub fn quantile(&self, share: f64) -> Duration {
        assert!((0.0..=1.0).contains(&share), "a share lies between 0 and 1, and this is {share}");
        let wanted = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.buckets().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        reached.map_or(Duration::ZERO, |(step, _)| step.end)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_length_falls_into_the_step_that_holds_it() {
        let histogram = Histogram::default();
        let lengths = [0, 1, 127, 128, 255, 256, 1_000_000, 1 << 37, (1 << 38) + 1, 1 << 60];
        for nanos in lengths {
            histogram.record(nanos);
            let times = PollTimes::of(&[&histogram]);
            let (step, _) = times.buckets().nth(bucket_of(nanos)).unwrap();
            assert!(step.contains(&Duration::from_nanos(nanos)), "{nanos} in {step:?}");
        }
        let times = PollTimes::of(&[&histogram, &histogram]);
        assert_eq!(times.count(), 2 * lengths.len() as u64);
    }

    #[test]
    fn quantiles_are_the_ends_of_steps() {
        let histogram = Histogram::default();
        (0..99).for_each(|_| histogram.record(100));
        histogram.record(1_000_000);
        let times = PollTimes::of(&[&histogram]);
        let ends = [0.0, 0.5, 0.99, 1.0].map(|share| times.quantile(share).as_nanos());
        assert_eq!(ends, [128, 128, 128, 1 << 20]);
        assert_eq!(times.sum(), Duration::from_nanos(99 * 100 + 1_000_000));
        assert_eq!(PollTimes::of(&[]).quantile(0.5), Duration::ZERO);
    }
}
