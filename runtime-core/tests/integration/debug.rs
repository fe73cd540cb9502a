//! Debug mode: rows DB. A poll that must be long blocks until it has been reported, however long that takes.

use crate::support::*;
use runtime_core::*;
use std::future::Future;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Every poll is longer than that, sooner or later.
const SHORT: Duration = Duration::from_millis(1);
/// No poll is as long as that.
const LONG: Duration = Duration::from_secs(3600);

fn engine_with(workers: usize, slow_poll_threshold: Duration) -> Engine {
    Engine::new(Config { workers, debug: true, slow_poll_threshold, ..Config::default() }).unwrap()
}

/// What is reported to the exception handler from now on.
fn reports(handle: &Handle) -> Receiver<ExceptionContext> {
    let (sender, receiver) = channel();
    handle.set_exception_handler(Some(move |report: &ExceptionContext| {
        let _ = sender.send(report.clone());
    }));
    receiver
}

fn is_stuck(report: &ExceptionContext) -> bool {
    report.message.contains("still is")
}

/// Blocks until the task or callback that calls this is reported to be stuck. (Others may be, where there is much to do for few processors.)
fn stuck(reports: &Receiver<ExceptionContext>) -> ExceptionContext {
    reports.iter().find(is_own).unwrap()
}

fn is_own(report: &ExceptionContext) -> bool {
    is_stuck(report) && report.task == current_task()
}

fn name(report: &ExceptionContext) -> String {
    report.task.as_ref().expect("it is about a task").get_name()
}

/// Runs main in debug mode, with what is reported.
fn watched<F: Future>(
    workers: usize,
    threshold: Duration,
    main: impl FnOnce(Receiver<ExceptionContext>) -> F,
) -> F::Output {
    let _watchdog = Watchdog::new();
    let engine = engine_with(workers, threshold);
    let reports = reports(&engine.handle());
    let output = engine.run(main(reports)).unwrap();
    engine.close();
    output
}

#[test]
fn db_02_a_worker_that_is_stuck_is_reported_while_it_is() {
    for workers in [1, 2, 4] {
        watched(workers, SHORT, async |reports| {
            let line = line!() + 1;
            let task = TaskBuilder::new().name("blocks").create_task(async move { stuck(&reports) });
            let same = task.task_ref();
            let report = task.await.unwrap();
            assert_eq!(report.task, Some(same));
            assert_eq!(name(&report), "blocks");
            assert_eq!((report.location.unwrap().file(), report.location.unwrap().line()), (file!(), line));
            assert!(report.elapsed.unwrap() >= SHORT && report.worker.unwrap() < workers, "{report:?}");
            assert!(report.error.is_none() && report.stack.is_none(), "{report:?}");
            let text = report.to_string();
            assert!(text.starts_with(&format!("worker {} has been in a poll for ", report.worker.unwrap())), "{text}");
            assert!(text.contains(&format!("and still is; task blocks created at {}:{line}:", file!())), "{text}");
        });
    }
}

#[test]
fn db_02_the_worker_that_is_named_is_the_one_that_is_stuck() {
    watched(2, SHORT, async |reports| {
        // Main does not wait for it by an await, so it is the other worker's.
        let (sender, receiver) = channel();
        drop(create_task(async move { sender.send(stuck(&reports)).unwrap() }));
        assert_eq!(receiver.recv().unwrap().worker, Some(1));
    });
}

#[test]
fn db_02_a_poll_that_took_long_is_reported_when_it_is_over() {
    watched(1, SHORT, async |reports| {
        let (task, reports) = {
            let (sender, receiver) = channel();
            let task = TaskBuilder::new().name("slow").create_task(async move {
                stuck(&reports);
                sender.send(reports).unwrap();
            });
            (task, receiver)
        };
        task.await.unwrap();
        let report = reports.recv().unwrap().recv().unwrap();
        assert!(!is_stuck(&report), "once while, once after: {report:?}");
        assert_eq!((name(&report), report.worker), (String::from("slow"), Some(0)));
        assert!(report.elapsed.unwrap() >= SHORT);
        let text = report.to_string();
        assert!(
            text.starts_with("a poll took ") && text.contains(", and 1ms is long; task slow created at "),
            "{text}"
        );
    });
}

