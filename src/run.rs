//! `run` and `Runner`: where a program enters the runtime and leaves it.

use crate::inspect::{Opened, Openings};
use crate::interrupt::{self, Seen, Watch};
use parking_lot::Mutex;
use runtime_bridge::{BlockingConfig, configure};
use runtime_core::{CancelledError, Config, Context, Engine, Handle, TaskRef};
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Runs `main` on a runtime of its own, ends that runtime, and gives what `main` returned.
///
/// The calling thread is one of the workers: `main` need not be `Send` or `'static`. There are as many workers as the machine has
/// processors, or as `RUNTIME_WORKERS` says; for more choice there is [`Runner::builder`]. When `main` has ended, in whatever way, every
/// other task is cancelled and waited for, then the blocking threads are.
///
/// The first Ctrl-C cancels `main`; if that ends it, the process ends by `SIGINT` after the shutdown, as a shell expects, and this
/// function does not return. If `main` catches the cancellation, what it returns counts. A second Ctrl-C, or one during the shutdown, ends the process
/// at once. All this holds on the process's main thread and if `SIGINT` has its default disposition; otherwise, and where there is no
/// such signal, nothing is installed.
///
/// # Panics
///
/// With the panic of `main`, after the shutdown; when `main` was cancelled otherwise than by Ctrl-C; when this thread is running a
/// runtime already; when the runtime cannot be started.
///
/// # Examples
///
/// ```
/// use runtime::{create_task, run, sleep};
/// use std::time::Duration;
///
/// let greeting = run(async {
///     let world = create_task(async {
///         sleep(Duration::from_millis(1)).await;
///         "world"
///     });
///     format!("hello {}", world.await.unwrap())
/// });
/// assert_eq!(greeting, "hello world");
/// ```
#[doc(alias = "block_on")]
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    run_to_the_end(Runner::builder(), true, main, "the main task")
}

/// As [`run`], with a builder: what `#[main]` and `#[test]` do. `who` is main's name in messages.
#[track_caller]
pub(crate) fn run_to_the_end<F: Future>(
    builder: RunnerBuilder,
    handle_interrupts: bool,
    main: F,
    who: &str,
) -> F::Output {
    let location = Location::caller();
    assert!(
        Handle::try_current().is_none(),
        "this thread is running a runtime already: `await` the future instead, or make it a task with `create_task`; \
         a second runtime needs a thread of its own"
    );
    let interrupts = builder.handle_interrupts.unwrap_or(handle_interrupts);
    let runner = match builder.handle_interrupts(interrupts).build() {
        Ok(runner) => runner,
        Err(error) => panic!("failed to start the runtime: {error}"),
    };
    let ended = end_of(&runner, main, location);
    match ended {
        Ok(Ok(output)) => output,
        Ok(Err(_)) if runner.interrupted() => interrupt::end_process(),
        Ok(Err(error)) => panic!("{who} was cancelled{}", because(&error)),
        Err(panic) => resume_unwind(panic),
    }
}

/// Runs `main` and the shutdown, which comes before main's panic goes on (R-02).
fn end_of<F: Future>(
    runner: &Runner,
    main: F,
    location: &'static Location<'static>,
) -> Result<Result<F::Output, CancelledError>, Box<dyn Any + Send>> {
    let ended = catch_unwind(AssertUnwindSafe(|| runner.run_at(main, location)));
    runner.close();
    ended
}

fn because(error: &CancelledError) -> String {
    error.message().map_or_else(String::new, |message| format!(": {message}"))
}

