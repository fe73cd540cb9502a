//! Rows TG: `TaskGroup`.

use crate::support::{
    Count, Log, OnDrop, begun, cancellation, everywhere, exact, forever, let_go, ms, passes, received, send, signal,
    under_load,
};
use futures::FutureExt;
use runtime::{
    Context, ExceptionGroup, Failure, Handle, Promise, TaskBuilder, TaskGroup, all_tasks, catch_cancelled, context_var,
    create_task, current_task, sleep, timeout, yield_now,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

context_var! { static VALUE: u32 = 0; }

type Errors = Vec<&'static str>;

fn errors<T: std::fmt::Debug>(result: Result<T, ExceptionGroup<&'static str>>) -> Errors {
    result.expect_err("the group fails").into_errors().collect()
}

fn count() -> u32 {
    current_task().unwrap().cancelling()
}

/// Waits for ever; after a request adds its count and its message to the log, after some passes, and lets it go on.
async fn cleans_up(log: Log, steps: usize) -> Result<(), &'static str> {
    let error = catch_cancelled(forever()).await.unwrap_err();
    passes(steps).await;
    log.add(format!("{} {:?}", count(), error.message()));
    error.reraise().await
}

// Plain success.

#[test]
fn tg_01_leaving_waits_for_all_children_and_their_values_are_read_from_the_tasks() {
    everywhere(async || {
        let ended = Count::default();
        let mut children = TaskGroup::scope(async |group| {
            let children = (0..10).map(|n| {
                let ended = ended.clone();
                group.create_task(async move {
                    passes(n).await;
                    ended.add();
                    Ok::<_, ()>(n)
                })
            });
            Ok(children.collect::<Vec<_>>())
        })
        .await
        .unwrap();
        assert_eq!(ended.get(), 10);
        for (n, child) in children.iter_mut().enumerate() {
            assert_eq!(child.result().unwrap().unwrap(), n);
        }
    });
}

