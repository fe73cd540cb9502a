//! Starting and ending: threads, the run of a main future, the shutdown in its phases.
//!
//! The shutdown, in order: (1) main has ended; (2) every other task gets one request and is waited for, tasks
//! created meanwhile included, the workers running normally; with a grace period, what is left after it is dropped and named;
//! (3) the extensions (the blocking pool) are closed, still with the workers running, and what
//! their threads have left behind is swept as in (2); (4) nothing is taken in any more, the
//! workers end; (5) queues are emptied, and what nobody owns is reported.

use crate::context::Context as VarContext;
use crate::handle::Handle;
use crate::observe::Metrics;
use crate::observe::debug::Watchdog;
use crate::report::{self, ExceptionContext};
use crate::scheduler::queue::{self, LocalQueue, Random};
use crate::scheduler::worker::{self, Worker};
use crate::scheduler::{Life, Shared};
use crate::scope::CancelScope;
use crate::task::builder::{Options, create};
use crate::task::error::{CancelledError, TaskError, drop_quietly};
use crate::task::registry::Shard;
use crate::task::state::Claim;
use crate::task::{Kind, Notified, TaskRef, harness, memory};
use parking_lot::Mutex;
use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

/// How an [`Engine`] is to be.
///
/// # Examples
///
/// ```
/// use runtime_core::{Config, Engine};
///
/// let config = Config { workers: 1, virtual_time: true, ..Config::default() };
/// assert!(Engine::new(config).is_ok());
/// let config = Config { workers: 0, ..Config::default() };
/// assert_eq!(Engine::new(config).err().unwrap().kind(), std::io::ErrorKind::InvalidInput);
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// How many workers, the thread that calls `run` included.
    pub workers: usize,
    /// What the names of the worker threads begin with.
    pub thread_name: String,
    /// The stack size of the worker threads, in bytes.
    pub thread_stack_size: Option<usize>,
    /// Whether polls that take long are reported to the exception handler: when they are over, and by a thread of its own while they are not.
    pub debug: bool,
    /// A poll of at least this length is slow, in debug mode.
    pub slow_poll_threshold: Duration,
    /// Whether the report of a worker that is stuck, in debug mode, has the stack of its thread. The thread is interrupted by a signal for it: system calls
    /// in foreign code that do not expect that may fail with `EINTR`. Needs Linux on x86-64 and the feature `stuck-stacks`.
    pub stuck_stacks: bool,
    /// How long the shutdown waits for tasks; `None` is without limit.
    pub shutdown_grace: Option<Duration>,
    /// Whether time is virtual; needs a single worker.
    pub virtual_time: bool,
    /// Runs ready tasks in a random order that the seed repeats; needs a single worker.
    pub seed: Option<u64>,
    /// Whether tasks start eagerly unless told otherwise.
    pub eager_tasks: bool,
    /// Whether the lengths of polls are counted: see [`PollTimes`](crate::PollTimes). Costs two looks at the clock for every poll.
    pub poll_times: bool,
    /// Whether every poll is recorded, for pictures of the runtime: see [`TaskReport`](crate::TaskReport).
    pub inspect: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism().map_or(1, usize::from),
            thread_name: String::from("runtime"),
            thread_stack_size: None,
            debug: false,
            slow_poll_threshold: Duration::from_millis(100),
            stuck_stacks: false,
            shutdown_grace: None,
            virtual_time: false,
            seed: None,
            eager_tasks: false,
            poll_times: false,
            inspect: false,
        }
    }
}

impl Config {
    fn check(&self) -> io::Result<()> {
        let wrong = |message: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        match self.workers {
            0 => wrong("a runtime needs at least one worker: `workers` is 0"),
            _ if self.thread_name.contains('\0') => wrong("the name of a thread cannot have a NUL in it"),
            1 => Ok(()),
            n if n > usize::from(u16::MAX) => wrong("at most 65535 workers"),
            _ if self.virtual_time => {
                wrong("virtual time needs `workers` to be 1: with several, time would depend on luck")
            }
            _ if self.seed.is_some() => {
                wrong("a seed needs `workers` to be 1: with several, the order cannot be repeated")
            }
            _ => Ok(()),
        }?;
        if self.stuck_stacks && !self.debug {
            return wrong("`stuck_stacks` needs `debug`: nobody looks after stuck workers otherwise");
        }
        Ok(())
    }
}

