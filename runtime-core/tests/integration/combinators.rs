//! Rules of the cancellation contract under plain combinators inside one task: `join!`, `select!`, `FuturesUnordered`,
//! `buffer_unordered`, tokio's `select!`, and one written by hand.

use crate::support::*;
use futures::future::{Either, select};
use futures::stream::{self, FuturesUnordered, StreamExt};
use runtime_core::*;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

/// Catches one cancellation, cleans up over some suspensions, and says all of it.
async fn cleans_up(trace: Trace, name: &'static str) -> &'static str {
    let held = trace.on_drop("-");
    let error = catch_cancelled(async {
        let _held = held;
        pending::<()>().await
    })
    .await
    .unwrap_err();
    trace.add(format!("{name}:{}", error.message().unwrap_or("?")));
    yield_now().await;
    sleep(Duration::from_micros(1)).await;
    yield_now().await;
    trace.add(format!("{name}!"));
    name
}

/// As [`cleans_up`], and lets the cancellation go on.
async fn cleans_up_and_reraises(trace: Trace, name: &'static str) {
    let error = catch_cancelled(pending::<()>()).await.unwrap_err();
    trace.add(format!("{name}:{}", error.message().unwrap_or("?")));
    yield_now().await;
    trace.add(format!("{name}!"));
    error.reraise().await
}

/// Runs `body` as a task, cancels it once it has begun to wait, and gives how it ended.
async fn cancelled_while_waiting<F>(body: F) -> Result<F::Output, TaskError>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (begun, has_begun) = event();
    let task = create_task(async move {
        let mut begun = Some(begun);
        let mut body = pin!(body);
        // The first poll of the body, and only then the event: everything in it waits.
        std::future::poll_fn(move |cx| {
            let poll = body.as_mut().poll(cx);
            if let Some(begun) = begun.take() {
                begun.happen();
            }
            poll
        })
        .await
    });
    has_begun.wait().await;
    assert!(task.cancel_with("stop"));
    task.await
}

