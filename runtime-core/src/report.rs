//! What goes wrong with nobody waiting for it: the exception handler, and running done callbacks.

use crate::context::Context as VarContext;
use crate::scheduler::Shared;
use crate::task::builder::{Options, create};
use crate::task::error::{PanicError, TaskError};
use crate::task::task_ref::Ended;
use crate::task::{Kind, TaskRef};
use parking_lot::Mutex;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What the exception handler is told.
///
/// # Examples
///
/// ```
/// use runtime_core::{ExceptionContext, Handle, PanicError, current_task, testing};
/// use std::sync::mpsc;
///
/// testing::block_on(async {
///     let (log, logged) = mpsc::channel();
///     let handler = move |report: &ExceptionContext| log.send(report.message.clone()).unwrap();
///     Handle::current().set_exception_handler(Some(handler));
///     let report = ExceptionContext::new("a plug-in failed")
///         .with_task(current_task().unwrap())
///         .with_error(PanicError::new(Box::new("why")));
///     assert!(report.to_string().starts_with("a plug-in failed; task "));
///     Handle::current().call_exception_handler(&report);
///     assert_eq!(logged.recv().unwrap(), "a plug-in failed");
/// });
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExceptionContext {
    /// What happened.
    pub message: String,
    /// The task it is about, if any.
    pub task: Option<TaskRef>,
    /// The failure, if there is one.
    pub error: Option<TaskError>,
    /// Where the task or the callback that it is about was created.
    pub location: Option<&'static Location<'static>>,
    /// How long the poll that it is about took, or has taken so far.
    pub elapsed: Option<Duration>,
    /// The worker that it is about.
    pub worker: Option<usize>,
    /// What that worker is doing, the innermost function first, if the runtime was [built](crate::Config::stuck_stacks) to tell.
    pub stack: Option<String>,
}

impl ExceptionContext {
    /// A report with nothing but a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            task: None,
            error: None,
            location: None,
            elapsed: None,
            worker: None,
            stack: None,
        }
    }

    /// Adds the task it is about.
    pub fn with_task(mut self, task: TaskRef) -> Self {
        self.location = Some(task.location());
        self.task = Some(task);
        self
    }

    /// Adds the failure.
    pub fn with_error(mut self, error: impl Into<TaskError>) -> Self {
        self.error = Some(error.into());
        self
    }
}

impl fmt::Display for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (&self.task, self.location) {
            (Some(task), _) => write!(f, "; task {} created at {}", task.get_name(), task.location())?,
            (None, Some(location)) => write!(f, "; created at {location}")?,
            (None, None) => {}
        }
        if let Some(error) = &self.error {
            write!(f, "; {error}")?;
        }
        match &self.stack {
            Some(stack) => write!(f, "; it is at{stack}"),
            None => Ok(()),
        }
    }
}

/// A user's exception handler.
type Handler = dyn Fn(&ExceptionContext) + Send + Sync;

/// Where a runtime's reports go.
#[derive(Default)]
pub(crate) struct Reporter {
    handler: Mutex<Option<Arc<Handler>>>,
}

impl Reporter {
    /// Puts another handler in; the old one is dropped with nothing locked.
    pub(crate) fn set_handler(&self, handler: Option<Arc<Handler>>) {
        let old = std::mem::replace(&mut *self.handler.lock(), handler);
        drop(old);
    }

    /// Tells the handler. If it panics, the default handler reports both (DB-11).
    pub(crate) fn report(&self, context: &ExceptionContext) {
        let handler = self.handler.lock().clone();
        let Some(handler) = handler else { return by_default(context) };
        let of_task = context.task.as_ref().map(TaskRef::get_context);
        let mut variables = of_task.unwrap_or_else(VarContext::current);
        // CV-06: in the context of the task that the report is about.
        let told = catch_unwind(AssertUnwindSafe(|| variables.run(|| handler(context))));
        if let Err(payload) = told {
            by_default(context);
            let broken = ExceptionContext::new("the exception handler panicked").with_error(PanicError::new(payload));
            by_default(&broken);
        }
    }

