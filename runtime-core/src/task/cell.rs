//! Memory layout of a task and the table of its type-dependent operations: with [`harness`](super::harness) the fence
//! of the unsafe code. See the module page of [`task`](super) for the rules cited as (R1) to (R7).

use super::cold::Cold;
use super::error::{PanicError, TaskError, drop_quietly};
use super::memory;
use super::registry::Links;
use super::slot::WakerSlot;
use super::state::{Path, State};
use super::task_ref::Ended;
use super::{Kind, Notified, Schedule, TaskRef, waker};
use crate::context::ContextMap;
use crate::loom::UnsafeCell;
use crate::loom::atomic::AtomicPtr;
use crate::observe::spans;
use std::cell::Cell as StdCell;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::task::{Context, Poll, RawWakerVTable};

/// What wants to be told of the task's end in the step that ends it; `()` for most tasks, at no cost.
pub(crate) trait Hook: Send {
    /// Whether there is anything to tell.
    const TELLS: bool = true;

    fn ended(self, task: &TaskRef);
}

impl Hook for () {
    const TELLS: bool = false;

    fn ended(self, _task: &TaskRef) {}
}

impl<H: FnOnce(&TaskRef) + Send> Hook for Told<H> {
    fn ended(self, task: &TaskRef) {
        (self.0)(task);
    }
}

/// A closure as a [`Hook`].
pub(crate) struct Told<H>(pub(crate) H);

/// The part of a task that does not depend on its type. It stands first in every [`TaskCell`].
#[repr(C)]
pub(crate) struct Header {
    /// The life of the task in one word.
    pub(crate) state: State,
    /// What depends on the future's type.
    vtable: &'static Vtable,
    /// The scheduler that created the task; valid until the task is complete (R6). Null for a promise.
    scheduler: *const (),
    /// Neighbours in the registry, guarded by the shard's lock.
    pub(crate) links: UnsafeCell<Links>,
    /// Who awaits the typed handle; `JOIN_WAKER` says whose it is (R4).
    pub(crate) join_waker: WakerSlot,
    /// The context variables; replaced by the poller under the cold part's lock, read by the poller without (R5).
    pub(crate) context: UnsafeCell<Option<Arc<ContextMap>>>,
    /// What few tasks need: name, callbacks, waiters, messages. Null until needed.
    cold: AtomicPtr<Cold>,
    /// Where the task was created.
    pub(crate) location: &'static Location<'static>,
    /// Process-wide number.
    pub(crate) id: u64,
    /// The runtime the task belongs to, for what happens after completion; 0 for none.
    pub(crate) runtime: u32,
    /// The number of the last poll if it ended with catchers on the path; touched by the poller only (R2).
    pub(crate) serial: StdCell<u32>,
    /// Who awaits it, where the join waker does not tell: see `inspect::Waiter`. For pictures only.
    pub(crate) waiter: AtomicU32,
    /// The registry shard that lists it.
    pub(crate) shard: u16,
    /// What the last poll said of the catchers in the task, and the references that the poll has in advance; touched by the poller only (R2).
    pub(crate) path: Path,
    /// What it is (`Kind`), which never changes; and from `ENDED_ONE` on how it ended (`task_ref::Ended`), for those who may not read
    /// the outcome. That is written before `COMPLETE` is set, so that the release of `complete` publishes it.
    kind_and_end: AtomicU8,
}

/// What is given when a task is made.
pub(crate) struct NewTask {
    pub(crate) state: State,
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) runtime: u32,
    pub(crate) shard: u16,
    pub(crate) context: Option<Arc<ContextMap>>,
    pub(crate) location: &'static Location<'static>,
    /// See [`Header::waiter`].
    pub(crate) waiter: u32,
}

/// A task: header first, then the future or its outcome.
#[repr(C)]
struct TaskCell<F: Future, S, H> {
    header: Header,
    /// Touched by whoever has the right to the future (R2), or to the outcome (R3).
    stage: UnsafeCell<Stage<F>>,
    /// Taken out and called by the completer, once; takes no room when there is none.
    hook: UnsafeCell<ManuallyDrop<H>>,
    scheduler: PhantomData<fn(S)>,
}

