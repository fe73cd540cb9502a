//! Requests: delivered once each, also those of the shutdown and those that go round a ring.

use super::super::support::{Freed, Queue, create, model};
use super::{Model, message_of};
use crate::loom::thread;
use crate::scope::{Mark, path, with_frame};
use crate::task::harness;
use crate::task::ring::{News, Number, RingProbe};
use crate::task::{Task, state};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Wake, Waker};

/// C-34: a request that was recorded before the end replaces the value, one that came after it was refused.
///
/// *Found by hand:* `complete` that does not look for `CANCEL`; `request` that does not look for `COMPLETE`.
#[test]
fn a_cancel_and_a_completion_have_one_outcome() {
    model(|| cancel_while_it_completes(None));
}

/// The same with a message, which is there when the request is.
///
/// *Found by hand:* `take_request` with `Relaxed`.
#[test]
fn a_message_that_comes_while_the_task_completes_is_delivered() {
    model(|| cancel_while_it_completes(Some("stop")));
}

fn cancel_while_it_completes(message: Option<&str>) {
    let (model, mut task) = Model::new(0);
    let worker = model.drain_on_thread();
    let recorded = match message {
        Some(message) => task.cancel_with(message),
        None => task.cancel(),
    };
    worker.join().unwrap();
    model.queue.drain();
    let outcome = task.result().expect("ended");
    assert_eq!(recorded, outcome.is_err(), "recorded and delivered, or refused");
    assert_eq!(recorded, task.cancelled());
    assert_eq!(u32::from(recorded), task.cancelling());
    match outcome {
        Ok(value) => drop(value),
        Err(error) => assert_eq!(message_of(error).as_deref(), message),
    }
    drop(task);
    model.check();
}

/// Two requests with messages against their delivery to a task that is in a queue already: the task ends by the message that was recorded first, and
/// the requests that were not too late are counted.
///
/// *Found by hand:* `cancel` that records before it takes the lock.
#[test]
fn the_first_message_is_delivered() {
    model(|| {
        let (model, mut task, waker) = Model::pending(1);
        let other = task.task_ref();
        waker.wake_by_ref();
        let canceller = model.on_thread(move || {
            other.cancel_with("one");
        });
        let worker = model.drain_on_thread();
        let second = task.cancel_with("two");
        canceller.join().unwrap();
        worker.join().unwrap();
        model.queue.drain();
        let message = message_of(task.result().expect("ended").err().expect("cancelled")).expect("with its message");
        assert!(second || message == "one", "the message of a request that was refused");
        assert!(task.cancelling() >= 1 + u32::from(second && message == "one"));
        drop((task, waker));
        model.check();
    });
}

/// A plain request against the withdrawal of one with a message: a message goes with the request it came with.
///
/// Found in the engine: `uncancel` left the message behind, and the next plain request was delivered with it.
#[test]
fn a_withdrawn_message_is_not_delivered_with_another_request() {
    model(|| {
        let (model, mut task, waker) = Model::pending(1);
        let (one, two) = (task.task_ref(), task.task_ref());
        one.cancel_with("withdrawn");
        let plain = model.on_thread(move || {
            two.cancel();
        });
        let left = one.uncancel();
        plain.join().unwrap();
        model.queue.drain();
        let message = message_of(task.result().expect("ended").err().expect("cancelled"));
        assert_eq!(message.is_some(), left == 1, "withdrawn at zero, else the first one counts");
        drop((one, task, waker));
        model.check();
    });
}

/// A request that is taken back is delivered or withdrawn, not both and not neither; the task goes on if it was withdrawn.
///
/// *Found by hand:* `unrequest` that leaves `CANCEL` set at zero.
#[test]
fn a_request_is_delivered_or_withdrawn() {
    model(|| {
        let (model, mut task, waker) = Model::pending(1);
        let other = task.task_ref();
        let canceller = model.on_thread(move || {
            assert!(other.cancel());
            assert_eq!(other.uncancel(), 0);
        });
        model.queue.drain();
        canceller.join().unwrap();
        if !task.done() {
            assert!(!task.header().state.load().has(state::CANCEL), "withdrawn");
            model.said.fetch_add(1, Relaxed);
            waker.wake_by_ref();
            model.queue.drain();
            assert!(task.result().expect("goes on").is_ok());
        }
        drop((task, waker));
        model.check();
    });
}

/// A request that is caught is delivered once: the task goes on, wherever in its life the request met it.
///
/// *Found by hand:* `take_request` that leaves `CANCEL` set.
#[test]
fn a_caught_request_is_delivered_once() {
    model(|| {
        let (queue, freed) = (Queue::new(), Freed::new());
        let caught = Arc::new(Count::new(0));
        let count = Arc::clone(&caught);
        let mut task = create(&queue, &freed, async move {
            for _ in 0..2 {
                if crate::catch_cancelled(crate::yield_now()).await.is_err() {
                    count.fetch_add(1, Relaxed);
                }
            }
        });
        queue.drain_once();
        let other = task.task_ref();
        let canceller = thread::spawn(move || other.cancel());
        queue.drain();
        let recorded = canceller.join().unwrap();
        queue.drain();
        // Between two catchers it ends the task.
        let delivered = caught.load(Relaxed) + usize::from(task.result().expect("ended").is_err());
        assert_eq!(delivered, usize::from(recorded));
        drop(task);
        freed.check();
    });
}