    /// A failure that nobody has read, now that nobody can (DB-07).
    pub(crate) fn unretrieved(&self, task: &TaskRef, error: TaskError) {
        let context = ExceptionContext::new(match task.ended_as() {
            Ended::Value => "task has a failure in its value, and nobody retrieved it",
            Ended::Cancelled | Ended::Panicked => "task failed and nobody retrieved its outcome",
        });
        self.report(&context.with_task(task.clone()).with_error(error));
    }

    pub(crate) fn callback_panicked(&self, task: Option<&TaskRef>, panic: PanicError) {
        let mut context = ExceptionContext::new("a callback panicked").with_error(panic);
        if let Some(task) = task {
            context = context.with_task(task.clone());
        }
        self.report(&context);
    }
}

/// Logs failures at error level and what is merely slow at warn level; to stderr while nobody has installed a subscriber.
fn by_default(context: &ExceptionContext) {
    if !tracing::dispatcher::has_been_set() {
        // Not `eprintln!`, which panics when stderr is closed.
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "runtime: {context}");
        return;
    }
    // A subscriber is a user's code, and this may be called in the middle of a worker's loop (DB-11).
    let logged = catch_unwind(AssertUnwindSafe(|| log(context)));
    drop(logged.map_err(PanicError::new));
}

fn log(context: &ExceptionContext) {
    let task = context.task.as_ref();
    let id = task.map(|task| task.id().0);
    let name = task.map(TaskRef::get_name);
    let elapsed = context.elapsed.map(|elapsed| elapsed.as_secs_f64());
    if elapsed.is_some() {
        tracing::warn!(target: "runtime", { task.id = id, task.name = name, worker = context.worker, elapsed }, "{context}");
    } else {
        tracing::error!(target: "runtime", { task.id = id, task.name = name }, "{context}");
    }
}

/// All runtimes that live, by number: for what happens to tasks after their completion, when they do not keep their runtime any more.
static RUNTIMES: Mutex<Vec<(u32, Weak<Shared>)>> = Mutex::new(Vec::new());

pub(crate) fn register_runtime(shared: &Arc<Shared>) {
    let mut runtimes = RUNTIMES.lock();
    runtimes.retain(|(_, runtime)| runtime.strong_count() > 0);
    runtimes.push((shared.id, Arc::downgrade(shared)));
}

pub(crate) fn forget_runtime(id: u32) {
    RUNTIMES.lock().retain(|(runtime, _)| *runtime != id);
}

pub(crate) fn runtime_of(task: &TaskRef) -> Option<Arc<Shared>> {
    let id = task.header().runtime;
    let runtimes = RUNTIMES.lock();
    runtimes.iter().find(|(runtime, _)| *runtime == id).and_then(|(_, shared)| shared.upgrade())
}

/// As [`Reporter::unretrieved`], from wherever the last handle was dropped.
#[cold]
pub(crate) fn unretrieved(task: &TaskRef, error: TaskError) {
    match runtime_of(task) {
        Some(shared) => shared.reporter.unretrieved(task, error),
        None => Reporter::default().unretrieved(task, error),
    }
}

/// Runs done callbacks as queued work of the task's runtime; here and now where there is none.
///
/// The caller has begun to drain them (`Draining`).
pub(crate) fn run_callbacks_of(task: &TaskRef) {
    match runtime_of(task) {
        Some(shared) => queue_callbacks(&shared, task),
        None => run_callbacks_here(&Reporter::default(), task),
    }
}

/// How deep callbacks that complete other promises nest on one stack. Picked out of thin air: some of it, so that a callback which itself
/// waits for another's callbacks rarely waits in vain.
const CALLBACK_DEPTH: u32 = 32;