enum Stage<F: Future> {
    Future(F),
    Outcome(Result<F::Output, TaskError>),
    Empty,
}

/// The operations that depend on the future's type.
struct Vtable {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<()>,
    /// What the task's wakers do.
    waker: &'static RawWakerVTable,
    drop_stage: unsafe fn(NonNull<Header>),
    set_error: unsafe fn(NonNull<Header>, TaskError),
    error: unsafe fn(NonNull<Header>) -> Option<TaskError>,
    take_outcome: unsafe fn(NonNull<Header>, *mut ()),
    outcome: unsafe fn(NonNull<Header>) -> *const (),
    /// None for most tasks.
    hook: Option<unsafe fn(&TaskRef)>,
    schedule: unsafe fn(NonNull<Header>),
    dealloc: unsafe fn(NonNull<Header>),
    /// Whether anything happens when the value is dropped.
    output_needs_drop: bool,
}

struct VtableOf<F, S, H>(PhantomData<(F, S, H)>);

impl<F: Future, S: Schedule, H: Hook> VtableOf<F, S, H> {
    const VTABLE: Vtable = Vtable {
        poll: poll::<F, S, H>,
        waker: &waker::VTABLE,
        drop_stage: drop_stage::<F, S, H>,
        set_error: set_error::<F, S, H>,
        error: error::<F, S, H>,
        take_outcome: take_outcome::<F, S, H>,
        outcome: outcome::<F, S, H>,
        hook: if H::TELLS { Some(hook::<F, S, H>) } else { None },
        schedule: schedule::<S>,
        dealloc: dealloc::<F, S, H>,
        output_needs_drop: std::mem::needs_drop::<F::Output>(),
    };

    /// Of a task with a span.
    const TRACED: Vtable = Vtable {
        poll: traced_poll::<F, S, H>,
        waker: &waker::TRACED,
        drop_stage: traced_drop_stage::<F, S, H>,
        ..Self::VTABLE
    };
}

/// Allocates a task. Inlined as its caller is. The references counted in `new.state` are the caller's to hand out.
#[inline]
pub(crate) fn allocate<F: Future, S: Schedule, H: Hook>(
    future: F,
    scheduler: *const S,
    hook: H,
    new: NewTask,
) -> NonNull<Header> {
    allocate_with::<F, S, H>(|| Stage::Future(future), scheduler.cast(), hook, new)
}

/// Allocates a cell without a future: a promise's.
pub(crate) fn allocate_empty<F: Future, S: Schedule>(new: NewTask) -> NonNull<Header> {
    allocate_with::<F, S, ()>(|| Stage::Empty, std::ptr::null(), (), new)
}

/// Each part is made where it is to be: a copy that is read right after it was written in other pieces waits for these (a third of the
/// time that making a task took).
#[inline]
fn allocate_with<F: Future, S: Schedule, H: Hook>(
    stage: impl FnOnce() -> Stage<F>,
    scheduler: *const (),
    hook: H,
    new: NewTask,
) -> NonNull<Header> {
    let place = memory::allocate::<TaskCell<F, S, H>>();
    let header = Header {
        state: new.state,
        vtable: &VtableOf::<F, S, H>::VTABLE,
        scheduler,
        links: UnsafeCell::new(Links::new()),
        join_waker: WakerSlot::new(),
        context: UnsafeCell::new(new.context),
        cold: AtomicPtr::new(std::ptr::null_mut()),
        location: new.location,
        id: new.id,
        runtime: new.runtime,
        serial: StdCell::new(0),
        waiter: AtomicU32::new(new.waiter),
        shard: new.shard,
        path: Path::new(),
        kind_and_end: AtomicU8::new(new.kind as u8),
    };
    let cell = place.as_ptr();
    // SAFETY: fresh room for exactly this type, of which all parts are written here; nothing between them panics.
    unsafe {
        (&raw mut (*cell).header).write(header);
        (&raw mut (*cell).stage).write(UnsafeCell::new(stage()));
        (&raw mut (*cell).hook).write(UnsafeCell::new(ManuallyDrop::new(hook)));
    }
    place.cast()
}

