//! Awaits and catchers that were given up and come back; scopes that are cancelled through a handle.

use crate::cancel::waiting;
use crate::support::*;
use futures::stream::{FuturesUnordered, StreamExt};
use runtime_core::*;
use std::future::pending;

#[test]
fn two_awaits_of_one_handle_see_one_cancellation() {
    in_order(async {
        let (inner, has_begun) = waiting();
        let outer = create_task(async move {
            let mut inner = inner;
            let caught = catch_cancelled(async { (&mut inner).await }).await;
            assert!(caught.is_err(), "rule 6: it ended by our request");
            // One request is delivered once: a second await is told how the task ended.
            let again = catch_cancelled(async { (&mut inner).await }).await;
            again.expect("not cancelled again").unwrap_err().is_cancelled()
        });
        has_begun.wait().await;
        yield_now().await;
        outer.cancel();
        assert!(outer.await.unwrap());
    });
}

#[test]
fn rule_8_a_catcher_tells_an_await_that_began_in_the_very_poll_that_delivers() {
    in_order(async {
        let (go, gone) = futures::channel::oneshot::channel();
        let (trace, begun) = (Trace::default(), Count::default());
        let (inside, started) = (trace.clone(), begun.clone());
        let outer = create_task(async move {
            let inner = create_task(async move {
                let error = catch_cancelled(pending::<()>()).await.unwrap_err();
                yield_now().await;
                inside.add("cleaned up");
                error.reraise().await
            });
            let caught = catch_cancelled(async {
                started.up();
                // A catcher is there when the request comes, and goes without having been polled.
                let _ = futures::future::select(gone, Box::pin(catch_cancelled(pending::<()>()))).await;
                inner.await
            });
            caught.await.unwrap_err()
        });
        while begun.get() == 0 {
            yield_now().await;
        }
        yield_now().await;
        go.send(()).unwrap();
        outer.cancel_with("enough");
        assert_eq!(outer.await.unwrap().message(), Some("enough"));
        assert_eq!(trace.take(), "cleaned up");
    });
}

#[test]
fn an_await_that_was_given_up_is_not_on_the_path() {
    in_order(async {
        let (other, has_begun) = waiting();
        let other_ref = other.task_ref();
        let outer = create_task(async move {
            let mut other = other;
            {
                // Awaited and given up: the handle stays registered.
                let lost = futures::future::select(&mut other, futures::future::ready(()));
                assert!(matches!(lost.await, futures::future::Either::Right(_)));
            }
            yield_now().await;
            let caught = catch_cancelled(pending::<()>()).await;
            assert!(caught.is_err());
            // The handler awaits in the very poll in which the request was delivered.
            let _ = other.await;
        });
        has_begun.wait().await;
        for _ in 0..3 {
            yield_now().await;
        }
        outer.cancel();
        for _ in 0..5 {
            yield_now().await;
        }
        assert_eq!(other_ref.cancelling(), 0, "one request is delivered once");
        assert!(!outer.done());
        other_ref.cancel();
        outer.await.unwrap();
    });
}

#[test]
fn a_catcher_that_was_given_up_is_not_on_the_path() {
    in_order(async {
        let trace = Trace::default();
        let inside = trace.clone();
        let outer = create_task(async move {
            let mut given_up = Box::pin(catch_cancelled(pending::<()>()));
            futures::future::select(&mut given_up, futures::future::ready(())).await;
            yield_now().await;
            let caught = catch_cancelled(pending::<()>()).await;
            inside.add(format!("caught={}", caught.is_err()));
            let again = given_up.await;
            inside.add(format!("again={}", again.is_err()));
        });
        for _ in 0..3 {
            yield_now().await;
        }
        outer.cancel();
        for _ in 0..5 {
            yield_now().await;
        }
        assert_eq!(trace.take(), "caught=true");
        outer.cancel();
        outer.await.unwrap();
        assert_eq!(trace.take(), "again=true");
    });
}

