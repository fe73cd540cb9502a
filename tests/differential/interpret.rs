//! Runs programs on the deterministic runtime: one worker, virtual time, first in, first out.
//!
//! The counterpart of interpret.py, statement by statement. Errors are values here: a block gives a
//! [`Failure`] where Python raises, and `catch_cancelled` stands for `except CancelledError`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::Future;
use std::iter;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use runtime::{
    CancelledError, Handle, Promise, ReturnWhen, Runner, Task, TaskError, TaskGroup, TaskId, TaskRef, TimeoutScope,
    all_tasks, as_completed, catch_cancelled, create_task, current_task, gather, shield, sleep, timeout, try_gather,
    wait, wait_for, yield_now,
};

use crate::differences::reason_to_skip;
use crate::generate::Profile;
use crate::program::{Block, Failures, Member, Mode, Program, Statement, Then, Until};
use crate::python::Python;
use crate::trace::{Exactness, Trace};
use crate::{SHUFFLES, compare_all, skip_loudly, small_programs, texts};

/// Wall-clock time after which a program counts as hanging: virtual time makes all of them short.
const LONGEST: Duration = Duration::from_secs(20);
/// Virtual time after which tasks count as waiting for ever.
const FOR_EVER: Duration = Duration::from_secs(1_000_000);

/// Runs a program and tells what happened, also when it hangs or panics.
fn run_guarded(program: &Program) -> Trace {
    let (sender, receiver) = mpsc::channel();
    let copy = program.clone();
    thread::spawn(move || sender.send(run(&copy)));
    receiver.recv_timeout(LONGEST).unwrap_or_else(|error| {
        let mut trace = Trace::default();
        trace.event("m", 0, format!("no trace, {error}"));
        trace
    })
}

/// Runs a program and tells what happened.
fn run(program: &Program) -> Trace {
    let runner = Runner::builder().workers(1).virtual_time(true).build();
    let runner = runner.expect("a runtime can be made");
    let run = Arc::new(Run::new(runner.handle()));
    let ended = runner.run(timeout(FOR_EVER, supervise(Arc::clone(&run), program.clone())));
    let ended = ended.expect("nobody cancels the supervisor");
    runner.close();
    let mut trace = run.trace();
    if ended.is_err() {
        trace.event("m", 0, "waits for ever".to_owned());
    }
    trace
}

/// The main future: what it leaves behind is cancelled by the runtime.
async fn supervise(run: Arc<Run>, program: Program) {
    run.start("m", program.body, create_task);
    let main = run.find("m").expect("just started");
    main.wait().await;
    while program.mode == Mode::Drain
        && let Some(left) = run.unfinished()
    {
        left.wait().await;
    }
}

impl Trace {
    /// Notes that something happened in the task `name`.
    fn event(&mut self, name: &str, time: u64, text: String) {
        let task = self.tasks.entry(name.to_owned()).or_default();
        task.events.push((time, text));
        self.order.push(name.to_owned());
    }
}

/// What a body returns.
type Outcome = Result<i64, Failure>;

/// A body or block as a future.
type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// How a block was left, if not by a failure.
enum Flow {
    /// At its end.
    Next,
    /// By `return`.
    Return(i64),
}

/// The errors of programs.
#[derive(Clone, Debug)]
enum Failure {
    /// That of a `raise`, or `timeout`.
    Tag(String),
    /// Those of a task group.
    Group(Vec<Failure>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Group(members) => {
                let mut words: Vec<_> = members.iter().map(ToString::to_string).collect();
                words.sort();
                write!(f, "group[{}]", words.join(","))
            }
        }
    }
}

impl std::error::Error for Failure {}

/// One run of one program.
struct Run {
    /// Tells the time, also where no task runs.
    handle: Handle,
    /// When it began.
    start: Instant,
    /// What the tasks share.
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    trace: Trace,
    /// All tasks by name.
    tasks: BTreeMap<String, TaskRef>,
    /// Those with a body, in the order of creation.
    created: Vec<TaskRef>,
    /// The failures of the children of groups. Such a child itself ends cancelled, for the group has its error.
    failures: BTreeMap<String, Failure>,
    /// Those whose result nobody has taken yet.
    results: BTreeMap<String, Task<Outcome>>,
    groups: BTreeMap<String, TaskGroup<Failure>>,
    promises: BTreeMap<String, Promise<Outcome>>,
    /// The tasks that are promises: their requests are not counted in asyncio.
    promised: Vec<String>,
}

