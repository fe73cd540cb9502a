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
    /// Low half: how many workers search; high half: how many sleep. Changed under the lock where it says so.
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
        // Under the lock nobody falls asleep; a searcher that has come meanwhile will find the work.
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

    pub(crate) fn end_nap(&self, worker: usize) {
        // Relaxed: who has been roused finds the work because of the unpark.
        let _ = self.napping.compare_exchange(worker + 1, 0, Relaxed, Relaxed);
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
