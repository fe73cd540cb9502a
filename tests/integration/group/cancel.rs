//! Rows TG-33 to TG-38: `TaskGroup::cancel`.

use super::*;
use crate::support::workers;

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

#[test]
fn tg_38_an_eager_child_that_cancels_the_group_and_is_awaited_by_the_body_is_cancelled_once() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let result = TaskGroup::<&str>::scope(async |group| {
            let inner = group.clone();
            let child = group.create_task_with(TaskBuilder::new().eager_start(true), async move {
                inner.cancel();
                let error = catch_cancelled(forever()).await.unwrap_err();
                // Meanwhile the body passes it on.
                passes(20).await;
                told.add(format!("{} {:?}", count(), error.message()));
                let_go(error).await
            });
            Ok(child.await.is_ok())
        })
        .await;
        // On another worker the child may have ended before the body looks.
        assert!(result.map_or_else(|errors| errors.is_empty(), |was_ok| !was_ok));
        assert_eq!(
            log.take(),
            ["1 None"],
            "it was passed on by the body as well, and neither counted nor interrupted the clean-up"
        );
    });
}

#[test]
fn tg_38_a_child_is_known_to_its_group_before_its_first_step() {
    // Another worker may take it over after that step, before its creator has got the handle.
    for eager in [true, false] {
        workers(async || {
            for _ in 0..2000 {
                let result = TaskGroup::<()>::scope(async |group| {
                    let inner = group.clone();
                    let cancels_its_group = async move {
                        inner.cancel();
                        yield_now().await;
                        panic!("it went on");
                    };
                    group.create_task_with(TaskBuilder::new().eager_start(eager), cancels_its_group);
                    Ok(())
                });
                assert!(result.await.is_ok());
            }
        });
    }
}
