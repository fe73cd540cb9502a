//! Sleeping and waking: the engine's `Idle` and parkers around queues that are a number.
//!
//! The workers here do what `Worker::rest`, `sleep` and `stop_searching` do, without timers and tasks; `loom_worker` runs those themselves.

use super::support::model;
use crate::loom::atomic::AtomicUsize;
use crate::loom::thread;
use crate::scheduler::SENTRY_GRACE;
use crate::scheduler::idle::Idle;
use crate::scheduler::park::Parker;
use crate::time::TimerShard;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::task::Waker;

struct Pool {
    idle: Idle,
    parkers: [Parker; 2],
    /// What is queued. Read relaxed where a worker only looks, so that the queue itself orders nothing.
    queued: AtomicUsize,
}

impl Pool {
    fn new() -> Arc<Self> {
        Arc::new(Self { idle: Idle::new(2), parkers: [Parker::new(), Parker::new()], queued: AtomicUsize::new(0) })
    }

    fn push(&self) {
        self.queued.fetch_add(1, Release);
        self.notify();
    }

    fn notify(&self) {
        if let Some(worker) = self.idle.notify() {
            self.parkers[worker].unpark();
        }
    }

    fn take(&self) -> bool {
        let mut queued = self.queued.load(Relaxed);
        while queued > 0 {
            match self.queued.compare_exchange(queued, queued - 1, Acquire, Relaxed) {
                Ok(_) => return true,
                Err(now) => queued = now,
            }
        }
        false
    }

    fn has_work(&self) -> bool {
        self.queued.load(Relaxed) > 0
    }

    /// A worker that gets stuck in the first item it finds.
    fn find(&self, index: usize, mut searching: bool) {
        while !self.take() {
            if !searching && self.idle.begin_search() {
                searching = true;
            } else {
                searching = self.sleep(index, searching, || self.has_work());
            }
        }
        if searching && self.idle.end_search() && self.has_work() {
            self.notify();
        }
    }

    /// Sleeps; gives whether the worker is counted as searching now.
    fn sleep(&self, index: usize, searching: bool, has_work: impl Fn() -> bool) -> bool {
        let _ = self.idle.fall_asleep(index, searching);
        while !has_work() {
            self.parkers[index].park_timeout(None);
            if !self.idle.is_asleep(index) {
                break;
            }
        }
        let work = has_work();
        !self.idle.wake_self(index, work) || work
    }

    fn on_thread(self: &Arc<Self>, index: usize) -> loom::thread::JoinHandle<()> {
        let pool = Arc::clone(self);
        thread::spawn(move || {
            pool.parkers[index].adopt_thread();
            pool.find(index, false);
        })
    }
}

/// A worker that may be falling asleep, and a foreign thread that pushes: the item is taken.
///
/// *Found by hand:* `notify` without its fence; `fall_asleep` without its fence.
#[test]
fn a_push_wakes_a_sleeper() {
    model(|| {
        let pool = Pool::new();
        let worker = pool.on_thread(0);
        pool.push();
        worker.join().unwrap();
        assert!(!pool.has_work());
        assert_eq!(pool.idle.counts(), (0, 0));
    });
}

/// Two workers that may both be falling asleep, each of which gets stuck in what it finds, and a foreign thread that pushes twice: nothing is
/// missed, and the last searcher hands on what it does not take.
///
/// Found in the engine: a searcher that had seen work when it was about to sleep went on without being counted as searching. A push that was
/// left to it meanwhile was handed on by nobody.
///
/// *Found by hand:* `end_search` without its fence; `wake_self` that leaves a searcher uncounted.
#[test]
fn every_push_finds_a_worker() {
    model(|| {
        let pool = Pool::new();
        let workers = [pool.on_thread(0), pool.on_thread(1)];
        pool.push();
        pool.push();
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(!pool.has_work());
        assert_eq!(pool.idle.counts(), (0, 0));
    });
}

/// A searcher begins a long nap while work comes from outside: it is roused, or sees the work.
///
/// *Found by hand:* `begin_nap` without its fence; `rouse` before `notify`.
#[test]
fn who_naps_for_long_is_roused_from_outside() {
    model(|| {
        let idle = Arc::new(Idle::new(2));
        let injector = Arc::new(AtomicUsize::new(0));
        assert!(idle.begin_search());
        let napper = thread::spawn({
            let (idle, injector) = (Arc::clone(&idle), Arc::clone(&injector));
            move || {
                assert!(idle.begin_nap(1));
                injector.load(Relaxed) == 1
            }
        });
        // As `Shared::push_from_outside`.
        injector.store(1, Relaxed);
        assert_eq!(idle.notify(), None, "it is left to the searcher");
        let roused = idle.rouse() == Some(1);
        assert!(napper.join().unwrap() | roused, "the work waits for the end of the nap");
        let _roused = idle.end_nap(1);
        assert!(idle.begin_nap(0), "the next one may");
    });
}