impl Run {
    fn new(handle: Handle) -> Self {
        Self { start: handle.time(), handle, shared: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no statement panics")
    }

    /// The virtual millisecond.
    fn now(&self) -> u64 {
        let passed = self.handle.time() - self.start;
        u64::try_from(passed.as_millis()).expect("no program takes that long")
    }

    fn find(&self, name: &str) -> Option<TaskRef> {
        self.lock().tasks.get(name).cloned()
    }

    fn unfinished(&self) -> Option<TaskRef> {
        self.lock().created.iter().find(|task| !task.done()).cloned()
    }

    /// Makes a task that runs `body`, in the way that `create` does it.
    fn start(self: &Arc<Self>, name: &str, body: Block, create: impl FnOnce(Running<'static, i64>) -> Task<Outcome>) {
        let task = create(self.body(name, body));
        self.register(name, task.task_ref());
        self.lock().results.insert(name.to_owned(), task);
    }

    /// What a task of that name runs.
    fn body(self: &Arc<Self>, name: &str, body: Block) -> Running<'static, i64> {
        let ending = Ending { run: Arc::clone(self), name: name.to_owned(), outcome: None };
        self.lock().trace.tasks.entry(name.to_owned()).or_default();
        Box::pin(task_body(ending, body))
    }

    fn register(&self, name: &str, task: TaskRef) {
        let mut shared = self.lock();
        shared.created.push(task.clone());
        shared.tasks.insert(name.to_owned(), task);
    }

    /// What the task `name` ended with: a child's failure is where its group took it from.
    fn outcome(&self, name: &str, outcome: Result<Outcome, TaskError>) -> Result<Outcome, TaskError> {
        match self.lock().failures.get(name) {
            Some(failure) => Ok(Err(failure.clone())),
            None => outcome,
        }
    }

    /// What an awaited task ended with, as it goes on in the one that awaits: a cancellation is raised.
    async fn settle(&self, name: &str, outcome: Result<Outcome, TaskError>) -> Outcome {
        match self.outcome(name, outcome) {
            Ok(outcome) => outcome,
            Err(TaskError::Cancelled(error)) => error.reraise().await,
            Err(TaskError::Panicked(panic)) => panic.resume(),
        }
    }

    /// A promise and the task that is its reading side.
    fn promise(self: &Arc<Self>, name: &str) {
        let (promise, task) = Promise::new();
        let (run, promised) = (Arc::clone(self), name.to_owned());
        task.add_done_callback(move |_| run.note_end(&promised, None));
        let mut shared = self.lock();
        shared.tasks.insert(name.to_owned(), task.task_ref());
        shared.results.insert(name.to_owned(), task);
        shared.trace.tasks.entry(name.to_owned()).or_default();
        shared.promised.push(name.to_owned());
        shared.promises.insert(name.to_owned(), promise);
    }

    /// Makes a child, which remembers its failure and gives it to the group.
    fn start_in(
        self: &Arc<Self>,
        group: &TaskGroup<Failure>,
        name: &str,
        body: Running<'static, i64>,
    ) -> Task<Outcome> {
        let (run, name) = (Arc::clone(self), name.to_owned());
        let child = group.create_task(async move {
            let outcome = body.await;
            if let Err(failure) = &outcome {
                run.lock().failures.insert(name, failure.clone());
            }
            outcome.map(Ok)
        });
        child.into_task()
    }

    fn note_group(&self, name: &str, group: TaskGroup<Failure>) {
        self.lock().groups.insert(name.to_owned(), group);
    }

    /// Notes that a task ends now, and what with unless it was cancelled.
    fn note_end(&self, name: &str, outcome: Option<String>) {
        let now = self.now();
        let mut shared = self.lock();
        let task = shared.trace.tasks.entry(name.to_owned()).or_default();
        task.end = now;
        if let Some(outcome) = outcome {
            task.outcome = outcome;
        }
    }

    /// The trace, when everything is over.
    fn trace(&self) -> Trace {
        let shared = self.lock();
        let mut trace = shared.trace.clone();
        for (name, task) in &shared.tasks {
            let seen = trace.tasks.entry(name.clone()).or_default();
            if !shared.promised.contains(name) {
                seen.count = task.cancelling().into();
            }
            if task.cancelled() && !shared.failures.contains_key(name) {
                seen.outcome = "(cancelled)".to_owned();
            } else if !task.done() {
                (seen.end, seen.outcome) = (0, "(pending)".to_owned());
            }
        }
        trace
    }
}

/// Notes the end of a task when it is dropped, which happens however the task ends.
struct Ending {
    run: Arc<Run>,
    name: String,
    outcome: Option<String>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.run.note_end(&self.name, self.outcome.take());
    }
}