everywhere! {
    async fn a_request_passed_on_by_a_lost_branch_is_not_forgotten() {
        let (inner_begun, inner_has_begun) = event();
        let (finish, may_finish) = event();
        let inner = create_task(async move {
            inner_begun.happen();
            let error = catch_cancelled(pending::<()>()).await.unwrap_err();
            may_finish.wait().await;
            error.reraise().await
        });
        inner_has_begun.wait().await;
        let inner_ref = inner.task_ref();
        let trace = Trace::default();
        let inside = trace.clone();
        let (begun, has_begun) = event();
        let outer = create_task(async move {
            let mut inner: Task<()> = inner;
            let mut finish = Some(finish);
            begun.happen();
            loop {
                let tick = std::pin::pin!(async {
                    while inner_ref.cancelling() == 0 {
                        yield_now().await;
                    }
                });
                match futures::future::select(&mut inner, tick).await {
                    futures::future::Either::Left(_) => inside.add("the await yielded"),
                    // Wins once the request has been passed on; the awaited task goes on cleaning up.
                    futures::future::Either::Right(_) => yield_now().await,
                }
                if let Some(finish) = finish.take() {
                    finish.happen();
                }
            }
        });
        has_begun.wait().await;
        outer.cancel();
        let outcome: Result<(), _> = outer.await;
        assert!(outcome.unwrap_err().is_cancelled());
        assert_eq!(trace.take(), "");
    }
}

everywhere! {
    async fn a_scope_with_several_futures_is_cancelled_in_all_of_them() {
        let scope = CancelScope::new();
        let (others, inside) = (scope.clone(), scope.clone());
        let (begun, has_begun) = event();
        let elsewhere = create_task(async move {
            begun.happen();
            others.run(pending::<()>()).await.is_err()
        });
        has_begun.wait().await;
        let canceller = async {
            for _ in 0..3 {
                yield_now().await;
            }
            assert!(inside.cancel_with("all"));
            assert!(!inside.cancel(), "a scope is cancelled once");
        };
        let mut set: FuturesUnordered<_> = (0..3).map(|_| scope.run(pending::<()>())).collect();
        let set = async {
            while let Some(ended) = set.next().await {
                assert_eq!(ended.unwrap_err().message(), Some("all"));
            }
        };
        let ((), one, two, ()) = futures::join!(set, scope.run(pending::<()>()), scope.run(yield_now()), canceller);
        assert_eq!(one.unwrap_err().message(), Some("all"));
        two.unwrap();
        assert!(elsewhere.await.unwrap());
        assert!(scope.run(pending::<()>()).await.is_err(), "entered later");
        assert_eq!(scope.run(async { 1 }).await.unwrap(), 1, "and never suspended");
        assert_eq!(current_task().unwrap().cancelling(), 0);
    }
}

#[test]
fn what_has_left_a_scope_is_not_woken_by_it() {
    let scope = CancelScope::new();
    let counting = |woken: &Count| {
        let inner = futures::task::noop_waker();
        std::task::Waker::from(std::sync::Arc::new(CountingWaker { inner, woken: woken.clone() }))
    };
    let (left, stayed) = (Count::default(), Count::default());
    let mut leaves = Box::pin(scope.run(pending::<()>()));
    let mut stays = Box::pin(scope.run(pending::<()>()));
    for _ in 0..2 {
        let waker = counting(&left);
        assert!(leaves.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        let waker = counting(&stayed);
        assert!(stays.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    }
    drop(leaves);
    assert!(scope.cancel());
    assert_eq!((left.get(), stayed.get()), (0, 1));
}

everywhere! {
    /// It was told, and what is inside lets the cancellation go on by itself instead of coming to its end: nobody waits for that.
    async fn rule_05_what_unwinds_inside_of_an_intercept_that_was_told_goes_on_outwards() {
        let task = create_task(async {
            let inner = async {
                let error = catch_cancelled(pending::<()>()).await.unwrap_err();
                yield_now().await;
                error.reraise().await
            };
            let before = intercept(inner, |_, _| {}).holding(true);
            let Intercepted::<()> { .. } = before.await;
        });
        yield_now().await;
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}
