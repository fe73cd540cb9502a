//! Rows G: `gather` and `try_gather`.

use crate::support::*;
use futures::FutureExt;
use runtime::{
    Runner, TaskError, catch_cancelled, create_task, current_task, gather, shield, sleep, try_gather, yield_now,
};
use std::future::ready;
use std::time::Duration;

#[test]
fn g_01_values_come_in_the_order_of_the_arguments() {
    everywhere(async || {
        let values = gather((0..10).map(async |n| {
            passes(10 - n).await;
            n
        }));
        assert_eq!(values.await, (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn g_01_a_tuple_may_have_twelve_members_of_different_types() {
    everywhere(async || {
        let values = gather((
            async { 1u8 },
            async { "two" },
            async { 3.0 },
            async { '4' },
            async { String::from("5") },
            async { Some(6) },
            async { [7] },
            async { vec![8] },
            async {},
            async { Box::new(10) },
            async { Ok::<_, ()>(11) },
            async { (12, 12) },
        ))
        .await;
        assert_eq!((values.0, values.1, values.2, values.3), (1, "two", 3.0, '4'));
        assert_eq!((values.4.as_str(), values.5, values.6, values.7), ("5", Some(6), [7], vec![8]));
        assert_eq!((values.8, *values.9, values.10, values.11), ((), 10, Ok(11), (12, 12)));
        assert_eq!(gather((async { 1 },)).await, (1,));
    });
}

#[test]
fn g_02_without_arguments_it_is_over_at_once() {
    exact(async || {
        let nothing: [std::future::Ready<u8>; 0] = [];
        assert_eq!(gather(nothing).now_or_never(), Some(vec![]));
        let nothing: [std::future::Ready<Result<u8, ()>>; 0] = [];
        assert_eq!(try_gather(nothing).now_or_never(), Some(Ok(vec![])));
    });
}

#[test]
fn g_03_the_children_are_scheduled_by_the_call() {
    everywhere(async || {
        let (sent, ran) = signal();
        let gathered = gather([async { send(sent) }]);
        received(ran).await;
        gathered.await;
    });
}

#[test]
fn g_05_a_failure_ends_it_at_once_and_the_others_go_on() {
    everywhere(async || {
        let (go, wait) = signal();
        let (sent, ended) = signal();
        let slow = async {
            wait.await.unwrap();
            send(sent);
            Ok(())
        };
        assert_eq!(try_gather((async { Err::<(), _>("failed") }, slow)).await, Err("failed"));
        send(go);
        assert!(ended.await.is_ok(), "the other one was not cancelled");
    });
}

#[test]
fn g_05_a_panic_of_a_child_goes_on_in_the_waiter_and_the_others_go_on() {
    everywhere(async || {
        let (go, wait) = signal();
        let (sent, ended) = signal();
        let waiter = create_task(async {
            let slow = async {
                wait.await.unwrap();
                send(sent);
            };
            gather((async { panic!("of the child") }, slow)).await;
        });
        match waiter.await {
            Err(TaskError::Panicked(panic)) => assert_eq!(panic.message(), Some("of the child")),
            other => panic!("{other:?}"),
        }
        send(go);
        assert!(ended.await.is_ok(), "the other one was not cancelled");
    });
}

#[test]
fn g_06_the_first_failure_in_time_wins() {
    everywhere(async || {
        let (go, wait) = signal();
        let listed_first = async {
            received(wait).await;
            Err::<(), _>("later")
        };
        let gathered = create_task(try_gather((listed_first, async { Err::<(), _>("sooner") })));
        assert_eq!(gathered.await.unwrap(), Err("sooner"));
        send(go);
    });
}

#[test]
fn g_06_of_those_that_had_failed_at_the_call_the_first_listed_wins() {
    let runner = Runner::builder().workers(1).eager_tasks(true).build().unwrap();
    let failed = runner.run(async { try_gather((0..4).map(async |n| Err::<(), _>(n))).await });
    assert_eq!(failed.unwrap(), Err(0));
    let failed = runner.run(async { try_gather((async { Ok::<_, u8>(()) }, async { Err::<(), _>(2) })).await });
    assert_eq!(failed.unwrap(), Err(2));
}

#[test]
fn g_06_the_failures_of_the_others_are_not_reported() {
    everywhere(async || {
        let reports = reports();
        let (go, wait) = signal();
        let (sent, later_ended) = signal();
        let waiter = create_task(async {
            let later = async {
                let _sent_by_drop = sent;
                received(wait).await;
                panic!("later");
            };
            let at_once = async { panic!("sooner") };
            gather((later.map(|()| ()), at_once.map(|()| ()))).await;
        });
        assert!(waiter.await.unwrap_err().is_panicked());
        send(go);
        assert!(later_ended.await.unwrap_err().is_cancelled());
        passes(20).await;
        assert_eq!(reports.take(), <[&str; 0]>::default());
    });
}

#[test]
fn g_07_return_exceptions_waits_for_all_and_gives_every_outcome() {
    everywhere(async || {
        let children: [fn() -> u32; 3] = [|| 0, || panic!("one"), || 2];
        let outcomes = gather(children.map(async |f| {
            passes(3).await;
            f()
        }));
        let outcomes = outcomes.return_exceptions().await;
        assert_eq!(*outcomes[0].as_ref().unwrap(), 0);
        assert!(matches!(&outcomes[1], Err(TaskError::Panicked(panic)) if panic.message() == Some("one")));
        assert_eq!(*outcomes[2].as_ref().unwrap(), 2);

        let (value, error) = gather((async { Ok::<_, ()>(1) }, async { Err::<(), _>(2) })).return_exceptions().await;
        assert_eq!((value.unwrap(), error.unwrap()), (Ok(1), Err(2)));
    });
}

async fn cancels_itself(message: &'static str) -> u32 {
    current_task().unwrap().cancel_with(message);
    yield_now().await;
    unreachable!()
}

#[test]
fn g_08_with_return_exceptions_a_cancelled_child_stands_at_its_place() {
    everywhere(async || {
        let (one, two) = gather((async { 1 }, cancels_itself("itself"))).return_exceptions().await;
        assert_eq!(one.unwrap(), 1);
        assert_eq!(cancellation(two).message(), Some("itself"));
        assert_eq!(current_task().unwrap().cancelling(), 0);
    });
}

#[test]
fn g_09_a_child_cancelled_by_somebody_cancels_the_waiter_here_and_the_others_go_on() {
    everywhere(async || {
        let (go, wait) = signal();
        let (sent, ended) = signal();
        let waiter = create_task(async {
            let slow = async {
                wait.await.unwrap();
                send(sent);
            };
            match catch_cancelled(gather((cancels_itself("itself"), slow))).await {
                Err(error) => {
                    assert_eq!(error.message(), Some("itself"));
                    assert_eq!(current_task().unwrap().cancelling(), 0);
                    error.reraise().await
                }
                Ok(_) => unreachable!(),
            }
        });
        let same = waiter.task_ref();
        assert_eq!(cancellation(waiter.await).message(), Some("itself"));
        assert_eq!(same.cancelling(), 0);
        send(go);
        assert!(ended.await.is_ok(), "the other one was not cancelled");
    });
}

#[test]
fn g_09_a_cancelled_task_is_an_error_of_try_gather() {
    everywhere(async || {
        let task = create_task(forever());
        task.cancel_with("by somebody");
        let failed = try_gather([task]).await;
        assert_eq!(cancellation(failed).message(), Some("by somebody"));
    });
}

#[test]
fn g_10_a_request_reaches_every_child_with_its_message() {
    everywhere(async || {
        let log = Log::default();
        let (told, started): (Vec<_>, Vec<_>) = (0..3).map(|_| signal()).unzip();
        let children = told.into_iter().map(|told| {
            let log = log.clone();
            async move {
                send(told);
                let error = catch_cancelled(forever()).await.unwrap_err();
                assert_eq!(current_task().unwrap().cancelling(), 1);
                log.add(error.message().unwrap());
                error.reraise().await
            }
        });
        let waiter = begun(gather(children)).await;
        for started in started {
            received(started).await;
        }
        assert!(waiter.cancel_with("stop"));
        assert_eq!(cancellation(waiter.await).message(), Some("stop"));
        assert_eq!(log.take(), ["stop"; 3]);
    });
}

#[test]
fn g_10_a_child_that_has_ended_keeps_its_outcome() {
    everywhere(async || {
        let (sent, ended) = signal();
        let waiter = begun(gather((async { send(sent) }, forever()))).await;
        received(ended).await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
    });
}

/// A gather in a task, of one child that ends by a request at once and one that cleans up until told.
#[test]
fn g_11_a_cancelled_gather_waits_for_all_children() {
    everywhere(async || {
        for return_exceptions in [false, true] {
            let (cleaning_up, begins) = signal();
            let (go, wait) = signal();
            let cleaned_up = Count::default();
            let told = cleaned_up.clone();
            let (sent, started) = signal();
            let cleaning = async move {
                send(sent);
                let error = catch_cancelled(forever()).await.unwrap_err();
                send(cleaning_up);
                received(wait).await;
                told.add();
                error.reraise().await
            };
            let gathered = gather((forever(), cleaning));
            let waiter = begun(async move {
                if return_exceptions {
                    drop(gathered.return_exceptions().await);
                } else {
                    gathered.await;
                }
            })
            .await;
            received(started).await;
            passes(2).await;
            waiter.cancel();
            received(begins).await;
            passes(5).await;
            assert!(!waiter.done());
            send(go);
            assert!(waiter.await.unwrap_err().is_cancelled());
            assert_eq!(cleaned_up.get(), 1);
        }
    });
}

#[test]
fn g_12_with_return_exceptions_a_request_goes_on_whatever_the_children_return() {
    everywhere(async || {
        let (sent, started) = signal();
        let fails = async {
            send(sent);
            assert!(catch_cancelled(forever()).await.is_err());
            panic!("in the clean-up");
        };
        let waiter = begun(gather((fails.map(|()| ()), forever())).return_exceptions()).await;
        received(started).await;
        passes(2).await;
        waiter.cancel_with("stop");
        assert_eq!(cancellation(waiter.await).message(), Some("stop"));
    });
}

#[test]
fn g_13_children_that_swallow_the_request_do_not_stop_it() {
    everywhere(async || {
        for return_exceptions in [false, true] {
            let (sent, started) = signal();
            let swallows = async {
                send(sent);
                catch_cancelled(forever()).await.is_err()
            };
            let gathered = gather([swallows]);
            let waiter = begun(async move {
                if return_exceptions {
                    drop(gathered.return_exceptions().await);
                } else {
                    gathered.await;
                }
            })
            .await;
            received(started).await;
            passes(2).await;
            waiter.cancel();
            let same = waiter.task_ref();
            assert!(waiter.await.unwrap_err().is_cancelled());
            assert_eq!(same.cancelling(), 1);
        }
    });
}

#[test]
fn g_14_a_child_that_answers_the_request_with_an_error_wins() {
    everywhere(async || {
        let (sent, started) = signal();
        let fails = async {
            send(sent);
            assert!(catch_cancelled(forever()).await.is_err());
            Err::<(), _>("answer")
        };
        let waiter = begun(async move {
            let failed = try_gather((async { Ok(forever().await) }, fails)).await;
            (failed, current_task().unwrap().cancelling())
        })
        .await;
        received(started).await;
        passes(2).await;
        waiter.cancel();
        assert_eq!(waiter.await.unwrap(), (Err("answer"), 1));
    });
}

#[test]
fn g_14_a_child_that_answers_the_request_with_a_panic_wins() {
    everywhere(async || {
        let (sent, started) = signal();
        let fails = async {
            send(sent);
            assert!(catch_cancelled(forever()).await.is_err());
            panic!("answer")
        };
        let waiter = begun(gather((forever(), fails.map(|()| ())))).await;
        received(started).await;
        passes(2).await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_panicked());
    });
}

#[test]
fn g_15_a_cancelled_gather_counts_as_cancelled() {
    everywhere(async || {
        let waiter = begun(gather([forever()])).await;
        passes(3).await;
        waiter.cancel();
        let same = waiter.task_ref();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert!(same.cancelled());
    });
}

#[test]
fn g_16_a_request_between_the_ends_of_the_children_and_the_waiter_wins() {
    exact(async || {
        let (go, wait) = signal();
        let waiter = begun(gather([async { received(wait).await }])).await;
        passes(3).await;
        send(go);
        // The child runs in this pass, the waiter in the next one.
        yield_now().await;
        assert!(!waiter.done());
        assert!(waiter.cancel());
        assert!(waiter.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn g_16_a_request_is_never_lost_under_load() {
    under_load(300, async |round| {
        let (go, wait) = signal();
        let children = gather([wait.map(|_| ()).left_future(), passes(round % 4).right_future()]);
        let waiter = begun(async { children.await.len() }).await;
        passes(round % 7).await;
        send(go);
        passes(round % 3).await;
        let accepted = waiter.cancel();
        match waiter.await {
            Ok(len) => assert_eq!((accepted, len), (false, 2)),
            Err(error) => assert!(accepted && error.is_cancelled()),
        }
    });
}

#[test]
fn g_18_children_that_ended_at_the_call_need_no_suspension() {
    let runner = Runner::builder().workers(1).eager_tasks(true).build().unwrap();
    runner
        .run(async {
            assert_eq!(gather([ready(1), ready(2)]).now_or_never(), Some(vec![1, 2]));
            let tasks = [1, 2].map(|n| create_task(ready(n)));
            assert_eq!(try_gather(tasks).now_or_never().unwrap().unwrap(), [1, 2]);
        })
        .unwrap();
}

#[test]
fn g_19_a_gather_inside_a_shield_goes_on() {
    everywhere(async || {
        let (go, wait) = signal();
        let (sent, ended) = signal();
        let child = async {
            wait.await.unwrap();
            send(sent);
        };
        let waiter = begun(shield(gather([child]))).await;
        passes(3).await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        send(go);
        assert!(ended.await.is_ok());
    });
}

#[test]
fn g_19_shields_inside_a_gather_end_cancelled_and_what_they_guard_goes_on() {
    everywhere(async || {
        let (go, wait) = signal();
        let (sent, ended) = signal();
        let guarded = async {
            wait.await.unwrap();
            send(sent);
        };
        let waiter = begun(gather([shield(guarded)])).await;
        passes(3).await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        send(go);
        assert!(ended.await.is_ok());
    });
}

#[test]
fn rule_10_a_gather_that_is_dropped_cancels_its_children() {
    everywhere(async || {
        let dropped = Count::default();
        let (sent, gone) = signal();
        let guard = OnDrop(dropped.clone());
        let child = async move {
            let _sent_by_drop = sent;
            let _guard = guard;
            forever().await;
        };
        futures::select_biased! {
            _ = gather([child]).fuse() => unreachable!(),
            () = passes(3).fuse() => {}
        }
        assert!(gone.await.unwrap_err().is_cancelled());
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn gather_of_ten_thousand_is_not_slow() {
    everywhere(async || {
        let sum: usize = gather((0..10_000).map(async |n| {
            yield_now().await;
            n
        }))
        .await
        .into_iter()
        .sum();
        assert_eq!(sum, 10_000 * 9_999 / 2);
    });
}

#[test]
fn an_ended_gather_leaves_no_timer_or_task_behind() {
    exact(async || {
        drop(gather([sleep(Duration::from_secs(1))]).await);
        assert_eq!(runtime::all_tasks().len(), 1);
    });
}

/// Sends when it runs, and cleans up for a few passes when it is cancelled.
fn cleans_up(told: &Log) -> impl Future<Output = ()> + Send + use<> {
    let told = told.clone();
    async move {
        let error = catch_cancelled(forever()).await.unwrap_err();
        passes(3).await;
        told.add(error.message().unwrap_or("no message"));
        error.reraise().await
    }
}

#[test]
fn g_10_a_request_before_the_wait_for_a_task_has_begun_reaches_the_task() {
    let body = async || {
        for times in 0..4 {
            let told = Log::default();
            let inner = begun(cleans_up(&told)).await;
            let same = inner.task_ref();
            let outer = begun(async move {
                passes(times).await;
                try_gather([inner]).await
            })
            .await;
            passes(times).await;
            outer.cancel_with("why");
            assert_eq!(cancellation(outer.await).message(), Some("why"));
            if times == 0 {
                assert!(same.cancelled(), "told, and waited for");
                assert_eq!(told.take(), ["why"]);
            }
            same.cancel();
            same.wait().await;
        }
    };
    everywhere(body);
    seeded(40, body);
}

#[test]
fn rule_10_a_gather_of_tasks_or_of_gathers_that_is_dropped_at_once_cancels_what_is_in_it() {
    everywhere(async || {
        let told = Log::default();
        let inner = begun(cleans_up(&told)).await;
        let same = inner.task_ref();
        drop(try_gather([inner]));
        same.wait().await;
        assert!(same.cancelled());
        let inner = begun(cleans_up(&told)).await;
        let same = inner.task_ref();
        drop(gather((gather([inner]).return_exceptions(), async {})));
        same.wait().await;
        assert!(same.cancelled());
        assert_eq!(told.take().len(), 2);
    });
}

#[test]
fn g_18_a_gather_of_tasks_that_have_ended_does_not_suspend() {
    everywhere(async || {
        let ended = begun(async { 1 }).await;
        ended.task_ref().wait().await;
        let mut all = std::pin::pin!(try_gather([ended]));
        assert_eq!(futures::poll!(all.as_mut()).map(Result::unwrap), std::task::Poll::Ready(vec![1]));
    });
}
