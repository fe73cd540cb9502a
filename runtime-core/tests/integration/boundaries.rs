//! Where scopes and catchers lie in one another: whose request it is, who is waited for, and what is left for those further out.

use crate::support::*;
use futures::stream::{FuturesUnordered, StreamExt};
use runtime_core::*;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

#[test]
fn rule_06_a_scope_takes_its_own_after_a_request_from_before_was_taken_back() {
    in_order(async {
        let task = create_task(async {
            let me = current_task().unwrap();
            me.cancel();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            let scope = CancelScope::new();
            let inside = scope.clone();
            let body = async {
                // Fewer requests from outside now than on entry.
                assert_eq!(me.uncancel(), 0);
                inside.cancel();
                pending::<()>().await;
            };
            scope.run(body).await.is_err()
        });
        assert!(task.await.unwrap());
    });
}

#[test]
fn rule_06_requests_of_every_scope_further_out_count() {
    in_order(async {
        let inner = CancelScope::new();
        let region = inner.clone();
        let task = create_task(async move {
            let body = async { catch_cancelled(pending::<()>()).await.unwrap_err().reraise().await };
            CancelScope::new().run(region.run(body)).await.unwrap().unwrap_err();
            unreachable!("the inner scope took what is the task's");
        });
        yield_now().await;
        task.cancel_with("the task's");
        inner.cancel();
        let Err(TaskError::Cancelled(error)) = task.await else { panic!("not cancelled") };
        assert_eq!(error.message(), Some("the task's"));
    });
}

#[test]
fn rule_07_a_scope_s_request_and_one_from_outside_are_delivered_as_one() {
    in_order(async {
        let scope = CancelScope::new();
        let region = scope.clone();
        let task = create_task(async move {
            let body = async {
                let first = catch_cancelled(pending::<()>()).await.is_err();
                let second = catch_cancelled(passes(20)).await.is_err();
                (first, second)
            };
            region.run(body).await.unwrap()
        });
        yield_now().await;
        task.cancel();
        scope.cancel();
        assert_eq!(task.await.unwrap(), (true, false));
    });
}

#[test]
fn rule_07_a_scope_s_request_is_delivered_after_one_from_outside_that_another_branch_has_taken() {
    in_order(async {
        let scope = CancelScope::new();
        let region = scope.clone();
        let task = create_task(async move {
            let takes_back = async {
                catch_cancelled(pending::<()>()).await.unwrap_err();
                current_task().unwrap().uncancel()
            };
            let both = futures::join!(takes_back, region.run(pending::<()>()));
            (both.0, both.1.is_err())
        });
        yield_now().await;
        task.cancel();
        scope.cancel();
        assert_eq!(task.await.unwrap(), (0, true));
    });
}

#[test]
fn rule_03_a_catcher_that_was_left_alone_does_not_keep_a_scope_from_being_cancelled() {
    in_order(async {
        let scope = CancelScope::new();
        let region = scope.clone();
        let task = create_task(async move {
            let body = async {
                let mut set = FuturesUnordered::from_iter([catch_cancelled(pending::<()>())]);
                assert!(futures::poll!(set.next()).is_pending());
                // It is woken for the request, and will never be polled.
                pending::<()>().await;
            };
            region.run(body).await.is_err()
        });
        yield_now().await;
        scope.cancel();
        assert!(task.await.unwrap());
    });
}

#[test]
fn rule_03_what_was_in_a_scope_is_dropped_before_its_outcome_is_given() {
    in_order(async {
        let dropped = Count::default();
        let (scope, value) = (CancelScope::new(), dropped.value());
        let mut cancelled = pin!(scope.run(async move {
            let _value = value;
            pending::<()>().await
        }));
        assert!(futures::poll!(cancelled.as_mut()).is_pending());
        scope.cancel();
        assert!(matches!(futures::poll!(cancelled.as_mut()), Poll::Ready(Err(_))));
        assert_eq!(dropped.get(), 1, "the future that ran it is still there");

        let value = dropped.value();
        let ends = poll_fn(move |_| {
            let _kept = &value;
            Poll::Ready(())
        });
        let mut ended = pin!(CancelScope::new().run(ends));
        assert!(futures::poll!(ended.as_mut()).is_ready());
        assert_eq!(dropped.get(), 2);
    });
}