#[test]
fn tg_01_name_context_and_eager_start_are_passed_to_the_child() {
    everywhere(async || {
        TaskGroup::<()>::scope(async |group| {
            let mut context = Context::current();
            context.run(|| VALUE.set(7));
            let builder = TaskBuilder::new().name("child").context(context).eager_start(true);
            let mut child =
                group.create_task_with(builder, async { Ok((VALUE.get(), current_task().unwrap().get_name())) });
            assert_eq!(child.result().unwrap().unwrap(), (7, "child".into()));
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn tg_01_a_failing_child_may_return_nothing_or_a_result() {
    everywhere(async || {
        TaskGroup::<&str>::scope(async |group| {
            group.create_task(async {});
            group.create_task(async { Ok(1) });
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn tg_02_the_value_of_the_body_comes_after_the_children() {
    everywhere(async || {
        let ended = Count::default();
        let value = TaskGroup::<()>::scope(async |group| {
            let ended = ended.clone();
            group.create_task(async move {
                passes(5).await;
                ended.add();
            });
            Ok("value")
        });
        assert_eq!(value.await.unwrap(), "value");
        assert_eq!(ended.get(), 1);
    });
}

#[test]
fn tg_03_a_group_without_running_children_does_not_suspend() {
    exact(async || {
        let empty = TaskGroup::<()>::scope(async |_| Ok(1));
        assert_eq!(empty.now_or_never().unwrap().unwrap(), 1);
        let task = create_task(async {
            current_task().unwrap().cancel();
            let ended = TaskGroup::<()>::scope(async |group| {
                group.create_task_with(TaskBuilder::new().eager_start(true), async {});
                Ok(1)
            })
            .await
            .unwrap();
            let later = catch_cancelled(yield_now()).await;
            (ended, later.is_err())
        });
        assert_eq!(task.await.unwrap(), (1, true), "leaving was no suspension: the request came after it");
    });
}

#[test]
fn tg_05_a_group_that_is_over_takes_no_children() {
    everywhere(async || {
        let kept = TaskGroup::<()>::scope(async |group| Ok(group)).await.unwrap();
        let dropped = Count::default();
        let (polled, guard) = (Count::default(), OnDrop(dropped.clone()));
        let told = polled.clone();
        let late = kept.create_task(async move {
            let _guard = guard;
            told.add();
        });
        assert!(late.done() && late.cancelled());
        assert_eq!((polled.get(), dropped.get()), (0, 1));
        let future = kept.try_create_task(async { "given back" }.map(|_| ())).unwrap_err().0;
        future.await;
    });
}

#[test]
fn tg_05_a_group_that_is_aborting_takes_no_children() {
    everywhere(async || {
        let polled = Count::default();
        let told = polled.clone();
        let result = TaskGroup::scope(async |group| {
            group.create_task(async { Err::<(), _>("first") });
            assert!(catch_cancelled(forever()).await.is_err());
            let late = group.create_task(async move { told.add() });
            assert!(late.cancelled());
            assert!(group.try_create_task(async {}).is_err());
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["first"]);
        assert_eq!(polled.get(), 0);
    });
}

#[test]
fn tg_06_children_may_add_children_while_the_parent_waits_at_the_exit() {
    fn add(group: TaskGroup<()>, left: usize, count: Count) {
        let inner = group.clone();
        group.create_task(async move {
            yield_now().await;
            count.add();
            if left > 0 {
                add(inner, left - 1, count);
            }
        });
    }
    everywhere(async || {
        let ended = Count::default();
        let started = ended.clone();
        TaskGroup::scope(async |group| {
            add(group, 99, started);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(ended.get(), 100);
    });
}

#[test]
fn tg_06_no_child_that_was_accepted_outlives_the_scope_under_load() {
    under_load(200, async |round| {
        let over = Arc::new(AtomicBool::new(false));
        let (promise, group) = Promise::new();
        let seen = Arc::clone(&over);
        // Somebody who is no child adds children while the group ends.
        let stranger = create_task(async move {
            let group: TaskGroup<()> = group.await.unwrap();
            let mut accepted = 0;
            for _ in 0..200 {
                let over = Arc::clone(&seen);
                let child = async move {
                    std::hint::spin_loop();
                    assert!(!over.load(SeqCst), "a child runs after the scope has returned");
                };
                match group.try_create_task(child) {
                    Ok(_child) => accepted += 1,
                    Err(_closed) => break,
                }
                if accepted % 3 == 0 {
                    yield_now().await;
                }
            }
        });
        let result = TaskGroup::scope(async |group| {
            group.create_task(passes(round % 4));
            promise.set_result(group).unwrap();
            Ok(())
        })
        .await;
        over.store(true, SeqCst);
        result.unwrap();
        stranger.await.unwrap();
    });
}

#[test]
fn tg_07_a_finished_child_is_let_go_of_at_once() {
    exact(async || {
        TaskGroup::<()>::scope(async |group| {
            for _ in 0..1000 {
                group.create_task(async {});
                yield_now().await;
            }
            let text = format!("{group:?}");
            assert!(text.contains("children: 0"), "{text}");
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn tg_08_a_child_that_is_cancelled_on_its_own_is_no_failure() {
    everywhere(async || {
        let result = TaskGroup::<()>::scope(async |group| {
            let cancelled = group.create_task(forever());
            group.create_task(async {
                current_task().unwrap().cancel();
                yield_now().await;
            });
            let sibling = group.create_task(async {
                passes(5).await;
                Ok(1)
            });
            cancelled.cancel();
            assert!(cancelled.await.unwrap_err().is_cancelled());
            Ok(sibling.await.unwrap())
        });
        assert_eq!(result.await.unwrap(), 1);
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_08_a_body_that_raises_a_cancellation_itself_cancels_the_children_and_it_leaves() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let task = create_task(async move {
            TaskGroup::scope(async |group| {
                let child = group.create_task(cleans_up(told, 3));
                while !child.done() {
                    yield_now().await;
                    runtime::CancelledError::new("own").reraise().await
                }
                Ok(())
            })
            .await
        });
        let asked = task.task_ref();
        assert_eq!(cancellation(task.await).message(), Some("own"));
        assert_eq!(asked.cancelling(), 0);
        // The child may not have started: then it was dropped unpolled.
        assert!(log.take().len() <= 1);
    });
}

// Failure.

#[test]
fn tg_09_a_failing_child_aborts_the_group_and_the_count_is_as_before() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let result = TaskGroup::scope(async |group| {
            let (go, wait) = signal();
            for _ in 0..3 {
                let (told, (sent, started)) = (told.clone(), signal());
                group.create_task(async move {
                    send(sent);
                    cleans_up(told, 2).await
                });
                received(started).await;
            }
            group.create_task(async {
                received(wait).await;
                Err::<(), _>("failed")
            });
            send(go);
            forever().await;
            told.add("not reached");
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["failed"]);
        assert_eq!(log.take(), ["1 None"; 3]);
        assert_eq!(count(), 0);
        yield_now().await;
    });
}

#[test]
fn tg_09_a_failure_while_the_parent_waits_at_the_exit() {
    everywhere(async || {
        let log = Log::default();
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            let told = log.clone();
            group.create_task(async move {
                send(sent);
                cleans_up(told, 2).await
            });
            group.create_task(async move {
                received(started).await;
                passes(3).await;
                Err::<(), _>("failed")
            });
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["failed"]);
        assert_eq!(log.take().len(), 1);
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_10_the_abort_happens_in_the_step_in_which_the_child_fails() {
    exact(async || {
        let log = Log::default();
        let result = TaskGroup::scope(async |group| {
            group.create_task(async { Err::<(), _>("failed") });
            let told = log.clone();
            // Queued before the failure, and not started: it never runs.
            group.create_task(async move { told.add("a step of the sibling") });
            forever().await;
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["failed"]);
        assert!(log.take().is_empty());
    });
}

#[test]
fn tg_11_a_body_that_swallows_the_abort_goes_on() {
    everywhere(async || {
        let mut went_on = false;
        let result = TaskGroup::scope(async |group| {
            group.create_task(async { Err::<(), _>("failed") });
            assert!(catch_cancelled(forever()).await.is_err());
            passes(5).await;
            went_on = true;
            Ok("lost")
        })
        .await;
        assert_eq!(errors(result), ["failed"]);
        assert!(went_on);
        assert_eq!(count(), 0);
        yield_now().await;
    });
}

#[test]
fn tg_12_an_error_of_the_body_in_answer_comes_last() {
    everywhere(async || {
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            group.create_task(async move {
                send(sent);
                assert!(catch_cancelled(forever()).await.is_err());
                passes(5).await;
                Err::<(), _>("child, late")
            });
            group.create_task(async move {
                received(started).await;
                passes(2).await;
                Err::<(), _>("child")
            });
            assert!(catch_cancelled(forever()).await.is_err());
            Err::<(), _>("body")
        })
        .await;
        assert_eq!(errors(result), ["child", "child, late", "body"]);
        assert_eq!(count(), 0);
        yield_now().await;
    });
}

#[test]
fn tg_13_an_error_of_the_body_cancels_the_children() {
    everywhere(async || {
        let log = Log::default();
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            let told = log.clone();
            group.create_task(async move {
                send(sent);
                cleans_up(told, 2).await
            });
            received(started).await;
            Err::<(), _>("body")
        })
        .await;
        assert_eq!(errors(result), ["body"]);
        assert_eq!(log.take(), ["1 None"]);
    });
    exact(async || {
        let started = Count::default();
        let told = started.clone();
        let result = TaskGroup::scope(async |group| {
            group.create_task(async move { told.add() });
            Err::<(), _>("body")
        })
        .await;
        assert_eq!((errors(result), started.get()), (vec!["body"], 0), "what had not started never runs");
    });
}

#[test]
fn tg_14_all_errors_are_in_the_group_in_the_order_of_completion() {
    exact(async || {
        let result = TaskGroup::scope(async |group| {
            for (steps, name) in [(5, "slow"), (1, "quick"), (3, "middle")] {
                group.create_task(async move {
                    assert!(catch_cancelled(forever()).await.is_err());
                    passes(steps).await;
                    Err::<(), _>(name)
                });
            }
            passes(2).await;
            group.create_task(async { Err::<(), _>("first") });
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["first", "quick", "middle", "slow"]);
    });
    everywhere(async || {
        let result = TaskGroup::scope(async |group| {
            for _ in 0..50 {
                let (sent, started) = signal();
                group.create_task(async move {
                    send(sent);
                    let _ = catch_cancelled(forever()).await;
                    Err::<(), _>("in the clean-up")
                });
                received(started).await;
            }
            Err::<(), _>("body")
        })
        .await;
        assert_eq!(errors(result).len(), 51);
    });
}

#[test]
fn tg_15_a_sibling_that_swallows_is_waited_for_and_never_asked_twice() {
    everywhere(async || {
        let asked = Count::default();
        let told = asked.clone();
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            let sibling = group.create_task(async move {
                send(sent);
                assert!(catch_cancelled(forever()).await.is_err());
                told.add();
                if catch_cancelled(passes(30)).await.is_err() {
                    told.add();
                }
                Ok(count())
            });
            received(started).await;
            for _ in 0..3 {
                group.create_task(async { Err::<(), _>("failed") });
            }
            assert!(catch_cancelled(forever()).await.is_err());
            assert_eq!(sibling.await.unwrap(), 1);
            Ok(())
        })
        .await;
        let errors = errors(result);
        assert!((1..=3).contains(&errors.len()));
        assert_eq!(asked.get(), 1);
    });
}

#[test]
fn tg_16_a_body_that_awaits_the_failing_child_sees_the_cancellation() {
    everywhere(async || {
        let result = TaskGroup::scope(async |group| {
            let child = group.create_task(async {
                passes(2).await;
                Err::<(), _>("failed")
            });
            let seen = catch_cancelled(child).await;
            assert!(seen.is_err(), "not the outcome of the child");
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["failed"]);
    });
}

#[test]
fn tg_17_a_sibling_that_awaits_the_failing_child_ends_cancelled_and_the_error_appears_once() {
    everywhere(async || {
        let result = TaskGroup::scope(async |group| {
            let failing = group.create_task(async {
                passes(3).await;
                Err::<(), _>("failed")
            });
            let sibling = group.create_task(async move {
                let seen = failing.await;
                Ok(seen.is_ok())
            });
            let outcome = catch_cancelled(forever()).await;
            assert!(outcome.is_err());
            drop(sibling);
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["failed"]);
    });
}

#[test]
fn tg_18_a_panicking_child_fails_the_group_like_an_error() {
    everywhere(async || {
        let log = Log::default();
        let result = TaskGroup::<&str>::scope(async |group| {
            let (sent, started) = signal();
            let told = log.clone();
            group.create_task(async move {
                send(sent);
                cleans_up(told, 3).await
            });
            received(started).await;
            group.create_task(async { panic!("of the child") });
            forever().await;
            Ok(())
        })
        .await;
        let group = result.unwrap_err();
        assert!(matches!(group.failures(), [Failure::Panicked(panic)] if panic.message() == Some("of the child")));
        assert_eq!(log.take().len(), 1, "all others have ended");
        assert_eq!(count(), 0);
        let again = create_task(async move { drop(group.resume_panic()) });
        assert!(again.await.unwrap_err().is_panicked());
    });
}

#[test]
fn tg_19_a_panicking_body_fails_the_group_after_the_children_have_ended() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let result = TaskGroup::<&str>::scope(async |group| {
            let (sent, started) = signal();
            group.create_task(async move {
                send(sent);
                cleans_up(told, 3).await
            });
            received(started).await;
            if log.take().is_empty() {
                panic!("of the body");
            }
            Ok(())
        })
        .await;
        assert!(
            matches!(result.unwrap_err().failures(), [Failure::Panicked(panic)] if panic.message() == Some("of the body"))
        );
        assert_eq!(log.take().len(), 1);
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_20_a_body_that_answers_the_abort_with_a_panic_leaves_the_count_right() {
    everywhere(async || {
        let result = TaskGroup::scope(async |group| {
            group.create_task(async { Err::<(), _>("failed") });
            if catch_cancelled(forever()).await.is_err() {
                panic!("answer");
            }
            Ok(())
        })
        .await;
        let failures = result.unwrap_err().into_failures();
        assert!(matches!(&failures[..], [Failure::Error("failed"), Failure::Panicked(_)]), "{failures:?}");
        assert_eq!(count(), 0);
        yield_now().await;
    });
}

#[test]
fn tg_21_a_panic_in_a_destructor_of_a_cancelled_child_fails_nobody_else() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            group.create_task(async move {
                let _bomb = Bomb;
                send(sent);
                forever().await;
            });
            received(started).await;
            let (sent, started) = signal();
            group.create_task(async move {
                send(sent);
                cleans_up(told, 2).await
            });
            received(started).await;
            Err::<(), _>("body")
        })
        .await;
        let failures = result.unwrap_err().into_failures();
        assert!(failures.iter().any(|failure| failure.error() == Some(&"body")), "{failures:?}");
        assert_eq!(log.take().len(), 1);
    });
}

// External cancellation.

#[test]
fn tg_23_a_request_from_outside_goes_to_the_children_and_on_after_they_have_ended() {
    everywhere(async || {
        for in_body in [true, false] {
            for swallow in [true, false] {
                let log = Log::default();
                let told = log.clone();
                let (promise, started) = signal();
                let task = create_task(async move {
                    TaskGroup::<&str>::scope(async |group| {
                        for _ in 0..3 {
                            let (told, (sent, started)) = (told.clone(), signal());
                            group.create_task(async move {
                                send(sent);
                                let error = catch_cancelled(forever()).await.unwrap_err();
                                passes(3).await;
                                told.add(format!("{} {:?}", count(), error.message()));
                                if !swallow {
                                    let_go(error).await
                                }
                            });
                            received(started).await;
                        }
                        send(promise);
                        if in_body {
                            forever().await;
                        }
                        Ok(())
                    })
                    .await
                });
                received(started).await;
                passes(2).await;
                task.cancel_with("outside");
                let asked = task.task_ref();
                assert_eq!(cancellation(task.await).message(), Some("outside"));
                assert_eq!(log.take(), ["1 Some(\"outside\")"; 3]);
                assert_eq!(asked.cancelling(), 1);
            }
        }
    });
}

#[test]
fn tg_24_errors_win_over_the_request_and_the_next_await_is_cancelled() {
    everywhere(async || {
        for of_body in [true, false] {
            let (promise, started) = signal();
            let task = create_task(async move {
                let result = TaskGroup::scope(async |group| {
                    if of_body {
                        send(promise);
                        assert!(catch_cancelled(forever()).await.is_err());
                        return Err("in the clean-up");
                    }
                    group.create_task(async {
                        send(promise);
                        assert!(catch_cancelled(forever()).await.is_err());
                        Err::<(), _>("in the clean-up")
                    });
                    forever().await;
                    Ok(())
                })
                .await;
                assert_eq!(errors(result), ["in the clean-up"]);
                assert_eq!(count(), 1);
                let next = catch_cancelled(yield_now()).await;
                assert_eq!(count(), 1);
                let after = catch_cancelled(passes(3)).await;
                (next.is_err(), after.is_ok())
            });
            received(started).await;
            passes(2).await;
            task.cancel();
            assert_eq!(task.await.unwrap(), (true, true));
        }
    });
}

#[test]
#[ignore = "the redelivered request replaces the value of a task that returns without another await (C-13)"]
fn tg_24_a_task_that_returns_the_errors_without_another_await_ends_with_them() {
    everywhere(async || {
        let (promise, started) = signal();
        let task = create_task(async move {
            TaskGroup::scope(async |group| {
                group.create_task(async {
                    send(promise);
                    assert!(catch_cancelled(forever()).await.is_err());
                    Err::<(), _>("in the clean-up")
                });
                Ok(())
            })
            .await
        });
        received(started).await;
        passes(3).await;
        task.cancel();
        let asked = task.task_ref();
        assert_eq!(errors(task.await.expect("the errors are not lost")), ["in the clean-up"]);
        assert_eq!(asked.cancelling(), 1);
    });
}

#[test]
fn tg_25_a_second_request_while_waiting_does_not_ask_the_children_again() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let (promise, started) = signal();
        let (cleaning, cleans) = signal();
        let (go, wait) = signal();
        let task = create_task(async move {
            TaskGroup::<()>::scope(async |group| {
                group.create_task(async move {
                    send(promise);
                    let error = catch_cancelled(forever()).await.unwrap_err();
                    send(cleaning);
                    let again = catch_cancelled(received(wait)).await.is_err();
                    told.add(format!("{} {again}", count()));
                    let_go(error).await
                });
                Ok(())
            })
            .await
        });
        received(started).await;
        passes(3).await;
        task.cancel_with("first");
        received(cleans).await;
        task.cancel_with("second");
        passes(3).await;
        send(go);
        let asked = task.task_ref();
        assert_eq!(cancellation(task.await).message(), Some("first"));
        assert_eq!(log.take(), ["1 false"]);
        assert_eq!(asked.cancelling(), 2);
    });
}

#[test]
fn tg_26_a_request_after_the_abort_is_not_lost() {
    everywhere(async || {
        let (aborted, aborting) = signal();
        let (go, wait) = signal();
        let task = create_task(async move {
            let result = TaskGroup::scope(async |group| {
                let (sent, started) = signal();
                group.create_task(async move {
                    send(sent);
                    assert!(catch_cancelled(forever()).await.is_err());
                    send(aborted);
                    received(wait).await;
                });
                received(started).await;
                group.create_task(async { Err::<(), _>("failed") });
                forever().await;
                Ok(())
            })
            .await;
            assert_eq!(errors(result), ["failed"]);
            assert_eq!(count(), 1);
            let next = catch_cancelled(yield_now()).await;
            assert_eq!(count(), 1);
            next.is_err()
        });
        received(aborting).await;
        task.cancel_with("outside");
        passes(3).await;
        send(go);
        assert!(task.await.unwrap());
    });
    // In the same pass, either order.
    exact(async || {
        for request_first in [true, false] {
            let task = begun(async move {
                let me = current_task().unwrap();
                let result = TaskGroup::scope(async |group| {
                    group.create_task(async move {
                        passes(2).await;
                        if request_first {
                            me.cancel();
                            Err::<(), _>("failed")
                        } else {
                            Handle::current().call_soon(move || assert!(me.cancel()));
                            Err("failed")
                        }
                    });
                    forever().await;
                    Ok(())
                })
                .await;
                assert_eq!(errors(result), ["failed"]);
                assert_eq!(count(), 1);
                catch_cancelled(yield_now()).await.is_err()
            })
            .await;
            assert!(task.await.unwrap());
        }
    });
}

#[test]
fn tg_26_neither_the_error_nor_the_request_is_lost_under_load() {
    under_load(300, async |round| {
        let task = begun(async move {
            let result = TaskGroup::scope(async |group| {
                group.create_task(async move {
                    passes(round % 5).await;
                    Err::<(), _>("failed")
                });
                Ok(forever().await)
            });
            match catch_cancelled(result).await {
                Ok(result) => {
                    assert_eq!(errors(result), ["failed"]);
                    catch_cancelled(forever()).await.unwrap_err();
                }
                Err(_before_the_failure) => {}
            }
        })
        .await;
        passes(round % 6).await;
        assert!(task.cancel());
        task.await.unwrap();
    });
}

#[test]
fn tg_27_a_request_when_all_children_have_ended_but_the_parent_has_not_resumed_wins() {
    exact(async || {
        let (promise, child) = Promise::new();
        let task = begun(async move {
            TaskGroup::<()>::scope(async |group| {
                let child = group.create_task(async {
                    passes(3).await;
                    Ok(5)
                });
                promise.set_result(child.into_task()).unwrap();
                Ok(())
            })
            .await
        })
        .await;
        let mut child = child.await.unwrap();
        while !child.done() {
            yield_now().await;
        }
        assert!(!task.done());
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(child.result().unwrap().unwrap(), 5);
    });
}

#[test]
fn tg_28_a_request_pending_at_entry() {
    exact(async || {
        let log = Log::default();
        let told = log.clone();
        let task = create_task(async move {
            current_task().unwrap().cancel_with("before");
            TaskGroup::<()>::scope(async |group| {
                group.create_task(async move {
                    told.add("first step");
                    forever().await;
                    told.add("second step");
                });
                Ok(())
            })
            .await
        });
        assert_eq!(cancellation(task.await).message(), Some("before"));
        assert_eq!(log.take(), ["first step"]);
    });
    everywhere(async || {
        let task = create_task(async {
            current_task().unwrap().cancel();
            let passed = TaskGroup::<()>::scope(async |_| Ok(1)).await.unwrap();
            (passed, catch_cancelled(yield_now()).await.is_err())
        });
        assert_eq!(task.await.unwrap(), (1, true));
    });
}

#[test]
fn tg_29_a_count_from_before_does_not_come_back_to_life() {
    everywhere(async || {
        let task = create_task(async {
            current_task().unwrap().cancel();
            assert!(catch_cancelled(forever()).await.is_err());
            let result = TaskGroup::scope(async |group| {
                group.create_task(async { Err::<(), _>("failed") });
                forever().await;
                Ok(())
            })
            .await;
            assert_eq!((errors(result), count()), (vec!["failed"], 1));
            assert!(catch_cancelled(passes(3)).await.is_ok());
            let result = TaskGroup::<()>::scope(async |group| {
                group.cancel();
                forever().await;
                Ok(())
            })
            .await;
            assert!(result.unwrap_err().is_empty());
            assert!(catch_cancelled(passes(3)).await.is_ok());
        });
        task.await.unwrap();
    });
}

// Nesting.

#[derive(Debug)]
enum Nested {
    Leaf(&'static str),
    Group(ExceptionGroup<&'static str>),
}

#[test]
fn tg_30_a_failure_of_an_inner_group_is_a_group_in_a_group() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let result = TaskGroup::<Nested>::scope(async |outer| {
            let (sent, started) = signal();
            outer.create_task(async move {
                send(sent);
                let error = catch_cancelled(forever()).await.unwrap_err();
                told.add("sibling");
                let_go(error).await
            });
            received(started).await;
            let inner = TaskGroup::scope(async |inner| {
                inner.create_task(async { Err::<(), _>("inner") });
                forever().await;
                Ok(())
            });
            inner.await.map_err(Nested::Group)
        })
        .await;
        let failures = result.unwrap_err().into_failures();
        let [Failure::Error(Nested::Group(inner))] = &failures[..] else { panic!("{failures:?}") };
        assert_eq!(inner.errors().collect::<Vec<_>>(), [&"inner"]);
        assert_eq!(log.take(), ["sibling"]);
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_31_a_failure_of_the_outer_group_passes_the_inner_one() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let result = TaskGroup::<Nested>::scope(async |outer| {
            let _: Result<(), _> = TaskGroup::<&str>::scope(async |inner| {
                let (sent, started) = signal();
                let told = told.clone();
                inner.create_task(async move {
                    send(sent);
                    cleans_up(told, 3).await
                });
                received(started).await;
                outer.create_task(async { Err::<(), _>(Nested::Leaf("outer")) });
                forever().await;
                Ok(())
            })
            .await;
            told.add("between");
            Ok(())
        })
        .await;
        let failures = result.unwrap_err().into_failures();
        assert!(matches!(&failures[..], [Failure::Error(Nested::Leaf("outer"))]), "{failures:?}");
        assert_eq!(log.take().len(), 1);
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_32_both_groups_fail_in_one_pass_and_neither_failure_is_lost() {
    exact(async || {
        let result = TaskGroup::scope(async |outer| {
            let inner = TaskGroup::scope(async |inner| {
                for group in [&inner, &outer] {
                    group.create_task(async {
                        passes(1).await;
                        Err::<(), _>("failed")
                    });
                }
                forever().await;
                Ok(())
            })
            .await;
            assert_eq!(errors(inner), ["failed"]);
            assert_eq!(count(), 1);
            assert!(catch_cancelled(yield_now()).await.is_err(), "the next await is cancelled");
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["failed"]);
        assert_eq!(count(), 0);
        yield_now().await;
    });
}

// TaskGroup::cancel.

#[test]
fn tg_33_cancel_ends_the_group_without_a_failure() {
    everywhere(async || {
        for from in ["body", "child", "outside", "end of body"] {
            let log = Log::default();
            let told = log.clone();
            let (promise, group) = Promise::new();
            let (sent, started) = signal();
            let task = create_task(async move {
                let result = TaskGroup::<&str>::scope(async |group| {
                    let (sent_up, started) = signal();
                    group.create_task(async move {
                        send(sent_up);
                        cleans_up(told, 3).await
                    });
                    received(started).await;
                    promise.set_result(group.clone()).unwrap();
                    match from {
                        "child" => {
                            let inner = group.clone();
                            group.create_task(async move { inner.cancel() });
                        }
                        "body" | "end of body" => group.cancel(),
                        _ => send(sent),
                    }
                    if from != "end of body" {
                        forever().await;
                    }
                    Ok("value")
                })
                .await;
                assert_eq!(count(), 0);
                yield_now().await;
                result
            });
            if from == "outside" {
                received(started).await;
                passes(2).await;
                group.await.unwrap().cancel();
            }
            let result = task.await.unwrap();
            match from {
                "end of body" => assert_eq!(result.unwrap(), "value"),
                _ => assert!(result.unwrap_err().is_empty()),
            }
            assert_eq!(log.take(), ["1 None"]);
        }
    });
}

#[test]
fn tg_34_cancel_before_anything_after_the_end_and_twice() {
    everywhere(async || {
        let mut suspended = true;
        let result = TaskGroup::<()>::scope(async |group| {
            group.cancel();
            group.cancel();
            assert!(group.create_task(async {}).cancelled());
            yield_now().await;
            suspended = false;
            Ok(())
        })
        .await;
        assert!(result.unwrap_err().is_empty() && suspended);
        let group = TaskGroup::<()>::scope(async |group| Ok(group)).await.unwrap();
        group.cancel();
        yield_now().await;
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_35_failures_after_cancel_are_given_and_a_body_that_swallows_goes_on() {
    everywhere(async || {
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            group.create_task(async move {
                send(sent);
                assert!(catch_cancelled(forever()).await.is_err());
                Err::<(), _>("child")
            });
            received(started).await;
            group.cancel();
            assert!(catch_cancelled(forever()).await.is_err());
            Err::<(), _>("body")
        })
        .await;
        assert_eq!(errors(result), ["child", "body"]);
        let result = TaskGroup::<()>::scope(async |group| {
            group.cancel();
            assert!(catch_cancelled(forever()).await.is_err());
            passes(3).await;
            Ok("went on")
        });
        assert_eq!(result.await.unwrap(), "went on");
    });
}

#[test]
fn tg_36_cancelling_the_outer_group_passes_the_inner_one() {
    everywhere(async || {
        let mut between = false;
        let result = TaskGroup::<()>::scope(async |outer| {
            let _: Result<(), _> = TaskGroup::<()>::scope(async |_inner| {
                outer.cancel();
                forever().await;
                Ok(())
            })
            .await;
            between = true;
            Ok(())
        })
        .await;
        assert!(result.unwrap_err().is_empty() && !between);
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_37_a_request_or_a_timeout_while_a_cancelled_group_waits_comes_out() {
    everywhere(async || {
        let (cleaning, cleans) = signal();
        let (go, wait) = signal();
        let task = create_task(async move {
            TaskGroup::<()>::scope(async |group| {
                let (sent, started) = signal();
                group.create_task(async move {
                    send(sent);
                    assert!(catch_cancelled(forever()).await.is_err());
                    send(cleaning);
                    received(wait).await;
                });
                received(started).await;
                group.cancel();
                Ok(())
            })
            .await
        });
        received(cleans).await;
        passes(3).await;
        task.cancel_with("outside");
        passes(3).await;
        send(go);
        assert_eq!(cancellation(task.await).message(), Some("outside"));
    });
    exact(async || {
        for at_exit in [true, false] {
            let start = Handle::current().time();
            let group = TaskGroup::<()>::scope(async |group| {
                group.create_task(async {
                    assert!(catch_cancelled(forever()).await.is_err());
                    sleep(ms(100)).await;
                });
                yield_now().await;
                group.cancel();
                if !at_exit {
                    forever().await;
                }
                Ok(())
            });
            assert!(timeout(ms(10), group).await.is_err(), "the timeout is not swallowed");
            assert_eq!(Handle::current().time() - start, ms(100));
            assert_eq!(count(), 0);
        }
    });
}

#[test]
fn tg_38_an_eager_child_that_cancels_the_group_is_cancelled_itself() {
    everywhere(async || {
        let result = TaskGroup::<()>::scope(async |group| {
            let inner = group.clone();
            let child = group.create_task_with(TaskBuilder::new().eager_start(true), async move {
                inner.cancel();
                forever().await;
            });
            forever().await;
            drop(child);
            Ok(())
        })
        .await;
        assert!(result.unwrap_err().is_empty());
    });
}

// What must hold at size, and under load.

/// Children that count themselves when they have started, and when they have cleaned up.
fn add_children(group: &TaskGroup<&'static str>, children: usize, started: &Count, cleaned_up: &Count) {
    for _ in 0..children {
        let (started, cleaned_up) = (started.clone(), cleaned_up.clone());
        group.create_task(async move {
            started.add();
            let error = catch_cancelled(forever()).await.unwrap_err();
            yield_now().await;
            cleaned_up.add();
            let_go(error).await
        });
    }
}

#[test]
fn tg_09_of_ten_thousand_children_one_fails_and_all_others_are_cleaned_up_before_the_scope_returns() {
    everywhere(async || {
        let (started, cleaned_up) = (Count::default(), Count::default());
        let result = TaskGroup::scope(async |group| {
            add_children(&group, 9_999, &started, &cleaned_up);
            while started.get() < 9_999 {
                yield_now().await;
            }
            group.create_task(async { Err::<(), _>("the one") });
            forever().await;
            Ok(())
        })
        .await;
        assert_eq!(cleaned_up.get(), 9_999);
        assert_eq!(errors(result), ["the one"]);
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_23_a_group_cancelled_from_outside_in_the_middle_a_thousand_times() {
    under_load(500, async |round| {
        let (started, cleaned_up) = (Count::default(), Count::default());
        let (inner_started, inner_cleaned_up) = (started.clone(), cleaned_up.clone());
        let task = begun(async move {
            TaskGroup::<&'static str>::scope(async |group| {
                add_children(&group, 20, &inner_started, &inner_cleaned_up);
                if round % 2 == 0 {
                    forever().await;
                }
                Ok(())
            })
            .await
        })
        .await;
        passes(round % 8).await;
        assert!(task.cancel(), "the children never end by themselves");
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(started.get(), cleaned_up.get());
    });
}

#[test]
fn tg_23_ten_thousand_children_cancelled_from_outside_in_the_middle() {
    everywhere(async || {
        let (started, cleaned_up) = (Count::default(), Count::default());
        let (inner_started, inner_cleaned_up) = (started.clone(), cleaned_up.clone());
        let task = begun(async move {
            TaskGroup::<&'static str>::scope(async |group| {
                add_children(&group, 10_000, &inner_started, &inner_cleaned_up);
                Ok(())
            })
            .await
        })
        .await;
        passes(2).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(started.get(), cleaned_up.get());
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn rule_10_a_dropped_group_cancels_its_children_which_end_on_their_own() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let (sent, started) = signal();
        let group = TaskGroup::scope(async |group| {
            group.create_task(async move {
                send(sent);
                cleans_up(told, 3).await
            });
            forever().await;
            Ok(())
        });
        futures::select_biased! {
            _ = group.fuse() => unreachable!(),
            () = received(started).fuse() => {}
        }
        while all_tasks().len() > 1 {
            yield_now().await;
        }
        assert_eq!(log.take(), ["1 None"]);
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_30_groups_in_groups_ten_thousand_deep_are_cancelled_from_outside() {
    fn nested(depth: usize, deepest: Promise<()>) -> futures::future::BoxFuture<'static, Result<(), ()>> {
        Box::pin(async move {
            let result = TaskGroup::<()>::scope(async |group| {
                if depth == 0 {
                    send(deepest);
                    forever().await;
                } else {
                    group.create_task(nested(depth - 1, deepest));
                }
                Ok(())
            })
            .await;
            result.map_err(drop)
        })
    }
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        runner
            .run(async {
                let (sent, started) = signal();
                let task = create_task(nested(10_000, sent));
                received(started).await;
                task.cancel();
                assert!(task.await.unwrap_err().is_cancelled());
                assert_eq!(all_tasks().len(), 1);
            })
            .unwrap();
    }
}

#[test]
fn rule_9_groups_in_branches_of_a_join_do_not_touch_each_other() {
    everywhere(async || {
        let failing = TaskGroup::scope(async |group| {
            group.create_task(async {
                passes(2).await;
                Err::<(), _>("failed")
            });
            forever().await;
            Ok(())
        });
        let other = TaskGroup::<&str>::scope(async |group| {
            let child = group.create_task(async {
                passes(20).await;
                Ok(count())
            });
            passes(10).await;
            Ok(child.await.unwrap())
        });
        let (failed, value) = futures::join!(failing, other);
        assert_eq!(errors(failed), ["failed"]);
        assert_eq!(value.unwrap(), 0);
    });
}

#[test]
fn tg_09_the_deadline_of_a_child_is_not_the_group_s() {
    exact(async || {
        let result = TaskGroup::<&str>::scope(async |group| {
            let child = group.create_task(async { Ok(timeout(ms(5), forever()).await.is_err()) });
            sleep(Duration::from_secs(1)).await;
            Ok(child.await.unwrap())
        });
        assert!(result.await.unwrap());
    });
}

struct PanicsInDrop(&'static str);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn tg_14_a_panic_in_the_destructor_of_a_child_is_a_failure_of_the_group() {
    everywhere(async || {
        let (polled, has_been_polled) = signal();
        let result = TaskGroup::<&str>::scope(async |group| {
            group.create_task(async move {
                let _dropped_by_the_request = PanicsInDrop("destructor");
                send(polled);
                forever().await;
            });
            received(has_been_polled).await;
            Err::<(), _>("body")
        });
        let mut failures = Vec::new();
        for failure in result.await.unwrap_err().into_failures() {
            failures.push(match failure {
                Failure::Error(error) => error.to_owned(),
                Failure::Panicked(panic) => panic.message().unwrap().to_owned(),
            });
        }
        assert_eq!(failures, ["destructor", "body"]);
    });
}

#[test]
fn rule_11_a_panic_of_a_child_whose_group_was_dropped_is_reported() {
    everywhere(async || {
        let (reported, report) = Promise::new();
        let reported = std::sync::Mutex::new(Some(reported));
        Handle::current().set_exception_handler(Some(move |context: &runtime::ExceptionContext| {
            if let Some(reported) = reported.lock().unwrap().take() {
                let _ = reported.set_result(context.to_string());
            }
        }));
        let (polled, has_been_polled) = signal();
        let mut group = Box::pin(TaskGroup::<&str>::scope(async |group| {
            group.create_task(async move {
                send(polled);
                let _ = catch_cancelled(forever()).await;
                panic!("while cleaning up");
            });
            forever().await;
            Ok(())
        }));
        assert!(futures::poll!(&mut group).is_pending());
        received(has_been_polled).await;
        drop(group);
        let report = report.await.unwrap();
        assert!(report.contains("while cleaning up"), "{report}");
        Handle::current().set_exception_handler(None::<fn(&runtime::ExceptionContext)>);
    });
}
