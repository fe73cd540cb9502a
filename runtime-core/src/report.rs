//! What goes wrong with nobody waiting for it: the exception handler, and running done callbacks.

use crate::context::Context as VarContext;
use crate::scheduler::Shared;
use crate::task::builder::{Options, create};
use crate::task::cold::Callback;
use crate::task::error::{PanicError, TaskError};
use crate::task::{Kind, TaskRef};
use parking_lot::Mutex;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Weak};

/// What the exception handler is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExceptionContext {
    /// What happened.
    pub message: String,
    /// The task it is about, if any.
    pub task: Option<TaskRef>,
    /// The failure, if there is one.
    pub error: Option<TaskError>,
}

impl ExceptionContext {
    /// A report with nothing but a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), task: None, error: None }
    }

    /// Adds the task it is about.
    pub fn with_task(mut self, task: TaskRef) -> Self {
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
        if let Some(task) = &self.task {
            write!(f, "; task {} created at {}", task.get_name(), task.location())?;
        }
        match &self.error {
            Some(error) => write!(f, "; {error}"),
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
        let context = ExceptionContext::new("task failed and nobody retrieved its outcome");
        self.report(&context.with_task(task.clone()).with_error(error));
    }

    pub(crate) fn callback_panicked(&self, task: Option<&TaskRef>, panic: PanicError) {
        let mut context = ExceptionContext::new("a callback panicked").with_error(panic);
        context.task = task.cloned();
        self.report(&context);
    }
}

/// Logs at error level; to stderr while nobody has installed a subscriber.
fn by_default(context: &ExceptionContext) {
    if tracing::dispatcher::has_been_set() {
        // A subscriber is a user's code, and this may be called in the middle of a worker's loop (DB-11).
        let logged = catch_unwind(AssertUnwindSafe(|| tracing::error!(target: "runtime", "{context}")));
        drop(logged.map_err(PanicError::new));
    } else {
        // Not `eprintln!`, which panics when stderr is closed.
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "runtime: {context}");
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

fn runtime_of(task: &TaskRef) -> Option<Arc<Shared>> {
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
pub(crate) fn run_callbacks_of(task: &TaskRef, callbacks: Vec<Callback>) {
    match runtime_of(task) {
        Some(shared) => queue_callbacks(&shared, task, callbacks),
        None => run_callbacks_here(&Reporter::default(), task, callbacks),
    }
}

/// How deep callbacks that complete other promises nest on one stack. Picked out of thin air: some of it, so that a callback which itself
/// waits for another's callbacks rarely waits in vain.
const CALLBACK_DEPTH: u32 = 32;

/// The callbacks that run on this thread for want of a queue, and those that wait for the stack to become flatter.
struct Here {
    depth: Cell<u32>,
    waiting: RefCell<VecDeque<(TaskRef, Vec<Callback>)>>,
}

thread_local! {
    static HERE: Here = const { Here { depth: Cell::new(0), waiting: RefCell::new(VecDeque::new()) } };
}

/// Runs callbacks on this stack, or, when callbacks that complete promises are nested too deep, when some of them have returned.
fn run_callbacks_here(reporter: &Reporter, task: &TaskRef, callbacks: Vec<Callback>) {
    struct Up<'a>(&'a Here);

    impl Drop for Up<'_> {
        fn drop(&mut self) {
            self.0.depth.set(self.0.depth.get() - 1);
        }
    }

    let mut callbacks = Some(callbacks);
    let nested = HERE.try_with(|here| {
        let depth = here.depth.get();
        if depth == CALLBACK_DEPTH {
            here.waiting.borrow_mut().push_back((task.clone(), callbacks.take().expect("not run yet")));
            return;
        }
        here.depth.set(depth + 1);
        let _up = Up(here);
        run_callbacks(reporter, task, callbacks.take().expect("not run yet"));
        if depth + 1 == CALLBACK_DEPTH {
            run_waiting(here, reporter);
        }
    });
    if nested.is_err() {
        // The thread is being torn down.
        run_callbacks(reporter, task, callbacks.take().expect("not run"));
    }
}

fn run_waiting(here: &Here, reporter: &Reporter) {
    loop {
        // A statement of its own: the borrow must be over when a callback adds to what waits.
        let next = here.waiting.borrow_mut().pop_front();
        let Some((task, callbacks)) = next else { return };
        run_callbacks(reporter, &task, callbacks);
    }
}

/// Queues a piece of work that runs all callbacks in their order.
pub(crate) fn queue_callbacks(shared: &Arc<Shared>, task: &TaskRef, callbacks: Vec<Callback>) {
    let batch = Batch { shared: Arc::downgrade(shared), task: task.clone(), callbacks };
    queue(shared, async move { batch.run() }, Location::caller());
}

/// Callbacks on their way: those of a runtime that closes before their turn still run, from `drop`.
struct Batch {
    shared: Weak<Shared>,
    task: TaskRef,
    callbacks: Vec<Callback>,
}

impl Batch {
    fn run(mut self) {
        self.run_all(run_callbacks);
    }

    fn run_all(&mut self, run: fn(&Reporter, &TaskRef, Vec<Callback>)) {
        let callbacks = std::mem::take(&mut self.callbacks);
        if callbacks.is_empty() {
            return;
        }
        match self.shared.upgrade() {
            Some(shared) => run(&shared.reporter, &self.task, callbacks),
            None => run(&Reporter::default(), &self.task, callbacks),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.run_all(run_callbacks_here);
    }
}

fn run_callbacks(reporter: &Reporter, task: &TaskRef, callbacks: Vec<Callback>) {
    for callback in callbacks {
        let mut context = callback.context;
        let function = callback.function;
        let ran = catch_unwind(AssertUnwindSafe(|| context.run(|| function(task))));
        if let Err(payload) = ran {
            reporter.callback_panicked(Some(task), PanicError::new(payload));
        }
    }
}

/// Queues work that is no task in a user's eyes.
pub(crate) fn queue(
    shared: &Arc<Shared>,
    work: impl Future<Output = ()> + Send + 'static,
    location: &'static Location<'static>,
) {
    let options =
        Options { name: None, context: Some(VarContext::new()), eager: Some(false), kind: Kind::Callback, location };
    let task = crate::scheduler::with_worker_of(shared, |worker| create(shared, worker, work, options));
    drop(task);
}