async fn task_body(mut ending: Ending, body: Block) -> Outcome {
    let here = Here { run: Arc::clone(&ending.run), name: ending.name.clone(), timeouts: Vec::new() };
    here.event("start");
    let outcome = here.block(&body).await.map(|flow| match flow {
        Flow::Next => 0,
        Flow::Return(value) => value,
    });
    ending.outcome = Some(outcome_text(&Ok(outcome.clone())));
    outcome
}

/// How the ends of tasks are written.
fn outcome_text(outcome: &Result<Outcome, TaskError>) -> String {
    match outcome {
        Ok(Ok(value)) => format!("(value {value})"),
        Ok(Err(failure)) => format!("(error {failure})"),
        Err(TaskError::Cancelled(_)) => "(cancelled)".to_owned(),
        Err(TaskError::Panicked(panic)) => format!("(panicked {panic})"),
    }
}

/// Where a statement runs.
#[derive(Clone)]
struct Here {
    run: Arc<Run>,
    /// The name of the task.
    name: String,
    /// The timeouts around, outermost first.
    timeouts: Vec<TimeoutScope>,
}

/// Notes an event when it is dropped.
struct Guard<'a> {
    here: &'a Here,
    tag: &'a str,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.here.event(format!("dropped {}", self.tag));
    }
}

impl Here {
    fn event(&self, text: impl Into<String>) {
        let now = self.run.now();
        self.run.lock().trace.event(&self.name, now, text.into());
    }

    /// The task's result, if it is still to be had; it is not any longer. Otherwise says so.
    fn take(&self, name: &str) -> Option<Task<Outcome>> {
        let task = self.run.lock().results.remove(name);
        if task.is_none() {
            self.event(format!("untaken {name}"));
        }
        task
    }

    /// The same for many, without saying anything.
    fn take_all(&self, names: &[String]) -> (Vec<String>, Vec<Task<Outcome>>) {
        let mut shared = self.run.lock();
        let taken = names.iter().filter_map(|name| Some((name.clone(), shared.results.remove(name)?)));
        taken.unzip()
    }

    fn block<'a>(&'a self, body: &'a [Statement]) -> Running<'a, Flow> {
        Box::pin(async move {
            for statement in body {
                if let Flow::Return(value) = self.statement(statement).await? {
                    return Ok(Flow::Return(value));
                }
            }
            Ok(Flow::Next)
        })
    }

    async fn statement(&self, statement: &Statement) -> Result<Flow, Failure> {
        match statement {
            Statement::Raise(tag) => return Err(Failure::Tag(tag.clone())),
            Statement::Return(value) => return Ok(Flow::Return(*value)),
            Statement::Catch(then, body, handler) => return self.catch(*then, body, handler).await,
            Statement::Try(body, handler) => return self.try_(body, handler).await,
            Statement::Finally(body, handler) => return self.finally(body, handler).await,
            Statement::Guard(tag, body) => {
                let _guard = Guard { here: self, tag };
                return self.block(body).await;
            }
            Statement::Timeout(ms, body, handler) => {
                return self.timeout(*ms, body, handler.as_ref()).await;
            }
            Statement::Group(name, body, handler) => {
                return self.group(name, body, handler.as_ref()).await;
            }
            Statement::Sleep(ms) => {
                sleep(Duration::from_millis(*ms)).await;
                self.event("slept");
            }
            Statement::Yield => {
                yield_now().await;
                self.event("yielded");
            }
            Statement::Await(name) => self.await_one(name).await?,
            Statement::Shield(name) => self.shield(name).await?,
            Statement::WaitFor(ms, name) => self.wait_for(*ms, name).await?,
            Statement::Join(name) => self.join(name).await,
            Statement::Gather(failures, members) => self.gather(*failures, members).await?,
            Statement::Wait(until, names, ms) => self.wait(*until, names, *ms).await,
            Statement::AsCompleted(names, ms) => self.as_completed(names, *ms).await,
            _ => self.at_once(statement),
        }
        Ok(Flow::Next)
    }

