//! `to_thread`: a blocking function as a task.

use crate::pool::{self, Job, Refusal, Shift};
use runtime_core::{Context, ExceptionContext, Handle, OutsideWork, PanicError, Promise, Task, TaskRef};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tracing::Span;

/// Runs a blocking function on a thread of the current runtime's pool; the task ends with what it returns.
///
/// It is queued at the call. The function sees a copy of the caller's context; what it sets stays in that copy. The pool has threads for
/// as many functions as run at once, up to its limit ([`BlockingConfig::max_threads`](crate::BlockingConfig::max_threads)); further ones
/// wait their turn, first come, first served.
///
/// # Errors
///
/// Of the task: a panic of the function is its [`PanicError`]. So is the failure to create a thread
/// when there is none to do the work. When the runtime is closed before the function has begun, the task has ended cancelled, with a message that
/// says so.
///
/// # Panics
///
/// When this thread is not running a runtime; with a [`Handle`], [`run_in_executor`](RunInExecutor::run_in_executor) works everywhere.
///
/// # Cancellation
///
/// The task ends cancelled at once. A function that has not begun never runs; one that is running goes on to its end, can ask
/// [`thread_cancelled`], and its result or panic is dropped silently. The shutdown of the runtime waits for it.
/// Dropping the handle detaches.
///
/// # Examples
///
/// ```
/// use runtime_bridge::to_thread;
/// use runtime_core::testing;
///
/// testing::block_on(async {
///     let worker = std::thread::current().id();
///     let other = to_thread(|| std::thread::current().id());
///     assert_ne!(other.await.unwrap(), worker);
/// });
/// ```
#[track_caller]
pub fn to_thread<F, T>(function: F) -> Task<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let Some(handle) = Handle::try_current() else {
        panic!(
            "`to_thread` needs a runtime, and this thread is running none: call it inside of `runtime::run` or \
             `#[runtime::main]`, or use the method `run_in_executor` of a `Handle`"
        );
    };
    submit(handle, function)
}

