//! Our own workloads by themselves, to find regressions: `cargo bench`, and `cargo bench -- --test` to see only whether they work.
//!
//! Against others, and with CPU time and memory, see `benches/compare`.

use divan::Bencher;
use divan::counter::ItemsCount;
use runtime::{Runner, Task, TaskGroup, create_task, gather, sleep, timeout, yield_now};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

fn main() {
    divan::main();
}

/// Numbers of workers.
const WORKERS: [usize; 3] = [1, 2, 4];
/// Tasks, timers, round trips of one iteration.
const MANY: usize = 10_000;

/// Runs `body` again and again in a task of one runtime; `items` is what it does in one iteration.
fn bench<F>(bencher: Bencher<'_, '_>, workers: usize, items: usize, body: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let runner = Runner::builder().workers(workers).build().expect("threads can be started");
    bencher.counter(ItemsCount::new(items)).bench_local(|| {
        let body = body();
        runner.run(async { create_task(body).await.expect("the workload ends") }).expect("nobody cancels it");
    });
    runner.close();
}

async fn await_all(tasks: Vec<Task<()>>) {
    for task in tasks {
        task.await.expect("an empty task ends");
    }
}

mod spawn {
    use super::*;

    #[divan::bench(args = WORKERS)]
    fn and_await_all(bencher: Bencher<'_, '_>, workers: usize) {
        bench(bencher, workers, MANY, || async {
            await_all((0..MANY).map(|_| create_task(async {})).collect()).await;
        });
    }

    #[divan::bench(args = WORKERS)]
    fn detached(bencher: Bencher<'_, '_>, workers: usize) {
        bench(bencher, workers, MANY, || async {
            let left = Arc::new(AtomicUsize::new(MANY));
            for _ in 0..MANY {
                let left = Arc::clone(&left);
                // Release: pairs with the acquire below.
                drop(create_task(async move { left.fetch_sub(1, Ordering::Release) }));
            }
            while left.load(Ordering::Acquire) > 0 {
                yield_now().await;
            }
        });
    }

    #[divan::bench(args = WORKERS)]
    fn one_and_await_it(bencher: Bencher<'_, '_>, workers: usize) {
        bench(bencher, workers, MANY, || async {
            for _ in 0..MANY {
                create_task(async {}).await.expect("an empty task ends");
            }
        });
    }

    #[divan::bench(args = WORKERS)]
    fn tree(bencher: Bencher<'_, '_>, workers: usize) {
        const DEPTH: u32 = 12;

        fn node(depth: u32) -> Task<usize> {
            create_task(async move {
                if depth == 0 {
                    return 1;
                }
                let (left, right) = (node(depth - 1), node(depth - 1));
                1 + left.await.expect("a node ends") + right.await.expect("a node ends")
            })
        }

        let nodes = (1 << (DEPTH + 1)) - 1;
        bench(bencher, workers, nodes, move || async move {
            assert_eq!(node(DEPTH).await.expect("a node ends"), nodes);
        });
    }
}

mod wake {
    use super::*;
    use tokio::sync::mpsc;

    #[divan::bench(args = WORKERS)]
    fn yields(bencher: Bencher<'_, '_>, workers: usize) {
        bench(bencher, workers, 100 * 100, || async {
            let yields = || async {
                for _ in 0..100 {
                    yield_now().await;
                }
            };
            await_all((0..100).map(|_| create_task(yields())).collect()).await;
        });
    }

    #[divan::bench(args = WORKERS)]
    fn channel_round_trips(bencher: Bencher<'_, '_>, workers: usize) {
        const PAIRS: usize = 100;
        const TRIPS: usize = 100;
        bench(bencher, workers, PAIRS * TRIPS, || async {
            let pairs = (0..PAIRS).flat_map(|_| {
                let (ping, mut pinged) = mpsc::channel(1);
                let (pong, mut ponged) = mpsc::channel(1);
                let asks = async move {
                    for trip in 0..TRIPS {
                        ping.send(trip).await.expect("the other receives");
                        assert_eq!(ponged.recv().await, Some(trip));
                    }
                };
                let answers = async move {
                    while let Some(trip) = pinged.recv().await {
                        pong.send(trip).await.expect("the other receives");
                    }
                };
                [create_task(asks), create_task(answers)]
            });
            await_all(pairs.collect()).await;
        });
    }
}

mod time {
    use super::*;

    #[divan::bench(args = [1, 8])]
    fn timeout_armed_and_dropped(bencher: Bencher<'_, '_>, tasks: usize) {
        bench(bencher, 2, MANY, move || async move {
            let arm = |times| async move {
                for _ in 0..times {
                    let mut armed = pin!(timeout(Duration::from_secs(30), pending::<()>()));
                    poll_fn(|cx| Poll::Ready(assert!(armed.as_mut().poll(cx).is_pending()))).await;
                }
            };
            await_all((0..tasks).map(|_| create_task(arm(MANY / tasks))).collect()).await;
        });
    }

    #[divan::bench]
    fn sleeps_of_a_millisecond(bencher: Bencher<'_, '_>) {
        bench(bencher, 2, MANY, || async {
            await_all((0..MANY).map(|_| create_task(sleep(Duration::from_millis(1)))).collect()).await;
        });
    }
}

mod words {
    use super::*;

    #[divan::bench]
    fn gather_many(bencher: Bencher<'_, '_>) {
        bench(bencher, 2, MANY, || async {
            assert_eq!(gather((0..MANY).map(|number| async move { number })).await.len(), MANY);
        });
    }

    #[divan::bench]
    fn group_of_many(bencher: Bencher<'_, '_>) {
        bench(bencher, 2, MANY, || async {
            let group = TaskGroup::scope(async |group| {
                for _ in 0..MANY {
                    group.create_task(async { Ok::<_, Infallible>(()) });
                }
                Ok(())
            });
            group.await.expect("no child fails");
        });
    }

    #[divan::bench]
    fn cancel_many(bencher: Bencher<'_, '_>) {
        bench(bencher, 2, MANY, || async {
            let tasks: Vec<_> = (0..MANY).map(|_| create_task(pending::<()>())).collect();
            yield_now().await;
            assert!(tasks.iter().all(|task| task.cancel()));
            for task in tasks {
                assert!(task.await.expect_err("it was cancelled").is_cancelled());
            }
        });
    }
}

mod threads {
    use super::*;
    use runtime::{Handle, to_thread};

    #[divan::bench(args = WORKERS)]
    fn spawn_from_outside(bencher: Bencher<'_, '_>, workers: usize) {
        bench(bencher, workers, MANY, || async {
            let (handle, left) = (Handle::current(), Arc::new(AtomicUsize::new(MANY)));
            let counter = Arc::clone(&left);
            let submit = to_thread(move || {
                for _ in 0..MANY {
                    let left = Arc::clone(&counter);
                    // Release: pairs with the acquire below.
                    drop(handle.create_task(async move { left.fetch_sub(1, Ordering::Release) }));
                }
            });
            submit.await.expect("the thread ends");
            while left.load(Ordering::Acquire) > 0 {
                yield_now().await;
            }
        });
    }

    #[divan::bench]
    fn to_thread_and_back(bencher: Bencher<'_, '_>) {
        bench(bencher, 2, 100, || async {
            for number in 0..100 {
                assert_eq!(to_thread(move || number).await.expect("the thread answers"), number);
            }
        });
    }
}