/// Gives a new task a span, if a subscriber wants it.
///
/// # Safety
///
/// The task was allocated with the same types, and nobody but its creator has seen it.
#[cold]
pub(crate) unsafe fn trace<F: Future, S: Schedule, H: Hook>(mut task: NonNull<Header>) {
    // SAFETY: alive, and the creator's alone.
    if spans::attach(unsafe { task.as_ref() }, size_of::<F>()) {
        // SAFETY: as above.
        unsafe { task.as_mut() }.vtable = &VtableOf::<F, S, H>::TRACED;
    }
}

/// The end of a task in `Header::kind_and_end` is counted in these.
const ENDED_ONE: u8 = 1 << 4;

impl Header {
    /// What the task is.
    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        // Relaxed: this half never changes.
        match self.kind_and_end.load(Relaxed) % ENDED_ONE {
            0 => Kind::Task,
            1 => Kind::Main,
            2 => Kind::Callback,
            3 => Kind::Promise,
            _ => Kind::Thread,
        }
    }

    /// How the task ended; asked after an acquire that saw `COMPLETE`.
    #[inline]
    pub(crate) fn ended(&self) -> Ended {
        // Relaxed: published by the release of `State::complete`.
        match self.kind_and_end.load(Relaxed) / ENDED_ONE {
            0 => Ended::Value,
            1 => Ended::Cancelled,
            _ => Ended::Panicked,
        }
    }

    /// Whether anything happens when a value of the task's type is dropped.
    #[inline]
    pub(crate) fn output_needs_drop(&self) -> bool {
        self.vtable.output_needs_drop
    }

    /// Called by the completer, before it sets `COMPLETE`.
    fn set_ended(&self, ended: Ended) {
        // Relaxed as in `ended`.
        self.kind_and_end.store(self.kind() as u8 + ENDED_ONE * ended as u8, Relaxed);
    }

    /// What the task's wakers do.
    #[inline]
    pub(crate) fn waker_vtable(&self) -> &'static RawWakerVTable {
        self.vtable.waker
    }

    /// The cold part, made at the first call.
    pub(crate) fn cold(&self) -> &Cold {
        use std::sync::atomic::Ordering::{AcqRel, Acquire};
        // Acquire: pairs with the release of the exchange below.
        let mut cold = self.cold.load(Acquire);
        if cold.is_null() {
            let fresh = Box::into_raw(Box::new(Cold::new()));
            cold = match self.cold.compare_exchange(std::ptr::null_mut(), fresh, AcqRel, Acquire) {
                Ok(_) => fresh,
                Err(other) => {
                    // SAFETY: `fresh` came from `Box::into_raw` above and lost the race: nobody else saw it.
                    drop(unsafe { Box::from_raw(fresh) });
                    other
                }
            };
        }
        // SAFETY: set once from a box, freed only with the header, which `self` keeps alive.
        unsafe { &*cold }
    }

    /// The cold part, if there is one.
    #[inline]
    pub(crate) fn cold_if_any(&self) -> Option<&Cold> {
        // Acquire: pairs with the release in `cold`.
        let cold = self.cold.load(std::sync::atomic::Ordering::Acquire);
        // SAFETY: as in `cold`.
        unsafe { cold.as_ref() }
    }
}

/// Polls the future; when it is ready its output has taken its place.
///
/// # Safety
///
/// The caller has the right to the future (R2), which is there.
#[inline]
pub(crate) unsafe fn poll_future(task: NonNull<Header>, cx: &mut Context<'_>) -> Poll<()> {
    // SAFETY: the header is alive; the caller's promise is the callee's demand.
    unsafe { (task.as_ref().vtable.poll)(task, cx) }
}

/// Drops the future or the outcome, whichever is there. A panic of its destructor comes out.
///
/// # Safety
///
/// The caller has the right to the future (R2) or to the outcome (R3).
pub(crate) unsafe fn drop_stage_of(task: NonNull<Header>) {
    // SAFETY: as in `poll_future`.
    unsafe { (task.as_ref().vtable.drop_stage)(task) }
}

/// Whether there is an outcome that was not taken.
///
/// # Safety
///
/// The caller has the right to the outcome (R3).
pub(crate) unsafe fn has_outcome(task: NonNull<Header>) -> bool {
    // SAFETY: as in `poll_future`.
    !unsafe { (task.as_ref().vtable.outcome)(task) }.is_null()
}