/// A runtime that runs one future after another, as asyncio's `Runner` does.
///
/// Built by [`Runner::builder`]. Its runs share the runtime and the context: a [context variable](crate::ContextVar) set in one is
/// seen in the next, and not by the caller. Tasks that are left when a run ends go on in the next one; with several workers
/// they go on at once. Dropping the runner closes it. (While a thread panics, that happens on another thread, unwaited.)
///
/// # Examples
///
/// ```
/// use runtime::{Runner, create_task, yield_now};
///
/// let runner = Runner::builder().workers(1).build()?;
/// let task = runner.run(async { create_task(async { yield_now().await; 7 }) }).unwrap();
/// let seven = runner.run(async { task.await.unwrap() }).unwrap();
/// assert_eq!(seven, 7);
/// runner.close();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runner {
    /// The runtime.
    engine: Engine,
    /// Shows it to the outside, if that is asked for; goes after it, for a shutdown may hang as well.
    _opened: Option<Opened>,
    /// The context of the runs, as the last one left it.
    context: Mutex<Context>,
    /// Whether Ctrl-C cancels what is run.
    handle_interrupts: bool,
    /// Whether Ctrl-C ended the last run.
    interrupted: AtomicBool,
}

impl Runner {
    /// A builder with the defaults.
    pub fn builder() -> RunnerBuilder {
        RunnerBuilder::new()
    }

    /// Runs `main` to its end on this thread, which is a worker meanwhile.
    ///
    /// # Errors
    ///
    /// [`CancelledError`] when `main` ended cancelled; [`interrupted`](Self::interrupted) tells whether Ctrl-C did that.
    ///
    /// # Panics
    ///
    /// With the panic of `main`; when this thread is running a runtime already, when another thread is in `run` of this runner, and
    /// after [`close`](Self::close). The runner stays usable.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{Runner, context_var};
    ///
    /// context_var! { static NAME: &'static str = "nobody"; }
    /// let runner = Runner::builder().workers(1).build()?;
    /// runner.run(async { NAME.set("me") }).unwrap();
    /// assert_eq!(runner.run(async { NAME.get() }).unwrap(), "me");
    /// assert_eq!(NAME.get(), "nobody");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "run_until_complete")]
    #[doc(alias = "block_on")]
    #[track_caller]
    pub fn run<F: Future>(&self, main: F) -> Result<F::Output, CancelledError> {
        self.run_at(main, Location::caller())
    }

