//! Chains and cycles of tasks that await each other (T-12).

use super::*;

const LONG: usize = 100_000;

/// Runs `main` on one worker and on two, and closes the runtime.
fn one_and_two_workers(main: impl AsyncFn()) {
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        runner.run(main()).unwrap();
        runner.close();
    }
}

/// Tasks each of which awaits the one before, and counts that it does; the first one is given.
fn chain(length: usize, mut last: Task<()>, awaiting: &Count) -> Task<()> {
    for _ in 0..length {
        let (awaited, awaiting) = (last, awaiting.clone());
        last = create_task(async move {
            awaiting.add();
            match awaited.await {
                Ok(()) => {}
                Err(error) => drop(error),
            }
        });
    }
    last
}

#[test]
fn t_12_a_chain_of_a_hundred_thousand_is_cancelled_from_the_outer_end() {
    one_and_two_workers(async || {
        let first = create_task(forever());
        let inner = first.task_ref();
        let awaiting = Count::default();
        let outer = chain(LONG, first, &awaiting);
        // One that has not begun is dropped by the request, and what it was to await goes on.
        while awaiting.get() < LONG {
            yield_now().await;
        }
        outer.cancel_with("why");
        assert_eq!(cancellation(outer.await).message(), Some("why"));
        assert!(inner.cancelled());
    });
}

#[test]
fn t_12_a_chain_of_a_hundred_thousand_is_cancelled_from_the_inner_end() {
    one_and_two_workers(async || {
        let first = create_task(forever());
        let inner = first.task_ref();
        let outer = chain(LONG, first, &Count::default());
        passes(3).await;
        inner.cancel();
        outer.await.unwrap();
    });
}

#[test]
fn t_12_a_chain_of_a_hundred_thousand_is_dropped_and_shut_down() {
    for polls in [0, 2] {
        one_and_two_workers(async || {
            let outer = chain(LONG, create_task(forever()), &Count::default());
            passes(polls).await;
            drop(outer);
        });
    }
}

/// A ring of tasks that await each other.
async fn ring(length: usize) -> Vec<runtime::TaskRef> {
    let (promise, last) = Promise::<Task<()>>::new();
    let first = create_task(async {
        drop(last.await.unwrap().await);
    });
    let mut refs = vec![first.task_ref()];
    let mut before = first;
    for _ in 1..length {
        let awaited = before;
        before = create_task(async move { drop(awaited.await) });
        refs.push(before.task_ref());
    }
    promise.set_result(before).unwrap();
    passes(3).await;
    refs
}

#[test]
fn t_12_cycles_of_any_length_are_cancelled_anywhere() {
    one_and_two_workers(async || {
        for (length, places) in [(2, 2), (3, 3), (50, 3), (LONG, 1)] {
            for from in [length / 2, length - 1, 0].into_iter().take(places) {
                let refs = ring(length).await;
                refs[from].cancel();
                for task in refs {
                    task.wait().await;
                }
            }
        }
        drop(ring(1000).await);
    });
}

#[test]
fn t_12_promises_in_a_long_chain_are_dropped_with_a_flat_stack() {
    exact(async || {
        // The drop of one promise ends a task, whose callback drops the next promise.
        let (mut promise, _task) = signal();
        for _ in 0..LONG {
            let (next, task) = signal();
            let before = promise;
            task.add_done_callback(move |_| drop(before));
            drop(task);
            promise = next;
        }
        drop(promise);
        while all_tasks().len() > 1 {
            yield_now().await;
        }
    });
}

/// What nests here has more in each level than a chain of tasks. A stack holds less than a thousand such levels.
const DEEP: usize = 6_000;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The innermost: counts when it is there, and when it has gone.
fn bottom(count: &Count) -> Boxed {
    let (count, gone) = (count.clone(), OnDrop(count.clone()));
    Box::pin(async move {
        let _gone = gone;
        count.add();
        forever().await;
    })
}

fn groups(levels: usize, inside: Boxed) -> Boxed {
    Box::pin(async move {
        let result = TaskGroup::<()>::scope(async move |group| {
            group.create_task(if levels == 0 { inside } else { groups(levels - 1, inside) });
            Ok(())
        });
        result.await.unwrap();
    })
}

fn gathers(levels: usize, inside: Boxed) -> Boxed {
    Box::pin(async move {
        gather([if levels == 0 { inside } else { gathers(levels - 1, inside) }]).await;
    })
}

fn timeouts(levels: usize, inside: Boxed) -> Boxed {
    Box::pin(async move {
        let inner = create_task(if levels == 0 { inside } else { timeouts(levels - 1, inside) });
        // Nothing of it is cancelled by a drop.
        drop(timeout(Duration::from_secs(3600), inner).await);
    })
}

#[test]
fn t_12_deep_nests_of_groups_gathers_and_timeouts_are_cancelled_and_shut_down_with_a_flat_stack() {
    for nest in [groups, gathers, timeouts] {
        one_and_two_workers(async || {
            for shut_down in [false, true] {
                let told = Count::default();
                let outer = create_task(nest(DEEP, bottom(&told)));
                while told.get() == 0 {
                    yield_now().await;
                }
                if shut_down {
                    drop(outer);
                } else {
                    outer.cancel();
                    assert!(outer.await.unwrap_err().is_cancelled());
                    assert_eq!(told.get(), 2);
                }
            }
        });
    }
}

#[test]
fn t_12_deep_nests_of_groups_and_gathers_are_dropped_with_a_flat_stack() {
    for nest in [groups, gathers] {
        one_and_two_workers(async || {
            let told = Count::default();
            let mut outer = nest(DEEP, bottom(&told));
            assert!(futures::poll!(outer.as_mut()).is_pending());
            while told.get() == 0 {
                yield_now().await;
            }
            drop(outer);
            while told.get() == 1 {
                yield_now().await;
            }
        });
    }
}

/// The value of a task, which holds the handle of another.
struct Link(Option<Task<Link>>);

#[test]
fn t_12_tasks_in_the_values_of_tasks_are_dropped_with_a_flat_stack() {
    one_and_two_workers(async || {
        let mut last = create_task(async { Link(None) });
        for _ in 0..LONG {
            last.wait().await;
            let before = last;
            last = create_task(async move { Link(Some(before)) });
        }
        let Link(before) = last.await.unwrap();
        drop(before);
    });
}
