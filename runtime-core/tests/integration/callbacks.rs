//! Area D: done callbacks; and the calls of a `Handle`.

use crate::support::*;
use runtime_core::*;
use std::time::Duration;

fn adder(trace: &Trace, name: &'static str) -> impl FnOnce(&TaskRef) + Send + use<> {
    let trace = trace.clone();
    move |task| trace.add(if task.done() { name } else { "too early" })
}

#[test]
fn d_01_callbacks_run_once_in_the_order_of_adding_however_the_task_ends() {
    in_order(async {
        let trace = Trace::default();
        let ends: [Task<()>; 3] =
            [create_task(async {}), create_task(async { panic!("ends so") }), create_task(std::future::pending())];
        ends[2].cancel();
        for task in &ends {
            for name in ["a", "b", "c"] {
                task.add_done_callback(adder(&trace, name));
            }
        }
        for task in &ends {
            task.wait().await;
        }
        yield_now().await;
        assert_eq!(trace.take(), "a b c a b c a b c");
    });
}

#[test]
fn d_02_added_after_the_end_it_is_queued_behind_those_added_before() {
    in_order(async {
        let trace = Trace::default();
        let task = TaskBuilder::new().eager_start(true).create_task(async {});
        assert!(task.done());
        task.add_done_callback(adder(&trace, "a"));
        trace.add("not inline");
        task.add_done_callback(adder(&trace, "b"));
        yield_now().await;
        assert_eq!(trace.take(), "not inline a b");
        task.await.unwrap();
    });
}

everywhere! {
    async fn d_03_d_04_a_panic_in_a_callback_stays_there() {
        let trace = Trace::default();
        let reports = trace.clone();
        let (all_done, wait_for_all) = Promise::<()>::new();
        Handle::current().set_exception_handler(Some(move |report: &ExceptionContext| {
            reports.add(report.error.as_ref().unwrap().to_string());
        }));
        let (promise, waits) = Promise::new();
        let task = create_task(async move { waits.await.unwrap() });
        task.add_done_callback(adder(&trace, "before"));
        task.add_done_callback(|_| panic!("in a callback"));
        task.add_done_callback(adder(&trace, "after"));
        task.add_done_callback(|_| all_done.set_result(()).unwrap());
        promise.set_result(5).unwrap();
        wait_for_all.await.unwrap();
        assert_eq!(task.await.unwrap(), 5);
        assert_eq!(trace.take(), "before panicked: in a callback after");
    }

    async fn d_05_the_same_function_added_often_is_called_as_often() {
        let count = Count::default();
        let (promise, waits) = Promise::<()>::new();
        let task = create_task(async move { waits.await.unwrap() });
        let add = || {
            let count = count.clone();
            task.add_done_callback(move |_| count.up())
        };
        let ids = [add(), add(), add()];
        let (all_done, wait_for_all) = Promise::<()>::new();
        task.add_done_callback(|_| all_done.set_result(()).unwrap());
        assert!(task.remove_done_callback(ids[1]));
        assert!(!task.remove_done_callback(ids[1]), "not twice");
        promise.set_result(()).unwrap();
        wait_for_all.await.unwrap();
        assert_eq!(count.get(), 2);
        task.await.unwrap();
    }

    async fn a_callback_removed_is_dropped_and_not_called() {
        let (promise, task) = Promise::<()>::new();
        let dropped = Count::default();
        let value = dropped.value();
        let id = task.add_done_callback(move |_| {
            let _value = value;
            panic!("removed");
        });
        assert!(task.remove_done_callback(id));
        assert_eq!(dropped.get(), 1);
        promise.set_result(()).unwrap();
        task.await.unwrap();
    }
}

#[test]
fn d_06_removed_after_the_end_it_is_called_all_the_same() {
    in_order(async {
        let trace = Trace::default();
        let (promise, task) = Promise::<()>::new();
        let id = task.add_done_callback(adder(&trace, "called"));
        promise.set_result(()).unwrap();
        assert!(!task.remove_done_callback(id));
        yield_now().await;
        assert_eq!(trace.take(), "called");
        drop(task);
    });
}

#[test]
fn d_07_callbacks_that_add_and_remove_do_not_disturb_the_round() {
    in_order(async {
        let trace = Trace::default();
        let (promise, task) = Promise::<()>::new();
        let (inside, again) = (trace.clone(), trace.clone());
        let second = std::sync::Arc::new(std::sync::Mutex::new(None));
        let theirs = std::sync::Arc::clone(&second);
        task.add_done_callback(move |task| {
            inside.add("first");
            assert!(!task.remove_done_callback(theirs.lock().unwrap().unwrap()));
            let again = again.clone();
            task.add_done_callback(move |_| again.add("added"));
        });
        *second.lock().unwrap() = Some(task.add_done_callback(adder(&trace, "second")));
        promise.set_result(()).unwrap();
        yield_now().await;
        yield_now().await;
        assert_eq!(trace.take(), "first second added");
        drop(task);
    });
}

