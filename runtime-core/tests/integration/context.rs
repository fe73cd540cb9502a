//! Area CV: context variables.

use crate::support::*;
use runtime_core::*;

context_var! {
    static VAR: u32 = 0;
    static OTHER: &'static str;
}

everywhere! {
    async fn cv_01_a_task_runs_in_a_copy_of_its_creators_context() {
        VAR.set(1);
        let (go, may_go) = event();
        let task = create_task(async move {
            may_go.wait().await;
            let seen = VAR.get();
            VAR.set(100);
            seen
        });
        VAR.set(2);
        go.happen();
        assert_eq!(task.await.unwrap(), 1);
        assert_eq!(VAR.get(), 2);
    }

    async fn cv_02_every_step_runs_in_the_same_context() {
        let tasks: Vec<_> = (0..50)
            .map(|number| {
                create_task(async move {
                    VAR.set(number);
                    for _ in 0..20 {
                        yield_now().await;
                        assert_eq!(VAR.get(), number);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }

    async fn cv_03_a_given_context_is_copied() {
        let mut given = Context::new();
        given.run(|| VAR.set(7));
        let tasks = [0, 1].map(|_| {
            TaskBuilder::new().context(given.clone()).create_task(async {
                let seen = VAR.get();
                VAR.set(seen + 1);
                (seen, VAR.get())
            })
        });
        for task in tasks {
            assert_eq!(task.await.unwrap(), (7, 8));
        }
        assert_eq!(given.run(|| VAR.get()), 7);
        assert_eq!(VAR.get(), 0);
    }

    async fn cv_04_callbacks_run_in_the_context_in_which_they_were_added() {
        let (said, seen) = Promise::<(u32, u32, u32)>::new();
        VAR.set(1);
        let (promise, task) = Promise::<()>::new();
        let values = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let add = || {
            let values = std::sync::Arc::clone(&values);
            move || values.lock().unwrap().push(VAR.get())
        };
        let of_task = add();
        task.add_done_callback(move |_| of_task());
        VAR.set(2);
        let handle = Handle::current();
        handle.call_soon(add());
        VAR.set(3);
        create_task(async move {
            VAR.set(99);
            promise.set_result(()).unwrap();
        })
        .await
        .unwrap();
        task.wait().await;
        let late = add();
        let all = std::sync::Arc::clone(&values);
        task.add_done_callback(move |_| {
            late();
            drop(said);
        });
        assert!(seen.await.is_err());
        // The call has no order with the callbacks.
        while all.lock().unwrap().len() < 3 {
            yield_now().await;
        }
        let mut values = all.lock().unwrap().clone();
        values.sort_unstable();
        assert_eq!(values, [1, 2, 3]);
    }

    async fn the_context_outlives_the_future() {
        let (said, seen) = Promise::<u32>::new();
        let held = on_drop(move || said.set_result(VAR.get()).unwrap());
        let (begun, has_begun) = event();
        let task = create_task(async move {
            let _held = held;
            VAR.set(5);
            begun.happen();
            std::future::pending::<()>().await;
        });
        has_begun.wait().await;
        task.cancel();
        assert_eq!(seen.await.unwrap(), 5);
    }

    async fn a_context_is_read_from_elsewhere_while_its_task_sets() {
        let task = create_task(async {
            for number in 0..500 {
                VAR.set(number);
                yield_now().await;
            }
        });
        let reference = task.task_ref();
        let reader = std::thread::spawn(move || {
            let mut last = 0;
            while !reference.done() {
                let now = reference.get_context().run(|| VAR.get());
                assert!(now >= last);
                last = now;
            }
        });
        task.await.unwrap();
        reader.join().unwrap();
    }
}

#[test]
fn cv_06_the_exception_handler_runs_in_the_context_of_the_task() {
    in_order(async {
        let trace = Trace::default();
        let seen = trace.clone();
        Handle::current().set_exception_handler(Some(move |_: &ExceptionContext| seen.add(VAR.get().to_string())));
        drop(create_task(async {
            VAR.set(6);
            panic!("unread");
        }));
        yield_now().await;
        assert_eq!(trace.take(), "6");
    });
}

#[test]
fn variables_outside_of_tasks_belong_to_the_thread() {
    assert_eq!(OTHER.try_get(), None);
    let message = panic_message(|| OTHER.get());
    assert!(message.contains("OTHER"), "{message}");
    let token = OTHER.set("here");
    std::thread::spawn(|| assert_eq!(OTHER.try_get(), None)).join().unwrap();
    assert_eq!(OTHER.get(), "here");
    OTHER.reset(token);
    assert_eq!(OTHER.try_get(), None);
}