/// A runtime: worker threads, and the place where the thread that calls [`run`](Self::run) works as worker 0.
///
/// The facade's `Runner` is what programs use; this is what it is made of.
///
/// # Examples
///
/// ```
/// use runtime_core::{Config, Engine, create_task};
///
/// let engine = Engine::new(Config { workers: 2, ..Config::default() }).unwrap();
/// let sum = engine.run(async {
///     let task = create_task(async { 1 });
///     task.await.unwrap() + 1
/// });
/// assert_eq!(sum.unwrap(), 2);
/// engine.close();
/// ```
///
/// # Example: until it is told to stop
///
/// ```
/// use runtime_core::{Config, Engine};
///
/// let engine = Engine::new(Config { workers: 1, ..Config::default() }).unwrap();
/// let handle = engine.handle();
/// let stop = handle.clone();
/// handle.call_soon(move || stop.stop());
/// engine.run_forever();
/// engine.close();
/// assert!(handle.is_closed());
/// ```
pub struct Engine {
    shared: Arc<Shared>,
    /// Worker 0 while nobody runs it.
    worker: Mutex<Slot>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

enum Slot {
    Free(Box<Parked>),
    Taken,
    Closed,
}

/// A worker that no thread runs.
struct Parked(Worker);

// SAFETY: the cells of a worker are used by the thread that runs it only; between two threads there is the lock of the slot, or the
// start of the thread.
unsafe impl Send for Parked {}

impl Engine {
    /// Starts the worker threads.
    ///
    /// # Errors
    ///
    /// When the configuration contradicts itself, or names threads as none can be named (`InvalidInput`), or a thread cannot be made.
    pub fn new(config: Config) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        config.check()?;
        let (queues, stealers) = make_queues(&config);
        // Relaxed: only has to be unique.
        let shared = Shared::new(NEXT.fetch_add(1, Relaxed), config, stealers);
        report::register_runtime(&shared);
        memory::runtime_began();
        let mut workers = queues.into_iter().enumerate();
        let (_, first) = workers.next().expect("at least one worker");
        let first = Box::new(Parked(Worker::new(Arc::clone(&shared), 0, first)));
        let engine = Self { shared, worker: Mutex::new(Slot::Free(first)), threads: Mutex::new(Vec::new()) };
        for (index, queue) in workers {
            // On an error `engine` is dropped, which ends the threads that were made.
            let thread = spawn_worker(&engine.shared, index, queue)?;
            engine.threads.lock().push(thread);
        }
        Watchdog::start(&engine.shared)?;
        Ok(engine)
    }

    /// A handle for other threads and for later.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// Runs a future to its end on this thread, which is worker 0 meanwhile. Other tasks go on afterwards on the other workers; with one worker
    /// they wait for the next run.
    ///
    /// # Errors
    ///
    /// [`CancelledError`] when the main future was cancelled.
    ///
    /// # Panics
    ///
    /// With the panic of the main future; and when this thread is running a runtime already, when another thread is in `run`,
    /// and after `close`.
    #[track_caller]
    pub fn run<F: Future>(&self, future: F) -> Result<F::Output, CancelledError> {
        self.run_with(future, |_main| {})
    }

    /// As [`run`](Self::run); `started` gets the main task before its first poll.
    #[track_caller]
    pub fn run_with<F: Future>(&self, future: F, started: impl FnOnce(&TaskRef)) -> Result<F::Output, CancelledError> {
        let location = Location::caller();
        self.as_worker(|worker| run_main(worker, future, None, started, location))
    }

    /// As [`run_with`](Self::run_with), for facades: main runs in `context`, which afterwards holds what main has set, however it ended;
    /// `location` is where main counts as created.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Config, Context, Engine, context_var};
    /// use std::panic::Location;
    ///
    /// context_var! { static RUNS: u32 = 0; }
    /// let engine = Engine::new(Config { workers: 1, ..Config::default() }).unwrap();
    /// let mut context = Context::current();
    /// for run in 1..=2 {
    ///     let main = async { RUNS.set(RUNS.get() + 1) };
    ///     engine.run_in(&mut context, main, |_main| {}, Location::caller()).unwrap();
    ///     assert_eq!(context.run(|| RUNS.get()), run);
    /// }
    /// assert_eq!(RUNS.get(), 0);
    /// ```
    #[track_caller]
    pub fn run_in<F: Future>(
        &self,
        context: &mut VarContext,
        future: F,
        started: impl FnOnce(&TaskRef),
        location: &'static Location<'static>,
    ) -> Result<F::Output, CancelledError> {
        self.as_worker(|worker| run_main(worker, future, Some(context), started, location))
    }

