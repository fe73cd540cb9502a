//! Areas R and SD: the end of a run and of a runtime, as far as the engine alone shows it.

use crate::support::*;
use runtime_core::*;
use std::future::pending;
use std::time::Duration;

/// Runs `main`, and closes; the closing is part of what is tested.
fn run_and_close<T>(workers: usize, main: impl Future<Output = T>) -> T {
    on(workers, main)
}

#[test]
fn r_07_r_08_leftovers_are_cancelled_once_and_waited_for() {
    for workers in [1, 2, 8] {
        let (ended, requests) = (Count::default(), Count::default());
        run_and_close(workers, async {
            for _ in 0..50 {
                let (ended, requests) = (ended.clone(), requests.clone());
                let (begun, has_begun) = event();
                drop(create_task(async move {
                    begun.happen();
                    catch_cancelled(pending::<()>()).await.unwrap_err();
                    requests.up();
                    // Swallowed: goes on for as long as it likes, undisturbed.
                    for _ in 0..20 {
                        yield_now().await;
                    }
                    catch_cancelled(sleep(Duration::from_micros(50))).await.expect("no second request");
                    ended.up();
                }));
                has_begun.wait().await;
            }
        });
        assert_eq!((ended.get(), requests.get()), (50, 50));
    }
}

#[test]
fn r_07_a_clean_up_that_blocks_its_worker_holds_up_no_other_request() {
    for workers in [2, 8] {
        let (sent, cleaned_up) = std::sync::mpsc::channel();
        let mut cleaned_up = Some(cleaned_up);
        run_and_close(workers, async move {
            let others = 300;
            let mut all_begun = Vec::new();
            let mut task = |clean_up: Box<dyn FnOnce() + Send>| {
                let (begun, has_begun) = event();
                all_begun.push(has_begun);
                drop(create_task(async move {
                    begun.happen();
                    catch_cancelled(pending::<()>()).await.unwrap_err();
                    clean_up();
                }));
            };
            for place in 0..=others {
                if place == others / 2 {
                    // Its worker is lost until all others have cleaned up.
                    let cleaned_up = cleaned_up.take().unwrap();
                    task(Box::new(move || (0..others).for_each(|_| cleaned_up.recv().unwrap())));
                } else {
                    let sent = sent.clone();
                    task(Box::new(move || sent.send(()).unwrap()));
                }
            }
            for has_begun in all_begun {
                has_begun.wait().await;
            }
        });
    }
}

#[test]
fn r_09_failures_during_the_shutdown_are_reported() {
    for workers in [1, 2, 8] {
        let reports = Trace::default();
        let seen = reports.clone();
        run_and_close(workers, async {
            Handle::current().set_exception_handler(Some(move |report: &ExceptionContext| {
                seen.add(report.error.as_ref().unwrap().to_string());
            }));
            let (begun, has_begun) = event();
            drop(create_task(async move {
                begun.happen();
                catch_cancelled(pending::<()>()).await.unwrap_err();
                panic!("while cleaning up");
            }));
            has_begun.wait().await;
        });
        assert_eq!(reports.take(), "panicked: while cleaning up");
    }
}

#[test]
fn r_10_tasks_created_during_the_shutdown_are_swept_too() {
    for workers in [1, 2, 8] {
        let dropped = Count::default();
        run_and_close(workers, async {
            let value = dropped.value();
            let (begun, has_begun) = event();
            drop(create_task(async move {
                begun.happen();
                catch_cancelled(pending::<()>()).await.unwrap_err();
                drop(create_task(async move {
                    let value = value;
                    catch_cancelled(pending::<()>()).await.unwrap_err();
                    drop(create_task(async move {
                        let _value = value;
                        pending::<()>().await
                    }));
                }));
            }));
            has_begun.wait().await;
        });
        assert_eq!(dropped.get(), 1);
    }
}

#[test]
fn r_11_what_main_created_right_before_its_end_gets_its_first_step() {
    let trace = Trace::default();
    run_and_close(1, async {
        let inside = trace.clone();
        drop(create_task(async move {
            inside.add("first step");
            let _dropped = inside.on_drop("cancelled");
            yield_now().await;
            inside.add("second step");
        }));
    });
    assert_eq!(trace.take(), "first step cancelled");
}

#[test]
fn r_13_a_task_left_by_a_run_goes_on_in_the_next() {
    let engine = engine(1);
    let trace = Trace::default();
    let inside = trace.clone();
    let task = engine
        .run(async {
            let task = create_task(async move {
                inside.add("one");
                yield_now().await;
                yield_now().await;
                inside.add("two");
            });
            yield_now().await;
            task
        })
        .unwrap();
    assert!(!task.done());
    engine.run(task).unwrap().unwrap();
    assert_eq!(trace.take(), "one two");
}

