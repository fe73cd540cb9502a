//! Rules 1 to 8.

use super::*;

#[test]
fn rule_1_cancel_records_a_request_and_runs_nothing() {
    exact(async || {
        let log = Log::default();
        let told = log.clone();
        let task = begun(async move {
            assert!(catch_cancelled(forever()).await.is_err());
            told.add("delivered");
        })
        .await;
        passes(1).await;
        assert!(task.cancel());
        assert!(!task.done() && log.take().is_empty());
        assert_eq!(task.cancelling(), 1);
        task.task_ref().wait().await;
        assert_eq!(log.take(), ["delivered"]);
        assert!(!task.cancel(), "it has ended");
        assert_eq!(task.cancelling(), 1);
    });
}

#[test]
fn rule_2_a_task_that_never_started_is_dropped_unpolled() {
    exact(async || {
        let (polled, dropped) = (Count::default(), Count::default());
        let (told, guard) = (polled.clone(), OnDrop(dropped.clone()));
        let task = create_task(async move {
            let _guard = guard;
            told.add();
        });
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((polled.get(), dropped.get()), (0, 1));
    });
}

#[test]
fn rule_2_a_request_that_arrives_together_with_readiness_wins() {
    exact(async || {
        let (promise, value) = Promise::new();
        let task = begun(async { value.await.unwrap() }).await;
        passes(2).await;
        promise.set_result(1).unwrap();
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    under_load(300, async |round| {
        let (promise, value) = Promise::new();
        let task = begun(async { value.await.unwrap() }).await;
        let setter = create_task(async move {
            passes(round % 3).await;
            promise.set_result(7)
        });
        passes(round % 4).await;
        let accepted = task.cancel();
        match (task.await, setter.await.unwrap()) {
            (Ok(value), set) => assert!(!accepted && value == 7 && set.is_ok()),
            (Err(error), _) => assert!(accepted && error.is_cancelled()),
        }
    });
}

#[test]
fn rule_3_the_innermost_catcher_receives_it_and_destructors_run_innermost_first() {
    struct Noted(Log, &'static str);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.add(self.1);
        }
    }
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let task = begun(async move {
            let outer = async {
                let _outer = Noted(told.clone(), "outer");
                let caught = catch_cancelled(async {
                    let _middle = Noted(told.clone(), "middle");
                    async {
                        let _inner = Noted(told.clone(), "inner");
                        forever().await;
                    }
                    .await;
                })
                .await
                .unwrap_err();
                told.add("caught");
                passes(3).await;
                caught.reraise().await
            };
            let error = catch_cancelled::<_>(outer.map(|()| ())).await.unwrap_err();
            told.add("caught again");
            error.message().map(String::from)
        })
        .await;
        passes(2).await;
        task.cancel_with("why");
        assert_eq!(task.await.unwrap().as_deref(), Some("why"));
        assert_eq!(log.take(), ["inner", "middle", "caught", "outer", "caught again"]);
    });
}

#[test]
fn rule_3_one_request_is_delivered_once() {
    everywhere(async || {
        let task = begun(async {
            let first = catch_cancelled(forever()).await.is_err();
            let then = catch_cancelled(passes(10)).await.is_ok();
            let nested = catch_cancelled(catch_cancelled(passes(3))).await.unwrap().is_ok();
            (first, then, nested, count())
        })
        .await;
        task.cancel();
        assert_eq!(task.await.unwrap(), (true, true, true, 1));
    });
}

#[test]
fn rule_3_a_task_that_was_polled_before_is_not_taken_for_the_catcher_of_a_request_already_caught() {
    everywhere(async || {
        let (go, wait) = signal();
        let (ready, waits) = signal();
        let task = begun(async {
            let mut inner = create_task(async {
                received(wait).await;
                "kept"
            });
            // Polled once, and left alone.
            futures::select_biased! {
                _ = (&mut inner).fuse() => unreachable!(),
                () = std::future::ready(()).fuse() => {}
            }
            passes(2).await;
            send(ready);
            assert!(catch_cancelled(forever()).await.is_err());
            // In the poll that delivers the request, which has been caught.
            let inner = catch_cancelled(&mut inner).await.expect("the request was delivered once");
            inner.unwrap()
        })
        .await;
        received(waits).await;
        task.cancel();
        passes(5).await;
        send(go);
        assert_eq!(task.await.unwrap(), "kept");
    });
}

