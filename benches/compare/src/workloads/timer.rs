//! Timers: armed and dropped, fired in mass, fired alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::pending;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::floor::wheel::Wheel;
use crate::measure::{Config, Outcome, Spread, Stopwatch, poll_once, quantile, repeat, repeat_blocking};
use crate::rt::Rt;
use crate::workloads::{Metric, Row, Rule, drive, keep_a_timer_pending, runs, times};

const DROP_FLOOR: &str = "a one-level wheel per thread; at most as many threads as workers";
/// The wall time of the rows with more tasks is also held against one task's;
/// the tenth is for noise.
const SHARED: &[Metric] = &[
    Metric { name: "wall_ns", rule: Rule::BestPeer(0.5) },
    Metric { name: "cpu_ns", rule: Rule::BestPeer(0.5) },
    Metric { name: "wall_ns", rule: Rule::OtherRow(1.1, "timer/timeout_drop_1") },
];
const LONE: &[Metric] =
    &[Metric { name: "late_p50_us", rule: Rule::Floor(1.2) }, Metric { name: "cpu_ns", rule: Rule::Shown }];
const LONE_FLOOR: &str = "std::thread::sleep, with the kernel's timer slack (50 us unless asked) at 1 ns";

pub const ROWS: &[Row] = &[
    Row {
        id: "timer/timeout_drop_1",
        about: "timeout(30 s, pending) polled once and dropped, 200k times by one task",
        floor: DROP_FLOOR,
        metrics: times!(0.5),
        min_workers: 1,
        run: runs!(timeout_drop_1, floor_drop_1),
    },
    Row {
        id: "timer/timeout_drop_2",
        about: "the same 200k by 2 tasks",
        floor: DROP_FLOOR,
        metrics: SHARED,
        min_workers: 1,
        run: runs!(timeout_drop_2, floor_drop_2),
    },
    Row {
        id: "timer/timeout_drop_8",
        about: "the same 200k by 8 tasks",
        floor: DROP_FLOOR,
        metrics: SHARED,
        min_workers: 1,
        run: runs!(timeout_drop_8, floor_drop_8),
    },
    Row {
        id: "timer/100k_sleeps",
        about: "100k tasks sleep 50 to 250 ms each, spawn included; CPU per task, lateness",
        floor: "one thread: a binary heap, thread::sleep to the next deadline",
        metrics: &[
            Metric { name: "cpu_ns", rule: Rule::BestPeer(0.6) },
            Metric { name: "late_p50_us", rule: Rule::AtMost(60.0) },
            Metric { name: "late_p99_us", rule: Rule::Shown },
        ],
        min_workers: 1,
        run: runs!(many_sleeps, floor_many_sleeps),
    },
    Row {
        id: "timer/lone_100us",
        about: "one task sleeps 100 us again and again: lateness",
        floor: LONE_FLOOR,
        metrics: LONE,
        min_workers: 1,
        run: runs!(lone_100us, floor_lone_100us),
    },
    Row {
        id: "timer/lone_1ms",
        about: "one task sleeps 1 ms again and again: lateness",
        floor: LONE_FLOOR,
        metrics: LONE,
        min_workers: 1,
        run: runs!(lone_1ms, floor_lone_1ms),
    },
];

/// Far enough never to fire.
const FAR: Duration = Duration::from_secs(30);

fn timeout_drop<R: Rt>(config: &Config, tasks: usize) -> Outcome {
    let each = config.size(200_000) / tasks;
    let once = move || async move {
        let spawned: Vec<_> = (0..tasks).map(|_| R::spawn(arm_and_drop::<R>(each))).collect();
        for task in spawned {
            R::join(task).await;
        }
    };
    let reps = config.reps(6);
    drive::<R, _>(config, async move {
        keep_a_timer_pending::<R>().await;
        repeat(reps, tasks * each, once).await
    })
}

async fn arm_and_drop<R: Rt>(times: usize) {
    for time in 1..=times {
        assert!(poll_once(R::timeout(FAR, pending::<()>())).await, "30 s are not over");
        // A task that has used up its budget of polls (128 in Tokio) would be told
        // "pending" without a timer being armed: give way before that.
        if time % 64 == 0 {
            R::yield_now().await;
        }
    }
}

fn timeout_drop_1<R: Rt>(config: &Config) -> Outcome {
    timeout_drop::<R>(config, 1)
}

fn timeout_drop_2<R: Rt>(config: &Config) -> Outcome {
    timeout_drop::<R>(config, 2)
}

fn timeout_drop_8<R: Rt>(config: &Config) -> Outcome {
    timeout_drop::<R>(config, 8)
}

