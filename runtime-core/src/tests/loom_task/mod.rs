//! The state word of a task with the real cell and harness, around a queue in place of the scheduler.

mod cancel;

use super::support::{
    Counted, Drops, Flags, Freed, Queue, block_on, create, create_eager, model, take_waker, thread_waker,
};
use crate::loom::atomic::AtomicUsize;
use crate::loom::thread;
use crate::task::error::TaskError;
use crate::task::harness::{self, Ran};
use crate::task::state::Claim;
use crate::task::{Promise, Task};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

/// A task with all that is counted of it.
struct Model {
    queue: Arc<Queue>,
    freed: Freed,
    futures: Drops,
    outputs: Drops,
    /// How many have said that the future may end.
    said: Arc<AtomicUsize>,
    /// Where its first poll puts the waker.
    slot: Arc<std::sync::Mutex<Option<Waker>>>,
}

impl Model {
    /// A queued task that ends when `wanted` threads have said so.
    fn new(wanted: usize) -> (Self, Task<Counted>) {
        let (queue, freed, futures, outputs) = (Queue::new(), Freed::new(), Drops::default(), Drops::default());
        let future = Flags::new(wanted, &futures, &outputs);
        let (said, slot) = (Arc::clone(&future.said), Arc::clone(&future.waker));
        let task = create(&queue, &freed, future);
        (Self { queue, freed, futures, outputs, said, slot }, task)
    }

    /// The same after its first poll, with its waker.
    fn pending(wanted: usize) -> (Self, Task<Counted>, Waker) {
        let (model, task) = Self::new(wanted);
        model.queue.drain();
        let waker = take_waker(&model.slot);
        (model, task, waker)
    }

    fn on_thread(&self, f: impl FnOnce() + 'static) -> loom::thread::JoinHandle<()> {
        thread::spawn(f)
    }

    /// A thread that is a worker.
    fn drain_on_thread(&self) -> loom::thread::JoinHandle<()> {
        let queue = Arc::clone(&self.queue);
        self.on_thread(move || queue.drain())
    }

    /// All has gone, each thing once.
    fn check(self) {
        assert_eq!(self.queue.released(), 1, "completed once");
        self.queue.go();
        self.futures.check();
        self.outputs.check();
        self.freed.check();
    }
}

fn message_of(error: TaskError) -> Option<String> {
    match error {
        TaskError::Cancelled(error) => error.message().map(String::from),
        TaskError::Panicked(panic) => panic!("not cancelled: {panic}"),
    }
}

/// Two threads wake, one by reference, one by value, while a third polls: the task is polled after the last wake.
///
/// *Found by hand:* `State::wake` that sets nothing while `RUNNING` is set; `end_poll` that ignores `NOTIFIED`; `wake` with `Relaxed`.
#[test]
fn a_wake_is_not_lost() {
    model(|| {
        let (model, mut task, waker) = Model::pending(2);
        let (said, other) = (Arc::clone(&model.said), waker.clone());
        let by_ref = model.on_thread(move || {
            said.fetch_add(1, Relaxed);
            other.wake_by_ref();
        });
        let said = Arc::clone(&model.said);
        let by_value = model.on_thread(move || {
            said.fetch_add(1, Relaxed);
            waker.wake();
        });
        model.queue.drain();
        by_ref.join().unwrap();
        by_value.join().unwrap();
        model.queue.drain();
        assert!(task.result().expect("polled after the last wake").is_ok());
        drop(task);
        model.check();
    });
}

/// The first poll against a wake from the thread that it has given its waker to, and two workers: the future goes from
/// one to the other.
///
/// *Found by hand:* `end_poll` without `Release`; `begin_poll` with `Relaxed`; `wake` that owes a push also while the task runs.
#[test]
fn a_future_moves_between_workers() {
    model(|| {
        let (model, mut task, waker) = Model::pending(2);
        let said = Arc::clone(&model.said);
        let queue = Arc::clone(&model.queue);
        let worker = model.on_thread(move || {
            said.fetch_add(1, Relaxed);
            waker.wake_by_ref();
            queue.drain();
            said.fetch_add(1, Relaxed);
            waker.wake();
            queue.drain();
        });
        model.queue.drain();
        worker.join().unwrap();
        model.queue.drain();
        assert!(task.result().expect("polled after the last wake").is_ok());
        drop(task);
        model.check();
    });
}

