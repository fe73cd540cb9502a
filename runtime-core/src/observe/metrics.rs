//! A snapshot of all counters.

use super::histogram::PollTimes;
use crate::scheduler::{Life, Remote, Shared};
use std::ops::AddAssign;
use std::time::Duration;

/// What a runtime has done so far and what it is at, as numbers; given by [`Handle::metrics`](crate::Handle::metrics).
///
/// The numbers are read one after the other while the workers go on: each one is right, but two of them may be from moments some microseconds
/// apart.
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, create_task, testing};
///
/// testing::block_on(async {
///     for _ in 0..10 {
///         create_task(async {}).await.unwrap();
///     }
///     let metrics = Handle::current().metrics();
///     assert_eq!(metrics.tasks_created, 11, "main is one");
///     assert_eq!(metrics.tasks_alive, 1);
///     assert!(metrics.total().polls >= 20);
/// });
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Tasks that have not ended, the main task included.
    pub tasks_alive: usize,
    /// Tasks ever created on this runtime, the main tasks included. Promises and callbacks are no tasks here.
    pub tasks_created: u64,
    /// Entries put into queues by threads that are no workers of this runtime: tasks that they created or woke.
    pub injected: u64,
    /// Tasks and callbacks that are ready and wait for a worker, wherever they are queued.
    pub ready: usize,
    /// Those of them that no worker has taken over yet.
    pub ready_injected: usize,
    /// The timers of all workers.
    pub timers: TimerMetrics,
    /// The threads for blocking functions.
    pub blocking: BlockingMetrics,
    /// How long polls took, if the runtime was [built](crate::Config::poll_times) to measure it.
    pub poll_times: Option<PollTimes>,
    /// The workers, worker 0 first.
    pub workers: Vec<WorkerMetrics>,
}

/// What one worker has done so far.
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, create_task, testing};
///
/// testing::block_on(async {
///     create_task(async {}).await.unwrap();
///     let metrics = Handle::current().metrics();
///     assert_eq!(metrics.workers.len(), 1);
///     assert!(metrics.workers[0].polls > 0);
/// });
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Tasks and callbacks taken out of queues and polled. The first step of an eager task belongs to the poll that it runs in.
    pub polls: u64,
    /// Entries put into the worker's own queue, or its last-in slot: what it created, woke, or had to poll again.
    pub local_pushes: u64,
    /// Polls of what came out of the last-in slot. (A single worker has none.)
    pub last_in_hits: u64,
    /// How often it has taken something away from another worker.
    pub steals: u64,
    /// How many entries it brought home so, less those that a third one took in the same moment.
    pub stolen: u64,
    /// How often it began to search other queues for work.
    pub searches: u64,
    /// How often it went to sleep.
    pub parks: u64,
    /// How many of these sleeps somebody ended; the others ended because of a timer.
    pub wakes: u64,
    /// The time since the start of the runtime in which it neither slept nor, for worker 0, was without a thread. Looking for work counts.
    pub busy: Duration,
}

/// What the timers have done so far. `sleep` and what is built on it arm one each, unless the moment has passed already.
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, sleep, testing};
/// use std::time::Duration;
///
/// testing::block_on(async {
///     sleep(Duration::from_millis(1)).await;
///     let timers = Handle::current().metrics().timers;
///     assert_eq!((timers.armed, timers.fired, timers.pending()), (1, 1, 0));
/// });
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimerMetrics {
    /// Timers ever armed.
    pub armed: u64,
    /// Timers that came due.
    pub fired: u64,
    /// Timers disarmed before that.
    pub cancelled: u64,
}

impl TimerMetrics {
    /// Timers that are armed now.
    pub fn pending(&self) -> u64 {
        self.armed.saturating_sub(self.fired).saturating_sub(self.cancelled)
    }
}

/// The threads for blocking functions; all zero before the first of these.
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, testing};
///
/// testing::block_on(async {
///     assert_eq!(Handle::current().metrics().blocking.threads, 0, "no function has been given to a thread");
/// });
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockingMetrics {
    /// How many threads there are.
    pub threads: usize,
    /// How many of them sleep.
    pub idle: usize,
    /// How many functions wait for a thread.
    pub queued: usize,
    /// How many functions have ended.
    pub finished: u64,
}

impl Metrics {
    pub(crate) fn of(shared: &Shared) -> Self {
        let mut metrics = Self::default();
        let now = shared.clock.real_now();
        for shard in shared.tasks.iter() {
            let users = shard.counts().users;
            metrics.tasks_alive += users.len;
            metrics.tasks_created += users.inserted;
        }
        for remote in &shared.remotes {
            metrics.injected += remote.injected.get();
            remote.timers.count(&mut metrics.timers);
            metrics.workers.push(WorkerMetrics::of(remote, now));
        }
        // What was left in the queues at the end has been dropped.
        metrics.ready = if shared.life() == Life::Closed { 0 } else { metrics.count_ready() };
        metrics.ready_injected = shared.count_injected().min(metrics.ready);
        let histograms: Vec<_> =
            shared.remotes.iter().filter_map(|remote| remote.counters.poll_times.as_deref()).collect();
        metrics.poll_times = (!histograms.is_empty()).then(|| PollTimes::of(&histograms));
        shared.extensions.count(&mut metrics);
        metrics
    }

    /// The sum of all workers.
    pub fn total(&self) -> WorkerMetrics {
        let mut total = WorkerMetrics::default();
        self.workers.iter().for_each(|worker| total += *worker);
        total
    }

    /// What was put into queues and not taken out: no queue has to be looked into.
    fn count_ready(&self) -> usize {
        let total = self.total();
        usize::try_from((self.injected + total.local_pushes).saturating_sub(total.polls)).unwrap_or(usize::MAX)
    }
}

impl WorkerMetrics {
    fn of(remote: &Remote, now: u64) -> Self {
        let counters = &remote.counters;
        Self {
            // Before the pushes: an entry counts as ready for too long rather than less than not at all.
            polls: counters.polls.get(),
            local_pushes: counters.local_pushes.get(),
            last_in_hits: counters.last_in_hits.get(),
            steals: counters.steals.get(),
            stolen: counters.stolen.get(),
            searches: counters.searches.get(),
            parks: counters.parks.get(),
            wakes: counters.wakes.get(),
            busy: Duration::from_nanos(now.saturating_sub(counters.rest.until(now))),
        }
    }
}

impl AddAssign for WorkerMetrics {
    fn add_assign(&mut self, other: Self) {
        self.polls += other.polls;
        self.local_pushes += other.local_pushes;
        self.last_in_hits += other.last_in_hits;
        self.steals += other.steals;
        self.stolen += other.stolen;
        self.searches += other.searches;
        self.parks += other.parks;
        self.wakes += other.wakes;
        self.busy += other.busy;
    }
}
