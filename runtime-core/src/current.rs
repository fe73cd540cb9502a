//! What this thread is doing: the worker it is, the task it polls, the scope that is being polled.
//!
//! Plain cells without destructors: usable at any time of a thread's life, also while it is torn down.

use crate::inspect::{self, Watch};
use crate::loom::static_thread_local;
use crate::observe::spans::{WakerOp, tell};
use crate::scope::Frame;
use crate::task::TaskRef;
use crate::task::cell::Header;
use crate::task::state::Path;
use crate::task::waker;
use parking_lot::Mutex;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicU64};
use std::task::Waker;

pub(crate) struct Current {
    /// The task whose code runs on this thread; null for none. Written by this thread only; others read it for pictures, through
    /// [`Running`].
    task: AtomicPtr<Header>,
    /// The running task wants to go behind what is ready.
    yielded: Cell<bool>,
    /// The innermost scope or catcher that is being polled.
    frame: Cell<*const Frame>,
    /// The worker that this thread is; see `scheduler::worker`.
    worker: Cell<*const ()>,
    /// Numbers for polls: the next one, and the end of this thread's block.
    serials: Cell<(u64, u64)>,
    /// Who watches the innermost poll that is watched; null for none.
    watch: Cell<*const Watch>,
}

impl Current {
    #[inline]
    fn task(&self) -> Option<NonNull<Header>> {
        // Relaxed, here and below: this thread's own; what others read is a number to them.
        NonNull::new(self.task.load(Relaxed))
    }

    /// Not a read-modify-write: nobody else writes.
    #[inline]
    fn replace_task(&self, task: Option<NonNull<Header>>) -> Option<NonNull<Header>> {
        let before = self.task();
        self.task.store(task.map_or(std::ptr::null_mut(), NonNull::as_ptr), Relaxed);
        before
    }
}

/// What a worker's thread runs, for other threads to see.
#[derive(Default)]
pub(crate) struct Running(Mutex<Option<Place>>);

/// A thread's place for the task that it runs.
struct Place(NonNull<AtomicPtr<Header>>);

// SAFETY: an atomic, which any thread may read; that it is still there is what `Running` sees to.
unsafe impl Send for Place {}

impl Running {
    /// This thread shows what it runs, until [`hide`](Self::hide), which it has to call before it ends.
    pub(crate) fn show(&self) {
        *self.0.lock() = Some(Place(CURRENT.with(|current| NonNull::from(&current.task))));
    }

    pub(crate) fn hide(&self) {
        *self.0.lock() = None;
    }

    /// The address of the task that runs there, the innermost of several; not to be followed.
    pub(crate) fn address(&self) -> Option<usize> {
        let place = self.0.lock();
        // SAFETY: the thread hides its place, under this lock, before it ends.
        let task = place.as_ref().map(|place| unsafe { place.0.as_ref() }.load(Relaxed));
        task.filter(|task| !task.is_null()).map(|task| task.addr())
    }
}

/// Where threads take their blocks of numbers for polls. 0 is none.
static NEXT_SERIALS: AtomicU64 = AtomicU64::new(1);
const SERIAL_BLOCK: u64 = 1 << 16;

static_thread_local! {
    static CURRENT: Current = Current {
        task: AtomicPtr::new(std::ptr::null_mut()),
        yielded: Cell::new(false),
        frame: Cell::new(std::ptr::null()),
        worker: Cell::new(std::ptr::null()),
        serials: Cell::new((0, 0)),
        watch: Cell::new(std::ptr::null()),
    }
}

/// A number for a poll, to know it again without keeping anything of it. Never 0.
///
/// It comes again after 2³² polls with catchers. Something that was left alone for exactly so long would be taken to be on the path, and
/// get a request that it would else not have got: no harm but that.
pub(crate) fn next_serial() -> u32 {
    CURRENT.with(|current| {
        let (mut next, mut end) = current.serials.get();
        if next == end {
            // Relaxed: only has to be unique.
            next = NEXT_SERIALS.fetch_add(SERIAL_BLOCK, Relaxed);
            end = next + SERIAL_BLOCK;
        }
        current.serials.set((next + 1, end));
        (next as u32).max(1)
    })
}

/// A task reference that is borrowed from the running poll.
pub(crate) struct Borrowed(ManuallyDrop<TaskRef>);

