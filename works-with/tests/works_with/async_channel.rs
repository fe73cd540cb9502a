//! `async-channel`: many senders, many receivers.

use crate::support::{Count, ms};
use async_channel::{bounded, unbounded};
use runtime::{TaskGroup, create_task, sleep, timeout, to_thread, yield_now};

#[runtime::test(workers = 4)]
async fn workers_share_a_queue() {
    let (jobs, queue) = bounded(2);
    let done = Count::default();
    let counted = done.clone();
    let result = TaskGroup::<()>::scope(async move |group| {
        for _ in 0..4 {
            let (queue, counted) = (queue.clone(), counted.clone());
            group.create_task(async move {
                while let Ok(_job) = queue.recv().await {
                    counted.up();
                    yield_now().await;
                }
            });
        }
        for job in 0..1000 {
            jobs.send(job).await.unwrap();
        }
        Ok(())
    });
    result.await.unwrap();
    assert_eq!(done.get(), 1000);
}

#[runtime::test(virtual_time)]
async fn a_cancelled_receive_loses_nothing() {
    let (sender, receiver) = unbounded();
    let waiting = receiver.clone();
    let first = create_task(async move { waiting.recv().await });
    let waiting = receiver.clone();
    let second = create_task(async move { waiting.recv().await });
    yield_now().await;
    sender.try_send("kept").unwrap();
    first.cancel();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(second.await.unwrap(), Ok("kept"));
}

#[runtime::test(virtual_time)]
async fn a_send_that_timed_out_was_not_sent() {
    let (sender, receiver) = bounded(1);
    sender.send(1).await.unwrap();
    assert!(timeout(ms(10), sender.send(2)).await.is_err());
    sleep(ms(10)).await;
    assert_eq!(receiver.recv().await, Ok(1));
    assert!(receiver.is_empty());
}

#[runtime::test]
async fn a_thread_sends_and_a_task_receives() {
    let (sender, receiver) = bounded(1);
    let thread = to_thread(move || (1..=10).for_each(|n| sender.send_blocking(n).unwrap()));
    let mut sum = 0;
    while let Ok(n) = receiver.recv().await {
        sum += n;
    }
    thread.await.unwrap();
    assert_eq!(sum, 55);
}
