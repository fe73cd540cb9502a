//! `run` and `Runner`: the rows R of asyncio's behaviours, and SD where a facade can see it. Ctrl-C is in `tests/ctrl_c.rs`.

use runtime::{
    Context, Handle, Runner, Task, catch_cancelled, context_var, create_task, current_task, run, sleep, yield_now,
};
use std::cell::Cell;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a panic in `f` says.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it does not panic") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => String::from(*payload.downcast::<&str>().expect("a text")),
    }
}

fn one_worker() -> Runner {
    Runner::builder().workers(1).build().unwrap()
}

#[test]
fn run_gives_what_main_returns_and_the_runtime_is_closed_by_then() {
    let (value, handle) = run(async { (7, Handle::current()) });
    assert_eq!(value, 7);
    assert!(handle.is_closed());
    assert!(Handle::try_current().is_none());
}

#[test]
fn main_may_borrow_and_need_not_be_send() {
    let count = Rc::new(Cell::new(0));
    let text = String::from("text");
    let length = run(async {
        yield_now().await;
        count.set(count.get() + 1);
        text.len()
    });
    assert_eq!((count.get(), length), (1, 4));
}

#[test]
fn a_panic_of_main_leaves_run_after_the_shutdown() {
    let cleaned = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&cleaned);
    let message = panic_of(|| {
        run(async move {
            drop(create_task(async move {
                assert!(catch_cancelled(sleep(Duration::MAX)).await.is_err());
                yield_now().await;
                inner.fetch_add(1, SeqCst);
            }));
            yield_now().await;
            panic!("of main")
        })
    });
    assert_eq!(message, "of main");
    assert_eq!(cleaned.load(SeqCst), 1);
}

#[test]
fn a_nested_run_panics_before_its_main_starts_and_the_outer_one_goes_on() {
    let started = Cell::new(false);
    let (in_run, in_runner) = run(async {
        let in_run = panic_of(|| run(async { started.set(true) }));
        let runner = one_worker();
        let in_runner = panic_of(|| runner.run(async { started.set(true) }));
        yield_now().await;
        (in_run, in_runner)
    });
    assert!(in_run.contains("running a runtime already") && in_run.contains("create_task"), "{in_run}");
    assert!(in_runner.contains("running a runtime already"), "{in_runner}");
    assert!(!started.get());
}

#[test]
fn each_thread_may_run_a_runtime_of_its_own() {
    let threads =
        [0, 1, 2].map(|n| thread::spawn(move || run(async move { create_task(async move { n }).await.unwrap() })));
    assert_eq!(threads.map(|thread| thread.join().unwrap()), [0, 1, 2]);
}

#[test]
fn run_panics_with_the_message_when_main_was_cancelled() {
    let message = panic_of(|| {
        run(async {
            current_task().unwrap().cancel_with("no more");
            yield_now().await;
        })
    });
    assert_eq!(message, "the main task was cancelled: no more");
    let message = panic_of(|| {
        run(async {
            current_task().unwrap().cancel();
            yield_now().await;
        })
    });
    assert_eq!(message, "the main task was cancelled");
}

#[test]
fn a_runner_gives_the_cancellation_of_main_as_an_error_and_stays_usable() {
    let runner = one_worker();
    let main = async {
        let main = current_task().unwrap();
        create_task(async move { main.cancel_with("by a task") }).await.unwrap();
    };
    let error = runner.run(main).unwrap_err();
    assert_eq!(error.message(), Some("by a task"));
    assert!(!runner.interrupted());
    assert_eq!(panic_of(|| runner.run(async { panic!("main") })), "main");
    assert_eq!(runner.run(async { 1 }).unwrap(), 1);
}

context_var! { static VALUE: u32 = 0; }

#[test]
fn runs_of_a_runner_share_a_context_that_is_not_the_callers() {
    VALUE.set(1);
    let runner = one_worker();
    VALUE.set(2);
    let main = async {
        VALUE.set(VALUE.get() + 10);
        yield_now().await;
        VALUE.get()
    };
    assert_eq!(runner.run(main).unwrap(), 11, "the context is the one in which the runner was built");
    assert_eq!(runner.run(async { VALUE.get() }).unwrap(), 11);
    assert_eq!(VALUE.get(), 2);
    VALUE.set(0);
}

#[test]
fn a_run_that_panics_keeps_what_it_has_set() {
    let runner = one_worker();
    panic_of(|| {
        runner.run(async {
            VALUE.set(5);
            panic!("afterwards")
        })
    });
    assert_eq!(runner.run(async { VALUE.get() }).unwrap(), 5);
}

