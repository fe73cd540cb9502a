//! What is reported, to whom, and what a failure does to others: rows DB, and rows that no other module has.

use crate::support::{begun, cancellation, everywhere, exact, forever, passes, received, reports, send, signal};
use runtime::{
    Context, ExceptionContext, Handle, Promise, ReturnWhen, Runner, TaskBuilder, TaskGroup, catch_cancelled,
    context_var, create_task, current_task, gather, try_gather, wait, yield_now,
};
use std::sync::mpsc::channel;
use std::time::Duration;

context_var! { static VALUE: u32 = 0; }

fn panics() -> runtime::Task<()> {
    create_task(async { panic!("boo") })
}

#[test]
fn t_16_a_failing_task_concerns_only_those_who_await_it() {
    everywhere(async || {
        let _reports = reports();
        let sibling = create_task(async {
            passes(10).await;
            "unharmed"
        });
        let failing = panics();
        assert!(failing.await.unwrap_err().is_panicked());
        assert_eq!(sibling.await.unwrap(), "unharmed");
    });
}

#[test]
fn c_28_uncancel_never_goes_below_zero_and_changes_no_outcome() {
    everywhere(async || {
        let task = begun(async { catch_cancelled(forever()).await.is_err() }).await;
        assert_eq!(task.uncancel(), 0);
        task.cancel();
        let same = task.task_ref();
        assert!(task.await.unwrap());
        assert_eq!((same.uncancel(), same.uncancel(), same.cancelling()), (0, 0, 0));
        assert!(!same.cancelled());
    });
}

#[test]
fn c_30_a_request_that_was_passed_on_cannot_be_taken_back() {
    exact(async || {
        let inner = create_task(forever());
        let same = inner.task_ref();
        let outer = begun(async { inner.await.is_err() }).await;
        passes(2).await;
        outer.cancel();
        // The outer task passes it on in this pass.
        yield_now().await;
        assert_eq!((outer.uncancel(), same.cancelling()), (0, 1));
        cancellation(outer.await);
        assert!(same.cancelled());
    });
}

#[test]
fn i_05_name_context_and_place_are_as_given() {
    everywhere(async || {
        let mut context = Context::current();
        context.run(|| VALUE.set(3));
        let line = std::panic::Location::caller().line() + 1;
        let task = TaskBuilder::new().name("named").context(context).create_task(forever());
        assert_eq!((task.get_name().as_str(), task.location().line()), ("named", line));
        assert_eq!(task.get_context().run(|| VALUE.get()), 3);
        task.set_name("renamed");
        assert_eq!(task.task_ref().get_name(), "renamed");
    });
}

#[test]
fn d_04_a_callback_that_panics_is_reported_and_the_others_run() {
    everywhere(async || {
        let reports = reports();
        let (go, wait) = signal();
        let task = begun(received(wait)).await;
        let same = task.task_ref();
        task.add_done_callback(|_| panic!("in a callback"));
        let (sent, ran) = signal();
        task.add_done_callback(move |_| send(sent));
        // Not before both are there: what is added to a task that has ended runs on its own.
        send(go);
        received(ran).await;
        passes(5).await;
        let told = reports.take();
        assert!(matches!(&told[..], [one] if one.contains("in a callback")), "{told:?}");
        assert!(task.await.is_ok() && same.done());
    });
}

#[test]
fn db_07_a_failure_that_nobody_has_read_is_reported_when_the_last_handle_goes() {
    everywhere(async || {
        let reports = reports();
        let failed = panics();
        failed.task_ref().wait().await;
        passes(3).await;
        assert!(reports.take().is_empty(), "somebody may read it yet");
        drop(failed);
        let told = reports.take();
        assert!(matches!(&told[..], [one] if one.contains("boo") && one.contains("reports.rs")), "{told:?}");
        let detached = panics();
        let same = detached.task_ref();
        drop(detached);
        same.wait().await;
        reports.reaches(1).await;
        passes(10).await;
        assert_eq!(reports.take().len(), 1);
        let cancelled = create_task(forever());
        cancelled.cancel();
        cancelled.task_ref().wait().await;
        drop(cancelled);
        assert!(reports.take().is_empty());
    });
}

