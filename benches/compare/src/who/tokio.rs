//! Tokio's multi-thread runtime.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinHandle, JoinSet};

use crate::rt::{Rt, Tasks};

/// A running Tokio runtime.
pub struct Tokio(Runtime);

impl Tasks for Tokio {
    type Task<T: Send + 'static> = JoinHandle<T>;

    fn start(workers: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(workers).enable_time().build();
        Self(runtime.expect("threads can be started"))
    }

    fn drive<F>(&self, main: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Spawned: `block_on` alone would run it on no worker.
        self.0.block_on(async { tokio::spawn(main).await.expect("the workload panicked") })
    }

    fn shutdown(self) {
        drop(self.0);
    }

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(future)
    }

    fn detach<T: Send + 'static>(task: JoinHandle<T>) {
        drop(task);
    }

    async fn join<T: Send + 'static>(task: JoinHandle<T>) -> T {
        task.await.expect("a task panicked")
    }

    async fn cancel_all<T: Send + 'static>(tasks: Vec<JoinHandle<T>>) -> usize {
        tasks.iter().for_each(JoinHandle::abort);
        let mut cancelled = 0;
        for task in tasks {
            cancelled += usize::from(task.await.is_err_and(|error| error.is_cancelled()));
        }
        cancelled
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    async fn gather<F>(futures: Vec<F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let tasks = join_all(futures.into_iter().map(tokio::spawn)).await;
        tasks.into_iter().map(|result| result.expect("a task panicked")).sum()
    }

    async fn group<F>(futures: Vec<F>) -> usize
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let mut set: JoinSet<u64> = futures.into_iter().collect();
        let mut ended = 0;
        while let Some(result) = set.join_next().await {
            result.expect("a task panicked");
            ended += 1;
        }
        ended
    }
}

impl Rt for Tokio {
    type Handle = Handle;
    type Elapsed = tokio::time::error::Elapsed;

    fn handle() -> Handle {
        Handle::current()
    }

    fn spawn_on<F>(handle: &Handle, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        handle.spawn(future)
    }

    fn submit_and_block<F>(handle: &Handle, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        handle.block_on(handle.spawn(future)).expect("a task panicked")
    }

    fn sleep(span: Duration) -> impl Future<Output: Send> + Send + 'static {
        tokio::time::sleep(span)
    }

    fn timeout<F>(span: Duration, future: F) -> impl Future<Output = Result<F::Output, Self::Elapsed>> + Send
    where
        F: Future<Output: Send> + Send,
    {
        tokio::time::timeout(span, future)
    }

    fn guarded_sleep(span: Duration) -> impl Future<Output: Send> + Send {
        tokio::time::timeout(span, std::future::pending::<()>())
    }

    fn to_thread<T, F>(job: F) -> impl Future<Output = T> + Send + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let task = tokio::task::spawn_blocking(job);
        async move { task.await.expect("a job panicked") }
    }
}