    /// As [`run`](Self::run), in another context than the runner's; afterwards `context` holds what `main` has set.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{Context, Runner, context_var};
    ///
    /// context_var! { static NAME: &'static str = "nobody"; }
    /// let runner = Runner::builder().workers(1).build()?;
    /// let mut context = Context::current();
    /// runner.run_with_context(&mut context, async { NAME.set("me") }).unwrap();
    /// assert_eq!(context.run(|| NAME.get()), "me");
    /// assert_eq!(runner.run(async { NAME.get() }).unwrap(), "nobody");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn run_with_context<F: Future>(&self, context: &mut Context, main: F) -> Result<F::Output, CancelledError> {
        self.run_in(context, main, || {}, Location::caller())
    }

    /// As [`run`](Self::run), with the place where main counts as created.
    #[track_caller]
    fn run_at<F: Future>(&self, main: F, location: &'static Location<'static>) -> Result<F::Output, CancelledError> {
        let started = Cell::new(false);
        let before = self.context.lock().clone();
        let mut kept = KeptContext { runner: self, started: &started, context: before };
        self.run_in(&mut kept.context, main, || started.set(true), location)
    }

    #[track_caller]
    fn run_in<F: Future>(
        &self,
        context: &mut Context,
        main: F,
        started: impl FnOnce(),
        location: &'static Location<'static>,
    ) -> Result<F::Output, CancelledError> {
        let mut watched = None;
        let started = |main: &TaskRef| {
            started();
            // Relaxed: concerns the thread in `run` only.
            self.interrupted.store(false, Relaxed);
            if self.handle_interrupts {
                let task = main.clone();
                watched = Some((main.clone(), Watch::begin(move || task.cancel())));
            }
        };
        let result = self.engine.run_in(context, main, started, location);
        if let Some((main, Some(watch))) = watched {
            self.note(watch.end(), &main);
        }
        result
    }

    /// Decides whose the cancellation of main was, if it was cancelled (R-16, R-19).
    fn note(&self, seen: Seen, main: &TaskRef) {
        match seen {
            Seen::Nothing => {}
            Seen::Interrupt => self.interrupted.store(main.uncancel() == 0 && main.cancelled(), Relaxed),
            // It came when main was done, but before the signal meant what it means otherwise (R-18).
            Seen::LateInterrupt => interrupt::end_process(),
        }
    }

    /// Works until [`Handle::stop`], or until Ctrl-C if that is handled.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{Handle, Runner};
    ///
    /// let runner = Runner::builder().workers(1).build()?;
    /// runner.handle().call_soon(|| Handle::current().stop());
    /// runner.run_forever();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn run_forever(&self) {
        let handle = self.handle();
        let stop = move || {
            handle.stop();
            true
        };
        let watch = if self.handle_interrupts { Watch::begin(stop) } else { None };
        self.engine.run_forever();
        let interrupted = watch.is_some_and(|watch| watch.end() != Seen::Nothing);
        // Relaxed: concerns the thread in `run` only.
        self.interrupted.store(interrupted, Relaxed);
    }

    /// Whether Ctrl-C has ended the last run. False for a main that caught the cancellation and returned, and for one that was
    /// cancelled by somebody else as well.
    ///
    /// A program that has nothing left to do then, and wants to end as a shell expects it, calls
    /// [`end_interrupted`](Self::end_interrupted).
    ///
    /// # Examples
    ///
    /// ```
    /// let runner = runtime::Runner::builder().workers(1).build()?;
    /// runner.run(async {}).unwrap();
    /// assert!(!runner.interrupted());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn interrupted(&self) -> bool {
        // Relaxed: concerns the thread that was in `run` only.
        self.interrupted.load(Relaxed)
    }

    /// Closes the runner and ends the process by `SIGINT` (where there is none, with status 130), which is what `run` and `#[main]` do
    /// when Ctrl-C has ended main.
    ///
    /// # Panics
    ///
    /// As [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use runtime::{Runner, sleep};
    /// use std::time::Duration;
    ///
    /// let runner = Runner::builder().handle_interrupts(true).build()?;
    /// if runner.run(sleep(Duration::MAX)).is_err() && runner.interrupted() {
    ///     eprintln!("interrupted");
    ///     runner.end_interrupted();
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn end_interrupted(self) -> ! {
        self.close();
        interrupt::end_process()
    }

    /// A handle to the runtime, for other threads and for later. After [`close`](Self::close) it is one to a closed runtime.
    #[doc(alias = "get_loop")]
    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Ends the runtime: cancels every task and waits for them, for as long as the
    /// [grace period](RunnerBuilder::shutdown_grace) allows, then for the blocking threads. A second call does nothing.
    ///
    /// Tasks that are created meanwhile are cancelled and waited for too. Failures along the way go to the exception handler.
    ///
    /// # Panics
    ///
    /// When called by a worker of a runtime, by a function given to [`to_thread`](crate::to_thread) of this one, and while another thread is
    /// in `run`.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{Runner, create_task, sleep};
    /// use std::time::Duration;
    ///
    /// let runner = Runner::builder().workers(1).build()?;
    /// let task = runner.run(async { create_task(sleep(Duration::MAX)) }).unwrap();
    /// runner.close();
    /// assert!(task.cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn close(&self) {
        self.engine.close();
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("handle", &self.handle())
            .field("handle_interrupts", &self.handle_interrupts)
            .field("interrupted", &self.interrupted())
            .finish_non_exhaustive()
    }
}

/// The context of a run, which becomes the runner's when the run is over, also by a panic.
struct KeptContext<'a> {
    /// Whose context it is.
    runner: &'a Runner,
    /// Whether there was a run at all.
    started: &'a Cell<bool>,
    /// The context of the run.
    context: Context,
}

