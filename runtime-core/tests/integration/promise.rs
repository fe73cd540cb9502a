//! Area F: promises.

use crate::support::*;
use runtime_core::*;

everywhere! {
    async fn f_01_a_new_promise_is_pending_and_never_blocks() {
        let (promise, mut task) = Promise::<u8>::new();
        assert!(!task.done() && !task.cancelled());
        assert!(task.result().is_err() && task.exception().is_err());
        assert!(!promise.is_cancelled());
        assert_eq!(promise.task_ref(), task.task_ref());
        drop(promise);
    }

    async fn f_02_a_result_and_an_exception() {
        let (promise, mut task) = Promise::new();
        promise.set_result(5).unwrap();
        assert!(task.done() && task.exception().unwrap().is_none());
        assert_eq!(task.result().unwrap().unwrap(), 5);

        let (promise, task) = Promise::<Result<(), &str>>::new();
        promise.set_exception("E").unwrap();
        assert_eq!(task.await.unwrap(), Err("E"));

        let (promise, task) = Promise::<()>::new();
        promise.set_panic(PanicError::new(Box::new("P"))).unwrap();
        assert!(!task.cancelled());
        assert_eq!(task.await.unwrap_err().to_string(), "panicked: P");
    }

    async fn f_03_cancel_ends_a_pending_promise_at_once() {
        let (promise, mut task) = Promise::<u8>::new();
        assert!(task.cancel_with("why"));
        assert!(task.done() && task.cancelled());
        assert_eq!(task.cancelling(), 1);
        assert_eq!(task.exception().unwrap().unwrap().to_string(), "cancelled: why");
        assert_eq!(task.result().unwrap().unwrap_err().to_string(), "cancelled: why");
        drop(promise);
    }

    async fn f_04_the_first_outcome_stands() {
        let (promise, task) = Promise::new();
        promise.set_result(1).unwrap();
        assert!(!task.cancel());
        assert_eq!(task.await.unwrap(), 1);

        let dropped = Count::default();
        let (promise, task) = Promise::new();
        task.cancel();
        let back = promise.set_result(dropped.value()).map_err(|value| {
            assert_eq!(dropped.get(), 0, "given back, not dropped");
            value
        });
        drop(back);
        assert_eq!(dropped.get(), 1);

        let (promise, task) = Promise::<Result<(), u8>>::new();
        task.cancel();
        assert_eq!(promise.set_exception(9), Err(9));

        let (promise, task) = Promise::<u8>::new();
        task.cancel();
        let panic = promise.set_panic(PanicError::new(Box::new("unwanted"))).unwrap_err();
        assert_eq!(panic.message(), Some("unwanted"));
    }

    async fn f_06_cancelling_the_awaiter_cancels_the_promise() {
        let (promise, task) = Promise::<u8>::new();
        let (begun, has_begun) = event();
        let awaiter = create_task(async move {
            begun.happen();
            task.await
        });
        has_begun.wait().await;
        awaiter.cancel_with("nobody wants it");
        let error = awaiter.await.unwrap_err();
        assert_eq!(error.to_string(), "cancelled: nobody wants it");
        assert!(promise.is_cancelled());
        assert_eq!(promise.set_result(1), Err(1));
    }

    async fn f_07_a_cancelled_promise_fails_the_await() {
        let (promise, task) = Promise::<u8>::new();
        let task_ref = task.task_ref();
        let awaiter = create_task(async move { (task.await, current_task().unwrap().cancelling()) });
        yield_now().await;
        task_ref.cancel();
        let (outcome, count) = awaiter.await.unwrap();
        assert!(outcome.unwrap_err().is_cancelled());
        assert_eq!(count, 0);
        drop(promise);
    }

    async fn a_dropped_promise_says_so() {
        let (promise, task) = Promise::<u8>::new();
        drop(promise);
        let error = task.await.unwrap_err();
        assert!(error.is_cancelled() && error.to_string().contains("promise was dropped"), "{error}");
    }

    async fn f_09_a_failure_that_nobody_reads_is_reported_once() {
        let reports = Trace::default();
        let handler = reports.clone();
        let handle = Handle::current();
        handle.set_exception_handler(Some(move |report: &ExceptionContext| {
            handler.add(report.error.as_ref().unwrap().to_string());
        }));
        let (promise, task) = Promise::<()>::new();
        promise.set_panic(PanicError::new(Box::new("unread"))).unwrap();
        drop(task);
        assert_eq!(reports.take(), "panicked: unread");

        let (promise, task) = Promise::<()>::new();
        drop(task);
        promise.set_panic(PanicError::new(Box::new("unread"))).unwrap();
        assert_eq!(reports.take(), "panicked: unread");

        // Read once, cancelled, successful, pending: no report.
        let (promise, task) = Promise::<()>::new();
        promise.set_panic(PanicError::new(Box::new("read"))).unwrap();
        task.exception().unwrap().unwrap();
        drop(task);
        let (promise, task) = Promise::<()>::new();
        task.cancel();
        drop((promise, task));
        let (promise, task) = Promise::new();
        promise.set_result(()).unwrap();
        drop(task);
        assert_eq!(reports.take(), "");
    }
}

#[test]
fn f_05_nothing_runs_inside_of_the_completing_call() {
    in_order(async {
        let trace = Trace::default();
        let (promise, task) = Promise::<()>::new();
        let (one, two) = (trace.clone(), trace.clone());
        task.add_done_callback(move |_| one.add("callback"));
        let awaiter = create_task(async move {
            task.await.unwrap();
            two.add("awaiter");
        });
        yield_now().await;
        promise.set_result(()).unwrap();
        trace.add("completed");
        awaiter.await.unwrap();
        yield_now().await;
        let seen = trace.take();
        assert!(seen == "completed callback awaiter" || seen == "completed awaiter callback", "{seen}");
    });
}

#[test]
fn promises_work_without_any_runtime() {
    let (promise, mut task) = Promise::new();
    let trace = Trace::default();
    let inside = trace.clone();
    task.add_done_callback(move |task| inside.add(format!("done={}", task.done())));
    assert!(poll_once(&mut task).is_pending());
    std::thread::spawn(move || promise.set_result(4).unwrap()).join().unwrap();
    assert_eq!(trace.take(), "done=true", "on the completing thread: there is no other");
    assert_eq!(futures::executor::block_on(task).unwrap(), 4);
}

#[test]
fn a_long_chain_of_promises_without_a_runtime_is_completed_flatly() {
    // Each callback completes the next promise.
    let work = || {
        let (first, mut last) = Promise::<()>::new();
        for _ in 0..100_000 {
            let (promise, task) = Promise::<()>::new();
            last.add_done_callback(move |_| promise.set_result(()).unwrap());
            last = task;
        }
        first.set_result(()).unwrap();
        assert!(last.done());
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(work).unwrap().join().unwrap();
}

#[test]
fn set_and_cancel_race_from_two_threads() {
    for round in 0..500 {
        let (promise, mut task) = Promise::new();
        let task_ref = task.task_ref();
        let setter = std::thread::spawn(move || promise.set_result(round).is_ok());
        let cancelled = task_ref.cancel();
        let set = setter.join().unwrap();
        assert!(set != cancelled, "exactly one of the two");
        assert_eq!(task.result().unwrap().is_ok(), set);
    }
}
