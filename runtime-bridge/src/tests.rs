//! Models of the pool and of the blocking wait, run by loom: `ci/loom.sh`.
//!
//! They run this crate's own code around a stand-in for the channel (see `loom.rs`). A job that nobody comes for, and a wait that nobody ends, shows as loom's
//! "deadlock". Time passes where somebody sleeps, so threads also end by their keep-alive. As in `runtime-core/src/tests`, the note *Found by
//! hand* names bugs that were put in to see the model find them.

use crate::loom::{current, park};
use crate::pool::{BlockingConfig, Job, Pool, Refusal, Shift};
use crate::{BlockingResult, BlockingTimeout};
use loom::sync::Notify;
use loom::sync::atomic::AtomicUsize;
use loom::thread;
use runtime_core::Promise;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Runs a model with the bounds that the environment sets, less so many preemptions, and says how many executions there were.
fn model(less: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.preemption_bound = builder.preemption_bound.map(|bound| bound.saturating_sub(less));
    let executions = Arc::new(Count::new(0));
    let counter = Arc::clone(&executions);
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        runtime_core::loom::reset_time();
        f();
    });
    let name = String::from(std::thread::current().name().unwrap_or("model"));
    println!("{name}: {} executions", executions.load(Relaxed));
}

/// A pool whose threads stay for so long. Time does not heal what was forgotten if they stay for ever.
fn pool(max_threads: usize, keep_alive: Duration) -> Arc<Pool> {
    Pool::new(BlockingConfig { max_threads, keep_alive, ..BlockingConfig::default() })
}

/// What became of some jobs.
#[derive(Default)]
struct Ends {
    run: Count,
    refused: Count,
}

impl Ends {
    fn check(&self, jobs: usize) {
        assert_eq!(self.run.load(Relaxed) + self.refused.load(Relaxed), jobs, "each job was run or refused, once");
    }
}

/// A job that says what became of it, and does something before.
struct Told<F> {
    ends: Arc<Ends>,
    work: F,
}

impl<F: FnOnce() + Send> Job for Told<F> {
    fn run(self: Box<Self>, shift: &Shift<'_>) {
        (self.work)();
        self.ends.run.fetch_add(1, Relaxed);
        shift.end();
    }

    fn refuse(self: Box<Self>, _why: &Refusal<'_>) {
        self.ends.refused.fetch_add(1, Relaxed);
    }
}

fn submit(pool: &Arc<Pool>, ends: &Arc<Ends>, work: impl FnOnce() + Send + 'static) {
    pool.submit(Box::new(Told { ends: Arc::clone(ends), work }));
}

/// What one thread waits for.
#[derive(Default)]
struct Gate {
    is_open: Count,
    bell: Notify,
}

impl Gate {
    /// Relaxed: whoever sees it closed has missed the bell, too.
    fn open(&self) {
        self.is_open.store(1, Relaxed);
        self.bell.notify();
    }

    fn pass(&self) {
        while self.is_open.load(Relaxed) == 0 {
            self.bell.wait();
        }
    }
}

/// Closes the pool and waits for its threads, as the shutdown does.
fn close(pool: &Pool) {
    let closer = current();
    pool.close(Arc::new(move || closer.unpark()));
    while !pool.has_ended() {
        park();
    }
}

/// A function is handed in while the runtime closes: it is run or refused, and no thread is left.
///
/// *Found by hand:* `submit` that does not look at `closed` after the send; `close` that refuses nothing.
#[test]
fn a_submit_meets_the_shutdown() {
    model(0, || {
        let (pool, ends) = (pool(1, Duration::MAX), Arc::new(Ends::default()));
        let closer = thread::spawn({
            let pool = Arc::clone(&pool);
            move || close(&pool)
        });
        submit(&pool, &ends, || ());
        closer.join().unwrap();
        ends.check(1);
        assert!(pool.has_ended());
    });
}

/// A job that says when it has been refused.
struct Refused(Arc<AtomicUsize>);

