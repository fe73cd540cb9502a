//! Area E: tasks whose first step is made by their creator.

use crate::support::*;
use runtime_core::*;
use std::future::pending;

fn eager() -> TaskBuilder {
    TaskBuilder::new().eager_start(true)
}

everywhere! {
    async fn e_01_the_body_runs_to_its_first_suspension() {
        let trace = Trace::default();
        let inside = trace.clone();
        let (promise, waits) = Promise::new();
        let task = eager().create_task(async move {
            inside.add("first");
            waits.await.unwrap()
        });
        trace.add("created");
        assert!(!task.done());
        promise.set_result(4).unwrap();
        assert_eq!(task.await.unwrap(), 4);
        assert_eq!(trace.take(), "first created");
    }

    async fn e_02_e_03_an_eager_end_is_there_at_once() {
        let mut task = eager().create_task(async { 1 });
        assert!(task.done() && !task.cancel());
        assert_eq!(task.result().unwrap().unwrap(), 1);
        let mut failed = eager().create_task(async { panic!("eagerly") });
        assert!(failed.done());
        assert_eq!(failed.result().unwrap().unwrap_err().to_string(), "panicked: eagerly");
    }

    async fn e_05_cancelling_oneself_in_the_first_step() {
        let task = eager().create_task(async {
            current_task().unwrap().cancel_with("and returns");
            1
        });
        assert!(task.done() && task.cancelled());
        assert_eq!(task.await.unwrap_err().to_string(), "cancelled: and returns");
        let task = eager().create_task(async {
            current_task().unwrap().cancel_with("and suspends");
            pending::<()>().await
        });
        assert_eq!(task.await.unwrap_err().to_string(), "cancelled: and suspends");
        let task = eager().create_task(async { CancelledError::new("raised").reraise().await });
        assert!(task.done() && task.cancelled());
    }

    async fn e_06_e_07_the_current_task_and_the_list() {
        let creator = current_task().unwrap();
        let task = eager().create_task(async {
            let me = current_task().unwrap();
            let inner = eager().create_task(async { current_task().unwrap().id() });
            let listed = all_tasks().contains(&me);
            (me.id(), inner.await.unwrap(), current_task().unwrap().id(), listed)
        });
        assert_eq!(current_task().unwrap(), creator);
        assert!(!all_tasks().contains(&task.task_ref()), "not after its end");
        let id = task.id();
        let (me, inner, me_again, listed) = task.await.unwrap();
        assert!(me == id && me_again == id && inner != id && listed);
    }

    async fn e_08_the_step_runs_in_the_tasks_own_context() {
        context_var! { static VAR: u32 = 0; }
        VAR.set(1);
        let (promise, waits) = Promise::<()>::new();
        let task = eager().create_task(async move {
            let seen = VAR.get();
            VAR.set(2);
            waits.await.unwrap();
            (seen, VAR.get())
        });
        assert_eq!(VAR.get(), 1);
        promise.set_result(()).unwrap();
        assert_eq!(task.await.unwrap(), (1, 2));
    }

    async fn e_10_suspended_it_is_cancelled_like_any_task() {
        let task = eager().create_task(pending::<()>());
        assert!(task.cancel_with("later"));
        assert_eq!(task.await.unwrap_err().to_string(), "cancelled: later");
    }

    async fn e_16_from_another_thread_it_is_queued() {
        let handle = Handle::current();
        let here = std::thread::current().id();
        let task = std::thread::spawn(move || {
            let foreign = std::thread::current().id();
            handle.create_task_with(eager(), async move { std::thread::current().id() != foreign })
        })
        .join()
        .unwrap();
        assert!(task.await.unwrap());
        assert_eq!(std::thread::current().id(), here);
    }

    async fn nested_deeper_than_any_stack_they_are_queued() {
        fn nest(depth: u32) -> std::pin::Pin<Box<dyn Future<Output = u32> + Send>> {
            Box::pin(async move {
                match depth {
                    0 => 0,
                    _ => eager().create_task(nest(depth - 1)).await.unwrap() + 1,
                }
            })
        }
        assert_eq!(eager().create_task(nest(10_000)).await.unwrap(), 10_000);
    }

    async fn woken_during_its_eager_step_it_is_not_lost() {
        for _ in 0..100 {
            let task = eager().create_task(async {
                for _ in 0..3 {
                    yield_now().await;
                }
            });
            task.await.unwrap();
        }
    }
}

#[test]
fn e_09_an_eager_body_runs_before_tasks_queued_earlier() {
    in_order(async {
        let trace = Trace::default();
        let (one, two) = (trace.clone(), trace.clone());
        let queued = create_task(async move { one.add("queued") });
        let eager = eager().create_task(async move { two.add("eager") });
        queued.await.unwrap();
        eager.await.unwrap();
        assert_eq!(trace.take(), "eager queued");
    });
}

#[test]
fn e_11_the_runtimes_default_and_the_tasks_own_choice() {
    for workers in [1, 2] {
        let engine = Engine::new(Config { workers, eager_tasks: true, ..Config::default() }).unwrap();
        engine
            .run(async {
                assert!(create_task(async {}).done());
                if Handle::current().workers() == 1 {
                    assert!(!TaskBuilder::new().eager_start(false).create_task(async {}).done());
                }
            })
            .unwrap();
    }
}