#[test]
fn db_08_every_way_of_reading_a_failure_counts() {
    everywhere(async || {
        let reports = reports();
        let mut by_result = panics();
        by_result.task_ref().wait().await;
        assert!(by_result.result().unwrap().is_err());
        let by_exception = panics();
        by_exception.task_ref().wait().await;
        assert!(by_exception.exception().unwrap().is_some());
        let mut by_peek = panics();
        by_peek.task_ref().wait().await;
        assert!(by_peek.peek(|outcome| outcome.is_err()).unwrap());
        assert!(panics().await.is_err());
        assert!(try_gather([panics(), panics()]).await.is_err());
        assert!(gather([panics()]).await[0].is_err());
        drop(wait([panics()]).return_when(ReturnWhen::FirstException).await);
        let of_group = TaskGroup::<()>::scope(async |group| Ok(drop(group.create_task(async { panic!("boo") }))));
        assert!(of_group.await.is_err());
        drop((by_result, by_exception, by_peek));
        passes(10).await;
        assert_eq!(reports.take(), <[&str; 0]>::default());
    });
}

#[test]
fn db_10_the_handler_gets_message_error_and_task() {
    everywhere(async || {
        let (told, reports) = channel();
        Handle::current().set_exception_handler(Some(move |report: &ExceptionContext| {
            told.send((report.message.clone(), report.error.clone(), report.task.clone())).unwrap();
        }));
        let failed = panics();
        let same = failed.task_ref();
        same.wait().await;
        drop(failed);
        let (message, error, task) = reports.try_recv().unwrap();
        assert!(!message.is_empty() && error.unwrap().is_panicked());
        assert_eq!(task.unwrap(), same);
        Handle::current().call_exception_handler(&ExceptionContext::new("by hand"));
        let (message, error, task) = reports.try_recv().unwrap();
        assert_eq!(message, "by hand");
        assert!(error.is_none() && task.is_none());
    });
}

#[test]
fn db_11_a_handler_that_panics_harms_nobody() {
    everywhere(async || {
        Handle::current().set_exception_handler(Some(|_: &ExceptionContext| panic!("in the handler")));
        let failed = panics();
        failed.task_ref().wait().await;
        drop(failed);
        passes(5).await;
        assert_eq!(create_task(async { 1 }).await.unwrap(), 1);
    });
}

#[test]
fn sd_02_failures_during_the_shutdown_are_collected_and_it_goes_on() {
    for workers in [1, 2, 8] {
        let (told, reports) = channel();
        let runner = Runner::builder().workers(workers).build().unwrap();
        let main = async {
            Handle::current().set_exception_handler(Some(move |report: &ExceptionContext| {
                told.send(report.to_string()).unwrap();
            }));
            for n in 0..10 {
                let (sent, started) = signal();
                drop(create_task(async move {
                    send(sent);
                    assert!(catch_cancelled(forever()).await.is_err());
                    passes(n).await;
                    panic!("in the clean-up");
                }));
                received(started).await;
            }
            passes(3).await;
        };
        runner.run(main).unwrap();
        runner.close();
        drop(runner);
        assert_eq!(reports.try_iter().count(), 10);
    }
}

#[test]
fn r_21_timeouts_and_groups_let_the_request_that_ctrl_c_makes_pass() {
    // Ctrl-C cancels main as any task can (tests/ctrl_c.rs has the signals).
    for workers in [1, 2, 8] {
        let runner = Runner::builder().workers(workers).build().unwrap();
        let (promise, child) = Promise::new();
        let main = async {
            let main = current_task().unwrap();
            let body = TaskGroup::<()>::scope(async |group| {
                let (sent, started) = signal();
                let child = group.create_task(async {
                    send(sent);
                    forever().await;
                });
                promise.set_result(child.into_task()).unwrap();
                received(started).await;
                main.cancel();
                Ok(forever().await)
            });
            drop(runtime::timeout(Duration::from_secs(3600), body).await);
        };
        assert!(runner.run(main).is_err());
        let mut child = child;
        assert!(child.result().unwrap().unwrap().cancelled());
    }
}
