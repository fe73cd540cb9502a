//! Who searches, who sleeps, who watches: so that no wake-up is lost and no worker spins in vain.
//!
//! See `README.md` beside this file for the protocol and why it holds.

use crate::loom::Mutex;
use crate::loom::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

const SEARCHING_ONE: usize = 1;
const SLEEPING_ONE: usize = 1 << 16;
const SEARCHING_MASK: usize = SLEEPING_ONE - 1;

/// The shared state of sleeping and waking.
pub(crate) struct Idle {
    /// Low half: how many workers search; high half: how many sleep. Changed under the lock where it says so. What is ordered is ordered by the fences; the
    /// changes themselves could be relaxed, which would cost as much.
    word: AtomicUsize,
    /// Who sleeps.
    sleepers: Mutex<Sleepers>,
    /// When the sentry looks next, in nanoseconds of the runtime's clock; `u64::MAX` when nobody will.
    lookout_at: AtomicU64,
    /// Whether somebody looks at the last-in slots within a millisecond.
    watching: AtomicBool,
    /// The searcher who takes a long nap, and wants to be told of what comes from outside, plus one; 0 for nobody.
    napping: AtomicUsize,
    workers: usize,
}

struct Sleepers {
    /// The last to fall asleep is the first to be woken: its caches are the warmest.
    stack: Vec<usize>,
    /// The sleeper who looks after the workers that are awake.
    sentry: Option<usize>,
}

/// What a worker that has fallen asleep is.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asleep {
    /// It is the sentry.
    pub(crate) sentry: bool,
}