    /// Works until [`Handle::stop`].
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    #[track_caller]
    pub fn run_forever(&self) {
        let extensions = &self.shared.extensions;
        let scope = extensions.begin_forever();
        let _ended = self.run(scope.run(std::future::pending::<()>()));
        extensions.end_forever();
    }

    /// Ends the runtime as told in the module's page. Does nothing the second time.
    ///
    /// # Panics
    ///
    /// When called by a worker of a runtime, or by a thread of its own [`Extension`]s, and while another thread is in `run`.
    #[track_caller]
    pub fn close(&self) {
        if matches!(*self.worker.lock(), Slot::Closed) {
            return;
        }
        assert!(
            !self.shared.extensions.is_thread_of_one(),
            "a function given to `to_thread` closes its own runtime, which would wait for it to return: drop the \
             runtime here instead, or close it from another thread"
        );
        self.as_worker(|worker| {
            memory::runtime_ends();
            let deadline =
                self.shared.config.shutdown_grace.map_or(u64::MAX, |grace| self.shared.clock.deadline(grace));
            close_tasks(worker, [Life::Closing, Life::Draining], deadline);
            self.shared.set_life(Life::Serving);
            close_extensions(worker);
            close_tasks(worker, [Life::ClosingAgain, Life::DrainingAgain], deadline);
            self.shared.set_life(Life::Closed);
            self.shared.unpark_all();
        });
        let threads = std::mem::take(&mut *self.threads.lock());
        join_workers(&self.shared, threads);
        if let Some(watchdog) = &self.shared.watchdog {
            watchdog.stop();
        }
        let last = std::mem::replace(&mut *self.worker.lock(), Slot::Closed);
        if let Slot::Free(worker) = last {
            worker.0.enter(|| discard(&worker.0));
        }
        self.shared.remotes.iter().for_each(|remote| remote.timers.close());
        report::forget_runtime(self.shared.id);
        memory::runtime_ended();
    }

    /// Takes worker 0 for as long as `f` runs.
    #[track_caller]
    fn as_worker<R>(&self, f: impl FnOnce(&Worker) -> R) -> R {
        let nested = worker::with_current(|worker| worker.is_some());
        assert!(
            !nested,
            "this thread is running a runtime already: inside of a task, `await` the future or use `create_task`; \
             a second runtime needs a thread of its own"
        );
        let taken = {
            let mut slot = self.worker.lock();
            match &*slot {
                Slot::Free(_) => std::mem::replace(&mut *slot, Slot::Taken),
                Slot::Taken => {
                    drop(slot);
                    panic!("another thread is in `run` of this runtime: use its `Handle` to add work");
                }
                Slot::Closed => {
                    drop(slot);
                    panic!("this runtime is closed: build a new one");
                }
            }
        };
        let Slot::Free(worker) = taken else { unreachable!("only a free slot is taken") };
        let returned = Returned { engine: self, worker: Some(worker) };
        let worker = &returned.worker.as_ref().expect("there until dropped").0;
        worker.enter(|| f(worker))
    }
}

/// Brings worker 0 back into its slot, also when main panicked.
struct Returned<'a> {
    engine: &'a Engine,
    worker: Option<Box<Parked>>,
}

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            *self.engine.worker.lock() = Slot::Free(worker);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !matches!(*self.worker.lock(), Slot::Free(_)) {
            return;
        }
        // Cannot wait here: a runtime dropped inside of another (or of itself) is closed by a thread.
        // It would wait for this very thread, if that belongs to an extension.
        let is_inside = worker::with_current(|worker| worker.is_some()) || self.shared.extensions.is_thread_of_one();
        if is_inside || thread::panicking() {
            self.close_elsewhere();
        } else {
            self.close();
        }
    }
}

impl Engine {
    /// Closes on a thread of its own, without waiting.
    fn close_elsewhere(&mut self) {
        let slot = std::mem::replace(&mut *self.worker.lock(), Slot::Closed);
        let engine = Self {
            shared: Arc::clone(&self.shared),
            worker: Mutex::new(slot),
            threads: Mutex::new(std::mem::take(&mut *self.threads.lock())),
        };
        let name = format!("{}-close", self.shared.config.thread_name);
        // Not dropped with the closure if no thread comes: that would bring us back here.
        let engine = ManuallyDrop::new(engine);
        let closer = thread::Builder::new().name(name).spawn(move || drop(ManuallyDrop::into_inner(engine)));
        if let Err(error) = closer {
            let message = format!(
                "a runtime was dropped where it cannot be closed, and no thread could be made for it; it is left as it is: {error}"
            );
            self.shared.reporter.report(&ExceptionContext::new(message));
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.handle()).finish()
    }
}

