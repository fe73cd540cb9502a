//! Time: a timer wheel per worker, and who fires it.
//!
//! A timer is armed in the wheel of the worker that polls the sleeping task, under that wheel's own lock, which only a moving task or a
//! late owner makes others take. The owner fires it between polls and sleeps no longer than until its next deadline.
//! While the owner is stuck in a poll the sentry fires it (see `scheduler`).

pub(crate) mod clock;
pub(crate) mod sleep;

pub use sleep::{Sleep, YieldNow, sleep, sleep_until, yield_now};

use crate::inspect;
use crate::loom::atomic::AtomicU64;
use crate::observe::TimerMetrics;
use crate::observe::counters::Counter;
use crate::spin::SpinLock;
use crate::task::Kind;
use crate::task::harness::wake_caught;
use clock::Clock;
use runtime_timers::{Key, Wheel};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::Waker;

/// How many timers are fired before the wheel is let go of: bounds how long others wait for the lock. Picked out of thin air.
const BATCH: usize = 32;

/// The timers of one worker.
///
/// A timer knows its shard by address without keeping it alive: shards are never freed. One whose runtime has gone, and that no timer is left in, is
/// used for a worker of another. So there are as many as there were workers at one time. (Counting references would take two
/// read-modify-writes to arm and drop a timer.)
pub(crate) struct TimerShard {
    /// The wheel. Not in a `parking_lot` mutex, whose unlocking is a read-modify-write too.
    timers: SpinLock<Timers>,
    /// When to look into the wheel next; never later than its first deadline. `u64::MAX` for never. Written under the lock.
    next: AtomicU64,
    /// The beginning of the runtime's clock (`Clock::epoch_anchored`).
    epoch: AtomicU64,
    /// What the timers have done; counted under the lock of the wheel.
    armed: Counter,
    fired: Counter,
    cancelled: Counter,
}

/// What a shard's lock guards.
struct Timers {
    wheel: Wheel<Waker>,
    /// The runtime is closed: nobody fires these timers any more.
    closed: bool,
    /// The runtime has gone; to be used again as soon as it is empty.
    retired: bool,
}

/// Shards to be used again.
#[cfg(not(loom))]
static SPARE: SpinLock<Vec<&'static TimerShard>> = SpinLock::new(Vec::new());

/// An armed timer's place.
pub(crate) struct Armed {
    pub(crate) key: Key,
    /// It has become the first of its shard.
    pub(crate) is_first: bool,
}

impl TimerShard {
    fn new() -> Self {
        Self {
            timers: SpinLock::new(Timers { wheel: Wheel::new(0), closed: false, retired: false }),
            next: AtomicU64::new(u64::MAX),
            epoch: AtomicU64::new(0),
            armed: Counter::default(),
            fired: Counter::default(),
            cancelled: Counter::default(),
        }
    }