#[test]
fn rule_08_a_catcher_around_a_join_waits_for_the_branch_that_holds() {
    in_order(async {
        let trace = Trace::default();
        let (seen, told) = (trace.clone(), trace.clone());
        let (begun, has_begun) = event();
        let child = create_task(async move {
            begun.happen();
            let error = catch_cancelled(pending::<()>()).await.unwrap_err();
            passes(5).await;
            told.add("child");
            error.reraise().await
        });
        let task = create_task(async move {
            let goes_on = async { catch_cancelled(pending::<()>()).await.unwrap_err().reraise().await };
            let both = async {
                let _: (std::convert::Infallible, _) = futures::join!(goes_on, child);
            };
            catch_cancelled(both).await.unwrap_err();
            seen.add("caught");
        });
        has_begun.wait().await;
        yield_now().await;
        task.cancel();
        task.await.unwrap();
        assert_eq!(trace.take(), "child caught");
    });
}

/// In a task of its own: a request that is caught and made pending again by `body`, which then ends. Gives what the next suspension is told.
async fn left_over<F: Future<Output = ()> + Send>(body: impl FnOnce(CancelledError) -> F + Send + 'static) -> String {
    let task = create_task(async move {
        current_task().unwrap().cancel_with("again");
        let error = catch_cancelled(pending::<()>()).await.unwrap_err();
        body(error).await;
        let next = catch_cancelled(passes(20)).await.expect_err("it is still to be delivered");
        String::from(next.message().unwrap())
    });
    task.await.unwrap()
}

#[test]
fn what_is_made_pending_again_in_the_last_step_is_delivered_further_out() {
    in_order(async {
        let ends = left_over(async |error| {
            catch_cancelled(async { error.redeliver() }).await.unwrap();
        });
        assert_eq!(ends.await, "again", "from a catcher");
        let unwinds = left_over(async |error| {
            let other = async {
                error.redeliver();
                CancelledError::new("other").reraise().await
            };
            let other: Result<(), _> = catch_cancelled(other).await;
            assert_eq!(other.unwrap_err().message(), Some("other"));
        });
        assert_eq!(unwinds.await, "again", "from a catcher that caught another one");
        let told = left_over(async |error| {
            let ended = intercept(async { error.redeliver() }, |_, _| {}).await;
            assert!(ended.cancelled.is_none());
        });
        assert_eq!(told.await, "again", "from who is told");
        let scope = left_over(async |error| {
            CancelScope::new().run(async { error.redeliver() }).await.unwrap();
        });
        assert_eq!(scope.await, "again", "from a scope");
    });
}

/// A branch that raises once, and is never ready.
async fn raises(what: &'static str, after: usize) {
    passes(after).await;
    let mut error = Some(CancelledError::new(what));
    poll_fn(|_| {
        if let Some(error) = error.take() {
            let _ = error.poll_reraise();
        }
        Poll::Pending
    })
    .await
}

/// Three branches that raise, the first two in one poll, beside one that holds until then and for some polls more.
async fn three_beside_one_that_holds() {
    let holds = intercept(passes(8), |_, _| {}).holding(true);
    let _ = futures::join!(raises("first", 0), raises("second", 0), raises("third", 3), holds);
}

#[test]
fn rule_08_of_several_that_wait_for_one_that_holds_the_first_goes_on() {
    in_order(async {
        let Err(TaskError::Cancelled(error)) = create_task(three_beside_one_that_holds()).await else { panic!() };
        assert_eq!(error.message(), Some("first"), "at the task");
        let caught = create_task(async { catch_cancelled(three_beside_one_that_holds()).await.unwrap_err() });
        assert_eq!(caught.await.unwrap().message(), Some("first"), "at a catcher");
    });
}