/// asyncio's `loop.run_in_executor`, as a method of [`Handle`]: [`to_thread`] for a runtime of choice, from any thread.
///
/// Unlike asyncio's it carries the context of the caller along, as `to_thread` does.
///
/// # Examples
///
/// ```
/// use runtime_bridge::RunInExecutor;
/// use runtime_core::{Handle, testing};
///
/// testing::block_on(async {
///     let task = Handle::current().run_in_executor(|| 6 * 7);
///     assert_eq!(task.await.unwrap(), 42);
/// });
/// ```
pub trait RunInExecutor {
    /// Runs a blocking function on a thread of this runtime's pool; see [`to_thread`] for all else.
    ///
    /// On a runtime that is closed the function is dropped, and the task has ended cancelled, with a message that says so.
    fn run_in_executor<F, T>(&self, function: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;
}

impl RunInExecutor for Handle {
    #[track_caller]
    fn run_in_executor<F, T>(&self, function: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        submit(self.clone(), function)
    }
}

/// Inside of a function given to [`to_thread`]: whether its task was cancelled, so that nobody waits for the result.
///
/// False everywhere else.
///
/// # Examples
///
/// ```
/// use runtime_bridge::{thread_cancelled, to_thread};
/// use runtime_core::testing;
///
/// assert!(!thread_cancelled());
/// testing::block_on(async {
///     let task = to_thread(|| {
///         while !thread_cancelled() {
///             std::thread::yield_now();
///         }
///     });
///     task.cancel();
///     assert!(task.await.unwrap_err().is_cancelled());
///     // The shutdown waits for the thread, which ends because it asks.
/// });
/// ```
pub fn thread_cancelled() -> bool {
    RUNNING
        .try_with(|running| running.borrow().as_ref().is_some_and(|running| running.task.cancelled()))
        .unwrap_or(false)
}

thread_local! {
    /// The function that this thread runs.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// A function that runs on this thread.
struct Running {
    /// Its task.
    task: TaskRef,
    /// Its runtime, whose virtual clock stands still for it.
    handle: Handle,
}

/// Puts this thread's function in or, with `None`, out.
fn set_running(function: Option<Running>) {
    // A thread that is being torn down runs no function.
    let before = RUNNING.try_with(|running| running.replace(function));
    drop(before);
}

/// The runtime whose clock stands still for the function that this thread runs, if `task` is one of the same runtime: it may need that clock
/// to end.
pub(crate) fn clock_held_from(task: &TaskRef) -> Option<Handle> {
    let held = RUNNING.try_with(|running| {
        let running = running.borrow();
        running.as_ref().filter(|running| running.handle.owns(task)).map(|running| running.handle.clone())
    });
    held.ok().flatten()
}

#[track_caller]
fn submit<F, T>(handle: Handle, function: F) -> Task<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (promise, task) = handle.create_thread_promise();
    let outside = handle.outside_work();
    let pool = pool::of(&handle);
    let about = About { span: span::<F>(&task), handle, outside };
    pool.submit(Box::new(Call { function, promise, context: Context::current(), about }));
    task
}

/// The span of a function, as those of tasks: with the names and fields that tokio-console reads.
fn span<F>(task: &TaskRef) -> Span {
    let place = task.location();
    tracing::trace_span!(
        target: "runtime::task",
        parent: None,
        "runtime.spawn",
        kind = "blocking",
        task.id = u64::from(task.id()),
        size.bytes = size_of::<F>(),
        loc.file = place.file(),
        loc.line = place.line(),
        loc.col = place.column(),
    )
}

/// A function on its way to a thread.
struct Call<F, T> {
    function: F,
    /// The writing side of the task.
    promise: Promise<T>,
    /// The copy of the caller's context.
    context: Context,
    about: About,
}

/// What outlives the function.
struct About {
    /// Entered while the function runs.
    span: Span,
    /// Where panics are reported that belong to nobody.
    handle: Handle,
    /// Keeps a virtual clock still until the result is where it belongs.
    outside: OutsideWork,
}

impl<F, T> Job for Call<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn run(self: Box<Self>, shift: &Shift<'_>) {
        let Call { function, promise, context, about } = *self;
        let handle = about.handle.clone();
        about.contain("what a function given to `to_thread` left behind panicked in its destructor", || {
            run(function, promise, context, handle, shift);
        });
    }

    fn refuse(self: Box<Self>, why: &Refusal<'_>) {
        let Call { function, promise, context, about } = *self;
        refuse(promise, why);
        about.contain("a function given to `to_thread` that did not run panicked in its destructor", || {
            drop((function, context));
        });
    }
}

impl About {
    /// Runs code of a user that has nobody to panic for; then the outside work is over.
    fn contain(self, message: &str, code: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.span.in_scope(code))) {
            let report = ExceptionContext::new(message).with_error(PanicError::new(payload));
            self.handle.call_exception_handler(&report);
        }
        drop(self.outside);
    }
}

fn run<F, T>(function: F, promise: Promise<T>, mut context: Context, handle: Handle, shift: &Shift<'_>)
where
    F: FnOnce() -> T,
{
    if promise.is_cancelled() {
        // TH-06: it never runs.
        return;
    }
    set_running(Some(Running { task: promise.task_ref(), handle }));
    let ended = catch_unwind(AssertUnwindSafe(|| context.run(function)));
    set_running(None);
    drop(context);
    if !promise.is_detached() && !promise.is_cancelled() {
        shift.end();
    }
    // TH-05: what comes back from a promise that was cancelled is dropped here.
    match ended {
        Ok(value) => drop(promise.set_result(value)),
        Err(payload) => drop(promise.set_panic(PanicError::new(payload))),
    }
}

/// Ends a task whose function will not run.
fn refuse<T>(promise: Promise<T>, why: &Refusal<'_>) {
    match why {
        Refusal::Closed => {
            promise.task_ref().cancel_with("the runtime was closed before this function ran");
        }
        Refusal::NoThread(error) => {
            let message = format!("no thread could be created to run this function, and there is none: {error}");
            drop(promise.set_panic(PanicError::new(Box::new(message))));
        }
    }
}