fn make_queues(config: &Config) -> (Vec<LocalQueue>, Vec<Option<queue::Stealer>>) {
    if config.workers == 1 {
        let queue = match config.seed {
            Some(seed) => LocalQueue::Seeded(RefCell::new(Vec::new()), Random::new(seed)),
            None => LocalQueue::Own(RefCell::new(VecDeque::new())),
        };
        return (vec![queue], vec![None]);
    }
    let deque = |_| {
        let (worker, stealer) = queue::Worker::new();
        (LocalQueue::Shared(worker), Some(stealer))
    };
    (0..config.workers).map(deque).unzip()
}

fn spawn_worker(shared: &Arc<Shared>, index: usize, queue: LocalQueue) -> io::Result<thread::JoinHandle<()>> {
    let worker = Parked(Worker::new(Arc::clone(shared), index, queue));
    let mut builder = thread::Builder::new().name(format!("{}-{index}", shared.config.thread_name));
    if let Some(size) = shared.config.thread_stack_size {
        builder = builder.stack_size(size);
    }
    builder.spawn(move || {
        let worker = worker;
        let worker = &worker.0;
        worker.enter(|| {
            worker.run_until(u64::MAX, || worker.shared().life() == Life::Closed);
            discard(worker);
        });
    })
}

/// The main future in its task: the future itself stays on the stack of `run`, so that it may borrow from its caller.
struct Main<F: Future> {
    place: *mut MainPlace<F>,
}

struct MainPlace<F: Future> {
    future: Option<F>,
    output: Option<F::Output>,
}

impl<F: Future> Future for Main<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `run_main` keeps the place where it is until the task is complete, and with that this future gone; only worker 0, which is
        // that thread, polls a task of kind `Main`.
        let place: &mut MainPlace<F> = unsafe { &mut *self.get_mut().place };
        let future = place.future.as_mut().expect("polled only while it is there");
        // SAFETY: the place does not move, and the future is dropped in it.
        match unsafe { Pin::new_unchecked(future) }.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(output) => {
                place.output = Some(output);
                Poll::Ready(())
            }
        }
    }
}

impl<F: Future> Drop for Main<F> {
    fn drop(&mut self) {
        // SAFETY: as in `poll`; a task's future is dropped by its poller, or at the end of `run_main`, both worker 0.
        unsafe { (*self.place).future = None };
    }
}

fn run_main<F: Future>(
    worker: &Worker,
    future: F,
    context: Option<&mut VarContext>,
    started: impl FnOnce(&TaskRef),
    location: &'static Location<'static>,
) -> Result<F::Output, CancelledError> {
    /// Ends the main task when the loop unwinds, which only a bug in the engine can cause: the future must not outlive this stack.
    struct EndMain<'a>(&'a Worker, TaskRef);

    impl Drop for EndMain<'_> {
        fn drop(&mut self) {
            if self.1.done() {
                return;
            }
            let shared = self.0.shared();
            if harness::drop_idle(&self.1, &**shared, "`run` was left") != Claim::Claimed {
                std::process::abort();
            }
        }
    }

    let mut place = MainPlace { future: Some(future), output: None };
    let shared = worker.shared();
    let own = context.as_deref().cloned();
    let options = Options { context: own, eager: Some(false), kind: Kind::Main, ..Options::plain(location) };
    let mut task = create(shared, Some(worker), Main { place: &raw mut place }, options);
    let ended = EndMain(worker, task.task_ref());
    // Main is queued already: if `started` panics, main is cancelled and taken out of the queue by running it to its end, which
    // does not poll it. Only then may the panic go on, for the queue's entry points to main.
    let started = catch_unwind(AssertUnwindSafe(|| started(&ended.1)));
    if started.is_err() {
        ended.1.cancel();
    }
    worker.run_until(u64::MAX, || ended.1.done());
    if let Some(context) = context {
        *context = ended.1.get_context();
    }
    drop(ended);
    if let Err(payload) = started {
        resume_unwind(payload);
    }
    match task.result().expect("main has ended, and nobody else has its handle") {
        Ok(()) => Ok(place.output.take().expect("stored before the task was complete")),
        Err(TaskError::Cancelled(error)) => Err(error),
        Err(TaskError::Panicked(panic)) => {
            // There is one when main's destructor panicked. It goes first: its own must not panic while this panic unwinds.
            drop_quietly(place.output.take());
            panic.resume()
        }
    }
}

