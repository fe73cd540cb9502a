//! Rule 9: plain combinators.

use super::*;
use crate::support::forever_from;
use futures::future::join;

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
                    timeout(Duration::from_secs(3600), async move {
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

/// Lets a cancellation go on from a branch, after so many passes.
async fn unwinds_after(count: usize) {
    passes(count).await;
    let_go(CancelledError::new("from here")).await;
}

/// Cleans up over some passes, and counts that it has ended.
async fn cleans_up(ended: Arc<AtomicUsize>) {
    if let Err(error) = catch_cancelled(forever()).await {
        passes(5).await;
        ended.fetch_add(1, SeqCst);
        let_go(error).await;
    }
}

#[test]
fn rule_9_what_unwinds_in_one_branch_is_told_to_those_who_wait_in_another() {
    everywhere(async || {
        let ended = Arc::new(AtomicUsize::new(0));
        let begins = Count::default();
        let cleans_up = {
            let (ended, begins) = (ended.clone(), begins.clone());
            move || {
                begins.add();
                cleans_up(ended.clone())
            }
        };
        let task = create_task(async move {
            let group = TaskGroup::run(async |group| {
                let cleans_up = cleans_up.clone();
                group.create_task(async move { cleans_up().await });
                forever().await;
            });
            let child = cleans_up.clone();
            let children = gather([async move { child().await }]);
            let awaited = cleans_up.clone();
            let awaited = create_task(async move { awaited().await });
            let unwinds = async {
                while begins.get() < 3 {
                    yield_now().await;
                }
                let_go(CancelledError::new("from here")).await;
            };
            futures::join!(unwinds, group, children, awaited).0
        });
        let error = cancellation(task.await);
        assert_eq!(error.message(), Some("from here"));
        assert_eq!(ended.load(SeqCst), 3, "nobody had asked, and all were told and waited for");
    });
}

#[test]
fn rule_8_a_group_whose_body_is_in_a_handler_is_told_when_another_branch_unwinds() {
    everywhere(async || {
        let ended = Arc::new(AtomicUsize::new(0));
        let count = ended.clone();
        let (sent, child_begun) = signal();
        let task = begun(async move {
            let group = TaskGroup::run(async |group| {
                let _ = catch_cancelled(forever()).await;
                // The request is over for this branch; only now there is somebody to wait for.
                group.create_task(async {
                    send(sent);
                    cleans_up(count).await
                });
                forever().await;
            });
            let quick = async {
                let error = catch_cancelled(forever()).await.unwrap_err();
                received(child_begun).await;
                passes(20).await;
                let_go(error).await;
            };
            let _ = futures::join!(group, quick);
        })
        .await;
        passes(2).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(ended.load(SeqCst), 1);
    });
}

#[test]
fn rule_9_what_is_polled_twice_while_a_request_is_delivered_gets_it_once() {
    exact(async || {
        for before in 0..12 {
            let ended = Arc::new(AtomicUsize::new(0));
            let count = ended.clone();
            let task = create_task(async move {
                let awaits = async {
                    let awaited = create_task(cleans_up(count));
                    let _ = futures::join!(awaited, passes(before + 2));
                };
                // One of the set ends in the very poll that delivers. The loop then polls the set again, and with it a branch that has woken itself.
                let set: FuturesUnordered<_> = [awaits.boxed(), passes(before).boxed()].into_iter().collect();
                set.count().await;
            });
            passes(before + 1).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(all_tasks().len(), 1, "after {before} passes: what was awaited has ended");
            assert!(ended.load(SeqCst) <= 1, "not even begun after 0 passes");
        }
    });
}

/// A task that two branches pass a request on to: one to the group that it is a child of, and one by way of another task that awaits it.
#[test]
fn rule_9_a_request_that_branches_pass_on_to_one_task_counts_once() {
    everywhere(async || {
        for in_a_set in [false, true] {
            let (give, given) = Promise::<Task<u32>>::new();
            let ((here, waits), (there, awaits)) = (signal(), signal());
            let between = create_task(async move {
                let child = given.await.unwrap();
                send(there);
                child.await
            });
            let outer = create_task(async move {
                let group = TaskGroup::<()>::scope(async |group| {
                    let child = group.create_task(async move {
                        catch_cancelled(forever_from(here)).await.unwrap_err();
                        // Its own error: no second request comes from outside.
                        timeout(ms(5), forever()).await.unwrap_err();
                        Ok(count())
                    });
                    give.set_result(child.into_task()).ok().unwrap();
                    Ok(0)
                });
                let of_group = async { drop(group.await) }.boxed();
                let of_between = async { assert_eq!(between.await.unwrap().unwrap(), 1, "counted once") }.boxed();
                if in_a_set {
                    FuturesUnordered::from_iter([of_group, of_between]).collect::<()>().await;
                } else {
                    join(of_group, of_between).await;
                }
            });
            received(waits).await;
            received(awaits).await;
            outer.cancel();
            assert!(cancellation(outer.await).message().is_none());
        }
    });
}

#[test]
fn rule_9_who_has_not_been_polled_when_others_end_is_told_and_waited_for() {
    everywhere(async || {
        for ended_at_once in 0..6 {
            let ended = Arc::new(AtomicUsize::new(0));
            let slow = begun(cleans_up(ended.clone())).await;
            let task = begun(async move {
                // A promise ends in the moment in which it is cancelled: within the poll that delivers the request. After two such the set stops early.
                let at_once = async || {
                    let (_sent, received) = signal();
                    let _ = received.await;
                };
                let awaits = (0..ended_at_once).map(|_| at_once().boxed());
                let awaits: FuturesUnordered<_> = awaits.chain([async { drop(slow.await) }.boxed()]).collect();
                awaits.count().await
            })
            .await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(ended.load(SeqCst), 1, "with {ended_at_once}: it was waited for");
        }
    });
}

#[test]
fn rule_8_who_holds_in_a_set_that_nobody_looks_at_any_more_holds_nothing_up() {
    everywhere(async || {
        for sets in 1..4 {
            let ended = Arc::new(AtomicUsize::new(0));
            let seen = begun(cleans_up(ended.clone())).await;
            let task = begun(async move {
                // Each set gets the request, and waits; then the code around goes on with the handler.
                let other = create_task(forever());
                let mut waits: FuturesUnordered<_> = (0..sets).map(|_| create_task(forever())).collect();
                let caught = futures::future::select(waits.next(), catch_cancelled(other.task_ref().wait())).await;
                let futures::future::Either::Right((Err(error), _)) = caught else { panic!("a promise of nobody") };
                // This one is looked at: it is waited for.
                let seen: FuturesUnordered<_> = [seen].into_iter().collect();
                futures::join!(seen.count(), let_go(error));
            })
            .await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(ended.load(SeqCst), 1, "{sets} sets");
        }
    });
}

async fn cleans_up_for(duration: Duration) {
    let caught = catch_cancelled(forever()).await;
    sleep(duration).await;
    caught.unwrap_or_else(drop)
}

#[test]
fn rule_8_who_is_left_alone_while_something_unwinds_holds_nothing_up() {
    exact(async || {
        for scope in [false, true] {
            let left_alone = async {
                let mut waits: FuturesUnordered<_> = [create_task(cleans_up_for(ms(50)))].into_iter().collect();
                futures::future::select(waits.next(), pin!(sleep(ms(10)))).await;
                forever().await;
            };
            let both = async move { futures::join!(left_alone, unwinds_after(4)) };
            let start = Handle::current().time();
            let task = create_task(async move {
                match scope {
                    true => drop(timeout(ms(30), both).await),
                    false => drop(both.await),
                }
            });
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(Handle::current().time() - start, ms(10));
        }
    });
}

/// Awaits two tasks in a set, which is left alone `after` that.
async fn set_left_alone(after: impl Future<Output = ()>) {
    let mut waits: FuturesUnordered<_> = (0..2).map(|_| create_task(cleans_up_for(ms(50)))).collect();
    futures::future::select(waits.next(), pin!(after)).await;
    forever().await;
}

#[test]
fn rule_8_who_was_left_alone_is_asked_when_another_one_has_ended() {
    exact(async || {
        for first in [false, true] {
            for left_after in [0, 10, 15] {
                let start = Handle::current().time();
                let task = create_task(async move {
                    let left_alone = set_left_alone(sleep(ms(left_after)));
                    let seen: FuturesUnordered<_> = [create_task(cleans_up_for(ms(20)))].into_iter().collect();
                    match first {
                        true => drop(futures::join!(seen.count(), left_alone, unwinds_after(4))),
                        false => drop(futures::join!(left_alone, seen.count(), unwinds_after(4))),
                    }
                });
                assert!(task.await.unwrap_err().is_cancelled());
                assert_eq!(Handle::current().time() - start, ms(20), "{left_after}");
            }
        }
    });
}

#[test]
fn rule_7_a_request_that_another_branch_takes_does_not_take_the_one_of_a_scope_along() {
    everywhere(async || {
        let ended = create_task(async {
            let scope = CancelScope::new();
            let both = async {
                passes(4).await;
                scope.cancel();
                current_task().unwrap().cancel();
            };
            let swallows = async {
                let caught = catch_cancelled(forever()).await;
                current_task().unwrap().uncancel();
                caught.is_err()
            };
            let (cancelled, caught, ()) = futures::join!(scope.run(forever()), swallows, both);
            (cancelled.is_err(), caught)
        });
        assert_eq!(ended.await.unwrap(), (true, true));
    });
}

#[test]
fn rule_6_an_await_that_is_polled_twice_in_a_poll_is_one_await() {
    everywhere(async || {
        let ended = Arc::new(AtomicUsize::new(0));
        let mut awaited = begun(cleans_up(ended.clone())).await;
        let twice = poll_fn(|cx| match awaited.poll_unpin(cx) {
            Poll::Pending => awaited.poll_unpin(cx),
            ready => ready,
        });
        let scope = CancelScope::new();
        let cancels = async {
            passes(4).await;
            scope.cancel();
        };
        let (cancelled, ()) = futures::join!(scope.run(twice), cancels);
        assert!(cancelled.is_err(), "the await has ended by the request, and not with an outcome");
        assert_eq!(ended.load(SeqCst), 1);
    });
}

#[test]
fn rule_9_what_is_tried_again_is_not_for_those_who_have_had_it() {
    everywhere(async || {
        let ended = Arc::new(AtomicUsize::new(0));
        let awaited = begun(cleans_up(ended.clone())).await;
        let task = begun(async move {
            // The two busy ones end each poll of the set before the third has had its turn.
            let busy = || async {
                loop {
                    yield_now().await;
                }
            };
            let awaits = async { drop(awaited.await) };
            let set: FuturesUnordered<_> = [busy().boxed(), busy().boxed(), awaits.boxed()].into_iter().collect();
            // Answers the request with a failure: the cancellation becomes pending again.
            let group = async {
                let failed = TaskGroup::scope(async |group| {
                    group.create_task(async {
                        let _ = catch_cancelled(forever()).await;
                        Err::<(), _>("failed")
                    });
                    forever().await;
                    Ok(())
                });
                assert!(failed.await.is_err());
                forever().await;
            };
            futures::join!(set.count(), group)
        })
        .await;
        passes(5).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(ended.load(SeqCst), 1, "its clean-up was not interrupted");
    });
}

#[test]
fn tg_24_a_cancellation_that_is_pending_again_and_reaches_nobody_at_first_is_not_for_those_who_wait_for_clean_up() {
    everywhere(async || {
        let ended = Arc::new(AtomicUsize::new(0));
        let slow = begun(cleans_up(ended.clone())).await;
        let task = begun(async move {
            let fails = async {
                // It fails when it is cancelled, so that the group ends in a failure, and the cancellation is pending again.
                let group = TaskGroup::<&str>::scope(async |group| {
                    let child = async {
                        let _ = catch_cancelled(forever()).await;
                        Err::<(), _>("failed")
                    };
                    let _ = group.create_task(child).await;
                    Ok(())
                });
                assert!(group.await.is_err());
            };
            // That set stops after two branches that wake themselves, before it comes to the await.
            let inner = [passes(50).boxed(), async { drop(slow.await) }.boxed(), passes(50).boxed()];
            let waits = async { _ = inner.into_iter().collect::<FuturesUnordered<_>>().count().await };
            [fails.boxed(), waits.boxed()].into_iter().collect::<FuturesUnordered<_>>().count().await
        })
        .await;
        passes(5).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(ended.load(SeqCst), 1, "it was waited for");
    });
}
