//! Area T: creating tasks and asking about them.

use crate::support::*;
use runtime_core::*;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

#[test]
fn t_01_nothing_of_a_new_task_runs_before_its_creator_suspends() {
    in_order(async {
        let trace = Trace::default();
        let inside = trace.clone();
        let task = create_task(async move { inside.add("child") });
        trace.add("creator");
        assert!(!task.done());
        task.await.unwrap();
        assert_eq!(trace.take(), "creator child");
    });
}

#[test]
fn t_02_first_steps_come_in_the_order_of_creation_among_callbacks() {
    in_order(async {
        let trace = Trace::default();
        let handle = Handle::current();
        let add = |name: &'static str| {
            let trace = trace.clone();
            move || trace.add(name)
        };
        let step = |name: &'static str| {
            let add = add(name);
            drop(create_task(async move { add() }));
        };
        step("a");
        handle.call_soon(add("b"));
        step("c");
        handle.call_soon(add("d"));
        step("e");
        yield_now().await;
        assert_eq!(trace.take(), "a b c d e");
    });
}

#[test]
fn t_03_without_a_runtime_creating_a_task_says_what_to_do() {
    let message = panic_message(|| drop(create_task(async {})));
    assert!(message.contains("`create_task` needs a runtime") && message.contains("Handle"), "{message}");
    assert!(Handle::try_current().is_none());
    let message = panic_message(|| drop(Handle::current()));
    assert!(message.contains("Handle::current"), "{message}");
}

#[test]
fn t_04_what_becomes_ready_waits_for_its_turn() {
    in_order(async {
        let trace = Trace::default();
        let yielding = |name: &'static str| {
            let trace = trace.clone();
            create_task(async move {
                for _ in 0..3 {
                    trace.add(name);
                    yield_now().await;
                }
            })
        };
        let tasks = [yielding("a"), yielding("b"), yielding("c")];
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(trace.take(), "a b c a b c a b c");
    });
}

everywhere! {
    async fn t_05_asking_a_pending_task_and_a_finished_one() {
        let (promise, waits) = Promise::new();
        let mut task = create_task(async move { waits.await.unwrap() });
        assert!(!task.done() && !task.cancelled());
        assert!(task.result().is_err() && task.exception().is_err());
        promise.set_result("v").unwrap();
        task.wait().await;
        assert!(task.done() && !task.cancelled());
        assert!(task.exception().unwrap().is_none());
        assert_eq!(task.result().unwrap().unwrap(), "v");
        let taken = task.result().unwrap_err();
        assert!(taken.to_string().contains("taken before"), "{taken}");
    }

    async fn t_06_t_16_a_failure_is_the_tasks_alone() {
        let sibling = create_task(async {
            yield_now().await;
            "fine"
        });
        let mut task = create_task(async { panic!("mine {}", 1) });
        task.wait().await;
        let first = task.exception().unwrap().unwrap();
        let second = task.exception().unwrap().unwrap();
        assert_eq!((first.to_string(), second.to_string()), ("panicked: mine 1".into(), "panicked: mine 1".into()));
        let error = task.result().unwrap().unwrap_err();
        assert!(error.is_panicked());
        assert!(task.result().is_err() && task.exception().is_err());
        assert_eq!(sibling.await.unwrap(), "fine");
    }

    async fn t_07_raising_a_cancellation_that_nobody_asked_for() {
        let task = create_task(async { CancelledError::new("of my own").reraise().await });
        task.wait().await;
        assert!(task.cancelled());
        assert_eq!(task.cancelling(), 0);
        let error = task.exception().unwrap().unwrap();
        assert_eq!(error.to_string(), "cancelled: of my own");
    }

    async fn t_11_any_number_of_waiters_see_the_end() {
        let (promise, waits) = Promise::<()>::new();
        let task = create_task(async move { waits.await.unwrap() });
        let waiters: Vec<_> = (0..50)
            .map(|_| {
                let task = task.task_ref();
                create_task(async move {
                    task.wait().await;
                    task.done()
                })
            })
            .collect();
        yield_now().await;
        promise.set_result(()).unwrap();
        for waiter in waiters {
            assert!(waiter.await.unwrap());
        }
        task.await.unwrap();
    }

    async fn t_13_names() {
        let plain = create_task(async {});
        let other = create_task(async {});
        assert!(plain.get_name().starts_with("Task-") && plain.get_name() != other.get_name());
        let named = TaskBuilder::new().name("given").create_task(async { current_task().unwrap().get_name() });
        assert_eq!(named.get_name(), "given");
        let named_ref = named.task_ref();
        assert_eq!(named.await.unwrap(), "given");
        named_ref.set_name("later");
        assert_eq!(named_ref.get_name(), "later");
        plain.await.unwrap();
        other.await.unwrap();
    }

    async fn t_14_an_awaited_future_runs_in_the_task_itself() {
        let task = create_task(async {
            let outside = current_task().unwrap().id();
            let inside = async { current_task().unwrap().id() }.await;
            outside == inside
        });
        assert!(task.await.unwrap());
    }

    async fn t_15_a_task_without_a_handle_lives() {
        let (promise, waits) = Promise::new();
        drop(create_task(async move {
            yield_now().await;
            sleep(Duration::from_micros(10)).await;
            promise.set_result("lived").unwrap();
        }));
        assert_eq!(waits.await.unwrap(), "lived");
    }
}