/// The shutdown's one request against a first poll: who has had its first step is cancelled by one of the two, once.
///
/// *Found by hand:* `has_started` as a mere load; `end_poll` that does not look whether the runtime is closing; `sweep` that forgets that it was made.
#[test]
fn the_sweep_reaches_a_task_that_begins_meanwhile() {
    model(|| {
        let (model, mut task) = Model::new(1);
        let worker = model.drain_on_thread();
        model.queue.begin_closing();
        if task.header().state.has_started() {
            harness::sweep(&task);
        }
        worker.join().unwrap();
        model.queue.drain();
        assert!(task.result().expect("swept").is_err());
        assert_eq!(task.cancelling(), 1);
        drop((task, model.slot.lock().unwrap().take()));
        model.check();
    });
}

/// The sweep against a task that was swept before, awaits this one and passes the request on: one of the two delivers it.
///
/// Found in the engine: the other one came between the sweep's mark and its request. It left the delivery to the sweep, which took its note for a
/// delivery.
///
/// *Found by hand:* `record` that notes the request without `left_to_sweep`; `request_before_sweep` that does not look for the sweep, or before its step only.
#[test]
fn the_sweep_s_request_is_delivered_by_the_sweep_or_by_who_passes_it_on() {
    model(|| {
        let (model, mut task) = Model::new(1);
        model.queue.drain();
        let other = task.task_ref();
        let passer = model.on_thread(move || {
            other.cancel_by(&crate::CancelledError::sweep());
        });
        harness::sweep(&task);
        passer.join().unwrap();
        model.queue.drain();
        assert!(task.result().expect("delivered").is_err());
        assert_eq!(task.cancelling(), 1, "counted once");
        drop((task, model.slot.lock().unwrap().take()));
        model.check();
    });
}

/// A task that waits in one catcher and, when it has been cancelled there, in another; and how often it was.
fn catching_twice(queue: &Arc<Queue>, freed: &Freed) -> (Arc<Count>, Task<()>) {
    let caught = Arc::new(Count::new(0));
    let count = Arc::clone(&caught);
    let task = create(queue, freed, async move {
        for _ in 0..2 {
            if crate::catch_cancelled(std::future::pending::<()>()).await.is_err() {
                count.fetch_add(1, Relaxed);
            }
        }
    });
    queue.drain_once();
    (caught, task)
}

/// One request was counted and delivered: the task waits in its second catcher, and ends with a request of another kind.
fn check_caught_once(queue: &Queue, caught: &Count, mut task: Task<()>) {
    assert_eq!(caught.load(Relaxed), 1);
    assert_eq!(task.cancelling(), 1, "counted once");
    task.cancel_with("over");
    queue.drain();
    assert!(task.result().expect("ended").is_ok());
}

/// The same while a worker runs what the sweep has made ready: it must not deliver the request before the other one has noted that this is the one it passes on.
///
/// *Found by hand:* `run` that takes the request together with the right to poll although there is a cold part.
#[test]
fn the_sweep_s_request_is_delivered_once_while_another_passes_it_on() {
    model(|| {
        let (queue, freed) = (Queue::new(), Freed::new());
        let (caught, task) = catching_twice(&queue, &freed);
        let other = task.task_ref();
        let passer = thread::spawn(move || {
            other.cancel_by(&crate::CancelledError::sweep());
        });
        harness::sweep(&task);
        queue.drain();
        passer.join().unwrap();
        queue.drain();
        check_caught_once(&queue, &caught, task);
        freed.check();
    });
}

/// The same where the one that passes it on is fast: the task has had the request, has caught it and waits again before the sweep's step.
///
/// Found in the engine: the sweep looked for the cold part before it looked at the state, and made the request a second time.
#[test]
fn the_sweep_s_request_is_not_made_after_the_one_that_was_passed_on_was_delivered() {
    model(|| {
        let (queue, freed) = (Queue::new(), Freed::new());
        let (caught, task) = catching_twice(&queue, &freed);
        let (other, ready) = (task.task_ref(), Arc::clone(&queue));
        let passer = thread::spawn(move || {
            other.cancel_by(&crate::CancelledError::sweep());
            ready.drain();
        });
        harness::sweep(&task);
        passer.join().unwrap();
        queue.drain();
        check_caught_once(&queue, &caught, task);
        freed.check();
    });
}