impl Drop for KeptContext<'_> {
    fn drop(&mut self) {
        if self.started.get() {
            let old = std::mem::replace(&mut *self.runner.context.lock(), std::mem::take(&mut self.context));
            drop(old);
        }
    }
}

/// How a [`Runner`] is to be.
///
/// # Examples
///
/// ```
/// use runtime::{Handle, Runner, sleep};
/// use std::time::Duration;
///
/// let runner = Runner::builder().workers(1).virtual_time(true).build()?;
/// runner.run(sleep(Duration::from_secs(3600))).unwrap(); // does not take an hour
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Example: all settings
///
/// ```
/// use runtime::Runner;
/// use std::time::Duration;
///
/// let runner = Runner::builder()
///     .workers(2)
///     .thread_name("io")
///     .thread_stack_size(1 << 20)
///     .max_blocking_threads(8)
///     .blocking_keep_alive(Duration::from_secs(1))
///     .eager_tasks(true)
///     .debug(true)
///     .slow_poll_threshold(Duration::from_millis(10))
///     .handle_interrupts(false)
///     .shutdown_grace(Duration::from_secs(5))
///     .build()?;
/// assert_eq!(runner.handle().workers(), 2);
/// let task = runner.run(async { runtime::create_task(async { 1 }) }).unwrap();
/// assert!(task.done(), "it began eagerly, and ended");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct RunnerBuilder {
    /// What the engine is told, but for the next two.
    config: Config,
    /// The number of workers, if it was set.
    workers: Option<usize>,
    /// Debug mode, if it was set.
    debug: Option<bool>,
    /// Whether Ctrl-C is handled, if it was set: the default depends on who runs the runner.
    handle_interrupts: Option<bool>,
    /// The pool for blocking functions.
    blocking: BlockingConfig,
    /// Whether pictures go to stderr on a signal, if it was set.
    inspect_on_signal: Option<bool>,
    /// Whether the command `runtime-inspect` is answered, if it was set.
    inspect_socket: Option<bool>,
    /// Whether polls are recorded, if it was set.
    inspect: Option<bool>,
}

impl RunnerBuilder {
    fn new() -> Self {
        Self {
            config: Config::default(),
            workers: None,
            debug: None,
            handle_interrupts: None,
            blocking: BlockingConfig::default(),
            inspect_on_signal: None,
            inspect_socket: None,
            inspect: None,
        }
    }