#[test]
fn r_13_with_several_workers_tasks_go_on_between_runs() {
    for workers in [2, 8] {
        let _watchdog = Watchdog::new();
        let engine = engine(workers);
        let count = Count::default();
        engine
            .run(async {
                for _ in 0..100 {
                    let count = count.clone();
                    drop(create_task(async move {
                        yield_now().await;
                        sleep(Duration::from_micros(10)).await;
                        count.up();
                    }));
                }
            })
            .unwrap();
        // Nobody is in `run`.
        count.spin_until(100);
    }
}

#[test]
fn sd_05_after_the_end_nothing_is_taken_in() {
    for workers in [1, 2] {
        let engine = engine(workers);
        let handle = engine.handle();
        engine.close();
        assert!(handle.is_closed());
        let ran = Count::default();
        let inside = ran.clone();
        let call = handle.call_soon(move || inside.up());
        let inside = ran.clone();
        handle.call_later(Duration::ZERO, move || inside.up());
        let mut task = handle.create_task(async {});
        assert!(task.result().unwrap().unwrap_err().is_cancelled());
        assert_eq!(ran.get(), 0);
        assert!(!call.cancel(), "its callback has gone");
        assert!(handle.all_tasks().is_empty());
        handle.stop();
        assert!(format!("{handle:?}").contains("Closed"));
    }
}

#[test]
fn strangers_cannot_hold_up_the_end_with_new_tasks() {
    for workers in [1, 2, 8] {
        let _watchdog = Watchdog::new();
        let engine = engine(workers);
        let handle = engine.handle();
        let polled = Count::default();
        let (own_polls, stranger_polls) = (polled.clone(), polled.clone());
        engine
            .run(async {
                let (begun, has_begun) = event();
                drop(create_task(async move {
                    begun.happen();
                    catch_cancelled(pending::<()>()).await.unwrap_err();
                    // The shutdown waits for this task.
                    let stranger = std::thread::spawn(move || {
                        assert!(!handle.is_closed());
                        let mut task = handle.create_task(async move { stranger_polls.up() });
                        assert!(task.result().unwrap().unwrap_err().is_cancelled());
                    });
                    stranger.join().unwrap();
                    // Who is in the runtime may go on creating tasks.
                    let own = create_task(async { 1 });
                    assert_eq!(own.await.unwrap(), 1);
                    own_polls.up();
                }));
                has_begun.wait().await;
            })
            .unwrap();
        engine.close();
        assert_eq!(polled.get(), 1);
    }
}

everywhere! {
    async fn sd_06_leftovers_that_await_each_other() {
        let (begun, has_begun) = event();
        let inner = create_task(async move {
            begun.happen();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            yield_now().await;
            5
        });
        let outer = create_task(inner);
        drop(create_task(outer));
        has_begun.wait().await;
    }
}

#[test]
fn rc_09_a_task_of_a_runtime_that_never_ran_ends() {
    for workers in [1, 2] {
        let engine = engine(workers);
        let mut task = engine.handle().create_task(pending::<()>());
        drop(engine);
        assert!(task.result().unwrap().unwrap_err().is_cancelled());
    }
}

#[test]
fn a_grace_period_bounds_the_shutdown_and_names_what_is_left() {
    let config =
        Config { workers: 1, virtual_time: true, shutdown_grace: Some(Duration::from_secs(5)), ..Config::default() };
    let _watchdog = Watchdog::new();
    let engine = Engine::new(config).unwrap();
    let (reports, dropped) = (Trace::default(), Count::default());
    let seen = reports.clone();
    engine.handle().set_exception_handler(Some(move |report: &ExceptionContext| {
        seen.add(report.task.as_ref().unwrap().get_name());
    }));
    let value = dropped.value();
    engine
        .run(async move {
            drop(TaskBuilder::new().name("stubborn").create_task(async move {
                let _value = value;
                loop {
                    let _ = catch_cancelled(sleep(Duration::MAX)).await;
                }
            }));
            drop(create_task(async {
                catch_cancelled(pending::<()>()).await.unwrap_err();
                sleep(Duration::from_secs(4)).await;
            }));
            yield_now().await;
        })
        .unwrap();
    engine.close();
    assert_eq!(reports.take(), "stubborn");
    assert_eq!(dropped.get(), 1);
}

#[test]
fn sd_01_clean_up_may_wait_for_callbacks() {
    let cleaned_up = Count::default();
    in_virtual_time(async {
        let (before, was_before) = event();
        Handle::current().call_later(Duration::from_secs(1), || before.happen());
        let (begun, has_begun) = event();
        let count = cleaned_up.clone();
        drop(create_task(async move {
            begun.happen();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            was_before.wait().await;
            let (after, was_after) = event();
            Handle::current().call_later(Duration::from_secs(1), || after.happen());
            was_after.wait().await;
            let (soon, was_soon) = event();
            Handle::current().call_soon(|| soon.happen());
            was_soon.wait().await;
            count.up();
        }));
        has_begun.wait().await;
    });
    assert_eq!(cleaned_up.get(), 1);
}

