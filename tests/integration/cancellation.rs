//! The rules of cancellation, at the level of the vocabulary; rows of area C that combine several words.
//!
//! Rule 1: a request is recorded. 2: delivered at the next poll. 3: to the innermost catcher. 4: without one the task ends.
//! 5: swallowing. 6: awaited tasks. 7: timeouts. 8: groups. 9: plain combinators. 10: drops. 11: panics. 12: no cost.

use crate::support::{
    Count, Log, OnDrop, begun, cancellation, everywhere, exact, forever, let_go, ms, passes, received, send, signal,
    under_load,
};
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use runtime::{
    CancelledError, Promise, Task, TaskGroup, all_tasks, catch_cancelled, create_task, current_task, gather, shield,
    sleep, timeout, yield_now,
};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

fn count() -> u32 {
    current_task().unwrap().cancelling()
}

#[test]
fn rule_1_cancel_records_a_request_and_runs_nothing() {
    exact(async || {
        let log = Log::default();
        let told = log.clone();
        let task = begun(async move {
            assert!(catch_cancelled(forever()).await.is_err());
            told.add("delivered");
        })
        .await;
        passes(1).await;
        assert!(task.cancel());
        assert!(!task.done() && log.take().is_empty());
        assert_eq!(task.cancelling(), 1);
        task.task_ref().wait().await;
        assert_eq!(log.take(), ["delivered"]);
        assert!(!task.cancel(), "it has ended");
        assert_eq!(task.cancelling(), 1);
    });
}

#[test]
fn rule_2_a_task_that_never_started_is_dropped_unpolled() {
    exact(async || {
        let (polled, dropped) = (Count::default(), Count::default());
        let (told, guard) = (polled.clone(), OnDrop(dropped.clone()));
        let task = create_task(async move {
            let _guard = guard;
            told.add();
        });
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((polled.get(), dropped.get()), (0, 1));
    });
}