/// A task that has yielded is queued with `RUNNING` still set: a wake at that time, or in the poll that follows, is not lost.
///
/// *Found by hand:* `wake_by_value` that owes a push also while `RUNNING` is set.
#[test]
fn a_task_that_has_yielded_is_woken() {
    model(|| {
        let (queue, freed) = (Queue::new(), Freed::new());
        let (slot, said) = (Arc::new(std::sync::Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let (place, seen) = (Arc::clone(&slot), Arc::clone(&said));
        let mut polls = 0;
        let mut task = create(
            &queue,
            &freed,
            std::future::poll_fn(move |cx| {
                polls += 1;
                if polls == 1 {
                    *place.lock().unwrap() = Some(cx.waker().clone());
                    assert!(crate::current::yield_current(cx.waker()));
                }
                assert!(polls <= 3, "polled without reason");
                if seen.load(Relaxed) == 1 { Poll::Ready(()) } else { Poll::Pending }
            }),
        );
        queue.drain_once();
        let waker = take_waker(&slot);
        let other = thread::spawn(move || {
            said.store(1, Relaxed);
            waker.wake();
        });
        queue.drain();
        other.join().unwrap();
        queue.drain();
        assert!(task.result().expect("polled after the wake").is_ok());
        assert_eq!(queue.released(), 1);
        drop(task);
        freed.check();
    });
}

/// A waker that is used by value, and dropped, on a thread that never knew of the task, after and during its end.
///
/// *Found by hand:* `wake` that owes a push of a complete task (the scheduler had gone); `wake_by_value` that gives its reference back without a look
/// at `COMPLETE`.
#[test]
fn a_waker_outlives_its_task() {
    model(|| {
        let (model, task, waker) = Model::pending(1);
        model.said.fetch_add(1, Relaxed);
        let (second, third) = (waker.clone(), waker.clone());
        let one = model.on_thread(move || {
            waker.wake_by_ref();
            drop(waker);
        });
        let two = model.on_thread(move || second.wake());
        model.queue.drain();
        drop(task);
        one.join().unwrap();
        two.join().unwrap();
        model.queue.drain();
        model.queue.go();
        third.wake_by_ref();
        drop(third);
        model.check();
    });
}

/// The awaiter sleeps until the completion wakes it, and finds the output.
///
/// *Found by hand:* `set_join_waker` that ignores `COMPLETE`; `complete` without `Acquire`, and without `Release`; `ref_dec` without `Release`, and
/// without `Acquire` for the last one.
#[test]
fn completion_wakes_the_awaiter() {
    model(|| {
        let (model, task) = Model::new(0);
        let worker = model.drain_on_thread();
        let output = block_on(task);
        assert!(output.is_ok());
        drop(output);
        worker.join().unwrap();
        model.check();
    });
}

/// An awaiter that comes back with another waker is woken through that one.
///
/// *Found by hand:* `poll_join` that puts the new waker in without taking the bit back first; `unset_join_waker` that ignores `COMPLETE`.
#[test]
fn the_last_waker_of_the_awaiter_counts() {
    model(|| {
        let (model, mut task) = Model::new(0);
        let worker = model.drain_on_thread();
        let first = Waker::noop();
        let polled = Pin::new(&mut task).poll(&mut Context::from_waker(first));
        let output = match polled {
            Poll::Ready(output) => output,
            Poll::Pending => block_on(&mut task),
        };
        assert!(output.is_ok());
        drop((output, task));
        worker.join().unwrap();
        model.check();
    });
}

/// The handle goes while the task completes: one of the two drops the output, and the waker in the slot.
///
/// *Found by hand:* `drop_join_interest` that ignores `COMPLETE`, or gives its reference back with the waker still in the slot; `complete` that gives
/// the word as it was before its loop.
#[test]
fn an_output_that_nobody_wants_is_dropped_once() {
    model(|| {
        let (model, mut task) = Model::new(0);
        let worker = model.drain_on_thread();
        let waker = thread_waker();
        drop(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)));
        drop(task);
        worker.join().unwrap();
        model.check();
    });
}

/// A stranger who sees that a task has ended sees how.
///
/// *Found by hand:* `State::load` that is no `Acquire`.
#[test]
fn a_stranger_sees_how_a_task_ended() {
    model(|| {
        let (model, task) = Model::new(1);
        task.cancel();
        let stranger = thread::spawn(move || {
            if task.done() {
                assert!(task.cancelled());
            }
        });
        model.queue.drain();
        stranger.join().unwrap();
        model.check();
    });
}

