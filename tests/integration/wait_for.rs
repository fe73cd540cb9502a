//! Rows WF: `wait_for`.

use crate::support::{
    Count, begun, cancellation, everywhere, exact, forever, ms, passes, received, send, signal, under_load,
};
use futures::FutureExt;
use runtime::{
    Handle, Promise, Runner, TimeoutError, catch_cancelled, context_var, create_task, current_task, shield, sleep,
    wait_for,
};
use std::time::Duration;

context_var! { static VALUE: u32 = 0; }

#[test]
fn wf_01_in_time_it_gives_the_value_or_the_error() {
    everywhere(async || {
        let long = Duration::from_secs(3600);
        assert_eq!(wait_for(async { 1 }, long).await, Ok(1));
        assert_eq!(wait_for(async { Err::<(), _>("error") }, long).await, Ok(Err("error")));
        assert_eq!(wait_for(create_task(async { 2 }), Duration::MAX).await.unwrap().unwrap(), 2);
        let panics = wait_for(create_task(async { panic!("inside") }), long).await;
        assert!(panics.unwrap().unwrap_err().is_panicked());
    });
}

#[test]
fn wf_02_a_future_runs_inside_of_the_callers_task() {
    everywhere(async || {
        let me = current_task().unwrap();
        let inside = wait_for(
            async {
                VALUE.set(1);
                current_task().unwrap()
            },
            Duration::from_secs(3600),
        );
        assert_eq!(inside.now_or_never().expect("no suspension"), Ok(me));
        assert_eq!(VALUE.get(), 1);
        let done = create_task(async {});
        done.task_ref().wait().await;
        assert!(wait_for(done, Duration::from_secs(3600)).now_or_never().expect("no suspension").is_ok());
    });
}

#[test]
fn wf_03_a_timeout_waits_until_the_task_has_really_ended() {
    everywhere(async || {
        let cleaned_up = Count::default();
        let told = cleaned_up.clone();
        let task = begun(async move {
            let error = catch_cancelled(forever()).await.unwrap_err();
            passes(5).await;
            told.add();
            error.reraise().await
        })
        .await;
        let same = task.task_ref();
        let result: Result<Result<(), _>, _> = wait_for(task, ms(5)).await;
        assert!(result.is_err());
        assert!(same.cancelled());
        assert_eq!(current_task().unwrap().cancelling(), 0);
        assert_eq!(cleaned_up.get(), 1);
    });
}

#[test]
fn wf_04_a_task_that_swallows_it_gives_its_value() {
    everywhere(async || {
        let task = begun(async {
            assert!(catch_cancelled(forever()).await.is_err());
            passes(3).await;
            "kept"
        })
        .await;
        assert_eq!(wait_for(task, ms(2)).await.unwrap().unwrap(), "kept");
    });
}

#[test]
fn wf_05_a_task_that_answers_with_an_error_gives_that() {
    everywhere(async || {
        let task = begun(async {
            assert!(catch_cancelled(forever()).await.is_err());
            Err::<(), _>("answer")
        })
        .await;
        assert_eq!(wait_for(task, ms(2)).await.unwrap().unwrap(), Err("answer"));
        let task = begun(async {
            assert!(catch_cancelled(forever()).await.is_err());
            panic!("answer")
        })
        .await;
        assert!(wait_for(task, ms(2)).await.unwrap().unwrap_err().is_panicked());
    });
}

#[test]
fn wf_06_with_zero_what_is_done_gives_its_outcome() {
    everywhere(async || {
        let done = create_task(async { 1 });
        done.task_ref().wait().await;
        assert_eq!(wait_for(done, Duration::ZERO).await.unwrap().unwrap(), 1);
        let cancelled = create_task(forever());
        cancelled.cancel_with("before");
        cancelled.task_ref().wait().await;
        assert_eq!(cancellation(wait_for(cancelled, Duration::ZERO).await.unwrap()).message(), Some("before"));
    });
}

#[test]
fn wf_07_with_zero_what_is_pending_is_cancelled_and_awaited() {
    everywhere(async || {
        let task = begun(async {
            let error = catch_cancelled(forever()).await.unwrap_err();
            passes(3).await;
            error.reraise().await
        })
        .await;
        let same = task.task_ref();
        let result: Result<Result<(), _>, _> = wait_for(task, Duration::ZERO).await;
        assert!(result.is_err());
        assert!(same.cancelled());
        let swallows = begun(async { catch_cancelled(forever()).await.is_err() }).await;
        assert!(wait_for(swallows, Duration::ZERO).await.unwrap().unwrap());
        assert!(wait_for(forever(), Duration::ZERO).await.is_err());
    });
    exact(async || {
        let started = Count::default();
        let told = started.clone();
        let task = create_task(async move {
            told.add();
            forever().await;
        });
        let same = task.task_ref();
        // Runs before the timeout's second step: it is queued first.
        assert!(wait_for(task, Duration::ZERO).await.is_err());
        assert!(same.cancelled());
        assert_eq!(started.get(), 1);
    });
}

