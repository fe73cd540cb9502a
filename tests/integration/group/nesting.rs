//! Rows TG-30 to TG-32: groups in groups.

use super::*;

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