#[test]
fn a_run_with_a_context_leaves_the_runners_alone() {
    let runner = one_worker();
    let mut context = Context::current();
    context.run(|| VALUE.set(3));
    let seen = runner
        .run_with_context(&mut context, async {
            let seen = VALUE.get();
            VALUE.set(4);
            seen
        })
        .unwrap();
    assert_eq!(seen, 3);
    assert_eq!(context.run(|| VALUE.get()), 4);
    assert_eq!(runner.run(async { VALUE.get() }).unwrap(), 0);
}

#[test]
fn a_run_that_could_not_begin_leaves_the_context_alone() {
    let runner = one_worker();
    runner.run(async { VALUE.set(6) }).unwrap();
    panic_of(|| run(async { runner.run(async {}) }));
    assert_eq!(runner.run(async { VALUE.get() }).unwrap(), 6);
}

#[test]
fn a_task_left_by_a_run_waits_for_the_next_one_and_close_cancels_it() {
    let runner = one_worker();
    let steps = Arc::new(AtomicUsize::new(0));
    let task: Task<()> = {
        let steps = Arc::clone(&steps);
        runner
            .run(async move {
                let task = create_task(async move {
                    loop {
                        steps.fetch_add(1, SeqCst);
                        yield_now().await;
                    }
                });
                yield_now().await;
                task
            })
            .unwrap()
    };
    let frozen = steps.load(SeqCst);
    assert!(frozen > 0);
    assert_eq!(steps.load(SeqCst), frozen);
    runner.run(yield_now()).unwrap();
    assert!(steps.load(SeqCst) > frozen);
    assert!(!task.done());
    runner.close();
    assert!(task.cancelled());
}

#[test]
fn a_closed_runner_panics_in_run_and_may_be_closed_again() {
    let runner = one_worker();
    let handle = runner.handle();
    runner.close();
    runner.close();
    assert!(panic_of(|| runner.run(async {})).contains("closed"));
    assert!(handle.is_closed());
    assert!(runner.handle().is_closed());
    assert!(handle.create_task(async {}).cancelled());
}

#[test]
fn dropping_a_runner_closes_it() {
    let runner = one_worker();
    let task = runner.run(async { create_task(sleep(Duration::MAX)) }).unwrap();
    drop(runner);
    assert!(task.cancelled());
}

#[test]
fn the_shutdown_waits_for_clean_up_and_for_tasks_made_by_it() {
    for workers in [1, 3] {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (first, second) = (Arc::clone(&log), Arc::clone(&log));
        let runner = Runner::builder().workers(workers).build().unwrap();
        let main = async move {
            drop(create_task(async move {
                assert!(catch_cancelled(sleep(Duration::MAX)).await.is_err());
                sleep(Duration::from_millis(1)).await;
                first.lock().unwrap().push("first");
                drop(create_task(async move {
                    assert!(catch_cancelled(sleep(Duration::MAX)).await.is_err());
                    second.lock().unwrap().push("second");
                }));
            }));
            yield_now().await;
        };
        runner.run(main).unwrap();
        runner.close();
        assert_eq!(*log.lock().unwrap(), ["first", "second"]);
    }
}

#[test]
fn a_failure_during_the_shutdown_is_reported_and_run_still_returns() {
    let (tx, rx) = std::sync::mpsc::channel();
    let value = run(async move {
        Handle::current().set_exception_handler(Some(move |report: &runtime::ExceptionContext| {
            tx.send(report.error.as_ref().unwrap().to_string()).unwrap();
        }));
        drop(create_task(async {
            assert!(catch_cancelled(sleep(Duration::MAX)).await.is_err());
            panic!("in the clean-up");
        }));
        yield_now().await;
        7
    });
    assert_eq!(value, 7);
    assert_eq!(rx.try_recv().unwrap(), "panicked: in the clean-up");
}

#[test]
fn a_grace_period_bounds_the_shutdown() {
    let runner = Runner::builder().workers(1).shutdown_grace(Duration::from_millis(5)).build().unwrap();
    let (tx, rx) = std::sync::mpsc::channel();
    let task = runner
        .run(async {
            Handle::current().set_exception_handler(Some(move |report: &runtime::ExceptionContext| {
                tx.send(report.to_string()).unwrap();
            }));
            let task = create_task(async {
                loop {
                    let _ = catch_cancelled(sleep(Duration::MAX)).await;
                }
            });
            task.task_ref().set_name("stubborn");
            yield_now().await;
            task
        })
        .unwrap();
    runner.close();
    assert!(task.done());
    let report = rx.try_recv().unwrap();
    assert!(report.contains("grace period") && report.contains("stubborn"), "{report}");
}

