//! Rows SH: `shield`.

use crate::support::*;
use futures::FutureExt;
use runtime::{
    Runner, Task, TaskError, all_tasks, catch_cancelled, create_task, current_task, shield, sleep, yield_now,
};
use std::time::Duration;

#[test]
fn sh_01_a_finished_task_simply_gives_its_value() {
    everywhere(async || {
        let task = create_task(async { 1 });
        task.task_ref().wait().await;
        assert_eq!(shield(task).await.unwrap(), 1);
    });
}

#[test]
fn sh_02_a_future_is_scheduled_at_the_call() {
    everywhere(async || {
        let (sent, ran) = signal();
        let shielded = shield(async { send(sent) });
        received(ran).await;
        shielded.await;
    });
}

#[test]
fn sh_03_the_outcome_of_what_is_inside_comes_out() {
    everywhere(async || {
        assert_eq!(shield(async { "value" }).await, "value");
        assert_eq!(shield(async { Err::<(), _>("error") }).await, Err("error"));
        assert_eq!(shield(create_task(async { 2 })).await.unwrap(), 2);
        let waiter = create_task(shield(async { panic!("inside") }).map(|()| ()));
        assert!(matches!(waiter.await, Err(TaskError::Panicked(panic)) if panic.message() == Some("inside")));
        let failed = shield(create_task(async { panic!("in the task") })).await;
        assert!(failed.unwrap_err().is_panicked());
    });
}

#[test]
fn sh_04_the_waiter_is_cancelled_at_once_and_what_is_inside_gets_no_request() {
    everywhere(async || {
        let (go, wait) = signal();
        let inner = create_task(async {
            received(wait).await;
            current_task().unwrap().cancelling()
        });
        let (sent, ended) = signal();
        let waiter = begun(shield(async {
            send(sent);
            inner.await.unwrap()
        }))
        .await;
        received(ended).await;
        waiter.cancel_with("stop");
        assert_eq!(cancellation(waiter.await).message(), Some("stop"));
        send(go);
    });
}

#[test]
fn sh_04_a_shielded_task_runs_on_with_a_count_of_zero() {
    everywhere(async || {
        let (go, wait) = signal();
        let inner = create_task(async {
            received(wait).await;
            "kept"
        });
        let same = inner.task_ref();
        let waiter = begun(shield(inner)).await;
        passes(3).await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert!(!same.done());
        assert_eq!(same.cancelling(), 0);
        send(go);
        same.wait().await;
        assert!(!same.cancelled());
    });
}

#[test]
fn sh_04_a_plain_drop_of_the_waiter_does_not_reach_it_either() {
    everywhere(async || {
        let (go, wait) = signal();
        let (sent, ended) = signal();
        let shielded = shield(async {
            received(wait).await;
            send(sent);
        });
        futures::select_biased! {
            () = shielded.fuse() => unreachable!(),
            () = passes(2).fuse() => {}
        }
        send(go);
        assert!(ended.await.is_ok());
    });
}

#[test]
fn sh_05_what_is_inside_is_cancelled_by_somebody_else() {
    everywhere(async || {
        let (inner, who) = runtime::Promise::new();
        let waiter = create_task(async {
            let shielded = shield(async {
                inner.set_result(current_task().unwrap()).unwrap();
                forever().await;
            });
            let error = catch_cancelled(shielded).await.unwrap_err();
            assert_eq!(current_task().unwrap().cancelling(), 0);
            error.reraise().await
        });
        let same = waiter.task_ref();
        who.await.unwrap().cancel_with("somebody");
        assert_eq!(cancellation(waiter.await).message(), Some("somebody"));
        assert_eq!(same.cancelling(), 0);
    });
}

#[test]
fn sh_06_a_request_between_the_end_inside_and_the_waiter_wins() {
    exact(async || {
        let (go, wait) = signal();
        let inner = create_task(received(wait));
        let same = inner.task_ref();
        let waiter = begun(shield(inner)).await;
        passes(3).await;
        send(go);
        while !same.done() {
            yield_now().await;
        }
        assert!(!waiter.done());
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert!(!same.cancelled());
    });
}

#[test]
fn sh_07_a_later_success_is_silent_and_a_later_failure_is_reported_once() {
    everywhere(async || {
        for fails in [false, true] {
            let reports = reports();
            let (go, wait) = signal();
            let inner = async move {
                received(wait).await;
                assert!(!fails, "later");
            };
            let waiter = begun(shield(inner)).await;
            passes(2).await;
            waiter.cancel();
            assert!(waiter.await.unwrap_err().is_cancelled());
            send(go);
            while all_tasks().len() > 1 {
                yield_now().await;
            }
            reports.reaches(usize::from(fails)).await;
            passes(10).await;
            assert_eq!(reports.take().len(), usize::from(fails));
        }
    });
}

