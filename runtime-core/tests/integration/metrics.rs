//! What the runtime counts. Where luck has a part, tests wait for the count that they are after, however long it takes.

use crate::support::*;
use futures::channel::oneshot;
use runtime_core::*;
use std::sync::mpsc;
use std::time::Duration;

fn metrics() -> Metrics {
    Handle::current().metrics()
}

/// Lets other threads work until the metrics are as wished.
fn spin_until(handle: &Handle, wished: impl Fn(&Metrics) -> bool) -> Metrics {
    loop {
        let metrics = handle.metrics();
        if wished(&metrics) {
            return metrics;
        }
        std::thread::yield_now();
    }
}

#[test]
fn one_worker_counts_each_poll_and_each_push() {
    in_order(async {
        let tasks: Vec<_> = (0..10).map(|_| create_task(yield_now())).collect();
        let now = metrics();
        assert_eq!((now.tasks_alive, now.tasks_created, now.ready), (11, 11, 10));
        assert_eq!((now.total().polls, now.total().local_pushes, now.injected), (1, 11, 0));
        for task in tasks {
            task.await.unwrap();
        }
        let now = metrics();
        assert_eq!((now.tasks_alive, now.tasks_created, now.ready), (1, 11, 0));
        // Main, and again each time that what it awaited had ended; for the others two polls each.
        let polls = now.total().polls;
        assert!((22..=31).contains(&polls), "{polls}");
        assert_eq!(now.total().local_pushes, polls);
        assert_eq!((now.total().last_in_hits, now.total().steals, now.total().stolen), (0, 0, 0));
    });
}

#[test]
fn callbacks_and_promises_are_no_tasks_but_callbacks_are_polled() {
    in_order(async {
        let (promise, task) = Promise::new();
        Handle::current().call_soon(move || promise.set_result(()).unwrap());
        assert_eq!((metrics().tasks_created, metrics().ready), (1, 1));
        task.await.unwrap();
        assert_eq!((metrics().tasks_created, metrics().total().polls), (1, 3));
    });
}

#[test]
fn an_eager_step_belongs_to_the_poll_that_it_runs_in() {
    in_order(async {
        let task = TaskBuilder::new().eager_start(true).create_task(yield_now());
        assert_eq!((metrics().total().polls, metrics().ready), (1, 1));
        task.await.unwrap();
        assert_eq!((metrics().total().polls, metrics().ready), (3, 0));
    });
}

everywhere! {
    async fn what_other_threads_queue_is_injected() {
        let handle = Handle::current();
        let before = metrics().injected;
        let task = std::thread::scope(|scope| scope.spawn(|| handle.create_task(async { 1 })).join().unwrap());
        assert_eq!(metrics().injected, before + 1);
        assert_eq!(task.await.unwrap(), 1);
        spin_until(&handle, |now| now.ready == 0 && now.ready_injected == 0);
    }

    async fn what_is_ready_has_been_pushed_and_not_polled() {
        let handle = Handle::current();
        let tasks: Vec<_> = (0..100).map(|_| create_task(yield_now())).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let now = spin_until(&handle, |now| now.total().polls == now.total().local_pushes + now.injected);
        assert_eq!(now.ready, 0);
        assert_eq!(now.workers.len(), handle.workers());
    }
}

#[test]
fn ready_injected_is_what_no_worker_has_taken_over() {
    in_order(async {
        let handle = Handle::current();
        let task = std::thread::scope(|scope| scope.spawn(|| handle.create_task(async {})).join().unwrap());
        assert_eq!((metrics().ready, metrics().ready_injected), (1, 1));
        task.await.unwrap();
        assert_eq!((metrics().ready, metrics().ready_injected), (0, 0));
    });
}

#[test]
fn timers_are_armed_and_then_fired_or_cancelled() {
    in_virtual_time(async {
        sleep(Duration::from_secs(1)).await;
        let waits = create_task(sleep(Duration::from_secs(10)));
        create_task(sleep(Duration::MAX)).cancel();
        sleep(Duration::from_secs(1)).await;
        let timers = metrics().timers;
        assert_eq!(
            (timers.armed, timers.fired, timers.cancelled, timers.pending()),
            (3, 2, 0, 1),
            "MAX needs no timer"
        );
        waits.cancel();
        assert!(waits.await.is_err());
        let timers = metrics().timers;
        assert_eq!((timers.armed, timers.fired, timers.cancelled, timers.pending()), (3, 2, 1, 0));
    });
}

#[test]
fn a_sleep_that_a_timer_ends_is_a_park_without_a_wake() {
    let engine = engine(1);
    let total = || engine.handle().metrics().total();
    // It may be over before the worker has come to rest.
    while total().parks == 0 {
        engine.run(sleep(Duration::from_millis(1))).unwrap();
    }
    let total = total();
    assert_eq!(total.wakes, 0, "{total:?}");
}

