//! Workers as they are: the engine's own loop, search and sleep, around the stand-in queues.
//!
//! Each model ends its workers by the life of the runtime, as the shutdown does; a task that nobody comes for is a deadlock, or a model without end.

use super::support::{large_model, model, reduced_model, small_model};
use crate::engine::{self, Config};
use crate::loom::atomic::AtomicUsize;
use crate::loom::thread;
use crate::scheduler::queue::{self, LocalQueue};
use crate::scheduler::worker::Worker;
use crate::scheduler::{Life, Shared};
use crate::task::Task;
use crate::task::builder::{Options, create};
use crate::time::sleep::sleep;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A worker on its way to its thread.
struct Sent(Worker);

// SAFETY: used by one thread at a time, with the start of the thread in between.
unsafe impl Send for Sent {}

/// A runtime with two workers, of which some run.
struct Rig {
    shared: Arc<Shared>,
    workers: Vec<Option<Sent>>,
}

impl Rig {
    fn new() -> Self {
        let (deques, stealers): (Vec<_>, Vec<_>) = (0..2).map(|_| queue::Worker::new()).unzip();
        let config = Config { workers: 2, ..Config::default() };
        let shared = Shared::new(1, config, stealers.into_iter().map(Some).collect());
        let make = |(index, deque)| Some(Sent(Worker::new(Arc::clone(&shared), index, LocalQueue::Shared(deque))));
        let workers = deques.into_iter().enumerate().map(make).collect();
        Self { shared, workers }
    }

    /// Lets a worker work on a thread of its own, until the runtime is closed; `first` runs there before.
    fn start(&mut self, index: usize, first: impl FnOnce() + 'static) -> loom::thread::JoinHandle<()> {
        let first = Alone(first);
        let worker = self.workers[index].take().expect("started once");
        thread::spawn(move || {
            let (worker, first) = (worker, first);
            let (worker, first) = (&worker.0, first.into());
            worker.enter(|| {
                first();
                worker.run_until(u64::MAX, || worker.shared().life() == Life::Closed);
                engine::discard(worker);
            });
        })
    }

    /// Lets this thread be a worker until the runtime is closed.
    fn work_here(&mut self, index: usize, first: impl FnOnce()) {
        let worker = self.workers[index].take().expect("started once").0;
        worker.enter(|| {
            first();
            worker.run_until(u64::MAX, || worker.shared().life() == Life::Closed);
            engine::discard(&worker);
        });
    }

    fn spawn<F: Future>(&self, future: F) -> Task<F::Output> {
        spawn(&self.shared, future)
    }

    /// Waits until so many workers search, and so many sleep.
    fn wait_until(&self, enough: impl Fn(usize, usize) -> bool) {
        loop {
            let (searching, asleep) = self.shared.idle.counts();
            if enough(searching, asleep) {
                return;
            }
            thread::yield_now();
        }
    }

    /// Lets a worker do a task from outside, so small that it naps before it searches next.
    fn let_steal_little(&self, index: usize, roll: &Arc<Roll>) {
        let (done, here) = (Arc::new(Count::new(0)), Arc::clone(roll));
        let says = Arc::clone(&done);
        drop(self.spawn(async move {
            says.store(1, Relaxed);
            here.here();
        }));
        let worker = &self.workers[index].as_ref().expect("not started").0;
        worker.enter(|| worker.run_until(u64::MAX, || done.load(Relaxed) == 1));
    }
}

/// What goes to a thread of a model, which are coroutines of one real thread.
struct Alone<F>(F);

// SAFETY: as above.
unsafe impl<F> Send for Alone<F> {}

impl<F> Alone<F> {
    fn into(self) -> F {
        self.0
    }
}

/// A waker that says that it was used.
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(1, Release);
    }
}

/// Makes a task as `create_task` does, on a worker or not.
fn spawn<F: Future>(shared: &Arc<Shared>, future: F) -> Task<F::Output> {
    let options = Options { eager: Some(false), ..Options::plain(Location::caller()) };
    crate::scheduler::with_worker_of(shared, |worker| create(shared, worker, future, options))
}

