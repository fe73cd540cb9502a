//! `Handle`: a runtime from outside and from inside; asyncio's loop methods.

use crate::context::Context as VarContext;
use crate::observe::Metrics;
use crate::report::{self, ExceptionContext};
use crate::scheduler::worker::{self};
use crate::scheduler::{Life, Shared};
use crate::task::builder::{TaskBuilder, create_plainly_on};
use crate::task::error::PanicError;
use crate::task::{Kind, Promise, Task, TaskRef};
use crate::time::sleep_until;
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A handle to a runtime: creates tasks and calls on it, from any thread. Cheap to clone.
///
/// It does not keep the runtime running. On one that is closed, new tasks end cancelled at once and callbacks do not run. That is so from the beginning
/// of the shutdown on for tasks from threads that are no part of the runtime: others cannot hold up its end.
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, testing};
///
/// testing::block_on(async {
///     let handle = Handle::current();
///     let task = handle.create_task(async { 1 });
///     assert_eq!(task.await.unwrap(), 1);
/// });
/// ```
///
/// # Example: what it knows
///
/// ```
/// use runtime_core::{Handle, all_tasks, testing};
///
/// assert!(Handle::try_current().is_none());
/// let handle = testing::block_on(async {
///     let handle = Handle::current();
///     assert!(handle.is_current() && !handle.is_closed() && !handle.debug());
///     assert!(handle.workers() >= 1);
///     assert!(handle.is_same(&Handle::try_current().unwrap()));
///     assert_eq!(handle.id(), Handle::current().id());
///     assert_eq!(handle.all_tasks().len(), all_tasks().len());
///     let (promise, task) = handle.create_promise();
///     promise.set_result(1).unwrap();
///     assert_eq!(task.await.unwrap(), 1);
///     handle
/// });
/// assert!(handle.is_closed() && !handle.is_current());
/// ```
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// The runtime that this thread is running.
    ///
    /// # Panics
    ///
    /// When there is none; [`try_current`](Self::try_current) asks.
    #[doc(alias = "get_running_loop")]
    #[track_caller]
    pub fn current() -> Self {
        worker::with_current_or_panic("Handle::current", |worker| Self(Arc::clone(worker.shared())))
    }

    /// The runtime that this thread is running, if it is running one.
    pub fn try_current() -> Option<Self> {
        worker::with_current(|worker| worker.map(|worker| Self(Arc::clone(worker.shared()))))
    }

    /// Makes `future` a task of this runtime, from any thread; see [`create_task`](crate::create_task).
    ///
    /// On a closed runtime, and from a thread that is no part of it during its shutdown, the future is dropped and the task has ended cancelled, with a message
    /// that says so.
    ///
    /// # Cancellation
    ///
    /// As [`create_task`](crate::create_task); from any thread.
    #[track_caller]
    #[inline]
    pub fn create_task<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        create_plainly_on(&self.0, future).into_task()
    }

    /// As [`create_task`](Self::create_task), with what the builder says.
    #[track_caller]
    pub fn create_task_with<F>(&self, builder: TaskBuilder, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        builder.create_on(&self.0, future, Location::caller())
    }

    /// A [`Promise`] of this runtime: its done callbacks are queued here.
    #[doc(alias = "create_future")]
    #[track_caller]
    pub fn create_promise<T>(&self) -> (Promise<T>, Task<T>) {
        Promise::on_runtime(self.0.id, Kind::Promise, Location::caller())
    }

    /// As [`create_promise`](Self::create_promise), for what a thread will fill: pictures of the runtime say so.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, testing};
    ///
    /// testing::block_on(async {
    ///     let (promise, task) = Handle::current().create_thread_promise();
    ///     std::thread::spawn(move || promise.set_result(1).unwrap());
    ///     assert_eq!(task.await.unwrap(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn create_thread_promise<T>(&self) -> (Promise<T>, Task<T>) {
        Promise::on_runtime(self.0.id, Kind::Thread, Location::caller())
    }

    /// All tasks of this runtime that have not ended. Complete for tasks created before the call; of those created or ended
    /// while it runs, some are in it and some are not.
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.0.all_tasks()
    }

    /// Runs `callback` soon, as queued work of the runtime, in the current context. A panic goes to the exception handler.
    ///
    /// # Cancellation
    ///
    /// [`CallHandle::cancel`], unless it has begun to run. Dropping the handle does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, Promise, testing};
    ///
    /// testing::block_on(async {
    ///     let (promise, task) = Promise::new();
    ///     Handle::current().call_soon(move || promise.set_result(1).unwrap());
    ///     assert_eq!(task.await.unwrap(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + Send + 'static) -> CallHandle {
        let call = CallHandle::new(callback, None);
        let (shared, queued) = (Arc::clone(&self.0), Queued(call.clone()));
        report::queue(&self.0, async move { queued.0.run(&shared) }, Location::caller());
        call
    }

    /// [`call_soon`](Self::call_soon): here every thread may call it.
    #[track_caller]
    pub fn call_soon_threadsafe(&self, callback: impl FnOnce() + Send + 'static) -> CallHandle {
        self.call_soon(callback)
    }

    /// Runs `callback` after `delay`; see [`call_soon`](Self::call_soon).
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, Promise, testing};
    /// use std::time::Duration;
    ///
    /// testing::block_on(async {
    ///     let (promise, task) = Promise::new();
    ///     let (handle, start) = (Handle::current(), Handle::current().time());
    ///     handle.call_later(Duration::from_millis(1), move || promise.set_result("later").unwrap());
    ///     assert_eq!(task.await.unwrap(), "later");
    ///     assert!(handle.time() - start >= Duration::from_millis(1));
    /// });
    /// ```
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + Send + 'static) -> CallHandle {
        let when = self.0.clock.deadline(delay);
        self.call_at_nanos(when, callback, Location::caller())
    }

    /// Runs `callback` at a moment of [`time`](Self::time); see [`call_soon`](Self::call_soon).
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, Promise, testing};
    /// use std::time::Duration;
    ///
    /// testing::block_on(async {
    ///     let (promise, task) = Promise::new();
    ///     let when = Handle::current().time() + Duration::from_millis(1);
    ///     let call = Handle::current().call_at(when, move || promise.set_result("then").unwrap());
    ///     assert_eq!(call.when(), Some(when));
    ///     assert_eq!(task.await.unwrap(), "then");
    /// });
    /// ```
    #[track_caller]
    pub fn call_at(&self, when: Instant, callback: impl FnOnce() + Send + 'static) -> CallHandle {
        let when = self.0.clock.nanos_of(when);
        self.call_at_nanos(when, callback, Location::caller())
    }

    fn call_at_nanos(
        &self,
        when: u64,
        callback: impl FnOnce() + Send + 'static,
        location: &'static Location<'static>,
    ) -> CallHandle {
        let when = self.0.clock.instant(when);
        let call = CallHandle::new(callback, Some(when));
        let (shared, queued) = (Arc::clone(&self.0), Queued(call.clone()));
        let wait = async move {
            if queued.0.wait_until(when).await {
                queued.0.run(&shared);
            }
        };
        report::queue(&self.0, wait, location);
        call
    }

    /// The runtime's time: [`Instant::now`], or what a virtual clock shows.
    pub fn time(&self) -> Instant {
        self.0.clock.instant(self.0.clock.now())
    }

    /// Ends [`Engine::run_forever`](crate::Engine::run_forever); if nothing is in it, the next one returns at once.
    pub fn stop(&self) {
        self.0.extensions.stop();
    }

    /// Whether the runtime has been closed.
    pub fn is_closed(&self) -> bool {
        self.0.life() == Life::Closed
    }

    /// Whether both are handles to the same runtime.
    pub fn is_same(&self, other: &Handle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the current thread is one of this runtime's workers.
    pub fn is_current(&self) -> bool {
        crate::scheduler::with_worker_of(&self.0, |worker| worker.is_some())
    }

    /// Whether the runtime was built in debug mode.
    pub fn debug(&self) -> bool {
        self.0.config.debug
    }

    /// How many workers the runtime has.
    pub fn workers(&self) -> usize {
        self.0.workers()
    }

    /// What the runtime has done so far and what it is at, as numbers. Takes about a microsecond per worker, and holds nobody up.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, sleep, testing};
    /// use std::time::Duration;
    ///
    /// testing::block_on(async {
    ///     sleep(Duration::from_millis(1)).await;
    ///     let timers = Handle::current().metrics().timers;
    ///     assert_eq!((timers.armed, timers.fired, timers.pending()), (1, 1, 0));
    /// });
    /// ```
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.0)
    }

    /// Replaces what is told of failures that nobody waits for; `None` goes back to the log.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, create_task, testing, yield_now};
    /// use std::sync::mpsc;
    ///
    /// testing::block_on(async {
    ///     let (tx, rx) = mpsc::channel();
    ///     Handle::current().set_exception_handler(Some(move |report: &runtime_core::ExceptionContext| {
    ///         tx.send(report.error.clone().unwrap().to_string()).unwrap();
    ///     }));
    ///     drop(create_task(async { panic!("lost") }));
    ///     yield_now().await;
    ///     assert_eq!(rx.try_recv().unwrap(), "panicked: lost");
    /// });
    /// ```
    pub fn set_exception_handler<H>(&self, handler: Option<H>)
    where
        H: Fn(&ExceptionContext) + Send + Sync + 'static,
    {
        self.0.reporter.set_handler(handler.map(|handler| Arc::new(handler) as _));
    }

    /// Tells the exception handler.
    pub fn call_exception_handler(&self, context: &ExceptionContext) {
        self.0.reporter.report(context);
    }

    /// The number of the runtime; unique in the process.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// Says that work outside of the runtime will come back to it, until the guard goes: a virtual clock stands still meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Config, Engine, Handle, Promise};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new(Config { workers: 1, virtual_time: true, ..Config::default() }).unwrap();
    /// let stood_still = engine.run(async {
    ///     let start = Handle::current().time();
    ///     let (promise, task) = Promise::new();
    ///     let guard = Handle::current().outside_work();
    ///     let thread = std::thread::spawn(move || {
    ///         promise.set_result(()).unwrap();
    ///         drop(guard);
    ///     });
    ///     task.await.unwrap();
    ///     thread.join().unwrap();
    ///     Handle::current().time() == start
    /// });
    /// assert!(stood_still.unwrap());
    /// ```
    pub fn outside_work(&self) -> OutsideWork {
        self.0.outside_begins();
        OutsideWork(Arc::clone(&self.0))
    }

    /// For a thread that holds a guard of [`outside_work`](Self::outside_work) and waits for something of the runtime: one guard does
    /// not count until what this gives is dropped, so that a virtual clock can move to where the wait ends.
    ///
    /// Drop it in the step that ends the wait, on whatever thread that is: else the clock may have moved on before the waiter is awake.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Config, Engine, sleep};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new(Config { workers: 1, virtual_time: true, ..Config::default() }).unwrap();
    /// let handle = engine.handle();
    /// let outside = handle.outside_work();
    /// let waits = handle.pause_outside_work();
    /// engine.run(sleep(Duration::from_secs(3600))).unwrap();
    /// drop(waits);
    /// drop(outside);
    /// engine.close();
    /// ```
    pub fn pause_outside_work(&self) -> OutsidePause {
        self.0.outside_ends();
        OutsidePause(Arc::clone(&self.0))
    }

    /// Whether a task is one of this runtime: run by it, or a promise that was made on it.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, create_task, testing};
    ///
    /// testing::block_on(async {
    ///     let task = create_task(async {});
    ///     assert!(Handle::current().owns(&task));
    ///     task.await.unwrap();
    /// });
    /// ```
    pub fn owns(&self, task: &TaskRef) -> bool {
        task.header().runtime == self.0.id
    }

    /// What another crate attaches to the runtime, made at the first call for that type.
    pub fn extension<E: crate::Extension>(&self, make: impl FnOnce() -> E) -> Arc<E> {
        self.0.extensions.get_or_insert(make)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (searching, sleeping) = self.0.idle.counts();
        f.debug_struct("Handle")
            .field("id", &self.0.id)
            .field("life", &self.0.life())
            .field("workers", &self.0.workers())
            .field("searching", &searching)
            .field("sleeping", &sleeping)
            .finish_non_exhaustive()
    }
}