impl Idle {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            word: AtomicUsize::new(0),
            sleepers: Mutex::new(Sleepers { stack: Vec::with_capacity(workers), sentry: None }),
            lookout_at: AtomicU64::new(u64::MAX),
            watching: AtomicBool::new(false),
            napping: AtomicUsize::new(0),
            workers,
        }
    }

    /// Work was pushed: gives a sleeper to unpark if one is needed. It is counted as searching from here on.
    ///
    /// The fence pairs with the one in `fall_asleep`: either this sees the sleeper, or the sleeper sees the work.
    pub(crate) fn notify(&self) -> Option<usize> {
        fence(SeqCst);
        let word = self.word.load(Relaxed);
        if word & SEARCHING_MASK != 0 || word < SLEEPING_ONE {
            return None;
        }
        let mut sleepers = self.sleepers.lock();
        // Under the lock nobody falls asleep; a searcher that has come meanwhile will find the work, and a second one would be woken in vain.
        if self.word.load(Relaxed) & SEARCHING_MASK != 0 {
            return None;
        }
        let worker = sleepers.pop()?;
        self.word.fetch_sub(SLEEPING_ONE - SEARCHING_ONE, SeqCst);
        Some(worker)
    }

    /// A glance at whether `notify` would do anything; orders nothing.
    #[inline]
    pub(crate) fn seems_to_need_a_searcher(&self) -> bool {
        let word = self.word.load(Relaxed);
        word & SEARCHING_MASK == 0 && word >= SLEEPING_ONE
    }

    /// Begins to search, unless enough do.
    pub(crate) fn begin_search(&self) -> bool {
        let word = self.word.load(Relaxed);
        let awake = self.workers - word / SLEEPING_ONE;
        if 2 * (word & SEARCHING_MASK) >= awake {
            return false;
        }
        // SeqCst: in one order with the fences of `notify` and `fall_asleep`.
        self.word.fetch_add(SEARCHING_ONE, SeqCst);
        true
    }

    /// A searcher has found work; true if it was the last one: then it must look at all queues once more, and hand on what it sees.
    ///
    /// The fence pairs with the one in `notify`: either that sees no searcher, or this one sees the work.
    #[must_use]
    pub(crate) fn end_search(&self) -> bool {
        let last = self.word.fetch_sub(SEARCHING_ONE, SeqCst) & SEARCHING_MASK == 1;
        if last {
            fence(SeqCst);
        }
        last
    }

    /// A searcher is about to take a long nap; false if another one does. It must look at what comes from outside once more after this.
    ///
    /// The fence pairs with the one in `notify`: either `rouse` sees the napper, or that one sees the work.
    pub(crate) fn begin_nap(&self, worker: usize) -> bool {
        let begins = self.napping.compare_exchange(0, worker + 1, SeqCst, Relaxed).is_ok();
        fence(SeqCst);
        begins
    }

    /// Whether a searcher takes a long nap, who looks at everything afterwards. To be asked after `fall_asleep`.
    ///
    /// Relaxed: the fence there pairs with the one in a look at the queues. Who is seen to nap has its look still before it, and sees in it all that could be
    /// seen by the one who asks.
    pub(crate) fn is_anyone_napping(&self) -> bool {
        self.napping.load(Relaxed) != 0
    }

    /// The nap is over; true if the napper was roused.
    #[must_use]
    pub(crate) fn end_nap(&self, worker: usize) -> bool {
        // Relaxed: who has been roused finds the work because of the unpark.
        self.napping.compare_exchange(worker + 1, 0, Relaxed, Relaxed).is_err()
    }

    /// Work has come from outside: gives the searcher to unpark who naps. To be asked after `notify`, which has left the work to the searchers.
    #[inline]
    pub(crate) fn rouse(&self) -> Option<usize> {
        // Relaxed: after the fence in `notify`.
        if self.napping.load(Relaxed) == 0 {
            return None;
        }
        self.napping.swap(0, Relaxed).checked_sub(1)
    }

    /// A worker is about to sleep. It must look at all queues once more after this, and park only if they are empty.
    pub(crate) fn fall_asleep(&self, worker: usize, searching: bool) -> Asleep {
        let sentry = {
            let mut sleepers = self.sleepers.lock();
            sleepers.stack.push(worker);
            let less = if searching { SEARCHING_ONE } else { 0 };
            self.word.fetch_add(SLEEPING_ONE - less, SeqCst);
            if sleepers.sentry.is_none() && self.workers > 1 {
                sleepers.sentry = Some(worker);
            }
            sleepers.sentry == Some(worker)
        };
        fence(SeqCst);
        Asleep { sentry }
    }

    /// A worker wakes by itself; `to_search` because it has seen work. False if it had been chosen by `notify`. In both cases it is counted as
    /// searching: a push that was left to this worker while it searched is handed on by it, when it finds the work, like any other.
    pub(crate) fn wake_self(&self, worker: usize, to_search: bool) -> bool {
        let mut sleepers = self.sleepers.lock();
        let Some(place) = sleepers.stack.iter().position(|sleeper| *sleeper == worker) else { return false };
        sleepers.stack.remove(place);
        sleepers.leave_post(worker);
        let more = if to_search { SEARCHING_ONE } else { 0 };
        self.word.fetch_sub(SLEEPING_ONE - more, SeqCst);
        true
    }

    /// Whether the worker still sleeps, as far as the others know.
    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        self.sleepers.lock().stack.contains(&worker)
    }

    /// Whether any worker sleeps.
    pub(crate) fn any_asleep(&self) -> bool {
        self.word.load(SeqCst) >= SLEEPING_ONE
    }

    /// How many workers search and sleep.
    pub(crate) fn counts(&self) -> (usize, usize) {
        // Acquire: for reports only.
        let word = self.word.load(Acquire);
        (word & SEARCHING_MASK, word / SLEEPING_ONE)
    }

    /// The sentry, or a sleeper who will become it: to be unparked, without taking it off the list.
    pub(crate) fn lookout(&self) -> Option<usize> {
        let sleepers = self.sleepers.lock();
        sleepers.sentry.or_else(|| sleepers.stack.last().copied())
    }

    /// A sleeper takes the sentry's post if it is free.
    pub(crate) fn take_post(&self, worker: usize) -> bool {
        let mut sleepers = self.sleepers.lock();
        if sleepers.sentry.is_none() && self.workers > 1 && sleepers.stack.contains(&worker) {
            sleepers.sentry = Some(worker);
        }
        sleepers.sentry == Some(worker)
    }

    /// The sentry says when it looks next and whether it watches the last-in slots. It must look once more after this.
    pub(crate) fn announce_lookout(&self, at: u64, watching: bool) {
        // SeqCst, and the fence: in one order with `lookout_is_later_than` and `is_watched`, as for `notify`.
        self.lookout_at.store(at, SeqCst);
        self.watching.store(watching, SeqCst);
        fence(SeqCst);
    }

    /// Whether nobody will look before `deadline`. To be asked after the deadline was made visible with a SeqCst operation.
    #[inline]
    pub(crate) fn lookout_is_later_than(&self, deadline: u64) -> bool {
        self.lookout_at.load(SeqCst) > deadline
    }

    /// Whether somebody will look at the last-in slots soon. To be asked after a SeqCst write of the slot.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.watching.load(SeqCst)
    }
}