/// The callbacks that run on this thread for want of a queue, and those that wait for the stack to become flatter.
struct Here {
    depth: Cell<u32>,
    waiting: RefCell<VecDeque<TaskRef>>,
}

thread_local! {
    static HERE: Here = const { Here { depth: Cell::new(0), waiting: RefCell::new(VecDeque::new()) } };
}

/// Runs callbacks on this stack, or, when callbacks that complete promises are nested too deep, when some of them have returned.
fn run_callbacks_here(reporter: &Reporter, task: &TaskRef) {
    struct Up<'a>(&'a Here);

    impl Drop for Up<'_> {
        fn drop(&mut self) {
            self.0.depth.set(self.0.depth.get() - 1);
        }
    }

    let nested = HERE.try_with(|here| {
        let depth = here.depth.get();
        if depth == CALLBACK_DEPTH {
            here.waiting.borrow_mut().push_back(task.clone());
            return;
        }
        here.depth.set(depth + 1);
        let _up = Up(here);
        run_all_callbacks(reporter, task);
        if depth + 1 == CALLBACK_DEPTH {
            run_waiting(here, reporter);
        }
    });
    if nested.is_err() {
        // The thread is being torn down.
        run_all_callbacks(reporter, task);
    }
}

fn run_waiting(here: &Here, reporter: &Reporter) {
    loop {
        // A statement of its own: the borrow must be over when a callback adds to what waits.
        let next = here.waiting.borrow_mut().pop_front();
        let Some(task) = next else { return };
        run_all_callbacks(reporter, &task);
    }
}

/// Queues a piece of work that runs all callbacks that wait by then, in their order.
pub(crate) fn queue_callbacks(shared: &Arc<Shared>, task: &TaskRef) {
    let batch = Batch { shared: Arc::downgrade(shared), task: Some(task.clone()) };
    queue(shared, async move { batch.run() }, Location::caller());
}

/// Callbacks on their way: those of a runtime that closes before their turn still run, from `drop`.
struct Batch {
    shared: Weak<Shared>,
    /// The task whose callbacks they are; `None` once it is seen to.
    task: Option<TaskRef>,
}

impl Batch {
    /// Runs those that there are; what they add to the same task comes after what is ready.
    fn run(mut self) {
        // Without the runtime, the drop sees to them.
        let Some(shared) = self.shared.upgrade() else { return };
        let Some(task) = self.task.take() else { return };
        if run_round(&shared.reporter, &task) && !task.header().cold().end_if_drained() {
            queue_callbacks(&shared, &task);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        match self.shared.upgrade() {
            Some(shared) => run_callbacks_here(&shared.reporter, &task),
            None => run_callbacks_here(&Reporter::default(), &task),
        }
    }
}

/// Runs the callbacks of a task until there are no more.
fn run_all_callbacks(reporter: &Reporter, task: &TaskRef) {
    while run_round(reporter, task) {}
}

/// Runs the callbacks that there are; false when there were none, and the work is over.
fn run_round(reporter: &Reporter, task: &TaskRef) -> bool {
    let Some(callbacks) = task.header().cold().next_round() else { return false };
    for callback in callbacks {
        let mut context = callback.context;
        let function = callback.function;
        let ran = catch_unwind(AssertUnwindSafe(|| context.run(|| function(task))));
        if let Err(payload) = ran {
            reporter.callback_panicked(Some(task), PanicError::new(payload));
        }
    }
    true
}

/// Queues work that is no task in a user's eyes.
pub(crate) fn queue(
    shared: &Arc<Shared>,
    work: impl Future<Output = ()> + Send + 'static,
    location: &'static Location<'static>,
) {
    let options = Options {
        context: Some(VarContext::new()),
        eager: Some(false),
        kind: Kind::Callback,
        ..Options::plain(location)
    };
    let task = crate::scheduler::with_worker_of(shared, |worker| create(shared, worker, work, options));
    drop(task);
}
