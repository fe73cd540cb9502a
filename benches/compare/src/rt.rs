//! What a workload needs of a runtime, so that all run the same code.
//!
//! Every method is the runtime's own call with nothing around it that costs
//! anything after monomorphisation.

use std::future::Future;
use std::time::Duration;

/// Tasks: what the floor's single-threaded executor has too.
pub trait Tasks: Sized + 'static {
    /// Handle of a task; dropping it is not used, see [`Tasks::detach`].
    type Task<T: Send + 'static>: Send + 'static;

    /// Starts the runtime. Once per process.
    fn start(workers: usize) -> Self;

    /// Runs `main` as a task on a worker and blocks this thread on its end.
    fn drive<F>(&self, main: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Ends the runtime and every task that is still alive.
    fn shutdown(self);

    /// Whether a detached task lives on when nobody holds a waker of it, until the
    /// shutdown ends it. A `StaticExecutor` drops it after its poll.
    const OWNS_TASKS: bool = true;

    /// Spawns from inside the runtime.
    fn spawn<F>(future: F) -> Self::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Lets go of the handle; the task goes on.
    fn detach<T: Send + 'static>(task: Self::Task<T>);

    /// Awaits the task; a panic in it is a panic here.
    fn join<T: Send + 'static>(task: Self::Task<T>) -> impl Future<Output = T> + Send;

    /// Requests the cancellation of all, then awaits all: how many were cancelled.
    fn cancel_all<T: Send + 'static>(tasks: Vec<Self::Task<T>>) -> impl Future<Output = usize> + Send;

    /// Lets other ready tasks run first.
    fn yield_now() -> impl Future<Output = ()> + Send;

    /// Runs the futures concurrently as tasks and sums what they return.
    fn gather<F>(futures: Vec<F>) -> impl Future<Output = u64> + Send
    where
        F: Future<Output = u64> + Send + 'static;

    /// The same with the runtime's group of tasks, results thrown away.
    fn group<F>(futures: Vec<F>) -> impl Future<Output = usize> + Send
    where
        F: Future<Output = u64> + Send + 'static;
}

/// The rest: timers, threads inside and outside.
pub trait Rt: Tasks {
    /// Reaches the runtime from a foreign thread.
    type Handle: Clone + Send + Sync + 'static;
    /// What a timeout that expired yields.
    type Elapsed: Send + 'static;

    /// The handle of the runtime that runs the calling task.
    fn handle() -> Self::Handle;

    /// Spawns from a foreign thread.
    fn spawn_on<F>(handle: &Self::Handle, future: F) -> Self::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Spawns from a foreign thread and blocks it until the result is there.
    fn submit_and_block<F>(handle: &Self::Handle, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Ends `span` from now.
    fn sleep(span: Duration) -> impl Future<Output: Send> + Send + 'static;

    /// Ends with `future`, or with an error after `span`.
    fn timeout<F>(span: Duration, future: F) -> impl Future<Output = Result<F::Output, Self::Elapsed>> + Send
    where
        F: Future<Output: Send> + Send;

    /// A sleep with a place around it that can catch its end from outside.
    fn guarded_sleep(span: Duration) -> impl Future<Output: Send> + Send;

    /// Runs `job` on a blocking thread, from now on (not from the first poll on).
    fn to_thread<T, F>(job: F) -> impl Future<Output = T> + Send + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;
}
