//! `tokio_util::sync::CancellationToken`: for code that knows of tokens.

use crate::support::{Count, until_cancelled};
use runtime::{CancelledError, cancel_when, create_task, yield_now};
use tokio_util::sync::CancellationToken;

#[runtime::test(virtual_time)]
async fn a_token_becomes_a_request() {
    let token = CancellationToken::new();
    let cleaned_up = Count::default();
    let trigger = {
        let token = token.clone();
        async move {
            token.cancelled().await;
            CancelledError::new("the token says so")
        }
    };
    let task = create_task(cancel_when(until_cancelled(cleaned_up.clone()), Box::pin(trigger)));
    yield_now().await;
    token.cancel();
    assert_eq!(task.await.unwrap().unwrap_err().message(), Some("the token says so"));
    assert_eq!(cleaned_up.get(), 1);
}

#[runtime::test(virtual_time)]
async fn a_request_becomes_a_cancelled_token() {
    let token = CancellationToken::new();
    let guard = token.clone().drop_guard();
    let task = create_task(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    yield_now().await;
    assert!(!token.is_cancelled());
    task.cancel();
    token.cancelled().await;
    assert!(task.await.unwrap_err().is_cancelled());
}
