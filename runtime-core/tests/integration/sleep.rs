//! Area SL: sleeping and yielding.

use crate::support::*;
use runtime_core::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn sl_01_time_passes_by_as_much_as_was_asked_for() {
    in_virtual_time(async {
        let handle = Handle::current();
        let start = handle.time();
        sleep(90 * SECOND).await;
        assert_eq!(handle.time() - start, 90 * SECOND);
        sleep_until(start + 100 * SECOND).await;
        assert_eq!(handle.time() - start, 100 * SECOND);
        sleep_until(start).await;
        assert_eq!(handle.time() - start, 100 * SECOND, "a moment that has passed");
    });
}

everywhere! {
    async fn sl_01_never_early() {
        let handle = Handle::current();
        let tasks: Vec<_> = (0..200u64)
            .map(|number| {
                let handle = handle.clone();
                create_task(async move {
                    let start = handle.time();
                    let duration = Duration::from_micros(number * 37 % 3000);
                    sleep(duration).await;
                    handle.time() - start >= duration
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap());
        }
    }

    async fn sl_03_the_longest_duration_sleeps_until_cancelled() {
        let (begun, has_begun) = event();
        let task = create_task(async move {
            begun.happen();
            sleep(Duration::MAX).await;
        });
        has_begun.wait().await;
        sleep(Duration::from_micros(100)).await;
        assert!(!task.done());
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    async fn sl_04_many_timers_armed_and_cancelled() {
        for _ in 0..20 {
            let tasks: Vec<_> = (1..200).map(|number| create_task(sleep((3600 + number) * SECOND))).collect();
            yield_now().await;
            for task in &tasks {
                task.cancel();
            }
            for task in tasks {
                assert!(task.await.unwrap_err().is_cancelled());
            }
        }
    }

    async fn a_sleep_that_moves_between_tasks_ends_in_the_last() {
        let mut moved = Box::pin(sleep(Duration::from_millis(2)));
        std::future::poll_fn(|cx| {
            assert!(moved.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        create_task(moved).await.unwrap();
    }
}

#[test]
fn sl_02_a_zero_sleep_lets_all_that_is_ready_run_once() {
    in_order(async {
        let trace = Trace::default();
        for name in ["a", "b", "c"] {
            let trace = trace.clone();
            drop(create_task(async move {
                trace.add(name);
                yield_now().await;
                trace.add("again");
            }));
        }
        sleep(Duration::ZERO).await;
        trace.add("slept");
        yield_now().await;
        assert_eq!(trace.take(), "a b c slept again again again");
    });
}

#[test]
fn sl_05_timers_due_together_fire_in_deadline_order_behind_what_is_ready() {
    in_virtual_time(async {
        let trace = Trace::default();
        for milliseconds in [5u64, 1, 4, 2, 3] {
            let trace = trace.clone();
            drop(create_task(async move {
                sleep(Duration::from_millis(milliseconds)).await;
                trace.add(milliseconds.to_string());
            }));
        }
        sleep(SECOND).await;
        assert_eq!(trace.take(), "1 2 3 4 5");
    });
}

#[test]
fn what_outside_work_has_made_ready_comes_before_the_time_that_passes_after_it() {
    let engine = Engine::new(Config { workers: 1, virtual_time: true, ..Config::default() }).unwrap();
    let (work, works) = std::sync::mpsc::channel::<(Promise<()>, OutsideWork)>();
    let thread = std::thread::spawn(move || {
        for (promise, guard) in works {
            promise.set_result(()).unwrap();
            drop(guard);
        }
    });
    let passed = engine.run(async move {
        let handle = Handle::current();
        let start = handle.time();
        for _ in 0..20_000 {
            let hour = create_task(sleep(Duration::from_secs(3600)));
            yield_now().await;
            let (promise, answer) = Promise::new();
            work.send((promise, handle.outside_work())).unwrap();
            answer.await.unwrap();
            hour.cancel();
        }
        handle.time() - start
    });
    engine.close();
    thread.join().unwrap();
    assert_eq!(passed.unwrap(), Duration::ZERO);
}

#[test]
fn a_virtual_clock_stands_still_while_there_is_outside_work() {
    in_virtual_time(async {
        let handle = Handle::current();
        let start = handle.time();
        let outside = handle.outside_work();
        let (promise, task) = Promise::new();
        let clock = handle.clone();
        std::thread::spawn(move || {
            let _outside = outside;
            promise.set_result(clock.time()).unwrap();
        });
        let sleeper = create_task(sleep(SECOND));
        assert_eq!(task.await.unwrap(), start);
        sleeper.await.unwrap();
        assert_eq!(handle.time() - start, SECOND);
    });
}

#[test]
fn sleeping_outside_of_a_runtime_says_what_to_do() {
    let message = panic_message(|| poll_once(&mut Box::pin(sleep(SECOND))));
    assert!(message.contains("`sleep` needs a runtime"), "{message}");
}

#[test]
fn a_sleep_begun_in_a_runtime_that_is_closed_meanwhile_goes_on_where_it_is_awaited() {
    for workers in [1, 2, 8] {
        let (first, second) = (engine(workers), engine(workers));
        let mut sleeps: Vec<_> = (0..40).map(|_| Box::pin(sleep(Duration::from_millis(20)))).collect();
        first.run(async { assert!(sleeps.iter_mut().all(|sleep| poll_once(sleep).is_pending())) }).unwrap();
        // Half of them are waited for already when the first runtime is closed.
        let later = sleeps.split_off(20);
        let (begun, waiting) = event();
        let waiters = second.handle().create_task(async move {
            begun.happen();
            for sleep in sleeps {
                sleep.await;
            }
        });
        second.run(waiting.wait()).unwrap();
        first.close();
        second
            .run(async {
                waiters.await.unwrap();
                for sleep in later {
                    sleep.await;
                }
            })
            .unwrap();
    }
}