    /// How many workers, the thread that calls `run` included. The default is the environment variable `RUNTIME_WORKERS`, else the
    /// number of processors; with [`virtual_time`](Self::virtual_time) or a [`seed`](Self::seed) it is 1. With 1, tasks get on only while a thread is
    /// in `run` or `run_forever`.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// What the names of the worker threads begin with; the default is `runtime`.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.config.thread_name = name.into();
        self
    }

    /// The stack size of the worker threads, in bytes; the default is std's. That of the thread that calls `run` is what it is.
    pub fn thread_stack_size(mut self, bytes: usize) -> Self {
        self.config.thread_stack_size = Some(bytes);
        self
    }

    /// How many threads blocking functions may have at once; the default is 512. Further functions wait their turn.
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        self.blocking.max_threads = threads;
        self
    }

    /// How long a thread for blocking functions stays when it has nothing to do; the default is 10 seconds.
    pub fn blocking_keep_alive(mut self, keep_alive: Duration) -> Self {
        self.blocking.keep_alive = keep_alive;
        self
    }

    /// Whether polls that take long are reported to the exception handler: each when it is over, and a worker that is stuck in one also while it is, by
    /// a thread that exists for this only. Costs two looks at the clock and two locks for every poll. The default is the environment
    /// variable `RUNTIME_DEBUG`: on if it is set and neither empty nor `0`.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{ExceptionContext, Runner, TaskBuilder};
    /// use std::sync::mpsc::channel;
    /// use std::time::Duration;
    ///
    /// let runner = Runner::builder().workers(1).debug(true).slow_poll_threshold(Duration::from_millis(1)).build()?;
    /// let (tell, told) = channel();
    /// runner.handle().set_exception_handler(Some(move |report: &ExceptionContext| tell.send(report.to_string()).unwrap()));
    /// runner.run(async move {
    ///     let blocks = async move { told.recv() }; // as no task should
    ///     let report = TaskBuilder::new().name("blocks").create_task(blocks).await.unwrap().unwrap();
    ///     assert!(report.starts_with("worker 0 has been in a poll for "), "{report}");
    ///     assert!(report.contains("and still is; task blocks created at "), "{report}");
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "set_debug")]
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = Some(debug);
        self
    }

    /// A poll of at least this length is slow, in [debug mode](Self::debug); the default is 100 milliseconds. It is real time, also where the runtime's is virtual.
    #[doc(alias = "slow_callback_duration")]
    pub fn slow_poll_threshold(mut self, threshold: Duration) -> Self {
        self.config.slow_poll_threshold = threshold;
        self
    }

    /// Whether the lengths of polls are counted, for [`Metrics::poll_times`](crate::Metrics::poll_times); the default is no. Costs two looks at the
    /// clock for every poll.
    ///
    /// # Examples
    ///
    /// ```
    /// let runner = runtime::Runner::builder().workers(1).poll_times(true).build()?;
    /// runner.run(async {}).unwrap();
    /// assert_eq!(runner.handle().metrics().poll_times.unwrap().count(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_times(mut self, count: bool) -> Self {
        self.config.poll_times = count;
        self
    }

    /// Whether the report of a worker that is stuck in a poll says what its thread is doing, function by function; needs [debug mode](Self::debug).
    ///
    /// The thread is interrupted by a real-time signal for that, one that nobody had a handler for when the runtime was built. The handler does nothing but copy
    /// the stack; still, system calls of foreign code that do not expect a signal may fail with `EINTR`. Where the thread does not answer, the
    /// report comes without it.
    ///
    /// There only with the feature `stuck-stacks`; except on Linux on x86-64, [`build`](Self::build) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let runner = runtime::Runner::builder().workers(1).debug(true).stuck_stacks(true).build();
    /// assert_eq!(runner.is_ok(), cfg!(all(target_os = "linux", target_arch = "x86_64")));
    /// ```
    #[cfg(feature = "stuck-stacks")]
    pub fn stuck_stacks(mut self, stacks: bool) -> Self {
        self.config.stuck_stacks = stacks;
        self
    }

    /// Whether Ctrl-C cancels the main task, as told at [`run`]. The default is yes for `#[main]`, no for `#[test]` and for a runner
    /// that is built by hand, which says in [`Runner::interrupted`] what happened.
    pub fn handle_interrupts(mut self, handle: bool) -> Self {
        self.handle_interrupts = Some(handle);
        self
    }

    /// How long the shutdown waits for tasks; what is left is dropped, and named in a warning. The default is without limit.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.config.shutdown_grace = Some(grace);
        self
    }

    /// Whether time is virtual: it stands still while anything runs and jumps to the next deadline when nothing does. Needs one worker.
    pub fn virtual_time(mut self, virtual_time: bool) -> Self {
        self.config.virtual_time = virtual_time;
        self
    }

    /// Runs ready tasks in a random order that the seed repeats, instead of first in, first out. Needs one worker.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self
    }

    /// Whether tasks start inside of `create_task`, unless their builder says otherwise; the default is no.
    #[doc(alias = "eager_task_factory")]
    pub fn eager_tasks(mut self, eager: bool) -> Self {
        self.config.eager_tasks = eager;
        self
    }

    /// Whether every poll of every task is recorded: pictures of the runtime then show, without asking any task, how often it was polled, since
    /// when it is suspended, what created it, and all that it awaits. The default is whether `RUNTIME_INSPECT` has the
    /// word `record`. It costs a lock and a few comparisons for each poll.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{Promise, Runner, call_graph, create_task, yield_now};
    ///
    /// let runner = Runner::builder().workers(1).inspect(true).build()?;
    /// let picture = runner.run(async {
    ///     let (promise, lost) = Promise::<()>::new();
    ///     let task = create_task(async { lost.await });
    ///     yield_now().await;
    ///     let picture = call_graph();
    ///     drop((promise, task));
    ///     picture
    /// });
    /// assert!(picture.unwrap().to_string().contains("awaits the promise"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn inspect(mut self, inspect: bool) -> Self {
        self.inspect = Some(inspect);
        self
    }

    /// Whether a picture of the runtime, with all stacks, goes to stderr on `SIGQUIT` (Ctrl-\ at a terminal), as far as the program does not
    /// handle that signal itself. The default is whether the environment variable `RUNTIME_INSPECT`, words with commas between them,
    /// has the word `signal`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(unix)]
    /// let runner = runtime::Runner::builder().workers(1).inspect_on_signal(true).build()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn inspect_on_signal(mut self, inspect: bool) -> Self {
        self.inspect_on_signal = Some(inspect);
        self
    }

    /// Whether the command `runtime-inspect` is answered, which shows from outside what this runtime does: over a Unix socket in a directory that
    /// only the user of this process may enter. The default is whether `RUNTIME_INSPECT` has the word `socket`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(unix)]
    /// let runner = runtime::Runner::builder().workers(1).inspect_socket(true).build()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn inspect_socket(mut self, inspect: bool) -> Self {
        self.inspect_socket = Some(inspect);
        self
    }

    /// Starts the runtime.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the settings contradict each other, the name of the threads has a NUL in it, `RUNTIME_WORKERS` is no number,
    /// or `RUNTIME_INSPECT` has other words than `signal`, `socket` and `record`; otherwise what the system said when a thread could not be made.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = runtime::Runner::builder().workers(2).seed(1).build().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    pub fn build(self) -> io::Result<Runner> {
        let workers = match self.workers {
            Some(workers) => workers,
            None if self.config.virtual_time || self.config.seed.is_some() => 1,
            None => workers_from_environment()?.unwrap_or(self.config.workers),
        };
        let debug = self.debug.unwrap_or_else(debug_from_environment);
        let openings = Openings::from_environment()?;
        let openings = Openings {
            signal: self.inspect_on_signal.unwrap_or(openings.signal),
            socket: self.inspect_socket.unwrap_or(openings.socket),
            record: self.inspect.unwrap_or(openings.record),
        };
        let engine = Engine::new(Config { workers, debug, inspect: openings.record, ..self.config })?;
        configure(&engine.handle(), self.blocking);
        let opened = Opened::new(&engine.handle(), openings)?;
        Ok(Runner {
            engine,
            _opened: opened,
            context: Mutex::new(Context::current()),
            handle_interrupts: self.handle_interrupts.unwrap_or(false),
            interrupted: AtomicBool::new(false),
        })
    }
}

fn workers_from_environment() -> io::Result<Option<usize>> {
    let Some(value) = std::env::var_os("RUNTIME_WORKERS").filter(|value| !value.is_empty()) else { return Ok(None) };
    let number = value.to_str().and_then(|value| value.parse().ok()).filter(|number| *number > 0);
    let wrong = || {
        let message = format!("RUNTIME_WORKERS is the number of workers, at least 1, but it is {value:?}");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    number.map(Some).ok_or_else(wrong)
}

/// DB-01.
fn debug_from_environment() -> bool {
    std::env::var_os("RUNTIME_DEBUG").is_some_and(|value| !value.is_empty() && value != "0")
}
