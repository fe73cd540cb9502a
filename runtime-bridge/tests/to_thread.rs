//! `to_thread` and its pool: the rows TH, R-24 and SD-04, and what a pool must survive.

mod support;

use runtime_bridge::{BlockingConfig, BlockingResult, RunInExecutor, configure, thread_cancelled, to_thread};
use runtime_core::{Config, Engine, Handle, TaskBuilder, TaskError, context_var, create_task, sleep, yield_now};
use std::cell::RefCell;
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};
use support::{Dropped, LONG, engine, limit_threads, on, on_each, reports};

context_var! { static WHO: &'static str = "nobody"; }

#[test]
fn th_01_runs_once_in_another_thread_and_its_value_comes_back() {
    on_each(|| async {
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        let task = to_thread(move || (seen.fetch_add(1, SeqCst), thread::current().id()));
        let (before, id) = task.await.unwrap();
        assert_ne!(id, thread::current().id());
        assert_eq!((before, calls.load(SeqCst)), (0, 1));
    });
}

#[test]
fn th_01_an_error_comes_back() {
    on_each(|| async {
        let task = to_thread(|| "x".parse::<u8>());
        assert!(task.await.unwrap().is_err());
    });
}

#[test]
fn th_02_the_function_sees_a_copy_of_the_context_and_keeps_its_changes() {
    on_each(|| async {
        let _ = WHO.set("main");
        let task = to_thread(|| {
            let before = WHO.get();
            let _ = WHO.set("thread");
            (before, WHO.get())
        });
        let _ = WHO.set("main, later");
        assert_eq!(task.await.unwrap(), ("main", "thread"));
        assert_eq!(WHO.get(), "main, later");
        let again = to_thread(|| WHO.get());
        assert_eq!(again.await.unwrap(), "main, later", "nothing of an earlier function stays with its thread");
    });
}

#[test]
fn th_03_is_queued_at_the_call() {
    on_each(|| async {
        let (tx, rx) = channel();
        drop(to_thread(move || tx.send(1).unwrap()));
        assert_eq!(rx.recv_timeout(LONG), Ok(1), "nobody awaits it");
    });
}

#[test]
fn th_04_several_run_at_the_same_time() {
    on_each(|| async {
        let barrier = Arc::new(Barrier::new(100));
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let barrier = Arc::clone(&barrier);
                to_thread(move || barrier.wait().is_leader())
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn th_04_no_more_than_the_limit_run_at_once_and_the_others_in_their_order() {
    on(2, async {
        limit_threads(1);
        let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..100)
            .map(|i| {
                let order = Arc::clone(&order);
                to_thread(move || {
                    let order = order.try_lock();
                    order.expect("only one runs").push(i);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), (0..100).collect::<Vec<_>>());
    });
}

/// A function that says when it begins and waits until it may end.
fn held() -> (impl FnOnce() + Send + 'static, Receiver<()>, Sender<()>) {
    let (began, has_begun) = channel();
    let (release, released) = channel::<()>();
    let function = move || {
        began.send(()).unwrap();
        let _ = released.recv_timeout(LONG);
    };
    (function, has_begun, release)
}

#[test]
fn th_05_cancelled_while_it_runs_tells_the_awaiter_at_once_and_drops_the_result_silently() {
    on_each(|| async {
        let reports = reports(&Handle::current());
        let (hold, began, release) = held();
        let (result, dropped) = Dropped::new(false);
        let (told, heard) = channel();
        let task = to_thread(move || {
            hold();
            told.send(thread_cancelled()).unwrap();
            result
        });
        began.recv_timeout(LONG).unwrap();
        // Eagerly, so that it waits for the task when it is cancelled.
        let awaiter = TaskBuilder::new().eager_start(true).create_task(task);
        awaiter.cancel_with("enough");
        let TaskError::Cancelled(error) = awaiter.await.map(drop).unwrap_err() else { panic!("cancelled") };
        assert_eq!(error.message(), Some("enough"));
        assert!(heard.try_recv().is_err(), "the thread has not ended: nobody waited for it");
        assert_eq!(dropped.load(SeqCst), 0);
        drop(release);
        assert_eq!(heard.recv_timeout(LONG), Ok(true), "the thread runs to its end and knows");
        // Runs after the first on its thread, or on another: either way the shutdown waits for both.
        to_thread(|| ()).await.unwrap();
        while dropped.load(SeqCst) == 0 {
            yield_now().await;
        }
        assert_eq!(reports.try_iter().count(), 0);
    });
}

#[test]
fn th_05_a_panic_after_the_cancellation_is_silent() {
    let engine = engine(2);
    let reports = reports(&engine.handle());
    engine
        .run(async {
            let (hold, began, release) = held();
            let task = to_thread(move || {
                hold();
                panic!("unheard");
            });
            began.recv_timeout(LONG).unwrap();
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            drop(release);
        })
        .unwrap();
    engine.close();
    assert_eq!(reports.try_iter().count(), 0);
}

#[test]
fn th_06_cancelled_while_queued_never_runs() {
    on_each(|| async {
        limit_threads(1);
        let (hold, began, release) = held();
        let first = to_thread(hold);
        began.recv_timeout(LONG).unwrap();
        let (closure, dropped) = Dropped::new(false);
        let ran = Arc::new(AtomicUsize::new(0));
        let runs = Arc::clone(&ran);
        let second = to_thread(move || {
            let _closure = closure;
            runs.fetch_add(1, SeqCst);
        });
        second.cancel();
        assert!(second.await.unwrap_err().is_cancelled(), "at once, with the first one still running");
        drop(release);
        first.await.unwrap();
        to_thread(|| ()).await.unwrap();
        assert_eq!((ran.load(SeqCst), dropped.load(SeqCst)), (0, 1));
    });
}

#[test]
fn th_07_a_panic_arrives_at_the_awaiter_and_nowhere_else() {
    on_each(|| async {
        limit_threads(1);
        let reports = reports(&Handle::current());
        let id = to_thread(|| thread::current().id()).await.unwrap();
        let task = to_thread(|| panic_any(7_u8));
        let TaskError::Panicked(panic) = task.await.unwrap_err() else { panic!("panicked") };
        assert_eq!(*panic.into_payload().unwrap().downcast::<u8>().unwrap(), 7);
        assert_eq!(to_thread(|| thread::current().id()).await.unwrap(), id, "the thread goes on");
        assert_eq!(reports.try_iter().count(), 0);
    });
}

#[test]
fn th_07_a_panic_that_nobody_waits_for_is_reported() {
    let engine = engine(2);
    let reports = reports(&engine.handle());
    engine
        .run(async {
            drop(to_thread(|| panic!("lost and found")));
            assert!(reports.recv_timeout(LONG).unwrap().contains("panicked: lost and found"));
        })
        .unwrap();
    engine.close();
}

#[test]
fn a_panic_in_the_destructor_of_the_closure_is_the_tasks() {
    on_each(|| async {
        let (closure, dropped) = Dropped::new(true);
        let task = to_thread(move || {
            let _closure = &closure;
        });
        assert!(task.await.unwrap_err().is_panicked());
        assert_eq!(dropped.load(SeqCst), 1);
        assert_eq!(to_thread(|| 1).await.unwrap(), 1);
    });
}

#[test]
fn a_panic_in_the_destructor_of_a_closure_that_does_not_run_is_reported() {
    on_each(|| async {
        limit_threads(1);
        let reports = reports(&Handle::current());
        let (hold, began, release) = held();
        drop(to_thread(hold));
        began.recv_timeout(LONG).unwrap();
        let (closure, dropped) = Dropped::new(true);
        let task = to_thread(move || drop(closure));
        task.cancel();
        drop(release);
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(reports.recv_timeout(LONG).unwrap().contains("panicked: destructor"));
        assert_eq!(dropped.load(SeqCst), 1);
        assert_eq!(to_thread(|| 1).await.unwrap(), 1, "the thread goes on");
    });
}

#[test]
fn a_panic_in_the_destructor_of_an_unwanted_result_is_reported() {
    on_each(|| async {
        let reports = reports(&Handle::current());
        let (hold, began, release) = held();
        let (result, dropped) = Dropped::new(true);
        let task = to_thread(move || {
            hold();
            result
        });
        began.recv_timeout(LONG).unwrap();
        task.cancel();
        drop(release);
        assert!(reports.recv_timeout(LONG).unwrap().contains("panicked: destructor"));
        assert_eq!(dropped.load(SeqCst), 1);
        assert!(task.await.is_err());
        let (detached, dropped) = Dropped::new(true);
        drop(to_thread(move || detached));
        assert!(reports.recv_timeout(LONG).unwrap().contains("panicked: destructor"));
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

#[test]
fn ten_thousand_functions_at_once() {
    on_each(|| async {
        let tasks: Vec<_> = (0..10_000_usize).map(|i| to_thread(move || i * 2)).collect();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), i * 2);
        }
    });
}

#[test]
fn a_burst_of_tiny_functions_needs_few_threads() {
    on(2, async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..10_000).map(|_| to_thread(|| thread::current().id())).collect();
        let mut threads = std::collections::HashSet::new();
        for task in tasks {
            threads.insert(task.await.unwrap());
        }
        // Where the threads are kept from running, as on a machine under load, others are tried.
        let most = 100 + start.elapsed().as_millis();
        assert!((threads.len() as u128) < most, "{} threads for functions that do nothing", threads.len());
    });
}

#[test]
fn functions_that_wait_for_functions_get_threads_up_to_the_limit() {
    fn nest(handle: &Handle, depth: usize) -> usize {
        if depth == 0 {
            return 0;
        }
        let inner = handle.clone();
        let task = handle.run_in_executor(move || nest(&inner, depth - 1));
        task.blocking_result().unwrap() + 1
    }
    on_each(|| async {
        limit_threads(64);
        let handle = Handle::current();
        // Tiny ones around it, which alone would need no second thread.
        let noise: Vec<_> = (0..1_000).map(|_| to_thread(|| ())).collect();
        assert_eq!(to_thread(move || nest(&handle, 63)).await.unwrap(), 63);
        for task in noise {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_thread_without_work_ends_after_its_keep_alive() {
    struct AtExit(Sender<()>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    thread_local! { static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) }; }
    on(1, async {
        let config = BlockingConfig { keep_alive: Duration::from_millis(1), ..BlockingConfig::default() };
        assert!(configure(&Handle::current(), config));
        for _ in 0..3 {
            let (tx, rx) = channel();
            let number = to_thread(move || AT_EXIT.with(|at_exit| *at_exit.borrow_mut() = Some(AtExit(tx)))).await;
            number.unwrap();
            assert_eq!(rx.recv_timeout(LONG), Ok(()), "it ends, with the runtime still there");
        }
    });
}

#[test]
fn r_24_busy_threads_are_waited_for() {
    for workers in [1, 2] {
        let ended = Arc::new(AtomicUsize::new(0));
        let engine = engine(workers);
        let (hold, began, release) = held();
        let count = Arc::clone(&ended);
        engine
            .run(async move {
                drop(to_thread(move || {
                    hold();
                    count.fetch_add(1, SeqCst);
                }));
                began.recv_timeout(LONG).unwrap();
            })
            .unwrap();
        let releaser = thread::spawn(move || drop(release));
        engine.close();
        assert_eq!(ended.load(SeqCst), 1);
        releaser.join().unwrap();
    }
}

#[test]
fn r_24_but_not_for_longer_than_the_limit() {
    let engine = engine(2);
    let reports = reports(&engine.handle());
    let config = BlockingConfig { close_timeout: Some(Duration::from_millis(1)), ..BlockingConfig::default() };
    assert!(configure(&engine.handle(), config));
    let (hold, began, release) = held();
    engine
        .run(async {
            drop(to_thread(hold));
            began.recv_timeout(LONG).unwrap();
        })
        .unwrap();
    engine.close();
    assert!(reports.try_recv().unwrap().contains("1 functions given to `to_thread` still run"));
    drop(release);
}

#[test]
fn sd_04_the_runtime_serves_its_threads_while_it_waits_for_them() {
    for workers in [1, 2] {
        let engine = engine(workers);
        let handle = engine.handle();
        let (hold, began, release) = held();
        let (tx, rx) = channel();
        let task = handle.clone().run_in_executor(move || {
            hold();
            let served = runtime_bridge::run_coroutine_threadsafe(
                async {
                    // Suspends: more than its first step is served.
                    sleep(Duration::from_millis(1)).await;
                    yield_now().await;
                    "served"
                },
                &handle,
            );
            tx.send(served.blocking_result().map_err(|error| error.to_string())).unwrap();
        });
        began.recv_timeout(LONG).unwrap();
        // Goes on only when the pool is closed: that is the phase in question.
        let waiting = engine.handle().run_in_executor(|| ());
        waiting.blocking_result().unwrap();
        let probe = engine.handle();
        let releaser = thread::spawn(move || {
            while !probe.run_in_executor(|| ()).blocking_result().is_err_and(|error| error.is_cancelled()) {
                thread::yield_now();
            }
            drop(release);
        });
        engine.close();
        assert_eq!(rx.try_recv().unwrap().as_deref(), Ok("served"));
        task.blocking_result().unwrap();
        releaser.join().unwrap();
    }
}

#[test]
fn what_is_queued_when_the_runtime_closes_ends_cancelled_with_a_message() {
    let engine = engine(1);
    assert!(configure(&engine.handle(), BlockingConfig { max_threads: 1, ..BlockingConfig::default() }));
    let (hold, began, release) = held();
    let first = engine.handle().run_in_executor(hold);
    began.recv_timeout(LONG).unwrap();
    let (closure, dropped) = Dropped::new(true);
    let queued = engine.handle().run_in_executor(move || drop(closure));
    let waiting = thread::spawn(move || {
        let outcome = queued.blocking_result();
        drop(release);
        outcome
    });
    engine.close();
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cancelled: the runtime was closed before this function ran");
    assert_eq!(dropped.load(SeqCst), 1, "and its panicking destructor has hurt nobody");
    first.blocking_result().unwrap();
    let late = engine.handle().run_in_executor(|| ());
    assert!(late.blocking_result().unwrap_err().is_cancelled(), "closed for good");
}

#[test]
fn a_virtual_clock_stands_still_while_a_function_is_queued_or_runs() {
    let engine = Engine::new(Config { workers: 1, virtual_time: true, ..Config::default() }).unwrap();
    engine
        .run(async {
            limit_threads(1);
            let start = Handle::current().time();
            let sleeper = create_task(sleep(Duration::from_secs(3600)));
            let (hold, began, release) = held();
            let running = to_thread(hold);
            let queued = to_thread(|| ());
            let releaser = thread::spawn(move || {
                began.recv_timeout(LONG).unwrap();
                thread::yield_now();
                drop(release);
            });
            running.await.unwrap();
            queued.await.unwrap();
            assert_eq!(Handle::current().time(), start);
            releaser.join().unwrap();
            sleeper.await.unwrap();
            assert_eq!(Handle::current().time() - start, Duration::from_secs(3600));
        })
        .unwrap();
    engine.close();
}

#[test]
fn a_virtual_clock_moves_to_where_the_wait_of_a_function_ends_and_no_further() {
    let engine = Engine::new(Config { workers: 1, virtual_time: true, ..Config::default() }).unwrap();
    engine
        .run(async {
            let hour = Duration::from_secs(3600);
            let handle = Handle::current();
            let start = handle.time();
            let late = create_task(sleep(3 * hour));
            for round in 0..50 {
                let inside = handle.clone();
                let function = to_thread(move || {
                    let before = inside.time();
                    let (quick, slow) = (inside.create_task(sleep(hour / 200)), inside.create_task(sleep(hour / 100)));
                    slow.blocking_result().unwrap();
                    // What has ended meanwhile, and what never needed any time.
                    quick.blocking_result().unwrap();
                    inside.create_task(async {}).blocking_result().unwrap();
                    let nested = inside.run_in_executor(|| 7);
                    assert_eq!(nested.blocking_result().unwrap(), 7);
                    inside.time() - before
                });
                assert_eq!(function.await.unwrap(), hour / 100, "round {round}");
            }
            assert_eq!(handle.time() - start, hour / 2);
            late.await.unwrap();
        })
        .unwrap();
    engine.close();
}

#[test]
fn a_virtual_clock_stands_still_for_a_function_that_waits_for_another_runtime() {
    let other = Engine::new(Config { workers: 2, ..Config::default() }).unwrap();
    let foreign = other.handle();
    let engine = Engine::new(Config { workers: 1, virtual_time: true, ..Config::default() }).unwrap();
    engine
        .run(async {
            let start = Handle::current().time();
            let sleeper = create_task(sleep(Duration::from_secs(3600)));
            let waits = foreign.create_task(sleep(Duration::from_millis(2)));
            to_thread(move || waits.blocking_result().unwrap()).await.unwrap();
            assert_eq!(Handle::current().time(), start);
            drop(sleeper);
        })
        .unwrap();
    engine.close();
    other.close();
}

#[test]
fn a_pool_that_is_idle_uses_no_time() {
    on(2, async {
        to_thread(|| ()).await.unwrap();
        // The thread's own clock: what it uses between two functions, with a real pause between them.
        let used = || to_thread(thread_time);
        let before = used().await.unwrap();
        sleep(Duration::from_millis(100)).await;
        let after = used().await.unwrap();
        if let (Some((one, before)), Some((two, after))) = (before, after)
            && one == two
        {
            assert!(after - before < Duration::from_millis(20), "{:?} of 100 ms", after - before);
        }
    });
}

/// This thread and the CPU time it has used, where the system tells.
fn thread_time() -> Option<(thread::ThreadId, Duration)> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some((thread::current().id(), Duration::from_nanos(nanos)))
}

#[test]
fn closing_with_nothing_used_and_with_idle_threads_is_quick() {
    let keep_alive = Duration::from_secs(3600);
    let start = Instant::now();
    on(2, async {});
    on(2, async {
        assert!(configure(&Handle::current(), BlockingConfig { keep_alive, ..BlockingConfig::default() }));
        to_thread(|| ()).await.unwrap();
    });
    assert!(start.elapsed() < keep_alive, "idle threads are sent home, not waited out");
}

#[test]
fn a_runtime_that_is_dropped_by_a_function_of_its_own_pool_is_closed_elsewhere() {
    for workers in [1, 2] {
        let engine = Arc::new(engine(workers));
        let (handle, last) = (engine.handle(), Arc::clone(&engine));
        let (go, gone) = channel::<()>();
        let task = handle.run_in_executor(move || {
            gone.recv().unwrap();
            drop(last);
        });
        drop(engine);
        go.send(()).unwrap();
        // It would wait for itself here.
        assert!(task.blocking_result().is_ok());
        while !handle.is_closed() {
            thread::yield_now();
        }
    }
}

#[test]
fn a_function_that_closes_its_own_runtime_is_told_that_it_cannot() {
    let engine = Arc::new(engine(2));
    let same = Arc::clone(&engine);
    let task = engine.handle().run_in_executor(move || same.close());
    let error = task.blocking_result().unwrap_err().to_string();
    assert!(error.contains("closes its own runtime"), "{error}");
    engine.close();
}

#[test]
fn a_runtime_in_a_function_of_another_one_is_closed_there() {
    on(2, async {
        let closed = to_thread(|| {
            let inner = engine(2);
            let value = inner.run(async { to_thread(|| 1).await.unwrap() }).unwrap();
            inner.close();
            (value, inner.handle().is_closed())
        });
        assert_eq!(closed.await.unwrap(), (1, true));
    });
}

#[test]
fn a_nul_in_the_name_of_the_threads_is_left_out() {
    on(1, async {
        let config = BlockingConfig { thread_name: "a\0b".into(), ..BlockingConfig::default() };
        assert!(configure(&Handle::current(), config));
        let name = to_thread(|| thread::current().name().map(String::from)).await.unwrap();
        assert_eq!(name.as_deref(), Some("ab-1"));
    });
}

#[test]
fn outside_of_a_runtime_the_panic_names_the_function_that_was_called() {
    let panic = std::panic::catch_unwind(|| drop(to_thread(|| ()))).unwrap_err();
    let message = runtime_core::PanicError::new(panic).message().map(String::from).unwrap();
    assert!(message.starts_with("`to_thread` needs a runtime") && message.contains("run_in_executor"), "{message}");
}

#[test]
fn threads_and_what_waits_for_them_are_in_the_metrics() {
    on(1, async {
        let metrics = || Handle::current().metrics().blocking;
        assert_eq!((metrics().threads, metrics().queued, metrics().finished), (0, 0, 0));
        limit_threads(1);
        let (sender, receiver) = channel::<()>();
        let (begins, began) = channel();
        let first = to_thread(move || {
            begins.send(()).unwrap();
            receiver.recv().unwrap();
        });
        began.recv().unwrap();
        let second = to_thread(|| {});
        assert_eq!((metrics().threads, metrics().idle, metrics().queued, metrics().finished), (1, 0, 1, 0));
        sender.send(()).unwrap();
        first.await.unwrap();
        second.await.unwrap();
        assert_eq!((metrics().threads, metrics().queued), (1, 0));
        // A thread counts its job when it has told of its end.
        while metrics().finished < 2 {
            thread::yield_now();
        }
    });
}
