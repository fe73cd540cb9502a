//! Every value dropped exactly once: generated combinations of how a task ends, what panics, and what becomes of its handle.

use crate::support::*;
use runtime_core::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// What the future does after its first poll, which returns pending.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Completes,
    Panics,
    Pends,
    WakesItself,
    IsWokenByAThread,
}

/// What becomes of the handle.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Handle {
    Awaited,
    Dropped,
    Cancelled,
    Forgotten,
}

/// When that happens.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    BeforeThePoll,
    DuringThePoll,
    AfterThePoll,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    does: Does,
    future_panics: bool,
    output_panics: bool,
    handle: Handle,
    when: When,
    eager: bool,
}

/// All combinations.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for does in [Does::Completes, Does::Panics, Does::Pends, Does::WakesItself, Does::IsWokenByAThread] {
        for handle in [Handle::Awaited, Handle::Dropped, Handle::Cancelled, Handle::Forgotten] {
            for when in [When::BeforeThePoll, When::DuringThePoll, When::AfterThePoll] {
                for bits in 0..8 {
                    let [future_panics, output_panics, eager] = [1, 2, 4].map(|bit| bits & bit != 0);
                    cases.push(Case { does, future_panics, output_panics, handle, when, eager });
                }
            }
        }
    }
    cases
}

/// What is counted in one case.
#[derive(Clone, Default)]
struct Counts {
    futures_dropped: Count,
    outputs_made: Count,
    outputs_dropped: Count,
    polls: Count,
}

/// A value that counts its drop and may panic in it.
struct Value {
    dropped: Count,
    panics: bool,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.dropped.up();
        assert!(!self.panics || std::thread::panicking(), "a destructor panics, as told");
    }
}

/// Called in the middle of a poll.
type During = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

struct Fut {
    does: Does,
    output_panics: bool,
    counts: Counts,
    during: During,
    _dropped: Value,
}

impl Future for Fut {
    type Output = Value;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Value> {
        let first = self.counts.polls.get() == 0;
        self.counts.polls.up();
        let during = self.during.lock().unwrap().take();
        if let Some(during) = during {
            during();
        }
        match self.does {
            Does::Pends => return Poll::Pending,
            Does::WakesItself if first => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Does::IsWokenByAThread if first => {
                wake_elsewhere(cx.waker().clone());
                return Poll::Pending;
            }
            Does::Panics => panic!("a poll panics, as told"),
            Does::Completes | Does::WakesItself | Does::IsWokenByAThread => {}
        }
        self.counts.outputs_made.up();
        Poll::Ready(Value { dropped: self.counts.outputs_dropped.clone(), panics: self.output_panics })
    }
}

/// Wakes from a thread that knows no runtime; one thread for all tests.
fn wake_elsewhere(waker: Waker) {
    static WAKERS: std::sync::OnceLock<Mutex<std::sync::mpsc::Sender<Waker>>> = std::sync::OnceLock::new();
    let sender = WAKERS.get_or_init(|| {
        let (sender, wakers) = std::sync::mpsc::channel::<Waker>();
        std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake));
        Mutex::new(sender)
    });
    sender.lock().unwrap().send(waker).unwrap();
}

/// Carries one case out; everything is over when it returns.
async fn carry_out(case: Case) -> Counts {
    let counts = Counts::default();
    let during = During::default();
    // Also for an eager task, whose first poll comes before its handle is there: then the next one.
    let early = case.when == When::DuringThePoll && !case.eager;
    let held: Arc<Mutex<Option<Task<Value>>>> = Arc::default();
    if early {
        let held = Arc::clone(&held);
        *during.lock().unwrap() = Some(Box::new(move || do_to(case, held.lock().unwrap().take())));
    }
    let future = Fut {
        does: case.does,
        output_panics: case.output_panics,
        counts: counts.clone(),
        during: Arc::clone(&during),
        _dropped: Value { dropped: counts.futures_dropped.clone(), panics: case.future_panics },
    };
    let place = Arc::clone(&held);
    let ended = {
        // With the lock held, so that the poll on another worker finds the handle.
        let mut place = place.lock().unwrap();
        let task = TaskBuilder::new().eager_start(case.eager).create_task(future);
        let ended = task.task_ref();
        *place = Some(task);
        ended
    };
    match case.when {
        When::BeforeThePoll => {}
        When::DuringThePoll => {
            while counts.polls.get() == 0 {
                yield_now().await;
            }
        }
        When::AfterThePoll => {
            while counts.polls.get() == 0 {
                yield_now().await;
            }
            yield_now().await;
        }
    }
    let task = held.lock().unwrap().take();
    if task.is_some() && case.handle == Handle::Awaited {
        if case.does == Does::Pends {
            ended.cancel();
        }
        let outcome = task.unwrap().await;
        check_outcome(case, &outcome);
        drop_quietly(outcome);
    } else {
        do_to(case, task);
    }
    if case.does == Does::Pends {
        ended.cancel();
    }
    ended.wait().await;
    counts
}

fn drop_quietly<T>(value: T) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(value)));
}

/// What becomes of the handle, where one cannot await it.
fn do_to(case: Case, task: Option<Task<Value>>) {
    let Some(task) = task else { return };
    match case.handle {
        Handle::Dropped | Handle::Awaited => drop_quietly(task),
        Handle::Cancelled => {
            task.cancel();
            drop_quietly(task);
        }
        // Leaks the handle's reference, hence the cell and an outcome in it: the future must have gone all the same.
        Handle::Forgotten => std::mem::forget(task),
    }
}

