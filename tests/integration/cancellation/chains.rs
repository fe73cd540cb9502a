//! Chains and cycles of tasks that await each other (T-12).

use super::*;

const LONG: usize = 100_000;

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
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        let main = async {
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
        };
        runner.run(main).unwrap();
    }
}

#[test]
fn t_12_a_chain_of_a_hundred_thousand_is_cancelled_from_the_inner_end() {
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        let main = async {
            let first = create_task(forever());
            let inner = first.task_ref();
            let outer = chain(LONG, first, &Count::default());
            passes(3).await;
            inner.cancel();
            outer.await.unwrap();
        };
        runner.run(main).unwrap();
    }
}

#[test]
fn t_12_a_chain_of_a_hundred_thousand_is_dropped_and_shut_down() {
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        runner.run(async { drop(chain(LONG, create_task(forever()), &Count::default())) }).unwrap();
        runner.close();
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        runner
            .run(async {
                let outer = chain(LONG, create_task(forever()), &Count::default());
                passes(2).await;
                drop(outer);
            })
            .unwrap();
        drop(runner);
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
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        let main = async {
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
        };
        runner.run(main).unwrap();
        runner.close();
    }
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