#[test]
fn t_09_awaiting_what_is_done_does_not_suspend() {
    in_order(async {
        let trace = Trace::default();
        let done = create_task(async { 1 });
        let same = done.task_ref();
        done.wait().await;
        let inside = trace.clone();
        drop(create_task(async move { inside.add("other") }));
        assert_eq!(done.await.unwrap(), 1);
        same.wait().await;
        trace.add("awaited");
        yield_now().await;
        assert_eq!(trace.take(), "awaited other");
    });
}

#[test]
fn t_10_a_task_that_awaits_itself_panics() {
    in_order(async {
        let (send, receive) = futures::channel::oneshot::channel::<Task<()>>();
        let task = create_task(async move {
            let me = receive.await.unwrap();
            let _ = me.await;
        });
        let task_ref = task.task_ref();
        send.send(task).unwrap();
        task_ref.wait().await;
        assert!(format!("{task_ref:?}").contains("panicked"), "{task_ref:?}");
    });
}

#[test]
fn t_10_a_task_that_waits_for_itself_through_a_reference_panics() {
    in_order(async {
        let task = create_task(async {
            current_task().unwrap().wait().await;
        });
        let error = task.await.unwrap_err();
        assert!(error.to_string().contains("itself"), "{error}");
    });
}

#[test]
fn t_11_waiters_resume_in_the_order_in_which_they_began_to_wait() {
    in_order(async {
        let trace = Trace::default();
        let (promise, waits) = Promise::<()>::new();
        let target = waits.task_ref();
        let waiters: Vec<_> = ["a", "b", "c", "d"]
            .into_iter()
            .map(|name| {
                let (target, trace) = (target.clone(), trace.clone());
                create_task(async move {
                    target.wait().await;
                    trace.add(name);
                })
            })
            .collect();
        yield_now().await;
        promise.set_result(()).unwrap();
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(trace.take(), "a b c d");
        drop(waits);
    });
}

#[test]
fn awaiting_a_value_that_was_taken_panics() {
    in_order(async {
        let task = create_task(async {
            let mut inner = create_task(async { 1 });
            assert_eq!((&mut inner).await.unwrap(), 1);
            let _ = inner.await;
        });
        let error = task.await.unwrap_err();
        assert!(error.to_string().contains("taken before"), "{error}");
    });
}

#[test]
fn the_creation_place_is_the_callers() {
    in_order(async {
        let task = create_task(async {});
        assert!(task.location().file().ends_with("task.rs"));
        let task = Handle::current().create_task(async {});
        assert!(task.location().file().ends_with("task.rs"));
        let (_promise, task) = Promise::<()>::new();
        assert!(task.location().file().ends_with("task.rs"));
    });
}

#[test]
fn documented_panics_blame_the_caller() {
    install_panic_hook();
    for misuse in [|| drop(create_task(async {})), || drop(Handle::current()), || drop(spawn(async {}))] {
        panic_message(misuse);
        let file = place_of_last_panic().unwrap();
        assert!(file.ends_with("task.rs"), "{file}");
    }
}

#[test]
fn misuse_nested_run() {
    let inner = engine(1);
    let outer = engine(1);
    outer
        .run(async {
            let message = panic_message(|| inner.run(async {}));
            assert!(message.contains("running a runtime already") && message.contains("await"), "{message}");
            let message = panic_message(|| inner.close());
            assert!(message.contains("running a runtime already"), "{message}");
        })
        .unwrap();
    inner.run(async {}).unwrap();
}

#[test]
fn misuse_two_threads_in_run() {
    let engine = engine(2);
    std::thread::scope(|scope| {
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (finish, finished) = futures::channel::oneshot::channel::<()>();
        let engine = &engine;
        scope.spawn(move || {
            engine
                .run(async {
                    begun.send(()).unwrap();
                    finished.await.unwrap();
                })
                .unwrap();
        });
        has_begun.recv().unwrap();
        let message = panic_message(|| engine.run(async {}));
        assert!(message.contains("another thread is in `run`") && message.contains("Handle"), "{message}");
        finish.send(()).unwrap();
    });
    engine.run(async {}).unwrap();
}