/// The end of a runtime, as the shutdown makes it.
fn close(shared: &Shared) {
    shared.set_life(Life::Closed);
    shared.unpark_all();
}

/// Ends the runtime when so many tasks have said that they have run.
struct Roll {
    shared: Arc<Shared>,
    missing: Count,
}

impl Roll {
    fn new(rig: &Rig, count: usize) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(&rig.shared), missing: Count::new(count) })
    }

    fn here(&self) {
        if self.missing.fetch_sub(1, Relaxed) == 1 {
            close(&self.shared);
        }
    }

    fn check(&self) {
        assert_eq!(self.missing.load(Relaxed), 0, "each task has run, once");
    }
}

/// A thread that is no worker makes a task, while the only worker that is there may be falling asleep.
///
/// *Found by hand:* `push_from_outside` that does not notify.
#[test]
fn a_task_from_outside_is_run() {
    model(|| {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 1);
        let worker = rig.start(1, || ());
        let here = Arc::clone(&roll);
        drop(rig.spawn(async move { here.here() }));
        worker.join().unwrap();
        roll.check();
    });
}

/// Two workers that may both be falling asleep, and a task from outside.
///
/// *Found by hand:* `push_from_outside` that does not notify; `sleep` that does not look at the queues once more; `notify` that takes the sleeper off the list
/// and does not unpark it.
#[test]
fn one_of_two_workers_runs_it() {
    large_model(|| {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 1);
        let worker = rig.start(1, || ());
        let here = Arc::clone(&roll);
        let stranger = thread::spawn({
            let shared = Arc::clone(&rig.shared);
            move || drop(spawn(&shared, async move { here.here() }))
        });
        rig.work_here(0, || ());
        stranger.join().unwrap();
        worker.join().unwrap();
        roll.check();
    });
}

/// A task makes another and holds its worker until that one has run: it is in the last-in slot, and the other worker must take it out.
///
/// *Found by hand:* `push_lifo` that never calls the sentry; `sleep` in which nobody looks at the slots; `take_post` that is always false.
#[test]
fn a_task_behind_an_endless_poll_is_run() {
    model(|| {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 2);
        let other = rig.start(1, || ());
        let shared = Arc::clone(&rig.shared);
        let body = Arc::clone(&roll);
        rig.work_here(0, || {
            let hostage_taker = async move {
                let free = Arc::new(AtomicUsize::new(0));
                let (frees, here) = (Arc::clone(&free), Arc::clone(&body));
                drop(spawn(&shared, async move {
                    frees.store(1, Release);
                    here.here();
                }));
                while free.load(Acquire) == 0 {
                    thread::yield_now();
                }
                body.here();
            };
            drop(spawn(&rig_shared(&roll), hostage_taker));
        });
        other.join().unwrap();
        roll.check();
    });
}

fn rig_shared(roll: &Roll) -> Arc<Shared> {
    Arc::clone(&roll.shared)
}

/// A task makes two others and holds its worker: one is in the deque, told of, the other in the slot.
///
/// *Found by hand:* `push_lifo` that does not notify of what it displaces.
#[test]
fn two_tasks_behind_an_endless_poll_are_run() {
    large_model(|| {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 3);
        let other = rig.start(1, || ());
        let shared = Arc::clone(&rig.shared);
        let body = Arc::clone(&roll);
        rig.work_here(0, || {
            let hostage_taker = async move {
                let free = Arc::new(AtomicUsize::new(0));
                for _ in 0..2 {
                    let (frees, here) = (Arc::clone(&free), Arc::clone(&body));
                    drop(spawn(&shared, async move {
                        frees.fetch_add(1, Release);
                        here.here();
                    }));
                }
                while free.load(Acquire) < 2 {
                    thread::yield_now();
                }
                body.here();
            };
            drop(spawn(&rig_shared(&roll), hostage_taker));
        });
        other.join().unwrap();
        roll.check();
    });
}

