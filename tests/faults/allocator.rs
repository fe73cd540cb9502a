//! An allocator that fails on demand.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

/// How many allocations go well still.
static LEFT: AtomicI64 = AtomicI64::new(i64::MAX);

/// The allocation after so many others gives nothing.
pub(crate) fn fail_after(count: u64) {
    LEFT.store(count as i64, SeqCst);
}

/// All goes well from here on.
pub(crate) fn stop_failing() {
    LEFT.store(i64::MAX, SeqCst);
}

thread_local! {
    /// Whether the next allocation of this thread panics.
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

/// The next allocation of this thread panics.
pub(crate) fn panic_next() {
    PANICS.set(true);
}

struct Failing;

// SAFETY: all is left to the system's allocator, or nothing is given. (That it panics on demand is what an allocator must not do: it is the fault.)
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if LEFT.load(SeqCst) != i64::MAX && LEFT.fetch_sub(1, SeqCst) == 0 {
            return std::ptr::null_mut();
        }
        if PANICS.get() {
            PANICS.set(false);
            panic!("the allocator panics");
        }
        // SAFETY: the caller's promise is the callee's demand.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;