fn check_outcome(case: Case, outcome: &Result<Value, TaskError>) {
    let kind = match outcome {
        Ok(_) => "value",
        Err(TaskError::Cancelled(_)) => "cancelled",
        Err(TaskError::Panicked(_)) => "panicked",
    };
    let expected = match case.does {
        _ if case.future_panics => "panicked",
        Does::Panics => "panicked",
        Does::Pends => "cancelled",
        _ => "value",
    };
    assert_eq!(kind, expected, "{case:?}");
}

fn all_cases_on(workers: usize) {
    install_panic_hook();
    let _watchdog = Watchdog::new();
    let engine = engine(workers);
    engine.handle().set_exception_handler(Some(|_: &ExceptionContext| {}));
    let mut all = Vec::new();
    engine
        .run(async {
            for case in cases() {
                all.push((case, carry_out(case).await));
            }
            // The workers are all well.
            let tasks: Vec<_> = (0..100).map(|number| create_task(async move { number })).collect();
            for (number, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), number);
            }
        })
        .unwrap();
    // Ends after the workers have: whatever they were dropping, they have dropped.
    engine.close();
    for (case, counts) in all {
        assert_eq!(counts.futures_dropped.get(), 1, "future of {case:?}");
        let (made, dropped) = (counts.outputs_made.get(), counts.outputs_dropped.get());
        assert!(made <= 1, "{case:?}");
        match case.handle {
            Handle::Forgotten => assert!(dropped <= made, "{case:?}"),
            _ => assert_eq!(dropped, made, "output of {case:?}"),
        }
    }
}

#[test]
fn every_combination_drops_everything_once_with_1_worker() {
    all_cases_on(1);
}

#[test]
fn every_combination_drops_everything_once_with_2_workers() {
    all_cases_on(2);
}

#[test]
fn every_combination_drops_everything_once_with_8_workers() {
    all_cases_on(8);
}

#[test]
fn what_is_left_at_the_end_of_a_runtime_is_dropped_once() {
    install_panic_hook();
    for workers in [1, 2, 8] {
        for case in cases() {
            if case.handle != Handle::Dropped || case.when != When::BeforeThePoll {
                continue;
            }
            let _watchdog = Watchdog::new();
            let engine = engine(workers.min(2));
            engine.handle().set_exception_handler(Some(|_: &ExceptionContext| {}));
            let counts = Counts::default();
            let future = Fut {
                does: case.does,
                output_panics: case.output_panics,
                counts: counts.clone(),
                during: During::default(),
                _dropped: Value { dropped: counts.futures_dropped.clone(), panics: case.future_panics },
            };
            let builder = TaskBuilder::new().eager_start(case.eager);
            drop(engine.handle().create_task_with(builder, future));
            drop(engine);
            assert_eq!(counts.futures_dropped.get(), 1, "{case:?}");
            assert_eq!(counts.outputs_dropped.get(), counts.outputs_made.get(), "{case:?}");
        }
    }
}

#[test]
fn a_future_created_on_a_closed_runtime_is_dropped_once() {
    install_panic_hook();
    let engine = engine(2);
    let handle = engine.handle();
    engine.close();
    for future_panics in [false, true] {
        let counts = Counts::default();
        let future = Fut {
            does: Does::Completes,
            output_panics: false,
            counts: counts.clone(),
            during: During::default(),
            _dropped: Value { dropped: counts.futures_dropped.clone(), panics: future_panics },
        };
        let mut task = handle.create_task(future);
        assert_eq!((counts.futures_dropped.get(), counts.polls.get()), (1, 0));
        let error = task.result().unwrap().map(|_| ()).unwrap_err();
        assert_eq!(error.is_panicked(), future_panics);
    }
}

/// A value in whose destructor the next task's handle goes, and so on: however long the chain, and however often, each is dropped once, and by the time the first
/// handle has gone.
#[test]
fn outcomes_that_hold_handles_of_ended_tasks_are_dropped_at_any_depth() {
    struct Link {
        _value: Counted,
        _next: Option<Task<Self>>,
    }
    for workers in [1, 2] {
        on(workers, async {
            for length in [1, 31, 32, 33, 34, 64, 1_000, 1] {
                let dropped = Count::default();
                let mut last = None;
                for _ in 0..length {
                    let link = Link { _value: dropped.value(), _next: last };
                    let task = create_task(async move { link });
                    task.wait().await;
                    last = Some(task);
                }
                assert_eq!(dropped.get(), 0);
                drop(last);
                assert_eq!(dropped.get(), length);
            }
        });
    }
}

context_var! { static KEPT: Option<Arc<Counted>> = None; }

/// A poll keeps the references of the wakers that it drops for those that it clones, as many as it has room for; the rest are given back. However many there are,
/// the task is freed with the last.
#[test]
fn a_poll_that_drops_many_wakers_frees_the_task_in_the_end() {
    for count in [1, 4, 5, 11, 12, 16, 100] {
        let freed = Count::default();
        on(1, async {
            let value = Arc::new(freed.value());
            let (sent, wakers) = std::sync::mpsc::channel();
            let mut steps = 0;
            let cloning = std::future::poll_fn(move |cx| {
                steps += 1;
                match steps {
                    1 => (0..count).for_each(|_| sent.send(cx.waker().clone()).unwrap()),
                    2 => wakers.try_iter().for_each(drop),
                    _ => return Poll::Ready(()),
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            let token = KEPT.set(Some(value));
            let task = create_task(cloning);
            KEPT.reset(token);
            task.await.unwrap();
        });
        assert_eq!(freed.get(), 1, "with {count} wakers");
    }
}
