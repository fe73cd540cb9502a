//! asyncio's vocabulary on a work-stealing engine, with structured concurrency.
//!
//! Tasks, gather, task groups, timeouts, shields, context variables, threads in and out, under the names that Python's asyncio gives them, for
//! ordinary futures, on all cores. Cancellation is a request that a task can catch, clean up after (and wait while it does), and pass on
//! or swallow: dropping a future is the unwinding, and [`catch_cancelled`] is the `except` clause.
//!
//! # A first program
//!
//! ```
//! use runtime::{TaskGroup, catch_cancelled, gather, sleep, timeout};
//! use std::time::Duration;
//!
//! async fn fetch(page: u32) -> u32 {
//!     sleep(Duration::from_millis(1)).await;
//!     page * 10
//! }
//!
//! #[runtime::main]
//! async fn main() {
//!     // Side by side, results in order.
//!     assert_eq!(gather((1..=3).map(fetch)).await, [10, 20, 30]);
//!
//!     // A failure cancels the others; nothing outlives the scope.
//!     let failed = TaskGroup::scope(async |group| {
//!         group.create_task(async { Err::<(), _>("no such page") });
//!         sleep(Duration::MAX).await;
//!         Ok(())
//!     });
//!     assert_eq!(failed.await.unwrap_err().into_errors().collect::<Vec<_>>(), ["no such page"]);
//!
//!     // A timeout cancels; what is cancelled may clean up first, and wait while it does.
//!     let slow = timeout(Duration::from_millis(5), async {
//!         if let Err(cancelled) = catch_cancelled(sleep(Duration::MAX)).await {
//!             sleep(Duration::from_millis(1)).await;
//!             cancelled.reraise().await
//!         }
//!     });
//!     assert!(slow.await.is_err());
//! }
//! ```
//!
//! # Where to begin
//!
//! **From asyncio.** The names are asyncio's: `create_task`, `gather`, `TaskGroup`, `timeout`, `shield`, `to_thread`. A `CancelledError` is caught with
//! [`catch_cancelled`] and raised again with [`reraise`](CancelledError::reraise); for `try`/`finally` there is [`finally`](fn@finally). What is new: tasks run on all
//! cores, so what they share is `Send` and behind a lock or a channel. Every function side by side: [`guide::from_asyncio`].
//!
//! ```
//! use runtime::{catch_cancelled, create_task, yield_now};
//!
//! # let runner = runtime::Runner::builder().workers(1).build()?;
//! # runner.run(async {
//! let task = create_task(async {
//!     let work = std::future::pending::<()>(); //  try: await work
//!     match catch_cancelled(work).await {
//!         Ok(()) => "done",
//!         Err(error) => error.reraise().await, //  except CancelledError: raise
//!     }
//! });
//! yield_now().await;
//! task.cancel();
//! assert!(task.await.unwrap_err().is_cancelled());
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! **From Tokio.** [`spawn`], [`timeout`](fn@timeout), `select!` and `tokio::sync` are what you know. Instead of `abort` there is [`cancel`](TaskRef::cancel), which a task may
//! catch to clean up with awaits; instead of `JoinSet`, [`TaskGroup`], which cannot be left before its children have ended; and the end of `main` waits for all tasks. What has
//! another name, and what behaves differently: [`guide::from_tokio`]. Libraries that need Tokio: [`guide::works_with`].
//!
//! ```
//! use runtime::{TaskGroup, sleep};
//! use std::time::Duration;
//!
//! # runtime::run(async {
//! let both = TaskGroup::scope(async |group| {
//!     let one = group.create_task(async { Ok::<_, &str>(1) });
//!     let two = group.create_task(async {
//!         sleep(Duration::from_millis(1)).await;
//!         Ok(2)
//!     });
//!     Ok(one.await.unwrap() + two.await.unwrap())
//! });
//! assert_eq!(both.await.unwrap(), 3);
//! # });
//! ```
//!
//! **From threads.** Keep your program, and give a runtime work to do: [`Runner`] holds one, [`run_coroutine_threadsafe`] hands a future in from any thread,
//! [`BlockingResult`] waits for it there; [`to_thread`] is the way out again, for what blocks; a [`Promise`] carries one result across. What an `async fn` is, and all from the
//! beginning: [`guide::tutorial`].
//!
//! ```
//! use runtime::{BlockingResult, Runner, run_coroutine_threadsafe, sleep};
//! use std::time::Duration;
//!
//! async fn fetch(page: u32) -> u32 {
//!     sleep(Duration::from_millis(1)).await; // a thousand of these need no thousand threads
//!     page * 10
//! }
//!
//! let runner = Runner::builder().workers(2).build()?;
//! let handle = runner.handle();
//! let tasks: Vec<_> = (0..1000).map(|page| run_coroutine_threadsafe(fetch(page), &handle)).collect();
//! let pages: Vec<u32> = tasks.into_iter().map(|task| task.blocking_result().unwrap()).collect();
//! assert_eq!(pages[999], 9990);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! **With something to do.** [`guide::cookbook`] has pieces of code for tasks that people have, [`guide::testing`] says how to test them without waiting,
//! [`guide::cancellation`] how to write clean-up, and [`guide::primitives`] which channels and locks to take.
//!
//! # The vocabulary
//!
//! | to | use |
//! |---|---|
//! | enter the runtime | [`#[main]`](macro@main), [`run`](fn@run), [`Runner`] |
//! | start work | [`create_task`], [`spawn`], [`TaskBuilder`], [`Handle::create_task`] |
//! | hold it: wait, cancel, name, ask | [`Task`], [`TaskRef`], [`TaskError`] |
//! | fill a result in by hand | [`Promise`] |
//! | wait for several | [`gather`](fn@gather), [`try_gather`], [`wait`](fn@wait), [`as_completed`](fn@as_completed), [`race`](fn@race), [`staggered_race`] |
//! | keep work inside of a scope | [`TaskGroup`], [`ExceptionGroup`] |
//! | clean up in any case | [`finally`](fn@finally) |
//! | bound it in time | [`timeout`](fn@timeout), [`timeout_at`], [`wait_for`], [`TimeoutScope`] |
//! | cancel, and be cancelled | [`Task::cancel`](TaskRef::cancel), [`catch_cancelled`], [`CancelledError::reraise`], [`finally`](fn@finally), [`shield`](fn@shield), [`CancelScope`] |
//! | pass time | [`sleep`], [`sleep_until`], [`yield_now`] |
//! | have a value follow a task | [`context_var!`], [`ContextVar`], [`Context`] |
//! | block a thread, not a worker | [`to_thread`], [`RunInExecutor`], [`thread_cancelled`] |
//! | come in from a thread | [`run_coroutine_threadsafe`], [`BlockingResult`], [`Handle`] |
//! | run callbacks | [`Handle::call_soon`], [`Handle::call_later`], [`TaskRef::add_done_callback`] |
//! | look around | [`current_task`], [`all_tasks`], [`Handle::metrics`], [`Handle::set_exception_handler`] |
//! | see where everything is | [`call_graph`], [`TaskRef::stack`], [`print_call_graph`], [`Handle::call_graph_with_stacks`] |
//! | test | [`#[test]`](macro@test), with virtual time and seeds; [`testing`] |
//! | write a combinator of one's own | [`intercept`], [`cancel_when`], [`RingProbe`]; the vocabulary itself uses no more |
//!
//! # What it does not do
//!
//! * No channels, locks, semaphores, streams: those of `futures`, `async-channel`, `async-lock` or `tokio::sync` work here; see [`guide::primitives`].
//! * No sockets and files of its own: files through [`to_thread`], sockets through crates that bring their own reactor (`async-net`, `async-io`); see
//!   [`guide::works_with`]. For `hyper` there is a feature.
//! * A task that never waits is not interrupted. It holds its own worker, and no other task while a worker is idle.
//! * A blocking function is not interrupted either; it can ask ([`thread_cancelled`]).

