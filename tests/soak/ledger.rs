//! What is counted: begun and over, made and dropped, bytes alive, threads.

use runtime::ExceptionContext;
use std::alloc::{GlobalAlloc, Layout, System};
use std::any::Any;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// The books of the whole process.
pub(crate) static LEDGER: Ledger = Ledger {
    tasks: Pair::new(),
    values: Pair::new(),
    bodies: Pair::new(),
    calls: Pair::new(),
    runtimes: Pair::new(),
    reports: AtomicU64::new(0),
};

/// Each pair must be even when all is over.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Tasks created, and told to have ended.
    pub(crate) tasks: Pair,
    /// Values made (in futures, outputs, closures), and dropped.
    pub(crate) values: Pair,
    /// Bodies entered, and left: by their end, by a drop, by a panic.
    pub(crate) bodies: Pair,
    /// Functions given to threads or to the runtime, and run or dropped.
    pub(crate) calls: Pair,
    /// Runtimes built, and closed.
    pub(crate) runtimes: Pair,
    /// Failures that came to an exception handler.
    pub(crate) reports: AtomicU64,
}

impl Ledger {
    pub(crate) fn is_even(&self) -> bool {
        [&self.tasks, &self.values, &self.bodies, &self.calls, &self.runtimes].into_iter().all(Pair::is_even)
    }
}

/// What begins and ends.
pub(crate) struct Pair(AtomicU64, AtomicU64);

impl Pair {
    const fn new() -> Self {
        Self(AtomicU64::new(0), AtomicU64::new(0))
    }

    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.1.fetch_add(1, Relaxed);
    }

    fn is_even(&self) -> bool {
        self.0.load(Relaxed) == self.1.load(Relaxed)
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0.load(Relaxed), self.1.load(Relaxed))
    }
}

const ALIVE: u64 = 0xA11E_A11E_A11E_A11E;
const DEAD: u64 = 0xDEAD_DEAD_DEAD_DEAD;

/// A value that is dropped once, or the process aborts.
#[derive(Debug)]
pub(crate) struct Value {
    /// What it was made with; memory that was overwritten or freed does not have it.
    mark: u64,
    which: &'static Pair,
    /// On the heap, so that the allocator and the sanitizers have something to see.
    _heap: Box<u64>,
}

impl Value {
    pub(crate) fn new() -> Self {
        Self::of(&LEDGER.values)
    }

    /// A visit of a body.
    pub(crate) fn body() -> Self {
        Self::of(&LEDGER.bodies)
    }

    /// A function on its way.
    pub(crate) fn call() -> Self {
        Self::of(&LEDGER.calls)
    }

    fn of(which: &'static Pair) -> Self {
        which.begin();
        Self { mark: ALIVE, which, _heap: Box::new(ALIVE) }
    }

    pub(crate) fn check(&self) {
        if self.mark != ALIVE || *self._heap != ALIVE {
            eprintln!("soak: a value is used that is not there: {:#x}", self.mark);
            std::process::abort();
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.check();
        self.mark = DEAD;
        self.which.end();
    }
}

/// A panic that belongs to the programs.
pub(crate) struct Expected;

pub(crate) fn is_expected(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Expected>()
}

/// Panics in a way that the programs expect.
pub(crate) fn fail() -> ! {
    std::panic::panic_any(Expected)
}

/// The exception handler of all runtimes.
pub(crate) fn report(_context: &ExceptionContext) {
    LEDGER.reports.fetch_add(1, Relaxed);
}

/// How many threads this process has.
pub(crate) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

/// Bytes that are allocated now.
pub(crate) fn live_bytes() -> i64 {
    LIVE.load(Relaxed)
}

// SAFETY: all is left to the system's allocator, whose contract is the same; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Relaxed);
        // SAFETY: the caller's promise is the callee's demand.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
