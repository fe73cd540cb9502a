//! `shield`: a cancellation of the one who waits does not reach what is waited for.

use crate::child::create_child;
use pin_project_lite::pin_project;
use runtime_core::{Task, TaskError, awaiting_via};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs a future as a task of its own, begun at the call, that goes on when the one who waits for it is cancelled or dropped.
///
/// Gives what the future yields. Of a [`Task`] that is its outcome, `Result<T, TaskError>`. A
/// panic of the future goes on in the one who waits. If the task behind it is cancelled by anybody else, it is as if the one who waits
/// were cancelled at this place.
///
/// At the end of the program the task is cancelled like every other: a shield is one against the waiter's cancellation only.
///
/// # Panics
///
/// When called outside of a runtime.
///
/// # Cancellation
///
/// A request unwinds from here at once, and does not reach the task. A plain drop does not reach it either. If it fails later and
/// nobody reads that, it is reported.
///
/// # Examples
///
/// ```
/// use runtime::{Promise, create_task, shield, yield_now};
///
/// runtime::run(async {
///     let (promise, important) = Promise::new();
///     let same = important.task_ref();
///     let waiter = create_task(async move { shield(important).await.unwrap() });
///     yield_now().await;
///     waiter.cancel();
///     assert!(waiter.await.unwrap_err().is_cancelled());
///     assert!(!same.done(), "it goes on");
///     promise.set_result("kept").unwrap();
/// });
/// ```
#[track_caller]
pub fn shield<F>(future: F) -> Shield<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Shield { task: create_child(future) }
}

pin_project! {
    /// The future of [`shield`].
    #[must_use = "the task runs, but nobody waits for it: await this, or make it with `create_task`"]
    #[derive(Debug)]
    pub struct Shield<T> {
        task: Task<T>,
    }
}

impl<T> Future for Shield<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let task = self.project().task;
        // Not a catcher: a request finds nothing here that could take it, and drops the waiter.
        if awaiting_via(cx, "shield", |cx| task.poll_done(cx)).is_pending() {
            return Poll::Pending;
        }
        match task.result() {
            Ok(Ok(output)) => Poll::Ready(output),
            Ok(Err(TaskError::Panicked(panic))) => panic.resume(),
            Ok(Err(TaskError::Cancelled(error))) => error.poll_reraise().map(|never| match never {}),
            Err(_taken) => match task.cancelled() {
                // Polled again while the cancellation unwinds.
                true => runtime_core::CancelledError::default().poll_reraise().map(|never| match never {}),
                false => panic!("a shield was polled after completion"),
            },
        }
    }
}
