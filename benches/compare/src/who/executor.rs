//! smol's async-executor, both kinds, put together as the smol crate does it:
//! a process-wide executor, worker threads that run it under
//! `async_io::block_on`, async-io's timers and the `blocking` crate's threads.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use async_executor::{Executor, StaticExecutor, Task};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::rt::{Rt, Tasks};

/// One of the two executors, process-wide.
pub trait Kind: Sized + 'static {
    /// See [`Tasks::OWNS_TASKS`].
    const OWNS_TASKS: bool;
    /// Makes the executor usable.
    fn create();
    /// Drops it if it can be dropped.
    fn destroy();
    /// Its `spawn`.
    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;
    /// Its `run`.
    fn run<F: Future>(until: F) -> impl Future<Output = F::Output>;
}

/// `async_executor::Executor`.
pub struct Plain;

/// The executor of [`Plain`]; null outside of create and destroy.
static PLAIN: AtomicPtr<Executor<'static>> = AtomicPtr::new(std::ptr::null_mut());

impl Plain {
    fn get() -> &'static Executor<'static> {
        // SAFETY: non-null and alive from `create` to `destroy`, and `destroy` is
        // called when the worker threads have been joined.
        unsafe { &*PLAIN.load(Ordering::Acquire) }
    }
}

impl Kind for Plain {
    const OWNS_TASKS: bool = true;

    fn create() {
        PLAIN.store(Box::into_raw(Box::new(Executor::new())), Ordering::Release);
    }

    fn destroy() {
        let executor = PLAIN.swap(std::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: it came from `Box::into_raw`, and no thread uses it any more.
        drop(unsafe { Box::from_raw(executor) });
    }

    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Self::get().spawn(future)
    }

    fn run<F: Future>(until: F) -> impl Future<Output = F::Output> {
        Self::get().run(until)
    }
}

/// `async_executor::StaticExecutor`.
pub struct Static;

static STATIC: StaticExecutor = StaticExecutor::new();

impl Kind for Static {
    const OWNS_TASKS: bool = false;

    fn create() {}

    fn destroy() {}

    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        STATIC.spawn(future)
    }

    fn run<F: Future>(until: F) -> impl Future<Output = F::Output> {
        STATIC.run(until)
    }
}

/// Worker threads around one of the executors.
pub struct Smol<K> {
    /// The worker threads and what ends each of them.
    workers: Vec<(JoinHandle<()>, oneshot::Sender<()>)>,
    /// Which executor it is.
    kind: PhantomData<K>,
}

/// Started once per process; `start` insists.
static STARTED: OnceLock<()> = OnceLock::new();

impl<K: Kind> Tasks for Smol<K> {
    type Task<T: Send + 'static> = Task<T>;

    const OWNS_TASKS: bool = K::OWNS_TASKS;

    fn start(workers: usize) -> Self {
        STARTED.set(()).expect("one executor per process");
        K::create();
        let worker = |index| {
            let (stop, stopped) = oneshot::channel();
            let thread = std::thread::Builder::new().name(format!("smol-{index}"));
            let body = move || drop(async_io::block_on(K::run(stopped)));
            (thread.spawn(body).expect("threads can be started"), stop)
        };
        Self { workers: (0..workers).map(worker).collect(), kind: PhantomData }
    }

    fn drive<F>(&self, main: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Not async-io's: it would let this thread drive the timers.
        futures_lite::future::block_on(K::spawn(main))
    }

    fn shutdown(self) {
        let (threads, stops): (Vec<_>, Vec<_>) = self.workers.into_iter().unzip();
        stops.into_iter().for_each(|stop| stop.send(()).expect("the worker is alive"));
        threads.into_iter().for_each(|thread| thread.join().expect("a worker panicked"));
        K::destroy();
    }

    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        K::spawn(future)
    }

    fn detach<T: Send + 'static>(task: Task<T>) {
        task.detach();
    }

    fn join<T: Send + 'static>(task: Task<T>) -> impl Future<Output = T> + Send {
        task
    }

    async fn cancel_all<T: Send + 'static>(tasks: Vec<Task<T>>) -> usize {
        // `cancel` requests at its first poll, so all are polled once before any
        // is awaited. One after the other would be a round trip per task
        // (600 ns instead of 360).
        let cancels: Vec<_> = tasks.into_iter().map(Task::cancel).collect();
        let mut cancels = Pin::from(cancels.into_boxed_slice());
        let mut results: Vec<Option<Option<T>>> = cancels.iter().map(|_| None).collect();
        std::future::poll_fn(|cx| {
            for (index, result) in results.iter_mut().enumerate() {
                if let Poll::Ready(value) = element(cancels.as_mut(), index).poll(cx) {
                    *result = Some(value);
                }
            }
            Poll::Ready(())
        })
        .await;
        let mut cancelled = 0;
        for (index, result) in results.into_iter().enumerate() {
            let value = match result {
                Some(value) => value,
                None => element(cancels.as_mut(), index).await,
            };
            cancelled += usize::from(value.is_none());
        }
        cancelled
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        futures_lite::future::yield_now()
    }

    async fn gather<F>(futures: Vec<F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        join_all(futures.into_iter().map(K::spawn)).await.into_iter().sum()
    }

    async fn group<F>(futures: Vec<F>) -> usize
    where
        F: Future<Output = u64> + Send + 'static,
    {
        // It has no group; what people write is a vector of tasks.
        let tasks: Vec<_> = futures.into_iter().map(K::spawn).collect();
        let mut ended = 0;
        for task in tasks {
            task.await;
            ended += 1;
        }
        ended
    }
}

/// A pinned element of a pinned slice.
fn element<F>(slice: Pin<&mut [F]>, index: usize) -> Pin<&mut F> {
    // SAFETY: the elements of a pinned slice are pinned with it.
    unsafe { slice.map_unchecked_mut(|slice| &mut slice[index]) }
}

impl<K: Kind> Rt for Smol<K> {
    type Handle = ();
    type Elapsed = ();

    fn handle() {}

    fn spawn_on<F>(_: &(), future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        K::spawn(future)
    }

    fn submit_and_block<F>(_: &(), future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        futures_lite::future::block_on(K::spawn(future))
    }

    fn sleep(span: Duration) -> impl Future<Output: Send> + Send + 'static {
        async_io::Timer::after(span)
    }

    fn timeout<F>(span: Duration, future: F) -> impl Future<Output = Result<F::Output, ()>> + Send
    where
        F: Future<Output: Send> + Send,
    {
        // The form that smol's own documentation and examples use.
        futures_lite::future::or(async { Ok(future.await) }, async move {
            async_io::Timer::after(span).await;
            Err(())
        })
    }

    fn guarded_sleep(span: Duration) -> impl Future<Output: Send> + Send {
        Self::timeout(span, std::future::pending::<()>())
    }

    fn to_thread<T, F>(job: F) -> impl Future<Output = T> + Send + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        blocking::unblock(job)
    }
}
