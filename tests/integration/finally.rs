//! `finally`.

use crate::support::*;
use runtime::{TaskError, create_task, finally, timeout};

#[test]
fn the_clean_up_comes_after_a_value_a_cancellation_and_a_panic() {
    everywhere(async || {
        let log = Log::default();
        let clean_up = |log: &Log| {
            let log = log.clone();
            async move {
                passes(3).await;
                log.add("clean");
            }
        };
        assert_eq!(finally(async { 7 }, clean_up(&log)).await, 7);
        assert_eq!(log.take(), ["clean"]);

        let cancelled = begun(finally(forever(), clean_up(&log))).await;
        passes(3).await;
        cancelled.cancel_with("why");
        assert_eq!(cancellation(cancelled.await).message(), Some("why"));
        assert_eq!(log.take(), ["clean"]);

        let panics = create_task(finally(async { panic!("of the body") }, clean_up(&log)));
        assert!(matches!(panics.await, Err(TaskError::Panicked(panic)) if panic.message() == Some("of the body")));
        assert_eq!(log.take(), ["clean"]);
    });
}

#[test]
fn the_body_is_gone_before_the_clean_up_begins() {
    exact(async || {
        let dropped = Count::default();
        let held = OnDrop(dropped.clone());
        let body = async move {
            let _held = held;
            forever().await;
        };
        let clean_up = async { assert_eq!(dropped.get(), 1) };
        assert!(timeout(ms(1), finally(body, clean_up)).await.is_err());
    });
}

#[test]
fn a_second_request_interrupts_the_clean_up_and_a_drop_runs_none() {
    everywhere(async || {
        let log = Log::default();
        let (cleaning, cleans) = signal();
        let told = log.clone();
        let task = begun(finally(forever(), async move {
            send(cleaning);
            forever().await;
            told.add("never");
        }))
        .await;
        task.cancel_with("first");
        received(cleans).await;
        task.cancel_with("second");
        assert_eq!(cancellation(task.await).message(), Some("second"));
        let told = log.clone();
        let mut dropped = Box::pin(finally(forever(), async move { told.add("never") }));
        assert!(futures::poll!(dropped.as_mut()).is_pending());
        drop(dropped);
        assert!(log.take().is_empty());
    });
}
