//! The place for one waker, whose owner changes hands by a bit of the state word, and which strangers may look at.

use super::waker;
use crate::loom::UnsafeCell;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{RawWakerVTable, Waker};

/// An `Option<Waker>` in two words. What is stored is atomic only so that [`peek`](Self::peek) is no data race: the orderings are the
/// state word's.
pub(crate) struct WakerSlot {
    /// The waker's pointer; without meaning while there is none.
    data: AtomicPtr<()>,
    /// The waker's table; null while there is none.
    vtable: AtomicPtr<RawWakerVTable>,
    /// Shows loom who uses the slot; nothing in a normal build.
    owner: UnsafeCell<()>,
}

/// What a look at a slot shows. It may be out of date, and is not to be followed.
pub(crate) enum Peeked {
    Empty,
    /// A waker of ours, for the task at this address.
    Ours(usize),
    Foreign,
}

impl WakerSlot {
    pub(crate) fn new() -> Self {
        Self {
            data: AtomicPtr::new(std::ptr::null_mut()),
            vtable: AtomicPtr::new(std::ptr::null_mut()),
            owner: UnsafeCell::new(()),
        }
    }

    /// Puts a waker in; gives the one before.
    ///
    /// # Safety
    ///
    /// The slot is the caller's (R4).
    pub(crate) unsafe fn replace(&self, fresh: Waker) -> Option<Waker> {
        // SAFETY: the caller's promise.
        let old = unsafe { self.take() };
        let fresh = std::mem::ManuallyDrop::new(fresh);
        // Relaxed: published to the next owner by the state word.
        self.data.store(fresh.data().cast_mut(), Relaxed);
        self.vtable.store(std::ptr::from_ref(fresh.vtable()).cast_mut(), Relaxed);
        old
    }

    /// Takes the waker out.
    ///
    /// # Safety
    ///
    /// The slot is the caller's (R4).
    pub(crate) unsafe fn take(&self) -> Option<Waker> {
        self.owner.with_mut(|_| ());
        // Relaxed: written by this owner, or by one before, whom the state word has ordered before.
        let vtable = self.vtable.load(Relaxed);
        // SAFETY: null, or put in by `replace` from a reference that lives for ever.
        let vtable: &'static RawWakerVTable = unsafe { vtable.as_ref() }?;
        let data = self.data.load(Relaxed);
        self.vtable.store(std::ptr::null_mut(), Relaxed);
        // SAFETY: the two words of a waker that `replace` has taken in and forgotten, given back once.
        Some(unsafe { Waker::new(data, vtable) })
    }

    /// Looks, from anywhere. Of a waker that is being replaced one word may be the old one's.
    pub(crate) fn peek(&self) -> Peeked {
        // Relaxed: whoever looks has read the state word, and believes no more than that.
        let vtable = self.vtable.load(Relaxed).cast_const();
        match vtable.is_null() {
            true => Peeked::Empty,
            false if waker::is_our_table(vtable) => Peeked::Ours(self.data.load(Relaxed).addr()),
            false => Peeked::Foreign,
        }
    }
}

impl Drop for WakerSlot {
    fn drop(&mut self) {
        // SAFETY: nobody else has it any more.
        drop(unsafe { self.take() });
    }
}