impl Deref for Borrowed {
    type Target = TaskRef;

    fn deref(&self) -> &TaskRef {
        &self.0
    }
}

/// The task whose code runs on this thread.
///
/// The borrow must not outlive the poll; all uses are inside of the crate and short.
#[inline]
pub(crate) fn task() -> Option<Borrowed> {
    let task = CURRENT.with(Current::task)?;
    // SAFETY: set by `enter_task` for as long as the poller keeps the task alive.
    Some(Borrowed(unsafe { TaskRef::borrow_raw(task) }))
}

/// The address of the current task, for comparisons.
#[inline]
pub(crate) fn task_ptr() -> Option<NonNull<Header>> {
    CURRENT.with(Current::task)
}

/// Takes one of the references that the poll of this task has in advance, if the task is being polled here and has one left.
#[inline]
pub(crate) fn take_spare_reference(task: NonNull<Header>) -> bool {
    polled_here(task).is_some_and(Path::take_one)
}

/// Adds a reference to this task to those that its poll has, if the task is being polled here.
#[inline]
pub(crate) fn keep_spare_reference(task: NonNull<Header>) -> bool {
    polled_here(task).is_some_and(Path::keep_one)
}

/// What belongs to the poller of this task, if that is this thread.
#[inline]
fn polled_here<'a>(task: NonNull<Header>) -> Option<&'a Path> {
    let is_current = CURRENT.with(Current::task) == Some(task);
    // SAFETY: the current task is kept alive by its poller, who has `RUNNING` (R2), and this is the poller's thread. Both callers are done with it
    // before they return.
    if is_current { Some(&unsafe { task.as_ref() }.path) } else { None }
}

/// Makes `task` current until the guard goes; with it, no scope of an outer poll is visible any more.
#[inline]
pub(crate) fn enter_task(task: Option<NonNull<Header>>) -> TaskGuard {
    CURRENT.with(|current| TaskGuard {
        task: current.replace_task(task),
        yielded: current.yielded.replace(false),
        frame: current.frame.replace(std::ptr::null()),
    })
}

/// Restores what was current before.
pub(crate) struct TaskGuard {
    task: Option<NonNull<Header>>,
    yielded: bool,
    frame: *const Frame,
}

impl TaskGuard {
    /// Whether `yield_current` was called since the guard was made.
    #[inline]
    pub(crate) fn has_yielded(&self) -> bool {
        CURRENT.with(|current| current.yielded.get())
    }
}

/// The code behind `waker` wants to go behind what is ready. True if that is the running task itself: then the end of its poll will see to it.
#[inline]
pub(crate) fn yield_current(waker: &Waker) -> bool {
    CURRENT.with(|current| {
        let is_current =
            current.task().is_some_and(|task| waker::is_of(waker, task) || inspect::is_watched_yield(waker, task));
        if is_current {
            current.yielded.set(true);
            if let Some(task) = current.task().filter(|_| waker::is_traced(waker)) {
                tell(task, WakerOp::WakeByRef);
            }
        }
        is_current
    })
}

impl Drop for TaskGuard {
    #[inline]
    fn drop(&mut self) {
        CURRENT.with(|current| {
            current.replace_task(self.task);
            current.yielded.set(self.yielded);
            current.frame.set(self.frame);
        });
    }
}

/// The innermost frame; null outside of any.
#[inline]
pub(crate) fn frame() -> *const Frame {
    CURRENT.with(|current| current.frame.get())
}

/// Replaces the innermost frame; gives the one before.
#[inline]
pub(crate) fn set_frame(frame: *const Frame) -> *const Frame {
    CURRENT.with(|current| current.frame.replace(frame))
}

/// Who watches the innermost poll that is watched; null for none.
pub(crate) fn watch() -> *const Watch {
    CURRENT.with(|current| current.watch.get())
}

/// Sets the watch; gives the one before.
pub(crate) fn set_watch(watch: *const Watch) -> *const Watch {
    CURRENT.with(|current| current.watch.replace(watch))
}

/// What `scheduler::worker` has set for this thread; null on threads that are no workers.
#[inline]
pub(crate) fn worker() -> *const () {
    CURRENT.with(|current| current.worker.get())
}

/// Sets the worker; gives the one before.
pub(crate) fn set_worker(worker: *const ()) -> *const () {
    CURRENT.with(|current| current.worker.replace(worker))
}