    /// The statements that never wait.
    fn at_once(&self, statement: &Statement) {
        match statement {
            Statement::Log(tag) => self.event(format!("log {tag}")),
            Statement::Count => self.event(format!("count {}", running().cancelling())),
            Statement::Uncancel => self.event(format!("uncancel {}", running().uncancel())),
            Statement::Spawn(name, body) => self.run.start(name, body.clone(), create_task),
            Statement::SpawnIn(group, name, body) => self.spawn_in(group, name, body.clone()),
            Statement::Cancel(name, message) => self.cancel(name, message.as_deref()),
            Statement::CancelLater(ms, name) => {
                if let Some(task) = self.run.find(name) {
                    let delay = Duration::from_millis(*ms);
                    let cancel = move || _ = task.cancel();
                    let _timer = self.run.handle.call_later(delay, cancel);
                }
            }
            Statement::Reschedule(ms) => self.reschedule(*ms),
            Statement::Promise(name) => self.run.promise(name),
            Statement::Set(name, value) => self.set(name, *value),
            other => unreachable!("{other:?} waits"),
        }
    }

    fn spawn_in(&self, group: &str, name: &str, body: Block) {
        let group = self.run.lock().groups.get(group).cloned();
        match group {
            Some(group) => self.run.start(name, body, |body| self.run.start_in(&group, name, body)),
            None => self.run.start(name, body, create_task),
        }
    }

    fn cancel(&self, name: &str, message: Option<&str>) {
        let noted = self.run.find(name).map(|task| match message {
            Some(message) => task.cancel_with(message),
            None => task.cancel(),
        });
        self.event(format!("cancel {name} {}", noted.map_or("unknown", yes)));
    }

    fn set(&self, name: &str, value: i64) {
        let promise = self.run.lock().promises.remove(name);
        let kept = promise.map(|promise| promise.set_result(Ok(value)).is_ok());
        if kept == Some(true) {
            self.run.note_end(name, Some(format!("(value {value})")));
        }
        self.event(format!("set {name} {}", kept.map_or("unknown", yes)));
    }

    async fn await_one(&self, name: &str) -> Result<(), Failure> {
        if let Some(task) = self.take(name) {
            let value = self.run.settle(name, task.await).await?;
            self.event(format!("got {name} {value}"));
        }
        Ok(())
    }

    async fn shield(&self, name: &str) -> Result<(), Failure> {
        if let Some(task) = self.take(name) {
            let value = self.run.settle(name, shield(task).await).await?;
            self.event(format!("got {name} {value}"));
        }
        Ok(())
    }

    async fn wait_for(&self, ms: u64, name: &str) -> Result<(), Failure> {
        if let Some(task) = self.take(name) {
            match wait_for(task, Duration::from_millis(ms)).await {
                Ok(outcome) => {
                    let value = self.run.settle(name, outcome).await?;
                    self.event(format!("got {name} {value}"));
                }
                Err(_) => self.event("timeout"),
            }
        }
        Ok(())
    }

    async fn join(&self, name: &str) {
        if let Some(task) = self.run.find(name) {
            task.wait().await;
        }
        self.event(format!("joined {name}"));
    }

    async fn gather(&self, failures: Failures, members: &[Member]) -> Result<(), Failure> {
        let (names, futures): (Vec<_>, Vec<_>) = members.iter().filter_map(|member| self.gathered(member)).unzip();
        let before: HashSet<TaskId> = all_tasks().iter().map(|task| task.id()).collect();
        let words: Vec<_> = match failures {
            Failures::First => {
                let gather = try_gather(futures);
                self.register_new(&before, names);
                gather.await?.iter().map(ToString::to_string).collect()
            }
            Failures::All => {
                let gather = gather(futures).return_exceptions();
                self.register_new(&before, names);
                gather.await.iter().map(result_text).collect()
            }
        };
        let words: Vec<_> = iter::once("gathered".to_owned()).chain(words).collect();
        self.event(words.join(" "));
        Ok(())
    }