#[test]
fn wf_08_with_zero_an_eager_task_that_completes_at_once_gives_its_value() {
    let runner = Runner::builder().workers(1).eager_tasks(true).build().unwrap();
    let value = runner.run(async { wait_for(create_task(async { 1 }), Duration::ZERO).await.unwrap().unwrap() });
    assert_eq!(value.unwrap(), 1);
}

#[test]
fn wf_09_a_cancelled_caller_cancels_the_task_and_waits_for_it() {
    everywhere(async || {
        let (cleaning, cleans) = signal();
        let (go, wait) = signal();
        let inner = begun(async {
            let error = catch_cancelled(forever()).await.unwrap_err();
            assert_eq!(error.message(), Some("stop"));
            send(cleaning);
            received(wait).await;
            error.reraise().await
        })
        .await;
        let same = inner.task_ref();
        let caller = begun(async {
            let _: Result<Result<(), _>, _> = wait_for(inner, Duration::from_secs(3600)).await;
        })
        .await;
        passes(2).await;
        caller.cancel_with("stop");
        received(cleans).await;
        passes(5).await;
        assert!(!caller.done());
        send(go);
        assert_eq!(cancellation(caller.await).message(), Some("stop"));
        assert!(same.cancelled());
    });
}

#[test]
fn wf_10_a_caller_cancelled_in_the_pass_of_the_completion_is_cancelled() {
    exact(async || {
        let (promise, mut value) = Promise::new();
        let same = value.task_ref();
        let caller = begun(async move {
            let waited = wait_for(&mut value, Duration::from_secs(3600)).await;
            waited.unwrap().unwrap()
        })
        .await;
        passes(2).await;
        promise.set_result(1).unwrap();
        assert!(caller.cancel());
        assert!(caller.await.unwrap_err().is_cancelled());
        assert!(same.done() && !same.cancelled());
    });
}

#[test]
fn wf_10_the_request_is_never_lost_under_load() {
    under_load(400, async |round| {
        let (go, wait) = signal();
        let inner = create_task(async move {
            received(wait).await;
            passes(round % 3).await;
        });
        let caller = begun(async { wait_for(inner, Duration::from_secs(3600)).await }).await;
        send(go);
        passes(round % 5).await;
        let accepted = caller.cancel();
        match caller.await {
            // The inner task may have swallowed nothing: it has no catcher but `received`, which ends cancelled.
            Ok(result) => assert!(!accepted && result.is_ok()),
            Err(error) => assert!(accepted && error.is_cancelled()),
        }
    });
}

#[test]
fn wf_11_a_cancelled_caller_and_a_timeout_give_the_cancellation() {
    exact(async || {
        for (request, deadline) in [(5, 10), (10, 5), (5, 5)] {
            let caller = begun(async move {
                let body = async {
                    let error = catch_cancelled(forever()).await.unwrap_err();
                    sleep(ms(100)).await;
                    error.reraise().await
                };
                let _: Result<(), TimeoutError> = wait_for(body, ms(deadline)).await;
            })
            .await;
            let start = Handle::current().time();
            sleep(ms(request)).await;
            caller.cancel();
            cancellation(caller.await);
            let took = Handle::current().time() - start;
            assert_eq!(took, if request == deadline { took } else { ms(10) });
            assert!(took <= ms(105));
        }
    });
}

#[test]
fn wf_12_a_task_cancelled_by_somebody_else_is_cancelled_not_timed_out() {
    everywhere(async || {
        let inner = create_task(forever());
        let same = inner.task_ref();
        let caller = begun(async {
            let outcome = wait_for(inner, Duration::from_secs(3600)).await.unwrap();
            (cancellation(outcome).message().map(String::from), current_task().unwrap().cancelling())
        })
        .await;
        same.cancel_with("somebody");
        assert_eq!(caller.await.unwrap(), (Some("somebody".into()), 0));
    });
}

#[test]
fn wf_13_a_timeout_of_its_own_is_inside_of_the_result() {
    everywhere(async || {
        let own = wait_for(forever(), ms(1)).await;
        assert_eq!(wait_for(async move { own }, Duration::from_secs(3600)).await, Ok(own));
        let nested = wait_for(wait_for(forever(), ms(1)), Duration::from_secs(3600)).await;
        assert!(nested.unwrap().is_err());
    });
}

#[test]
fn wf_14_a_shielded_task_is_untouched_by_the_timeout() {
    everywhere(async || {
        for duration in [Duration::ZERO, ms(1)] {
            let (go, wait) = signal();
            let inner = create_task(received(wait));
            let same = inner.task_ref();
            assert!(wait_for(shield(inner), duration).await.is_err());
            assert!(!same.done());
            assert_eq!(same.cancelling(), 0);
            send(go);
            same.wait().await;
            assert!(!same.cancelled());
        }
    });
}
