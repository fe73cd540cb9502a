//! Area I, the pictures: who awaits whom, with which stacks; what they leave alone.

use crate::support::*;
use futures::stream::{FuturesUnordered, StreamExt};
use runtime_core::*;
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

async fn innermost(lost: Task<()>) {
    let _ended = lost.await;
}

async fn middle(lost: Task<()>) {
    innermost(lost).await;
}

/// Lets everything that is ready come to its suspension.
async fn settled(tasks: &[TaskRef]) {
    for task in tasks {
        while !matches!(task.call_graph().get(task.id()).unwrap().state, TaskState::Suspended { .. }) {
            yield_now().await;
        }
    }
}

#[cfg(debug_assertions)]
fn functions(stack: &TaskStack) -> Vec<Vec<String>> {
    stack.awaits().iter().map(|place| place.frames().into_iter().map(|frame| frame.function).collect()).collect()
}

everywhere! {
    // Line tables, which is all that an optimised build has, hold no names of inlined functions.
    #[cfg(debug_assertions)]
    async fn i_07_the_stack_of_a_suspended_task_from_the_innermost_await() {
        let (promise, lost) = Promise::new();
        let promised = promise.task_ref().id();
        let task = create_task(middle(lost));
        settled(&[task.task_ref()]).await;
        let stack = task.stack().await;
        assert!(matches!(stack.state(), TaskState::Suspended { .. }), "{stack}");
        assert!(matches!(stack.awaits()[0].what, Awaits::Promise { id, .. } if id == promised), "{stack}");
        let functions = functions(&stack);
        let find = |name: &str| functions[0].iter().position(|function| function.ends_with(name)).unwrap_or_else(|| panic!("{stack}"));
        assert!(find("inspect::innermost") < find("inspect::middle"), "{stack}");
        assert!(stack.to_string().contains("inspect.rs:"), "{stack}");
        promise.set_result(()).unwrap();
        task.await.unwrap();
    }

    async fn i_07_and_i_10_limits_keep_the_innermost_frames() {
        let (promise, lost) = Promise::new();
        let task = create_task(middle(lost));
        settled(&[task.task_ref()]).await;
        let all = task.stack().await.awaits()[0].frames();
        let two = task.get_stack(Some(2)).await.awaits()[0].frames();
        assert_eq!(two, all[..2]);
        let none = task.get_stack(Some(0)).await;
        assert!(none.awaits()[0].frames().is_empty());
        assert_eq!(none.awaits().len(), 1, "the place stays");
        drop(promise);
        task.await.unwrap();
    }

    // Line tables, which is all that an optimised build has, hold no names of inlined functions.
    #[cfg(debug_assertions)]
    async fn i_07_every_branch_of_a_join_is_a_place() {
        async fn left() {
            sleep(Duration::MAX).await;
        }
        async fn right(lost: Task<()>) {
            let _ended = lost.await;
        }
        async fn both(lost: Task<()>) {
            futures::join!(left(), right(lost));
        }
        let (promise, lost) = Promise::new();
        let task = create_task(both(lost));
        settled(&[task.task_ref()]).await;
        let stack = task.stack().await;
        let text = stack.to_string();
        assert_eq!(stack.awaits().len(), 2, "{text}");
        assert!(text.contains("left") && text.contains("right"), "{text}");
        assert_eq!(text.matches("PollFn").count(), 1, "one common beginning: {text}");
        assert_eq!(stack.awaits()[0].what, Awaits::Timer { until: None, after: None });
        assert!(matches!(stack.awaits()[1].what, Awaits::Promise { .. }));
        task.cancel();
        drop(promise);
    }

    async fn i_07_a_task_that_has_ended_or_not_begun() {
        let ended = create_task(async {});
        let ended_ref = ended.task_ref();
        ended.await.unwrap();
        let stack = ended_ref.stack().await;
        assert_eq!((stack.state(), stack.awaits().len()), (&TaskState::Finished, 0));
        let (promise, promised) = Promise::<()>::new();
        assert!(promised.stack().await.awaits().is_empty(), "I-09: a plain future has an empty stack");
        drop(promise);
        let panicked = create_task(async { panic!("x") });
        panicked.wait().await;
        assert_eq!(panicked.stack().await.state(), &TaskState::Panicked);
        panicked.forgive();
    }

    async fn i_07_of_the_running_task_itself() {
        fn ordinary(task: &TaskRef) -> TaskStack {
            futures::executor::block_on(task.stack())
        }
        let stack = ordinary(&current_task().unwrap());
        assert_eq!(stack.state(), &TaskState::Running);
        assert!(stack.to_string().contains("ordinary"), "{stack}");
    }

    async fn a_stack_is_taken_while_the_task_goes_on_and_changes_nothing() {
        let polls = Count::default();
        let counted = polls.clone();
        let (promise, mut lost) = Promise::new();
        let task = create_task(poll_fn(move |cx| {
            counted.up();
            std::pin::Pin::new(&mut lost).poll(cx)
        }));
        settled(&[task.task_ref()]).await;
        for _ in 0..100 {
            assert_eq!(task.stack().await.awaits().len(), 1);
        }
        assert!(polls.get() >= 101, "each look is a poll");
        promise.set_result(7).unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 7);
    }

    async fn stacks_of_tasks_that_are_busy_ending_and_being_cancelled() {
        for round in 0..200 {
            let task = create_task(async move {
                for _ in 0..round % 7 {
                    yield_now().await;
                }
            });
            let asked = task.task_ref();
            let looker = create_task(async move { asked.stack().await });
            if round % 3 == 0 {
                task.cancel();
            }
            task.wait().await;
            let _any = looker.await.unwrap();
        }
    }

    async fn a_foreign_future_is_seen_by_its_waker() {
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let task = create_task(async move { receiver.await.unwrap() });
        settled(&[task.task_ref()]).await;
        let stack = task.stack().await;
        assert_eq!(stack.awaits()[0].what, Awaits::Foreign);
        assert!(stack.to_string().contains("oneshot"), "{stack}");
        // The waker that the look has registered is as good as the one before.
        sender.send(()).unwrap();
        task.await.unwrap();
    }

    async fn what_registers_no_waker_is_said_to() {
        let task = create_task(pending::<()>());
        settled(&[task.task_ref()]).await;
        let graph = Handle::current().call_graph_with_stacks(PATIENCE).await;
        let report = graph.get(task.id()).unwrap();
        assert!(report.is_exact && report.awaits.is_empty());
        assert!(graph.to_string().contains("cannot wake it"), "{graph}");
    }

    // Line tables, which is all that an optimised build has, hold no names of inlined functions.
    #[cfg(debug_assertions)]
    async fn i_08_a_task_with_what_it_awaits_and_who_awaits_it() {
        let (promise, lost) = Promise::new();
        let inner = TaskBuilder::new().name("inner").create_task(middle(lost));
        let inner_ref = inner.task_ref();
        let outer = TaskBuilder::new().name("outer").create_task(async move { inner.await.unwrap() });
        let unrelated = TaskBuilder::new().name("unrelated").create_task(pending::<()>());
        settled(&[inner_ref.clone(), outer.task_ref(), unrelated.task_ref()]).await;
        let graph = capture_call_graph(Some(&inner_ref)).await.unwrap();
        let names: Vec<&str> = graph.tasks().iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names, ["inner", "outer"]);
        assert_eq!(graph.get(inner_ref.id()).unwrap().awaited_by, [outer.id()]);
        let text = format_call_graph(Some(&inner_ref), None).await;
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is missing in {text}"));
        assert!(at("outer") < at("'inner'") && at("'inner'") < at("inspect::middle"), "{text}");
        assert!(at("inspect::middle") < at("inspect::innermost"), "{text}");
        drop(promise);
        drop(unrelated);
        outer.await.unwrap();
    }

    async fn i_08_the_current_task_with_ordinary_functions_and_none_outside() {
        let me = current_task().unwrap();
        let graph = capture_call_graph(None).await.unwrap();
        let report = graph.get(me.id()).unwrap();
        assert_eq!(report.state, TaskState::Running);
        assert_eq!(report.awaits[0].what, Awaits::Here);
        let said = std::thread::spawn(|| futures::executor::block_on(capture_call_graph(None)).is_none()).join();
        assert!(said.unwrap());
        assert!(call_graph().get(me.id()).is_some());
    }

    async fn i_09_direct_awaits_and_waits_are_edges() {
        let (promise, lost) = Promise::<()>::new();
        let awaited = create_task(async { lost.await.unwrap() });
        let id = awaited.id();
        let same = awaited.task_ref();
        let direct = create_task(async move { awaited.await.unwrap() });
        let waits = same.clone();
        let waiting = create_task(async move { waits.wait().await });
        settled(&[same.clone(), direct.task_ref(), waiting.task_ref()]).await;
        let graph = call_graph();
        let mut by = graph.get(id).unwrap().awaited_by.clone();
        by.sort();
        assert_eq!(by, [direct.id(), waiting.id()]);
        assert_eq!(graph.get(direct.id()).unwrap().awaits[0].tasks(), [id]);
        promise.set_result(()).unwrap();
        direct.await.unwrap();
        waiting.await.unwrap();
    }

    async fn i_09_an_await_in_a_combinator_with_its_own_wakers_is_an_edge() {
        let tasks: Vec<Task<()>> = (0..3).map(|_| create_task(pending())).collect();
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id()).collect();
        let refs: Vec<TaskRef> = tasks.iter().map(|task| task.task_ref()).collect();
        let waiting = create_task(async move {
            let mut set: FuturesUnordered<Task<()>> = tasks.into_iter().collect();
            set.next().await;
        });
        settled(&[waiting.task_ref()]).await;
        let graph = call_graph();
        assert!(ids.iter().all(|id| graph.get(*id).unwrap().awaited_by == [waiting.id()]), "{graph}");
        refs.iter().for_each(|task| assert!(task.cancel()));
        waiting.await.unwrap();
    }

    async fn i_09_the_owner_awaits_its_children_all_their_life() {
        let me = current_task().unwrap();
        let child = TaskBuilder::new().awaited_by(me.id()).create_task(pending::<()>());
        let graph = call_graph();
        let report = graph.get(child.id()).unwrap();
        assert_eq!((&report.awaited_by[..], report.group), (&[me.id()][..], Some(me.id())));
        let via: Vec<_> = graph.get(me.id()).unwrap().awaits.iter().map(|place| place.via).collect();
        assert_eq!(via, [Some("group")]);
    }

    async fn i_11_an_await_that_is_over_leaves_no_edge() {
        let mut kept = create_task(pending::<()>());
        let id = kept.id();
        let me = current_task().unwrap();
        // It loses at once; the handle stays.
        futures::future::select(&mut kept, futures::future::ready(())).await;
        let graph = Handle::current().call_graph_with_stacks(PATIENCE).await;
        assert!(graph.get(id).unwrap().awaited_by.is_empty(), "{graph}");
        kept.stop_waiting();
        assert!(call_graph().get(id).unwrap().awaited_by.is_empty());
        // The awaiting task has ended: no edge to or from it.
        let (begun, has_begun) = event();
        let awaiting = create_task(async move {
            begun.happen();
            kept.await
        });
        has_begun.wait().await;
        settled(&[awaiting.task_ref()]).await;
        assert_eq!(call_graph().get(id).unwrap().awaited_by, [awaiting.id()]);
        let name = awaiting.get_name();
        awaiting.cancel();
        awaiting.wait().await;
        let graph = call_graph();
        assert!(graph.get(awaiting.id()).is_none() && !graph.to_string().contains(&name), "{graph}");
        assert!(graph.get(me.id()).is_some());
    }

    async fn i_11_the_first_step_of_an_eager_task_has_edges_too() {
        let (promise, lost) = Promise::<()>::new();
        let inner = create_task(async { lost.await.unwrap() });
        let id = inner.id();
        let outer = TaskBuilder::new().eager_start(true).create_task(async { inner.await.unwrap() });
        assert_eq!(call_graph().get(id).unwrap().awaited_by, [outer.id()]);
        promise.set_result(()).unwrap();
        outer.await.unwrap();
    }

    async fn i_12_the_table_has_a_row_per_task() {
        let inner = TaskBuilder::new().name("inner").create_task(sleep(Duration::from_secs(3600)));
        let id = inner.id();
        let outer = TaskBuilder::new().name("outer").create_task(async { inner.await.unwrap() });
        settled(&[outer.task_ref()]).await;
        while call_graph().get(id).unwrap().awaits.is_empty() {
            yield_now().await;
        }
        let table = call_graph().table().to_string();
        let row = |name: &str| table.lines().find(|row| row.split_whitespace().nth(1) == Some(name)).unwrap_or_else(|| panic!("{table}"));
        assert!(row("inner").contains("timer in 3") && row("inner").contains("outer"), "{table}");
        assert!(row("outer").contains("inner") && row("outer").contains("inspect.rs"), "{table}");
        outer.cancel();
    }

    async fn i_13_a_cycle_is_named_and_the_tree_ends_there() {
        let place = Arc::new(Mutex::new(None::<Task<()>>));
        let other = place.clone();
        let (promise, go) = Promise::<()>::new();
        let one = TaskBuilder::new().name("one").create_task(async move {
            go.await.unwrap();
            let task = other.lock().unwrap().take().unwrap();
            let _ = task.await;
        });
        let one_ref = one.task_ref();
        let two = TaskBuilder::new().name("two").create_task(async move { drop(one.await) });
        let two_ref = two.task_ref();
        *place.lock().unwrap() = Some(two);
        promise.set_result(()).unwrap();
        settled(&[one_ref.clone(), two_ref.clone()]).await;
        let graph = loop {
            let graph = call_graph();
            if !graph.cycles().is_empty() {
                break graph;
            }
            yield_now().await;
        };
        assert_eq!(graph.cycles(), [[one_ref.id(), two_ref.id()]]);
        let text = graph.to_string();
        let names = format!("Task-{} 'one' awaits Task-{} 'two' awaits Task-{} 'one'", one_ref.id(), two_ref.id(), one_ref.id());
        assert!(text.contains(&format!("cycle: {names}")), "{text}");
        assert!(text.contains("'one' (a cycle)"), "{text}");
        one_ref.cancel();
    }

    async fn i_13_a_task_awaited_by_several_appears_under_each() {
        let shared = TaskBuilder::new().name("shared").create_task(pending::<()>());
        let refs = [shared.task_ref(), shared.task_ref()];
        let waiting = refs.map(|task| create_task(async move { task.wait().await }));
        settled(&[waiting[0].task_ref(), waiting[1].task_ref()]).await;
        let text = call_graph().to_string();
        assert_eq!(text.matches("'shared'").count(), 2, "{text}");
        shared.cancel();
    }

    async fn a_very_deep_chain_is_shown_in_parts() {
        let mut last = create_task(pending::<()>());
        let first = last.task_ref();
        for _ in 0..2000 {
            let below = last;
            last = create_task(async move { below.await.unwrap_or_default() });
        }
        let me = current_task().unwrap().id();
        let waits = |task: &TaskReport| task.id == me || matches!(task.state, TaskState::Suspended { .. });
        let graph = loop {
            yield_now().await;
            let graph = call_graph();
            if graph.tasks().iter().all(waits) {
                break graph;
            }
        };
        assert!(graph.cycles().is_empty());
        let text = graph.to_string();
        assert!(text.contains("(see below)") && text.contains(&format!("Task-{}:", first.id())));
        assert!(text.lines().all(|line| line.len() < 1000));
        first.cancel();
        last.wait().await;
    }

    async fn pictures_of_tasks_that_come_and_go() {
        let handle = Handle::current();
        let stays = create_task(pending::<()>());
        let id = stays.id();
        let over = Count::default();
        let is_over = over.clone();
        let looker = std::thread::spawn(move || {
            let mut looks = 0;
            while is_over.get() == 0 || looks < 3 {
                let graph = handle.call_graph();
                assert!(graph.get(id).is_some(), "what is there all the time is in every picture");
                let _text = graph.to_string();
                looks += 1;
            }
        });
        for _ in 0..30 {
            let tasks: Vec<_> = (0..600).map(|_| create_task(async { create_task(yield_now()).await.unwrap() })).collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
        over.up();
        while !looker.is_finished() {
            yield_now().await;
        }
        looker.join().unwrap();
    }

    async fn a_timer_is_seen_without_asking_the_task() {
        let task = create_task(async { sleep(Duration::from_secs(7200)).await });
        let awaits = loop {
            let graph = call_graph();
            let report = graph.get(task.id()).unwrap().clone();
            if let Some(place) = report.awaits.first() {
                break place.what.clone();
            }
            yield_now().await;
        };
        let Awaits::Timer { until: Some(until), after: Some(after) } = awaits else { panic!("{awaits:?}") };
        assert!(until > Handle::current().time() + Duration::from_secs(7000));
        assert!(after > Duration::from_secs(7000) && after <= Duration::from_secs(7200));
        assert_eq!(task.stack().await.awaits().len(), 1);
        task.cancel();
    }
}

