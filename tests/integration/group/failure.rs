//! Rows TG-09 to TG-22: a child or the body fails.

use super::*;

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
            add_cleaning_child(&group, &log, 2).await;
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
            let (go, wait) = signal();
            let child = group.create_task(async {
                received(wait).await;
                Err::<(), _>("failed")
            });
            // It fails when it is awaited already, but not before.
            let seen = catch_cancelled(futures::future::join(child, forever_from(go))).await;
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
            add_cleaning_child(&group, &log, 3).await;
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
        let result = TaskGroup::<&str>::scope(async |group| {
            add_cleaning_child(&group, &log, 3).await;
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
fn tg_19_a_body_that_panics_before_it_gives_its_future_fails_the_group_too() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let result: Result<(), _> = TaskGroup::<&str>::scope(move |group| {
            let child = TaskBuilder::new().eager_start(true);
            group.create_task_with(child, cleans_up(told, 3));
            if count() == 0 {
                panic!("at once");
            }
            async { Ok(()) }
        })
        .await;
        assert!(matches!(result.unwrap_err().failures(), [Failure::Panicked(_)]));
        assert_eq!(log.take().len(), 1, "the child has ended");
        assert_eq!(count(), 0);
    });
}

#[test]
fn tg_19_a_panic_in_a_destructor_of_the_cancelled_body_is_a_failure_of_the_group() {
    everywhere(async || {
        for from_outside in [false, true] {
            let log = Log::default();
            let told = log.clone();
            let (sent, started) = signal();
            let task = create_task(async move {
                let result = TaskGroup::scope(async |group| {
                    add_cleaning_child(&group, &told, 3).await;
                    if !from_outside {
                        group.create_task(async { Err::<(), _>("failed") });
                    }
                    let _bomb = PanicsInDrop("in the body");
                    send(sent);
                    forever().await;
                    Ok(())
                })
                .await;
                (
                    result.unwrap_err().into_failures().len(),
                    told.take().len(),
                    catch_cancelled(yield_now()).await.is_err(),
                )
            });
            received(started).await;
            if from_outside {
                task.cancel();
            }
            let failures = if from_outside { 1 } else { 2 };
            assert_eq!(task.await.unwrap(), (failures, 1, from_outside));
        }
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
    everywhere(async || {
        let log = Log::default();
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            group.create_task(async move {
                let _bomb = PanicsInDrop("in a destructor");
                send(sent);
                forever().await;
            });
            received(started).await;
            add_cleaning_child(&group, &log, 2).await;
            Err::<(), _>("body")
        })
        .await;
        let failures = result.unwrap_err().into_failures();
        assert!(failures.iter().any(|failure| failure.error() == Some(&"body")), "{failures:?}");
        assert_eq!(log.take().len(), 1);
    });
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