#[test]
fn a_sleep_that_somebody_ends_is_a_park_and_a_wake() {
    let engine = engine(1);
    let handle = engine.handle();
    let main = async {
        let (sender, receiver) = oneshot::channel();
        let handle = handle.clone();
        let other = std::thread::spawn(move || {
            // Busy time stands still when the worker sleeps, and not before.
            let busy = || handle.metrics().workers[0].busy;
            let mut last = busy();
            loop {
                std::thread::yield_now();
                let now = busy();
                if now == last {
                    return sender.send(()).unwrap();
                }
                last = now;
            }
        });
        receiver.await.unwrap();
        other.join().unwrap();
    };
    engine.run(main).unwrap();
    let total = engine.handle().metrics().total();
    assert!(total.wakes >= 1 && total.wakes <= total.parks, "{total:?}");
}

#[test]
fn a_thief_counts_what_it_brings_home() {
    let engine = engine(2);
    let ran = engine.run(async {
        let (sender, receiver) = mpsc::channel();
        let tasks: Vec<_> = (0..8)
            .map(|index| {
                let sender = sender.clone();
                create_task(async move { sender.send(index).unwrap() })
            })
            .collect();
        // This worker does nothing until the other has run one: it can only have stolen it.
        let first = receiver.recv().unwrap();
        let counted = |now: &Metrics| now.workers[1].steals >= 1 && now.workers[1].searches >= 1;
        let now = spin_until(&Handle::current(), |now| now.total().stolen >= 1 && counted(now));
        assert_eq!(now.workers[0].steals, 0);
        for task in tasks {
            task.await.unwrap();
        }
        first
    });
    assert!(ran.unwrap() < 8);
}

#[test]
fn what_a_task_wakes_comes_out_of_the_last_in_slot() {
    on(2, async {
        // Either worker may run them, but one of the two wakes goes through a slot sooner or later.
        while metrics().total().last_in_hits == 0 {
            create_task(async {}).await.unwrap();
        }
    });
}

#[test]
fn busy_time_stands_still_without_a_thread() {
    let engine = engine(1);
    let handle = engine.handle();
    let busy = || handle.metrics().workers[0].busy;
    assert_eq!(busy(), Duration::ZERO);
    engine.run(async { yield_now().await }).unwrap();
    let first = busy();
    assert!(first > Duration::ZERO);
    assert_eq!(busy(), first);
    engine.run(async { yield_now().await }).unwrap();
    assert!(busy() > first);
}

#[test]
fn poll_times_are_counted_when_asked_for() {
    assert!(on(1, async { metrics().poll_times.is_none() }));
    for workers in [1, 2] {
        let engine = Engine::new(Config { workers, poll_times: true, ..Config::default() }).unwrap();
        engine.run(async { create_task(yield_now()).await.unwrap() }).unwrap();
        engine.close();
        let metrics = engine.handle().metrics();
        let times = metrics.poll_times.as_ref().unwrap();
        assert_eq!(times.count(), metrics.total().polls);
        assert!(times.sum() <= times.quantile(1.0) * u32::try_from(times.count()).unwrap());
    }
}

#[test]
fn a_poll_is_counted_in_the_step_of_its_length() {
    let engine = Engine::new(Config { workers: 1, poll_times: true, ..Config::default() }).unwrap();
    let length = Duration::from_millis(2);
    engine.run(async { std::thread::sleep(length) }).unwrap();
    let times = engine.handle().metrics().poll_times.unwrap();
    assert!(times.quantile(1.0) > length && times.sum() >= length);
}

#[test]
fn a_closed_runtime_has_nothing_alive_and_nothing_ready() {
    for workers in [1, 2] {
        let engine =
            Engine::new(Config { workers, shutdown_grace: Some(Duration::ZERO), ..Config::default() }).unwrap();
        engine.handle().set_exception_handler(Some(|_: &ExceptionContext| {}));
        let handle = engine.handle();
        engine
            .run(async {
                for _ in 0..10 {
                    drop(create_task(async {
                        let _caught = catch_cancelled(yield_now()).await;
                        std::future::pending::<()>().await;
                    }));
                }
            })
            .unwrap();
        engine.close();
        // A worker that was in the middle of something when the grace was over is left behind, and ends it.
        let metrics = spin_until(&handle, |now| workers == 1 || (now.tasks_alive, now.ready) == (0, 0));
        assert_eq!((metrics.tasks_alive, metrics.tasks_created, metrics.ready), (0, 11, 0));
    }
}
