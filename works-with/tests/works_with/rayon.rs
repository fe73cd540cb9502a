//! `rayon` beside it: computations on its threads, results in our tasks.

use crate::support::ms;
use rayon::prelude::*;
use runtime::{Promise, sleep, timeout, to_thread};

/// The simple way: a thread of the pool for blocking functions waits for rayon's.
#[runtime::test]
async fn a_parallel_sum_in_to_thread() {
    let sum = to_thread(|| (0..1_000_000u64).into_par_iter().filter(|n| n % 3 == 0).sum::<u64>());
    assert_eq!(sum.await.unwrap(), 166_666_833_333);
}

/// Without a thread that waits: a promise.
#[runtime::test]
async fn a_promise_kept_by_rayon() {
    let (promise, sum) = Promise::new();
    rayon::spawn(move || {
        let sum = (0..1000u64).into_par_iter().sum::<u64>();
        let _ = promise.set_result(sum);
    });
    assert_eq!(sum.await.unwrap(), 499_500);
}

/// rayon's work is not interrupted, but it can ask whether somebody still waits.
#[runtime::test]
async fn a_computation_that_nobody_waits_for_stops() {
    let (promise, sum) = Promise::<u64>::new();
    let (stop, stopped) = async_channel::bounded(1);
    rayon::spawn(move || {
        while !promise.is_cancelled() {
            std::thread::yield_now();
        }
        stop.send_blocking(()).unwrap();
    });
    assert!(timeout(ms(5), sum).await.is_err());
    stopped.recv().await.unwrap();
}

/// Other tasks go on while it computes.
#[runtime::test(workers = 1)]
async fn workers_are_free_meanwhile() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let computed = to_thread(move || rayon::join(move || gone.recv().unwrap(), || 6 * 7).1);
    sleep(ms(1)).await;
    go.send(()).unwrap();
    assert_eq!(computed.await.unwrap(), 42);
}
