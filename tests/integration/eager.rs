//! Eager tasks in the words of the vocabulary: rows E.

use crate::support::{Log, cancellation, everywhere, exact, forever, passes};
use futures::FutureExt;
use runtime::{
    Runner, TaskBuilder, TaskGroup, all_tasks, as_completed, catch_cancelled, create_task, current_task, gather,
    shield, wait, yield_now,
};

fn eager<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> runtime::Task<T> {
    TaskBuilder::new().eager_start(true).create_task(future)
}

#[test]
fn e_01_the_body_runs_to_its_first_suspension_inside_of_the_call() {
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let task = eager(async move {
            told.add("first step");
            yield_now().await;
            told.add("second step");
        });
        log.add("created");
        task.await.unwrap();
        let events = log.take();
        // Another worker may take the second step before this one goes on.
        assert_eq!((events.len(), events[0].as_str()), (3, "first step"));
        let order = ["first step", "created", "second step"];
        assert!(runtime::Handle::current().workers() > 1 || events == order, "{events:?}");
    });
}

#[test]
fn e_02_it_may_end_in_that_step() {
    everywhere(async || {
        let mut task = eager(async { 1 });
        assert!(task.done() && !task.cancel());
        assert_eq!(task.result().unwrap().unwrap(), 1);
    });
}

#[test]
fn e_03_a_panic_in_that_step_is_stored() {
    everywhere(async || {
        let task = eager(async { panic!("in the first step") });
        assert!(task.done());
        assert!(task.await.unwrap_err().is_panicked());
    });
}

#[test]
fn e_04_a_panic_in_that_step_does_not_reach_the_creator() {
    everywhere(async || {
        let creator = create_task(async {
            drop(eager(async { panic!("in the first step") }).await);
            "unharmed"
        });
        assert_eq!(creator.await.unwrap(), "unharmed");
    });
}

#[test]
fn e_05_a_task_that_cancels_itself_in_that_step() {
    everywhere(async || {
        let returns = eager(async { current_task().unwrap().cancel() });
        assert!(returns.done() && returns.cancelled());
        let suspends = eager(async {
            current_task().unwrap().cancel_with("own");
            forever().await;
        });
        assert_eq!(cancellation(suspends.await).message(), Some("own"));
    });
}

#[test]
fn e_06_and_e_07_current_task_and_all_tasks_during_the_step() {
    exact(async || {
        let me = current_task().unwrap();
        let task = eager(async {
            let outer = current_task().unwrap();
            let inner = eager(async { current_task().unwrap() });
            assert_eq!(current_task().unwrap(), outer);
            assert_ne!(inner.await.unwrap(), outer);
            assert!(all_tasks().contains(&outer));
            outer
        });
        assert_eq!(current_task().unwrap(), me);
        assert!(task.await.unwrap().done());
        assert_eq!(all_tasks(), [me]);
    });
}

#[test]
fn e_12_a_group_whose_eager_children_end_at_once_does_not_suspend() {
    exact(async || {
        let group = TaskGroup::<()>::scope(async |group| {
            let child = group.create_task_with(TaskBuilder::new().eager_start(true), async { Ok(1) });
            Ok(child.await.unwrap())
        });
        assert_eq!(group.now_or_never().unwrap().unwrap(), 1);
    });
}

#[test]
fn e_13_an_eager_child_that_fails_in_its_first_step_aborts_the_group() {
    everywhere(async || {
        let log = Log::default();
        let result = TaskGroup::scope(async |group| {
            let started = TaskBuilder::new().eager_start(true);
            let failed = group.create_task_with(started.clone(), async { Err::<(), _>("failed") });
            assert!(failed.done() && failed.cancelled());
            log.add("goes on up to the next suspension");
            // The group is shutting down: no more children.
            assert!(group.create_task_with(started, async {}).cancelled());
            yield_now().await;
            log.add("not reached");
            Ok(())
        })
        .await;
        assert_eq!(result.unwrap_err().into_errors().collect::<Vec<_>>(), ["failed"]);
        assert_eq!(log.take().len(), 1);
        assert_eq!(current_task().unwrap().cancelling(), 0);
        yield_now().await;
    });
}

#[test]
fn e_11_all_words_work_on_a_runtime_whose_tasks_start_eagerly() {
    for workers in [1, 2, 8] {
        let runner = Runner::builder().workers(workers).eager_tasks(true).build().unwrap();
        runner
            .run(async {
                assert_eq!(
                    gather((0..5).map(async |n| {
                        passes(n).await;
                        n
                    }))
                    .await,
                    [0, 1, 2, 3, 4]
                );
                assert_eq!(shield(async { 1 }).now_or_never(), Some(1));
                let (done, pending) = wait([create_task(passes(0)), create_task(passes(1))]).await;
                assert_eq!((done.len(), pending.len()), (2, 0));
                assert_eq!(futures::StreamExt::count(as_completed([create_task(passes(2))])).await, 1);
                let result = TaskGroup::scope(async |group| {
                    for n in 0..10 {
                        group.create_task(async move {
                            passes(n).await;
                            if n == 5 { Err("five") } else { Ok(()) }
                        });
                    }
                    forever().await;
                    Ok(())
                })
                .await;
                assert_eq!(result.unwrap_err().into_errors().collect::<Vec<_>>(), ["five"]);
                let task = create_task(async { catch_cancelled(forever()).await.is_err() });
                task.cancel();
                assert!(task.await.unwrap());
            })
            .unwrap();
    }
}

#[test]
fn e_01_deep_nesting_is_queued_and_overflows_no_stack() {
    fn nested(depth: usize) -> futures::future::BoxFuture<'static, usize> {
        Box::pin(async move { if depth == 0 { 0 } else { 1 + eager(nested(depth - 1)).await.unwrap() } })
    }
    everywhere(async || assert_eq!(eager(nested(5_000)).await.unwrap(), 5_000));
}