#[test]
fn misuse_after_close() {
    let engine = engine(2);
    engine.run(async {}).unwrap();
    engine.close();
    engine.close();
    let message = panic_message(|| engine.run(async {}));
    assert!(message.contains("closed"), "{message}");
    let dropped = Count::default();
    let value = dropped.value();
    let handle = engine.handle();
    let mut task = handle.create_task(async move { drop(value) });
    assert!(task.done() && handle.is_closed());
    assert_eq!(dropped.get(), 1, "the future is dropped at once");
    let error = task.result().unwrap().unwrap_err();
    assert!(error.is_cancelled() && error.to_string().contains("closed"), "{error}");
}

#[test]
fn wrong_configurations_say_why() {
    let wrong = |config: Config| Engine::new(config).unwrap_err().to_string();
    assert!(wrong(Config { workers: 0, ..Config::default() }).contains("`workers` is 0"));
    assert!(wrong(Config { workers: 2, virtual_time: true, ..Config::default() }).contains("virtual time"));
    assert!(wrong(Config { workers: 2, seed: Some(1), ..Config::default() }).contains("seed"));
}

#[test]
fn a_seed_repeats_its_order_and_seeds_differ() {
    let order = |seed| {
        let engine = Engine::new(Config { workers: 1, seed: Some(seed), ..Config::default() }).unwrap();
        let trace = Trace::default();
        engine
            .run(async {
                let tasks: Vec<_> = (0..20)
                    .map(|number| {
                        let trace = trace.clone();
                        create_task(async move { trace.add(number.to_string()) })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            })
            .unwrap();
        trace.take()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
fn main_may_borrow_and_need_not_be_send() {
    let engine = engine(2);
    let words = [String::from("borrowed")];
    let local = std::rc::Rc::new(5);
    let result = engine.run(async {
        yield_now().await;
        create_task(async {}).await.unwrap();
        (words[0].as_str(), *local)
    });
    assert_eq!(result.unwrap(), ("borrowed", 5));
}

#[test]
fn several_runs_and_a_cancelled_main() {
    let engine = engine(2);
    assert_eq!(engine.run(async { 1 }).unwrap(), 1);
    let cancelled = engine.run(async {
        current_task().unwrap().cancel_with("main itself");
        pending::<()>().await
    });
    assert_eq!(cancelled.unwrap_err().message(), Some("main itself"));
    let message = panic_message(|| engine.run(async { panic!("main panics") }));
    assert_eq!(message, "main panics");
    assert_eq!(engine.run(async { 2 }).unwrap(), 2);
}

#[test]
fn who_is_told_of_the_end_is_told_before_those_who_wait() {
    /// Notes that it was woken.
    struct Woken(Trace);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.add("woken");
        }
    }

    in_order(async {
        let trace = Trace::default();
        let told = trace.clone();
        let mut task = TaskBuilder::new().create_task_and_tell(
            yield_now(),
            |_| (),
            move |task| {
                assert!(task.done());
                told.add("told");
            },
        );
        let waker = Waker::from(Arc::new(Woken(trace.clone())));
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        while !task.done() {
            yield_now().await;
        }
        assert_eq!(trace.take(), "told woken");
    });
}

#[test]
fn who_is_told_of_the_beginning_is_told_before_the_first_poll_and_may_cancel() {
    in_order(async {
        for eager in [false, true] {
            let builder = || TaskBuilder::new().eager_start(eager);
            let trace = Trace::default();
            let (told, ran, ended) = (trace.clone(), trace.clone(), trace.clone());
            let body = async move {
                ran.add("runs");
                yield_now().await;
                ran.add("goes on");
            };
            let begins = move |task: &TaskRef| {
                told.add("begins");
                assert!(task.cancel() && !task.done());
                panic!("swallowed");
            };
            let task = builder().create_task_and_tell(body, begins, move |_| ended.add("ended"));
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(trace.take(), if eager { "begins runs ended" } else { "begins ended" });
        }
    });
}

#[test]
fn run_with_gives_main_before_its_first_poll() {
    let engine = engine(1);
    let ran = engine.run_with(async { 1 }, |main| assert!(main.cancel_with("not even begun")));
    assert_eq!(ran.unwrap_err().message(), Some("not even begun"));
}

#[test]
fn a_panic_in_the_closure_of_run_with_leaves_the_engine_usable() {
    for workers in [1, 2] {
        let engine = engine(workers);
        let polled = Count::default();
        let message = panic_message(|| {
            engine.run_with(async { polled.up() }, |_main| panic!("in `started`")).ok();
        });
        assert_eq!(message, "in `started`");
        assert_eq!(polled.get(), 0);
        assert_eq!(engine.run(async { create_task(async { 2 }).await.unwrap() }).unwrap(), 2);
    }
}
