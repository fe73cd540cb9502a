//! What must hold at size, and under load.

use super::*;

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