#[test]
fn rule_3_a_catcher_that_was_polled_before_does_not_take_a_request_already_caught() {
    everywhere(async || {
        let (go, wait) = signal();
        let (ready, waits) = signal();
        let task = begun(async {
            let mut paused = Box::pin(catch_cancelled(received(wait)));
            assert!(futures::poll!(&mut paused).is_pending());
            passes(2).await;
            send(ready);
            assert!(catch_cancelled(forever()).await.is_err());
            paused.await.is_ok()
        })
        .await;
        received(waits).await;
        task.cancel();
        passes(5).await;
        send(go);
        assert!(task.await.unwrap(), "the request was delivered once");
    });
}

#[test]
fn rule_4_without_a_catcher_the_whole_future_is_dropped() {
    everywhere(async || {
        let dropped = Count::default();
        let guard = OnDrop(dropped.clone());
        let task = begun(async move {
            let _guard = guard;
            forever().await;
        })
        .await;
        task.cancel_with("why");
        assert_eq!(cancellation(task.await).message(), Some("why"));
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn rule_5_a_task_that_swallows_ends_with_its_value_and_the_count_stays() {
    everywhere(async || {
        let task = begun(async {
            assert!(catch_cancelled(forever()).await.is_err());
            5
        })
        .await;
        assert!(task.cancel());
        let same = task.task_ref();
        assert_eq!(task.await.unwrap(), 5);
        assert_eq!((same.cancelled(), same.cancelling()), (false, 1));
        assert_eq!(same.uncancel(), 0);
        assert_eq!(same.uncancel(), 0);
    });
}

#[test]
fn rule_5_uncancel_to_zero_withdraws_an_undelivered_request() {
    exact(async || {
        let task = create_task(async { 1 });
        task.cancel();
        task.cancel();
        assert_eq!(task.uncancel(), 1);
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.await.unwrap(), 1);
        let task = create_task(async { 1 });
        task.cancel();
        task.cancel();
        task.uncancel();
        assert!(task.await.unwrap_err().is_cancelled(), "from two to one withdraws nothing");
    });
}

#[test]
fn rule_6_an_awaited_task_gets_the_request_and_is_waited_for() {
    everywhere(async || {
        let (cleaning, cleans) = signal();
        let (go, wait) = signal();
        let inner = begun(async {
            let error = catch_cancelled(forever()).await.unwrap_err();
            send(cleaning);
            received(wait).await;
            error.reraise().await
        })
        .await;
        let same = inner.task_ref();
        let outer = begun(async {
            let _: Result<(), _> = inner.await;
        })
        .await;
        passes(2).await;
        outer.cancel_with("why");
        received(cleans).await;
        passes(3).await;
        assert_eq!((outer.done(), same.cancelling()), (false, 1));
        send(go);
        assert_eq!(cancellation(outer.await).message(), Some("why"));
    });
}

#[test]
fn rule_6_a_task_that_swallows_gives_its_value_and_shield_cuts_the_link() {
    everywhere(async || {
        let inner = begun(async { catch_cancelled(forever()).await.is_err() }).await;
        let outer = begun(async { (inner.await.unwrap(), count()) }).await;
        outer.cancel();
        assert_eq!(outer.await.unwrap(), (true, 1));

        let (go, wait) = signal();
        let inner = begun(async { catch_cancelled(received(wait)).await.is_ok() }).await;
        let same = inner.task_ref();
        let outer = begun(shield(inner)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        send(go);
        same.wait().await;
        assert!(!same.cancelled());
    });
}

#[test]
fn rule_7_a_timeout_converts_its_own_request_only() {
    everywhere(async || {
        let task = begun(async {
            let body = timeout(Duration::from_secs(3600), forever());
            catch_cancelled(timeout(ms(1), body)).await
        })
        .await;
        assert!(task.await.unwrap().unwrap().is_err());
    });
}

#[test]
fn rule_8_a_group_waits_for_its_children_and_gives_all_failures() {
    everywhere(async || {
        let ended = Count::default();
        let told = ended.clone();
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            group.create_task(async move {
                let _told = OnDrop(told);
                send(sent);
                assert!(catch_cancelled(forever()).await.is_err());
                passes(5).await;
                Err::<(), _>(2)
            });
            received(started).await;
            Err::<(), _>(1)
        })
        .await;
        assert_eq!(ended.get(), 1);
        assert_eq!(result.unwrap_err().into_errors().collect::<Vec<_>>(), [2, 1]);
    });
}