    /// A shard without timers, at time 0.
    pub(crate) fn get() -> &'static Self {
        #[cfg(not(loom))]
        {
            let spare = SPARE.lock().pop();
            if let Some(shard) = spare {
                shard.begin_anew();
                return shard;
            }
        }
        Box::leak(Box::new(Self::new()))
    }

    #[cfg(not(loom))]
    fn begin_anew(&self) {
        let mut timers = self.timers.lock();
        let empty = timers.wheel.rewind(0);
        debug_assert!(empty, "only empty shards are used again");
        (timers.closed, timers.retired) = (false, false);
        // Relaxed: published with the runtime that is being made.
        self.next.store(u64::MAX, Relaxed);
        [&self.armed, &self.fired, &self.cancelled].into_iter().for_each(Counter::clear);
    }

    /// The clock that the deadlines are of.
    pub(crate) fn set_clock(&self, clock: &Clock) {
        // Relaxed: published with the runtime that is being made.
        self.epoch.store(clock.epoch_anchored(), Relaxed);
    }

    /// The runtime is closed. Its tasks have ended, but futures of other runtimes may sleep on timers that were armed here: they are woken, find out,
    /// and arm them anew where they are.
    pub(crate) fn close(&self) {
        self.timers.lock().closed = true;
        let nobody = Waker::noop();
        for page in 0.. {
            let wakers: Vec<Waker> = match self.timers.lock().wheel.page_mut(page) {
                Some(timers) => timers.map(|(_, waker)| std::mem::replace(waker, nobody.clone())).collect(),
                None => return,
            };
            wakers.into_iter().for_each(wake_caught);
        }
    }

    /// The runtime goes. A shard in which timers are left is used again when the last of them has been disarmed.
    pub(crate) fn retire(&'static self) {
        let empty = {
            let mut timers = self.timers.lock();
            timers.retired = true;
            timers.wheel.is_empty()
        };
        if empty {
            self.make_spare();
        }
    }

    #[cfg(not(loom))]
    fn make_spare(&'static self) {
        SPARE.lock().push(self);
    }

    /// Models have no statics that outlive an execution: there it is freed after all.
    #[cfg(loom)]
    fn make_spare(&'static self) {
        // SAFETY: leaked in `get`; the models end with their runtime, and hold no timer of it by then.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(self).cast_mut()) });
    }

    #[inline]
    pub(crate) fn arm(&self, deadline: u64, waker: Waker) -> Armed {
        let mut timers = self.timers.lock();
        let key = timers.wheel.insert(deadline, waker);
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
            let timers = &mut *self.timers.lock();
            let wheel = &mut timers.wheel;
            match wheel.get_mut(key) {
                None => return Renewed::Fired,
                Some(_) if timers.closed => {
                    let deadline = wheel.deadline(key).unwrap_or(u64::MAX);
                    return Renewed::Closed(deadline.saturating_add(self.epoch.load(Relaxed)));
                }
                Some(armed) if armed.will_wake(waker) => return Renewed::Armed(None),
                Some(_) => wheel.deadline(key),
            }
        };
        let fresh = inspect::clone_for(waker, || inspect::Leaf::Timer(deadline));
        match self.timers.lock().wheel.get_mut(key) {
            None => Renewed::Fired,
            Some(armed) => Renewed::Armed(Some(std::mem::replace(armed, fresh))),
        }
    }

    /// Disarms; the waker is the caller's to drop.
    #[inline]
    pub(crate) fn cancel(&'static self, key: Key) -> Option<Waker> {
        let mut timers = self.timers.lock();
        let waker = timers.wheel.cancel(key);
        if waker.is_some() {
            self.cancelled.up();
        }
        let is_last = timers.retired && waker.is_some() && timers.wheel.is_empty();
        drop(timers);
        if is_last {
            self.make_spare();
        }
        waker
    }

    /// How many are armed, as far as one can tell without the lock.
    pub(crate) fn pending(&self) -> u64 {
        self.armed.get().saturating_sub(self.fired.get() + self.cancelled.get())
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
        let wheel = &self.timers.lock().wheel;
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
        let wheel = &mut self.timers.lock().wheel;
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
    /// Nobody will fire it: its runtime is closed. When it would have been due, since the process's anchor.
    Closed(u64),
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// One test for all, as the spare shards are the process's.
    #[test]
    fn a_shard_is_used_again_when_its_last_timer_has_gone() {
        let shard = TimerShard::get();
        let [first, second] = [1, 2].map(|deadline| shard.arm(deadline, Waker::noop().clone()).key);
        shard.close();
        assert!(matches!(shard.renew(first, Waker::noop()), Renewed::Closed(_)));
        shard.retire();
        assert!(shard.cancel(first).is_some() && shard.cancel(first).is_none());
        let other = TimerShard::get();
        assert!(!std::ptr::eq(other, shard), "it has a timer");
        assert!(shard.cancel(second).is_some());

        let again = TimerShard::get();
        assert!(std::ptr::eq(again, shard), "it has none");
        assert_eq!((again.next(), again.pending()), (u64::MAX, 0));
        let armed = again.arm(3, Waker::noop().clone());
        assert!(armed.is_first && matches!(again.renew(armed.key, Waker::noop()), Renewed::Armed(_)), "open");
        assert!(again.fire(3) && again.cancel(armed.key).is_none());
        let last = again.arm(4, Waker::noop().clone());
        assert!(again.cancel(last.key).is_some());
        let third = TimerShard::get();
        assert!(!std::ptr::eq(third, shard), "nobody has given it back");

        again.retire();
        assert!(std::ptr::eq(TimerShard::get(), shard), "empty when its runtime went");
        [shard, other, third].into_iter().for_each(TimerShard::retire);
    }
}
