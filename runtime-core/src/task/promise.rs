//! `Promise<T>`: asyncio's `Future`, the writing side of a task without a body.

use super::cell::{self, NewTask};
use super::error::{CancelledError, PanicError, TaskError};
use super::handle::Task;
use super::state::State;
use super::task_ref::TaskRef;
use super::{Kind, Notified, Schedule, harness};
use crate::scheduler::worker;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The writing side of a [`Task`] that is filled by hand: by another thread, a callback, another library.
///
/// Setting consumes the promise. If it is dropped without that, its task ends cancelled with a message that says so.
/// Usable without a runtime, from any thread.
///
/// # Cancellation
///
/// `cancel` on the task ends it at once; the promise finds that out by [`is_cancelled`](Self::is_cancelled), or when setting gives
/// the value back.
///
/// # Examples
///
/// ```
/// use runtime_core::{Promise, testing};
///
/// testing::block_on(async {
///     let (promise, task) = Promise::new();
///     std::thread::spawn(move || promise.set_result("from a thread"));
///     assert_eq!(task.await.unwrap(), "from a thread");
/// });
/// ```
///
/// # Example: a cancelled one, and a failure
///
/// ```
/// use runtime_core::{PanicError, Promise};
///
/// let (promise, task) = Promise::<u32>::new();
/// assert_eq!(promise.task_ref().id(), task.id());
/// task.cancel();
/// assert!(promise.is_cancelled());
/// assert_eq!(promise.set_result(1), Err(1), "given back");
///
/// let (promise, task) = Promise::<u32>::new();
/// assert!(promise.set_panic(PanicError::new(Box::new("broken"))).is_ok());
/// assert!(task.exception().unwrap().unwrap().is_panicked());
/// ```
#[must_use = "a promise that is dropped cancels its task"]
pub struct Promise<T> {
    /// The runtime's reference of the cell: the writing side's.
    task: ManuallyDrop<TaskRef>,
    value: PhantomData<fn(T)>,
}

// SAFETY: the promise takes the `T` in, on whatever thread it is; the rest is shared by design.
unsafe impl<T: Send> Send for Promise<T> {}
// SAFETY: `&Promise<T>` gives no access to a `T`.
unsafe impl<T: Send> Sync for Promise<T> {}
impl<T> Unpin for Promise<T> {}
impl<T> std::panic::UnwindSafe for Promise<T> {}
impl<T> std::panic::RefUnwindSafe for Promise<T> {}

/// Stands in for the future of a cell that has none.
struct Unfilled<T>(PhantomData<fn() -> T>);

impl<T> Future for Unfilled<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<T> {
        unreachable!("a promise is never queued")
    }
}

/// The scheduler of a cell that is never scheduled.
struct Unscheduled;

impl Schedule for Unscheduled {
    unsafe fn schedule(_this: *const Self, _task: Notified) {
        // A waker of a promise's cell does not exist: nothing can owe this push.
        unreachable!("a promise is never queued")
    }

    fn release(&self, _task: TaskRef) {}

    fn unretrieved(&self, _task: &TaskRef, _error: TaskError) {}

    fn run_callbacks(&self, _task: &TaskRef) {}

    fn is_closing(&self, _kind: Kind) -> bool {
        false
    }

    fn now(&self) -> u64 {
        0
    }
}

impl<T> Promise<T> {
    /// A promise and the task that waits for it.
    #[track_caller]
    pub fn new() -> (Self, Task<T>) {
        let runtime = worker::with_current(|worker| worker.map_or(0, |worker| worker.shared().id));
        Self::on_runtime(runtime, Kind::Promise, Location::caller())
    }