#[test]
fn rule_2_a_request_that_arrives_together_with_readiness_wins() {
    exact(async || {
        let (promise, value) = Promise::new();
        let task = begun(async { value.await.unwrap() }).await;
        passes(2).await;
        promise.set_result(1).unwrap();
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    under_load(300, async |round| {
        let (promise, value) = Promise::new();
        let task = begun(async { value.await.unwrap() }).await;
        let setter = create_task(async move {
            passes(round % 3).await;
            promise.set_result(7)
        });
        passes(round % 4).await;
        let accepted = task.cancel();
        match (task.await, setter.await.unwrap()) {
            (Ok(value), set) => assert!(!accepted && value == 7 && set.is_ok()),
            (Err(error), _) => assert!(accepted && error.is_cancelled()),
        }
    });
}

#[test]
fn rule_3_the_innermost_catcher_receives_it_and_destructors_run_innermost_first() {
    struct Noted(Log, &'static str);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.add(self.1);
        }
    }
    everywhere(async || {
        let log = Log::default();
        let told = log.clone();
        let task = begun(async move {
            let outer = async {
                let _outer = Noted(told.clone(), "outer");
                let caught = catch_cancelled(async {
                    let _middle = Noted(told.clone(), "middle");
                    async {
                        let _inner = Noted(told.clone(), "inner");
                        forever().await;
                    }
                    .await;
                })
                .await
                .unwrap_err();
                told.add("caught");
                passes(3).await;
                caught.reraise().await
            };
            let error = catch_cancelled::<_>(outer.map(|()| ())).await.unwrap_err();
            told.add("caught again");
            error.message().map(String::from)
        })
        .await;
        passes(2).await;
        task.cancel_with("why");
        assert_eq!(task.await.unwrap().as_deref(), Some("why"));
        assert_eq!(log.take(), ["inner", "middle", "caught", "outer", "caught again"]);
    });
}

#[test]
fn rule_3_one_request_is_delivered_once() {
    everywhere(async || {
        let task = begun(async {
            let first = catch_cancelled(forever()).await.is_err();
            let then = catch_cancelled(passes(10)).await.is_ok();
            let nested = catch_cancelled(catch_cancelled(passes(3))).await.unwrap().is_ok();
            (first, then, nested, count())
        })
        .await;
        task.cancel();
        assert_eq!(task.await.unwrap(), (true, true, true, 1));
    });
}

#[test]
fn rule_3_a_task_that_was_polled_before_is_not_taken_for_the_catcher_of_a_request_already_caught() {
    everywhere(async || {
        let (go, wait) = signal();
        let (ready, waits) = signal();
        let task = begun(async {
            let mut inner = create_task(async {
                received(wait).await;
                "kept"
            });
            // Polled once, and left alone.
            futures::select_biased! {
                _ = (&mut inner).fuse() => unreachable!(),
                () = std::future::ready(()).fuse() => {}
            }
            passes(2).await;
            send(ready);
            assert!(catch_cancelled(forever()).await.is_err());
            // In the poll that delivers the request, which has been caught.
            let inner = catch_cancelled(&mut inner).await.expect("the request was delivered once");
            inner.unwrap()
        })
        .await;
        received(waits).await;
        task.cancel();
        passes(5).await;
        send(go);
        assert_eq!(task.await.unwrap(), "kept");
    });
}

#[test]
fn rule_3_a_catcher_that_was_polled_before_does_not_take_a_request_already_caught() {
    everywhere(async || {
        let (go, wait) = signal();
        let (ready, waits) = signal();
        let task = begun(async {
            let mut paused = Box::pin(catch_cancelled(received(wait)));
            assert!(futures::poll!(&mut paused).is_pending());
            passes(2).await;
            send(ready);
            assert!(catch_cancelled(forever()).await.is_err());
            paused.await.is_ok()
        })
        .await;
        received(waits).await;
        task.cancel();
        passes(5).await;
        send(go);
        assert!(task.await.unwrap(), "the request was delivered once");
    });
}

#[test]
fn rule_4_without_a_catcher_the_whole_future_is_dropped() {
    everywhere(async || {
        let dropped = Count::default();
        let guard = OnDrop(dropped.clone());
        let task = begun(async move {
            let _guard = guard;
            forever().await;
        })
        .await;
        task.cancel_with("why");
        assert_eq!(cancellation(task.await).message(), Some("why"));
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn rule_5_a_task_that_swallows_ends_with_its_value_and_the_count_stays() {
    everywhere(async || {
        let task = begun(async {
            assert!(catch_cancelled(forever()).await.is_err());
            5
        })
        .await;
        assert!(task.cancel());
        let same = task.task_ref();
        assert_eq!(task.await.unwrap(), 5);
        assert_eq!((same.cancelled(), same.cancelling()), (false, 1));
        assert_eq!(same.uncancel(), 0);
        assert_eq!(same.uncancel(), 0);
    });
}

#[test]
fn rule_5_uncancel_to_zero_withdraws_an_undelivered_request() {
    exact(async || {
        let task = create_task(async { 1 });
        task.cancel();
        task.cancel();
        assert_eq!(task.uncancel(), 1);
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.await.unwrap(), 1);
        let task = create_task(async { 1 });
        task.cancel();
        task.cancel();
        task.uncancel();
        assert!(task.await.unwrap_err().is_cancelled(), "from two to one withdraws nothing");
    });
}

#[test]
fn rule_6_an_awaited_task_gets_the_request_and_is_waited_for() {
    everywhere(async || {
        let (cleaning, cleans) = signal();
        let (go, wait) = signal();
        let inner = begun(async {
            let error = catch_cancelled(forever()).await.unwrap_err();
            send(cleaning);
            received(wait).await;
            error.reraise().await
        })
        .await;
        let same = inner.task_ref();
        let outer = begun(async {
            let _: Result<(), _> = inner.await;
        })
        .await;
        passes(2).await;
        outer.cancel_with("why");
        received(cleans).await;
        passes(3).await;
        assert_eq!((outer.done(), same.cancelling()), (false, 1));
        send(go);
        assert_eq!(cancellation(outer.await).message(), Some("why"));
    });
}

#[test]
fn rule_6_a_task_that_swallows_gives_its_value_and_shield_cuts_the_link() {
    everywhere(async || {
        let inner = begun(async { catch_cancelled(forever()).await.is_err() }).await;
        let outer = begun(async { (inner.await.unwrap(), count()) }).await;
        outer.cancel();
        assert_eq!(outer.await.unwrap(), (true, 1));

        let (go, wait) = signal();
        let inner = begun(async { catch_cancelled(received(wait)).await.is_ok() }).await;
        let same = inner.task_ref();
        let outer = begun(shield(inner)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        send(go);
        same.wait().await;
        assert!(!same.cancelled());
    });
}

#[test]
fn rule_7_a_timeout_converts_its_own_request_only() {
    everywhere(async || {
        let task = begun(async {
            let body = timeout(Duration::from_secs(60), forever());
            catch_cancelled(timeout(ms(1), body)).await
        })
        .await;
        assert!(task.await.unwrap().unwrap().is_err());
    });
}

#[test]
fn rule_8_a_group_waits_for_its_children_and_gives_all_failures() {
    everywhere(async || {
        let ended = Count::default();
        let told = ended.clone();
        let result = TaskGroup::scope(async |group| {
            let (sent, started) = signal();
            group.create_task(async move {
                let _told = OnDrop(told);
                send(sent);
                assert!(catch_cancelled(forever()).await.is_err());
                passes(5).await;
                Err::<(), _>(2)
            });
            received(started).await;
            Err::<(), _>(1)
        })
        .await;
        assert_eq!(ended.get(), 1);
        assert_eq!(result.unwrap_err().into_errors().collect::<Vec<_>>(), [2, 1]);
    });
}

// Rule 9: plain combinators.

#[test]
fn rule_9_a_timeout_in_one_branch_of_a_join_does_not_touch_the_other() {
    exact(async || {
        let other = async {
            let slept = catch_cancelled(sleep(ms(20))).await;
            (slept.is_ok(), count())
        };
        let (timed_out, other) = futures::join!(timeout(ms(5), forever()), other);
        assert_eq!((timed_out.is_err(), other), (true, (true, 0)));
        let both = futures::future::join_all((1..20).map(|n| timeout(ms(n), sleep(ms(10))))).await;
        // Those with a deadline at the same moment as the end of the sleep are not counted: either may come first.
        assert!(both[..9].iter().all(Result::is_err) && both[10..].iter().all(Result::is_ok));
    });
}

#[test]
fn rule_9_a_request_meets_a_catcher_in_each_branch_of_a_join() {
    everywhere(async || {
        let task = begun(async {
            let branch = || async {
                let error = catch_cancelled(forever()).await.unwrap_err();
                passes(3).await;
                error.message().map(String::from)
            };
            futures::join!(branch(), branch(), branch())
        })
        .await;
        passes(2).await;
        task.cancel_with("why");
        let why = Some(String::from("why"));
        assert_eq!(task.await.unwrap(), (why.clone(), why.clone(), why));
    });
}

#[test]
fn rule_9_under_a_join_a_branch_that_lets_it_go_on_waits_for_one_that_holds() {
    everywhere(async || {
        let (cleaning, cleans) = signal();
        let (go, wait) = signal();
        let slow = begun(async {
            let error = catch_cancelled(forever()).await.unwrap_err();
            send(cleaning);
            received(wait).await;
            error.reraise().await
        })
        .await;
        let quick = create_task(forever());
        let (slow_ref, quick_ref) = (slow.task_ref(), quick.task_ref());
        let task = begun(async {
            let (_, _): (Result<(), _>, _) = futures::join!(slow, quick);
        })
        .await;
        passes(2).await;
        task.cancel();
        received(cleans).await;
        passes(5).await;
        assert!(!task.done(), "the slow one is waited for");
        send(go);
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(slow_ref.cancelled() && quick_ref.cancelled());
    });
}

/// Awaits futures in that many ways inside of one task.
async fn together<F: Future>(way: usize, futures: Vec<F>) -> usize {
    match way {
        0 => futures::future::join_all(futures).await.len(),
        1 => futures.into_iter().collect::<FuturesUnordered<_>>().count().await,
        2 => stream::iter(futures).buffer_unordered(3).count().await,
        3 => stream::iter(futures).buffered(2).count().await,
        4 => {
            // A hand-written combinator that polls all at every poll with the task's own waker.
            let mut left: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
            let all = left.len();
            poll_fn(|cx| {
                left.retain_mut(|future| future.as_mut().poll(cx).is_pending());
                if left.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            all
        }
        _ => {
            let mut count = 0;
            for future in futures {
                future.await;
                count += 1;
            }
            count
        }
    }
}

const WAYS: usize = 6;

#[test]
fn rule_9_catchers_under_every_combinator_get_the_request_once() {
    everywhere(async || {
        for way in 0..WAYS {
            let log = Log::default();
            let told = log.clone();
            let task = begun(async move {
                let branches = (0..3).map(|_| {
                    let told = told.clone();
                    async move {
                        match catch_cancelled(forever()).await {
                            Ok(()) => unreachable!(),
                            Err(error) => told.add(format!("{:?}", error.message())),
                        }
                        assert!(catch_cancelled(passes(4)).await.is_ok(), "delivered twice");
                    }
                });
                // One after the other would wait for ever: the others are not reached by this request.
                let branches: Vec<_> = if way == 5 { branches.take(1).collect() } else { branches.collect() };
                if way == 3 {
                    return together(way, branches.into_iter().take(2).collect()).await;
                }
                together(way, branches).await
            })
            .await;
            passes(3).await;
            task.cancel_with("why");
            let expected = match way {
                5 => 1,
                3 => 2,
                _ => 3,
            };
            assert_eq!(task.await.unwrap(), expected, "way {way}");
            assert_eq!(log.take(), vec!["Some(\"why\")"; expected], "way {way}");
        }
    });
}

#[test]
fn rule_9_without_a_catcher_every_combinator_is_dropped() {
    everywhere(async || {
        for way in 0..WAYS {
            let dropped = Count::default();
            let guards = dropped.clone();
            let task = begun(async move {
                let branches = (0..3).map(|_| {
                    let guard = OnDrop(guards.clone());
                    async move {
                        let _guard = guard;
                        forever().await;
                    }
                });
                together(way, branches.collect()).await
            })
            .await;
            passes(2).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(dropped.get(), 3, "way {way}");
        }
    });
}

#[test]
fn rule_9_awaited_tasks_under_every_combinator_are_cancelled_and_waited_for() {
    everywhere(async || {
        for way in 0..WAYS - 1 {
            let cleaned_up = Count::default();
            let (sent, started): (Vec<_>, Vec<_>) = (0..3).map(|_| signal()).unzip();
            let tasks: Vec<_> = sent
                .into_iter()
                .map(|sent| {
                    let told = cleaned_up.clone();
                    create_task(async move {
                        send(sent);
                        let error = catch_cancelled(forever()).await.unwrap_err();
                        passes(3).await;
                        told.add();
                        error.reraise().await
                    })
                })
                .collect();
            for started in started {
                received(started).await;
            }
            let expected = if way == 3 { 2 } else { 3 };
            let task = begun(async move {
                let awaits = tasks.into_iter().map(async |task: Task<()>| drop(task.await));
                together(way, awaits.collect()).await
            })
            .await;
            passes(3).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled(), "way {way}");
            // `buffered(2)` had not polled the third one, which goes on.
            assert_eq!(cleaned_up.get(), expected, "way {way}");
        }
    });
}

#[test]
fn rule_9_timeouts_under_every_combinator_are_each_their_own() {
    exact(async || {
        for way in 0..WAYS {
            let expired = Count::default();
            let told = expired.clone();
            let branches = (1..=10).map(|n| {
                let told = told.clone();
                async move {
                    let body = async {
                        let slept = catch_cancelled(sleep(ms(55))).await;
                        sleep(ms(100)).await;
                        match slept {
                            Ok(()) => {}
                            Err(error) => error.reraise().await,
                        }
                    };
                    if timeout(ms(n * 10), body).await.is_err() {
                        told.add();
                    }
                }
            });
            assert_eq!(together(way, branches.collect()).await, 10);
            // A body with a deadline before 55 is cancelled then; all others in their second sleep, of 100.
            assert_eq!(expired.get(), 10, "way {way}");
            assert_eq!(count(), 0);
        }
    });
}

#[test]
fn rule_9_a_request_from_outside_reaches_bodies_of_timeouts_under_every_combinator() {
    everywhere(async || {
        for way in [0, 1, 2, 4] {
            let cleaned_up = Count::default();
            let told = cleaned_up.clone();
            let task = begun(async move {
                let branches = (0..3).map(|_| {
                    let told = told.clone();
                    timeout(Duration::from_secs(60), async move {
                        let error = catch_cancelled(forever()).await.unwrap_err();
                        told.add();
                        error.reraise().await
                    })
                });
                together(way, branches.collect()).await
            })
            .await;
            passes(3).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(cleaned_up.get(), 3, "way {way}");
        }
    });
}

#[test]
fn rule_9_groups_and_gathers_under_every_combinator_wait_for_their_children() {
    everywhere(async || {
        for way in [0, 1, 2, 4] {
            let (started, cleaned_up) = (Count::default(), Count::default());
            let (begins, told) = (started.clone(), cleaned_up.clone());
            let task = begun(async move {
                let child = move || {
                    let (begins, told) = (begins.clone(), told.clone());
                    async move {
                        begins.add();
                        let error = catch_cancelled(forever()).await.unwrap_err();
                        passes(4).await;
                        told.add();
                        let_go(error).await
                    }
                };
                let branches = (0..3).map(|n| {
                    let child = child.clone();
                    async move {
                        if n == 1 {
                            gather([child(), child()]).await;
                        } else {
                            let group = TaskGroup::<()>::scope(async |group| {
                                group.create_task(child());
                                group.create_task(child());
                                Ok(())
                            });
                            group.await.unwrap();
                        }
                    }
                });
                together(way, branches.collect()).await
            })
            .await;
            while started.get() < 6 {
                yield_now().await;
            }
            passes(2).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(cleaned_up.get(), 6, "way {way}");
        }
    });
}

#[test]
fn rule_9_select_of_borrowed_tasks_in_a_loop() {
    everywhere(async || {
        let mut tasks = [3, 1, 2].map(|n| create_task(async move { passes(n).await }));
        let mut ended = 0;
        while ended < 3 {
            let [a, b, c] = &mut tasks;
            let one = [a, b, c].into_iter().filter(|task| task.exception().is_err_and(|_| !task.done()));
            let running: Vec<_> = one.collect();
            if running.is_empty() {
                break;
            }
            let (outcome, _, _) = futures::future::select_all(running).await;
            outcome.unwrap();
            ended += 1;
        }
        assert!(tasks.iter().all(|task| task.done()));
    });
}

#[test]
fn rule_9_a_request_during_a_select_of_tasks_cancels_them_and_goes_on() {
    everywhere(async || {
        let (one, two) = (create_task(forever()), create_task(forever()));
        let refs = [one.task_ref(), two.task_ref()];
        let task = begun(async {
            futures::select_biased! {
                _ = one.fuse() => unreachable!(),
                _ = two.fuse() => unreachable!(),
            }
        })
        .await;
        passes(2).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        for task in refs {
            task.wait().await;
            assert!(task.cancelled());
        }
    });
}

#[test]
fn rule_9_many_random_trees_of_combinators_under_cancellation_end_promptly() {
    under_load(150, async |round| {
        let started = Count::default();
        let ended = Count::default();
        let (begins, ends) = (started.clone(), ended.clone());
        let task = begun(async move {
            let branches = (0..6).map(|n| {
                let (begins, ends) = (begins.clone(), ends.clone());
                async move {
                    begins.add();
                    let _ends = OnDrop(ends);
                    match (n + round) % 6 {
                        0 => drop(timeout(Duration::from_micros(50 * round as u64), forever()).await),
                        1 => drop(catch_cancelled(passes(round)).await),
                        2 => drop(create_task(forever()).await),
                        3 => gather([forever()]).await.clear(),
                        4 => drop(TaskGroup::<()>::scope(async |group| Ok(drop(group.create_task(forever())))).await),
                        _ => drop(shield(passes(round)).await),
                    }
                }
            });
            together(round % 5, branches.collect()).await
        })
        .await;
        passes(round % 9).await;
        while !task.done() {
            task.cancel();
            yield_now().await;
        }
        drop(task);
        assert_eq!(started.get(), ended.get());
    });
}

// Rule 10: drops.

#[test]
fn rule_10_dropping_an_await_does_not_touch_the_task() {
    everywhere(async || {
        let (go, wait) = signal();
        let mut task = create_task(received(wait));
        for _ in 0..3 {
            futures::select_biased! {
                _ = (&mut task).fuse() => unreachable!(),
                () = yield_now().fuse() => {}
            }
        }
        assert_eq!(task.cancelling(), 0);
        send(go);
        task.await.unwrap();
    });
}

#[test]
fn rule_10_futures_with_scopes_alive_may_move_to_another_task() {
    everywhere(async || {
        for cancelled in [false, true] {
            let (go, wait) = signal();
            let inner = create_task(async {
                received(wait).await;
                "value"
            });
            let same = inner.task_ref();
            let mut moved = Box::pin(timeout(Duration::from_secs(60), async move {
                let child = create_task(async { passes(3).await });
                let joined = futures::join!(catch_cancelled(inner), catch_cancelled(child));
                joined.0
            }));
            let moved = create_task(async move {
                passes(1).await;
                assert!(futures::poll!(&mut moved).is_pending());
                moved
            })
            .await
            .unwrap();
            let second = begun(moved).await;
            passes(3).await;
            if cancelled {
                second.cancel();
                // The awaited task took the request, ended, and so the catcher around it got it.
                assert!(second.await.unwrap().unwrap().is_err());
                assert!(same.cancelled());
                assert!(go.set_result(()).is_err() || same.done());
            } else {
                send(go);
                assert_eq!(second.await.unwrap().unwrap().unwrap().unwrap(), "value");
            }
        }
    });
}

#[test]
fn rule_10_futures_with_scopes_alive_may_be_dropped_on_a_foreign_thread() {
    everywhere(async || {
        let dropped = Count::default();
        let guard = OnDrop(dropped.clone());
        let cleaned_up = Count::default();
        let told = cleaned_up.clone();
        let (sent, started) = signal();
        let mut whole = Box::pin(async move {
            let _guard = guard;
            let group = TaskGroup::<()>::scope(async |group| {
                group.create_task(async move {
                    send(sent);
                    let error = catch_cancelled(forever()).await.unwrap_err();
                    told.add();
                    let_go(error).await
                });
                timeout(Duration::from_secs(60), catch_cancelled(forever())).await.unwrap().unwrap();
                Ok(())
            });
            let branches: FuturesUnordered<_> =
                [timeout(Duration::from_secs(60), gather([forever()]))].into_iter().collect();
            futures::join!(group, branches.count(), create_task(forever()), shield(passes(2)))
        });
        assert!(futures::poll!(&mut whole).is_pending());
        received(started).await;
        std::thread::spawn(move || drop(whole)).join().unwrap();
        assert_eq!(dropped.get(), 1);
        while cleaned_up.get() == 0 {
            yield_now().await;
        }
    });
}

/// An executor that is not ours.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[test]
fn rule_10_futures_with_scopes_alive_may_be_polled_outside_of_any_task() {
    everywhere(async || {
        let (go, wait) = signal();
        let task = create_task(async {
            received(wait).await;
            1
        });
        // On a foreign thread, with a waker that is not a task's.
        let thread = std::thread::spawn(move || {
            block_on(async {
                let caught = catch_cancelled(task).await;
                let reraised = catch_cancelled(CancelledError::new("mine").reraise()).await;
                (caught.unwrap().unwrap(), reraised.unwrap_err().message().map(String::from))
            })
        });
        send(go);
        let (promise, ended) = signal();
        std::thread::spawn(move || promise.set_result(drop(thread.join().unwrap())));
        ended.await.unwrap();
    });
}

#[test]
fn rule_10_a_catcher_kept_by_its_task_is_forgotten_when_it_is_dropped() {
    everywhere(async || {
        let task = begun(async {
            {
                let mut paused = pin!(catch_cancelled(forever()));
                assert!(futures::poll!(&mut paused).is_pending());
                let mut elsewhere: FuturesUnordered<_> = [catch_cancelled(forever())].into_iter().collect();
                assert!(futures::poll!(elsewhere.next()).is_pending());
            }
            forever().await;
        })
        .await;
        passes(3).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

// Rule 11: panics.

#[test]
fn rule_11_a_panic_is_the_task_s_failure_whoever_waits() {
    everywhere(async || {
        let panics = || create_task(async { panic!("boo") });
        assert!(panics().await.unwrap_err().is_panicked());
        assert!(timeout(Duration::from_secs(60), panics()).await.unwrap().unwrap_err().is_panicked());
        assert!(catch_cancelled(panics()).await.unwrap().unwrap_err().is_panicked());
        assert!(shield(panics()).await.unwrap_err().is_panicked());
        let in_body = create_task(timeout(Duration::from_secs(60), async { panic!("in the body") }).map(|_| ()));
        assert!(in_body.await.unwrap_err().is_panicked());
    });
}

#[test]
fn rule_11_a_panic_in_a_destructor_while_a_cancellation_unwinds_is_the_task_s_panic() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    everywhere(async || {
        let bare = begun(async {
            let _bomb = Bomb;
            forever().await;
        })
        .await;
        bare.cancel();
        assert!(bare.await.unwrap_err().is_panicked());
        let caught = begun(async {
            let bomb = Bomb;
            drop(
                catch_cancelled(async move {
                    let _bomb = bomb;
                    forever().await;
                })
                .await,
            );
        })
        .await;
        caught.cancel();
        assert!(caught.await.unwrap_err().is_panicked());
        let timed_out = create_task(timeout(ms(1), async {
            let _bomb = Bomb;
            forever().await;
        }));
        assert!(timed_out.await.unwrap_err().is_panicked());
        // The worker is unharmed.
        passes(5).await;
        assert!(catch_cancelled(passes(2)).await.is_ok());
    });
}

#[test]
fn rule_12_a_task_with_many_awaits_and_no_catcher_is_still_cancelled_at_the_first() {
    everywhere(async || {
        let steps = Count::default();
        let told = steps.clone();
        let task = begun(async move {
            loop {
                yield_now().await;
                told.add();
            }
        })
        .await;
        task.cancel();
        let error: Result<(), _> = task.await;
        assert!(error.unwrap_err().is_cancelled());
        let before = steps.get();
        passes(5).await;
        assert_eq!(steps.get(), before);
    });
}

// Chains and cycles (T-12).

const LONG: usize = 100_000;

/// Tasks each of which awaits the one before; the first one is given.
fn chain(length: usize, mut last: Task<()>) -> Task<()> {
    for _ in 0..length {
        let awaited = last;
        last = create_task(async move {
            match awaited.await {
                Ok(()) => {}
                Err(error) => drop(error),
            }
        });
    }
    last
}

#[test]
fn t_12_a_chain_of_a_hundred_thousand_is_cancelled_from_the_outer_end() {
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        let main = async {
            let first = create_task(forever());
            let inner = first.task_ref();
            let outer = chain(LONG, first);
            passes(3).await;
            while all_tasks().len() < LONG + 2 {
                yield_now().await;
            }
            outer.cancel_with("why");
            assert_eq!(cancellation(outer.await).message(), Some("why"));
            assert!(inner.cancelled());
        };
        runner.run(main).unwrap();
    }
}

#[test]
fn t_12_a_chain_of_a_hundred_thousand_is_cancelled_from_the_inner_end() {
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        let main = async {
            let first = create_task(forever());
            let inner = first.task_ref();
            let outer = chain(LONG, first);
            passes(3).await;
            inner.cancel();
            outer.await.unwrap();
        };
        runner.run(main).unwrap();
    }
}

#[test]
fn t_12_a_chain_of_a_hundred_thousand_is_dropped_and_shut_down() {
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        runner.run(async { drop(chain(LONG, create_task(forever()))) }).unwrap();
        runner.close();
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        runner
            .run(async {
                let outer = chain(LONG, create_task(forever()));
                passes(2).await;
                drop(outer);
            })
            .unwrap();
        drop(runner);
    }
}

/// A ring of tasks that await each other.
async fn ring(length: usize) -> Vec<runtime::TaskRef> {
    let (promise, last) = Promise::<Task<()>>::new();
    let first = create_task(async {
        drop(last.await.unwrap().await);
    });
    let mut refs = vec![first.task_ref()];
    let mut before = first;
    for _ in 1..length {
        let awaited = before;
        before = create_task(async move { drop(awaited.await) });
        refs.push(before.task_ref());
    }
    promise.set_result(before).unwrap();
    passes(3).await;
    refs
}

#[test]
fn t_12_cycles_of_any_length_are_cancelled_anywhere() {
    for workers in [1, 2] {
        let runner = runtime::Runner::builder().workers(workers).build().unwrap();
        let main = async {
            for (length, places) in [(2, 2), (3, 3), (50, 3), (LONG, 1)] {
                for from in [length / 2, length - 1, 0].into_iter().take(places) {
                    let refs = ring(length).await;
                    refs[from].cancel();
                    for task in refs {
                        task.wait().await;
                    }
                }
            }
            drop(ring(1000).await);
        };
        runner.run(main).unwrap();
        runner.close();
    }
}

#[test]
fn t_12_promises_in_a_long_chain_are_dropped_with_a_flat_stack() {
    exact(async || {
        // The drop of one promise ends a task, whose callback drops the next promise.
        let (mut promise, _task) = signal();
        for _ in 0..LONG {
            let (next, task) = signal();
            let before = promise;
            task.add_done_callback(move |_| drop(before));
            drop(task);
            promise = next;
        }
        drop(promise);
        while all_tasks().len() > 1 {
            yield_now().await;
        }
    });
}

// C rows at the level of the vocabulary.

#[test]
fn c_08_cancelling_one_of_several_waiters_cancels_what_they_share() {
    everywhere(async || {
        let shared = create_task(forever());
        let same = shared.task_ref();
        let other = begun({
            let same = same.clone();
            async move {
                same.wait().await;
                (same.cancelled(), count())
            }
        })
        .await;
        let one = begun(async { drop(shared.await) }).await;
        one.cancel();
        assert!(one.await.unwrap_err().is_cancelled());
        assert_eq!(other.await.unwrap(), (true, 0));
    });
}

#[test]
fn c_11_a_task_that_cancels_itself_is_cancelled_at_the_first_suspension_of_any_word() {
    everywhere(async || {
        for word in 0..6 {
            let task = create_task(async move {
                current_task().unwrap().cancel_with("own");
                match word {
                    0 => drop(timeout(Duration::from_secs(60), forever()).await),
                    1 => drop(gather([forever()]).await),
                    2 => drop(create_task(forever()).await),
                    3 => drop(TaskGroup::<()>::scope(async |_| Ok(forever().await)).await),
                    4 => drop(runtime::wait([create_task(forever())]).await),
                    _ => drop(runtime::race([forever()]).await),
                }
            });
            assert_eq!(cancellation(task.await).message(), Some("own"), "word {word}");
        }
    });
}

#[test]
fn c_20_a_second_request_during_clean_up_interrupts_it() {
    everywhere(async || {
        let (cleaning, cleans) = signal();
        let task = begun(async {
            let first = catch_cancelled(forever()).await.unwrap_err();
            send(cleaning);
            let second = catch_cancelled(forever()).await.unwrap_err();
            (first.message().map(String::from), second.message().map(String::from), count())
        })
        .await;
        task.cancel_with("first");
        received(cleans).await;
        task.cancel_with("second");
        assert_eq!(task.await.unwrap(), (Some("first".into()), Some("second".into()), 2));
    });
}

#[test]
fn c_22_the_message_goes_along_a_chain_of_words() {
    everywhere(async || {
        let (told, message) = Promise::new();
        let (sent, started) = signal();
        let leaf = async {
            send(sent);
            let error = catch_cancelled(forever()).await.unwrap_err();
            told.set_result(error.message().map(String::from)).unwrap();
            error.reraise().await
        };
        let task = create_task(async {
            let group = TaskGroup::<()>::scope(async |group| {
                group.create_task(async {
                    drop(timeout(Duration::from_secs(60), gather([create_task(leaf).map(drop)])).await)
                });
                Ok(())
            });
            group.await.unwrap();
        });
        received(started).await;
        passes(5).await;
        task.cancel_with("why");
        assert_eq!(cancellation(task.await).message(), Some("why"));
        assert_eq!(message.await.unwrap().as_deref(), Some("why"));
    });
}

#[test]
fn c_34_requests_from_foreign_threads_under_load() {
    under_load(60, async |round| {
        let task = begun(async {
            let caught = catch_cancelled(forever()).await.unwrap_err();
            passes(2).await;
            caught.message().map(String::from)
        })
        .await;
        let same = task.task_ref();
        let threads: Vec<_> = (0..2)
            .map(|n| {
                let same = same.clone();
                std::thread::spawn(move || {
                    for _ in 0..round % 10 {
                        std::hint::spin_loop();
                    }
                    same.cancel_with(format!("thread {n}"))
                })
            })
            .collect();
        let outcome = task.await;
        let accepted = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|yes| *yes).count();
        assert_eq!(same.cancelling() as usize, accepted);
        match outcome {
            Ok(message) => assert!(message.unwrap().starts_with("thread")),
            // The second request arrived during the clean-up.
            Err(error) => assert!(error.is_cancelled() && accepted == 2),
        }
    });
}