/// See [`Handle::outside_work`].
#[must_use = "the work ends when this is dropped"]
pub struct OutsideWork(Arc<Shared>);

impl Drop for OutsideWork {
    fn drop(&mut self) {
        self.0.outside_ends();
    }
}

/// See [`Handle::pause_outside_work`].
#[must_use = "the pause ends when this is dropped"]
pub struct OutsidePause(Arc<Shared>);

impl Drop for OutsidePause {
    fn drop(&mut self) {
        self.0.outside_begins();
    }
}

impl fmt::Debug for OutsidePause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutsidePause(runtime {})", self.0.id)
    }
}

impl fmt::Debug for OutsideWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutsideWork(runtime {})", self.0.id)
    }
}

/// A callback that was given to `call_soon`, `call_later` or `call_at`.
///
/// # Examples
///
/// ```
/// use runtime_core::{CallHandle, Handle, testing, yield_now};
///
/// testing::block_on(async {
///     let call: CallHandle = Handle::current().call_soon(|| panic!("never called"));
///     assert!(call.cancel());
///     assert!(call.cancelled());
///     assert!(!call.cancel(), "it was before");
///     assert_eq!(call.when(), None, "soon");
///     yield_now().await;
/// });
/// ```
#[derive(Clone)]
pub struct CallHandle(Arc<Call>);

