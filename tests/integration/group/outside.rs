//! Rows TG-23 to TG-29: requests from outside.

use super::*;

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
fn tg_23_groups_in_branches_of_a_join_are_waited_for_whichever_ends_first() {
    everywhere(async || {
        for in_body in [true, false] {
            let log = Log::default();
            let told = log.clone();
            let (promise, started) = signal();
            let task = create_task(async move {
                let there = Count::default();
                let group = async |steps| {
                    TaskGroup::<&str>::scope(async |group| {
                        add_cleaning_child(&group, &told, steps).await;
                        there.add();
                        if in_body {
                            forever().await;
                        }
                        Ok(())
                    })
                    .await
                };
                // Polled after both.
                let ready = async {
                    while there.get() < 2 {
                        yield_now().await;
                    }
                    send(promise);
                };
                futures::join!(group(2), group(20), ready)
            });
            received(started).await;
            task.cancel_with("outside");
            assert_eq!(cancellation(task.await).message(), Some("outside"));
            assert_eq!(
                log.take(),
                ["1 Some(\"outside\")"; 2],
                "the first group's cancellation has waited for the second"
            );
        }
    });
}

#[test]
fn tg_24_a_group_that_answers_with_an_error_is_waited_for_in_a_join() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let (promise, started) = signal();
        let task = create_task(async move {
            let there = Count::default();
            let answers = TaskGroup::scope(async |group| {
                add_cleaning_child(&group, &told, 30).await;
                let (sent, started) = signal();
                let child = group.create_task(async move {
                    send(sent);
                    drop(catch_cancelled(forever()).await);
                    Err::<(), _>("answer")
                });
                received(started).await;
                there.add();
                drop(child.await);
                Ok(())
            });
            let lets_go = TaskGroup::scope(async |group| {
                add_cleaning_child(&group, &told, 10).await;
                there.add();
                Ok(())
            });
            // Polled after both.
            let ready = async {
                while there.get() < 2 {
                    yield_now().await;
                }
                send(promise);
            };
            futures::join!(answers, lets_go, ready)
        });
        received(started).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.take().len(), 2);
    });
}

#[test]
fn tg_24_what_is_made_pending_again_interrupts_nothing_in_another_branch() {
    everywhere(async || {
        for goes_on in [true, false] {
            let log = Log::default();
            let told = log.clone();
            let (promise, started) = signal();
            let task = create_task(async move {
                let awaited = begun(cleans_up(told, 30)).await;
                let answers = async {
                    let body = async |_| {
                        drop(catch_cancelled(forever()).await);
                        Err::<(), _>("answer")
                    };
                    assert_eq!(errors(TaskGroup::scope(body).await), ["answer"]);
                    if goes_on {
                        forever().await;
                    }
                };
                let ready = async {
                    passes(3).await;
                    send(promise);
                };
                futures::join!(answers, awaited, ready)
            });
            received(started).await;
            passes(3).await;
            task.cancel_with("once");
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(log.take(), ["1 Some(\"once\")"], "the awaited task has cleaned up, and was waited for");
        }
    });
}

/// Adds up how many of the tasks that it was to outlive it has not outlived.
struct Outlives {
    started: Count,
    ended: Count,
    early: Count,
}

impl Drop for Outlives {
    fn drop(&mut self) {
        for _ in self.ended.get()..self.started.get() {
            self.early.add();
        }
    }
}

#[test]
fn tg_24_what_is_made_pending_again_drops_no_body_that_waits_in_another_branch() {
    everywhere(async || {
        // The request comes in every pass while one group ends by itself, the one in which it is just over among them.
        for wait in 0..12 {
            let (started, ended, early) = (Count::default(), Count::default(), Count::default());
            let outlives = Outlives { started: started.clone(), ended: ended.clone(), early: early.clone() };
            let task = create_task(async move {
                let fails = async {
                    let body = async |group: TaskGroup<&'static str>| {
                        group.create_task(cleans_up(Log::default(), 1));
                        passes(5).await;
                        Err::<(), _>("by itself")
                    };
                    assert_eq!(errors(TaskGroup::scope(body).await), ["by itself"]);
                };
                let waits = async {
                    let body = async |_| {
                        let _outlives = outlives;
                        let awaited = create_task(async move {
                            started.add();
                            let _ended = OnDrop(ended);
                            cleans_up(Log::default(), 3).await
                        });
                        let _outcome = awaited.await;
                        Ok::<_, &str>(())
                    };
                    TaskGroup::scope(body).await
                };
                futures::join!(fails, waits)
            });
            passes(wait).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(early.get(), 0, "asked after {wait} passes");
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