impl Job for Refused {
    fn run(self: Box<Self>, _shift: &Shift<'_>) {
        unreachable!("the pool is closed");
    }

    fn refuse(self: Box<Self>, _why: &Refusal<'_>) {
        self.0.store(1, Relaxed);
    }
}

/// Two threads hand in functions after the end: each finds its own refused when it comes back, whoever else refuses what is queued.
///
/// *Found by hand:* `submit` that looks at `closed` after the send only.
#[test]
fn a_submit_after_the_shutdown_is_refused_at_once() {
    model(0, || {
        let pool = pool(1, Duration::MAX);
        close(&pool);
        let submit_and_look = |pool: &Arc<Pool>| {
            let refused = Arc::new(AtomicUsize::new(0));
            pool.submit(Box::new(Refused(Arc::clone(&refused))));
            assert_eq!(refused.load(Relaxed), 1, "it is somebody else's matter");
        };
        let other = thread::spawn({
            let pool = Arc::clone(&pool);
            move || submit_and_look(&pool)
        });
        submit_and_look(&pool);
        other.join().unwrap();
    });
}

/// A function is handed in while the thread that has run another looks for more, or lies down: it is run.
///
/// *Found by hand:* `submit` without its fence; `lie_down` without its own, or that does not look at the queue; `summon` that wakes a thread and does not say
/// that it is summoned.
#[test]
fn a_submit_meets_a_thread_that_lies_down() {
    model(0, || one_after_the_other(Duration::MAX));
}

/// The same with a thread whose time is over soon.
///
/// *Found by hand:* `end_idle` that still counts the thread.
#[test]
fn a_submit_meets_a_thread_that_ends() {
    model(0, || one_after_the_other(Duration::from_secs(1)));
}

fn one_after_the_other(keep_alive: Duration) {
    let (pool, ends) = (pool(1, keep_alive), Arc::new(Ends::default()));
    submit(&pool, &ends, || ());
    let done = Arc::new(Gate::default());
    let says = Arc::clone(&done);
    submit(&pool, &ends, move || says.open());
    done.pass();
    close(&pool);
    assert_eq!(ends.run.load(Relaxed), 2);
}

/// Of two functions the first waits for the second: a second thread comes for it.
///
/// *Found by hand:* `take_job` that summons nobody; `submit` without its fence.
#[test]
fn a_function_waits_for_the_next() {
    model(1, || {
        let (pool, ends) = (pool(2, Duration::MAX), Arc::new(Ends::default()));
        let (next, done) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
        let (waits, says) = (Arc::clone(&next), Arc::clone(&done));
        submit(&pool, &ends, move || {
            waits.pass();
            says.open();
        });
        submit(&pool, &ends, move || next.open());
        done.pass();
        close(&pool);
        assert_eq!(ends.run.load(Relaxed), 2);
    });
}

/// A blocking wait meets the completion.
///
/// *Found by hand:* a `Bell` that does not wake its thread.
#[test]
fn a_blocking_wait_meets_the_end() {
    model(0, || {
        let (promise, task) = Promise::new();
        let setter = thread::spawn(move || promise.set_result(7).unwrap());
        assert_eq!(task.blocking_result().unwrap(), 7);
        setter.join().unwrap();
    });
}

/// A blocking wait meets the completion and its own end: it gives the value, or gives up, and then the value is there for the next wait.
///
/// *Found by hand:* the same; `sleep` that does not say that the time is up.
#[test]
fn a_blocking_wait_meets_the_end_and_its_timeout() {
    model(0, || {
        let (promise, mut task) = Promise::new();
        let setter = thread::spawn(move || promise.set_result(7).unwrap());
        match task.blocking_result_timeout(Duration::from_millis(1)) {
            Ok(outcome) => assert_eq!(outcome.unwrap(), 7),
            Err(BlockingTimeout) => assert_eq!(task.blocking_result().unwrap(), 7),
        }
        setter.join().unwrap();
    });
}