    /// A member of a gather: a body under its name, or what waits for a task. None for a task without a result to be had.
    fn gathered(&self, member: &Member) -> Option<(Option<String>, Running<'static, i64>)> {
        let name = match member {
            Member::New(name, body) => return Some((Some(name.clone()), self.run.body(name, body.clone()))),
            Member::Task(name) => name.clone(),
        };
        let task = self.run.lock().results.remove(&name)?;
        let run = Arc::clone(&self.run);
        Some((None, Box::pin(async move { run.settle(&name, task.await).await })))
    }

    /// Finds the tasks that a gather has made, in the order of its members, and notes those that have names.
    fn register_new(&self, before: &HashSet<TaskId>, names: Vec<Option<String>>) {
        let mut new: Vec<_> = all_tasks().into_iter().filter(|task| !before.contains(&task.id())).collect();
        new.sort_by_key(|task| task.id());
        assert_eq!(new.len(), names.len(), "a gather makes a task of each member");
        for (task, name) in new.into_iter().zip(names) {
            if let Some(name) = name {
                self.run.register(&name, task);
            }
        }
    }

    async fn wait(&self, until: Until, names: &[String], ms: Option<u64>) {
        let (names, tasks) = self.take_all(names);
        let ids: BTreeMap<_, _> = tasks.iter().map(|task| task.id()).zip(names).collect();
        let mut waiting = wait(tasks).failed_if(Result::is_err).return_when(match until {
            Until::All => ReturnWhen::AllCompleted,
            Until::First => ReturnWhen::FirstCompleted,
            Until::Error => ReturnWhen::FirstException,
        });
        if let Some(ms) = ms {
            waiting = waiting.timeout(Duration::from_millis(ms));
        }
        let (done, pending) = waiting.await;
        let [done, pending] = [done, pending].map(|tasks| self.give_back(tasks, &ids));
        self.event(format!("waited ({}) ({})", done.join(" "), pending.join(" ")));
    }

    /// Makes the results of tasks available again, and gives their names in order.
    fn give_back(&self, tasks: Vec<Task<Outcome>>, ids: &BTreeMap<TaskId, String>) -> Vec<String> {
        let mut shared = self.run.lock();
        let mut names: Vec<_> = tasks.iter().map(|task| ids[&task.id()].clone()).collect();
        for (task, name) in tasks.into_iter().zip(&names) {
            shared.results.insert(name.clone(), task);
        }
        names.sort();
        names
    }

    async fn as_completed(&self, names: &[String], ms: Option<u64>) {
        let (names, tasks) = self.take_all(names);
        let mut items = as_completed(tasks);
        let Some(ms) = ms else {
            while let Some((index, task)) = items.next().await {
                self.item(&names[index], task);
            }
            return;
        };
        let mut items = items.timeout(Duration::from_millis(ms));
        while let Some(item) = items.next().await {
            match item {
                Ok((index, task)) => self.item(&names[index], task),
                Err(_) => self.event("timeout"),
            }
        }
    }

    fn item(&self, name: &str, mut task: Task<Outcome>) {
        let outcome = self.run.outcome(name, task.result().expect("items have ended"));
        self.event(format!("item {name} {}", outcome_text(&outcome)));
    }

    async fn catch(&self, then: Then, body: &Block, handler: &Block) -> Result<Flow, Failure> {
        let error = match catch_cancelled(self.block(body)).await {
            Ok(result) => return result,
            Err(error) => error,
        };
        self.event(format!("caught {}", error.message().unwrap_or("-")));
        match self.block(handler).await? {
            Flow::Next if then == Then::Reraise => error.reraise().await,
            flow => Ok(flow),
        }
    }

    async fn try_(&self, body: &Block, handler: &Block) -> Result<Flow, Failure> {
        match self.block(body).await {
            Ok(flow) => Ok(flow),
            Err(failure) => {
                self.event(format!("failed {failure}"));
                self.block(handler).await
            }
        }
    }

    async fn finally(&self, body: &Block, handler: &Block) -> Result<Flow, Failure> {
        let ended: Result<_, CancelledError> = catch_cancelled(self.block(body)).await;
        if let Flow::Return(value) = self.block(handler).await? {
            return Ok(Flow::Return(value));
        }
        match ended {
            Ok(result) => result,
            Err(error) => error.reraise().await,
        }
    }

