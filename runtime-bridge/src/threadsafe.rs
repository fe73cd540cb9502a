//! `run_coroutine_threadsafe`: work for a runtime from any thread.

use runtime_core::{Handle, Task};
use std::future::Future;

/// Makes `future` a task of the runtime of `handle`, from any thread, and returns at once.
///
/// The task runs in a copy of the context of the submitting thread. Its handle can be awaited by other tasks, and waited for
/// by this thread with [`BlockingResult`](crate::BlockingResult). On a runtime that is closed the future is dropped, and the task has ended cancelled,
/// with a message that says so; the same happens when the runtime is closed before it came to the task.
///
/// # Cancellation
///
/// [`cancel`](runtime_core::TaskRef::cancel) on the handle, from any thread: before the task's first step it means that the future is
/// dropped unpolled. A blocking wait goes on until the task has really ended. Dropping the handle detaches the task.
///
/// # Examples
///
/// ```
/// use runtime_bridge::{BlockingResult, run_coroutine_threadsafe, to_thread};
/// use runtime_core::{Handle, testing};
///
/// testing::block_on(async {
///     let handle = Handle::current();
///     let thread = std::thread::spawn(move || {
///         let task = run_coroutine_threadsafe(async { "from inside" }, &handle);
///         task.blocking_result().unwrap()
///     });
///     let joined = to_thread(move || thread.join().unwrap());
///     assert_eq!(joined.await.unwrap(), "from inside");
/// });
/// ```
///
/// # Example: the runtime is closed
///
/// ```
/// use runtime_bridge::{BlockingResult, run_coroutine_threadsafe};
/// use runtime_core::{Handle, testing};
///
/// let handle = testing::block_on(async { Handle::current() });
/// let error = run_coroutine_threadsafe(async { 1 }, &handle).blocking_result().unwrap_err();
/// assert_eq!(error.to_string(), "cancelled: the runtime is closed");
/// ```
#[track_caller]
pub fn run_coroutine_threadsafe<F>(future: F, handle: &Handle) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    handle.create_task(future)
}