mod as_completed;
mod catch_panic;
mod child;
mod exception_group;
mod finally;
mod gather;
mod group;
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(feature = "hyper")]
pub mod hyper;
mod inspect;
mod interrupt;
mod race;
mod run;
mod shield;
mod task_set;
pub mod testing;
mod timeout;
mod wait;

pub use as_completed::{AsCompleted, AsCompletedWithin, as_completed};
pub use exception_group::{ExceptionGroup, Failure};
pub use finally::finally;
pub use gather::{Children, Gather, GatherOutcomes, IntoChildren, TryChildren, TryGather, gather, try_gather};
pub use group::{ChildOutput, GroupClosed, GroupTask, TaskGroup};
pub use race::{race, staggered_race};
pub use run::{Runner, RunnerBuilder, run};
pub use runtime_bridge::{BlockingConfig, configure};
pub use runtime_bridge::{BlockingResult, BlockingTimeout};
pub use runtime_bridge::{RunInExecutor, run_coroutine_threadsafe, thread_cancelled, to_thread};
pub use runtime_core::ExceptionContext;
pub use runtime_core::Promise;
pub use runtime_core::context_var;
pub use runtime_core::{Await, Awaits, CallGraph, StackFrame, TaskReport, TaskStack, TaskState, WorkerReport};
pub use runtime_core::{BlockingMetrics, Metrics, PollTimes, TimerMetrics, WorkerMetrics};
pub use runtime_core::{CallHandle, Handle, OutsidePause, OutsideWork, all_tasks, current_task};
pub use runtime_core::{CallbackId, Task, TaskBuilder, TaskId, TaskRef, Wait, create_task, spawn};
pub use runtime_core::{CancelScope, CancelWhen, Scoped, Trigger, cancel_when};
pub use runtime_core::{CancelledError, InvalidStateError, PanicError, TaskError};
pub use runtime_core::{CatchCancelled, Intercept, Intercepted, RingProbe, catch_cancelled, intercept};
pub use runtime_core::{Config, Engine, Extension};
pub use runtime_core::{Context, ContextVar, Token};
pub use runtime_core::{Sleep, YieldNow, sleep, sleep_until, yield_now};
pub use runtime_core::{awaiting_tasks, awaiting_via, not_awaiting};
pub use runtime_core::{call_graph, capture_call_graph, format_call_graph, print_call_graph};
pub use shield::{Shield, shield};
pub use task_set::TaskLike;
pub use timeout::{Timeout, TimeoutError, TimeoutScope, TimeoutStateError, timeout, timeout_at, wait_for};
pub use wait::{ReturnWhen, WaitMany, wait};