impl Sleepers {
    /// The last sleeper who is not the sentry; the sentry if it is the only one.
    fn pop(&mut self) -> Option<usize> {
        let last = self.stack.len().checked_sub(1)?;
        let place = if last > 0 && self.sentry == Some(self.stack[last]) { last - 1 } else { last };
        let worker = self.stack.remove(place);
        self.leave_post(worker);
        Some(worker)
    }

    fn leave_post(&mut self, worker: usize) {
        if self.sentry == Some(worker) {
            self.sentry = None;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_searcher_is_woken_at_a_time_the_last_to_fall_asleep_first_and_the_sentry_last() {
        let idle = Idle::new(4);
        assert_eq!(idle.notify(), None, "all are awake");
        let sentries = [2, 0, 3].map(|worker| idle.fall_asleep(worker, false).sentry);
        assert_eq!((sentries, idle.counts()), ([true, false, false], (0, 3)));
        assert!(idle.any_asleep() && idle.seems_to_need_a_searcher());
        assert_eq!(idle.lookout(), Some(2));

        assert_eq!((idle.notify(), idle.counts()), (Some(3), (1, 2)));
        assert!(!idle.seems_to_need_a_searcher());
        assert!(!idle.take_post(0), "the sentry has it");
        assert_eq!(idle.notify(), None, "one searches");
        assert!(idle.end_search(), "the last");
        assert_eq!(idle.notify(), Some(0));
        assert!(idle.take_post(2), "it still has it");
        assert!(!idle.take_post(3), "awake");
        assert!(idle.end_search());
        assert_eq!((idle.notify(), idle.counts()), (Some(2), (1, 0)));
        assert_eq!(idle.lookout(), None);
        assert!(idle.fall_asleep(1, false).sentry, "the post is free");
    }

    #[test]
    fn who_wakes_by_itself_leaves_the_list_and_the_post() {
        let idle = Idle::new(3);
        assert!(idle.fall_asleep(0, false).sentry && !idle.fall_asleep(1, false).sentry);
        assert!(idle.wake_self(0, true));
        assert!(!idle.wake_self(0, true), "it is on the list no more");
        assert_eq!((idle.counts(), idle.is_asleep(0), idle.is_asleep(1)), ((1, 1), false, true));
        assert_eq!(idle.lookout(), Some(1), "who will become it");
        assert!(idle.fall_asleep(2, false).sentry && !idle.take_post(1), "the post was free, and is not now");
        assert!(!idle.fall_asleep(0, true).sentry);
        assert_eq!(idle.counts(), (0, 3));
    }

    #[test]
    fn half_of_those_who_are_awake_search_at_the_most() {
        let idle = Idle::new(5);
        assert!([true, true, true, false, false].into_iter().all(|may| idle.begin_search() == may));
        assert_eq!([idle.end_search(), idle.end_search(), idle.end_search()], [false, false, true]);
        for worker in 0..3 {
            let _ = idle.fall_asleep(worker, false);
        }
        assert!(idle.begin_search() && !idle.begin_search());
    }

    #[test]
    fn what_the_sentry_announces_stands_until_it_announces_something_else() {
        let idle = Idle::new(2);
        assert!(idle.lookout_is_later_than(u64::MAX - 1) && !idle.is_watched());
        idle.announce_lookout(10, true);
        assert!(idle.lookout_is_later_than(9) && !idle.lookout_is_later_than(10) && idle.is_watched());
        idle.announce_lookout(u64::MAX, false);
        assert!(idle.lookout_is_later_than(10) && !idle.is_watched());
    }

    #[test]
    fn one_searcher_takes_a_long_nap_at_a_time_and_is_roused_once() {
        let idle = Idle::new(3);
        assert_eq!(idle.rouse(), None);
        assert!(idle.begin_nap(0) && !idle.begin_nap(1));
        assert!(!idle.end_nap(0) && idle.begin_nap(2));
        assert_eq!((idle.rouse(), idle.rouse()), (Some(2), None));
        assert!(idle.end_nap(2), "roused");
        assert!(idle.begin_nap(1));
    }
}
