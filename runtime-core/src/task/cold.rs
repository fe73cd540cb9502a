//! What few tasks need, in an allocation of its own that is made when it is first asked for.

use super::TaskRef;
use super::error::CancelledError;
use crate::context::Context;
use crate::loom::Mutex;
use crate::scope::WakeList;
use std::sync::Arc;
use std::task::Waker;

/// The cold part of a task.
pub(crate) struct Cold {
    /// Everything in it. Held for a few instructions, never while user code runs.
    pub(crate) inner: Mutex<ColdInner>,
    /// The catchers of this task that wait on wakers of their own; made when the first one comes.
    pub(crate) wakes: std::sync::OnceLock<Arc<WakeList>>,
}

#[derive(Default)]
pub(crate) struct ColdInner {
    /// The name, when one was given.
    pub(crate) name: Option<Arc<str>>,
    /// The error of the undelivered request, when it is not a plain one.
    pub(crate) request: Option<CancelledError>,
    /// A cancellation that unwinds as soon as the things that hold it up have ended (`scope`).
    pub(crate) deferred: Option<CancelledError>,
    /// How often the request was delivered in vain (`scope::node::TRIES`).
    pub(crate) tries: u16,
    /// What to run when the task has ended.
    pub(crate) callbacks: Vec<Callback>,
    /// Who else waits for the end.
    pub(crate) waiters: Waiters,
    /// The number of the next callback.
    pub(crate) next_callback: u64,
}

/// A done callback with the context it was added in (CV-04).
pub(crate) struct Callback {
    pub(crate) id: u64,
    pub(crate) context: Context,
    pub(crate) function: Box<dyn FnOnce(&TaskRef) + Send>,
}

/// The wakers of those who wait through a [`TaskRef`], by the number that each keeps.
#[derive(Default)]
pub(crate) struct Waiters {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Waiters {
    pub(crate) fn add(&mut self, waker: Waker) -> usize {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(waker);
                slot
            }
            None => {
                self.slots.push(Some(waker));
                self.slots.len() - 1
            }
        }
    }

    /// Puts a new waker in; the old one is the caller's to drop outside of the lock.
    pub(crate) fn replace(&mut self, slot: usize, waker: Waker) -> Option<Waker> {
        match self.slots.get_mut(slot) {
            Some(place) => place.replace(waker),
            None => Some(waker),
        }
    }

    /// The waiter goes; its waker is the caller's to drop outside of the lock.
    pub(crate) fn remove(&mut self, slot: usize) -> Option<Waker> {
        let waker = self.slots.get_mut(slot)?.take();
        if waker.is_some() {
            self.free.push(slot);
        }
        waker
    }

    /// All wakers, in the order of their places.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.free.clear();
        std::mem::take(&mut self.slots).into_iter().flatten()
    }
}

impl Cold {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(ColdInner::default()), wakes: std::sync::OnceLock::new() }
    }

    /// The list for catchers with wakers of their own.
    pub(crate) fn wake_list(&self) -> &Arc<WakeList> {
        self.wakes.get_or_init(|| Arc::new(WakeList::default()))
    }
}