/// A runtime that records its polls.
fn recorded<T: Send>(workers: usize, body: impl Future<Output = T>) -> T {
    let engine = Engine::new(Config { workers, inspect: true, ..Config::default() }).unwrap();
    let output = engine.run(body).unwrap();
    engine.close();
    output
}

#[test]
fn recorded_polls_tell_parent_polls_and_every_await_without_asking() {
    for workers in [1, 2] {
        recorded(workers, async {
            let me = current_task().unwrap();
            let (promise, lost) = Promise::<()>::new();
            let promised = promise.task_ref().id();
            let task = create_task(async {
                yield_now().await;
                yield_now().await;
                lost.await.unwrap();
            });
            let report = loop {
                let report = call_graph().get(task.id()).unwrap().clone();
                if report.polls == Some(3) && matches!(report.state, TaskState::Suspended { .. }) {
                    break report;
                }
                yield_now().await;
            };
            assert_eq!(report.parent, Some(me.id()));
            assert!(report.is_exact);
            assert!(matches!(report.awaits[0].what, Awaits::Promise { id, .. } if id == promised));
            assert!(matches!(report.state, TaskState::Suspended { since: Some(_) }));
            promise.set_result(()).unwrap();
            task.await.unwrap();
        });
    }
}

#[test]
fn recorded_polls_know_awaits_that_are_over() {
    recorded(1, async {
        let mut kept = create_task(pending::<()>());
        let id = kept.id();
        let waits = create_task(async move {
            futures::future::select(&mut kept, yield_now()).await;
            yield_now().await;
            sleep(Duration::MAX).await;
            drop(kept);
        });
        loop {
            let graph = call_graph();
            let report = graph.get(waits.id()).unwrap();
            if report.awaits.iter().any(|place| place.what == (Awaits::Timer { until: None, after: None })) {
                assert!(graph.get(id).unwrap().awaited_by.is_empty(), "{graph}");
                break;
            }
            yield_now().await;
        }
        waits.cancel();
    });
}

