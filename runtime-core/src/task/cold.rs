//! What few tasks need, in an allocation of its own that is made when it is first asked for.

use super::TaskRef;
use super::error::CancelledError;
use super::ring::Probe;
use super::state::{COMPLETE, LISTENERS, State};
use crate::context::Context;
use crate::loom::Mutex;
use crate::observe::spans::TaskSpan;
use crate::scope::{WakeList, Whom};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::Waker;

/// The cold part of a task.
pub(crate) struct Cold {
    /// Everything in it. Held for a few instructions, never while user code runs.
    pub(crate) inner: Mutex<ColdInner>,
    /// The catchers of this task that wait on wakers of their own; made when the first one comes.
    pub(crate) wakes: std::sync::OnceLock<Arc<WakeList>>,
    /// How often all that awaits in this task was to look at what came (`probe`): so the scopes know whether to wake what has a waker of its own in them.
    pub(crate) stirs: AtomicU32,
    /// The task's span, if a subscriber wanted one when the task was created.
    pub(crate) span: std::sync::OnceLock<Box<TaskSpan>>,
}

#[derive(Default)]
pub(crate) struct ColdInner {
    /// The name, when one was given.
    pub(crate) name: Option<Arc<str>>,
    /// The error of the undelivered request, when it is not a plain one.
    pub(crate) request: Option<CancelledError>,
    /// The request that came last, if it can be told from others: it is not delivered again.
    pub(crate) latest: Option<Latest>,
    /// What came to find out whether it is part of a ring of tasks that await each other.
    pub(crate) probe: Probe,
    /// A cancellation that unwinds as soon as the things that hold it up have ended (`scope`).
    pub(crate) deferred: Option<CancelledError>,
    /// How often the request was delivered in vain (`scope::node::TRIES`).
    pub(crate) tries: u16,
    /// Whom it is for, if it is delivered again.
    pub(crate) again_for: Whom,
    /// How often those were told who would hold up what is deferred.
    pub(crate) last_calls: u16,
    /// What to run when the task has ended.
    pub(crate) callbacks: Vec<Callback>,
    /// Who runs them.
    pub(crate) draining: Draining,
    /// Who else waits for the end.
    pub(crate) waiters: Waiters,
    /// The number of the next callback.
    pub(crate) next_callback: u64,
    /// Who wants to know what the next poll awaits.
    pub(crate) traces: Vec<crate::inspect::Request>,
    /// What is known of the polls, where all are recorded.
    pub(crate) record: Option<Box<crate::inspect::Record>>,
}

/// A request that a task has had, and may get again, which is not delivered: through another task that had it too and awaits this one.
pub(crate) struct Latest {
    pub(crate) request: CancelledError,
    /// It is the sweep's, noted when the sweep had come to the task, but not yet as far as its request.
    pub(crate) left_to_sweep: bool,
}

/// Who runs the callbacks of a task. Never two at once, so that those added later stay behind those added before, on however many workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Draining {
    /// The completer will see to it.
    #[default]
    AtTheEnd,
    /// Work that takes them out is queued or runs.
    Queued,
    /// The task has ended, and nobody runs any: who adds one sees to it.
    Nobody,
}

/// A done callback with the context it was added in (CV-04).
pub(crate) struct Callback {
    pub(crate) id: u64,
    pub(crate) context: Context,
    pub(crate) function: Box<dyn FnOnce(&TaskRef) + Send>,
}

/// The wakers of those who wait through a [`TaskRef`], or in a scope that others can cancel, by the number that each keeps.
#[derive(Default)]
pub(crate) struct Waiters {
    slots: Vec<Option<Waiter>>,
    free: Vec<usize>,
}

/// One who waits.
struct Waiter {
    waker: Waker,
    /// The number of the task; 0 outside of any.
    task: u64,
}

impl Waiters {
    /// Registers the waker at the place `slot`, or at a new one, which is put there. Another waker that was at it is the caller's to drop
    /// outside of the lock.
    pub(crate) fn put(&mut self, slot: &mut Option<usize>, waker: Waker, task: u64) -> Option<Waker> {
        let waiter = Waiter { waker, task };
        match *slot {
            Some(place) => match self.slots.get_mut(place) {
                Some(place) => place.replace(waiter).map(|waiter| waiter.waker),
                None => Some(waiter.waker),
            },
            None => {
                *slot = Some(self.add(waiter));
                None
            }
        }
    }

    fn add(&mut self, waiter: Waiter) -> usize {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(waiter);
                slot
            }
            None => {
                self.slots.push(Some(waiter));
                self.slots.len() - 1
            }
        }
    }

    /// The numbers of the tasks that wait.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().flatten().map(|waiter| waiter.task).filter(|task| *task != 0)
    }

    /// The waiter goes; its waker is the caller's to drop outside of the lock.
    pub(crate) fn remove(&mut self, slot: usize) -> Option<Waker> {
        let waker = self.slots.get_mut(slot)?.take();
        if waker.is_some() {
            self.free.push(slot);
        }
        waker.map(|waiter| waiter.waker)
    }

    /// All wakers, in the order of their places.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.free.clear();
        std::mem::take(&mut self.slots).into_iter().flatten().map(|waiter| waiter.waker)
    }
}

impl ColdInner {
    /// Somebody listens from now on; true if the task has ended. Called under the lock.
    pub(crate) fn listen(&mut self, state: &State) -> bool {
        let before = state.set(LISTENERS);
        let complete = before.has(COMPLETE);
        if complete && !before.has(LISTENERS) {
            // The completer found no listeners, and does not come.
            self.draining = Draining::Nobody;
        }
        complete
    }

    /// Whether the caller has to queue the work that runs the callbacks: the task has ended, there are some, and nobody else does.
    #[must_use]
    pub(crate) fn begin_draining(&mut self) -> bool {
        let begins = self.draining == Draining::Nobody && !self.callbacks.is_empty();
        if begins {
            self.draining = Draining::Queued;
        }
        begins
    }
}

impl Cold {
    /// Takes out all callbacks that wait. `None` when there are none: then the work is over.
    pub(crate) fn next_round(&self) -> Option<Vec<Callback>> {
        let mut inner = self.inner.lock();
        let callbacks = std::mem::take(&mut inner.callbacks);
        if callbacks.is_empty() {
            inner.draining = Draining::Nobody;
            return None;
        }
        Some(callbacks)
    }

    /// A round is over: true if none was added meanwhile, and the work is over with it.
    #[must_use]
    pub(crate) fn end_if_drained(&self) -> bool {
        let mut inner = self.inner.lock();
        let drained = inner.callbacks.is_empty();
        if drained {
            inner.draining = Draining::Nobody;
        }
        drained
    }

    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(ColdInner::default()),
            wakes: std::sync::OnceLock::new(),
            stirs: AtomicU32::new(0),
            span: std::sync::OnceLock::new(),
        }
    }

    /// The list for catchers with wakers of their own.
    pub(crate) fn wake_list(&self) -> &Arc<WakeList> {
        self.wakes.get_or_init(|| Arc::new(WakeList::default()))
    }
}
