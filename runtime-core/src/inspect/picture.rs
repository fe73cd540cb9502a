//! Taking pictures: what is read of a runtime from outside, and what its tasks answer.

use super::answers::{Answer, Answers, WaitForAnswers};
use super::graph::{Await, Awaits, CallGraph, TaskReport, TaskState, WorkerReport, timer};
use super::watch::Seen;
use super::{Waiter, short, stack};
use crate::handle::Handle;
use crate::scheduler::{Remote, Shared};
use crate::task::registry::Walk;
use crate::task::slot::Peeked;
use crate::task::state::{COMPLETE, JOIN_WAKER};
use crate::task::task_ref::is_listed;
use crate::task::{TaskId, TaskRef};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

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
    /// Of each worker, the poll that it was in at the beginning: which of its own, and of which task. None for one that was in none.
    polls: Vec<Option<(u64, usize)>>,
}

impl Picture {
    pub(super) fn take(shared: &Arc<Shared>, more: Option<&TaskRef>) -> Self {
        let mut tasks: Vec<TaskRef> = more.cloned().into_iter().collect();
        for shard in shared.tasks.iter() {
            let mut walk = Walk::default();
            while !shard.walk_on(&mut walk) {}
            tasks.extend(walk.found.into_iter().filter(|task| is_listed(task.header().kind()) && !task.done()));
        }
        tasks.sort_unstable_by_key(TaskRef::id);
        tasks.dedup();
        let polls = shared.remotes.iter().map(|remote| poll_of(remote)).collect();
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
        let running = self.shared.running();
        let mut tasks: Vec<TaskReport> =
            (0..self.tasks.len()).map(|place| self.report(place, answers.next().flatten(), &running)).collect();
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
        remotes
            .map(|(index, (remote, before))| {
                let moves = before.is_none() || poll_of(remote) != *before;
                WorkerReport { index, asleep: self.shared.idle.is_asleep(index), moves: waited.then_some(moves) }
            })
            .collect()
    }

    fn report(&self, place: usize, answer: Option<Answer>, running: &[usize]) -> TaskReport {
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
            _ => TaskState::of(task, state, since, running),
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

/// The poll that a worker is in.
fn poll_of(remote: &Remote) -> Option<(u64, usize)> {
    remote.running.address().map(|task| (remote.counters.polls.get(), task))
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
    #[track_caller]
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
///
/// # Examples
///
/// ```
/// use runtime_core::{print_call_graph, testing};
///
/// testing::block_on(print_call_graph(None, Some(3)));
/// ```
pub async fn print_call_graph(task: Option<&TaskRef>, limit: Option<usize>) {
    let text = format_call_graph(task, limit).await;
    // Not `eprint!`, which panics when stderr is closed.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}
