//! `as_completed`: tasks in the order in which they end.

use crate::TimeoutError;
use crate::task_set::{TaskLike, TaskSet};
use futures_core::Stream;
use pin_project_lite::pin_project;
use runtime_core::{Sleep, sleep};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A stream of the tasks in the order in which they end, each with its place in the input.
///
/// The tasks themselves come out, ended, however they did. Takes tasks, or borrows them; futures are made tasks first. The stream
/// cancels nothing: tasks go on when it is dropped, and it can be read on after a pause. An item counts when it is handed over, so
/// none is lost by a cancelled wait for the next one.
///
/// # Cancellation
///
/// A request that arrives while the next item is awaited unwinds from there; the tasks go on.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use runtime::{as_completed, create_task, sleep};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let tasks = [20u64, 1].map(|ms| create_task(sleep(Duration::from_millis(ms))));
///     let order: Vec<usize> = as_completed(tasks).map(|(place, _task)| place).collect().await;
///     assert_eq!(order, [1, 0]);
/// });
/// ```
pub fn as_completed<I>(tasks: I) -> AsCompleted<I::Item>
where
    I: IntoIterator,
    I::Item: TaskLike,
{
    AsCompleted { tasks: TaskSet::new("as_completed", tasks) }
}

/// The stream of [`as_completed`].
#[must_use = "streams do nothing unless polled"]
pub struct AsCompleted<K: TaskLike> {
    tasks: TaskSet<K>,
}

impl<K: TaskLike> AsCompleted<K> {
    /// Ends the stream after `duration`, counted from this call inside of a runtime, with one [`TimeoutError`] if not all tasks have ended by then.
    /// What has ended comes out first. Nothing is cancelled.
    ///
    /// # Panics
    ///
    /// When called outside of a runtime.
    ///
    /// # Cancellation
    ///
    /// As [`as_completed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::StreamExt;
    /// use runtime::{TimeoutError, as_completed, create_task, sleep};
    /// use std::time::Duration;
    ///
    /// runtime::run(async {
    ///     let mut tasks = [Duration::ZERO, Duration::MAX].map(|d| create_task(sleep(d)));
    ///     let mut ended = as_completed(&mut tasks).timeout(Duration::from_millis(5));
    ///     assert_eq!(ended.next().await.unwrap().unwrap().0, 0);
    ///     assert_eq!(ended.next().await.unwrap().err(), Some(TimeoutError));
    ///     assert!(ended.next().await.is_none());
    /// });
    /// ```
    pub fn timeout(self, duration: Duration) -> AsCompletedWithin<K> {
        let mut timer = sleep(duration);
        timer.start();
        AsCompletedWithin { tasks: Some(self.tasks), timer }
    }
}

impl<K: TaskLike> Stream for AsCompleted<K> {
    type Item = (usize, K);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.tasks.poll_next_done(cx).map(|index| index.map(|index| (index, self.tasks.take(index))))
    }
}

pin_project! {
    /// The stream of [`AsCompleted::timeout`].
    #[must_use = "streams do nothing unless polled"]
    pub struct AsCompletedWithin<K: TaskLike> {
        // Gone after the timeout.
        tasks: Option<TaskSet<K>>,
        timer: Sleep,
    }
}

impl<K: TaskLike> Stream for AsCompletedWithin<K> {
    type Item = Result<(usize, K), TimeoutError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let Some(tasks) = this.tasks else { return Poll::Ready(None) };
        if let Poll::Ready(next) = tasks.poll_next_done(cx) {
            return Poll::Ready(next.map(|index| Ok((index, tasks.take(index)))));
        }
        if Pin::new(this.timer).poll(cx).is_pending() {
            return Poll::Pending;
        }
        *this.tasks = None;
        Poll::Ready(Some(Err(TimeoutError)))
    }
}