/// Phase 2: one request for every task, then waits for all; with a grace period, not longer than that. Callbacks run as long as there are
/// tasks, whose clean-up may need them (SD-01); those still to come are dropped then.
pub(crate) fn close_tasks(worker: &Worker, [sweeping, draining]: [Life; 2], deadline: u64) {
    let shared = worker.shared();
    sweep_all(worker, sweeping, deadline);
    worker.run_until(deadline, || worker.is_time_to_look() && shared.is_deserted(|counts| counts.users));
    sweep_all(worker, draining, deadline);
    worker.run_until(deadline, || worker.is_time_to_look() && shared.is_deserted(|counts| counts.all));
}

/// One request for every task that has started.
///
/// R-11: what main created right before its end still gets its first step: whatever has not started is cancelled by its poller after that step
/// (`harness::end_poll`).
fn sweep_all(worker: &Worker, life: Life, deadline: u64) {
    let shared = worker.shared();
    shared.set_life(life);
    shared.begin_sweep();
    while worker.sweep_some() {
        if shared.workers() > 1 {
            // While they are in the cache. One worker keeps to the order in which all have their request before any goes on.
            worker.run_some(deadline);
        }
    }
}

/// Phase 3.
fn close_extensions(worker: &Worker) {
    let shared = worker.shared();
    let extensions = shared.extensions.all();
    for extension in &extensions {
        let shared = Arc::clone(shared);
        extension.begin_close(Arc::new(move || shared.remotes[0].parker.unpark()));
    }
    let limit = extensions.iter().filter_map(|extension| extension.close_timeout()).max();
    let deadline = limit.map_or(u64::MAX, |limit| real_deadline(shared, limit));
    worker.run_until(deadline, || extensions.iter().all(|extension| extension.is_closed()));
    for extension in extensions.iter().filter(|extension| !extension.is_closed()) {
        shared.reporter.report(&ExceptionContext::new(extension.still_busy()));
    }
}

/// A deadline in real time; a virtual clock does not move while something outside of the runtime is waited for.
fn real_deadline(shared: &Shared, limit: Duration) -> u64 {
    if shared.clock.is_virtual() { u64::MAX } else { shared.clock.deadline(limit) }
}

/// Phase 4. A worker that is stuck in a poll for longer than the grace period is left behind: its thread ends when the poll does.
fn join_workers(shared: &Arc<Shared>, threads: Vec<thread::JoinHandle<()>>) {
    let Some(grace) = shared.config.shutdown_grace else {
        for thread in threads {
            // A worker catches every panic of a user's; if it ends by one all the same, there is nothing left to do for it.
            let _ = thread.join();
        }
        return;
    };
    // A moment that the clock cannot name is never.
    let limit = std::time::Instant::now().checked_add(grace.max(Duration::from_millis(10)));
    for thread in threads {
        while !thread.is_finished() && limit.is_none_or(|limit| std::time::Instant::now() < limit) {
            thread::sleep(Duration::from_micros(200));
        }
        if thread.is_finished() {
            let _ = thread.join();
        } else {
            let name = String::from(thread.thread().name().unwrap_or("a worker"));
            let message = format!("{name} is still stuck in a poll at the end of the runtime, and is left behind");
            shared.reporter.report(&ExceptionContext::new(message));
        }
    }
}

/// Phase 5: takes in nothing more, drops and names what is left. Every worker does it when it ends: one that was left behind, stuck in a poll, finds the
/// task of that poll idle now, and has to end it before the runtime goes (R6).
pub(crate) fn discard(worker: &Worker) {
    let shared = worker.shared();
    shared.tasks.iter().for_each(Shard::close);
    loop {
        while let Some(task) = worker.take_any() {
            drop_queued(shared, task);
        }
        let left = shared.tasks.iter().flat_map(Shard::collect);
        // Not `any`, which would leave the rest of them out.
        let on_their_way = left.filter(|task| drop_idle(shared, task) == Claim::Queued).count();
        if on_their_way == 0 {
            return;
        }
        // Woken, and not in a queue yet: some thread is between the two (R6).
        crate::loom::thread::yield_now();
    }
}

const LEFT_OVER: &str = "the runtime was closed before this task had ended";

fn drop_queued(shared: &Shared, task: Notified) {
    // SAFETY: not complete, so that the runtime's reference stands.
    let reference = unsafe { TaskRef::clone_raw(task.task()) };
    let started = harness::drop_queued(task, shared, LEFT_OVER);
    report_left_over(shared, &reference, started);
}