/// Who waits through a reference sleeps until the completion wakes it.
///
/// *Found by hand:* `Wait::register` that looks for `COMPLETE` before it sets `LISTENERS`.
#[test]
fn completion_wakes_who_waits_through_a_reference() {
    model(|| {
        let (model, task) = Model::new(0);
        let reference = task.task_ref();
        drop(task);
        let worker = model.drain_on_thread();
        block_on(reference.wait());
        assert!(reference.done());
        drop(reference);
        worker.join().unwrap();
        model.check();
    });
}

/// Of three who wait one has given up, one is there and one comes while the task ends: the place that became free is nobody's trap.
///
/// *Found by hand:* `Waiters::take_all` that keeps the list of free places.
#[test]
fn who_gives_up_waiting_leaves_the_others_alone() {
    model(|| {
        let (model, task) = Model::new(0);
        let waker = thread_waker();
        let mut cx = Context::from_waker(&waker);
        let (mut fickle, mut faithful) = (Box::pin(task.wait()), Box::pin(task.wait()));
        let late = task.wait();
        drop(task);
        assert!(fickle.as_mut().poll(&mut cx).is_pending() && faithful.as_mut().poll(&mut cx).is_pending());
        drop(fickle);
        let worker = model.drain_on_thread();
        block_on(late);
        block_on(faithful);
        worker.join().unwrap();
        model.check();
    });
}

/// A callback that is added while the task ends runs once.
///
/// *Found by hand:* `add_done_callback` that looks for `COMPLETE` first and sets `LISTENERS` when it has let the lock go.
#[test]
fn a_done_callback_runs_once() {
    model(|| {
        let (model, task) = Model::new(0);
        let other = task.task_ref();
        let calls = Arc::new(Count::new(0));
        let call = |calls: &Arc<Count>| {
            let calls = Arc::clone(calls);
            move |task: &crate::TaskRef| {
                assert!(task.done());
                calls.fetch_add(1, Relaxed);
            }
        };
        let worker = model.drain_on_thread();
        let (one, two) = (call(&calls), call(&calls));
        let adder = model.on_thread(move || {
            other.add_done_callback(one);
        });
        task.add_done_callback(two);
        worker.join().unwrap();
        adder.join().unwrap();
        assert_eq!(calls.load(Relaxed), 2);
        drop(task);
        model.check();
    });
}

/// A callback is removed, or runs.
///
/// *Found by hand:* `tell_listeners` that counts the callbacks under one lock and takes them out under another.
#[test]
fn a_done_callback_is_removed_or_runs() {
    model(|| {
        let (model, task) = Model::new(0);
        let calls = Arc::new(Count::new(0));
        let counter = Arc::clone(&calls);
        let id = task.add_done_callback(move |_| {
            counter.fetch_add(1, Relaxed);
        });
        let worker = model.drain_on_thread();
        let removed = task.remove_done_callback(id);
        worker.join().unwrap();
        assert_eq!(calls.load(Relaxed), usize::from(!removed));
        drop(task);
        model.check();
    });
}

/// A promise is set, its task cancelled and its handle dropped, all at once: the value is given back, read, or dropped, once.
///
/// *Found by hand:* `try_claim` that ignores `RUNNING`; `set_result` that stores before it claims.
#[test]
fn a_promise_is_set_or_cancelled() {
    model(|| {
        let (outputs, value) = (Drops::default(), Drops::default());
        let (promise, task) = Promise::<Counted>::new();
        let canceller = task.task_ref();
        let set = thread::spawn({
            let value = value.clone();
            move || promise.set_result(value.make()).is_ok()
        });
        let cancelled = thread::spawn(move || canceller.cancel());
        let reference = task.task_ref();
        drop(task);
        let (set, cancelled) = (set.join().unwrap(), cancelled.join().unwrap());
        assert!(set != cancelled, "one of the two, and not both");
        assert!(reference.done());
        assert_eq!(reference.cancelled(), cancelled);
        value.check();
        outputs.check();
    });
}

/// A promise is dropped while its task is awaited and cancelled.
///
/// *Found by hand:* `Promise::drop` without `complete_promise`.
#[test]
fn a_dropped_promise_ends_its_task() {
    model(|| {
        let (promise, task) = Promise::<Counted>::new();
        let canceller = task.task_ref();
        let dropper = thread::spawn(move || drop(promise));
        let cancelled = canceller.cancel_with("by request");
        let error = block_on(task).err().expect("no value was set");
        let by_request = message_of(error).expect("both have a message") == "by request";
        dropper.join().unwrap();
        assert_eq!(cancelled, by_request);
    });
}

