//! Who awaits whom: the picture of a whole runtime, and of what one task has to do with.

use super::answers::{Answer, Answers, WaitForAnswers};
use super::stack::{self, StackFrame, TaskStack};
use super::watch::{Leaf, Seen};
use super::{Waiter, short};
use crate::handle::Handle;
use crate::scheduler::Shared;
use crate::task::handle::{Ended, is_listed};
use crate::task::registry::Walk;
use crate::task::slot::Peeked;
use crate::task::state::{COMPLETE, JOIN_WAKER, NOTIFIED, RUNNING, STARTED, Snapshot};
use crate::task::{Kind, TaskId, TaskRef};
use crate::time::clock::Clock;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a task does at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It has not had its first poll.
    Created,
    /// It waits for a worker. (One that has just called `yield_now` may be shown as running.)
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
    pub(super) fn of(task: &TaskRef, state: Snapshot, since: Option<Duration>) -> Self {
        match () {
            () if state.has(COMPLETE) => match task.ended_as() {
                Ended::Value => Self::Finished,
                Ended::Cancelled => Self::Cancelled,
                Ended::Panicked => Self::Panicked,
            },
            () if task.header().kind().is_promise() => Self::Suspended { since: None },
            () if !state.has(STARTED) => Self::Created,
            () if state.has(RUNNING) => Self::Running,
            () if state.has(NOTIFIED) => Self::Ready,
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

    fn without_stack(what: Awaits, via: Option<&'static str>) -> Self {
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

fn timer(deadline: Option<u64>, clock: Option<&Clock>) -> Awaits {
    match (deadline, clock) {
        (Some(deadline), Some(clock)) => Awaits::Timer {
            until: Some(clock.instant(deadline)),
            after: Some(Duration::from_nanos(deadline.saturating_sub(clock.now()))),
        },
        _ => Awaits::Timer { until: None, after: None },
    }
}

/// A task in a [`CallGraph`].
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
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Its place among the workers.
    pub index: usize,
    /// Whether it sleeps, for want of work.
    pub asleep: bool,
    /// Whether it made polls, or slept, while stacks were waited for; `None` when none were. False is a worker that is stuck in a poll.
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
#[derive(Debug, Clone)]
pub struct CallGraph {
    /// By number.
    tasks: Vec<TaskReport>,
    workers: Vec<WorkerReport>,
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
    fn around(mut self, center: TaskId) -> Self {
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

/// How it is known that one task awaits another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Its waker is there. It may have been left there by an await that is over, of a handle that was kept.
    Waker,
    /// By way of a combinator with wakers of its own.
    Combinator,
    /// All its life.
    Owner,
}

/// What was read from outside, in the order of the tasks' numbers.
pub(super) struct Picture {
    shared: Arc<Shared>,
    tasks: Vec<TaskRef>,
    /// Of each task, whom it awaits.
    edges: Vec<Vec<(TaskId, How)>>,
    /// Of each task, its timers.
    timers: Vec<Vec<u64>>,
    /// Of each task, whose group it is in.
    groups: Vec<Option<TaskId>>,
    /// The task that the picture is of, if it is of one.
    center: Option<TaskId>,
    /// Polls of the workers at the beginning.
    polls: Vec<u64>,
}

impl Picture {
    pub(super) fn take(shared: &Arc<Shared>, more: Option<&TaskRef>) -> Self {
        let mut tasks: Vec<TaskRef> = more.cloned().into_iter().collect();
        for remote in &shared.remotes {
            let mut walk = Walk::default();
            while !remote.tasks.walk_on(&mut walk) {}
            tasks.extend(walk.found.into_iter().filter(|task| is_listed(task.header().kind()) && !task.done()));
        }
        tasks.sort_unstable_by_key(TaskRef::id);
        tasks.dedup();
        let polls = shared.remotes.iter().map(|remote| remote.counters.polls.get()).collect();
        let (edges, timers) = (vec![Vec::new(); tasks.len()], vec![Vec::new(); tasks.len()]);
        let groups = vec![None; tasks.len()];
        let center = more.map(TaskRef::id);
        let mut picture = Self { shared: Arc::clone(shared), tasks, edges, timers, groups, center, polls };
        picture.read_edges();
        picture
    }

    fn read_edges(&mut self) {
        let by_address: HashMap<usize, usize> =
            self.tasks.iter().enumerate().map(|(place, task)| (task.as_raw().as_ptr().addr(), place)).collect();
        let by_short: HashMap<u32, usize> =
            self.tasks.iter().enumerate().map(|(place, task)| (short(task.header().id), place)).collect();
        for (place, task) in self.tasks.iter().enumerate() {
            let header = task.header();
            let waiter = Waiter::of(header);
            let mut note = |from: Option<&usize>, how| {
                if let Some(from) = from {
                    self.edges[*from].push((task.id(), how));
                }
            };
            let owner = waiter.owner().and_then(|owner| by_short.get(&owner));
            note(owner, How::Owner);
            self.groups[place] = owner.map(|owner| self.tasks[*owner].id());
            if header.state.load().has(JOIN_WAKER) {
                match header.join_waker.peek() {
                    Peeked::Ours(address) => note(by_address.get(&address), How::Waker),
                    Peeked::Foreign => {
                        note(waiter.combinator().and_then(|waiter| by_short.get(&waiter)), How::Combinator)
                    }
                    Peeked::Empty => {}
                }
            }
            if let Some(cold) = header.cold_if_any() {
                let waiters: Vec<u64> = cold.inner.lock().waiters.tasks().collect();
                waiters.iter().for_each(|waiter| note(by_short.get(&short(*waiter)), How::Waker));
            }
        }
        for remote in &self.shared.remotes {
            let mut page = 0;
            while let Some(timers) = remote.timers.page(page) {
                for (deadline, address) in timers {
                    if let Some(place) = by_address.get(&address) {
                        self.timers[*place].push(deadline);
                    }
                }
                page += 1;
            }
        }
    }

    /// Asks all tasks for what they await.
    pub(super) fn ask(&self) -> Arc<Answers> {
        Answers::of(self.tasks.iter())
    }

    /// The picture as it can be shown; `answers` are to [`ask`](Self::ask), or none.
    pub(super) fn finish(self, answers: Option<Vec<Option<Answer>>>) -> CallGraph {
        let has_stacks = answers.is_some();
        let mut answers = answers.unwrap_or_default().into_iter();
        let workers = self.workers(has_stacks);
        let mut tasks: Vec<TaskReport> =
            (0..self.tasks.len()).map(|place| self.report(place, answers.next().flatten())).collect();
        if has_stacks {
            // Those that have ended meanwhile.
            let ended = [TaskState::Finished, TaskState::Cancelled, TaskState::Panicked];
            tasks.retain(|task| !ended.contains(&task.state) || Some(task.id) == self.center);
        }
        let mut graph = CallGraph { tasks, workers };
        let mut edges: Vec<(TaskId, TaskId)> = graph
            .tasks
            .iter()
            .flat_map(|task| task.awaits.iter().flat_map(Await::tasks).map(|awaited| (*awaited, task.id)))
            .collect();
        edges.sort_unstable();
        edges.dedup();
        for (awaited, by) in edges {
            if let Some(place) = graph.place(awaited) {
                graph.tasks[place].awaited_by.push(by);
            }
        }
        graph
    }

    fn workers(&self, waited: bool) -> Vec<WorkerReport> {
        let remotes = self.shared.remotes.iter().zip(&self.polls).enumerate();
        let report = |(index, (remote, before)): (usize, (&crossbeam_utils::CachePadded<_>, &u64))| {
            let remote: &crate::scheduler::Remote = remote;
            let asleep = self.shared.idle.is_asleep(index);
            let moved = asleep || remote.counters.polls.get() != *before;
            WorkerReport { index, asleep, moves: waited.then_some(moved) }
        };
        remotes.map(report).collect()
    }

    fn report(&self, place: usize, answer: Option<Answer>) -> TaskReport {
        let task = &self.tasks[place];
        let header = task.header();
        let state = header.state.load();
        let record = header.cold_if_any().and_then(|cold| {
            let inner = cold.inner.lock();
            inner.record.as_ref().map(|record| (record.parent, record.polls, record.since, record.awaits.clone()))
        });
        let clock = &self.shared.clock;
        let since = record.as_ref().map(|(_, _, since, _)| Duration::from_nanos(clock.now().saturating_sub(*since)));
        let answer = answer.flatten();
        let shown = match &answer {
            Some(_) if !state.has(COMPLETE) => TaskState::Suspended { since },
            _ => TaskState::of(task, state, since),
        };
        let (parent, polls) = (record.as_ref().map(|record| record.0), record.as_ref().map(|record| record.1));
        let recorded = record.map(|(_, polls, _, awaits)| (polls, awaits)).filter(|(polls, _)| *polls > 0);
        let seen = answer.or(recorded.map(|(_, awaits)| awaits));
        let is_exact = seen.is_some();
        TaskReport {
            id: task.id(),
            name: task.get_name(),
            location: header.location,
            state: shown,
            cancelling: state.requests(),
            parent: parent.filter(|parent| *parent != 0).map(TaskId),
            group: self.groups[place],
            polls,
            awaits: self.awaits(place, seen),
            is_exact,
            awaited_by: Vec::new(),
        }
    }

    /// What the poll has seen, or else what was read from outside. Of the latter, wakers may be from awaits that are over.
    fn awaits(&self, place: usize, seen: Option<Vec<Seen>>) -> Vec<Await> {
        let clock = Some(&self.shared.clock);
        let is_exact = seen.is_some();
        let mut awaits: Vec<Await> = seen.into_iter().flatten().map(|seen| Await::new(seen, clock)).collect();
        let mut known: HashSet<TaskId> = awaits.iter().flat_map(Await::tasks).copied().collect();
        for (task, how) in &self.edges[place] {
            let is_over = is_exact && *how == How::Waker;
            if !is_over && known.insert(*task) {
                let via = (*how == How::Owner).then_some("group");
                awaits.push(Await::without_stack(Awaits::Task(*task), via));
            }
        }
        if !is_exact {
            let timers = self.timers[place].iter();
            awaits.extend(timers.map(|deadline| Await::without_stack(timer(Some(*deadline), clock), None)));
        }
        awaits
    }
}

impl Handle {
    /// A picture of all tasks of this runtime, from any thread, without disturbing it: what is known from outside.
    ///
    /// That is name, place, state, who awaits which task, and timers. What else is awaited (promises, foreign futures), and whether an await of
    /// a handle that was kept is over since something else won a `select!`, is known of a runtime that records its polls
    /// (`Config::inspect`), and by asking the tasks: [`call_graph_with_stacks`](Self::call_graph_with_stacks).
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, testing};
    ///
    /// testing::block_on(async {
    ///     let graph = Handle::current().call_graph();
    ///     assert_eq!(graph.tasks().len(), 1);
    /// });
    /// ```
    pub fn call_graph(&self) -> CallGraph {
        Picture::take(self.shared(), None).finish(None)
    }

    /// As [`call_graph`](Self::call_graph), and asks every task where it is, by polling it once more than it would be: see
    /// [`TaskRef::stack`]. Tasks that have not answered after `patience` are shown as what they are, running or ready.
    ///
    /// # Panics
    ///
    /// When polled outside of a runtime; [`blocking_call_graph`](Self::blocking_call_graph) is for other threads.
    ///
    /// # Cancellation
    ///
    /// A request or a drop ends the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, create_task, sleep, testing, yield_now};
    /// use std::time::Duration;
    ///
    /// testing::block_on(async {
    ///     let task = create_task(async { sleep(Duration::MAX).await });
    ///     yield_now().await;
    ///     let graph = Handle::current().call_graph_with_stacks(Duration::from_millis(100)).await;
    ///     assert_eq!(graph.get(task.id()).unwrap().awaits.len(), 1);
    /// });
    /// ```
    pub async fn call_graph_with_stacks(&self, patience: Duration) -> CallGraph {
        let picture = Picture::take(self.shared(), None);
        let answers = WaitForAnswers::new(picture.ask(), patience).await;
        picture.finish(Some(answers))
    }

    /// As [`call_graph_with_stacks`](Self::call_graph_with_stacks), on a thread that may block: for at most `patience`, and no longer than it
    /// takes. Works also when all workers are stuck: then it shows what is known from outside.
    ///
    /// # Panics
    ///
    /// On a thread that is running a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Config, Engine, create_task, sleep};
    /// use std::time::Duration;
    ///
    /// let engine = Engine::new(Config { workers: 2, ..Config::default() }).unwrap();
    /// let task = engine.run(async { create_task(async { sleep(Duration::MAX).await }) }).unwrap();
    /// let graph = engine.handle().blocking_call_graph(Duration::from_secs(10));
    /// assert_eq!(graph.get(task.id()).unwrap().awaits.len(), 1);
    /// engine.close();
    /// ```
    pub fn blocking_call_graph(&self, patience: Duration) -> CallGraph {
        assert!(Handle::try_current().is_none(), "a worker must not block: use `call_graph_with_stacks`");
        let picture = Picture::take(self.shared(), None);
        let answers = picture.ask();
        answers.wait(patience);
        picture.finish(Some(answers.take()))
    }
}

impl TaskRef {
    /// What this task has to do with: those that it awaits and those that await it, over any number of steps. See
    /// [`Handle::call_graph`], which it takes and leaves the rest out of.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{create_task, testing, yield_now};
    ///
    /// testing::block_on(async {
    ///     let inner = create_task(std::future::pending::<()>());
    ///     let id = inner.id();
    ///     let outer = create_task(inner);
    ///     yield_now().await;
    ///     let graph = outer.call_graph();
    ///     assert_eq!(graph.tasks().iter().map(|task| task.id).collect::<Vec<_>>(), [id, outer.id()]);
    /// });
    /// ```
    pub fn call_graph(&self) -> CallGraph {
        match crate::report::runtime_of(self) {
            Some(shared) => Picture::take(&shared, Some(self)).finish(None).around(self.id()),
            None => CallGraph::empty(),
        }
    }
}

/// A picture of the current runtime: [`Handle::call_graph`]. Empty outside of a runtime.
///
/// # Examples
///
/// ```
/// use runtime_core::{call_graph, testing};
///
/// assert!(call_graph().tasks().is_empty());
/// testing::block_on(async { assert_eq!(call_graph().tasks().len(), 1) });
/// ```
pub fn call_graph() -> CallGraph {
    Handle::try_current().map_or_else(CallGraph::empty, |handle| handle.call_graph())
}

/// asyncio's `capture_call_graph`: a task with its stack, those that it awaits, and those that await it, all with theirs. Without a task it
/// is the current one, with the stack of this very place; `None` outside of any.
///
/// # Panics
///
/// When polled outside of a runtime.
///
/// # Cancellation
///
/// A request or a drop ends the wait.
///
/// # Examples
///
/// ```
/// use runtime_core::{capture_call_graph, current_task, testing};
///
/// testing::block_on(async {
///     let graph = capture_call_graph(None).await.unwrap();
///     let me = current_task().unwrap().id();
///     assert!(!graph.get(me).unwrap().awaits[0].frames().is_empty());
/// });
/// ```
pub async fn capture_call_graph(task: Option<&TaskRef>) -> Option<CallGraph> {
    let current = crate::handle::current_task();
    let task = task.cloned().or(current.clone())?;
    let shared = crate::report::runtime_of(&task)?;
    let own = current.map(|current| (current.id(), current.own_stack().awaits));
    let picture = Picture::take(&shared, Some(&task));
    // Those around only: the others have nothing to do with it.
    let around = task.call_graph();
    let asked: Vec<TaskRef> =
        picture.tasks.iter().filter(|task| around.get(task.id()).is_some() && can_answer(task)).cloned().collect();
    let answers = WaitForAnswers::new(Answers::of(asked.iter()), stack::PATIENCE).await;
    let mut answers: HashMap<TaskId, Option<Answer>> = asked.iter().map(TaskRef::id).zip(answers).collect();
    let answers = picture.tasks.iter().map(|task| answers.remove(&task.id()).flatten()).collect();
    let mut graph = picture.finish(Some(answers)).around(task.id());
    if let Some((me, stack)) = own
        && let Some(place) = graph.place(me)
    {
        graph.tasks[place].state = TaskState::Running;
        graph.tasks[place].awaits = stack;
    }
    Some(graph)
}

/// Whether the task can be asked: it has a future, has not ended, and is not the one that asks.
fn can_answer(task: &TaskRef) -> bool {
    !task.header().kind().is_promise() && !task.done() && !task.is_current()
}

/// asyncio's `format_call_graph`: [`capture_call_graph`] as text, with the innermost `limit` frames of each stack; empty outside of any task.
///
/// # Panics
///
/// As [`capture_call_graph`].
///
/// # Cancellation
///
/// As [`capture_call_graph`].
///
/// # Examples
///
/// ```
/// use runtime_core::{TaskBuilder, format_call_graph, testing, yield_now};
///
/// testing::block_on(async {
///     let task = TaskBuilder::new().name("stuck").create_task(std::future::pending::<()>());
///     yield_now().await;
///     assert!(format_call_graph(Some(&task), None).await.contains("stuck"));
/// });
/// ```
pub async fn format_call_graph(task: Option<&TaskRef>, limit: Option<usize>) -> String {
    let graph = capture_call_graph(task).await;
    graph.map_or_else(String::new, |graph| graph.limit(limit.unwrap_or(usize::MAX)).to_string())
}

/// asyncio's `print_call_graph`: writes [`format_call_graph`] to stderr.
///
/// # Panics
///
/// As [`capture_call_graph`].
///
/// # Cancellation
///
/// As [`capture_call_graph`].
pub async fn print_call_graph(task: Option<&TaskRef>, limit: Option<usize>) {
    let text = format_call_graph(task, limit).await;
    // Not `eprint!`, which panics when stderr is closed.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}