/// What is to be called.
type Callback = Box<dyn FnOnce() + Send>;

struct Call {
    /// The callback with its context, until it begins to run or is cancelled: whoever takes it out decides.
    callback: Mutex<Option<(VarContext, Callback)>>,
    when: Option<Instant>,
    cancelled: std::sync::atomic::AtomicBool,
    /// The wait of a timed call.
    timer: Mutex<Option<crate::scope::CancelScope>>,
}

impl CallHandle {
    fn new(callback: impl FnOnce() + Send + 'static, when: Option<Instant>) -> Self {
        Self(Arc::new(Call {
            callback: Mutex::new(Some((VarContext::current(), Box::new(callback)))),
            when,
            cancelled: std::sync::atomic::AtomicBool::new(false),
            timer: Mutex::new(when.map(|_| crate::scope::CancelScope::new())),
        }))
    }

    /// Keeps the callback from running. After this has returned it does not begin any more; true if that is
    /// due to this call, false if it had begun or was cancelled before. A timer is disarmed.
    pub fn cancel(&self) -> bool {
        let callback = self.0.callback.lock().take();
        let first = callback.is_some();
        if first {
            // Relaxed: the lock above orders what matters.
            self.0.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
            drop(callback);
            let timer = self.0.timer.lock().clone();
            if let Some(timer) = timer {
                timer.cancel();
            }
        }
        first
    }

