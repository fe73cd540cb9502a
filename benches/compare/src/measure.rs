//! Clocks, repetition and what one measurement yields.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// What one process is asked to measure.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Worker threads of the runtime (floors say themselves what they use).
    pub workers: usize,
    /// Multiplies the size of the problem, not the number of repetitions.
    pub size_factor: f64,
    /// Fewer repetitions of the same size.
    pub quick: bool,
}

impl Config {
    /// `base` items, multiplied by the size factor.
    pub fn size(&self, base: usize) -> usize {
        ((base as f64 * self.size_factor) as usize).max(1)
    }

    /// `base` repetitions, a third of them in a quick run.
    pub fn reps(&self, base: usize) -> usize {
        if self.quick { base.div_ceil(3) } else { base }
    }
}

/// The named numbers of one measurement.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Metric and value, in the order in which they are shown.
    pub metrics: Vec<(&'static str, f64)>,
}

impl Outcome {
    /// Adds a metric.
    pub fn with(mut self, metric: &'static str, value: f64) -> Self {
        self.metrics.push((metric, value));
        self
    }
}

/// CPU time that this process has used so far, all threads.
pub fn process_cpu() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that this thread has used so far.
pub fn thread_cpu() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write to.
    let failed = unsafe { libc::clock_gettime(id, &mut time) };
    assert_eq!(failed, 0, "clock_gettime({id})");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A running measurement of wall and CPU time.
pub struct Stopwatch {
    /// Wall clock at the start.
    wall: Instant,
    /// CPU time of the process at the start.
    cpu: Duration,
}

impl Stopwatch {
    /// Starts both clocks.
    pub fn start() -> Self {
        let cpu = process_cpu();
        Self { cpu, wall: Instant::now() }
    }

    /// `(wall, cpu)` in nanoseconds since the start.
    pub fn nanos(&self) -> (f64, f64) {
        let wall = self.wall.elapsed();
        let cpu = process_cpu() - self.cpu;
        (wall.as_nanos() as f64, cpu.as_nanos() as f64)
    }

    /// Wall and CPU time per operation.
    pub fn per_op(&self, ops: usize) -> Outcome {
        let (wall, cpu) = self.nanos();
        let ops = ops as f64;
        Outcome::default().with("wall_ns", wall / ops).with("cpu_ns", cpu / ops)
    }
}

/// Runs `once` to warm up, then `reps` times by the clock: the mean per operation.
pub async fn repeat<F, Fut>(reps: usize, ops: usize, mut once: F) -> Outcome
where
    F: FnMut() -> Fut,
    Fut: Future<Output = ()>,
{
    once().await;
    let watch = Stopwatch::start();
    for _ in 0..reps {
        once().await;
    }
    watch.per_op(reps * ops)
}

/// [`repeat`] for what needs no runtime.
pub fn repeat_blocking(reps: usize, ops: usize, mut once: impl FnMut()) -> Outcome {
    once();
    let watch = Stopwatch::start();
    for _ in 0..reps {
        once();
    }
    watch.per_op(reps * ops)
}

/// The `q` quantile of `values`, in any order.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    assert!(!values.is_empty(), "no values to take a quantile of");
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q).round() as usize]
}

/// Polls `future` a single time, drops it, and says whether it was pending.
pub async fn poll_once(future: impl Future) -> bool {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Uses the CPU for `span` of this thread's own CPU time, however often it is preempted.
pub fn spin_cpu(span: Duration) {
    let end = thread_cpu() + span;
    while thread_cpu() < end {
        std::hint::spin_loop();
    }
}

/// Uses the CPU until `span` of wall time is over.
pub fn spin_wall(span: Duration) {
    let start = Instant::now();
    while start.elapsed() < span {
        std::hint::spin_loop();
    }
}

/// A repeatable sequence (SplitMix64) for durations that must be spread.
pub struct Spread(pub u64);

impl Spread {
    /// The next value below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
