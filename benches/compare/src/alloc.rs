//! A global allocator that can count live bytes, and the resident set.
//!
//! Counting is off unless a memory workload turns it on before its first
//! allocation; off, it costs one relaxed load and a branch per call. On, each
//! thread adds to a cell of its own, so that counting is not itself a contended
//! line.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};

/// The allocator of the program.
pub struct Counting;

/// Threads that can be told apart; the ones beyond share the last cell.
const CELLS: usize = 64;

/// A counter on cache lines of its own.
#[repr(align(128))]
struct Padded(AtomicI64);

static ON: AtomicBool = AtomicBool::new(false);
static LIVE: [Padded; CELLS] = [const { Padded(AtomicI64::new(0)) }; CELLS];
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Index into `LIVE` plus one; zero before the first use.
    static CELL: Cell<usize> = const { Cell::new(0) };
}

/// Counts from now on. Call it before what is to be counted is allocated.
pub fn count_from_now_on() {
    ON.store(true, Relaxed);
}

/// Bytes requested and not yet freed since counting began, all threads.
pub fn live_bytes() -> i64 {
    assert!(ON.load(Relaxed), "counting is off");
    LIVE.iter().map(|cell| cell.0.load(Relaxed)).sum()
}

/// Resident bytes of the process, or zero where the system does not tell.
pub fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: i64 = statm.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    // SAFETY: `sysconf` has no preconditions.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) }
}

#[inline]
fn count(bytes: i64) {
    if ON.load(Relaxed) {
        count_slow(bytes);
    }
}

fn count_slow(bytes: i64) {
    // A thread that is being torn down counts on the shared cell.
    let index = CELL.try_with(cell_of_thread).unwrap_or(CELLS - 1);
    let cell = &LIVE[index].0;
    if index == CELLS - 1 {
        cell.fetch_add(bytes, Relaxed);
    } else {
        // Only this thread writes to the cell, so a load and a store suffice.
        cell.store(cell.load(Relaxed) + bytes, Relaxed);
    }
}

fn cell_of_thread(slot: &Cell<usize>) -> usize {
    if slot.get() == 0 {
        slot.set(THREADS.fetch_add(1, Relaxed).min(CELLS - 1) + 1);
    }
    slot.get() - 1
}

// SAFETY: every call goes to `System` unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}