#[test]
fn the_deterministic_runtime_answers_too_and_time_does_not_move_for_it() {
    for seed in [None, Some(1), Some(2)] {
        let config = Config { workers: 1, virtual_time: true, seed, ..Config::default() };
        let engine = Engine::new(config).unwrap();
        engine
            .run(async {
                let start = Handle::current().time();
                let task = create_task(async { sleep(Duration::from_secs(10)).await });
                while !matches!(task.call_graph().get(task.id()).unwrap().state, TaskState::Suspended { .. }) {
                    yield_now().await;
                }
                let stack = task.stack().await;
                assert!(matches!(stack.awaits()[0].what, Awaits::Timer { after: Some(after), .. } if after == Duration::from_secs(10)));
                assert_eq!(Handle::current().time(), start);
            })
            .unwrap();
        engine.close();
    }
}

#[test]
fn a_worker_that_is_stuck_is_named_and_its_task_is_running() {
    let engine = Engine::new(Config { workers: 2, ..Config::default() }).unwrap();
    let handle = engine.handle();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel::<()>();
    let task = handle.create_task(async move {
        begun.send(()).unwrap();
        released.recv().unwrap();
    });
    has_begun.recv().unwrap();
    let graph = handle.blocking_call_graph(Duration::from_millis(50));
    assert_eq!(graph.get(task.id()).unwrap().state, TaskState::Running, "{graph}");
    assert!(graph.workers().iter().any(|worker| worker.moves == Some(false)), "{graph}");
    assert!(graph.to_string().contains("is stuck in one poll"), "{graph}");
    // Asked by another task.
    let asked = task.task_ref();
    let stack = engine.run(async move { asked.stack().await });
    assert_eq!(stack.unwrap().state(), &TaskState::Running);
    release.send(()).unwrap();
    engine.close();
}

