//! Work handed in by threads that are not workers.

use std::sync::{Arc, Barrier};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::countdown::Countdown;
use crate::floor::pool::Pool;
use crate::measure::{Config, Outcome, Stopwatch, quantile};
use crate::rt::Rt;
use crate::workloads::{Metric, Row, Rule, drive, runs, times};

const SPAWN_FLOOR: &str = "boxed closures in a crossbeam injector, plain threads take them";
const BLOCK_FLOOR: &str = "the same with one thread; the job unparks the submitter";

pub const ROWS: &[Row] = &[
    Row {
        id: "foreign/spawn_1",
        about: "a foreign thread spawns 50k detached tasks; until the last ended, per task",
        floor: SPAWN_FLOOR,
        metrics: times!(0.8),
        min_workers: 1,
        run: runs!(spawn_1, floor_1),
    },
    Row {
        id: "foreign/spawn_2",
        about: "the same 50k from 2 threads",
        floor: SPAWN_FLOOR,
        metrics: times!(0.8),
        min_workers: 1,
        run: runs!(spawn_2, floor_2),
    },
    Row {
        id: "foreign/spawn_4",
        about: "the same 50k from 4 threads",
        floor: SPAWN_FLOOR,
        metrics: times!(0.8),
        min_workers: 1,
        run: runs!(spawn_4, floor_4),
    },
    Row {
        id: "foreign/submit_block",
        about: "a foreign thread submits and blocks on the result, again and again",
        floor: BLOCK_FLOOR,
        metrics: &[
            Metric { name: "p50_us", rule: Rule::BestPeer(0.8) },
            Metric { name: "cpu_ns", rule: Rule::BestPeer(0.8) },
        ],
        min_workers: 1,
        run: runs!(submit_back_to_back, floor_back_to_back),
    },
    Row {
        id: "foreign/submit_block_4",
        about: "4 foreign threads submit and block on the results at once; per call",
        floor: "the same with as many threads as workers; the job unparks the submitter",
        metrics: times!(0.8),
        min_workers: 1,
        run: runs!(submit_block_4, floor_submit_block_4),
    },
    Row {
        id: "foreign/submit_block_rested",
        about: "the same with 1 ms of nothing before each, so that all threads sleep",
        floor: BLOCK_FLOOR,
        metrics: &[Metric { name: "p50_us", rule: Rule::Shown }, Metric { name: "cpu_ns", rule: Rule::Shown }],
        min_workers: 1,
        run: runs!(submit_rested, floor_rested),
    },
];

static LEFT: Countdown = Countdown::new();

/// Runs `body` on a foreign thread while the runtime waits for it.
pub fn on_foreign_thread<R, F>(config: &Config, body: F) -> Outcome
where
    R: Rt,
    F: FnOnce(R::Handle) -> Outcome + Send + 'static,
{
    drive::<R, _>(config, async {
        let (done, outcome) = oneshot::channel();
        let handle = R::handle();
        std::thread::spawn(move || done.send(body(handle)));
        outcome.await.expect("the foreign thread panicked")
    })
}

/// `threads` threads call `submit` `n` times in all, each of which must lead to
/// a `LEFT.down()`.
fn submit_from_threads(config: &Config, threads: usize, submit: Arc<dyn Fn(usize) + Send + Sync>) -> Outcome {
    let each = config.size(50_000) / threads;
    let reps = config.reps(8);
    let (mut wall, mut cpu) = (0.0, 0.0);
    for rep in 0..=reps {
        let (round_wall, round_cpu) = submit_once(threads, each, &submit);
        // The first one warms up.
        if rep > 0 {
            wall += round_wall;
            cpu += round_cpu;
        }
    }
    let ops = (reps * each * threads) as f64;
    Outcome::default().with("wall_ns", wall / ops).with("cpu_ns", cpu / ops)
}

fn submit_once(threads: usize, each: usize, submit: &Arc<dyn Fn(usize) + Send + Sync>) -> (f64, f64) {
    LEFT.reset(threads * each);
    let start = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                submit(each);
            });
        }
        // Long enough for the threads to get to the barrier.
        std::thread::sleep(Duration::from_millis(2));
        let watch = Stopwatch::start();
        start.wait();
        futures_lite::future::block_on(LEFT.wait());
        watch.nanos()
    })
}