#[test]
fn run_forever_ends_with_stop() {
    let runner = one_worker();
    let count = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&count);
    runner.handle().call_soon(move || {
        inner.fetch_add(1, SeqCst);
        Handle::current().stop();
    });
    runner.run_forever();
    assert_eq!(count.load(SeqCst), 1);
    runner.handle().stop();
    runner.run_forever();
    assert!(!runner.interrupted());
}

#[test]
fn main_counts_as_created_where_run_was_called() {
    let line = Location::caller().line();
    let location = run(async { current_task().unwrap().location() });
    assert_eq!((location.file(), location.line()), (file!(), line + 1));
    let location = one_worker().run(async { current_task().unwrap().location() }).unwrap();
    assert_eq!((location.file(), location.line()), (file!(), line + 3));
}

#[test]
fn settings_that_contradict_each_other_are_an_error() {
    let builders = [
        Runner::builder().workers(0),
        Runner::builder().workers(2).seed(1),
        Runner::builder().workers(2).virtual_time(true),
        Runner::builder().workers(usize::MAX),
    ];
    for builder in builders {
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_deterministic_runner_has_one_worker_unless_told_otherwise() {
    assert_eq!(Runner::builder().seed(1).build().unwrap().handle().workers(), 1);
    assert_eq!(Runner::builder().virtual_time(true).build().unwrap().handle().workers(), 1);
    assert_eq!(Runner::builder().workers(3).build().unwrap().handle().workers(), 3);
}

#[test]
fn worker_threads_have_the_name_that_was_asked_for() {
    let runner = Runner::builder().workers(2).thread_name("mine").build().unwrap();
    let (tx, rx) = std::sync::mpsc::channel();
    // Main blocks worker 0, so the other one takes the task.
    let name = runner.run(async move {
        drop(create_task(async move { tx.send(thread::current().name().map(String::from)).unwrap() }));
        rx.recv().unwrap()
    });
    assert_eq!(name.unwrap().as_deref(), Some("mine-1"));
}

/// Set in the processes that this test starts: what they are to see.
const EXPECTED: &str = "RUNTIME_TEST_EXPECTED";

#[test]
fn the_environment_gives_the_defaults_that_were_not_set() {
    if let Ok(expected) = std::env::var(EXPECTED) {
        let built = Runner::builder().build();
        let seen = match &built {
            Ok(runner) => format!("{} {}", runner.handle().workers(), runner.handle().debug()),
            Err(error) => error.to_string(),
        };
        assert_eq!(seen, expected);
        let told = Runner::builder().workers(2).debug(false).build().unwrap().handle();
        assert_eq!((told.workers(), told.debug()), (2, false));
        return;
    }
    let wrong = |value| format!("RUNTIME_WORKERS is the number of workers, at least 1, but it is {value:?}");
    let cases = [
        ("3", "", String::from("3 false")),
        ("1", "0", String::from("1 false")),
        ("4", "1", String::from("4 true")),
        ("3", "yes", String::from("3 true")),
        ("0", "", wrong("0")),
        ("many", "", wrong("many")),
    ];
    for (workers, debug, expected) in cases {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "run::the_environment_gives_the_defaults_that_were_not_set"]);
        again.env("RUNTIME_WORKERS", workers).env("RUNTIME_DEBUG", debug).env(EXPECTED, &expected);
        let output = again.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{expected}: {text}");
    }
}

#[test]
fn the_blocking_pool_is_as_the_builder_says() {
    let runner = Runner::builder().workers(1).max_blocking_threads(2).build().unwrap();
    let main = async {
        let active = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let functions: Vec<_> = (0..20)
            .map(|_| {
                let (active, most) = (Arc::clone(&active), Arc::clone(&most));
                runtime::to_thread(move || {
                    most.fetch_max(active.fetch_add(1, SeqCst) + 1, SeqCst);
                    thread::yield_now();
                    active.fetch_sub(1, SeqCst);
                })
            })
            .collect();
        for function in functions {
            function.await.unwrap();
        }
        most.load(SeqCst)
    };
    let most = runner.run(main).unwrap();
    assert!((1..=2).contains(&most), "{most} at once");
}
