//! Area I: what the vocabulary shows in pictures of the runtime.

use futures::StreamExt;
use runtime::{
    Awaits, Handle, Promise, ReturnWhen, Runner, Task, TaskBuilder, TaskGroup, TaskRef, TaskState, all_tasks,
    as_completed, call_graph, gather, shield, timeout, to_thread, wait, yield_now,
};
use std::future::pending;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(3600);

/// Lets everything come to its suspension.
async fn settled(task: &TaskRef) {
    while !matches!(task.call_graph().get(task.id()).unwrap().state, TaskState::Suspended { .. }) {
        yield_now().await;
    }
}

/// The names of those that await the task called `name`, as it is seen from outside, and as the tasks themselves say.
async fn awaiters(name: &str) -> [Vec<String>; 2] {
    let handle = Handle::current();
    [handle.call_graph(), handle.call_graph_with_stacks(PATIENCE).await].map(|graph| {
        let report = graph.tasks().iter().find(|task| task.name == name).unwrap_or_else(|| panic!("{graph}"));
        report.awaited_by.iter().map(|id| graph.get(*id).unwrap().name.clone()).collect()
    })
}

fn named<T: Send + 'static>(name: &str, future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    TaskBuilder::new().name(name).create_task(future)
}

/// The place where a task waits by way of this combinator, and that many tasks of it.
async fn waits_via(task: &TaskRef, via: &str, tasks: usize) {
    let stack = task.stack().await;
    let place = stack.awaits().iter().find(|place| place.via == Some(via)).unwrap_or_else(|| panic!("{stack}"));
    assert_eq!(place.tasks().len(), tasks, "{stack}");
}

fn on(workers: usize, body: impl Future<Output = ()>) {
    let runner = Runner::builder().workers(workers).build().unwrap();
    runner.run(body).unwrap();
    runner.close();
}

#[test]
fn i_09_gather_awaits_its_children() {
    for workers in [1, 2] {
        on(workers, async {
            let waits = named("gathers", async { gather([named("child", pending::<()>())]).await.len() });
            settled(&waits).await;
            // The child of the gather is the task that awaits ours.
            let graph = Handle::current().call_graph_with_stacks(PATIENCE).await;
            let child = graph.tasks().iter().find(|task| task.name == "child").unwrap();
            let between = graph.get(child.awaited_by[0]).unwrap();
            assert_eq!(between.awaited_by, [waits.id()], "{graph}");
            waits_via(&waits, "gather", 1).await;
            let tuple = named("tuple", async { gather((pending::<()>(), pending::<()>())).await });
            settled(&tuple).await;
            assert_eq!(tuple.stack().await.awaits().iter().filter(|place| place.via == Some("gather")).count(), 2);
            waits.cancel();
            tuple.cancel();
        });
    }
}

#[test]
fn i_09_and_i_11_wait_and_as_completed_await_their_tasks_until_they_return() {
    for workers in [1, 2] {
        on(workers, async {
            let (done, finish) = Promise::<()>::new();
            let (returned, has_returned) = Promise::<()>::new();
            let waits = named("waits", async move {
                let mut tasks = [named("never", pending::<()>()), named("soon", async { finish.await.unwrap() })];
                let (ended, _) = wait(tasks.each_mut()).return_when(ReturnWhen::FirstCompleted).await;
                assert_eq!(ended.len(), 1);
                returned.set_result(()).unwrap();
                pending::<()>().await;
                drop(tasks);
            });
            settled(&waits).await;
            assert_eq!(awaiters("never").await, [["waits"], ["waits"]]);
            waits_via(&waits, "wait", 2).await;
            done.set_result(()).unwrap();
            has_returned.await.unwrap();
            settled(&waits).await;
            assert_eq!(awaiters("never").await, [[""; 0]; 2]);

            let streams = named("streams", async {
                let mut stream = as_completed([named("streamed", pending::<()>())]);
                stream.next().await;
            });
            settled(&streams).await;
            assert_eq!(awaiters("streamed").await, [["streams"], ["streams"]]);
            waits_via(&streams, "as_completed", 1).await;
            waits.cancel();
            streams.cancel();
        });
    }
}

#[test]
fn i_09_and_i_11_shield_awaits_what_it_shields_until_it_is_cancelled() {
    on(1, async {
        let waits = named("waits", async { shield(named("shielded", pending::<()>())).await });
        settled(&waits).await;
        waits_via(&waits, "shield", 1).await;
        let graph = call_graph();
        let shielded = graph.tasks().iter().find(|task| task.name == "shielded").unwrap();
        let between = graph.get(shielded.awaited_by[0]).unwrap();
        assert_eq!(between.awaited_by, [waits.id()]);
        waits.cancel();
        waits.wait().await;
        assert!(call_graph().get(between.id).unwrap().awaited_by.is_empty());
    });
}

#[test]
fn i_09_the_task_of_a_group_awaits_each_child_from_creation_to_end() {
    for workers in [1, 2] {
        on(workers, async {
            let (go, gone) = Promise::<()>::new();
            let owner = named("owner", async move {
                TaskGroup::scope(async move |group: TaskGroup<()>| {
                    let inner = group.clone();
                    group.create_task_with(TaskBuilder::new().name("first"), async move {
                        // By another child: it is in the group all the same.
                        inner.create_task_with(TaskBuilder::new().name("second"), pending::<()>());
                        pending::<()>().await;
                    });
                    gone.await.unwrap();
                    Ok(())
                })
                .await
                .unwrap();
            });
            while !all_tasks().iter().any(|task| task.get_name() == "second") {
                yield_now().await;
            }
            settled(&owner).await;
            assert_eq!(awaiters("second").await, [["owner"], ["owner"]], "while the body runs");
            go.set_result(()).unwrap();
            loop {
                yield_now().await;
                let stack = owner.stack().await;
                if stack.awaits().iter().any(|place| place.via == Some("group") && place.tasks().len() == 2) {
                    break;
                }
            }
            assert_eq!(awaiters("first").await, [["owner"], ["owner"]]);
            let graph = call_graph();
            let child = graph.tasks().iter().find(|task| task.name == "first").unwrap();
            assert_eq!(child.group, Some(owner.id()));
            owner.cancel();
            owner.wait().await;
        });
    }
}

#[test]
fn i_09_a_timeout_shows_its_timer_and_what_is_inside() {
    on(1, async {
        let waits = named("waits", async {
            timeout(Duration::from_secs(3600), named("inside", pending::<()>())).await.unwrap().unwrap();
        });
        settled(&waits).await;
        let stack = waits.stack().await;
        let timer = stack.awaits().iter().find(|place| place.via == Some("timeout")).unwrap();
        assert!(matches!(timer.what, Awaits::Timer { until: Some(_), .. }), "{stack}");
        assert_eq!(awaiters("inside").await, [["waits"], ["waits"]]);
        waits.cancel();
    });
}

#[test]
fn a_function_on_a_thread_is_shown_as_one() {
    on(1, async {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let waits = named("waits", async { to_thread(move || released.recv().unwrap()).await.unwrap() });
        settled(&waits).await;
        let stack = waits.stack().await;
        let Awaits::Thread { location, .. } = stack.awaits()[0].what else { panic!("{stack}") };
        assert!(location.file().ends_with("inspect.rs"));
        release.send(()).unwrap();
        waits.await.unwrap();
    });
}