/// A task begins to sleep, in one poll with no end before the sleep's: its worker is stuck, so the other one, which may be asleep, fires the timer.
///
/// The task comes from outside: one in a last-in slot would keep the sentry awake, who would see the timer without being called for it.
///
/// *Found by hand:* `arm` that never calls the sentry; `fire_timers` that looks at the own wheel only; `next_timer_of_others` that is always never.
#[test]
fn a_timer_of_a_stuck_worker_is_fired() {
    model(|| {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 1);
        let stuck = Arc::clone(&roll);
        let hold = poll_fn(move |_| {
            let bell = Arc::new(Bell(AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&bell));
            let sleep = pin!(sleep(Duration::from_micros(10)));
            if sleep.poll(&mut Context::from_waker(&waker)).is_pending() {
                while bell.0.load(Acquire) == 0 {
                    thread::yield_now();
                }
            }
            stuck.here();
            Poll::Ready(())
        });
        drop(rig.spawn(hold));
        let other = rig.start(1, || ());
        rig.work_here(0, || ());
        other.join().unwrap();
        roll.check();
    });
}

/// Two tasks wake at the same moment, and the first of them holds its worker until the other has run. Nobody is told of the other one if a sleeper is about to wake
/// by itself; that one looks, and else is told.
///
/// *Found by hand:* `is_looked_after` that is always true; a sleeper that does not say that it has woken.
#[test]
fn what_timers_make_ready_is_run_behind_an_endless_poll() {
    model(|| {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 2);
        let there = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let (here, there) = (Arc::clone(&roll), Arc::clone(&there));
            drop(rig.spawn(async move {
                sleep(Duration::from_micros(10)).await;
                there.fetch_add(1, AcqRel);
                while there.load(Acquire) < 2 {
                    thread::yield_now();
                }
                here.here();
            }));
        }
        // Both timers are this worker's.
        let done = Count::new(0);
        let worker = &rig.workers[0].as_ref().expect("not started").0;
        worker.enter(|| worker.run_until(u64::MAX, || done.fetch_add(1, Relaxed) == 2));
        worker.expect_a_brief_burst();
        let other = rig.start(1, || ());
        rig.work_here(0, || ());
        other.join().unwrap();
        roll.check();
    });
}

/// A task from outside was small, so the worker that ran it naps, as a searcher: another task that comes meanwhile wakes nobody, and is run.
///
/// *Found by hand:* `rest` that no longer searches after the nap and is still counted so.
#[test]
fn a_task_that_comes_during_a_nap_is_run() {
    model(|| {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 2);
        let first = Arc::clone(&roll);
        drop(rig.spawn(async move { first.here() }));
        let worker = rig.start(1, || ());
        let second = Arc::clone(&roll);
        drop(rig.spawn(async move { second.here() }));
        worker.join().unwrap();
        roll.check();
    });
}

/// Two workers sleep, and of two tasks from outside the first holds its worker until the second has run. The second is left to the worker that was woken for the
/// first, which hands it on.
///
/// *Found by hand:* `stop_searching` that tells nobody.
#[test]
fn who_stops_searching_leaves_no_task_behind() {
    model(|| {
        // How both fall asleep is the matter of other models, and this one would have no end: it is done in one order only.
        loom::stop_exploring();
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 2);
        let workers = [rig.start(0, || ()), rig.start(1, || ())];
        rig.wait_until(|_, asleep| asleep == 2);
        loom::explore();
        push_two(&rig, &roll);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        roll.check();
    });
}

/// The same with one worker asleep and one that naps before it searches, to which both are left: it tells the sentry.
///
/// *Found by hand:* `stop_searching` that calls nobody after a nap.
#[test]
fn who_has_napped_leaves_no_task_behind() {
    reduced_model(2, || {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 3);
        rig.let_steal_little(0, &roll);
        let sleeper = rig.start(1, || ());
        rig.wait_until(|_, asleep| asleep == 1);
        let napper = rig.start(0, || ());
        rig.wait_until(|searching, asleep| searching + asleep == 2);
        push_two(&rig, &roll);
        sleeper.join().unwrap();
        napper.join().unwrap();
        roll.check();
    });
}

