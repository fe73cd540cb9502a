//! The twenty things that implementations of this model most often get wrong, each tried again from scratch: on one worker, in random
//! orders, and on two and eight workers.
#![allow(
    clippy::redundant_async_block,
    reason = "a future around a task is not the task: that is what these tests are about"
)]

use crate::support::*;
use runtime::{
    ExceptionGroup, Failure, ReturnWhen, TaskBuilder, TaskGroup, all_tasks, as_completed, catch_cancelled, create_task,
    current_task, gather, shield, sleep, timeout, timeout_at, to_thread, try_gather, wait, yield_now,
};
use std::time::Duration;

fn count() -> u32 {
    current_task().unwrap().cancelling()
}

fn errors<T: std::fmt::Debug>(result: Result<T, ExceptionGroup<&'static str>>) -> Vec<&'static str> {
    result.expect_err("the group fails").into_errors().collect()
}

#[test]
fn wrong_01_a_request_beside_a_completion_is_not_lost() {
    under_load(100, async |round| {
        let (go, ready) = signal();
        let task = begun(async move { drop(timeout(Duration::from_secs(3600), ready).await) }).await;
        let same = task.task_ref();
        let canceller = create_task(async move {
            passes(round % 3).await;
            same.cancel()
        });
        passes(round % 2).await;
        let in_time = go.set_result(()).is_ok();
        let accepted = canceller.await.unwrap();
        let outcome = task.await;
        assert!(accepted || in_time);
        // Accepted means that it is seen: nothing in this task swallows it.
        assert_eq!(outcome.is_err(), accepted);
    });
}

#[test]
fn wrong_02_each_scope_takes_its_own_request_only() {
    everywhere(async || {
        let task = begun(async {
            let inner = timeout(ms(1), async {
                let _ = catch_cancelled(forever()).await;
                forever().await;
            });
            let _ = inner.await;
            unreachable!("the request from outside is not the timeout's");
        })
        .await;
        task.cancel_with("outside");
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn wrong_03_a_request_from_outside_survives_the_failure_of_an_inner_group() {
    everywhere(async || {
        let (there, reached) = signal();
        let task = create_task(async {
            let outer = TaskGroup::scope(async |_outer| {
                let inner = TaskGroup::scope(async |group| {
                    group.create_task(async {
                        let _ = catch_cancelled(forever_from(there)).await;
                        Err::<(), _>("inner")
                    });
                    forever().await;
                    Ok(())
                });
                assert_eq!(errors(inner.await), ["inner"]);
                forever().await;
                Ok::<_, &str>(())
            });
            drop(outer.await);
            unreachable!("it goes on outwards");
        });
        received(reached).await;
        task.cancel();
        let outcome = task.await;
        assert!(outcome.unwrap_err().is_cancelled());
    });
}

#[test]
fn wrong_04_a_group_takes_its_request_back_on_every_way_out() {
    everywhere(async || {
        for way in 0..4 {
            let result = TaskGroup::scope(async |group| {
                group.create_task(async { Err::<(), _>("child") });
                let caught = catch_cancelled(forever()).await;
                assert!(caught.is_err());
                match way {
                    0 => Ok(()),
                    1 => Err("body"),
                    2 => panic!("body"),
                    _ => caught.unwrap_err().reraise().await,
                }
            })
            .await;
            assert!(matches!(result.unwrap_err().failures()[0], Failure::Error("child")));
            assert_eq!(count(), 0, "way {way}");
            yield_now().await;
        }
    });
}

#[test]
fn wrong_05_errors_during_clean_up_are_not_hidden_by_the_cancellation() {
    everywhere(async || {
        let (there, reached) = signal();
        let task = create_task(async {
            let result = TaskGroup::scope(async |group| {
                for error in ["one", "two", "three"] {
                    let (sent, started) = signal();
                    group.create_task(async move {
                        send(sent);
                        let _ = catch_cancelled(forever()).await;
                        Err::<(), _>(error)
                    });
                    received(started).await;
                }
                let _ = catch_cancelled(forever_from(there)).await;
                Err::<(), _>("body")
            })
            .await;
            let mut errors = errors(result);
            errors.sort_unstable();
            errors
        });
        received(reached).await;
        task.cancel();
        assert_eq!(task.await.unwrap(), ["body", "one", "three", "two"]);
    });
}

#[test]
fn wrong_06_the_end_of_a_group_swallows_no_timeout() {
    everywhere(async || {
        let body = TaskGroup::run(async |group| {
            group.create_task(async {
                let error = catch_cancelled(forever()).await.unwrap_err();
                sleep(ms(5)).await;
                let_go(error).await
            });
            yield_now().await;
            group.cancel();
        });
        let result = timeout(ms(2), async {
            drop(body.await);
            forever().await;
        });
        assert!(result.await.is_err());
        assert_eq!(count(), 0);
    });
}

#[test]
fn wrong_07_an_eager_child_that_fails_or_cancels_is_registered_before_it_runs() {
    everywhere(async || {
        let eager = || TaskBuilder::new().eager_start(true);
        let result = TaskGroup::scope(async |group| {
            drop(group.create_task_with(eager(), async { Err::<(), _>("at once") }));
            forever().await;
            Ok(())
        });
        assert_eq!(errors(result.await), ["at once"]);
        let result = TaskGroup::run(async |group| {
            let same = group.clone();
            drop(group.create_task_with(eager(), async move {
                same.cancel();
                forever().await;
            }));
        });
        assert!(result.await.is_ok());
    });
}

#[test]
fn wrong_08_a_deadline_that_has_passed_interrupts_the_next_suspension_and_eats_no_older_request() {
    everywhere(async || {
        assert!(timeout(Duration::ZERO, yield_now()).await.is_err());
        let past = runtime::Handle::current().time();
        assert!(timeout_at(past, yield_now()).await.is_err());
        let task = create_task(async {
            current_task().unwrap().cancel_with("older");
            let _ = timeout(Duration::ZERO, yield_now()).await;
            unreachable!();
        });
        assert_eq!(cancellation(task.await).message(), Some("older"));
    });
}

#[test]
fn wrong_09_a_timeout_waits_and_gives_what_the_body_answers() {
    everywhere(async || {
        let inner = begun(async {
            let _ = catch_cancelled(forever()).await;
            passes(5).await;
            "answer"
        })
        .await;
        let same = inner.task_ref();
        assert_eq!(timeout(ms(1), inner).await.unwrap().unwrap(), "answer");
        assert!(same.done());
        let fails = async {
            let _ = catch_cancelled(forever()).await;
            Err::<(), _>("other")
        };
        assert_eq!(timeout(ms(1), fails).await, Ok(Err("other")));
    });
}

#[test]
fn wrong_10_a_gather_passes_a_request_to_all_and_waits_for_all() {
    everywhere(async || {
        for keeps in [false, true] {
            let (started, ended) = (Count::default(), Count::default());
            let (begins, told) = (started.clone(), ended.clone());
            let task = begun(async move {
                let children = (0..5).map(|n| {
                    let (begins, told) = (begins.clone(), told.clone());
                    async move {
                        begins.add();
                        let error = catch_cancelled(forever()).await;
                        passes(n).await;
                        told.add();
                        drop(error);
                    }
                });
                let all = gather(children);
                if keeps { drop(all.return_exceptions().await) } else { drop(all.await) }
            })
            .await;
            while started.get() < 5 {
                yield_now().await;
            }
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled(), "though all swallow");
            assert_eq!(all_tasks().len(), 1);
            assert_eq!(ended.get(), 5);
        }
    });
}

#[test]
fn wrong_11_nothing_else_cancels_its_members() {
    everywhere(async || {
        let others: Vec<_> = (0..3).map(|_| create_task(forever())).collect();
        let refs: Vec<_> = others.iter().map(|task| task.task_ref()).collect();
        let fails = create_task(async { panic!("fails") });
        let mut members = others;
        members.push(fails);
        assert!(try_gather(members).await.unwrap_err().is_panicked());
        let mut again: Vec<_> = (0..2).map(|_| create_task(forever())).collect();
        let (done, pending) = wait(again.iter_mut()).timeout(ms(1)).return_when(ReturnWhen::FirstCompleted).await;
        assert_eq!((done.len(), pending.len()), (0, 2));
        drop(pending);
        let same = again[0].task_ref();
        drop(as_completed(again));
        passes(10).await;
        assert!(refs.iter().chain([&same]).all(|task| !task.done() && task.cancelling() == 0));
    });
}

#[test]
fn wrong_12_requests_before_the_first_step_and_in_the_last_one() {
    everywhere(async || {
        let never = Count::default();
        let told = never.clone();
        let early = TaskBuilder::new().create_task(async move { told.add() });
        // With many workers it may have run by now.
        let accepted = early.cancel();
        assert_eq!(early.await.is_err(), accepted);
        assert!(accepted || never.get() == 1);
        let late = create_task(async { current_task().unwrap().cancel() });
        assert!(late.await.unwrap_err().is_cancelled(), "its value is replaced");
        let over = begun(async {}).await;
        over.task_ref().wait().await;
        assert!(!over.cancel());
    });
}

#[test]
fn wrong_13_a_request_goes_through_awaits_of_every_word() {
    everywhere(async || {
        let leaf = begun(forever()).await;
        let same = leaf.task_ref();
        let task = begun(async {
            let through = timeout(Duration::from_secs(3600), try_gather((leaf,)));
            drop(through.await);
        })
        .await;
        passes(30).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        passes(5).await;
        assert!(same.done() || same.cancelling() == 0, "told, unless the request came before the gather");
        same.cancel();
    });
}

#[test]
fn wrong_14_a_panicking_child_loses_nothing_and_kills_nobody() {
    everywhere(async || {
        let ended = Count::default();
        let told = ended.clone();
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            group.create_task(async move {
                send(sent);
                let error = catch_cancelled(forever()).await.unwrap_err();
                passes(3).await;
                told.add();
                let_go(error).await
            });
            received(started).await;
            group.create_task(async { panic!("child") });
            forever().await;
            Ok::<(), &str>(())
        })
        .await;
        assert!(matches!(result.unwrap_err().failures(), [Failure::Panicked(_)]));
        assert_eq!(ended.get(), 1);
        assert_eq!(create_task(async { 1 }).await.unwrap(), 1);
    });
}

#[test]
fn wrong_15_what_is_shielded_outlives_and_is_reported_once_or_not() {
    everywhere(async || {
        for read in [false, true] {
            let reports = reports();
            let (go, wait) = signal();
            let mut inner = create_task(async {
                received(wait).await;
                panic!("late");
            });
            let shielded = {
                let same = inner.task_ref();
                begun(shield(async move { same.wait().await })).await
            };
            shielded.cancel();
            shielded.task_ref().wait().await;
            assert!(!inner.done());
            send(go);
            inner.task_ref().wait().await;
            if read {
                assert!((&mut inner).await.is_err());
            }
            drop(inner);
            passes(10).await;
            assert_eq!(reports.take().len(), usize::from(!read));
        }
    });
}

#[test]
fn wrong_16_a_task_that_nobody_holds_goes_on() {
    everywhere(async || {
        let (sent, ended) = signal();
        drop(create_task(async {
            passes(20).await;
            send(sent);
        }));
        received(ended).await;
    });
}

#[test]
fn wrong_17_completing_and_cancelling_from_other_threads() {
    everywhere(async || {
        for _ in 0..20 {
            let (go, ready) = signal();
            let task = begun(async { ready.await.is_ok() }).await;
            let same = task.task_ref();
            let threads =
                [std::thread::spawn(move || go.set_result(()).is_ok()), std::thread::spawn(move || same.cancel())];
            let [set, cancelled] = threads.map(|thread| thread.join().unwrap());
            let outcome = task.await;
            assert!(set || cancelled);
            assert_eq!(outcome.is_err(), cancelled);
        }
    });
}

#[test]
fn wrong_18_a_blocking_function_is_not_stopped_and_its_late_panic_hurts_nobody() {
    everywhere(async || {
        let reports = reports();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (over, ended) = signal();
        let blocking = to_thread(move || {
            let _over = OnDropSend(Some(over));
            wait.recv().unwrap();
            panic!("too late");
        });
        let task = begun(blocking).await;
        passes(3).await;
        task.cancel();
        task.task_ref().wait().await;
        let _ = go.send(());
        drop(ended.await);
        passes(5).await;
        assert!(reports.take().is_empty());
    });
}

/// Sends when it goes, if anybody is there.
struct OnDropSend(Option<runtime::Promise<()>>);

impl Drop for OnDropSend {
    fn drop(&mut self) {
        if let Some(signal) = self.0.take() {
            let _ = signal.set_result(());
        }
    }
}

#[test]
fn wrong_19_nothing_is_listed_after_its_end() {
    everywhere(async || {
        for _ in 0..20 {
            drop(gather((0..10).map(|n| passes(n % 3))).await);
            drop(timeout(ms(1), gather([forever(), forever()])).await);
            let mut task = create_task(forever());
            drop(wait([&mut task]).timeout(Duration::ZERO).await);
            task.cancel();
            drop(task.await);
        }
        passes(5).await;
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn wrong_20_a_request_is_delivered_once_and_no_more() {
    everywhere(async || {
        let task = begun(async {
            assert!(catch_cancelled(forever()).await.is_err());
            for _ in 0..20 {
                assert!(catch_cancelled(yield_now()).await.is_ok(), "not again");
            }
            assert!(catch_cancelled(sleep(ms(1))).await.is_ok());
            TaskGroup::run(async |_| {}).await.unwrap();
            count()
        })
        .await;
        task.cancel();
        assert_eq!(task.await.unwrap(), 1);
    });
}
