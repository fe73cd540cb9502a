//! Work and waits from foreign threads: the rows RC.

mod support;

use runtime_bridge::{BlockingResult, BlockingTimeout, run_coroutine_threadsafe, to_thread};
use runtime_core::{Context, Engine, Handle, Promise, TaskError, catch_cancelled, context_var, create_task, yield_now};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use support::{Dropped, LONG, engine, on, on_each};

context_var! { static WHO: &'static str = "nobody"; }

/// Runs `foreign` on a thread of its own while the engine runs.
fn beside<T: Send + 'static>(engine: &Engine, foreign: impl FnOnce(Handle) -> T + Send + 'static) -> T {
    let handle = engine.handle();
    let (promise, ended) = Promise::new();
    let thread = thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| foreign(handle)));
        let _ = promise.set_result(());
        result
    });
    engine.run(ended).unwrap().unwrap();
    thread.join().unwrap().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

fn beside_each(foreign: impl Fn(Handle) + Clone + Send + 'static) {
    for workers in [1, 2, 4] {
        let engine = engine(workers);
        beside(&engine, foreign.clone());
        engine.close();
    }
}

#[test]
fn rc_01_a_foreign_thread_submits_and_gets_the_result() {
    beside_each(|handle| {
        let here = thread::current().id();
        let task = run_coroutine_threadsafe(
            async move {
                yield_now().await;
                assert_ne!(thread::current().id(), here);
                42
            },
            &handle,
        );
        assert_eq!(task.blocking_result().unwrap(), 42);
    });
}

#[test]
fn rc_01_the_context_of_the_submitting_thread_comes_along() {
    beside_each(|handle| {
        let mut context = Context::new();
        let task = context.run(|| {
            let _ = WHO.set("foreign");
            run_coroutine_threadsafe(
                async {
                    let before = WHO.get();
                    let _ = WHO.set("task");
                    before
                },
                &handle,
            )
        });
        assert_eq!(task.blocking_result().unwrap(), "foreign");
        assert_eq!(context.run(|| WHO.get()), "foreign");
        assert_eq!(WHO.get(), "nobody");
    });
}

#[test]
fn rc_02_a_failure_comes_back() {
    beside_each(|handle| {
        let task = run_coroutine_threadsafe(async { Err::<(), _>("no") }, &handle);
        assert_eq!(task.blocking_result().unwrap(), Err("no"));
        let task = run_coroutine_threadsafe(async { panic!("broken") }, &handle);
        let TaskError::Panicked(panic) = task.blocking_result().unwrap_err() else { panic!("panicked") };
        assert_eq!(panic.message(), Some("broken"));
    });
}

#[test]
fn rc_03_a_task_that_ends_cancelled_is_so_for_the_thread() {
    beside_each(|handle| {
        let task = run_coroutine_threadsafe(pending::<()>(), &handle);
        let canceller = task.task_ref();
        run_coroutine_threadsafe(async move { canceller.cancel_with("from inside") }, &handle)
            .blocking_result()
            .unwrap();
        assert_eq!(task.blocking_result().unwrap_err().to_string(), "cancelled: from inside");
    });
}

#[test]
fn rc_04_after_a_timeout_the_task_runs_on_and_can_be_asked_again() {
    beside_each(|handle| {
        let (promise, event) = Promise::new();
        let mut task = run_coroutine_threadsafe(async move { event.await.unwrap() + 1 }, &handle);
        assert_eq!(task.blocking_result_timeout(Duration::ZERO).unwrap_err(), BlockingTimeout);
        let start = Instant::now();
        assert_eq!(task.blocking_result_timeout(Duration::from_millis(5)).unwrap_err(), BlockingTimeout);
        assert!(start.elapsed() >= Duration::from_millis(5), "never early");
        assert!(!task.done() && !task.cancelled());
        promise.set_result(1).unwrap();
        assert_eq!(task.blocking_result_timeout(Duration::MAX).unwrap().unwrap(), 2);
    });
}

#[test]
fn rc_04_a_result_in_time_is_not_a_timeout() {
    beside_each(|handle| {
        for _ in 0..1_000 {
            let mut task = run_coroutine_threadsafe(async { 1 }, &handle);
            assert_eq!(task.blocking_result_timeout(LONG).unwrap().unwrap(), 1);
        }
        let mut ended = run_coroutine_threadsafe(async { 2 }, &handle);
        while !ended.done() {
            thread::yield_now();
        }
        assert_eq!(ended.blocking_result_timeout(Duration::ZERO).unwrap().unwrap(), 2);
    });
}

#[test]
fn rc_05_after_a_cancel_the_wait_is_for_the_real_end() {
    beside_each(|handle| {
        let (entered, inside) = channel();
        let (promise, event) = Promise::new();
        let cleaned = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&cleaned);
        let mut task = run_coroutine_threadsafe(
            async move {
                entered.send(()).unwrap();
                let error = catch_cancelled(pending::<()>()).await.unwrap_err();
                event.await.unwrap();
                count.fetch_add(1, SeqCst);
                error.reraise().await
            },
            &handle,
        );
        inside.recv_timeout(LONG).unwrap();
        assert!(task.cancel());
        assert_eq!(
            task.blocking_result_timeout(Duration::from_millis(2)).map(drop).unwrap_err(),
            BlockingTimeout,
            "it cleans up"
        );
        promise.set_result(()).unwrap();
        assert!(task.blocking_result().map(|_| ()).unwrap_err().is_cancelled());
        assert_eq!(cleaned.load(SeqCst), 1);
    });
}

