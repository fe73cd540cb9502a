//! A program to look at with tokio-console: tasks that tick, compute, pass messages, yield and wait, and a thread.
//!
//! ```text
//! cargo run --release            # in one terminal
//! tokio-console                  # in another one
//! ```
//!
//! Ctrl-C ends it.

use futures::StreamExt;
use futures::channel::mpsc;
use runtime::{TaskBuilder, TaskGroup, sleep, to_thread, yield_now};
use std::convert::Infallible;
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    console_subscriber::init();
    runtime::run(async {
        let (ping, pings) = mpsc::unbounded();
        let (pong, pongs) = mpsc::unbounded();
        let ended: Result<(), _> = TaskGroup::scope(async |group| {
            let name = |name: &str| TaskBuilder::new().name(name);
            group.create_task_with(name("ticker"), ticks());
            group.create_task_with(name("computes"), computes());
            group.create_task_with(name("yields"), yields());
            group.create_task_with(name("ping"), passes(pongs, ping.clone()));
            group.create_task_with(name("pong"), passes(pings, pong));
            group.create_task_with(name("waits"), waits());
            drop(to_thread(|| thread::sleep(Duration::from_secs(60))));
            let _ = ping.unbounded_send(0);
            sleep(Duration::MAX).await;
            Ok::<(), Infallible>(())
        })
        .await;
        ended.expect("no child fails");
    });
}

/// Wakes ten times a second, and does nothing.
async fn ticks() -> Result<(), Infallible> {
    loop {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Busy for a fifth of the time.
async fn computes() -> Result<(), Infallible> {
    loop {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        sleep(Duration::from_millis(80)).await;
    }
}

/// Wakes itself, ten times in a row.
async fn yields() -> Result<(), Infallible> {
    loop {
        for _ in 0..10 {
            yield_now().await;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Takes a number, waits a little, and passes it on.
async fn passes(mut from: mpsc::UnboundedReceiver<u64>, to: mpsc::UnboundedSender<u64>) -> Result<(), Infallible> {
    while let Some(number) = from.next().await {
        sleep(Duration::from_millis(250)).await;
        let _ = to.unbounded_send(number + 1);
    }
    Ok(())
}

/// Idle from its first poll on.
async fn waits() -> Result<(), Infallible> {
    std::future::pending().await
}
