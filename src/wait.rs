//! `wait`: until some of the tasks, or all, have ended.

use crate::task_set::{TaskLike, TaskSet};
use pin_project_lite::pin_project;
use runtime_core::{Sleep, TaskError, sleep};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// When [`wait`] is over.
///
/// # Examples
///
/// ```
/// use runtime::{ReturnWhen, create_task, wait};
///
/// runtime::run(async {
///     let tasks = vec![create_task(async { Err("broken") }), create_task(std::future::pending::<Result<(), &str>>())];
///     let (done, pending) = wait(tasks).return_when(ReturnWhen::FirstException).failed_if(Result::is_err).await;
///     assert_eq!((done.len(), pending.len()), (1, 1));
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReturnWhen {
    /// When all tasks have ended.
    #[default]
    AllCompleted,
    /// When any task has ended, in whatever way. More than one may have by the time at which the wait returns.
    FirstCompleted,
    /// When any task has failed (a cancelled one has not), or all have ended. A failure is a panic, and what
    /// [`WaitMany::failed_if`] says.
    FirstException,
}

/// Waits until tasks have ended, and gives them back in two lists: those that have ended, and those that have not.
///
/// What comes back is what was given: tasks (`Task<T>`), or tasks that are borrowed (`&mut Task<T>`). A future is made a task first, with
/// [`create_task`](crate::create_task). Each list is in the order of the input, whichever task was the first to end;
/// [`as_completed`](fn@crate::as_completed) gives them in the order of their ends. The outcomes are still in the tasks: to await one that has ended takes no time.
///
/// It waits for all tasks, unless [`return_when`](WaitMany::return_when) or [`timeout`](WaitMany::timeout) says otherwise. A task that
/// panicked or was cancelled has ended like any other; `wait` itself never fails, and never cancels a task. Without any task it is
/// over at once, as it is when what it waits for has happened already.
///
/// # Cancellation
///
/// A request ends the wait, which gives nothing then, and is not passed on: the tasks go on. So they do when the wait is dropped.
/// Tasks that were given away are detached in both cases; those that were borrowed are still yours.
///
/// # Examples
///
/// ```
/// use runtime::{ReturnWhen, create_task, sleep, wait};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let slow = create_task(async {
///         sleep(Duration::MAX).await;
///         1
///     });
///     let fast = create_task(async { 2 });
///     let (mut done, pending) = wait([slow, fast]).return_when(ReturnWhen::FirstCompleted).await;
///     assert_eq!((done.len(), pending.len()), (1, 1));
///     assert_eq!(done.remove(0).await.unwrap(), 2);
///     assert!(!pending[0].done(), "it goes on");
/// });
/// ```
///
/// # Example: what a cancelled wait leaves
///
/// ```
/// use runtime::{create_task, sleep, timeout, wait};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let mut tasks = [create_task(sleep(Duration::MAX))];
///     assert!(timeout(Duration::from_millis(1), wait(&mut tasks)).await.is_err());
///     assert_eq!(tasks[0].cancelling(), 0, "no request has come to it");
/// });
/// ```
pub fn wait<I>(tasks: I) -> WaitMany<I::Item>
where
    I: IntoIterator,
    I::Item: TaskLike,
{
    WaitMany {
        tasks: TaskSet::new("wait", tasks),
        failed: false,
        is_failure: None,
        return_when: ReturnWhen::default(),
        timeout: None,
        checked: 0,
    }
}

pin_project! {
    /// The future of [`wait`], which can still be told when to return.
    #[must_use = "futures do nothing unless awaited"]
    pub struct WaitMany<K: TaskLike> {
        tasks: TaskSet<K>,
        // Whether one has failed.
        failed: bool,
        // What of the values is a failure.
        is_failure: Option<fn(&K::Value) -> bool>,
        return_when: ReturnWhen,
        timeout: Option<Sleep>,
        // How many of the ended tasks were looked at for failures.
        checked: usize,
    }
}

impl<K: TaskLike> WaitMany<K> {
    /// Returns after `duration` at the latest, counted from the first poll, with what has ended by then. That is no error, and nothing is
    /// cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{create_task, wait};
    /// use std::time::Duration;
    ///
    /// runtime::run(async {
    ///     let (done, pending) = wait([create_task(std::future::pending::<()>())]).timeout(Duration::from_millis(1)).await;
    ///     assert_eq!((done.len(), pending.len()), (0, 1));
    /// });
    /// ```
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.timeout = Some(sleep(duration));
        self
    }

    /// When to return; the default is [`ReturnWhen::AllCompleted`].
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{ReturnWhen, create_task, wait};
    ///
    /// runtime::run(async {
    ///     let mut tasks = [create_task(async {})];
    ///     let (done, _) = wait(&mut tasks).return_when(ReturnWhen::FirstCompleted).await;
    ///     assert_eq!(done.len(), 1);
    /// });
    /// ```
    pub fn return_when(mut self, when: ReturnWhen) -> Self {
        self.return_when = when;
        self
    }

    /// For [`ReturnWhen::FirstException`]: which values are failures, beside panics. For tasks of results this is usually
    /// `Result::is_err`.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{ReturnWhen, create_task, wait};
    ///
    /// runtime::run(async {
    ///     let tasks = [create_task(async { 5 })];
    ///     let (done, _) = wait(tasks).return_when(ReturnWhen::FirstException).failed_if(|value| *value > 3).await;
    ///     assert_eq!(done.len(), 1);
    /// });
    /// ```
    pub fn failed_if(mut self, is_failure: fn(&K::Value) -> bool) -> Self {
        self.is_failure = Some(is_failure);
        self
    }
}

impl<K: TaskLike> Future for WaitMany<K> {
    /// The tasks that have ended, and those that have not.
    type Output = (Vec<K>, Vec<K>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        while let Poll::Ready(Some(index)) = this.tasks.poll_next_done(cx) {
            *this.checked += 1;
            if *this.return_when == ReturnWhen::FirstException {
                let is_failure = *this.is_failure;
                let failed = this.tasks.get_mut(index).task().peek(|outcome| match outcome {
                    Ok(value) => is_failure.is_some_and(|is_failure| is_failure(value)),
                    Err(error) => matches!(error, TaskError::Panicked(_)),
                });
                *this.failed |= failed.unwrap_or(false);
            }
        }
        let over = match this.return_when {
            ReturnWhen::AllCompleted => false,
            ReturnWhen::FirstCompleted => *this.checked > 0,
            ReturnWhen::FirstException => *this.failed,
        };
        let over = over || *this.checked == this.tasks.len();
        let over = over || this.timeout.as_mut().is_some_and(|sleep| Pin::new(sleep).poll(cx).is_ready());
        if over { Poll::Ready(this.tasks.split()) } else { Poll::Pending }
    }
}
