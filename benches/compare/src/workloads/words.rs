//! Our own words against what people write by hand elsewhere.

use std::task::Waker;
use std::time::Duration;

use crate::floor::mini::Mini;
use crate::floor::wheel::Wheel;
use crate::measure::{Config, Outcome, poll_once, repeat, repeat_blocking};
use crate::rt::{Rt, Tasks};
use crate::workloads::{Metric, Row, Rule, drive, in_parallel, keep_a_timer_pending, runs};

const FLOOR: &str = "the same on one thread: Rc tasks in a VecDeque, awaited one by one; per core";
const TIMES: &[Metric] = &[Metric { name: "wall_ns", rule: Rule::Shown }, Metric { name: "cpu_ns", rule: Rule::Shown }];

pub const ROWS: &[Row] = &[
    Row {
        id: "words/gather_10k",
        about: "gather of 10k futures that yield once, against join_all of tasks; per future",
        floor: FLOOR,
        metrics: TIMES,
        min_workers: 1,
        run: runs!(gather, |config| in_parallel(config, gather::<Mini>)),
    },
    Row {
        id: "words/group_10k",
        about: "a task group of 10k, against JoinSet, or a vector of tasks; per task",
        floor: FLOOR,
        metrics: TIMES,
        min_workers: 1,
        run: runs!(group, |config| in_parallel(config, group::<Mini>)),
    },
    Row {
        id: "words/nested_timeouts",
        about: "4 timeouts around a yield, all armed, none expires; per nest",
        floor: "4 timers of a one-level wheel, armed and dropped",
        metrics: TIMES,
        min_workers: 1,
        run: runs!(nested, floor_nested),
    },
    Row {
        id: "words/catch_cancelled_sleep",
        about: "catch_cancelled(sleep(30 s)) polled once and dropped, against timeout(30 s, pending)",
        floor: "a timer of a one-level wheel, armed and dropped",
        metrics: TIMES,
        min_workers: 1,
        run: runs!(guarded, floor_guarded),
    },
];

/// Yields once, so that it has to be scheduled like any task.
async fn child<R: Tasks>(number: usize) -> u64 {
    R::yield_now().await;
    number as u64
}

fn gather<R: Tasks>(config: &Config) -> Outcome {
    let count = config.size(10_000);
    let once = move || async move {
        let sum = R::gather((0..count).map(child::<R>).collect()).await;
        assert_eq!(sum, (count as u64) * (count as u64 - 1) / 2);
    };
    drive::<R, _>(config, repeat(config.reps(30), count, once))
}

fn group<R: Tasks>(config: &Config) -> Outcome {
    let count = config.size(10_000);
    let once = move || async move {
        let ended = R::group((0..count).map(child::<R>).collect()).await;
        assert_eq!(ended, count);
    };
    drive::<R, _>(config, repeat(config.reps(30), count, once))
}

const SPANS: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(50), Duration::from_secs(40), Duration::from_secs(30)];

fn nested<R: Rt>(config: &Config) -> Outcome {
    let nests = config.size(50_000);
    let once = move || async move {
        for _ in 0..nests {
            let inner = R::timeout(SPANS[2], R::timeout(SPANS[3], R::yield_now()));
            let outer = R::timeout(SPANS[0], R::timeout(SPANS[1], inner)).await;
            assert!(matches!(outer, Ok(Ok(Ok(Ok(()))))), "30 s are not over");
        }
    };
    let reps = config.reps(8);
    drive::<R, _>(config, async move {
        keep_a_timer_pending::<R>().await;
        repeat(reps, nests, once).await
    })
}

fn floor_nested(config: &Config) -> Outcome {
    floor_arm_and_drop(config.size(50_000), config.reps(8), &SPANS)
}

fn guarded<R: Rt>(config: &Config) -> Outcome {
    let times = config.size(200_000);
    let once = move || async move {
        for time in 1..=times {
            assert!(poll_once(R::guarded_sleep(SPANS[3])).await, "30 s are not over");
            // As in timer/timeout_drop: the poll budget must not run out.
            if time % 64 == 0 {
                R::yield_now().await;
            }
        }
    };
    let reps = config.reps(6);
    drive::<R, _>(config, async move {
        keep_a_timer_pending::<R>().await;
        repeat(reps, times, once).await
    })
}

fn floor_guarded(config: &Config) -> Outcome {
    floor_arm_and_drop(config.size(200_000), config.reps(6), &SPANS[3..])
}

fn floor_arm_and_drop(times: usize, reps: usize, spans: &[Duration]) -> Outcome {
    let mut wheel = Wheel::new(spans.len());
    let mut keys = Vec::with_capacity(spans.len());
    repeat_blocking(reps, times, || {
        for _ in 0..times {
            keys.extend(spans.iter().map(|span| wheel.arm(*span, Waker::noop().clone())));
            keys.drain(..).for_each(|key| wheel.disarm(key));
        }
    })
}