/// Stores a failure as the outcome. The stage must be empty.
///
/// # Safety
///
/// As for [`drop_stage_of`].
pub(crate) unsafe fn set_error_of(task: NonNull<Header>, error: TaskError) {
    // SAFETY: as in `poll_future`.
    unsafe { (task.as_ref().vtable.set_error)(task, error) }
}

/// A copy of the failure, if the outcome is one.
///
/// # Safety
///
/// The caller has the right to read the outcome (R3).
pub(crate) unsafe fn error_of(task: NonNull<Header>) -> Option<TaskError> {
    // SAFETY: as in `poll_future`.
    unsafe { (task.as_ref().vtable.error)(task) }
}

/// Stores a value as the outcome of a cell without a future. The stage must be empty.
///
/// # Safety
///
/// The cell was made by [`allocate_empty`] with the same `F` and `S`, and the caller has the right to its stage (R2).
pub(crate) unsafe fn set_value_of<F: Future, S: Schedule>(task: NonNull<Header>, value: F::Output) {
    // SAFETY: the caller's promise on the types.
    let stage = unsafe { stage::<F, S, ()>(task) };
    // SAFETY: the caller has the only access.
    stage.with_mut(|stage| unsafe { *stage = Stage::Outcome(Ok(value)) });
}

/// Moves the outcome out; `None` when it was taken before.
///
/// # Safety
///
/// The caller has the right to the outcome (R3), and `T` is the output type of the task's future.
pub(crate) unsafe fn take_outcome_of<T>(task: NonNull<Header>) -> Option<Result<T, TaskError>> {
    let mut outcome: Option<Result<T, TaskError>> = None;
    // SAFETY: as in `poll_future`; the pointer is to an `Option` of the type that the callee writes, by the
    // caller's promise on `T`.
    unsafe { (task.as_ref().vtable.take_outcome)(task, (&raw mut outcome).cast()) };
    outcome
}

/// The outcome where it is.
///
/// # Safety
///
/// As for [`take_outcome_of`], for as long as the reference lives.
pub(crate) unsafe fn outcome_of<'a, T>(task: NonNull<Header>) -> Option<&'a Result<T, TaskError>> {
    // SAFETY: as in `poll_future`.
    let outcome = unsafe { (task.as_ref().vtable.outcome)(task) };
    // SAFETY: points to an outcome of this type, by the caller's promise on `T`, or is null.
    unsafe { outcome.cast::<Result<T, TaskError>>().as_ref() }
}

/// What tells whoever wanted to be told of the task's end right away: to be called once, by the completer, after `COMPLETE` was set.
#[inline]
pub(crate) fn hook_of(task: &TaskRef) -> Option<unsafe fn(&TaskRef)> {
    task.header().vtable.hook
}

/// Pushes the task into its scheduler's queues.
///
/// # Safety
///
/// The caller has just made the transition that owes this push, so that the task is not complete and its scheduler is
/// alive (R6).
pub(crate) unsafe fn schedule_task(task: NonNull<Header>) {
    // SAFETY: as in `poll_future`.
    unsafe { (task.as_ref().vtable.schedule)(task) }
}

/// Gives one reference back; frees the task with the last one.
///
/// # Safety
///
/// The caller owns the reference and does not use it again.
#[inline]
pub(crate) unsafe fn drop_ref(task: NonNull<Header>) {
    // SAFETY: the caller's reference keeps the header alive up to here.
    if unsafe { task.as_ref() }.state.ref_dec() {
        // SAFETY: that was the last reference: nobody else can reach the cell.
        unsafe { (task.as_ref().vtable.dealloc)(task) }
    }
}

/// The stage of a task.
///
/// # Safety
///
/// `task` was allocated with the same `F` and `S`.
unsafe fn stage<'a, F: Future, S: Schedule, H: Hook>(task: NonNull<Header>) -> &'a UnsafeCell<Stage<F>> {
    // SAFETY: the header stands first in the `repr(C)` cell of this very type, by the caller's promise.
    unsafe { &(*task.cast::<TaskCell<F, S, H>>().as_ptr()).stage }
}

