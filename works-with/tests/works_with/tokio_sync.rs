//! `tokio::sync`, which needs no Tokio runtime.

use crate::support::{Count, ms};
use runtime::{TaskGroup, create_task, gather, sleep, timeout, yield_now};
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, OnceCell, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};

#[runtime::test(workers = 4)]
async fn a_mutex_excludes_across_workers() {
    let value = Arc::new(Mutex::new(0));
    gather((0..100).map(|_| {
        let value = value.clone();
        async move {
            let mut value = value.lock().await;
            let before = *value;
            yield_now().await;
            *value = before + 1;
        }
    }))
    .await;
    assert_eq!(*value.lock().await, 100);
}

#[runtime::test(virtual_time)]
async fn a_cancelled_wait_for_a_lock_leaves_the_queue() {
    let lock = Arc::new(Mutex::new(()));
    let held = lock.clone().lock_owned().await;
    let waiting = lock.clone();
    let first = create_task(async move { drop(waiting.lock().await) });
    let waiting = lock.clone();
    let second = create_task(async move { drop(waiting.lock().await) });
    yield_now().await;
    first.cancel();
    drop(held);
    assert!(first.await.unwrap_err().is_cancelled());
    second.await.unwrap();
}

#[runtime::test(virtual_time)]
async fn a_permit_comes_back_when_its_holder_is_timed_out() {
    let places = Semaphore::new(1);
    let work = async {
        let _place = places.acquire().await.unwrap();
        sleep(ms(1000)).await;
    };
    assert!(timeout(ms(10), work).await.is_err());
    assert_eq!(places.available_permits(), 1);
}

#[runtime::test(virtual_time)]
async fn a_cancelled_waiter_passes_its_notification_on() {
    let bell = Arc::new(Notify::new());
    let waiting = || {
        let bell = bell.clone();
        create_task(async move { bell.notified().await })
    };
    let (first, second) = (waiting(), waiting());
    yield_now().await;
    bell.notify_one();
    first.cancel();
    assert!(first.await.unwrap_err().is_cancelled());
    second.await.unwrap();
}

#[runtime::test(workers = 4)]
async fn channels_carry_everything_across_workers() {
    let (sender, mut receiver) = mpsc::channel(4);
    let sum = TaskGroup::<()>::scope(async move |group| {
        for n in 1..=100u32 {
            let sender = sender.clone();
            group.create_task(async move { sender.send(n).await.unwrap() });
        }
        drop(sender);
        let mut sum = 0;
        while let Some(n) = receiver.recv().await {
            sum += n;
        }
        Ok(sum)
    });
    assert_eq!(sum.await.unwrap(), 5050);
}

#[runtime::test(virtual_time)]
async fn a_oneshot_says_when_its_receiver_was_cancelled() {
    let (mut sender, receiver) = oneshot::channel::<u32>();
    let task = create_task(receiver);
    yield_now().await;
    task.cancel();
    sender.closed().await;
    assert!(sender.send(1).is_err());
}

#[runtime::test(virtual_time)]
async fn watch_and_broadcast_reach_all() {
    let (state, seen) = watch::channel(0);
    let (news, _) = broadcast::channel(8);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let (mut seen, mut heard) = (seen.clone(), news.subscribe());
            create_task(async move {
                let seen = *seen.wait_for(|value| *value == 7).await.unwrap();
                (seen, heard.recv().await.unwrap())
            })
        })
        .collect();
    yield_now().await;
    state.send(7).unwrap();
    news.send("hello").unwrap();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), (7, "hello"));
    }
}

#[runtime::test(virtual_time)]
async fn a_cell_is_filled_by_the_next_when_the_first_is_cancelled() {
    let cell = Arc::new(OnceCell::new());
    let tries = Count::default();
    let fill = |value: u32| {
        let (cell, tries) = (cell.clone(), tries.clone());
        create_task(async move {
            let init = || async {
                tries.up();
                sleep(ms(10)).await;
                value
            };
            *cell.get_or_init(init).await
        })
    };
    let (first, second) = (fill(1), fill(2));
    sleep(ms(5)).await;
    first.cancel();
    assert_eq!(second.await.unwrap(), 2);
    assert_eq!(tries.get(), 2);
}

#[runtime::test(virtual_time)]
async fn readers_share_a_lock() {
    let lock = RwLock::new(1);
    let (one, two) = (lock.read().await, lock.read().await);
    assert_eq!(*one + *two, 2);
    assert!(timeout(ms(1), lock.write()).await.is_err());
    drop((one, two));
    *lock.write().await = 3;
}

/// What of Tokio needs its runtime says so by a panic, which is the task's.
#[runtime::test]
async fn its_timers_do_not_work_without_its_runtime() {
    let task = create_task(async { tokio::time::sleep(ms(1)).await });
    assert!(task.await.unwrap_err().is_panicked());
}