/// A searcher is in a long nap, and another worker falls asleep beside it, whatever is queued, while a thread pushes twice; each worker gets stuck in what it finds.
///
/// *Found by hand:* `is_anyone_napping` asked before `fall_asleep`; a napper that ends its search before its nap.
#[test]
fn a_napper_looks_after_what_is_left_to_it() {
    model(|| {
        let pool = Pool::new();
        assert!(pool.idle.begin_search() && pool.idle.begin_nap(1));
        let napper = thread::spawn({
            let pool = Arc::clone(&pool);
            move || {
                pool.parkers[1].adopt_thread();
                let _roused = pool.idle.end_nap(1);
                pool.find(1, true);
            }
        });
        let sleeper = thread::spawn({
            let pool = Arc::clone(&pool);
            move || {
                pool.parkers[0].adopt_thread();
                let searching = pool.sleep(0, false, || pool.has_work() && !pool.idle.is_anyone_napping());
                pool.find(0, searching);
            }
        });
        pool.push();
        pool.push();
        napper.join().unwrap();
        sleeper.join().unwrap();
        assert!(!pool.has_work());
        assert_eq!(pool.idle.counts(), (0, 0));
    });
}

/// A worker arms a timer and gets stuck, while the other, the sentry, who was to look soon, says that it will not: either the sentry knows of the
/// timer, or the armer calls it.
///
/// *Found by hand:* `TimerShard::arm` that makes the deadline known with `Release`; `lookout_is_later_than` with `Acquire`.
#[test]
fn an_armed_timer_is_known_to_the_sentry() {
    model(|| {
        let idle = Arc::new(Idle::new(2));
        let timers = TimerShard::get();
        assert!(idle.fall_asleep(1, false).sentry);
        idle.announce_lookout(1, false);
        let sentry = thread::spawn({
            let idle = Arc::clone(&idle);
            move || {
                idle.announce_lookout(u64::MAX, false);
                timers.next() != u64::MAX
            }
        });
        let armed = timers.arm(1_000, Waker::noop().clone());
        assert!(armed.is_first);
        let calls = idle.lookout_is_later_than(1_000 + SENTRY_GRACE) && idle.any_asleep() && idle.lookout().is_some();
        assert!(sentry.join().unwrap() | calls, "nobody will look");
        drop(timers.cancel(armed.key));
        timers.retire();
    });
}

/// A task is put into a last-in slot while the sentry goes from watching into a deep sleep: either it sees the slot, or it is called.
///
/// *Found by hand:* `announce_lookout` without its fence and `SeqCst`; `is_watched` with `Relaxed`.
#[test]
fn a_full_slot_is_known_to_the_sentry() {
    model(|| {
        let idle = Arc::new(Idle::new(2));
        let slot = Arc::new(AtomicUsize::new(0));
        assert!(idle.fall_asleep(1, false).sentry);
        idle.announce_lookout(1, true);
        let sentry = thread::spawn({
            let (idle, slot) = (Arc::clone(&idle), Arc::clone(&slot));
            move || {
                idle.announce_lookout(u64::MAX, false);
                slot.load(Relaxed) == 1
            }
        });
        // As `Worker::push_lifo`.
        slot.swap(1, SeqCst);
        let calls = !idle.is_watched() && idle.any_asleep() && idle.lookout() == Some(1);
        assert!(sentry.join().unwrap() | calls, "the task is stuck in the slot");
    });
}

/// The sentry goes while another worker falls asleep and a timer waits: the other one has announced that it will look, or it is called.
///
/// *Found by hand:* `wake_self` that keeps the post.
#[test]
fn a_sentry_that_goes_leaves_its_duty_to_another() {
    const DEADLINE: u64 = 1_000;
    model(|| {
        let idle = Arc::new(Idle::new(2));
        assert!(idle.fall_asleep(0, false).sentry);
        idle.announce_lookout(DEADLINE, false);
        let other = thread::spawn({
            let idle = Arc::clone(&idle);
            move || {
                let sentry = idle.fall_asleep(1, false).sentry;
                if sentry {
                    idle.announce_lookout(DEADLINE, false);
                }
                sentry
            }
        });
        // As the end of `Worker::sleep` and `leave_post`.
        assert!(idle.wake_self(0, false));
        idle.announce_lookout(u64::MAX, false);
        let calls = idle.any_asleep() && idle.lookout() == Some(1);
        let sentry = other.join().unwrap();
        assert!(calls | (sentry && !idle.lookout_is_later_than(DEADLINE)), "nobody will look");
        assert!(idle.take_post(1));
    });
}

/// The sentry is chosen for work while another worker falls asleep: somebody who sleeps has the post, or gets it.
///
/// *Found by hand:* `pop` that keeps the post.
#[test]
fn a_chosen_sentry_leaves_its_post() {
    model(|| {
        let idle = Arc::new(Idle::new(2));
        assert!(idle.fall_asleep(0, false).sentry);
        let other = thread::spawn({
            let idle = Arc::clone(&idle);
            move || idle.fall_asleep(1, false)
        });
        let chosen = idle.notify().expect("nobody searches");
        let _ = other.join().unwrap();
        assert!(idle.take_post(1 - chosen), "nobody looks after those who are awake");
    });
}