unsafe fn poll<F: Future, S: Schedule, H: Hook>(task: NonNull<Header>, cx: &mut Context<'_>) -> Poll<()> {
    // SAFETY: this function is in the vtable of exactly this cell type.
    let stage = unsafe { stage::<F, S, H>(task) };
    let poll = stage.with_mut(|stage| {
        // SAFETY: the caller has the right to the future (R2): no other access to the stage. The future lies in a
        // heap cell and is dropped in place: it never moves.
        match unsafe { &mut *stage } {
            // SAFETY: as above.
            Stage::Future(future) => unsafe { Pin::new_unchecked(future) }.poll(cx),
            _ => unreachable!("a task is polled only while its future is there"),
        }
    });
    poll.map(|output| {
        // SAFETY: as above. The future goes before its output comes: a panic of its destructor becomes the outcome.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { drop_stage::<F, S, H>(task) }));
        if let Err(payload) = dropped {
            // The output goes first: its destructor must not panic while this panic unwinds.
            drop_quietly(output);
            resume_unwind(payload);
        }
        // SAFETY: as above; the stage is empty.
        stage.with_mut(|stage| unsafe { stage.write(Stage::Outcome(Ok(output))) });
    })
}

unsafe fn drop_stage<F: Future, S: Schedule, H: Hook>(task: NonNull<Header>) {
    struct Emptied<'a, F: Future>(&'a UnsafeCell<Stage<F>>);

    impl<F: Future> Drop for Emptied<'_, F> {
        fn drop(&mut self) {
            // SAFETY: the value in it has been dropped, also when its destructor panicked; `write` does not drop it
            // a second time.
            self.0.with_mut(|stage| unsafe { std::ptr::write(stage, Stage::Empty) });
        }
    }

    // SAFETY: as in `poll`.
    let stage = unsafe { stage::<F, S, H>(task) };
    let emptied = Emptied(stage);
    // SAFETY: the caller has the only access; dropped in place, as a pinned future must be.
    stage.with_mut(|stage| unsafe { std::ptr::drop_in_place(stage) });
    drop(emptied);
}

unsafe fn traced_poll<F: Future, S: Schedule, H: Hook>(task: NonNull<Header>, cx: &mut Context<'_>) -> Poll<()> {
    // SAFETY: alive, by the caller's promise.
    let entered = spans::enter(unsafe { task.as_ref() });
    // SAFETY: the caller's promise is the callee's demand.
    let polled = unsafe { poll::<F, S, H>(task, cx) };
    drop(entered);
    if polled.is_ready() {
        // SAFETY: as above.
        spans::close(unsafe { task.as_ref() });
    }
    polled
}

unsafe fn traced_drop_stage<F: Future, S: Schedule, H: Hook>(task: NonNull<Header>) {
    struct Closed(Option<tracing::span::EnteredSpan>, NonNull<Header>);

    impl Drop for Closed {
        fn drop(&mut self) {
            drop(self.0.take());
            // SAFETY: alive until after the stage has been dropped.
            spans::close(unsafe { self.1.as_ref() });
        }
    }

    // SAFETY: alive, by the caller's promise.
    let _closed = Closed(spans::enter(unsafe { task.as_ref() }), task);
    // SAFETY: the caller's promise is the callee's demand.
    unsafe { drop_stage::<F, S, H>(task) };
}

unsafe fn set_error<F: Future, S: Schedule, H: Hook>(task: NonNull<Header>, error: TaskError) {
    // SAFETY: as in `poll`.
    let stage = unsafe { stage::<F, S, H>(task) };
    stage.with_mut(|stage| {
        // SAFETY: the caller has the only access.
        debug_assert!(matches!(unsafe { &*stage }, Stage::Empty), "the stage is emptied before an error is stored");
        // SAFETY: alive, by the caller's promise.
        unsafe { task.as_ref() }.set_ended(if error.is_cancelled() { Ended::Cancelled } else { Ended::Panicked });
        // SAFETY: as above; the stage is empty.
        unsafe { stage.write(Stage::Outcome(Err(error))) };
    });
}

