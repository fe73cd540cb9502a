//! `async-lock`.

use crate::support::{Count, ms};
use async_lock::{Barrier, Mutex, OnceCell, RwLock, Semaphore};
use runtime::{create_task, gather, sleep, timeout, yield_now};
use std::sync::Arc;

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
async fn a_cancelled_wait_lets_the_next_have_the_lock() {
    let lock = Arc::new(Mutex::new(()));
    let held = lock.lock_arc().await;
    let waiting = || {
        let lock = lock.clone();
        create_task(async move { drop(lock.lock().await) })
    };
    let (first, second) = (waiting(), waiting());
    yield_now().await;
    drop(held);
    first.cancel();
    assert!(first.await.unwrap_err().is_cancelled());
    second.await.unwrap();
}

#[runtime::test(virtual_time)]
async fn a_permit_comes_back_when_its_holder_is_timed_out() {
    let places = Semaphore::new(1);
    let work = async {
        let _place = places.acquire().await;
        sleep(ms(1000)).await;
    };
    assert!(timeout(ms(10), work).await.is_err());
    assert!(places.try_acquire().is_some());
}

#[runtime::test(workers = 4)]
async fn a_barrier_has_one_leader() {
    let barrier = Arc::new(Barrier::new(10));
    let leaders = gather((0..10).map(|_| {
        let barrier = barrier.clone();
        async move { barrier.wait().await.is_leader() }
    }));
    assert_eq!(leaders.await.into_iter().filter(|leader| *leader).count(), 1);
}

#[runtime::test(virtual_time)]
async fn a_cell_is_filled_once() {
    let (cell, fills) = (Arc::new(OnceCell::new()), Count::default());
    let values = gather((0..10).map(|n| {
        let (cell, fills) = (cell.clone(), fills.clone());
        async move {
            let fill = async {
                fills.up();
                sleep(ms(1)).await;
                n
            };
            *cell.get_or_init(|| fill).await
        }
    }));
    assert!(values.await.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(fills.get(), 1);
}

#[runtime::test(virtual_time)]
async fn a_writer_waits_for_readers() {
    let lock = RwLock::new(1);
    let read = lock.read().await;
    assert!(timeout(ms(1), lock.write()).await.is_err());
    drop(read);
    *lock.write().await = 2;
}