    /// Whether [`cancel`](Self::cancel) came in time.
    pub fn cancelled(&self) -> bool {
        self.0.cancelled.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// When a timed callback is to run.
    pub fn when(&self) -> Option<Instant> {
        self.0.when
    }

    /// True when the moment has come, false when the call was cancelled before.
    async fn wait_until(&self, when: Instant) -> bool {
        let timer = self.0.timer.lock().clone();
        match timer {
            Some(timer) => timer.run(sleep_until(when)).await.is_ok(),
            None => true,
        }
    }

    fn run(&self, shared: &Shared) {
        let taken = self.0.callback.lock().take();
        let Some((mut context, callback)) = taken else { return };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| context.run(callback))) {
            shared.reporter.callback_panicked(None, PanicError::new(payload));
        }
    }
}

/// A call in its runtime's queue. It goes with the runtime if its time never comes, though somebody (the callback itself, perhaps) still
/// holds a handle.
struct Queued(CallHandle);

impl Drop for Queued {
    fn drop(&mut self) {
        // A statement of its own: the callback is dropped with nothing locked.
        let left_over = self.0.0.callback.lock().take();
        drop(left_over);
    }
}

impl fmt::Debug for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHandle").field("when", &self.0.when).field("cancelled", &self.cancelled()).finish()
    }
}

/// The task whose code runs here; `None` outside of any, and in callbacks.
///
/// # Examples
///
/// ```
/// use runtime_core::{TaskBuilder, current_task, testing};
///
/// assert!(current_task().is_none());
/// testing::block_on(async {
///     let task = TaskBuilder::new().name("me").create_task(async { current_task().unwrap().get_name() });
///     assert_eq!(task.await.unwrap(), "me");
/// });
/// ```
pub fn current_task() -> Option<TaskRef> {
    let task = crate::current::task()?;
    crate::task::task_ref::is_listed(task.header().kind()).then(|| TaskRef::clone(&task))
}

/// All tasks of the current runtime that have not ended; see [`Handle::all_tasks`]. Empty outside of a runtime.
///
/// # Examples
///
/// ```
/// use runtime_core::{all_tasks, create_task, testing, yield_now};
///
/// testing::block_on(async {
///     let task = create_task(async {});
///     assert_eq!(all_tasks().len(), 2, "main and the new one");
///     task.await.unwrap();
///     assert_eq!(all_tasks().len(), 1);
/// });
/// ```
pub fn all_tasks() -> Vec<TaskRef> {
    Handle::try_current().map_or_else(Vec::new, |handle| handle.all_tasks())
}