fn drop_idle(shared: &Shared, task: &TaskRef) -> Claim {
    let claim = harness::drop_idle(task, shared, LEFT_OVER);
    if claim == Claim::Claimed {
        report_left_over(shared, task, task.header().state.has_started());
    }
    claim
}

fn report_left_over(shared: &Shared, task: &TaskRef, started: bool) {
    if started && crate::task::task_ref::is_listed(task.header().kind()) {
        let message = "a task was still alive at the end of the shutdown's grace period and was dropped";
        shared.reporter.report(&ExceptionContext::new(message).with_task(task.clone()));
    }
}

/// What another crate attaches to a runtime with [`Handle::extension`], and how it is closed.
///
/// # Examples
///
/// ```
/// use runtime_core::{Extension, Handle, testing};
/// use std::sync::Arc;
///
/// /// A number that belongs to the runtime.
/// struct Number(u32);
///
/// impl Extension for Number {
///     fn begin_close(&self, wake: Arc<dyn Fn() + Send + Sync>) {
///         wake();
///     }
///
///     fn is_closed(&self) -> bool {
///         true
///     }
/// }
///
/// testing::block_on(async {
///     let handle = Handle::current();
///     assert_eq!(handle.extension(|| Number(1)).0, 1);
///     assert_eq!(handle.extension(|| Number(2)).0, 1, "the one that is there");
/// });
/// ```
pub trait Extension: Any + Send + Sync {
    /// Takes in nothing more, and calls `wake` whenever [`is_closed`](Self::is_closed) may have become true. Does not block.
    fn begin_close(&self, wake: Arc<dyn Fn() + Send + Sync>);

    /// Whether all its threads have ended.
    fn is_closed(&self) -> bool;

    /// Whether the calling thread is one of its threads, which cannot wait for its own end.
    fn is_current(&self) -> bool {
        false
    }

    /// How long to wait for that; `None` is without limit.
    fn close_timeout(&self) -> Option<Duration> {
        None
    }

    /// Adds its numbers to a snapshot.
    fn count(&self, metrics: &mut Metrics) {
        let _ = metrics;
    }

    /// What to report when that was not long enough.
    fn still_busy(&self) -> String {
        String::from("a part of the runtime did not end in time")
    }
}

/// The extensions of a runtime, and what `run_forever` waits for.
#[derive(Default)]
pub(crate) struct Extensions {
    attached: Mutex<Vec<(TypeId, Arc<dyn Extension>)>>,
    /// Cancelled by `stop`.
    forever: Mutex<CancelScope>,
}

impl Extensions {
    pub(crate) fn get_or_insert<E: Extension>(&self, make: impl FnOnce() -> E) -> Arc<E> {
        let find = || {
            let attached = self.attached.lock();
            attached.iter().find(|(id, _)| *id == TypeId::of::<E>()).map(|(_, found)| Arc::clone(found))
        };
        let found = find().unwrap_or_else(|| {
            // Made with nothing locked: it is another crate's code. Of two made at once one is dropped.
            let made: Arc<dyn Extension> = Arc::new(make());
            let mut attached = self.attached.lock();
            match attached.iter().find(|(id, _)| *id == TypeId::of::<E>()) {
                Some((_, found)) => Arc::clone(found),
                None => {
                    attached.push((TypeId::of::<E>(), Arc::clone(&made)));
                    made
                }
            }
        });
        let found: Arc<dyn Any + Send + Sync> = found;
        found.downcast::<E>().unwrap_or_else(|_| unreachable!("found under its type"))
    }

    fn all(&self) -> Vec<Arc<dyn Extension>> {
        self.attached.lock().iter().map(|(_, extension)| Arc::clone(extension)).collect()
    }

    /// Whether the calling thread belongs to one of them.
    pub(crate) fn is_thread_of_one(&self) -> bool {
        self.all().iter().any(|extension| extension.is_current())
    }

    /// Has all of them add their numbers.
    pub(crate) fn count(&self, metrics: &mut Metrics) {
        self.all().iter().for_each(|extension| extension.count(metrics));
    }

    pub(crate) fn stop(&self) {
        let scope = self.forever.lock().clone();
        scope.cancel();
    }

    fn begin_forever(&self) -> CancelScope {
        self.forever.lock().clone()
    }

    fn end_forever(&self) {
        *self.forever.lock() = CancelScope::new();
    }
}
