//! Rows TG-01 to TG-08: groups in which nothing fails.

use super::*;

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

#[test]
fn a_group_without_errors_needs_no_type() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let value = TaskGroup::run(async |group| {
            group.create_task(async move {
                passes(3).await;
                told.add("child");
            });
            group.create_task(async { Ok(2) }).await.unwrap() + 1
        })
        .await;
        assert_eq!(value.unwrap(), 3);
        assert_eq!(log.take(), ["child"]);

        let ended = TaskGroup::run(async |group| {
            group.cancel();
            forever().await
        });
        assert_eq!(ended.await.unwrap_err().failures().len(), 0);

        let failed = TaskGroup::run(async |group| {
            group.create_task(async { panic!("of the child") });
            forever().await;
        });
        assert!(matches!(failed.await.unwrap_err().failures(), [Failure::Panicked(_)]));

        // It is `Send` when its parts are.
        create_task(TaskGroup::run(|group| async move {
            group.create_task(forever());
            group.cancel();
        }))
        .await
        .unwrap()
        .unwrap();
    });
}
