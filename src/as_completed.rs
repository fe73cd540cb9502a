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
/// Each item is `(place, task)`, where `place` counts from 0, and the task has ended: to await it gives its outcome, and takes no
/// time. All come out, those too that panicked or were cancelled; then the stream ends. What is
/// given are tasks (`Task<T>`), or tasks that are borrowed (`&mut Task<T>`); futures are made tasks first, with [`create_task`](crate::create_task). Items are
/// read with `next` of `futures::StreamExt`, at any pace: tasks that end meanwhile wait in the stream, in their order.
///
/// # Cancellation
///
/// The stream cancels nothing. A request that comes while the next item is awaited unwinds from there, and is not passed on to the tasks; no item is
/// lost by it, and the stream can be read on. When the stream is dropped, the tasks go on: those that were given away
/// are detached, those that were borrowed are still yours.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use runtime::{as_completed, create_task, sleep};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let after = |ms| create_task(async move {
///         sleep(Duration::from_millis(ms)).await;
///         format!("{ms} ms")
///     });
///     let mut ended = as_completed([after(20), after(1)]);
///     let mut order = Vec::new();
///     while let Some((place, task)) = ended.next().await {
///         order.push((place, task.await.unwrap()));
///     }
///     assert_eq!(order, [(1, "1 ms".to_owned()), (0, "20 ms".to_owned())]);
/// });
/// ```
///
/// # Example: a cancelled wait for the next one loses nothing
///
/// ```
/// use futures::StreamExt;
/// use runtime::{Promise, as_completed, timeout};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let (promise, task) = Promise::new();
///     let mut ended = as_completed([task]);
///     assert!(timeout(Duration::from_millis(1), ended.next()).await.is_err());
///     promise.set_result("late").unwrap();
///     let (place, task) = ended.next().await.unwrap();
///     assert_eq!((place, task.await.unwrap()), (0, "late"));
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
    /// Ends the stream after `duration`, counted from this call, with one [`TimeoutError`] if not all tasks have ended by then. The items are
    /// `Result`s now; what has ended comes out first, also after the time. Nothing is cancelled.
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
