//! Bytes of what waits, and the time to make and to end it in great numbers.
//!
//! `heap_bytes` are the sizes that were asked of the global allocator, `rss_bytes` the
//! growth of the resident set, the allocator's own overhead included. For tasks
//! only the latter counts: ours get their memory from the system in chunks.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::alloc::{count_from_now_on, live_bytes, resident_bytes};
use crate::countdown::Countdown;
use crate::floor::mini::Mini;
use crate::floor::wheel::Wheel;
use crate::measure::{Config, Outcome, Stopwatch};
use crate::rt::{Rt, Tasks};
use crate::workloads::{Metric, Row, Rule, drive, runs};

pub const ROWS: &[Row] = &[
    Row {
        id: "memory/sleep",
        about: "500k pending sleeps in a boxed slice inside one task; per sleep",
        floor: "entries in the slab of a one-level wheel, their keys in a vector",
        metrics: &[
            Metric { name: "heap_bytes", rule: Rule::AtMost(64.0) },
            Metric { name: "rss_bytes", rule: Rule::Shown },
            Metric { name: "arm_ns", rule: Rule::BestPeer(0.5) },
            Metric { name: "drop_ns", rule: Rule::BestPeer(0.5) },
        ],
        min_workers: 1,
        run: runs!(sleeps, floor_sleeps),
    },
    Row {
        id: "memory/idle_task",
        about: "a million tasks that wait for ever; per task. Shut down with them alive",
        floor: "Rc tasks on one thread, polled once, then dropped",
        metrics: &[
            Metric { name: "heap_bytes", rule: Rule::Shown },
            Metric { name: "rss_bytes", rule: Rule::AtMost(144.0) },
            Metric { name: "spawn_ns", rule: Rule::BestPeer(0.6) },
            Metric { name: "shutdown_ns", rule: Rule::BestPeer(0.6) },
        ],
        min_workers: 1,
        run: runs!(idle_tasks, floor_idle_tasks),
    },
];

/// Live and resident bytes.
struct Bytes(i64, i64);

impl Bytes {
    fn now() -> Self {
        Self(live_bytes(), resident_bytes())
    }

    /// Growth since then, per item.
    fn growth(&self, items: usize) -> Outcome {
        let now = Self::now();
        let per_item = |bytes: i64| bytes as f64 / items as f64;
        Outcome::default().with("heap_bytes", per_item(now.0 - self.0)).with("rss_bytes", per_item(now.1 - self.1))
    }
}

/// Spans of the sleeps: far, and all different.
fn span(index: usize) -> Duration {
    Duration::from_secs(3600) + Duration::from_micros(index as u64)
}

fn sleeps<R: Rt>(config: &Config) -> Outcome {
    count_from_now_on();
    let count = config.size(500_000);
    drive::<R, _>(config, async move {
        hold_sleeps::<R>(count / 50).await;
        hold_sleeps::<R>(count).await
    })
}

async fn hold_sleeps<R: Rt>(count: usize) -> Outcome {
    let before = Bytes::now();
    let watch = Stopwatch::start();
    let sleeps: Vec<_> = (0..count).map(|index| R::sleep(span(index))).collect();
    let mut sleeps = Pin::from(sleeps.into_boxed_slice());
    poll_fn(|cx| {
        poll_all(sleeps.as_mut(), cx);
        Poll::Ready(())
    })
    .await;
    let arm = watch.nanos().0;
    let outcome = before.growth(count);
    let watch = Stopwatch::start();
    drop(sleeps);
    let drop = watch.nanos().0;
    outcome.with("arm_ns", arm / count as f64).with("drop_ns", drop / count as f64)
}

/// Polls each once; all must be pending. Beyond a poll budget the timers
/// would not be armed, so the budget is lifted (without effect outside Tokio).
fn poll_all<F: Future>(mut futures: Pin<&mut [F]>, cx: &mut Context<'_>) {
    for index in 0..futures.len() {
        // SAFETY: the elements of a pinned slice are pinned with it.
        let future = unsafe { futures.as_mut().map_unchecked_mut(|all| &mut all[index]) };
        let mut future = std::pin::pin!(tokio::task::unconstrained(future));
        assert!(future.as_mut().poll(cx).is_pending(), "an hour is not over");
    }
}

fn floor_sleeps(config: &Config) -> Outcome {
    count_from_now_on();
    floor_hold(config.size(500_000) / 50);
    floor_hold(config.size(500_000))
}

fn floor_hold(count: usize) -> Outcome {
    let before = Bytes::now();
    let watch = Stopwatch::start();
    let mut wheel = Wheel::new(count);
    let keys: Vec<u32> = (0..count).map(|index| wheel.arm(span(index), Waker::noop().clone())).collect();
    let arm = watch.nanos().0;
    let outcome = before.growth(count);
    let watch = Stopwatch::start();
    keys.into_iter().for_each(|key| wheel.disarm(key));
    let drop = watch.nanos().0;
    outcome.with("arm_ns", arm / count as f64).with("drop_ns", drop / count as f64)
}

/// Tasks that were not polled yet.
static UNPOLLED: Countdown = Countdown::new();

/// Counts its first poll and waits for ever.
fn idle() -> impl Future<Output = ()> + Send + 'static {
    poll_fn(|_| {
        UNPOLLED.down();
        Poll::Pending
    })
}

fn idle_tasks<R: Tasks>(config: &Config) -> Outcome {
    if !R::OWNS_TASKS {
        return Outcome::default();
    }
    count_from_now_on();
    let count = config.size(1_000_000);
    let rt = R::start(config.workers);
    let (outcome, end) = rt.drive(async move {
        warm_up::<R>().await;
        let before = Bytes::now();
        UNPOLLED.reset(count);
        let watch = Stopwatch::start();
        (0..count).for_each(|_| R::detach(R::spawn(idle())));
        UNPOLLED.wait().await;
        let spawn = watch.nanos().0 / count as f64;
        (before.growth(count).with("spawn_ns", spawn), Instant::now())
    });
    rt.shutdown();
    outcome.with("shutdown_ns", end.elapsed().as_nanos() as f64 / count as f64)
}

async fn warm_up<R: Tasks>() {
    let tasks: Vec<_> = (0..10_000).map(|_| R::spawn(async {})).collect();
    for task in tasks {
        R::join(task).await;
    }
}

fn floor_idle_tasks(config: &Config) -> Outcome {
    count_from_now_on();
    let count = config.size(1_000_000);
    let (outcome, tasks, end) = Mini.drive(async move {
        warm_up::<Mini>().await;
        let before = Bytes::now();
        UNPOLLED.reset(count);
        let watch = Stopwatch::start();
        let tasks: Vec<_> = (0..count).map(|_| Mini::spawn(idle())).collect();
        UNPOLLED.wait().await;
        let spawn = watch.nanos().0 / count as f64;
        (before.growth(count).with("spawn_ns", spawn), tasks, Instant::now())
    });
    drop(tasks);
    outcome.with("shutdown_ns", end.elapsed().as_nanos() as f64 / count as f64)
}