/// The same where the task takes that request back before it waits again, so that its word is what it was: it had been cancelled before.
///
/// *Found by hand:* `request` that leaves no mark of a message.
#[test]
fn the_sweep_s_request_is_not_made_after_the_one_that_was_passed_on_was_taken_back() {
    model(|| {
        let (queue, freed) = (Queue::new(), Freed::new());
        let caught = Arc::new(Count::new(0));
        let count = Arc::clone(&caught);
        let task = create(&queue, &freed, async move {
            for number in 1..=3 {
                crate::catch_cancelled(std::future::pending::<()>()).await.expect_err("cancelled");
                count.store(number, Relaxed);
                if number == 2 {
                    crate::current_task().expect("this one").uncancel();
                }
            }
        });
        queue.drain_once();
        task.cancel();
        queue.drain();
        let (other, ready) = (task.task_ref(), Arc::clone(&queue));
        let passer = thread::spawn(move || {
            other.cancel_by(&crate::CancelledError::sweep());
            ready.drain();
        });
        harness::sweep(&task);
        queue.drain();
        passer.join().unwrap();
        queue.drain();
        assert_eq!(caught.load(Relaxed), 2);
        assert_eq!(task.cancelling(), 1, "counted once");
        task.cancel_with("over");
        queue.drain();
        assert!(task.done());
        drop(task);
        freed.check();
    });
}

/// A plain request is being delivered while another comes with a message: that goes with the one it came with.
///
/// Found in the engine: the poll that had taken the first request without the lock took the second one's message as well.
#[test]
fn a_message_does_not_overtake_a_plain_request() {
    model(|| {
        let (queue, freed) = (Queue::new(), Freed::new());
        let messages = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&messages);
        let mut task = create(&queue, &freed, async move {
            for _ in 0..3 {
                if let Err(error) = crate::catch_cancelled(std::future::pending::<()>()).await {
                    seen.lock().unwrap().push(error.message().map(String::from));
                }
            }
        });
        queue.drain_once();
        task.cancel();
        let other = task.task_ref();
        let second = thread::spawn(move || {
            other.cancel_with("second");
        });
        queue.drain();
        second.join().unwrap();
        queue.drain();
        assert_eq!(messages.lock().unwrap()[0], None, "the first request has no message");
        for _ in 0..2 {
            task.cancel();
            queue.drain();
        }
        assert!(task.result().expect("ended").is_ok());
        drop(task);
        freed.check();
    });
}

/// Waits for ever, and looks once per poll for what was sent round; on a waker of its own, as in a `FuturesUnordered`.
struct LooksRound {
    ring: RingProbe,
    mark: Mark,
    own: Arc<OwnWaker>,
    /// What it has seen.
    seen: Arc<Count>,
}

/// Lets the branch that it belongs to be polled, in the next poll of the task.
struct OwnWaker {
    due: AtomicBool,
    task: std::sync::Mutex<Option<Waker>>,
}

impl Wake for OwnWaker {
    fn wake(self: Arc<Self>) {
        self.due.store(true, Relaxed);
        let task = self.task.lock().unwrap().clone();
        task.expect("polled before").wake();
    }
}

impl Future for LooksRound {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        *this.own.task.lock().unwrap() = Some(cx.waker().clone());
        if this.own.due.swap(false, Relaxed) {
            this.ring.pass_on(|| {
                this.seen.fetch_add(1, Relaxed);
                None
            });
            let own = Waker::from(Arc::clone(&this.own));
            with_frame(|frame| frame.unwrap().settle(&Context::from_waker(&own), path::CATCHER, &mut this.mark));
        }
        Poll::Pending
    }
}

/// What is sent round is seen by who waits on a waker of its own, also if it comes while that one is being polled, the first time or for something else.
///
/// Found in the engine: who sends it woke those whose wakers were there.
///
/// *Found by hand:* a poll that does not look whether the task was stirred, at the root and in a scope; `stir_since` that does not note it.
#[test]
fn what_is_sent_round_is_seen_by_who_has_a_waker_of_its_own() {
    for in_scope in [false, true] {
        model(move || {
            let (queue, freed) = (Queue::new(), Freed::new());
            let own = Arc::new(OwnWaker { due: AtomicBool::new(true), task: std::sync::Mutex::default() });
            let seen = Arc::new(Count::new(0));
            let looks = LooksRound {
                ring: RingProbe::default(),
                mark: Mark::default(),
                own: Arc::clone(&own),
                seen: Arc::clone(&seen),
            };
            let task = create(&queue, &freed, async move {
                if in_scope {
                    let _ = crate::catch_cancelled(looks).await;
                } else {
                    looks.await;
                }
            });
            let to = task.task_ref();
            let sender = thread::spawn(move || harness::send_round(&to, News::Number(Number::greatest(), 1)));
            queue.drain();
            sender.join().unwrap();
            queue.drain();
            assert_eq!(seen.load(Relaxed), 1);
            task.cancel_with("over");
            queue.drain();
            assert!(task.done());
            drop((task, own.task.lock().unwrap().take()));
            freed.check();
        });
    }
}
