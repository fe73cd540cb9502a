//! Time: a timer wheel per worker, and who fires it.
//!
//! A timer is armed in the wheel of the worker that polls the sleeping task, under that wheel's own lock, which only a moving task or a
//! late owner makes others take. The owner fires it between polls and sleeps no longer than until its next deadline.
//! While the owner is stuck in a poll the sentry fires it (see `scheduler`).

pub(crate) mod clock;
pub(crate) mod sleep;

pub use sleep::{Sleep, YieldNow, sleep, sleep_until, yield_now};

use crate::inspect;
use crate::loom::Mutex;
use crate::loom::atomic::AtomicU64;
use crate::observe::TimerMetrics;
use crate::observe::counters::Counter;
use crate::task::Kind;
use crate::task::harness::wake_caught;
use runtime_timers::{Key, Wheel};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::Waker;

/// How many timers are fired before the wheel is let go of: bounds how long others wait for the lock. Picked out of thin air.
const BATCH: usize = 32;

/// The timers of one worker.
pub(crate) struct TimerShard {
    wheel: Mutex<Wheel<Waker>>,
    /// When to look into the wheel next; never later than its first deadline. `u64::MAX` for never. Written under the lock.
    next: AtomicU64,
    /// What the timers have done; counted under the lock of the wheel.
    armed: Counter,
    fired: Counter,
    cancelled: Counter,
}

/// An armed timer's place.
pub(crate) struct Armed {
    pub(crate) key: Key,
    /// It has become the first of its shard.
    pub(crate) is_first: bool,
}

impl TimerShard {
    pub(crate) fn new() -> Self {
        Self {
            wheel: Mutex::new(Wheel::new(0)),
            next: AtomicU64::new(u64::MAX),
            armed: Counter::default(),
            fired: Counter::default(),
            cancelled: Counter::default(),
        }
    }

    pub(crate) fn arm(&self, deadline: u64, waker: Waker) -> Armed {
        let mut wheel = self.wheel.lock();
        let key = wheel.insert(deadline, waker);
        let is_first = deadline < self.next.load(Relaxed);
        if is_first {
            // SeqCst: comes before the armer's look at the sentry (`Idle::lookout_is_later_than`), and the sentry's announcement comes before
            // its look at this.
            self.next.swap(deadline, SeqCst);
        }
        self.armed.up();
        Armed { key, is_first }
    }

    /// Whether the timer is still armed, with this waker. A waker that was replaced is given back to be dropped.
    pub(crate) fn renew(&self, key: Key, waker: &Waker) -> Renewed {
        let deadline = {
            let mut wheel = self.wheel.lock();
            match wheel.get_mut(key) {
                None => return Renewed::Fired,
                Some(armed) if armed.will_wake(waker) => return Renewed::Armed(None),
                Some(_) => wheel.deadline(key),
            }
        };
        let fresh = inspect::clone_for(waker, || inspect::Leaf::Timer(deadline));
        match self.wheel.lock().get_mut(key) {
            None => Renewed::Fired,
            Some(armed) => Renewed::Armed(Some(std::mem::replace(armed, fresh))),
        }
    }

    /// Disarms; the waker is the caller's to drop.
    pub(crate) fn cancel(&self, key: Key) -> Option<Waker> {
        let mut wheel = self.wheel.lock();
        let waker = wheel.cancel(key);
        if waker.is_some() {
            self.cancelled.up();
        }
        waker
    }

    /// Adds what these timers have done.
    pub(crate) fn count(&self, to: &mut TimerMetrics) {
        to.fired += self.fired.get();
        to.cancelled += self.cancelled.get();
        to.armed += self.armed.get();
    }

    /// The timers of one page of the wheel, each with its deadline and the address of the task that it wakes; `None` behind the last page.
    /// Locks for one page only, and calls nothing.
    pub(crate) fn page(&self, page: usize) -> Option<Vec<(u64, usize)>> {
        let wheel = self.wheel.lock();
        let timers = wheel.page(page)?;
        Some(timers.filter_map(|(when, waker)| Some((when, crate::task::waker::address_of(waker)?))).collect())
    }

    /// When to look next.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(SeqCst)
    }

    /// As [`fire`](Self::fire), with the callbacks among them before the tasks: for the exact order of a single worker, where asyncio
    /// runs all timed callbacks of a pass before any task that they have made ready (TO-12).
    pub(crate) fn fire_callbacks_first(&self, now: u64) -> bool {
        if self.next.load(Relaxed) > now {
            return false;
        }
        let mut due = Vec::new();
        let mut batch: [Option<Waker>; BATCH] = [const { None }; BATCH];
        while self.take_due(now, &mut batch) > 0 {
            due.extend(batch.iter_mut().filter_map(Option::take));
        }
        let any = !due.is_empty();
        let (callbacks, tasks): (Vec<_>, Vec<_>) = due.into_iter().partition(is_callback);
        callbacks.into_iter().chain(tasks).for_each(wake_caught);
        any
    }

    /// Fires what is due, in the order of the deadlines; says whether anything was.
    pub(crate) fn fire(&self, now: u64) -> bool {
        if self.next.load(Relaxed) > now {
            return false;
        }
        let mut any = false;
        loop {
            let mut due: [Option<Waker>; BATCH] = [const { None }; BATCH];
            let count = self.take_due(now, &mut due);
            due.into_iter().flatten().for_each(wake_caught);
            any |= count > 0;
            if count < BATCH {
                return any;
            }
        }
    }

    fn take_due(&self, now: u64, due: &mut [Option<Waker>; BATCH]) -> usize {
        let mut wheel = self.wheel.lock();
        let mut count = 0;
        while count < BATCH
            && let Some(expired) = wheel.poll(now)
        {
            due[count] = Some(expired.value);
            count += 1;
        }
        self.next.store(wheel.next_deadline().unwrap_or(u64::MAX), SeqCst);
        self.fired.add(count as u64);
        count
    }
}

fn is_callback(waker: &Waker) -> bool {
    crate::task::waker::kind_of(waker) == Some(Kind::Callback)
}

/// What became of a timer that was looked at again.
pub(crate) enum Renewed {
    Fired,
    Armed(Option<Waker>),
}