fn spawn_from<R: Rt>(config: &Config, threads: usize) -> Outcome {
    let copy = *config;
    on_foreign_thread::<R, _>(config, move |handle| {
        let submit = move |times| {
            for _ in 0..times {
                R::detach(R::spawn_on(&handle, async { LEFT.down() }));
            }
        };
        submit_from_threads(&copy, threads, Arc::new(submit))
    })
}

fn floor_from(config: &Config, threads: usize) -> Outcome {
    let pool = Pool::new(config.workers);
    let submit = move |times| {
        for _ in 0..times {
            pool.submit(Box::new(|| LEFT.down()));
        }
    };
    submit_from_threads(config, threads, Arc::new(submit))
}

fn spawn_1<R: Rt>(config: &Config) -> Outcome {
    spawn_from::<R>(config, 1)
}

fn spawn_2<R: Rt>(config: &Config) -> Outcome {
    spawn_from::<R>(config, 2)
}

fn spawn_4<R: Rt>(config: &Config) -> Outcome {
    spawn_from::<R>(config, 4)
}

fn floor_1(config: &Config) -> Outcome {
    floor_from(config, 1)
}

fn floor_2(config: &Config) -> Outcome {
    floor_from(config, 2)
}

fn floor_4(config: &Config) -> Outcome {
    floor_from(config, 4)
}

/// Median latency of `call`, which gets a number to return, with `rest` between.
fn call_often(times: usize, rest: Duration, mut call: impl FnMut(usize) -> usize) -> Outcome {
    (0..times / 10).for_each(|number| assert_eq!(call(number), number));
    let watch = Stopwatch::start();
    let mut latencies = Vec::with_capacity(times);
    for number in 0..times {
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
        let start = Instant::now();
        assert_eq!(call(number), number);
        latencies.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    let (_, cpu) = watch.nanos();
    Outcome::default()
        .with("p50_us", quantile(&mut latencies, 0.5))
        .with("p99_us", quantile(&mut latencies, 0.99))
        .with("cpu_ns", cpu / times as f64)
}

/// Times and rests of the two rows.
fn back_to_back(config: &Config) -> (usize, Duration) {
    (config.reps(30_000), Duration::ZERO)
}

fn rested(config: &Config) -> (usize, Duration) {
    (config.reps(300), Duration::from_millis(1))
}

fn submit_and_block<R: Rt>(config: &Config, (times, rest): (usize, Duration)) -> Outcome {
    on_foreign_thread::<R, _>(config, move |handle| {
        call_often(times, rest, |number| R::submit_and_block(&handle, async move { number }))
    })
}

fn submit_back_to_back<R: Rt>(config: &Config) -> Outcome {
    submit_and_block::<R>(config, back_to_back(config))
}

fn submit_rested<R: Rt>(config: &Config) -> Outcome {
    submit_and_block::<R>(config, rested(config))
}

fn submit_block_4<R: Rt>(config: &Config) -> Outcome {
    let copy = *config;
    on_foreign_thread::<R, _>(config, move |handle| {
        let submit = move |times| {
            for _ in 0..times {
                R::submit_and_block(&handle, async { LEFT.down() });
            }
        };
        submit_from_threads(&copy, 4, Arc::new(submit))
    })
}

fn floor_submit_block_4(config: &Config) -> Outcome {
    let pool = Pool::new(config.workers);
    let submit = move |times| {
        for number in 0..times {
            call_floor(&pool, number);
            LEFT.down();
        }
    };
    submit_from_threads(config, 4, Arc::new(submit))
}

fn floor_submit_and_block((times, rest): (usize, Duration)) -> Outcome {
    let pool = Pool::new(1);
    call_often(times, rest, |number| call_floor(&pool, number))
}

/// Runs a job on the pool and parks until it has answered.
pub fn call_floor(pool: &Pool, number: usize) -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let slot = Arc::new(AtomicUsize::new(usize::MAX));
    let (answer, caller): (_, Thread) = (slot.clone(), std::thread::current());
    pool.submit(Box::new(move || {
        // Release: pairs with the Acquire below.
        answer.store(number, Ordering::Release);
        caller.unpark();
    }));
    while slot.load(Ordering::Acquire) == usize::MAX {
        std::thread::park();
    }
    slot.load(Ordering::Relaxed)
}

fn floor_back_to_back(config: &Config) -> Outcome {
    floor_submit_and_block(back_to_back(config))
}

fn floor_rested(config: &Config) -> Outcome {
    floor_submit_and_block(rested(config))
}
