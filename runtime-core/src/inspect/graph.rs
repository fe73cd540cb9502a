//! What pictures are made of: tasks, workers, and who awaits whom.

use super::stack::{self, StackFrame, TaskStack};
use super::watch::{Leaf, Seen};
use crate::task::state::{COMPLETE, NOTIFIED, RUNNING, STARTED, Snapshot};
use crate::task::task_ref::Ended;
use crate::task::{Kind, TaskId, TaskRef};
use crate::time::clock::Clock;
use std::collections::HashSet;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

/// What a task does at the moment.
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, TaskState, create_task, testing};
///
/// testing::block_on(async {
///     let task = create_task(async {});
///     let graph = Handle::current().call_graph();
///     assert_eq!(graph.get(task.id()).unwrap().state, TaskState::Created);
///     assert_eq!(TaskState::Created.to_string(), "not started");
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It has not had its first poll.
    Created,
    /// It waits for a worker; or, seldom, it runs, and has just started another task eagerly, which is shown as running in its place.
    Ready,
    /// A worker polls it.
    Running,
    /// It waits for something.
    Suspended {
        /// For how long, if the runtime records its polls.
        since: Option<Duration>,
    },
    /// It has ended with a value.
    Finished,
    /// It has ended cancelled.
    Cancelled,
    /// It has ended by a panic.
    Panicked,
}

impl TaskState {
    /// `running` are the addresses of the tasks that workers run.
    pub(super) fn of(task: &TaskRef, state: Snapshot, since: Option<Duration>, running: &[usize]) -> Self {
        match () {
            () if state.has(COMPLETE) => match task.ended_as() {
                Ended::Value => Self::Finished,
                Ended::Cancelled => Self::Cancelled,
                Ended::Panicked => Self::Panicked,
            },
            () if task.header().kind().is_promise() => Self::Suspended { since: None },
            () if !state.has(STARTED) => Self::Created,
            () if running.contains(&task.as_raw().as_ptr().addr()) => Self::Running,
            // One that has yielded keeps `RUNNING` while it waits for its turn.
            () if state.has(NOTIFIED | RUNNING) => Self::Ready,
            () => Self::Suspended { since },
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "not started",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Suspended { since: Some(since) } => return write!(f, "suspended for {since:.1?}"),
            Self::Suspended { since: None } => "suspended",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        })
    }
}

/// What is waited for.
///
/// # Examples
///
/// ```
/// use runtime_core::{Awaits, Handle, create_task, testing, yield_now};
///
/// testing::block_on(async {
///     let inner = create_task(std::future::pending::<()>());
///     let id = inner.id();
///     let outer = create_task(inner);
///     yield_now().await;
///     yield_now().await;
///     let graph = Handle::current().call_graph();
///     assert_eq!(graph.get(outer.id()).unwrap().awaits[0].what, Awaits::Task(id));
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Awaits {
    /// The end of a task.
    Task(TaskId),
    /// The end of several tasks.
    Tasks(Vec<TaskId>),
    /// A promise.
    Promise {
        /// The number of its task.
        id: TaskId,
        /// Where it was made.
        location: &'static Location<'static>,
    },
    /// A function on a thread.
    Thread {
        /// The number of its task.
        id: TaskId,
        /// Where it was given to the thread.
        location: &'static Location<'static>,
    },
    /// A timer.
    Timer {
        /// When it is due; `None` for one that never is.
        until: Option<Instant>,
        /// How far that was away when this was seen.
        after: Option<Duration>,
    },
    /// Nothing: it goes on when it is its turn.
    Yield,
    /// A future of somebody else's, which has registered the task's waker.
    Foreign,
    /// Not waiting: this is where the running task has asked for its stack.
    Here,
}

impl fmt::Display for Awaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => write!(f, "awaits task {task}"),
            Self::Tasks(tasks) => write!(f, "awaits {} tasks", tasks.len()),
            Self::Promise { id, location } => write!(f, "awaits the promise {id} made at {location}"),
            Self::Thread { id, location } => write!(f, "awaits the thread of {id} begun at {location}"),
            Self::Timer { after: Some(after), .. } => write!(f, "awaits a timer in {after:.1?}"),
            Self::Timer { .. } => f.write_str("sleeps for ever"),
            Self::Yield => f.write_str("goes on at its next turn"),
            Self::Foreign => f.write_str("awaits a foreign future"),
            Self::Here => f.write_str("is running here"),
        }
    }
}

