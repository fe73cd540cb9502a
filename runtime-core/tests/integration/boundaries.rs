//! Where scopes and catchers lie in one another: whose request it is, who is waited for, and what is left for those further out.

use crate::support::*;
use runtime_core::*;
use std::future::pending;

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

async fn passes(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}
