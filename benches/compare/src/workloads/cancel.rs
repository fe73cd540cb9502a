//! Ending tasks from outside.

use std::future::poll_fn;
use std::task::Poll;

use crate::countdown::Countdown;
use crate::floor::mini::Mini;
use crate::measure::{Config, Outcome, Stopwatch};
use crate::rt::Tasks;
use crate::workloads::{Row, drive, runs, times};

pub const ROWS: &[Row] = &[Row {
    id: "cancel/100k",
    about: "cancel 100k pending tasks, then await all; per task, without the spawn",
    floor: "the same on one thread: Rc tasks in a VecDeque, no atomics",
    metrics: times!(0.6),
    min_workers: 1,
    run: runs!(cancel, cancel::<Mini>),
}];

static UNPOLLED: Countdown = Countdown::new();

fn cancel<R: Tasks>(config: &Config) -> Outcome {
    let (count, reps) = (config.size(100_000), config.reps(8));
    drive::<R, _>(config, async move {
        cancel_once::<R>(count).await;
        let (mut wall, mut cpu) = (0.0, 0.0);
        for _ in 0..reps {
            let once = cancel_once::<R>(count).await;
            wall += once.0;
            cpu += once.1;
        }
        let ops = (reps * count) as f64;
        Outcome::default().with("wall_ns", wall / ops).with("cpu_ns", cpu / ops)
    })
}

async fn cancel_once<R: Tasks>(count: usize) -> (f64, f64) {
    UNPOLLED.reset(count);
    let idle = || {
        poll_fn(|_| {
            UNPOLLED.down();
            Poll::<()>::Pending
        })
    };
    let tasks = (0..count).map(|_| R::spawn(idle())).collect();
    UNPOLLED.wait().await;
    let watch = Stopwatch::start();
    let cancelled = R::cancel_all(tasks).await;
    let times = watch.nanos();
    assert_eq!(cancelled, count);
    times
}