#[test]
fn sh_07_the_failure_of_a_task_that_several_shields_left_is_reported_once() {
    everywhere(async || {
        let reports = reports();
        let (go, wait) = signal();
        let inner = create_task(async {
            received(wait).await;
            panic!("later");
        });
        let once = begun(shield(inner)).await;
        let twice = begun(shield(once)).await;
        passes(5).await;
        twice.cancel();
        assert!(twice.await.unwrap_err().is_cancelled());
        send(go);
        reports.reaches(1).await;
        while all_tasks().len() > 1 {
            yield_now().await;
        }
        passes(10).await;
        assert_eq!(reports.take().len(), 1);
    });
}

#[test]
fn sh_08_a_failure_that_somebody_reads_is_not_reported() {
    everywhere(async || {
        let reports = reports();
        let (go, wait) = signal();
        let mut inner = create_task(async {
            received(wait).await;
            panic!("later");
        });
        // Somebody who waits for the same task, and is cancelled: a reference, because there is one handle.
        let same = inner.task_ref();
        let waiter = begun(shield(async move { same.wait().await })).await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        send(go);
        assert!((&mut inner).await.unwrap_err().is_panicked());
        drop(inner);
        passes(10).await;
        assert!(reports.take().is_empty());
    });
}

#[test]
fn sh_09_shielding_again_and_again_leaves_nothing_behind() {
    exact(async || {
        let inner = create_task(forever());
        let same = inner.task_ref();
        for _ in 0..1000 {
            let same = same.clone();
            let waiter = begun(shield(async move { same.wait().await })).await;
            waiter.cancel();
            assert!(waiter.await.unwrap_err().is_cancelled());
        }
        inner.cancel();
        inner.await.unwrap_err();
        passes(5).await;
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn sh_10_an_undelivered_own_request_cancels_the_waiter_there_and_what_is_inside_runs_to_its_end() {
    everywhere(async || {
        let (sent, ended) = signal();
        let waiter = create_task(async {
            current_task().unwrap().cancel();
            shield(async {
                passes(3).await;
                send(sent);
            })
            .await;
        });
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert!(ended.await.is_ok());
    });
}

#[test]
fn sh_11_the_end_of_the_program_cancels_what_is_inside() {
    for workers in [1, 2, 8] {
        let cleaned_up = Count::default();
        let told = cleaned_up.clone();
        let runner = Runner::builder().workers(workers).build().unwrap();
        runner
            .run(async {
                let (sent, started) = signal();
                let inner = create_task(async move {
                    send(sent);
                    assert!(catch_cancelled(forever()).await.is_err());
                    sleep(Duration::from_millis(1)).await;
                    told.add();
                });
                drop(shield(inner));
                received(started).await;
            })
            .unwrap();
        runner.close();
        assert_eq!(cleaned_up.get(), 1);
    }
}

#[test]
fn sh_04_a_shield_inside_a_timeout_keeps_the_deadline() {
    exact(async || {
        let task = create_task(sleep(Duration::from_secs(2)));
        let same = task.task_ref();
        assert!(runtime::timeout(Duration::from_secs(1), shield(task)).await.is_err());
        assert!(!same.done());
        same.wait().await;
        assert!(!same.cancelled());
    });
}

#[test]
fn sh_01_a_shield_of_a_task_that_has_ended_does_not_suspend() {
    everywhere(async || {
        let ended = begun(async { 1 }).await;
        ended.task_ref().wait().await;
        let mut shielded = std::pin::pin!(shield(ended));
        assert_eq!(futures::poll!(shielded.as_mut()).map(Result::unwrap), std::task::Poll::Ready(1));
    });
}

#[test]
fn sh_05_a_task_behind_a_shield_that_is_cancelled_at_once_is_still_waited_for_and_not_cancelled() {
    everywhere(async || {
        let (go, wait) = signal();
        let inner = create_task(received(wait));
        let same = inner.task_ref();
        drop(shield(inner));
        passes(5).await;
        assert!(!same.done() && same.cancelling() == 0);
        send(go);
        same.wait().await;
        assert!(!same.cancelled());
    });
}

#[test]
fn sh_07_a_panic_that_somebody_has_looked_at_is_not_reported_again() {
    everywhere(async || {
        for looks in [true, false] {
            let reports = reports();
            let inner = create_task(async { panic!("seen") });
            let waiter: Task<Result<(), TaskError>> = create_task(async move {
                let outcome = shield(inner).await;
                if looks {
                    assert!(outcome.as_ref().unwrap_err().to_string().contains("seen"));
                }
                outcome
            });
            waiter.task_ref().wait().await;
            drop(waiter);
            passes(10).await;
            assert_eq!(reports.take().len(), usize::from(!looks));
        }
    });
}