#[test]
fn sd_05_who_wants_to_be_told_of_a_task_that_is_refused_is_told() {
    for workers in [1, 2] {
        let config = Config { workers, shutdown_grace: Some(Duration::ZERO), ..Config::default() };
        let _watchdog = Watchdog::new();
        let engine = Engine::new(config).unwrap();
        engine.handle().set_exception_handler(Some(|_: &ExceptionContext| {}));
        let told = Trace::default();
        let at_the_end = told.clone();
        let main = async move {
            let (begun, has_begun) = event();
            drop(create_task(async move {
                // Dropped when nothing is taken in any more.
                let _creates = on_drop(move || {
                    let told = move |task: &TaskRef| at_the_end.add(if task.cancelled() { "cancelled" } else { "?" });
                    let task = TaskBuilder::new().create_task_and_tell(pending::<()>(), |_| (), told);
                    assert!(task.done());
                });
                begun.happen();
                loop {
                    catch_cancelled(pending::<()>()).await.unwrap_err();
                }
            }));
            has_begun.wait().await;
        };
        engine.run(main).unwrap();
        engine.close();
        assert_eq!(told.take(), "cancelled");
    }
}

#[test]
fn a_worker_stuck_beyond_the_grace_period_drops_its_task_when_it_comes_back() {
    let _watchdog = Watchdog::new();
    let config = Config { workers: 2, shutdown_grace: Some(Duration::ZERO), ..Config::default() };
    let engine = Engine::new(config).unwrap();
    engine.handle().set_exception_handler(Some(|_: &ExceptionContext| {}));
    let (stuck, free, dropped) = (Count::default(), Count::default(), Count::default());
    let task = engine
        .run(async {
            let (stuck, free, value) = (stuck.clone(), free.clone(), dropped.value());
            let task = create_task(async move {
                let _value = value;
                stuck.up();
                free.spin_until(1);
                pending::<()>().await
            });
            // Waits off this worker, so that the other one takes it.
            task
        })
        .unwrap();
    stuck.spin_until(1);
    engine.close();
    assert_eq!(dropped.get(), 0, "its worker is in the middle of it");
    free.up();
    dropped.spin_until(1);
    let task_ref = task.task_ref();
    while !task_ref.done() {
        std::thread::yield_now();
    }
    assert!(task_ref.cancelled());
}

#[test]
fn a_thousand_runtimes() {
    let _watchdog = Watchdog::new();
    for round in 0..1000 {
        let engine = engine(1 + round % 3);
        let task = engine.run(async { create_task(sleep(Duration::from_secs(1000))) }).unwrap();
        if round % 2 == 0 {
            engine.close();
        }
        drop(engine);
        assert!(task.cancelled());
    }
}

#[test]
fn several_runtimes_at_once_that_talk_to_each_other() {
    let _watchdog = Watchdog::new();
    let threads: Vec<_> = (0..8)
        .map(|number| {
            std::thread::spawn(move || {
                for _ in 0..20 {
                    let (one, two) = (engine(1 + number % 3), engine(2));
                    let other = two.handle();
                    let sum = one.run(async {
                        let mut sum = 0;
                        for number in 0..50 {
                            let task = other.create_task(async move {
                                yield_now().await;
                                number
                            });
                            sum += task.await.unwrap();
                        }
                        sum
                    });
                    assert_eq!(sum.unwrap(), 49 * 50 / 2);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_runtime_dropped_inside_of_another_closes_on_its_own() {
    let dropped = Count::default();
    on(2, async {
        let inner = engine(2);
        let value = dropped.value();
        inner
            .handle()
            .create_task(async move {
                let _value = value;
                pending::<()>().await
            })
            .task_ref();
        drop(inner);
        dropped.spin_until(1);
    });
}

#[test]
fn a_grace_period_without_end_is_none() {
    let _watchdog = Watchdog::new();
    for workers in [1, 2] {
        let config = Config { workers, shutdown_grace: Some(Duration::MAX), ..Config::default() };
        let engine = Engine::new(config).unwrap();
        engine.run(async { drop(create_task(pending::<()>())) }).unwrap();
        engine.close();
        assert!(engine.handle().is_closed());
    }
}

#[test]
fn a_name_that_no_thread_can_have_is_an_error() {
    for workers in [1, 2] {
        let config = Config { workers, thread_name: "a\0b".into(), ..Config::default() };
        let error = Engine::new(config).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("NUL"), "{error}");
    }
}