everywhere! {
    async fn rule_02_every_branch_of_a_join_gets_the_request_once() {
        let trace = Trace::default();
        let (a, b) = (cleans_up(trace.clone(), "a"), cleans_up(trace.clone(), "b"));
        let outcome = cancelled_while_waiting(async move { futures::join!(a, b) }).await;
        assert_eq!(outcome.unwrap(), ("a", "b"));
        let mut seen: Vec<_> = trace.take().split(' ').map(String::from).collect();
        seen.sort();
        assert_eq!(seen.join(" "), "- - a! a:stop b! b:stop");
    }

    async fn rule_03_a_join_without_catchers_is_dropped() {
        let trace = Trace::default();
        let (one, two) = (trace.on_drop("one"), trace.on_drop("two"));
        let outcome = cancelled_while_waiting(async move {
            let one = async move {
                let _one = one;
                pending::<()>().await;
            };
            let two = async move {
                let _two = two;
                pending::<()>().await;
            };
            futures::join!(one, two)
        })
        .await;
        assert!(outcome.unwrap_err().is_cancelled());
        assert_eq!(trace.take(), "two one");
    }

    async fn rule_03_the_innermost_catcher_is_first() {
        let trace = Trace::default();
        let inside = trace.clone();
        let outcome = cancelled_while_waiting(async move {
            let innermost = inside.on_drop("innermost-dropped");
            let caught = catch_cancelled(async {
                let _middle = inside.on_drop("middle-dropped");
                let error = catch_cancelled(async {
                    let _innermost = innermost;
                    pending::<()>().await
                })
                .await
                .unwrap_err();
                inside.add("inner");
                yield_now().await;
                inside.add("reraises");
                error.reraise().await
            })
            .await;
            inside.add("outer");
            yield_now().await;
            caught.unwrap_err().message().map(String::from)
        })
        .await;
        assert_eq!(outcome.unwrap().as_deref(), Some("stop"));
        assert_eq!(trace.take(), "innermost-dropped inner reraises middle-dropped outer");
    }

    async fn rule_03_inner_swallows_and_the_outer_catcher_sees_nothing() {
        let outcome = cancelled_while_waiting(catch_cancelled(async {
            catch_cancelled(pending::<()>()).await.unwrap_err();
            for _ in 0..5 {
                yield_now().await;
            }
            "went on"
        }))
        .await;
        assert_eq!(outcome.unwrap().unwrap(), "went on");
    }

    async fn rule_05_one_branch_reraises_and_its_siblings_clean_up_is_dropped_with_it() {
        let trace = Trace::default();
        let (a, b) = (cleans_up(trace.clone(), "a"), cleans_up_and_reraises(trace.clone(), "b"));
        let outcome = cancelled_while_waiting(async move { futures::join!(a, b) }).await;
        assert!(outcome.unwrap_err().is_cancelled());
        let seen = trace.take();
        assert!(seen.contains("a:stop") && seen.contains("b:stop") && seen.contains("b!"), "{seen}");
    }

    async fn rule_06_every_awaited_task_of_a_join_is_asked_and_waited_for() {
        let ended = Count::default();
        let begun = Count::default();
        let child = || {
            let (ended, begun) = (ended.clone(), begun.clone());
            create_task(async move {
                begun.up();
                let error = catch_cancelled(pending::<()>()).await.unwrap_err();
                for _ in 0..10 {
                    yield_now().await;
                }
                ended.up();
                error.reraise().await
            })
        };
        let children: (Task<()>, Task<()>, Task<()>) = (child(), child(), child());
        while begun.get() < 3 {
            yield_now().await;
        }
        let outcome = cancelled_while_waiting(async move { futures::join!(children.0, children.1, children.2) }).await;
        assert!(outcome.unwrap_err().is_cancelled());
        assert_eq!(ended.get(), 3, "rule 8: the unwinding waits for all that hold");
    }

    async fn rule_06_awaited_tasks_in_futures_unordered() {
        let ended = Count::default();
        let begun = Count::default();
        let children: Vec<Task<()>> = (0..20)
            .map(|number| {
                let (ended, begun) = (ended.clone(), begun.clone());
                create_task(async move {
                    begun.up();
                    let error = catch_cancelled(pending::<()>()).await.unwrap_err();
                    for _ in 0..number {
                        yield_now().await;
                    }
                    ended.up();
                    error.reraise().await
                })
            })
            .collect();
        while begun.get() < 20 {
            yield_now().await;
        }
        let outcome = cancelled_while_waiting(async move {
            let mut all: FuturesUnordered<_> = children.into_iter().collect();
            while all.next().await.is_some() {}
        })
        .await;
        assert!(outcome.unwrap_err().is_cancelled());
        assert_eq!(ended.get(), 20);
    }

    async fn rule_02_catchers_in_futures_unordered() {
        let trace = Trace::default();
        let inside = trace.clone();
        let outcome = cancelled_while_waiting(async move {
            let mut all: FuturesUnordered<_> =
                ["a", "b", "c"].into_iter().map(|name| cleans_up(inside.clone(), name)).collect();
            let mut count = 0;
            while all.next().await.is_some() {
                count += 1;
            }
            count
        })
        .await;
        assert_eq!(outcome.unwrap(), 3);
        let seen = trace.take();
        for name in ["a", "b", "c"] {
            assert_eq!(seen.matches(&format!("{name}:stop")).count(), 1, "{seen}");
        }
    }

    async fn rule_02_catchers_in_nested_sets() {
        let trace = Trace::default();
        let inside = trace.clone();
        let outcome = cancelled_while_waiting(async move {
            let set = |names: [&'static str; 2]| {
                let inside = inside.clone();
                async move {
                    let set: FuturesUnordered<_> =
                        names.into_iter().map(|name| cleans_up(inside.clone(), name)).collect();
                    set.count().await
                }
            };
            let sets: FuturesUnordered<_> = [set(["a", "b"]), set(["c", "d"])].into_iter().collect();
            sets.fold(0, |sum, count| async move { sum + count }).await
        })
        .await;
        assert_eq!(outcome.unwrap(), 4);
        let seen = trace.take();
        for name in ["a", "b", "c", "d"] {
            assert_eq!(seen.matches(&format!("{name}:stop")).count(), 1, "{seen}");
        }
    }

    async fn rule_02_catchers_in_buffer_unordered() {
        let trace = Trace::default();
        let inside = trace.clone();
        let outcome = cancelled_while_waiting(async move {
            // The third begins when one of the first two has ended, long after the request.
            let work = ["a", "b", "c"].map(|name| {
                let inside = inside.clone();
                async move { if name == "c" { "c" } else { cleans_up(inside, name).await } }
            });
            let mut names = stream::iter(work).buffer_unordered(2).collect::<Vec<_>>().await;
            names.sort_unstable();
            names
        })
        .await;
        assert_eq!(outcome.unwrap(), ["a", "b", "c"]);
        let seen = trace.take();
        assert_eq!((seen.matches("a:stop").count(), seen.matches("b:stop").count()), (1, 1), "{seen}");
    }

    async fn a_branch_of_a_select_that_lost_is_not_asked() {
        let trace = Trace::default();
        let inside = trace.clone();
        let outcome = cancelled_while_waiting(async move {
            {
                let lost = pin!(cleans_up(inside.clone(), "lost"));
                select(lost, std::future::ready(())).await;
            }
            inside.add("next");
            catch_cancelled(pending::<()>()).await.unwrap_err();
            inside.add("caught");
        })
        .await;
        outcome.unwrap();
        assert_eq!(trace.take(), "- next caught");
    }

    async fn a_select_is_cancelled_in_both_branches() {
        let trace = Trace::default();
        let (a, b) = (trace.clone(), trace.clone());
        let outcome = cancelled_while_waiting(async move {
            let first = pin!(cleans_up(a, "a"));
            let second = pin!(cleans_up(b, "b"));
            match select(first, second).await {
                Either::Left((name, _)) | Either::Right((name, _)) => name,
            }
        })
        .await;
        assert!(["a", "b"].contains(&outcome.unwrap()));
        let seen = trace.take();
        assert!(seen.contains("a:stop") && seen.contains("b:stop"), "{seen}");
    }

    async fn tokios_select_is_cancelled_in_all_branches() {
        let trace = Trace::default();
        let (a, b) = (trace.clone(), trace.clone());
        let outcome = cancelled_while_waiting(async move {
            tokio::select! {
                name = cleans_up(a, "a") => name,
                name = cleans_up(b, "b") => name,
                () = pending::<()>() => "never",
            }
        })
        .await;
        assert!(["a", "b"].contains(&outcome.unwrap()));
        let seen = trace.take();
        assert!(seen.contains("a:stop") && seen.contains("b:stop"), "{seen}");
    }

    async fn a_loop_over_tokios_select_passes_the_request_to_the_task_that_it_awaits() {
        let (inner_begun, inner_has_begun) = event();
        let mut inner = create_task(async move {
            inner_begun.happen();
            let error = catch_cancelled(pending::<()>()).await.unwrap_err();
            for _ in 0..20 {
                yield_now().await;
            }
            error.reraise().await
        });
        inner_has_begun.wait().await;
        let inner_ref = inner.task_ref();
        let outcome: Result<(), _> = cancelled_while_waiting(async move {
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut inner => {
                        let outcome: Result<(), _> = outcome;
                        panic!("the await yielded {outcome:?}");
                    }
                    () = yield_now() => {}
                }
            }
        })
        .await;
        assert!(outcome.unwrap_err().is_cancelled());
        assert!(inner_ref.cancelled());
        assert_eq!(inner_ref.cancelling(), 1);
    }

    async fn rule_09_a_scope_in_one_branch_does_not_touch_the_others() {
        let trace = Trace::default();
        let inside = trace.clone();
        let (other_done, other) = event();
        let task = create_task(async move {
            let scope = CancelScope::new();
            let handle = scope.clone();
            let cancelled = scope.run(cleans_up(inside.clone(), "in-scope"));
            let other = async {
                catch_cancelled(other.wait()).await.unwrap();
                inside.add("other-undisturbed");
            };
            let trigger = async {
                yield_now().await;
                handle.cancel_with("scope");
            };
            let (cancelled, (), ()) = futures::join!(cancelled, other, trigger);
            cancelled.unwrap()
        });
        while !trace.contains("in-scope!") {
            yield_now().await;
        }
        other_done.happen();
        assert_eq!(task.await.unwrap(), "in-scope");
        assert!(trace.take().ends_with("other-undisturbed"));
    }

    async fn rule_09_scopes_in_futures_unordered_are_cancelled_one_by_one() {
        let scopes: Vec<_> = (0..10).map(|_| CancelScope::new()).collect();
        let handles = scopes.clone();
        let begun = Count::default();
        let inside = begun.clone();
        let task = create_task(async move {
            let all: FuturesUnordered<_> = scopes
                .iter()
                .map(|scope| {
                    let begun = inside.clone();
                    scope.run(async move {
                        begun.up();
                        pending::<()>().await
                    })
                })
                .collect();
            all.map(|outcome| outcome.is_err()).collect::<Vec<_>>().await
        });
        while begun.get() < 10 {
            yield_now().await;
        }
        for handle in &handles {
            assert!(handle.cancel());
            assert!(!handle.cancel(), "only once");
        }
        assert_eq!(task.await.unwrap(), vec![true; 10]);
    }

    async fn a_hand_written_combinator() {
        let trace = Trace::default();
        let (a, b) = (trace.clone(), trace.clone());
        let outcome = cancelled_while_waiting(Wrapping {
            parts: vec![Some(Box::pin(cleans_up(a, "a"))), Some(Box::pin(cleans_up(b, "b")))],
            woken: Count::default(),
        })
        .await;
        assert_eq!(outcome.unwrap(), 2);
        let seen = trace.take();
        assert_eq!((seen.matches("a:stop").count(), seen.matches("b:stop").count()), (1, 1), "{seen}");
    }

    async fn a_combinator_that_polls_its_parts_in_turn() {
        // Each poll goes to another part, with the task's own waker.
        let trace = Trace::default();
        let inside = trace.clone();
        let outcome = cancelled_while_waiting(async move {
            let mut parts = [Box::pin(cleans_up(inside.clone(), "a")), Box::pin(cleans_up(inside.clone(), "b"))];
            let mut turn = 0;
            std::future::poll_fn(move |cx| {
                turn += 1;
                let first = turn % 2;
                for part in [first, 1 - first] {
                    if let Poll::Ready(name) = parts[part].as_mut().poll(cx) {
                        return Poll::Ready(name);
                    }
                }
                Poll::Pending
            })
            .await
        })
        .await;
        assert!(["a", "b"].contains(&outcome.unwrap()));
        let seen = trace.take();
        assert_eq!((seen.matches("a:stop").count(), seen.matches("b:stop").count()), (1, 1), "{seen}");
    }

    async fn a_dropped_set_of_catchers_leaves_nothing_behind() {
        let outcome = cancelled_while_waiting(async move {
            for _ in 0..100 {
                let set: FuturesUnordered<_> = (0..5).map(|_| catch_cancelled(pending::<()>())).collect();
                let mut set = pin!(set);
                let once = std::future::poll_fn(|cx| Poll::Ready(set.as_mut().poll_next_unpin(cx).is_pending()));
                assert!(once.await);
            }
            pending::<()>().await
        })
        .await;
        assert!(outcome.unwrap_err().is_cancelled());
    }

    async fn a_future_moved_to_another_task_belongs_to_that_one() {
        let trace = Trace::default();
        let mut moved: Pin<Box<dyn Future<Output = &'static str> + Send>> = Box::pin(cleans_up(trace.clone(), "moved"));
        // Polled here first.
        std::future::poll_fn(|cx| {
            assert!(moved.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let outcome = cancelled_while_waiting(moved).await;
        assert_eq!(outcome.unwrap(), "moved");
        assert_eq!(trace.take(), "- moved:stop moved!");
    }

    async fn a_set_moved_to_another_task_belongs_to_that_one() {
        let trace = Trace::default();
        let mut set: FuturesUnordered<_> =
            ["a", "b"].into_iter().map(|name| Box::pin(cleans_up(trace.clone(), name))).collect();
        std::future::poll_fn(|cx| {
            assert!(set.poll_next_unpin(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let first = create_task(async move {
            let mut set = set;
            std::future::poll_fn(|cx| {
                assert!(set.poll_next_unpin(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            set
        });
        let set = first.await.unwrap();
        let outcome = cancelled_while_waiting(set.count()).await;
        assert!(matches!(outcome, Ok(2)) || outcome.unwrap_err().is_cancelled());
    }

    async fn an_awaited_task_moved_between_tasks_and_threads() {
        let (promise, mut waits) = Promise::<u8>::new();
        std::future::poll_fn(|cx| {
            assert!(Pin::new(&mut waits).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let waits = std::thread::spawn(move || {
            let mut waits = waits;
            assert!(poll_once(&mut waits).is_pending());
            waits
        })
        .join()
        .unwrap();
        let task = create_task(waits);
        promise.set_result(9).unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 9);
    }
}

/// Gives every part a waker of its own and polls all of them in every poll.
struct Wrapping {
    parts: Vec<Option<Pin<Box<dyn Future<Output = &'static str> + Send>>>>,
    woken: Count,
}

impl Future for Wrapping {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let woken = self.woken.clone();
        for part in &mut self.parts {
            let waker = CountingWaker { inner: cx.waker().clone(), woken: woken.clone() };
            let waker = std::sync::Arc::new(waker).into();
            let ready =
                part.as_mut().is_some_and(|part| part.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            if ready {
                *part = None;
            }
        }
        if self.parts.iter().all(Option::is_none) { Poll::Ready(self.parts.len()) } else { Poll::Pending }
    }
}

#[test]
fn a_future_with_scopes_in_it_works_without_any_task() {
    let trace = Trace::default();
    let scope = CancelScope::new();
    let handle = scope.clone();
    let body = scope.run(async {
        let caught = catch_cancelled(pending::<()>()).await;
        trace.add(caught.unwrap_err().message().unwrap());
        3
    });
    let mut body = Box::pin(body);
    assert!(poll_once(&mut body).is_pending());
    handle.cancel_with("outside of any task");
    assert!(matches!(poll_once(&mut body), Poll::Ready(Ok(3))));
    assert_eq!(trace.take(), "outside of any task");
}

#[test]
fn polled_in_a_task_then_dropped_on_a_thread_that_never_knew_the_runtime() {
    for workers in [1, 2, 8] {
        let trace = Trace::default();
        let inside = trace.clone();
        on(workers, async move {
            let (child, child_begun) = {
                let (begun, has_begun) = event();
                let child = create_task(async move {
                    begun.happen();
                    pending::<()>().await;
                });
                (child, has_begun)
            };
            child_begun.wait().await;
            let child_ref = child.task_ref();
            let scope = CancelScope::new();
            let trace = inside.clone();
            let body = async move {
                let _held = trace.on_drop("dropped");
                let sleeping = sleep(Duration::from_secs(1000));
                let set: FuturesUnordered<_> = (0..3).map(|_| catch_cancelled(pending::<()>())).collect();
                let awaited = catch_cancelled(scope.run(child));
                futures::join!(sleeping, set.count(), awaited).1
            };
            let mut body = Box::pin(body);
            std::future::poll_fn(|cx| {
                assert!(body.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            std::thread::spawn(move || drop(body)).join().unwrap();
            inside.add("after");
            assert!(
                !child_ref.done() && child_ref.cancelling() == 0,
                "rule 10 is for structured futures; this one detaches"
            );
        });
        assert_eq!(trace.take(), "dropped after");
    }
}

everywhere! {
    async fn rule_03_catchers_behind_futures_that_keep_waking_themselves() {
        // `FuturesUnordered` ends a poll after two of those, before the catcher has had its turn.
        let trace = Trace::default();
        let inside = trace.clone();
        let outcome = cancelled_while_waiting(async move {
            let mut set: FuturesUnordered<Pin<Box<dyn Future<Output = bool> + Send>>> = FuturesUnordered::new();
            set.push(Box::pin(async {
                cleans_up(inside, "reached").await;
                true
            }));
            for _ in 0..20 {
                set.push(Box::pin(async {
                    loop {
                        yield_now().await;
                    }
                }));
            }
            while set.next().await != Some(true) {}
        })
        .await;
        outcome.unwrap();
        assert_eq!(trace.take(), "- reached:stop reached!");
    }

    async fn rule_03_a_set_left_alone_does_not_hold_up_the_request() {
        let trace = Trace::default();
        let inside = trace.clone();
        let outcome = cancelled_while_waiting(async move {
            let mut set: FuturesUnordered<_> =
                ["a", "b"].into_iter().map(|name| Box::pin(cleans_up(inside.clone(), name))).collect();
            std::future::poll_fn(|cx| {
                assert!(set.poll_next_unpin(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            pending::<()>().await;
            drop(set);
        })
        .await;
        assert!(outcome.unwrap_err().is_cancelled());
        assert_eq!(trace.take(), "- -");
    }

    async fn rule_03_an_outer_catcher_waits_for_the_turn_of_those_in_a_set() {
        let trace = Trace::default();
        let inside = trace.clone();
        let outcome = cancelled_while_waiting(catch_cancelled(async move {
            let set: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>> = FuturesUnordered::new();
            set.push(Box::pin(async {
                cleans_up(inside, "inner").await;
            }));
            for _ in 0..5 {
                set.push(Box::pin(async {
                    for _ in 0..1000 {
                        yield_now().await;
                    }
                }));
            }
            set.count().await
        }))
        .await;
        assert_eq!(outcome.unwrap().unwrap(), 6, "swallowed inside: the outer catcher sees nothing");
        assert_eq!(trace.take(), "- inner:stop inner!");
    }

    async fn rule_03_a_scope_with_catchers_in_a_busy_set() {
        let trace = Trace::default();
        let inside = trace.clone();
        let scope = CancelScope::new();
        let handle = scope.clone();
        let begun = Count::default();
        let has_begun = begun.clone();
        let task = create_task(async move {
            scope
                .run(async move {
                    let set: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>> = FuturesUnordered::new();
                    set.push(Box::pin(async {
                        cleans_up(inside, "in-scope").await;
                    }));
                    for _ in 0..5 {
                        set.push(Box::pin(async {
                            for _ in 0..1000 {
                                yield_now().await;
                            }
                        }));
                    }
                    begun.up();
                    set.count().await
                })
                .await
        });
        while has_begun.get() == 0 {
            yield_now().await;
        }
        yield_now().await;
        handle.cancel_with("scope");
        assert_eq!(task.await.unwrap().unwrap(), 6);
        assert_eq!(trace.take(), "- in-scope:scope in-scope!");
    }
}