#[test]
fn a_hundred_thousand_tasks_are_shown_while_others_run() {
    const TASKS: usize = 100_000;
    on(2, async {
        let handle = Handle::current();
        let sleeping: Vec<_> = (0..TASKS / 2).map(|_| create_task(sleep(Duration::from_secs(86_400)))).collect();
        let waiting: Vec<_> = sleeping.into_iter().map(|task| create_task(async { task.await.unwrap() })).collect();
        let ticks = Count::default();
        let ticked = ticks.clone();
        let ticker = create_task(async move {
            loop {
                ticked.up();
                yield_now().await;
            }
        });
        let looker = std::thread::spawn(move || {
            let graph = handle.call_graph();
            (graph.tasks().len(), graph.table().to_string().lines().count(), graph.to_string().len())
        });
        // Others go on: main here, and the ticker.
        while !looker.is_finished() || ticks.get() < 2 {
            yield_now().await;
        }
        let (tasks, rows, text) = looker.join().unwrap();
        assert!(tasks >= TASKS && rows == tasks + 1 && text > TASKS * 20);
        ticker.cancel();
        waiting.iter().for_each(|task| assert!(task.cancel()));
    });
}

#[test]
fn a_waker_of_a_watched_poll_is_an_ordinary_one_afterwards() {
    on(1, async {
        let kept: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let keeps = kept.clone();
        let done = Count::default();
        let is_done = done.clone();
        let task = create_task(poll_fn(move |cx| {
            keeps.lock().unwrap().push(cx.waker().clone());
            if is_done.get() > 0 { Poll::Ready(()) } else { Poll::Pending }
        }));
        yield_now().await;
        assert_eq!(task.stack().await.awaits()[0].what, Awaits::Foreign);
        let wakers = std::mem::take(&mut *kept.lock().unwrap());
        assert!(wakers.len() >= 2 && wakers.iter().all(|waker| waker.will_wake(&wakers[0])));
        done.up();
        wakers.last().unwrap().wake_by_ref();
        task.await.unwrap();
    });
}