    async fn timeout(&self, ms: u64, body: &Block, handler: Option<&Block>) -> Result<Flow, Failure> {
        let ms = Duration::from_millis(ms);
        let result = if moves_deadline(body) {
            let scope = TimeoutScope::after(ms);
            let mut inside = self.clone();
            inside.timeouts.push(scope.clone());
            scope.run(inside.block(body)).await
        } else {
            timeout(ms, self.block(body)).await
        };
        if let Ok(result) = result {
            return result;
        }
        self.event("timeout");
        match handler {
            Some(handler) => self.block(handler).await,
            None => Err(Failure::Tag("timeout".to_owned())),
        }
    }

    fn reschedule(&self, ms: Option<u64>) {
        if let Some(scope) = self.timeouts.last() {
            let when = ms.map(|ms| self.run.handle.time() + Duration::from_millis(ms));
            let there = scope.reschedule(when).is_ok();
            self.event(format!("rescheduled {}", yes(there)));
        }
    }

    async fn group(&self, name: &str, body: &Block, handler: Option<&Block>) -> Result<Flow, Failure> {
        let scope = TaskGroup::scope(async |group: TaskGroup<Failure>| {
            self.run.note_group(name, group);
            self.block(body).await
        });
        let failure = match scope.await {
            Ok(flow) => return Ok(flow),
            Err(errors) => Failure::Group(errors.resume_panic().into_errors().collect()),
        };
        self.event(format!("group {failure}"));
        match handler {
            Some(handler) => self.block(handler).await,
            None => Err(failure),
        }
    }
}

/// Whether some statement may move the deadline of a timeout around this block.
fn moves_deadline(body: &Block) -> bool {
    format!("{body:?}").contains("Reschedule")
}

fn running() -> TaskRef {
    current_task().expect("statements run in tasks")
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

/// How a gather with `all` writes one result.
fn result_text(result: &Result<Outcome, TaskError>) -> String {
    match result {
        Ok(Ok(value)) => value.to_string(),
        Ok(Err(failure)) => failure.to_string(),
        Err(TaskError::Cancelled(_)) => "cancelled".to_owned(),
        Err(TaskError::Panicked(panic)) => format!("panicked:{panic}"),
    }
}

/// The newest CPython here, or a loud word that there is none.
fn newest_python() -> Option<Python> {
    let newest = Python::all().into_iter().next();
    if newest.is_none() {
        skip_loudly("no CPython 3.11.7 or newer to compare with");
    }
    newest
}

#[test]
fn random_programs_do_what_they_do_on_cpython() {
    let Some(python) = newest_python() else {
        return;
    };
    for profile in [Profile::Order, Profile::Tight, Profile::Mixed] {
        let tally = compare_all(&python, profile, |programs| {
            programs.iter().map(|program| Some(run_guarded(program))).collect()
        });
        tally.print(profile);
        assert!(tally.compared > 0);
    }
}

#[test]
fn small_programs_do_what_they_do_on_cpython() {
    let Some(python) = newest_python() else {
        return;
    };
    let (names, programs): (Vec<_>, Vec<_>) = small_programs().unzip();
    let traces = python.run(SHUFFLES, &texts(&programs));
    let mut failed = Vec::new();
    for ((name, program), theirs) in names.iter().zip(&programs).zip(&traces) {
        if reason_to_skip(theirs).is_some() {
            continue;
        }
        let found = theirs.differences(&run_guarded(program), Exactness::PerTask);
        failed.extend(found.into_iter().map(|found| format!("{name}: {found}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Not a test: shows what the program in `DIFFERENTIAL_PROGRAM` does on both sides.
#[test]
#[ignore = "a tool, tests nothing"]
fn show_program() {
    let text = std::env::var("DIFFERENTIAL_PROGRAM").expect("a program in DIFFERENTIAL_PROGRAM");
    let program = Program::parse(&text).expect("a program");
    if let Some(python) = newest_python() {
        let theirs = python.run(SHUFFLES, &[text]).remove(0);
        println!("CPython, flags {:?}, order {:?}:\n{theirs}", theirs.flags, theirs.order);
    }
    let ours = run_guarded(&program);
    println!("ours, order {:?}:\n{ours}", ours.order);
}