#[test]
fn rule_03_a_catcher_whose_inner_one_has_gone_takes_the_request_beside_one_that_took_it_before() {
    in_order(async {
        let task = create_task(async {
            let one = catch_cancelled(pending::<()>());
            let other = catch_cancelled(async {
                let mut inner = Some(Box::pin(catch_cancelled(pending::<()>())));
                let mut polls = 0;
                poll_fn(|cx| {
                    polls += 1;
                    if polls > 1 {
                        // Given up in the very poll that was to deliver the request to it.
                        inner = None;
                    } else if let Some(inner) = &mut inner {
                        assert!(inner.as_mut().poll(cx).is_pending());
                    }
                    Poll::<()>::Pending
                })
                .await
            });
            let (one, other) = futures::join!(one, other);
            (one.is_err(), other.is_err())
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.await.unwrap(), (true, true));
    });
}

/// Polls once, whatever comes of it.
async fn once(mut future: Pin<&mut impl Future>) {
    poll_fn(|cx| Poll::Ready(drop(future.as_mut().poll(cx)))).await
}

#[test]
fn rule_02_what_has_left_a_set_and_was_left_alone_is_not_on_the_path() {
    in_order(async {
        let polls = Count::default();
        let counted = polls.clone();
        let task = create_task(async move {
            let mut catcher = pin!(catch_cancelled(pending::<()>()));
            {
                let mut set: FuturesUnordered<_> = [catcher.as_mut()].into_iter().collect();
                once(pin!(set.next())).await;
            }
            once(catcher).await;
            yield_now().await;
            poll_fn(|_| Poll::<()>::Ready(counted.up())).await;
            poll_fn(|_| {
                counted.up();
                Poll::<()>::Pending
            })
            .await
        });
        passes(5).await;
        let before = polls.get();
        assert_eq!(before, 2);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(polls.get(), before, "rule 3: dropped without being polled");
    });
}

#[test]
fn rule_02_a_catcher_in_a_set_that_was_moved_is_reached_where_it_is_now() {
    in_order(async {
        let mut set: FuturesUnordered<Pin<Box<dyn Future<Output = bool> + Send>>> = FuturesUnordered::new();
        let (moved, has_moved) = event();
        let waits = async {
            has_moved.wait().await;
            pending::<()>().await
        };
        set.push(Box::pin(async { catch_cancelled(waits).await.is_err() }));
        once(pin!(set.next())).await;
        let task = create_task(async move {
            set.push(Box::pin(async {
                passes(3).await;
                false
            }));
            moved.happen();
            // Polled once here, the catcher is then left alone by the set, which polls who is woken.
            assert_eq!(set.next().await, Some(false));
            set.next().await
        });
        passes(10).await;
        task.cancel();
        assert_eq!(task.await.unwrap(), Some(true), "caught");
    });
}

#[test]
fn rule_03_a_catcher_that_is_left_alone_for_ever_does_not_hold_up_who_is_busy() {
    /// Leaves a set with a catcher alone and goes on without end.
    async fn busy() {
        let mut set: FuturesUnordered<_> = [Box::pin(catch_cancelled(pending::<()>()))].into_iter().collect();
        once(pin!(set.next())).await;
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    in_order(async {
        let task = create_task(busy());
        passes(3).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled(), "a task");
        let scope = CancelScope::new();
        let region = scope.clone();
        let task = create_task(async move { region.run(busy()).await.is_err() });
        passes(3).await;
        scope.cancel();
        assert!(task.await.unwrap(), "a scope");
    });
}

#[test]
fn a_catcher_after_the_first_step_of_an_eager_task_is_one_of_the_task_around() {
    in_order(async {
        let polls = Count::default();
        let counted = polls.clone();
        let task = create_task(async move {
            drop(TaskBuilder::new().eager_start(true).create_task(passes(1)));
            let waits = poll_fn(|_| {
                counted.up();
                Poll::<()>::Pending
            });
            catch_cancelled(waits).await.is_err()
        });
        passes(5).await;
        assert_eq!(polls.get(), 1, "who has yielded is the other one");
        task.cancel();
        assert!(task.await.unwrap());
    });
}

async fn passes(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}