/// Runs an `async fn`, usually `main`, on a runtime of its own, as [`run`](fn@run) does.
///
/// # Examples
///
/// ```
/// use runtime::sleep;
/// use std::time::Duration;
///
/// #[runtime::main]
/// async fn main() {
///     println!("hello");
///     sleep(Duration::from_millis(1)).await;
///     println!("world");
/// }
/// ```
///
/// # Example: options, and a result
///
/// ```
/// #[runtime::main(workers = 2, shutdown_grace = "2s")]
/// async fn main() -> Result<(), std::num::ParseIntError> {
///     let seven: u8 = "7".parse()?;
///     assert_eq!(seven, 7);
///     Ok(())
/// }
/// ```
#[doc(inline)]
pub use runtime_macros::main;

/// Makes an `async fn` a test that runs on a runtime of its own, with one worker.
///
/// # Examples
///
/// ```
/// use runtime::{Handle, sleep};
/// use std::time::Duration;
///
/// #[runtime::test(virtual_time)]
/// async fn an_hour_passes_at_once() {
///     let start = Handle::current().time();
///     sleep(Duration::from_secs(3600)).await;
///     assert_eq!(Handle::current().time() - start, Duration::from_secs(3600));
/// }
/// # fn main() {}
/// ```
///
/// # Example: many orders of the same tasks
///
/// ```
/// use runtime::{create_task, yield_now};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// #[runtime::test(seeds = 100)]
/// async fn both_are_counted_in_every_order() {
///     let count = Arc::new(AtomicU32::new(0));
///     let tasks = [1, 2].map(|by| {
///         let count = count.clone();
///         create_task(async move {
///             yield_now().await;
///             count.fetch_add(by, Relaxed);
///         })
///     });
///     for task in tasks {
///         task.await.unwrap();
///     }
///     assert_eq!(count.load(Relaxed), 3);
/// }
/// # fn main() {}
/// ```
#[doc(inline)]
pub use runtime_macros::test;

/// What the expansions of the attributes call. Not for direct use.
#[doc(hidden)]
pub mod __private {
    use crate::RunnerBuilder;
    use crate::run::run_to_the_end;

    /// The body of a function with `#[main]`.
    #[track_caller]
    pub fn main<F: Future>(builder: RunnerBuilder, future: F) -> F::Output {
        run_to_the_end(builder, true, future, "the main task")
    }

    /// The body of a function with `#[test]`.
    #[track_caller]
    pub fn test<F: Future>(builder: RunnerBuilder, future: F) -> F::Output {
        run_to_the_end(builder, false, future, "the test")
    }
}