/// One place where a task waits.
///
/// # Examples
///
/// ```
/// use runtime_core::{Await, Handle, create_task, testing, yield_now};
///
/// testing::block_on(async {
///     let inner = create_task(std::future::pending::<()>());
///     let id = inner.id();
///     let outer = create_task(inner);
///     yield_now().await;
///     yield_now().await;
///     let graph = Handle::current().call_graph();
///     let place: &Await = &graph.get(outer.id()).unwrap().awaits[0];
///     assert_eq!((place.tasks(), place.via), ([id].as_slice(), None));
/// });
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Await {
    /// What is waited for.
    pub what: Awaits,
    /// The combinator that does it, if it said so: `gather`, `group`, `shield`.
    pub via: Option<&'static str>,
    /// Return addresses; empty when no stack was taken.
    addresses: Vec<usize>,
    /// How many frames are to be shown.
    pub(super) limit: usize,
}

impl Await {
    pub(super) fn new(seen: Seen, clock: Option<&Clock>) -> Self {
        let what = match seen.leaf {
            Leaf::Join { task: id, kind: Kind::Promise, location } => Awaits::Promise { id, location },
            Leaf::Join { task: id, kind: Kind::Thread, location } => Awaits::Thread { id, location },
            Leaf::Join { task, .. } => Awaits::Task(task),
            Leaf::Tasks(tasks) => Awaits::Tasks(tasks),
            Leaf::Timer(deadline) => timer(deadline, clock),
            Leaf::Yield => Awaits::Yield,
            Leaf::Foreign => Awaits::Foreign,
            Leaf::Internal => Awaits::Here,
        };
        Self { what, via: seen.via, addresses: seen.frames, limit: usize::MAX }
    }

    pub(super) fn without_stack(what: Awaits, via: Option<&'static str>) -> Self {
        Self { what, via, addresses: Vec::new(), limit: usize::MAX }
    }

    pub(super) fn addresses(&self) -> &[usize] {
        &self.addresses
    }

    /// The tasks that are waited for.
    pub fn tasks(&self) -> &[TaskId] {
        match &self.what {
            Awaits::Task(task) => std::slice::from_ref(task),
            Awaits::Tasks(tasks) => tasks,
            _ => &[],
        }
    }

    /// The functions from here up to the task's own, innermost first. Looks their names up: see [`TaskStack`].
    pub fn frames(&self) -> Vec<StackFrame> {
        if self.limit == 0 {
            return Vec::new();
        }
        let mut frames = stack::resolve(&self.addresses);
        frames.truncate(self.limit);
        frames
    }
}

pub(super) fn timer(deadline: Option<u64>, clock: Option<&Clock>) -> Awaits {
    match (deadline, clock) {
        (Some(deadline), Some(clock)) => Awaits::Timer {
            until: Some(clock.instant(deadline)),
            after: Some(Duration::from_nanos(deadline.saturating_sub(clock.now()))),
        },
        _ => Awaits::Timer { until: None, after: None },
    }
}

/// A task in a [`CallGraph`].
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, TaskReport, create_task, testing, yield_now};
///
/// testing::block_on(async {
///     let inner = create_task(std::future::pending::<()>());
///     let id = inner.id();
///     let outer = create_task(inner);
///     yield_now().await;
///     yield_now().await;
///     let graph = Handle::current().call_graph();
///     let report: &TaskReport = graph.get(id).unwrap();
///     assert_eq!((report.awaited_by.as_slice(), report.cancelling), ([outer.id()].as_slice(), 0));
/// });
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskReport {
    /// Its number.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// Where it was created.
    pub location: &'static Location<'static>,
    /// What it does.
    pub state: TaskState,
    /// Cancel requests, less those taken back: above 0 the task is *cancelling*.
    pub cancelling: u32,
    /// The task that has created it, if the runtime records that (`Config::inspect`).
    pub parent: Option<TaskId>,
    /// The task whose group it is in.
    pub group: Option<TaskId>,
    /// How often it was polled, if the runtime records that (`Config::inspect`).
    pub polls: Option<u64>,
    /// What it awaits, as far as it is known.
    pub awaits: Vec<Await>,
    /// Whether `awaits` is all of it: what a poll has seen, and not only what can be read off from outside. For a task that has been told to
    /// go on since, it is what it did last. An await that lost a `select!` in that very poll, after it was polled, is in it too.
    pub is_exact: bool,
    /// Who awaits it.
    pub awaited_by: Vec<TaskId>,
}

impl TaskReport {
    /// Its stack, if one was taken.
    pub fn stack(&self) -> TaskStack {
        TaskStack {
            id: self.id,
            name: self.name.clone(),
            location: self.location,
            state: self.state.clone(),
            awaits: self.awaits.clone(),
        }
    }
}

/// A worker in a [`CallGraph`].
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, WorkerReport, testing};
///
/// testing::block_on(async {
///     let graph = Handle::current().call_graph();
///     let worker: &WorkerReport = &graph.workers()[0];
///     assert_eq!((worker.index, worker.asleep), (0, false));
/// });
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Its place among the workers.
    pub index: usize,
    /// Whether it sleeps, for want of work.
    pub asleep: bool,
    /// Whether it got on while stacks were waited for; `None` when none were. False is a worker that was in one and the same poll all the time.
    pub moves: Option<bool>,
}