unsafe fn error<F: Future, S: Schedule, H: Hook>(task: NonNull<Header>) -> Option<TaskError> {
    // SAFETY: as in `poll`.
    let stage = unsafe { stage::<F, S, H>(task) };
    stage.with(|stage| {
        // SAFETY: the caller may read the outcome (R3).
        match unsafe { &*stage } {
            Stage::Outcome(Err(error)) => Some(error.clone()),
            _ => None,
        }
    })
}

unsafe fn take_outcome<F: Future, S: Schedule, H: Hook>(task: NonNull<Header>, to: *mut ()) {
    // SAFETY: as in `poll`.
    let stage = unsafe { stage::<F, S, H>(task) };
    stage.with_mut(|stage| {
        // SAFETY: the caller has the only access.
        let Stage::Outcome(outcome) = (unsafe { &*stage }) else { return };
        // Not by `mem::replace`, which would move the whole stage, as large as the future may be.
        // SAFETY: read once: the stage is empty from the next step on. `to` points to an `Option` of this type that is `None`, by the contract of `take_outcome_of`.
        unsafe {
            to.cast::<Option<Result<F::Output, TaskError>>>().write(Some(std::ptr::read(outcome)));
            stage.write(Stage::Empty);
        }
    });
}

unsafe fn outcome<F: Future, S: Schedule, H: Hook>(task: NonNull<Header>) -> *const () {
    // SAFETY: as in `poll`.
    let stage = unsafe { stage::<F, S, H>(task) };
    stage.with(|stage| {
        // SAFETY: the caller may read the outcome (R3).
        match unsafe { &*stage } {
            Stage::Outcome(outcome) => std::ptr::from_ref(outcome).cast(),
            _ => std::ptr::null(),
        }
    })
}

unsafe fn hook<F: Future, S: Schedule, H: Hook>(task: &TaskRef) {
    // SAFETY: the header stands first in the `repr(C)` cell of this very type.
    let hook = unsafe { &(*task.as_raw().cast::<TaskCell<F, S, H>>().as_ptr()).hook };
    // SAFETY: taken by the completer only, once, and never dropped in place.
    let hook = hook.with_mut(|hook| unsafe { ManuallyDrop::take(&mut *hook) });
    hook.ended(task);
}

unsafe fn schedule<S: Schedule>(task: NonNull<Header>) {
    // SAFETY: alive, by the caller's promise.
    let scheduler = unsafe { task.as_ref() }.scheduler.cast::<S>();
    // SAFETY: the scheduler is alive as long as the task is not complete (R6), and the caller owes this push.
    unsafe { S::schedule(scheduler, Notified::new(task)) }
}

unsafe fn dealloc<F: Future, S: Schedule, H: Hook>(task: NonNull<Header>) {
    /// Gives the room back also when a destructor in the cell panics.
    struct Free<T>(NonNull<T>);

    impl<T> Drop for Free<T> {
        fn drop(&mut self) {
            // SAFETY: came from `memory::allocate` with this type, and its content has been dropped.
            unsafe { memory::free(self.0) };
        }
    }

    let cell = task.cast::<TaskCell<F, S, H>>();
    let _free = Free(cell);
    // Shows loom the access that the drop is. SAFETY: as below.
    unsafe { cell.as_ref() }.stage.with_mut(|_| ());
    // Acquire: pairs with the release in `Header::cold`. SAFETY: the last reference is gone: this is the only access.
    let cold = unsafe { cell.as_ref() }.header.cold.load(std::sync::atomic::Ordering::Acquire);
    if !cold.is_null() {
        // SAFETY: came from a box in `Header::cold`; nobody reads the pointer after this.
        drop_quietly(unsafe { Box::from_raw(cold) });
    }
    // (R7) The values of a context are a user's, and the last reference may go anywhere, also in the middle of a worker's loop.
    // SAFETY: as above; dropped in place once, for a future is pinned.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { cell.drop_in_place() }));
    drop(dropped.map_err(PanicError::new));
}

#[cfg(all(test, not(loom), target_pointer_width = "64"))]
mod tests {
    use super::*;
    use crate::scheduler::Shared;

    #[test]
    fn a_small_task_takes_at_most_128_bytes() {
        assert_eq!(size_of::<Header>(), 104);
        assert!(size_of::<TaskCell<std::future::Pending<()>, Shared, ()>>() <= 128);
    }
}