    /// As `new`, for the runtime with this number.
    pub(crate) fn on_runtime(runtime: u32, kind: Kind, location: &'static Location<'static>) -> (Self, Task<T>) {
        let id = worker::with_current(|worker| worker.map_or_else(worker::foreign_id, |worker| worker.next_id()));
        let raw = cell::allocate_empty::<Unfilled<T>, Unscheduled>(NewTask {
            state: State::new_promise(),
            kind,
            id,
            runtime,
            shard: 0,
            context: None,
            location,
            waiter: 0,
        });
        // SAFETY: of the two references counted at allocation, one is the promise's and one the handle's.
        unsafe {
            let promise = Self { task: ManuallyDrop::new(TaskRef::from_raw(raw)), value: PhantomData };
            (promise, Task::from_raw(raw))
        }
    }

    /// Ends the task with a value.
    ///
    /// # Errors
    ///
    /// Gives the value back when the task had been cancelled.
    pub fn set_result(self, value: T) -> Result<(), T> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so the reference moves out once.
        let task = unsafe { std::ptr::read(&this.task) };
        let task = ManuallyDrop::into_inner(task);
        if !task.header().state.try_claim() {
            return Err(value);
        }
        // SAFETY: the claim is the right to the stage (R2), and the types are those of `on_runtime`.
        unsafe { cell::set_value_of::<Unfilled<T>, Unscheduled>(task.as_raw(), value) };
        harness::complete_promise(&task, true);
        Ok(())
    }

    /// Ends the task as if its body had panicked with this.
    ///
    /// # Errors
    ///
    /// Gives the failure back when the task had been cancelled.
    pub fn set_panic(self, panic: PanicError) -> Result<(), PanicError> {
        self.fail(TaskError::Panicked(panic)).map_err(|error| match error {
            TaskError::Panicked(panic) => panic,
            TaskError::Cancelled(_) => unreachable!("given back as it was"),
        })
    }

    /// Whether the task was cancelled, so that nobody wants the value any more.
    pub fn is_cancelled(&self) -> bool {
        self.task.cancelled()
    }

    /// Whether the task's handle was dropped, so that the value will be dropped as soon as it is set.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::Promise;
    ///
    /// let (promise, task) = Promise::<u8>::new();
    /// assert!(!promise.is_detached());
    /// drop(task);
    /// assert!(promise.is_detached());
    /// ```
    pub fn is_detached(&self) -> bool {
        !self.task.header().state.load().has(super::state::JOIN_INTEREST)
    }

    /// The task, untyped.
    pub fn task_ref(&self) -> TaskRef {
        TaskRef::clone(&self.task)
    }

    fn fail(self, error: TaskError) -> Result<(), TaskError> {
        if !self.task.header().state.try_claim() {
            return Err(error);
        }
        // SAFETY: the claim is the right to the stage (R2), which is empty.
        unsafe { cell::set_error_of(self.task.as_raw(), error) };
        harness::complete_promise(&self.task, false);
        Ok(())
    }
}

impl<T, E> Promise<Result<T, E>> {
    /// Ends the task with an error: `set_result(Err(error))` under asyncio's name.
    ///
    /// # Errors
    ///
    /// Gives the error back when the task had been cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::Promise;
    ///
    /// let (promise, mut task) = Promise::<Result<u8, &str>>::new();
    /// promise.set_exception("no").unwrap();
    /// assert_eq!(task.result().unwrap().unwrap(), Err("no"));
    /// ```
    pub fn set_exception(self, error: E) -> Result<(), E> {
        self.set_result(Err(error)).map_err(|value| match value {
            Err(error) => error,
            Ok(_) => unreachable!("given back as it was"),
        })
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if !self.task.done() && self.task.header().state.try_claim() {
            let error = CancelledError::new("the promise was dropped without a result");
            // SAFETY: the claim is the right to the stage (R2), which is empty.
            unsafe { cell::set_error_of(self.task.as_raw(), TaskError::Cancelled(error)) };
            harness::complete_promise(&self.task, false);
        }
        // SAFETY: not used again.
        unsafe { ManuallyDrop::drop(&mut self.task) };
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Promise").field(&*self.task).finish()
    }
}
