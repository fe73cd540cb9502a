//! Long polls: work that fills the cores, and work that must not wait for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::measure::{Config, Outcome, Stopwatch, quantile, spin_cpu, spin_wall};
use crate::rt::Rt;
use crate::workloads::{Metric, Row, Rule, drive, runs};

const LATENCY: &[Metric] =
    &[Metric { name: "p50_us", rule: Rule::AtMost(100.0) }, Metric { name: "p90_us", rule: Rule::Shown }];
const LATENCY_FLOOR: &str = "a thread wakes a parked thread by a std channel, then spins";

pub const ROWS: &[Row] = &[
    Row {
        id: "cpu/50us",
        about: "2,000 tasks of 50 us CPU each; CPU time wanted per CPU time there was",
        floor: "threads that count an atomic up",
        metrics: &[Metric { name: "efficiency_pct", rule: Rule::AtLeastFloor }],
        min_workers: 1,
        run: runs!(cpu_bound, floor_cpu_bound),
    },
    Row {
        id: "latency/behind_spinner",
        about: "a task wakes another, then spins 20 ms, a worker being idle: the other's wait",
        floor: LATENCY_FLOOR,
        metrics: LATENCY,
        min_workers: 2,
        run: runs!(woken_behind_spinner, floor_behind_spinner),
    },
    Row {
        id: "latency/spawned_behind_spinner",
        about: "the same with a task that it spawns",
        floor: LATENCY_FLOOR,
        metrics: LATENCY,
        min_workers: 2,
        run: runs!(spawned_behind_spinner, floor_behind_spinner),
    },
];

/// CPU time of a task.
const WORK: Duration = Duration::from_micros(50);
/// How long the spinner keeps its worker.
const SPIN: Duration = Duration::from_millis(20);
/// Before each round, so that the other workers have gone to sleep.
const REST: Duration = Duration::from_millis(5);

/// In per cent of what the workers (or the cores, if there are fewer) could do.
fn efficiency(config: &Config, tasks: usize, wall: f64) -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = (tasks as u128 * WORK.as_nanos()) as f64;
    let there_was = wall * config.workers.min(cores) as f64;
    Outcome::default().with("efficiency_pct", 100.0 * wanted / there_was)
}

fn cpu_bound<R: Rt>(config: &Config) -> Outcome {
    let (tasks, reps) = (config.size(2000), config.reps(6));
    let wall = drive::<R, _>(config, async move {
        work_off::<R>(tasks).await;
        let watch = Stopwatch::start();
        for _ in 0..reps {
            work_off::<R>(tasks).await;
        }
        watch.nanos().0
    });
    efficiency(config, reps * tasks, wall)
}

async fn work_off<R: Rt>(tasks: usize) {
    let spawned: Vec<_> = (0..tasks).map(|_| R::spawn(async { spin_cpu(WORK) })).collect();
    for task in spawned {
        R::join(task).await;
    }
}

fn floor_cpu_bound(config: &Config) -> Outcome {
    let tasks = config.size(2000) * config.reps(6);
    let taken = AtomicUsize::new(0);
    let watch = Stopwatch::start();
    std::thread::scope(|scope| {
        for _ in 0..config.workers {
            scope.spawn(|| {
                while taken.fetch_add(1, Ordering::Relaxed) < tasks {
                    spin_cpu(WORK);
                }
            });
        }
    });
    efficiency(config, tasks, watch.nanos().0)
}

fn waits(mut waits: Vec<f64>) -> Outcome {
    Outcome::default().with("p50_us", quantile(&mut waits, 0.5)).with("p90_us", quantile(&mut waits, 0.9))
}

fn micros_since(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / 1e3
}

fn woken_behind_spinner<R: Rt>(config: &Config) -> Outcome {
    let rounds = config.reps(30);
    let measured = drive::<R, _>(config, async move {
        let mut measured = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let (wake, woken) = oneshot::channel();
            let other = R::spawn(async { micros_since(woken.await.expect("it is sent")) });
            R::sleep(REST).await;
            let spinner = R::spawn(async { spin_after(|start| wake.send(start).unwrap()) });
            measured.push(R::join(other).await);
            R::join(spinner).await;
        }
        measured
    });
    waits(measured)
}

fn spawned_behind_spinner<R: Rt>(config: &Config) -> Outcome {
    let rounds = config.reps(30);
    let measured = drive::<R, _>(config, async move {
        let mut measured = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            R::sleep(REST).await;
            let spinner = R::spawn(async { spin_after(|start| R::spawn(async move { micros_since(start) })) });
            measured.push(R::join(R::join(spinner).await).await);
        }
        measured
    });
    waits(measured)
}

/// Does `first` with the time of now, then spins.
fn spin_after<T>(first: impl FnOnce(Instant) -> T) -> T {
    let result = first(Instant::now());
    spin_wall(SPIN);
    result
}

fn floor_behind_spinner(config: &Config) -> Outcome {
    let rounds = config.reps(30);
    let (wake, woken) = mpsc::channel();
    let other = std::thread::spawn(move || woken.into_iter().map(micros_since).collect::<Vec<f64>>());
    for _ in 0..rounds {
        std::thread::sleep(REST);
        spin_after(|start| wake.send(start).unwrap());
    }
    drop(wake);
    waits(other.join().expect("the other thread panicked"))
}
