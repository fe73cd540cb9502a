//! Creating tasks.

use super::cell::{self, Header, Hook, NewTask, Told};
use super::error::PanicError;
use super::handle::Task;
use super::state::State;
use super::task_ref::{TaskId, TaskRef};
use super::{Kind, Notified, harness};
use crate::context::{self, Context};
use crate::inspect;
use crate::observe::spans;
use crate::scheduler::worker::{self, Worker};
use crate::scheduler::{Shared, with_worker_of};
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

/// Makes `future` a task of the current runtime and schedules it.
///
/// Returns at once; the future runs on any of the workers, beginning at the earliest when the caller suspends (with several workers perhaps
/// at the same time). The task lives until it ends, also when its handle is dropped, and its context is a copy of the
/// caller's. [`spawn`] is the same function.
///
/// # Panics
///
/// When this thread is not running a runtime: use [`Handle::create_task`](crate::Handle::create_task), or
/// `run_coroutine_threadsafe` from other threads.
///
/// # Cancellation
///
/// [`Task::cancel`](crate::TaskRef::cancel) makes a request; one that comes before the first poll drops the future unpolled. Dropping the handle detaches.
///
/// # Examples
///
/// ```
/// use runtime_core::{create_task, testing};
///
/// testing::block_on(async {
///     let task = create_task(async { "done" });
///     assert_eq!(task.await.unwrap(), "done");
/// });
/// ```
#[doc(alias = "ensure_future")]
#[track_caller]
#[inline]
pub fn create_task<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    create_plainly(future).into_task()
}

/// [`create_task`] under the name that other runtimes give it.
#[track_caller]
#[inline]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    create_plainly(future).into_task()
}

/// Without a builder, which would be written and read again.
#[track_caller]
fn create_plainly<F>(future: F) -> New<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let location = Location::caller();
    worker::with_current_or_panic("create_task", |worker| {
        create_told(worker.shared(), Some(worker), future, |_| (), (), Options::plain(location))
    })
}

/// The same on the runtime of a handle.
#[track_caller]
pub(crate) fn create_plainly_on<F>(shared: &Arc<Shared>, future: F) -> New<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let location = Location::caller();
    with_worker_of(shared, |worker| create_told(shared, worker, future, |_| (), (), Options::plain(location)))
}

/// Creates a task with a name, a context of its own, or an eager start.
///
/// # Examples
///
/// ```
/// use runtime_core::{TaskBuilder, testing};
///
/// testing::block_on(async {
///     let task = TaskBuilder::new().name("answer").eager_start(true).create_task(async { 42 });
///     assert!(task.done(), "it never had to wait");
///     assert_eq!(task.get_name(), "answer");
///     assert_eq!(task.await.unwrap(), 42);
/// });
/// ```
#[derive(Debug, Default, Clone)]
#[must_use = "a builder does nothing until `create_task`"]
pub struct TaskBuilder {
    name: Option<String>,
    context: Option<Context>,
    eager_start: Option<bool>,
    awaited_by: Option<TaskId>,
}

impl TaskBuilder {
    /// A builder for a task like those of [`create_task`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The task's name; without it, it is `Task-N`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The task runs in a copy of this context instead of the creator's.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Context, TaskBuilder, context_var, testing};
    ///
    /// context_var! { static LANG: &'static str = "en"; }
    /// testing::block_on(async {
    ///     LANG.set("de");
    ///     let task = TaskBuilder::new().context(Context::new()).create_task(async { LANG.get() });
    ///     assert_eq!(task.await.unwrap(), "en");
    /// });
    /// ```
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Whether the task's first step runs inside of `create_task`, up to its first suspension. Only on a worker of the
    /// same runtime, and not nested deeper than a fixed bound; else the task is queued. The default is the runtime's.
    pub fn eager_start(mut self, eager: bool) -> Self {
        self.eager_start = Some(eager);
        self
    }