fn floor_drop(config: &Config, tasks: usize) -> Outcome {
    let threads = tasks.min(config.workers);
    let each = config.size(200_000) / threads;
    let arm_all = || {
        let mut wheel = Wheel::new(1);
        for _ in 0..each {
            let key = wheel.arm(FAR, Waker::noop().clone());
            wheel.disarm(std::hint::black_box(key));
        }
    };
    repeat_blocking(config.reps(6), threads * each, || {
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(arm_all))));
    })
}

fn floor_drop_1(config: &Config) -> Outcome {
    floor_drop(config, 1)
}

fn floor_drop_2(config: &Config) -> Outcome {
    floor_drop(config, 2)
}

fn floor_drop_8(config: &Config) -> Outcome {
    floor_drop(config, 8)
}

/// The spans of the mass of sleeps, the same for all.
fn spans(count: usize) -> impl Iterator<Item = Duration> {
    let mut spread = Spread(4);
    (0..count).map(move |_| Duration::from_nanos(50_000_000 + spread.below(200_000_000)))
}

/// Microseconds by which it is later than `span` after `start`.
fn lateness(start: Instant, span: Duration) -> f64 {
    let late = start.elapsed().checked_sub(span).expect("a timer fired early");
    late.as_nanos() as f64 / 1e3
}

fn with_lateness(outcome: Outcome, mut late: Vec<f64>) -> Outcome {
    outcome.with("late_p50_us", quantile(&mut late, 0.5)).with("late_p99_us", quantile(&mut late, 0.99))
}

fn many_sleeps<R: Rt>(config: &Config) -> Outcome {
    let (count, reps) = (config.size(100_000), config.reps(3));
    drive::<R, _>(config, async move {
        sleep_all::<R>(count / 10).await;
        let mut late = Vec::with_capacity(reps * count);
        let watch = Stopwatch::start();
        for _ in 0..reps {
            late.append(&mut sleep_all::<R>(count).await);
        }
        let outcome = watch.per_op(reps * count);
        assert_eq!(late.len(), reps * count);
        with_lateness(outcome, late)
    })
}

async fn sleep_all<R: Rt>(count: usize) -> Vec<f64> {
    let sleeper = |span| async move {
        let start = Instant::now();
        R::sleep(span).await;
        lateness(start, span)
    };
    let tasks: Vec<_> = spans(count).map(|span| R::spawn(sleeper(span))).collect();
    let mut late = Vec::with_capacity(count);
    for task in tasks {
        late.push(R::join(task).await);
    }
    late
}

fn floor_many_sleeps(config: &Config) -> Outcome {
    let (count, reps) = (config.size(100_000), config.reps(3));
    let watch = Stopwatch::start();
    let mut late = Vec::with_capacity(reps * count);
    for _ in 0..reps {
        let mut heap: BinaryHeap<_> = spans(count).map(|span| Reverse((Instant::now() + span, span))).collect();
        while let Some(Reverse((deadline, span))) = heap.pop() {
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            late.push(lateness(deadline - span, span));
        }
    }
    with_lateness(watch.per_op(reps * count), late)
}

fn lone<R: Rt>(config: &Config, span: Duration, times: usize) -> Outcome {
    let times = config.reps(times);
    drive::<R, _>(config, async move {
        R::sleep(span).await;
        let mut late = Vec::with_capacity(times);
        let watch = Stopwatch::start();
        for _ in 0..times {
            let start = Instant::now();
            R::sleep(span).await;
            late.push(lateness(start, span));
        }
        with_lateness(watch.per_op(times), late)
    })
}

/// Lets the kernel wake this thread as exactly as it can, where it can be asked.
fn ask_for_exact_wakes() {
    #[cfg(target_os = "linux")]
    // SAFETY: the slack of this thread is all that it changes.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
    }
}

fn floor_lone(config: &Config, span: Duration, times: usize) -> Outcome {
    let times = config.reps(times);
    ask_for_exact_wakes();
    let mut late = Vec::with_capacity(times);
    let watch = Stopwatch::start();
    for _ in 0..times {
        let start = Instant::now();
        std::thread::sleep(span);
        late.push(lateness(start, span));
    }
    with_lateness(watch.per_op(times), late)
}

/// Sleeps of the two rows.
const SHORT: (Duration, usize) = (Duration::from_micros(100), 1000);
const LONG: (Duration, usize) = (Duration::from_millis(1), 500);

fn lone_100us<R: Rt>(config: &Config) -> Outcome {
    lone::<R>(config, SHORT.0, SHORT.1)
}

fn lone_1ms<R: Rt>(config: &Config) -> Outcome {
    lone::<R>(config, LONG.0, LONG.1)
}

fn floor_lone_100us(config: &Config) -> Outcome {
    floor_lone(config, SHORT.0, SHORT.1)
}

fn floor_lone_1ms(config: &Config) -> Outcome {
    floor_lone(config, LONG.0, LONG.1)
}
