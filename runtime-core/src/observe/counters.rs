//! What a worker counts about itself.

use super::histogram::Histogram;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A number that one thread at a time counts up and any thread reads.
///
/// Not loom's atomics: nothing depends on a count, and models would only grow.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one. To be called by the owner alone, or under the lock that guards the counter.
    #[inline(always)]
    pub(crate) fn up(&self) {
        self.add(1);
    }

    /// Counts `more`; see [`up`](Self::up).
    #[inline(always)]
    pub(crate) fn add(&self, more: u64) {
        // Relaxed, and no read-modify-write: one writer, and readers that want a number and no order.
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Counts one, from any thread.
    pub(crate) fn up_shared(&self) {
        // Relaxed: as above.
        self.0.fetch_add(1, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        // Relaxed: as above.
        self.0.load(Relaxed)
    }
}

/// The counters of one worker, written by it alone.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Entries taken out of queues and polled; stands still while the worker is stuck in a poll.
    pub(crate) polls: Counter,
    /// Entries put into the own queue, slot included.
    pub(crate) local_pushes: Counter,
    /// Entries taken out of the own last-in slot.
    pub(crate) last_in_hits: Counter,
    /// Successful visits at other workers' queues and slots.
    pub(crate) steals: Counter,
    /// Entries brought home from them.
    pub(crate) stolen: Counter,
    /// Searches begun.
    pub(crate) searches: Counter,
    /// Times it went to sleep.
    pub(crate) parks: Counter,
    /// Sleeps that somebody else ended.
    pub(crate) wakes: Counter,
    /// How much it rested.
    pub(crate) rest: Rest,
    /// How long polls took, when that was asked for.
    pub(crate) poll_times: Option<Box<Histogram>>,
}

impl Counters {
    pub(crate) fn new(with_poll_times: bool) -> Self {
        Self {
            polls: Counter::default(),
            local_pushes: Counter::default(),
            last_in_hits: Counter::default(),
            steals: Counter::default(),
            stolen: Counter::default(),
            searches: Counter::default(),
            parks: Counter::default(),
            wakes: Counter::default(),
            rest: Rest::new(),
            poll_times: with_poll_times.then(Box::default),
        }
    }
}

/// How long a worker has slept, or was without a thread: in one word, so that a reader never sees half of a change.
///
/// Bit 0 says whether it rests now. Above it stand, in nanoseconds, the rests that are over, less the moment at which the present one began if
/// there is one: adding the present moment then gives the sum.
#[derive(Debug)]
pub(crate) struct Rest(AtomicU64);

const RESTING: u64 = 1;

impl Rest {
    /// Resting since moment 0: a new worker has no thread yet.
    fn new() -> Self {
        Self(AtomicU64::new(RESTING))
    }

    /// The worker goes to rest, or goes to work. By the owner alone.
    pub(crate) fn set(&self, resting: bool, now: u64) {
        // Relaxed: one writer at a time (worker 0's threads are ordered by the lock of its slot), and one word.
        let word = self.0.load(Relaxed);
        let rested = Self::rested(word, now);
        let (bit, base) = if resting { (RESTING, now) } else { (0, 0) };
        self.0.store(rested.wrapping_sub(base) << 1 | bit, Relaxed);
    }

    /// All rest up to `now`.
    pub(crate) fn until(&self, now: u64) -> u64 {
        // Relaxed: as above. A rest that began after the reader read the clock would come out negative by a hair.
        let rested = Self::rested(self.0.load(Relaxed), now);
        if rested > now { 0 } else { rested }
    }

    fn rested(word: u64, now: u64) -> u64 {
        // Signed: while it rests the sum is mostly below zero.
        let sum = (word.cast_signed() >> 1).cast_unsigned();
        if word & RESTING == 0 { sum } else { sum.wrapping_add(now) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn rest_is_what_lies_between_going_and_coming() {
        let rest = Rest::new();
        assert_eq!(rest.until(7), 7, "no thread yet");
        rest.set(false, 10);
        assert_eq!((rest.until(10), rest.until(50)), (10, 10));
        rest.set(true, 50);
        assert_eq!((rest.until(50), rest.until(60)), (10, 20));
        rest.set(true, 60);
        assert_eq!(rest.until(70), 30, "going twice is going once");
        rest.set(false, 100);
        rest.set(false, 150);
        assert_eq!(rest.until(200), 60);
    }

    #[test]
    fn centuries_fit() {
        let rest = Rest::new();
        let later = 1 << 61;
        rest.set(false, later);
        rest.set(true, later + 1);
        assert_eq!(rest.until(later + 2), later + 1);
    }
}