    /// The task counts as awaited by this one, from its creation to its end: as a task group awaits its children. For pictures of the
    /// runtime only; nothing is waited for.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{TaskBuilder, current_task, testing};
    /// use std::future::pending;
    ///
    /// testing::block_on(async {
    ///     let me = current_task().unwrap();
    ///     let child = TaskBuilder::new().awaited_by(me.id()).create_task(pending::<()>());
    ///     assert_eq!(child.call_graph().get(child.id()).unwrap().awaited_by, [me.id()]);
    /// });
    /// ```
    pub fn awaited_by(mut self, task: TaskId) -> Self {
        self.awaited_by = Some(task);
        self
    }

    /// Creates the task on the current runtime.
    ///
    /// # Panics
    ///
    /// As [`create_task`].
    ///
    /// # Cancellation
    ///
    /// As [`create_task`].
    #[track_caller]
    pub fn create_task<F>(self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let location = Location::caller();
        worker::with_current_or_panic("create_task", |worker| {
            create(worker.shared(), Some(worker), future, self.into_options(location))
        })
    }

    /// As [`create_task`](Self::create_task); `begins` is called before the first poll, an eager one too, and `ended` in the step that ends the task,
    /// when it is done and before anybody who waits for it is woken. Both should be short, and must not block; a panic in them is swallowed.
    ///
    /// A closed runtime refuses the task: then `ended` is called alone. For combinators: a task group knows its children so.
    ///
    /// # Panics
    ///
    /// As [`create_task`].
    ///
    /// # Cancellation
    ///
    /// As [`create_task`]. A request that `begins` makes comes before the first poll: the future is dropped unpolled, unless it starts eagerly.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{TaskBuilder, testing};
    /// use std::sync::mpsc;
    ///
    /// testing::block_on(async {
    ///     let (log, logged) = mpsc::channel();
    ///     let (begins, ended) = (log.clone(), log.clone());
    ///     let body = async move { log.send("runs").unwrap() };
    ///     let task = TaskBuilder::new().create_task_and_tell(
    ///         body,
    ///         move |_| begins.send("begins").unwrap(),
    ///         move |_| ended.send("ended").unwrap(),
    ///     );
    ///     task.await.unwrap();
    ///     assert_eq!(logged.try_iter().collect::<Vec<_>>(), ["begins", "runs", "ended"]);
    /// });
    /// ```
    #[track_caller]
    pub fn create_task_and_tell<F>(
        self,
        future: F,
        begins: impl FnOnce(&TaskRef),
        ended: impl FnOnce(&TaskRef) + Send + 'static,
    ) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let location = Location::caller();
        worker::with_current_or_panic("create_task", |worker| {
            create_told(worker.shared(), Some(worker), future, begins, Told(ended), self.into_options(location))
        })
        .into_task()
    }

    /// Creates the task on the runtime of a handle.
    pub(crate) fn create_on<F>(
        self,
        shared: &Arc<Shared>,
        future: F,
        location: &'static Location<'static>,
    ) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let options = self.into_options(location);
        with_worker_of(shared, |worker| create(shared, worker, future, options))
    }

    #[inline]
    fn into_options(self, location: &'static Location<'static>) -> Options {
        let awaited_by = self.awaited_by.map_or(0, inspect::owner);
        Options {
            name: self.name,
            context: self.context,
            eager: self.eager_start,
            awaited_by,
            ..Options::plain(location)
        }
    }
}

/// All that can be said of a new task.
pub(crate) struct Options {
    pub(crate) name: Option<String>,
    pub(crate) context: Option<Context>,
    pub(crate) eager: Option<bool>,
    pub(crate) kind: Kind,
    pub(crate) location: &'static Location<'static>,
    /// See [`Header::waiter`](super::cell::Header::waiter).
    pub(crate) awaited_by: u32,
}