/// A picture of a runtime, or of what one task has to do with: all tasks, what each awaits, and who awaits it.
///
/// Displayed it is a tree from the tasks that nobody awaits down to what they wait for, as asyncio's `pstree`; [`table`](Self::table)
/// is one row per task, as its `ps`. Tasks that await each other in a cycle are named first.
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, TaskBuilder, current_task, testing, yield_now};
///
/// testing::block_on(async {
///     let inner = TaskBuilder::new().name("inner").create_task(std::future::pending::<()>());
///     let id = inner.id();
///     let outer = TaskBuilder::new().name("outer").create_task(inner);
///     yield_now().await;
///     let graph = Handle::current().call_graph();
///     assert_eq!(graph.get(id).unwrap().awaited_by, [outer.id()]);
///     assert!(graph.to_string().contains("outer"));
/// });
/// ```
///
/// # Example: other views
///
/// ```
/// use runtime_core::{Handle, TaskBuilder, testing};
///
/// testing::block_on(async {
///     let waits = TaskBuilder::new().name("waits").create_task(std::future::pending::<()>());
///     let graph = Handle::current().call_graph();
///     assert!(graph.roots().any(|task| task.id == waits.id()));
///     assert!(graph.table().to_string().contains("waits"));
///     assert!(graph.limit(0).to_string().contains("waits"));
/// });
/// ```
#[derive(Debug, Clone)]
pub struct CallGraph {
    /// By number.
    pub(super) tasks: Vec<TaskReport>,
    pub(super) workers: Vec<WorkerReport>,
}

impl CallGraph {
    pub(super) fn empty() -> Self {
        Self { tasks: Vec::new(), workers: Vec::new() }
    }

    /// All tasks, oldest first.
    pub fn tasks(&self) -> &[TaskReport] {
        &self.tasks
    }

    /// The workers; none in the picture of a single task.
    pub fn workers(&self) -> &[WorkerReport] {
        &self.workers
    }

    /// The task with this number.
    pub fn get(&self, id: TaskId) -> Option<&TaskReport> {
        self.place(id).map(|place| &self.tasks[place])
    }

    /// The tasks that nobody awaits.
    pub fn roots(&self) -> impl Iterator<Item = &TaskReport> {
        self.tasks.iter().filter(|task| task.awaited_by.is_empty())
    }

    /// Keeps the `frames` innermost frames of each stack; 0 keeps who awaits whom only.
    pub fn limit(mut self, frames: usize) -> Self {
        for place in self.tasks.iter_mut().flat_map(|task| &mut task.awaits) {
            place.limit = place.limit.min(frames);
        }
        self
    }

    /// Tasks that await each other in a cycle, and so will wait for ever unless they are cancelled: each once, in the order of the awaits.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, Task, create_task, testing, yield_now};
    /// use std::sync::{Arc, Mutex};
    ///
    /// testing::block_on(async {
    ///     let place = Arc::new(Mutex::new(None::<Task<()>>));
    ///     let other = place.clone();
    ///     let one = create_task(async move {
    ///         let task = other.lock().unwrap().take().unwrap();
    ///         task.await.unwrap();
    ///     });
    ///     let ids = one.id();
    ///     let two = create_task(async move { one.await.unwrap() });
    ///     let expected = [ids, two.id()];
    ///     *place.lock().unwrap() = Some(two);
    ///     yield_now().await;
    ///     yield_now().await;
    ///     assert_eq!(Handle::current().call_graph().cycles(), [expected]);
    /// });
    /// ```
    pub fn cycles(&self) -> Vec<Vec<TaskId>> {
        super::text::cycles(self)
    }

    /// One row per task, to be displayed.
    pub fn table(&self) -> impl fmt::Display {
        super::text::table(self)
    }

    pub(super) fn place(&self, id: TaskId) -> Option<usize> {
        self.tasks.binary_search_by_key(&id, |task| task.id).ok()
    }

    /// What this task has to do with: those that it awaits, and those that await it, over any number of steps.
    pub(super) fn around(mut self, center: TaskId) -> Self {
        let mut kept = HashSet::from([center]);
        for next in [
            (|task: &TaskReport| task.awaits.iter().flat_map(Await::tasks).copied().collect())
                as fn(&TaskReport) -> Vec<TaskId>,
            |task| task.awaited_by.clone(),
        ] {
            let mut reached = vec![center];
            while let Some(id) = reached.pop() {
                let task = self.get(id);
                reached.extend(task.map(next).unwrap_or_default().into_iter().filter(|id| kept.insert(*id)));
            }
        }
        self.tasks.retain(|task| kept.contains(&task.id));
        self.workers.clear();
        self
    }
}