#[test]
fn rc_06_cancelled_before_its_first_step_it_is_never_polled() {
    for workers in [1, 2] {
        let engine = engine(workers);
        let (future, dropped) = Dropped::new(false);
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        // Nobody runs the engine with one worker yet; with two the other may be quicker than the cancel, so it is kept busy.
        let (release, busy) = channel::<()>();
        let (began, has_begun) = channel();
        if workers == 2 {
            drop(run_coroutine_threadsafe(
                async move {
                    began.send(()).unwrap();
                    let _ = busy.recv_timeout(LONG);
                },
                &engine.handle(),
            ));
            has_begun.recv_timeout(LONG).unwrap();
        }
        let task = run_coroutine_threadsafe(
            async move {
                let _future = future;
                counted.fetch_add(1, SeqCst);
            },
            &engine.handle(),
        );
        assert!(task.cancel());
        drop(release);
        let outcome = engine.run(task).unwrap();
        assert!(outcome.unwrap_err().is_cancelled());
        assert_eq!((polls.load(SeqCst), dropped.load(SeqCst)), (0, 1));
        engine.close();
    }
}

#[test]
fn rc_08_a_closed_runtime_gives_a_cancelled_task_that_says_why() {
    let engine = engine(2);
    let handle = engine.handle();
    engine.close();
    let (future, dropped) = Dropped::new(false);
    let task = run_coroutine_threadsafe(async move { drop(future) }, &handle);
    assert!(task.done());
    assert_eq!(dropped.load(SeqCst), 1, "its future is dropped at the call");
    assert_eq!(task.blocking_result().unwrap_err().to_string(), "cancelled: the runtime is closed");
}

#[test]
fn rc_09_what_the_runtime_never_ran_ends_cancelled() {
    let engine = engine(1);
    let (future, dropped) = Dropped::new(false);
    let task = run_coroutine_threadsafe(
        async move {
            let _future = future;
            pending::<()>().await;
        },
        &engine.handle(),
    );
    let waiter = thread::spawn(move || task.blocking_result());
    engine.close();
    assert!(waiter.join().unwrap().unwrap_err().is_cancelled());
    assert_eq!(dropped.load(SeqCst), 1);
}

#[test]
fn rc_09_a_blocking_wait_on_a_worker_panics_and_says_what_to_do() {
    on_each(|| async {
        let ended = create_task(async { 1 });
        while !ended.done() {
            yield_now().await;
        }
        let payload = catch_unwind(AssertUnwindSafe(|| ended.blocking_result())).unwrap_err();
        let message = payload.downcast_ref::<&str>().expect("a text");
        assert!(message.contains("`await` the task instead") && message.contains("to_thread"), "{message}");
        let mut open = create_task(pending::<()>());
        let waited = catch_unwind(AssertUnwindSafe(|| open.blocking_result_timeout(Duration::ZERO)));
        assert!(waited.is_err());
        open.cancel();
    });
}

#[test]
fn a_function_of_the_pool_may_wait() {
    on_each(|| async {
        let task = create_task(async {
            yield_now().await;
            5
        });
        assert_eq!(to_thread(move || task.blocking_result().unwrap()).await.unwrap(), 5);
    });
}

#[test]
fn sixty_four_threads_at_once() {
    on_each(|| async {
        let handle = Handle::current();
        let threads: Vec<_> = (0..64_u64)
            .map(|thread| {
                let handle = handle.clone();
                thread::spawn(move || {
                    (0..100)
                        .map(|i| {
                            run_coroutine_threadsafe(async move { thread * i }, &handle).blocking_result().unwrap()
                        })
                        .sum::<u64>()
                })
            })
            .collect();
        let sums = to_thread(move || threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>());
        assert_eq!(sums.await.unwrap(), (0..64).sum::<u64>() * (0..100).sum::<u64>());
    });
}

#[test]
fn a_promise_can_be_waited_for_without_a_runtime() {
    let (promise, task) = Promise::new();
    let thread = thread::spawn(move || task.blocking_result());
    promise.set_result(3).unwrap();
    assert_eq!(thread.join().unwrap().unwrap(), 3);
    let (promise, task) = Promise::<u8>::new();
    let thread = thread::spawn(move || task.blocking_result());
    drop(promise);
    assert!(thread.join().unwrap().unwrap_err().is_cancelled());
}

#[test]
fn a_foreign_user_of_the_park_token_does_no_harm() {
    let (promise, task) = Promise::new();
    thread::current().unpark();
    let waiter = thread::current();
    let thread = thread::spawn(move || {
        for _ in 0..1_000 {
            waiter.unpark();
        }
        promise.set_result(1).unwrap();
    });
    assert_eq!(task.blocking_result().unwrap(), 1);
    thread.join().unwrap();
}

#[test]
fn the_handle_works_from_threads_that_never_knew_the_runtime() {
    let handle = on(2, async { Handle::current() });
    let thread = thread::spawn(move || {
        let copy = handle.clone();
        drop(handle);
        run_coroutine_threadsafe(async {}, &copy).blocking_result().unwrap_err().is_cancelled()
    });
    assert!(thread.join().unwrap());
}