impl Options {
    /// Those of a task of which nothing is said.
    #[inline]
    pub(crate) fn plain(location: &'static Location<'static>) -> Self {
        Self { name: None, context: None, eager: None, kind: Kind::Task, location, awaited_by: 0 }
    }
}

#[inline]
fn new_state(watched: bool, running: bool) -> State {
    let state = if running { State::new_running() } else { State::new_notified() };
    if watched { state.watched() } else { state }
}

/// A new task without its handle, which is made where it is wanted: a few words that are read right after they were written in other pieces make the reader wait
/// (8 % of `spawn/await_all`, which puts its handles into a `Vec`).
pub(crate) struct New<T>(NonNull<Header>, PhantomData<fn() -> T>);

impl<T> New<T> {
    #[inline]
    pub(crate) fn into_task(self) -> Task<T> {
        // SAFETY: of the two references counted at allocation one is the handle's; made by `create_told` only, with the output type of the future.
        unsafe { Task::from_raw(self.0) }
    }
}

/// Allocates, lists and schedules a task. On a runtime that is closed, or that is being closed and is not the caller's, the future is dropped, and the task
/// has ended cancelled.
///
/// Futures that are not `Send` are allowed for `Kind::Main` only, from the thread that is worker 0.
#[inline]
pub(crate) fn create<F: Future>(
    shared: &Arc<Shared>,
    worker: Option<&Worker>,
    future: F,
    options: Options,
) -> Task<F::Output> {
    create_told(shared, worker, future, |_| (), (), options).into_task()
}

/// Inlined, so that what is said of most tasks, which is nothing, is known to the compiler: half of the instructions of a spawn.
#[inline(always)]
fn create_told<F: Future, H: Hook>(
    shared: &Arc<Shared>,
    worker: Option<&Worker>,
    future: F,
    begins: impl FnOnce(&TaskRef),
    hook: H,
    options: Options,
) -> New<F::Output> {
    let eager = options.eager.unwrap_or(shared.config.eager_tasks)
        && options.kind == Kind::Task
        && worker.is_some_and(Worker::may_run_eagerly);
    let id = worker.map_or_else(worker::foreign_id, Worker::next_id);
    let shard = shared.place_of(worker, id);
    let new = NewTask {
        state: new_state(shared.config.inspect, eager),
        kind: options.kind,
        id,
        runtime: shared.id,
        shard,
        context: options.context.map_or_else(context::current_map, |context| context.map),
        location: options.location,
        waiter: options.awaited_by,
    };
    let raw = cell::allocate::<F, Shared, H>(future, Arc::as_ptr(shared), hook, new);
    // SAFETY: the handle's reference stands.
    let task = unsafe { TaskRef::borrow_raw(raw) };
    if let Some(name) = options.name {
        task.set_name(name);
    }
    if shared.config.inspect {
        inspect::begin_record(&task);
    }
    if spans::wanted() {
        // SAFETY: allocated with these types, and seen by nobody else yet.
        unsafe { cell::trace::<F, Shared, H>(raw) };
    }
    let is_refused = worker.is_none() && shared.refuses_strangers(options.kind);
    // SAFETY: new, and in no list; the runtime's reference keeps it until its completion removes it.
    if is_refused || !unsafe { shared.tasks.get(shard).insert(raw) } {
        harness::refuse(raw, "the runtime is closed");
        return New(raw, PhantomData);
    }
    if H::TELLS {
        drop(catch_unwind(AssertUnwindSafe(|| begins(&task))).map_err(PanicError::new));
    }
    // SAFETY: created `NOTIFIED` (or `RUNNING`): the push (or the poll) is owed by the creator.
    let notified = unsafe { Notified::new(raw) };
    match worker {
        Some(worker) if eager => worker.run_eagerly(notified),
        Some(worker) => {
            if let Some(main) = worker.push_woken(notified) {
                shared.push_from_outside(main);
            }
        }
        None => shared.push_from_outside(notified),
    }
    New(raw, PhantomData)
}