#[test]
fn calls_run_in_order_and_can_be_cancelled() {
    in_virtual_time(async {
        let trace = Trace::default();
        let handle = Handle::current();
        let add = |name: &'static str| {
            let trace = trace.clone();
            move || trace.add(name)
        };
        handle.call_later(Duration::from_secs(3), add("late"));
        handle.call_soon(add("soon"));
        let never = handle.call_soon(add("never"));
        handle.call_at(handle.time() + Duration::from_secs(1), add("early"));
        let disarmed = handle.call_later(Duration::from_secs(2), add("disarmed"));
        assert_eq!(disarmed.when(), Some(handle.time() + Duration::from_secs(2)));
        assert!(never.cancel() && !never.cancel() && never.cancelled());
        assert!(disarmed.cancel());
        sleep(Duration::from_secs(5)).await;
        assert_eq!(trace.take(), "soon early late");
        assert!(current_task().is_some());
    });
}

everywhere! {
    async fn a_05_after_cancel_has_returned_a_call_does_not_begin() {
        let handle = Handle::current();
        for _ in 0..200 {
            let ran = Count::default();
            let inside = ran.clone();
            let call = handle.call_soon_threadsafe(move || inside.up());
            let canceller = {
                let call = call.clone();
                std::thread::spawn(move || call.cancel())
            };
            let cancelled = canceller.join().unwrap();
            let (promise, task) = Promise::<()>::new();
            handle.call_soon(|| promise.set_result(()).unwrap());
            task.await.unwrap();
            if cancelled {
                assert_eq!(ran.get(), 0);
            }
        }
    }

    async fn a_panic_in_a_call_stays_there() {
        let handle = Handle::current();
        let (said, what) = Promise::<String>::new();
        let said = std::sync::Mutex::new(Some(said));
        handle.set_exception_handler(Some(move |report: &ExceptionContext| {
            let said = said.lock().unwrap().take().expect("one report");
            said.set_result(report.to_string()).unwrap();
        }));
        handle.call_soon(|| panic!("in a call"));
        let report = what.await.unwrap();
        assert!(report.contains("in a call"), "{report}");
        let (promise, task) = Promise::<()>::new();
        handle.call_later(Duration::from_micros(10), || promise.set_result(()).unwrap());
        task.await.unwrap();
    }
}

#[test]
fn a_call_that_never_came_is_dropped_with_its_runtime() {
    for workers in [1, 2] {
        let dropped = Count::default();
        let engine = engine(workers);
        let calls = [Duration::ZERO, Duration::from_secs(3600)].map(|delay| {
            let value = dropped.value();
            engine.handle().call_later(delay, move || drop(value))
        });
        engine.close();
        assert_eq!(dropped.get(), 2, "though the handles live on");
        assert!(!calls[1].cancel());
    }
}

#[test]
fn stop_ends_run_forever() {
    for workers in [1, 2, 8] {
        let _watchdog = Watchdog::new();
        let engine = engine(workers);
        let handle = engine.handle();
        let stopper = handle.clone();
        handle.call_later(Duration::from_micros(100), move || stopper.stop());
        engine.run_forever();
        handle.stop();
        engine.run_forever();
        assert_eq!(engine.run(async { 1 }).unwrap(), 1);
    }
}

everywhere! {
    async fn d_02_callbacks_added_while_the_task_ends_keep_their_order() {
        const CALLBACKS: u32 = 20;
        for _ in 0..200 {
            let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
            let (promise, waits) = Promise::<()>::new();
            let task = create_task(async move { waits.await.unwrap() });
            let same = task.task_ref();
            let (all_done, wait_for_all) = Promise::<()>::new();
            let mut all_done = Some(all_done);
            let theirs = order.clone();
            let adder = std::thread::spawn(move || {
                for number in 0..CALLBACKS {
                    let order = theirs.clone();
                    let last = if number + 1 == CALLBACKS { all_done.take() } else { None };
                    same.add_done_callback(move |_| {
                        order.lock().unwrap().push(number);
                        if let Some(last) = last {
                            last.set_result(()).unwrap();
                        }
                    });
                }
            });
            promise.set_result(()).unwrap();
            task.await.unwrap();
            wait_for_all.await.unwrap();
            adder.join().unwrap();
            assert_eq!(*order.lock().unwrap(), (0..CALLBACKS).collect::<Vec<_>>());
        }
    }
}

#[test]
fn d_07_a_callback_that_adds_itself_for_ever_lets_others_run() {
    fn again(task: &TaskRef, trace: Trace) {
        let next = trace.clone();
        if trace.len() < 100 {
            trace.add("again");
            task.add_done_callback(move |task| again(task, next));
        }
    }
    in_order(async {
        let trace = Trace::default();
        let task = TaskBuilder::new().eager_start(true).create_task(async {});
        let first = trace.clone();
        task.add_done_callback(move |task| again(task, first));
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(trace.len(), 3, "one round in each pass");
        while trace.len() < 100 {
            yield_now().await;
        }
        task.await.unwrap();
    });
}