/// A timer that makes nothing ready is fired by a searcher, on account of a sleeper that wakes by itself; that one has looked and sleeps again when two tasks come from
/// outside, which nobody is told of because of the searcher. It moves both into its own queue, where the first holds it, and so tells of the other.
///
/// *Found by hand:* `next_injected` that keeps silent as what timers have pushed.
#[test]
fn tasks_from_outside_are_told_of_after_a_burst_of_timers_that_was_not() {
    reduced_model(1, || {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 2);
        let shared = Arc::clone(&rig.shared);
        let worker = &rig.workers[0].as_ref().expect("not started").0;
        let _ = worker.enter(|| worker.arm(1_000, Waker::noop().clone()));
        worker.expect_a_brief_burst();
        thread::park_timeout(Duration::from_micros(20));
        // Worker 1 is, as far as worker 0 can tell, in a sleep that ends by itself.
        shared.remotes[1].will_wake(600_000);
        let searcher = rig.start(0, || ());
        rig.wait_until(|searching, _| searching == 1);
        // It wakes, and looks, and sleeps again.
        shared.remotes[1].has_woken();
        let sleeper = rig.start(1, || ());
        rig.wait_until(|_, asleep| asleep >= 1);
        push_two(&rig, &roll);
        searcher.join().unwrap();
        sleeper.join().unwrap();
        roll.check();
    });
}

/// A worker takes both out of the injector while the other one may be falling asleep, and holds the second in its hand for a moment: it tells of it.
///
/// *Found by hand:* `next_injected` that tells nobody.
#[test]
fn tasks_between_two_queues_are_told_of() {
    large_model(|| {
        let mut rig = Rig::new();
        let roll = Roll::new(&rig, 2);
        push_two(&rig, &roll);
        let workers = [rig.start(0, || ()), rig.start(1, || ())];
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        roll.check();
    });
}

/// Two tasks from outside, of which the first holds its worker until the second has run.
fn push_two(rig: &Rig, roll: &Arc<Roll>) {
    let gate = Arc::new(AtomicUsize::new(0));
    let (opens, stuck, free) = (Arc::clone(&gate), Arc::clone(roll), Arc::clone(roll));
    drop(rig.spawn(async move {
        while gate.load(Acquire) == 0 {
            thread::yield_now();
        }
        stuck.here();
    }));
    drop(rig.spawn(async move {
        opens.store(1, Release);
        free.here();
    }));
}

/// Virtual time stands still for work outside of the runtime, and goes on when that ends, which wakes nobody else: be the worker asleep by then or not.
///
/// *Found by hand:* `outside_ends` that wakes nobody; `rest_alone` that looks for the work outside after it has fallen asleep only.
#[test]
fn time_goes_on_when_the_work_outside_ends() {
    model(|| {
        let config = Config { workers: 1, virtual_time: true, ..Config::default() };
        let shared = Shared::new(1, config, vec![None]);
        let queue = LocalQueue::Own(RefCell::new(VecDeque::new()));
        let worker = Worker::new(Arc::clone(&shared), 0, queue);
        shared.outside_begins();
        let outside = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.outside_ends()
        });
        let task = worker.enter(|| {
            let task = spawn(&shared, sleep(Duration::from_secs(1)));
            worker.run_until(u64::MAX, || task.done());
            task
        });
        outside.join().unwrap();
        assert_eq!(shared.clock.now(), 1_000_000_000);
        drop(task);
    });
}

/// A timer fires, or is cancelled from another thread, or both at once: its waker is used at most once, and is gone afterwards.
///
/// *Found by hand:* `cancel` that leaves the entry in the wheel; `take_due` that clones instead of taking.
#[test]
fn a_timer_fires_or_is_cancelled() {
    struct Counts(Count);
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    model(|| {
        let shard = crate::time::TimerShard::get();
        let counts = Arc::new(Counts(Count::new(0)));
        let armed = shard.arm(100, Waker::from(Arc::clone(&counts)));
        let firing = thread::spawn(move || shard.fire(100));
        let cancelled = shard.cancel(armed.key);
        let fired = firing.join().unwrap();
        assert!(fired != cancelled.is_some(), "one of the two");
        drop(cancelled);
        assert_eq!(counts.0.load(Relaxed), usize::from(fired));
        assert_eq!(Arc::strong_count(&counts), 1);
        assert!(!shard.fire(1_000));
        assert_eq!(shard.next(), u64::MAX);
        shard.retire();
    });
}