#[test]
fn db_02_each_poll_counts_for_itself() {
    // All are too long: so many reports, one for each poll, and the last one of main's when it is over.
    let polls = watched(1, Duration::ZERO, async |reports| {
        for _ in 0..10 {
            yield_now().await;
        }
        reports.try_iter().filter(|report| !is_stuck(report)).count()
    });
    assert_eq!(polls, 10);
    let none = watched(1, LONG, async |reports| {
        for _ in 0..1000 {
            yield_now().await;
        }
        reports.try_iter().count()
    });
    assert_eq!(none, 0, "many short ones are not one long one");
}

#[test]
fn db_02_nothing_is_measured_without_debug_mode() {
    let engine = Engine::new(Config { workers: 1, slow_poll_threshold: Duration::ZERO, ..Config::default() }).unwrap();
    let reports = reports(&engine.handle());
    engine.run(yield_now()).unwrap();
    engine.close();
    assert_eq!(reports.try_iter().count(), 0);
}

#[test]
fn db_02_a_callback_is_named_by_the_place_of_its_call() {
    watched(1, SHORT, async |reports| {
        let (promise, told) = Promise::new();
        let line = line!() + 1;
        Handle::current().call_soon(move || drop(promise.set_result(stuck(&reports))));
        let report = told.await.unwrap();
        assert!(report.task.is_none(), "{report:?}");
        assert_eq!(report.location.unwrap().line(), line);
        let text = report.to_string();
        assert!(text.starts_with("worker 0 has been in a callback for "), "{text}");
        assert!(text.contains(&format!("; created at {}:{line}:", file!())), "{text}");
    });
}

#[test]
fn db_02_an_eager_step_is_named_and_then_the_poll_around_it() {
    watched(1, SHORT, async |reports| {
        current_task().unwrap().set_name("outer");
        let inner = TaskBuilder::new().name("inner").eager_start(true).create_task(async move {
            let first = stuck(&reports);
            (first, reports)
        });
        let (first, reports) = inner.await.unwrap();
        assert_eq!(name(&first), "inner");
        // Both polls have become too long; that of main has not ended before main has asked for this.
        assert_eq!(name(&reports.iter().find(|report| !is_stuck(report)).unwrap()), "inner");
        yield_now().await;
        assert_eq!(name(&reports.iter().find(|report| !is_stuck(report)).unwrap()), "outer");
    });
}

#[test]
fn db_02_time_is_real_also_where_the_clock_is_virtual() {
    let _watchdog = Watchdog::new();
    let config =
        Config { workers: 1, debug: true, virtual_time: true, slow_poll_threshold: SHORT, ..Config::default() };
    let engine = Engine::new(config).unwrap();
    let reports = reports(&engine.handle());
    engine
        .run(async {
            // Hours pass, and no poll is long for it.
            sleep(LONG).await;
            let report = stuck(&reports);
            assert!(report.elapsed.unwrap() < LONG);
        })
        .unwrap();
    engine.close();
}

#[test]
fn db_02_a_handler_that_panics_does_not_end_the_watchdog() {
    let _watchdog = Watchdog::new();
    let engine = engine_with(1, SHORT);
    let (sender, told) = channel();
    engine.handle().set_exception_handler(Some(move |report: &ExceptionContext| {
        if is_stuck(report) {
            let _ = sender.send(report.task.clone());
            panic!("the handler panics");
        }
    }));
    engine
        .run(async {
            for _ in 0..3 {
                told.iter().find(|who| *who == current_task()).unwrap();
                yield_now().await;
            }
        })
        .unwrap();
    engine.close();
}

