//! Making tasks and learning that they have ended.

use crate::countdown::Countdown;
use crate::floor::mini::Mini;
use crate::measure::{Config, Outcome, repeat};
use crate::rt::Tasks;
use crate::workloads::{Row, drive, in_parallel, runs, times};

const FLOOR: &str = "the same on one thread: Rc tasks in a VecDeque, no atomics";
const SPLIT: &str = "a share of it on a thread per core: Rc tasks in a VecDeque, no atomics";

pub const ROWS: &[Row] = &[
    Row {
        id: "spawn/await_all",
        about: "a task spawns 100k empty tasks, then awaits all; per task",
        floor: SPLIT,
        metrics: times!(0.6),
        min_workers: 1,
        run: runs!(await_all, |config| in_parallel(config, await_all::<Mini>)),
    },
    Row {
        id: "spawn/detached",
        about: "a task spawns 100k, drops the handles, awaits a counter; per task",
        floor: FLOOR,
        metrics: times!(0.5),
        min_workers: 1,
        run: runs!(detached, detached::<Mini>),
    },
    Row {
        id: "spawn/one_await",
        about: "a task spawns one and awaits it, 100k times; per task",
        floor: FLOOR,
        metrics: times!(0.4),
        min_workers: 1,
        run: runs!(one_await, one_await::<Mini>),
    },
    Row {
        id: "spawn/chain",
        about: "each task spawns the next, 100k deep; per task",
        floor: FLOOR,
        metrics: times!(0.4),
        min_workers: 1,
        run: runs!(chain, chain::<Mini>),
    },
    Row {
        id: "tree/16",
        about: "binary tree of tasks, depth 16, each awaits both children; per task",
        floor: SPLIT,
        metrics: times!(0.5),
        min_workers: 1,
        run: runs!(tree, |config| in_parallel(config, tree::<Mini>)),
    },
];

static LEFT: Countdown = Countdown::new();

fn await_all<R: Tasks>(config: &Config) -> Outcome {
    let (n, reps) = (config.size(100_000), config.reps(8));
    drive::<R, _>(config, repeat(reps, n, move || spawn_and_await::<R>(n)))
}

async fn spawn_and_await<R: Tasks>(n: usize) {
    let tasks: Vec<_> = (0..n).map(|_| R::spawn(async {})).collect();
    assert_eq!(tasks.len(), n);
    for task in tasks {
        R::join(task).await;
    }
}

fn detached<R: Tasks>(config: &Config) -> Outcome {
    let (n, reps) = (config.size(100_000), config.reps(8));
    drive::<R, _>(config, repeat(reps, n, move || spawn_and_count::<R>(n)))
}

async fn spawn_and_count<R: Tasks>(n: usize) {
    LEFT.reset(n);
    for _ in 0..n {
        R::detach(R::spawn(async { LEFT.down() }));
    }
    LEFT.wait().await;
}

fn one_await<R: Tasks>(config: &Config) -> Outcome {
    let (n, reps) = (config.size(100_000), config.reps(6));
    drive::<R, _>(config, repeat(reps, n, move || spawn_one_by_one::<R>(n)))
}

async fn spawn_one_by_one<R: Tasks>(n: usize) {
    let mut ended = 0;
    for _ in 0..n {
        ended += R::join(R::spawn(async { 1 })).await;
    }
    assert_eq!(ended, n);
}

fn chain<R: Tasks>(config: &Config) -> Outcome {
    let (n, reps) = (config.size(100_000), config.reps(8));
    drive::<R, _>(config, repeat(reps, n, move || start_chain::<R>(n)))
}

async fn start_chain<R: Tasks>(n: usize) {
    LEFT.reset(1);
    link::<R>(n);
    LEFT.wait().await;
}

fn link<R: Tasks>(left: usize) {
    match left {
        0 => LEFT.down(),
        _ => R::detach(R::spawn(async move { link::<R>(left - 1) })),
    }
}

fn tree<R: Tasks>(config: &Config) -> Outcome {
    // A doubled size is a tree one deeper.
    let depth = 16 + config.size_factor.log2().round() as i32;
    let depth = depth.max(1) as u32;
    let nodes = (1 << (depth + 1)) - 1;
    let grow = move || async move { assert_eq!(R::join(node::<R>(depth)).await, nodes as u64) };
    drive::<R, _>(config, repeat(config.reps(4), nodes, grow))
}

fn node<R: Tasks>(depth: u32) -> R::Task<u64> {
    R::spawn(async move {
        if depth == 0 {
            return 1;
        }
        let (left, right) = (node::<R>(depth - 1), node::<R>(depth - 1));
        1 + R::join(left).await + R::join(right).await
    })
}