/// A context is read by a stranger while the task replaces it.
///
/// *Found by hand:* `read_as_stranger` without the lock.
#[test]
fn a_context_is_read_while_the_task_replaces_it() {
    crate::context_var! { static VAR: usize = 0; }
    model(|| {
        let (queue, freed) = (Queue::new(), Freed::new());
        let task = create(&queue, &freed, async {
            let _ = VAR.set(1);
        });
        let reader = task.task_ref();
        let worker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.drain()
        });
        let seen = reader.get_context().run(|| VAR.get());
        assert!(seen <= 1);
        drop((reader, task));
        worker.join().unwrap();
        freed.check();
    });
}

/// Who has given up an await takes the waker back and goes, handle and all, while the task ends: the free comes after that.
///
/// *Found by hand:* `drop_join_interest` whose step publishes nothing.
#[test]
fn a_handle_that_goes_is_done_with_its_slot_before_the_free() {
    model(|| {
        let (model, mut task) = Model::new(0);
        let worker = model.drain_on_thread();
        let _ = task.poll_done(&mut Context::from_waker(Waker::noop()));
        task.stop_waiting();
        drop(task);
        worker.join().unwrap();
        model.check();
    });
}

/// The shutdown's last means against a wake from a foreign thread: the task ends once, and the waker's push comes before that, while the
/// scheduler is there.
///
/// Found in the engine: a task that had been woken and not pushed yet was dropped, after which the scheduler could go.
///
/// *Found by hand:* `claim_idle` that ignores `NOTIFIED`.
#[test]
fn what_is_left_over_is_dropped_after_its_push() {
    model(|| {
        let (model, task, waker) = Model::pending(1);
        let foreign = model.on_thread(move || waker.wake());
        let reference = task.task_ref();
        drop(task);
        loop {
            if let Some(task) = model.queue.pop() {
                assert!(harness::drop_queued(task, &*model.queue, "left over"));
            }
            if harness::drop_idle(&reference, &*model.queue, "left over") != Claim::Queued {
                break;
            }
            thread::yield_now();
        }
        assert!(reference.cancelled());
        model.queue.go();
        drop(reference);
        foreign.join().unwrap();
        model.check();
    });
}

/// The shutdown's last means against the poll of a worker that was left behind: the future is dropped by one of the two, after the poll.
///
/// *Found by hand:* `claim_idle` with `Relaxed`.
#[test]
fn what_is_left_over_is_dropped_after_its_poll() {
    model(|| {
        let (model, task) = Model::new(1);
        let reference = task.task_ref();
        drop(task);
        let worker = model.drain_on_thread();
        while harness::drop_idle(&reference, &*model.queue, "left over") != Claim::Claimed {
            thread::yield_now();
        }
        worker.join().unwrap();
        assert!(reference.cancelled());
        drop((reference, model.slot.lock().unwrap().take()));
        model.check();
    });
}

/// An eager task that gives its waker away in its first poll: woken from elsewhere before that poll has ended.
///
/// *Found by hand:* a creator that drops what `run_eagerly` gives back.
#[test]
fn an_eager_task_is_woken_during_its_first_poll() {
    model(|| {
        let (queue, freed) = (Queue::new(), Freed::new());
        let woken = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&woken);
        let mut waker_thread = None;
        let future = std::future::poll_fn(move |cx| {
            if waker_thread.is_none() {
                let (waker, woken) = (cx.waker().clone(), Arc::clone(&seen));
                waker_thread = Some(thread::spawn(move || {
                    woken.store(1, Relaxed);
                    waker.wake();
                }));
            }
            if seen.load(Relaxed) == 0 {
                return Poll::Pending;
            }
            waker_thread.take().expect("there since the first poll").join().unwrap();
            Poll::Ready(())
        });
        let (mut task, notified) = create_eager(&queue, &freed, future);
        if let Ran::Again(again) = harness::run_eagerly(notified, &*queue) {
            queue.push(again);
        }
        while !task.done() {
            queue.drain();
            thread::yield_now();
        }
        assert!(task.result().expect("ended").is_ok());
        drop(task);
        freed.check();
    });
}
