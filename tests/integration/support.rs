//! Configurations to run a body under, and small things that many tests need.

use runtime::{CancelledError, Promise, Runner, RunnerBuilder, Task, TaskError, yield_now};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Longer than any of these tests takes, also on a machine under load.
const HANGING: Duration = Duration::from_secs(600);

/// Ends the process, with the configuration's name, when a test hangs.
struct Watchdog {
    /// Its drop ends the thread.
    _over: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    fn new(what: String) -> Self {
        let name = thread::current().name().unwrap_or("a test").to_owned();
        let (over, ended): (_, Receiver<()>) = channel();
        thread::spawn(move || {
            if ended.recv_timeout(HANGING) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs ({what})");
                std::process::abort();
            }
        });
        Self { _over: over }
    }
}

fn run(what: String, builder: RunnerBuilder, body: impl Future<Output = ()>) {
    let _watchdog = Watchdog::new(what.clone());
    let runner = builder.build().unwrap();
    if let Err(error) = runner.run(body) {
        panic!("{error} ({what})");
    }
    runner.close();
}

/// One worker, first in first out, virtual time.
pub(crate) fn exact(body: impl AsyncFnOnce()) {
    run("exact".into(), Runner::builder().virtual_time(true), body());
}

/// One worker, ready tasks in the orders of some seeds.
pub(crate) fn seeded(seeds: u64, body: impl AsyncFn()) {
    for seed in 0..seeds {
        run(format!("seed {seed}"), Runner::builder().seed(seed).virtual_time(true), body());
    }
}

/// Two and eight workers.
pub(crate) fn workers(body: impl AsyncFn()) {
    for workers in [2, 8] {
        run(format!("{workers} workers"), Runner::builder().workers(workers), body());
    }
}

/// For what holds in every order: one worker, some seeds, many workers.
pub(crate) fn everywhere(body: impl AsyncFn()) {
    exact(&body);
    seeded(6, &body);
    workers(&body);
}

/// Again and again on runtimes of two and of eight workers, beside tasks that keep the workers busy.
pub(crate) fn under_load(rounds: usize, body: impl AsyncFn(usize)) {
    for workers in [2, 8] {
        let rounds = async {
            let noise: Vec<_> = (0..4)
                .map(|_| {
                    runtime::create_task(async {
                        loop {
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for round in 0..rounds {
                body(round).await;
            }
            for task in noise {
                task.cancel();
            }
        };
        run(format!("load, {workers} workers"), Runner::builder().workers(workers), rounds);
    }
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) async fn forever() {
    runtime::sleep(Duration::MAX).await;
}

/// Tells that it has been reached, and waits for ever: whoever has the signal knows that the catchers around are there.
pub(crate) async fn forever_from(here: Promise<()>) {
    send(here);
    forever().await;
}

/// Lets that many passes go by.
pub(crate) async fn passes(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// How the task ended, which is cancelled.
#[track_caller]
pub(crate) fn cancellation<T>(outcome: Result<T, TaskError>) -> CancelledError {
    match outcome {
        Err(TaskError::Cancelled(error)) => error,
        Err(TaskError::Panicked(panic)) => panic!("not cancelled, but {panic}"),
        Ok(_) => panic!("not cancelled, but it has a value"),
    }
}

/// Lets a cancellation go on, where the type of the block around cannot be inferred.
pub(crate) async fn let_go(error: CancelledError) {
    error.reraise().await
}

/// A one-time signal between tasks.
pub(crate) fn signal() -> (Promise<()>, Task<()>) {
    Promise::new()
}

pub(crate) fn send(signal: Promise<()>) {
    signal.set_result(()).expect("somebody waits for the signal");
}

/// Waits for a signal in a way that no cancellation of the waiter reaches the signal.
pub(crate) async fn received(signal: Task<()>) {
    signal.task_ref().wait().await;
    drop(signal);
}

/// A task whose first step has begun: a request is not in time to drop it unpolled.
pub(crate) async fn begun<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (sent, started) = signal();
    let task = runtime::create_task(async {
        send(sent);
        future.await
    });
    received(started).await;
    task
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Waits until so much has happened. What comes in the step in which a task ends comes after others can see that it has ended.
    pub(crate) async fn reaches(&self, count: usize) {
        while self.0.lock().unwrap().len() < count {
            yield_now().await;
        }
    }
}

/// Something counted by several tasks.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// Counts when it is dropped.
pub(crate) struct OnDrop(pub(crate) Count);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add();
    }
}

/// What is reported to the runtime's exception handler from here on.
pub(crate) fn reports() -> Log {
    let log = Log::default();
    let told = log.clone();
    runtime::Handle::current()
        .set_exception_handler(Some(move |report: &runtime::ExceptionContext| told.add(report.to_string())));
    log
}
