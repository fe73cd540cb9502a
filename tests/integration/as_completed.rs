//! Rows AC: `as_completed`.

use crate::support::{begun, everywhere, exact, forever, ms, passes, received, send, signal, under_load};
use futures::{FutureExt, StreamExt};
use runtime::{Handle, Task, as_completed, create_task, sleep, wait_for, yield_now};
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

#[test]
fn ac_01_items_come_in_the_order_of_completion_and_the_stream_ends() {
    exact(async || {
        let tasks = [3, 1, 2].map(|n| create_task(sleep(ms(n))));
        let order: Vec<usize> = as_completed(tasks).map(|(place, _)| place).collect().await;
        assert_eq!(order, [1, 2, 0]);
    });
    everywhere(async || {
        let places: BTreeSet<usize> =
            as_completed((0..100).map(|n| create_task(passes(n % 7)))).map(|(place, _)| place).collect().await;
        assert_eq!(places, (0..100).collect());
    });
}

#[test]
fn ac_01_without_tasks_it_ends_at_once() {
    exact(async || {
        let nothing: [Task<()>; 0] = [];
        assert!(as_completed(nothing).next().now_or_never().unwrap().is_none());
        let nothing: [Task<()>; 0] = [];
        assert!(as_completed(nothing).timeout(ms(1)).next().now_or_never().unwrap().is_none());
    });
}

#[test]
fn ac_03_items_are_the_tasks_themselves_ended() {
    everywhere(async || {
        let tasks = [1, 2, 3].map(|n| create_task(async move { n }));
        let ids = [0, 1, 2].map(|place: usize| tasks[place].id());
        let mut stream = as_completed(tasks);
        while let Some((place, mut task)) = stream.next().await {
            assert_eq!((task.done(), task.id()), (true, ids[place]));
            assert_eq!(task.result().unwrap().unwrap(), place + 1);
        }
        let mut borrowed = [create_task(async { 1 })];
        assert_eq!(as_completed(&mut borrowed).count().await, 1);
        let [task] = borrowed;
        assert_eq!(task.await.unwrap(), 1);
    });
}

#[test]
fn ac_04_a_failed_or_cancelled_member_is_yielded_and_the_others_follow() {
    everywhere(async || {
        let cancelled = create_task(forever());
        cancelled.cancel();
        let tasks = [create_task(async { panic!("a member") }), cancelled, create_task(async {})];
        let mut outcomes = [None, None, None];
        let mut stream = as_completed(tasks);
        while let Some((place, mut task)) = stream.next().await {
            outcomes[place] = Some(task.result().unwrap());
        }
        let [panicked, cancelled, value] = outcomes.map(Option::unwrap);
        assert!(panicked.unwrap_err().is_panicked() && cancelled.unwrap_err().is_cancelled() && value.is_ok());
        assert_eq!(runtime::current_task().unwrap().cancelling(), 0);
    });
}

#[test]
fn ac_05_after_the_timeout_come_those_that_have_ended_then_one_error_then_the_end() {
    exact(async || {
        let tasks = [1, 2, 100].map(|n| create_task(sleep(ms(n))));
        let mut stream = pin!(as_completed(tasks).timeout(ms(50)));
        sleep(ms(60)).await;
        assert_eq!(stream.next().await.unwrap().unwrap().0, 0);
        assert_eq!(stream.next().await.unwrap().unwrap().0, 1);
        assert!(stream.next().await.unwrap().is_err());
        assert!(stream.next().await.is_none());
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn ac_05_the_time_counts_from_the_call_and_a_timeout_not_needed_is_disarmed() {
    exact(async || {
        let start = Handle::current().time();
        let tasks = [10, 100].map(|n| create_task(sleep(ms(n))));
        let mut stream = pin!(as_completed(tasks).timeout(ms(50)));
        sleep(ms(20)).await;
        assert!(stream.next().await.unwrap().is_ok());
        assert!(stream.next().await.unwrap().is_err());
        assert_eq!(Handle::current().time() - start, ms(50));
        let all: Vec<_> = as_completed([create_task(async {})]).timeout(Duration::from_secs(1000)).collect().await;
        assert!(all.len() == 1 && all[0].is_ok());
    });
}

#[test]
fn ac_06_after_a_timeout_the_unfinished_members_run_on() {
    everywhere(async || {
        let (go, wait) = signal();
        let member = create_task(received(wait));
        let same = member.task_ref();
        let all: Vec<_> = as_completed([member]).timeout(ms(1)).collect().await;
        assert!(all.len() == 1 && all[0].is_err());
        assert_eq!((same.done(), same.cancelling()), (false, 0));
        send(go);
        same.wait().await;
        assert!(!same.cancelled());
    });
}

#[test]
fn ac_07_with_zero_what_has_ended_still_comes_out() {
    exact(async || {
        let done = create_task(async {});
        yield_now().await;
        let mut stream = pin!(as_completed([create_task(passes(3)), done]).timeout(Duration::ZERO));
        assert_eq!(stream.next().await.unwrap().unwrap().0, 1);
        assert!(stream.next().await.unwrap().is_err());
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn ac_08_a_consumer_that_stops_early_leaves_the_members_and_may_resume() {
    everywhere(async || {
        let (go, wait) = signal();
        let slow = create_task(received(wait));
        let same = slow.task_ref();
        let mut stream = as_completed([create_task(async {}), slow]);
        assert_eq!(stream.next().await.unwrap().0, 0);
        assert_eq!((same.done(), same.cancelling()), (false, 0));
        send(go);
        assert_eq!(stream.next().await.unwrap().0, 1);
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn ac_08_a_dropped_stream_leaves_the_members_running() {
    everywhere(async || {
        let (go, wait) = signal();
        let slow = create_task(received(wait));
        let same = slow.task_ref();
        drop(as_completed([slow]));
        send(go);
        same.wait().await;
        assert!(!same.cancelled());
    });
}

#[test]
fn ac_09_a_cancelled_wait_for_the_next_item_loses_none() {
    exact(async || {
        let mut stream = as_completed([10, 20, 30].map(|n| create_task(sleep(ms(n)))));
        assert!(wait_for(stream.next(), ms(5)).await.is_err());
        assert_eq!(stream.by_ref().map(|(place, _)| place).collect::<Vec<_>>().await, [0, 1, 2]);
    });
    under_load(100, async |round| {
        let stream = as_completed((0..10).map(|n| create_task(passes((n + round) % 7))));
        let consumer = begun(async move {
            let mut stream = stream;
            let mut seen = BTreeSet::new();
            loop {
                match runtime::catch_cancelled(stream.next()).await {
                    Ok(Some((place, _))) => assert!(seen.insert(place)),
                    Ok(None) => return assert_eq!(seen.len(), 10, "every completion was seen once"),
                    Err(_request) => {}
                }
            }
        })
        .await;
        while !consumer.done() {
            consumer.cancel();
            yield_now().await;
        }
        // A request that arrives in its last step takes the place of its value (C-13).
        assert!(!matches!(consumer.await, Err(runtime::TaskError::Panicked(_))));
    });
}
