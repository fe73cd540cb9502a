//! Chains and rings of tasks that await or hold each other, of any length, on a flat stack (T-12).

use crate::cancel::message;
use crate::support::*;
use runtime_core::*;
use std::future::pending;

/// `length` tasks, each awaiting the one before, all of them begun; gives the last one and all.
async fn chain(length: usize, first: Task<()>) -> (Task<()>, Vec<TaskRef>) {
    let begun = Count::default();
    let mut all = vec![first.task_ref()];
    let mut last = first;
    for _ in 1..length {
        let (below, begun) = (last, begun.clone());
        last = create_task(async move {
            begun.up();
            if below.await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        all.push(last.task_ref());
    }
    while begun.get() < length - 1 {
        yield_now().await;
    }
    (last, all)
}

/// On a stack that is small for what recursion would need.
fn on_a_small_stack(workers: usize, future: impl Future<Output = ()> + Send + 'static) {
    let run = move || {
        let _watchdog = Watchdog::new();
        let config = Config { workers, thread_stack_size: Some(256 << 10), ..Config::default() };
        let engine = Engine::new(config).unwrap();
        engine.run(future).unwrap();
        engine.close();
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().unwrap();
}

const LONG: usize = 100_000;

#[test]
fn t_12_a_long_chain_cancelled_from_its_outer_end() {
    for workers in [1, 2, 8] {
        on_a_small_stack(workers, async {
            let (last, all) = chain(LONG, create_task(pending::<()>())).await;
            last.cancel_with("all of you");
            assert_eq!(message(&last.await.unwrap_err()), Some("all of you"));
            for task in &all {
                task.wait().await;
                assert!(task.cancelled());
            }
        });
    }
}

#[test]
fn t_12_a_long_chain_cancelled_from_its_inner_end() {
    for workers in [1, 2, 8] {
        on_a_small_stack(workers, async {
            let mut last = create_task(pending::<()>());
            let first = last.task_ref();
            for _ in 1..LONG {
                let below = last;
                last = create_task(async move {
                    if let Err(TaskError::Cancelled(error)) = below.await {
                        error.reraise().await
                    }
                });
            }
            yield_now().await;
            first.cancel_with("from below");
            assert_eq!(message(&last.await.unwrap_err()), Some("from below"));
        });
    }
}

#[test]
fn t_12_a_long_chain_is_shut_down() {
    for workers in [1, 2, 8] {
        on_a_small_stack(workers, async {
            let (last, _) = chain(LONG, create_task(pending::<()>())).await;
            yield_now().await;
            drop(last);
        });
    }
}

/// A ring of tasks, each awaiting the next one.
async fn ring(length: usize) -> Vec<TaskRef> {
    let (close, closed) = Promise::<Task<()>>::new();
    let mut refs = Vec::new();
    let begun = Count::default();
    let first = begun.clone();
    let mut last: Task<()> = create_task(async move {
        let next = closed.await.unwrap();
        first.up();
        let _ = next.await;
        std::future::pending::<()>().await;
    });
    refs.push(last.task_ref());
    for _ in 1..length {
        let (below, begun) = (last, begun.clone());
        last = create_task(async move {
            begun.up();
            let _ = below.await;
            std::future::pending::<()>().await;
        });
        refs.push(last.task_ref());
    }
    close.set_result(last).ok().unwrap();
    while begun.get() < length {
        yield_now().await;
    }
    refs
}

everywhere! {
    async fn t_12_a_ring_is_cancelled_from_any_member() {
        for length in [2, 3, 10] {
            let ring = ring(length).await;
            ring[length / 2].cancel();
            for task in ring {
                task.wait().await;
                assert!(task.cancelled());
            }
        }
    }

    async fn t_12_a_ring_with_two_requests_on_their_way_ends() {
        for length in [4, 6, 9] {
            let ring = ring(length).await;
            ring[0].cancel_with("one");
            ring[length / 2].cancel_with("two");
            for task in ring {
                task.wait().await;
                assert!(task.cancelled());
            }
        }
    }

    async fn t_12_a_ring_is_shut_down() {
        drop(ring(7).await);
    }
}

/// Cancels members of a ring at any time and in any way, and then waits for all of them or leaves them to the shutdown, as the numbers in `choice` say.
async fn cancel_a_ring(mut choice: usize) {
    let mut choose = |most: usize| {
        let chosen = choice % most;
        choice /= most;
        chosen
    };
    let length = 2 + choose(3);
    let ring = ring(length).await;
    let shared = CancelledError::without_message().identified();
    let (leaves, requests) = (choose(2) == 0, 1 + choose(3));
    for _ in 0..requests {
        let member = &ring[choose(length)];
        match choose(3) {
            0 => member.cancel(),
            1 => member.cancel_with("a message"),
            _ => member.cancel_by(&shared),
        };
        for _ in 0..choose(3) {
            yield_now().await;
        }
    }
    if leaves {
        return;
    }
    for task in ring {
        task.wait().await;
        assert!(task.cancelled());
    }
}

#[test]
fn t_12_a_ring_with_requests_at_any_time_ends_and_is_shut_down() {
    for workers in [1, 2, 8] {
        for round in 0..400_usize {
            // Multiplied, so that all choices vary from the first rounds on (Knuth's multiplicative hash).
            on(workers, cancel_a_ring(round.wrapping_mul(2_654_435_761)));
        }
    }
}

/// An outcome that may hold the handle of another task.
struct Link(#[expect(dead_code, reason = "held, to be dropped")] Option<Task<Link>>);

#[test]
fn a_long_chain_of_outcomes_that_hold_the_next_task_is_dropped_with_a_flat_stack() {
    for workers in [1, 2] {
        on_a_small_stack(workers, async {
            for ended in [true, false] {
                let mut last = create_task(async { Link(None) });
                let mut all = vec![last.task_ref()];
                for _ in 1..LONG {
                    let below = last;
                    last = create_task(async move { Link(Some(below)) });
                    all.push(last.task_ref());
                }
                if ended {
                    for task in &all {
                        task.wait().await;
                    }
                }
                drop(last);
                for task in &all {
                    task.wait().await;
                }
            }
        });
    }
}

#[test]
fn a_long_chain_of_promises_kept_with_the_next_task_is_dropped_with_a_flat_stack() {
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(|| {
        let mut last = None;
        for _ in 0..LONG {
            let (promise, task) = Promise::new();
            assert!(promise.set_result(Link(last)).is_ok());
            last = Some(task);
        }
        drop(last);
    });
    thread.unwrap().join().unwrap();
}