/// A sleep goes to another task while it fires: the one who has it now is woken, or finds it over.
///
/// *Found by hand:* `renew` that keeps the old waker; `renew` that says armed of what has fired.
#[test]
fn a_timer_moves_while_it_fires() {
    model(|| {
        use crate::time::Renewed;
        let shard = crate::time::TimerShard::get();
        let armed = shard.arm(100, Waker::noop().clone());
        let firing = thread::spawn(move || shard.fire(100));
        let bell = Arc::new(Bell(AtomicUsize::new(0)));
        let is_armed = matches!(shard.renew(armed.key, &Waker::from(Arc::clone(&bell))), Renewed::Armed(_));
        assert!(firing.join().unwrap());
        assert_eq!(bell.0.load(Acquire), usize::from(is_armed), "who waits is woken");
        assert!(matches!(shard.renew(armed.key, Waker::noop()), Renewed::Fired));
        shard.retire();
    });
}

/// The whole shutdown against a task that is made from outside meanwhile: it runs, or ends cancelled; its value is dropped; nobody waits for ever.
///
/// *Found by hand:* `discard` that leaves the lists open; `drop_idle` that does not claim.
#[test]
fn the_shutdown_meets_a_new_task() {
    model(|| {
        let mut rig = Rig::new();
        let value = Arc::new(());
        let stranger = thread::spawn({
            let (shared, value) = (Arc::clone(&rig.shared), Arc::clone(&value));
            move || {
                let task = spawn(&shared, async move {
                    sleep(Duration::MAX).await;
                    drop(value);
                });
                task.task_ref()
            }
        });
        let worker = rig.workers[0].take().expect("started once").0;
        worker.enter(|| {
            engine::close_tasks(&worker, [Life::Closing, Life::Draining], u64::MAX);
            close(&rig.shared);
            engine::discard(&worker);
        });
        let task = stranger.join().unwrap();
        assert!(task.cancelled());
        drop(task);
        assert_eq!(Arc::strong_count(&value), 1, "the future is gone");
        drop(worker);
        assert!(rig.workers[1].is_some());
        rig.workers.clear();
        assert_eq!(Arc::strong_count(&rig.shared), 1, "nobody keeps the runtime");
    });
}

/// The whole shutdown against another worker, which may end the last task while worker 0 waits for that.
///
/// *Found by hand:* `release` that does not wake worker 0.
#[test]
fn the_shutdown_waits_for_another_worker() {
    large_model(|| {
        let mut rig = Rig::new();
        let task = rig.spawn(std::future::pending::<()>());
        let other = rig.start(1, || ());
        let worker = rig.workers[0].take().expect("started once").0;
        worker.enter(|| {
            engine::close_tasks(&worker, [Life::Closing, Life::Draining], u64::MAX);
            close(&rig.shared);
            engine::discard(&worker);
        });
        other.join().unwrap();
        assert!(task.cancelled());
    });
}

/// The whole shutdown against a wake from outside: the runtime goes, perhaps while the other thread is still on its way out of it.
///
/// *Found by hand:* a push from outside that does not keep the runtime.
#[test]
fn the_shutdown_meets_a_wake() {
    small_model(|| {
        let mut rig = Rig::new();
        let slot = Arc::new(std::sync::Mutex::new(None::<Waker>));
        let place = Arc::clone(&slot);
        let task = rig.spawn(poll_fn(move |cx| {
            *place.lock().unwrap() = Some(cx.waker().clone());
            Poll::<()>::Pending
        }));
        let worker = rig.workers[0].take().expect("started once").0;
        // Its first poll.
        worker.enter(|| worker.run_until(u64::MAX, || slot.lock().unwrap().is_some()));
        let waker = slot.lock().unwrap().take().expect("polled");
        let stranger = thread::spawn(move || waker.wake());
        worker.enter(|| {
            engine::close_tasks(&worker, [Life::Closing, Life::Draining], u64::MAX);
            close(&rig.shared);
            engine::discard(&worker);
        });
        drop((worker, rig));
        stranger.join().unwrap();
        assert!(task.cancelled());
    });
}