#[test]
fn db_05_reports_say_where_the_task_was_created() {
    watched(1, LONG, async |reports| {
        let line = line!() + 1;
        drop(create_task(async { panic!("unread") }));
        yield_now().await;
        let report = reports.try_recv().unwrap();
        let place = report.location.unwrap();
        assert_eq!((place.file(), place.line()), (file!(), line));
        assert_eq!(report.task.unwrap().location(), place);

        let line = line!() + 1;
        let (promise, task) = Promise::<()>::new();
        drop(promise);
        assert_eq!(task.location().line(), line);
    });
}

#[test]
fn db_09_a_pending_task_that_is_dropped_is_reported_and_a_cancelled_one_is_not() {
    let engine = Engine::new(Config { workers: 1, shutdown_grace: Some(Duration::ZERO), ..Config::default() }).unwrap();
    let reports = reports(&engine.handle());
    engine
        .run(async {
            let stays = async {
                let _caught = catch_cancelled(std::future::pending::<()>()).await;
                std::future::pending::<()>().await;
            };
            drop(TaskBuilder::new().name("stays").create_task(stays));
            drop(TaskBuilder::new().name("goes").create_task(std::future::pending::<()>()));
            yield_now().await;
        })
        .unwrap();
    engine.close();
    let names: Vec<_> = reports.try_iter().map(|report| name(&report)).collect();
    assert_eq!(names, ["stays"]);
}

#[test]
fn a_stack_needs_somebody_who_looks() {
    let error = Engine::new(Config { workers: 1, stuck_stacks: true, ..Config::default() }).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[cfg(all(feature = "stuck-stacks", target_os = "linux", target_arch = "x86_64"))]
mod stacks {
    use super::*;

    #[inline(never)]
    fn blocks_in_here(reports: &Receiver<ExceptionContext>) -> ExceptionContext {
        std::hint::black_box(stuck(reports))
    }

    #[inline(never)]
    fn computes_in_here(reports: &Receiver<ExceptionContext>) -> ExceptionContext {
        loop {
            if let Some(report) = reports.try_iter().find(is_own) {
                return report;
            }
            std::hint::spin_loop();
        }
    }

    fn stack_of(workers: usize, body: fn(&Receiver<ExceptionContext>) -> ExceptionContext) -> String {
        let _watchdog = Watchdog::new();
        let config =
            Config { workers, debug: true, slow_poll_threshold: SHORT, stuck_stacks: true, ..Config::default() };
        let engine = Engine::new(config).unwrap();
        let reports = reports(&engine.handle());
        let task = async move { body(&reports) };
        let report = engine.run(async { create_task(task).await.unwrap() }).unwrap();
        engine.close();
        assert!(report.to_string().contains("; it is at\n   0: "), "{report}");
        report.stack.unwrap()
    }

    #[test]
    fn db_02_the_stack_of_a_worker_that_waits_in_a_system_call() {
        for workers in [1, 2] {
            let stack = stack_of(workers, blocks_in_here);
            let here = stack.find("blocks_in_here").unwrap_or_else(|| panic!("{stack}"));
            let inner = stack.find("recv").unwrap_or_else(|| panic!("{stack}"));
            assert!(inner < here, "the innermost first: {stack}");
            assert!(stack.contains("debug.rs:"), "with places: {stack}");
            assert!(!stack.contains("harness"), "nothing of the engine: {stack}");
        }
    }

    #[test]
    fn db_02_the_stack_of_a_worker_that_computes() {
        let stack = stack_of(2, computes_in_here);
        assert!(stack.contains("computes_in_here"), "{stack}");
    }
}

#[cfg(not(feature = "stuck-stacks"))]
#[test]
fn a_stack_that_cannot_be_had_is_refused() {
    let error = Engine::new(Config { workers: 1, debug: true, stuck_stacks: true, ..Config::default() }).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
}
