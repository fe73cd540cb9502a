//! This project's runtime. Behind the feature `ours`.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use runtime::{
    BlockingResult, Handle, Runner, Task, TaskError, TaskGroup, TimeoutError, catch_cancelled, create_task,
    run_coroutine_threadsafe,
};

use crate::rt::{Rt, Tasks};

/// A runner of ours.
pub struct Ours(Runner);

impl Tasks for Ours {
    type Task<T: Send + 'static> = Task<T>;

    fn start(workers: usize) -> Self {
        Self(Runner::builder().workers(workers).build().expect("threads can be started"))
    }

    fn drive<F>(&self, main: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // A task of its own, as for the others; ends the tasks that it leaves behind.
        let ended = self.0.run(async { create_task(main).await.expect("the workload panicked") });
        ended.expect("nobody cancels the main future")
    }

    fn shutdown(self) {
        self.0.close();
    }

    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        create_task(future)
    }

    fn detach<T: Send + 'static>(task: Task<T>) {
        drop(task);
    }

    async fn join<T: Send + 'static>(task: Task<T>) -> T {
        task.await.expect("a task panicked")
    }

    async fn cancel_all<T: Send + 'static>(tasks: Vec<Task<T>>) -> usize {
        tasks.iter().for_each(|task| assert!(task.cancel(), "the task is pending"));
        let mut cancelled = 0;
        for task in tasks {
            cancelled += usize::from(matches!(task.await, Err(TaskError::Cancelled(_))));
        }
        cancelled
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        runtime::yield_now()
    }

    async fn gather<F>(futures: Vec<F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        runtime::gather(futures).await.into_iter().sum()
    }

    async fn group<F>(futures: Vec<F>) -> usize
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let count = futures.len();
        let ended = TaskGroup::scope(async move |group| {
            for future in futures {
                group.create_task(async move { Ok::<_, Infallible>(future.await) });
            }
            Ok(count)
        });
        ended.await.expect("no child fails")
    }
}

impl Rt for Ours {
    type Handle = Handle;
    type Elapsed = TimeoutError;

    fn handle() -> Handle {
        Handle::current()
    }

    fn spawn_on<F>(handle: &Handle, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        handle.create_task(future)
    }

    fn submit_and_block<F>(handle: &Handle, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = run_coroutine_threadsafe(future, handle);
        task.blocking_result().expect("a task panicked")
    }

    fn sleep(span: Duration) -> impl Future<Output: Send> + Send + 'static {
        runtime::sleep(span)
    }

    fn timeout<F>(span: Duration, future: F) -> impl Future<Output = Result<F::Output, TimeoutError>> + Send
    where
        F: Future<Output: Send> + Send,
    {
        runtime::timeout(span, future)
    }

    fn guarded_sleep(span: Duration) -> impl Future<Output: Send> + Send {
        catch_cancelled(runtime::sleep(span))
    }

    fn to_thread<T, F>(job: F) -> impl Future<Output = T> + Send + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let task = runtime::to_thread(job);
        async move { task.await.expect("a job panicked") }
    }
}
