//! `TaskGroup`: children that end before the scope does.
//!
//! # How it ends
//!
//! 1. The body runs in a cancel scope of its own, which the group cancels when it aborts.
//! 2. The first failure (of a child, or of the body), [`TaskGroup::cancel`], or a request from outside **aborts** the group: every
//!    child that has not ended gets one request, and so does the body. This happens in the step in which the
//!    child fails, before anybody who awaits that child is woken.
//! 3. When the body is over, the scope waits until no child is left, whatever arrives meanwhile.
//! 4. Failures win: they are returned together. A request from outside that came as well, even if the body caught it, is made pending
//!    again, and is delivered at the next suspension after the group: counts decide, as for a timeout. Without failures, a request from outside goes on from here.
//! 5. A child is known to the group before its first step, and until it has ended. Whoever aborts the group reaches all children that have begun, also the one that
//!    does it itself.
//!
//! The group's lock is held for a few instructions, never while a child is cancelled, woken or dropped.

mod child;
mod state;

pub use child::{ChildOutput, GroupClosed, GroupTask};

use crate::catch_panic::CatchPanic;
use crate::exception_group::{ExceptionGroup, Failure};
use child::Child;
use runtime_core::{
    CancelledError, ExceptionContext, Handle, PanicError, RingProbe, Task, TaskBuilder, TaskId, TaskRef,
    awaiting_tasks, cancel_when, catch_cancelled, current_task, intercept,
};
use state::{Aborted, Shared, Starting};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A group of tasks that ends when all of them have ended.
///
/// Made by [`scope`](Self::scope); the handle that its body gets can be cloned into children, which may add more.
///
/// # Examples
///
/// ```
/// use runtime::{TaskGroup, yield_now};
///
/// runtime::run(async {
///     let ended = TaskGroup::<()>::scope(async |group| {
///         let more = group.clone();
///         group.create_task(async move {
///             more.create_task(std::future::pending::<()>()); // a child adds a child
///             more.cancel(); // ends them all, and is no failure
///         });
///         yield_now().await;
///         Ok("the body's value")
///     });
///     // The body may have been cancelled as well.
///     assert!(matches!(ended.await, Ok("the body's value") | Err(_)));
/// });
/// ```
pub struct TaskGroup<E> {
    shared: Arc<Shared<E>>,
}

impl TaskGroup<Infallible> {
    /// As [`scope`](Self::scope), for children and a body that have no errors: the body just gives its value.
    ///
    /// # Errors
    ///
    /// [`ExceptionGroup`] with the panics, if there was any; and an empty one when the group was ended by [`cancel`](Self::cancel) and the
    /// body gave no value.
    ///
    /// # Panics
    ///
    /// As [`scope`](Self::scope).
    ///
    /// # Cancellation
    ///
    /// As [`scope`](Self::scope).
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{TaskGroup, yield_now};
    ///
    /// # runtime::run(async {
    /// let sum = TaskGroup::run(async |group| {
    ///     group.create_task(yield_now());
    ///     let one = group.create_task(async { Ok(1) });
    ///     one.await.unwrap() + 2
    /// })
    /// .await;
    /// assert_eq!(sum.unwrap(), 3);
    /// # });
    /// ```
    pub async fn run<T, B, F>(body: B) -> Result<T, ExceptionGroup<Infallible>>
    where
        B: FnOnce(TaskGroup<Infallible>) -> F,
        F: Future<Output = T>,
    {
        Self::scope(|group| {
            let body = body(group);
            async { Ok(body.await) }
        })
        .await
    }
}

impl<E: Send + 'static> TaskGroup<E> {
    /// Runs `body` with a new group, and returns when the body and every child have ended.
    ///
    /// The first failure, of a child or of the body, cancels all others and the body; they may clean up, and are waited for. A child that is
    /// cancelled on its own is no failure. If the body catches the group's cancellation it goes on, and the failures are returned when it
    /// ends.
    ///
    /// # Errors
    ///
    /// [`ExceptionGroup`] with all failures, panics included, if there was any. Also, and then empty, when the group was ended by
    /// [`cancel`](Self::cancel) and the body gave no value.
    ///
    /// # Panics
    ///
    /// When polled outside of a runtime, once a child is created.
    ///
    /// # Cancellation
    ///
    /// A request is passed to the children and the body, all are waited for, then it goes on. If a child or the body answers it with an error, that
    /// is returned instead, and the cancellation is delivered at the next suspension after the group. A plain drop cancels the children and
    /// does not wait; panics of theirs then go to the exception handler, errors nowhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{TaskGroup, sleep};
    /// use std::time::Duration;
    ///
    /// # runtime::run(async {
    /// let sum = TaskGroup::scope(async |group| {
    ///     let one = group.create_task(async { Ok::<_, &str>(1) });
    ///     let two = group.create_task(async { Ok(2) });
    ///     Ok(one.await.unwrap() + two.await.unwrap())
    /// })
    /// .await;
    /// assert_eq!(sum.unwrap(), 3);
    ///
    /// let failed = TaskGroup::scope(async |group| {
    ///     group.create_task(async { Err::<(), _>("no such host") });
    ///     sleep(Duration::MAX).await; // cancelled by the failure
    ///     Ok(())
    /// })
    /// .await;
    /// assert_eq!(failed.unwrap_err().into_errors().collect::<Vec<_>>(), ["no such host"]);
    /// # });
    /// ```
    pub async fn scope<T, B, F>(body: B) -> Result<T, ExceptionGroup<E>>
    where
        B: FnOnce(TaskGroup<E>) -> F,
        F: Future<Output = Result<T, E>>,
    {
        let entry = requests();
        let owner = current_task().map(|task| task.id());
        let group = TaskGroup { shared: Arc::new(Shared::new(owner)) };
        let over = CancelOnDrop(group.clone());
        let body = run_body(&group, body).await;
        let (value, cancelled) = match body {
            Body::Value(value) => (Some(value), None),
            Body::Failed(failure) => {
                group.abort();
                let told = group.wait_for_children(None).await;
                return group.end(over, entry, Some(failure), told, None::<T>).await;
            }
            Body::Cancelled => (None, None),
            Body::CancelledFromOutside(error) => (None, Some(error)),
        };
        if let Some(request) = &cancelled {
            group.abort_by(request);
        }
        let cancelled = group.wait_for_children(cancelled).await;
        group.end(over, entry, None, cancelled, value).await
    }

    /// Makes `future` a child of the group.
    ///
    /// The task's value is what the future's `Result` holds. If the future fails, the error goes to the group, and the child's own
    /// handle has ended cancelled. On a group that is over or shutting down the task has ended cancelled, and the future is dropped
    /// unpolled; [`try_create_task`](Self::try_create_task) tells. (A loop that does nothing but create children and await them has to ask: to
    /// await a task that has ended is no suspension, and without one no request ends the loop.)
    ///
    /// # Panics
    ///
    /// When called outside of a runtime.
    ///
    /// # Cancellation
    ///
    /// The child can be cancelled alone, as every task; that is no failure. It is cancelled with the group when that aborts. A child that
    /// has not begun by then is dropped unpolled. Dropping the handle changes nothing: the group waits for the child.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::{TaskGroup, catch_cancelled, sleep};
    /// use std::time::Duration;
    ///
    /// # runtime::run(async {
    /// let result = TaskGroup::<&str>::scope(async |group| {
    ///     let one = group.create_task(async { Ok(1) });
    ///     let alone = group.create_task(sleep(Duration::MAX));
    ///     alone.cancel();
    ///     assert!(alone.await.unwrap_err().is_cancelled());
    ///     let value = one.await.unwrap();
    ///     group.create_task(async { Err::<(), _>("no") }); // ends the group
    ///     catch_cancelled(sleep(Duration::MAX)).await.unwrap_err();
    ///     Ok(value)
    /// })
    /// .await;
    /// assert_eq!(result.unwrap_err().into_errors().collect::<Vec<_>>(), ["no"]);
    /// # });
    /// ```
    #[track_caller]
    pub fn create_task<F>(&self, future: F) -> GroupTask<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        self.create_task_with(TaskBuilder::new(), future)
    }

    /// As [`create_task`](Self::create_task), with a name, a context, or an eager start.
    ///
    /// # Panics
    ///
    /// When called outside of a runtime.
    ///
    /// # Cancellation
    ///
    /// As [`create_task`](Self::create_task). One that starts eagerly has had its first step.
    #[track_caller]
    pub fn create_task_with<F>(
        &self,
        builder: TaskBuilder,
        future: F,
    ) -> GroupTask<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        if self.shared.begin_child() {
            GroupTask(self.start_child(builder, future))
        } else {
            drop(future);
            GroupTask(refused())
        }
    }

    /// As [`create_task`](Self::create_task).
    ///
    /// # Errors
    ///
    /// Gives the future back when the group is over or shutting down.
    ///
    /// # Panics
    ///
    /// When called outside of a runtime.
    ///
    /// # Cancellation
    ///
    /// As [`create_task`](Self::create_task).
    #[track_caller]
    pub fn try_create_task<F>(
        &self,
        future: F,
    ) -> Result<GroupTask<<F::Output as ChildOutput<E>>::Value>, GroupClosed<F>>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        if self.shared.begin_child() {
            Ok(GroupTask(self.start_child(TaskBuilder::new(), future)))
        } else {
            Err(GroupClosed(future))
        }
    }

    #[track_caller]
    fn start_child<F>(&self, builder: TaskBuilder, future: F) -> Task<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        let starting = Starting(&self.shared);
        let child = Child::new(future, self.clone());
        let ended = self.clone();
        let builder = match self.shared.owner {
            Some(owner) => builder.awaited_by(owner),
            None => builder,
        };
        // Before its first step, which may cancel the group, or have it cancelled (TG-38, E-13).
        let begins = move |task: &TaskRef| starting.begins(task);
        builder.create_task_and_tell(child, begins, move |task| ended.shared.child_ended(task))
    }

    /// Ends the group: cancels the children and the body, as a failure would, but is none. The scope waits for all of them, and
    /// gives the body's value if there is one. Does nothing after the first time, and once the group is shutting down.
    pub fn cancel(&self) {
        self.abort();
    }

    fn abort(&self) {
        self.abort_by(&CancelledError::without_message());
    }

    fn abort_by(&self, request: &CancelledError) {
        self.abort_but(None, request);
    }

    /// Passes one request to the body and all children but one, unless that was done before.
    fn abort_but(&self, except: Option<TaskId>, request: &CancelledError) {
        // One for all: a child that another one or the body awaits does not get it twice.
        let request = &request.clone().identified();
        if let Some((children, body)) = self.shared.begin_abort(request) {
            for child in children {
                if Some(child.id()) != except {
                    child.cancel_by(request);
                }
            }
            if let Some(body) = body {
                body.wake();
            }
        }
    }

    /// The running child has failed: that ends the others. It is about to end by itself, and gets no request.
    fn child_failed(&self, failure: Failure<E>) {
        if let Err(unread) = self.shared.add_failure(failure) {
            return report(unread);
        }
        let failed = current_task().map(|task| task.id());
        self.abort_but(failed, &CancelledError::without_message());
    }

    /// Waits until no child is left. A request from outside is passed to the children, the first time, and given. `request`
    /// is the one that the body has got.
    ///
    /// The wait of an aborting group holds from the beginning: what unwinds in another branch of a `join!` must not drop it.
    async fn wait_for_children(&self, request: Option<CancelledError>) -> Option<CancelledError> {
        let mut ring = RingProbe::default();
        let no_child = std::future::poll_fn(|cx| {
            if self.shared.is_aborting() {
                ring.pass_on(|| self.shared.told());
            }
            awaiting_tasks(cx, "group", &mut (), |()| self.shared.children(), |(), cx| self.shared.poll_no_child(cx))
        });
        let told = intercept(no_child, |_, request| self.abort_by(request)).holding(self.shared.is_aborting()).await;
        request.or(told.cancelled)
    }

    /// Decides what the scope returns. `entry` is how many requests had come from outside when it was entered.
    async fn end<T>(
        &self,
        over: CancelOnDrop<E>,
        entry: u32,
        failure: Option<Failure<E>>,
        cancelled: Option<CancelledError>,
        value: Option<T>,
    ) -> Result<T, ExceptionGroup<E>> {
        let mut failures = self.shared.close();
        drop(over);
        failures.extend(failure);
        match (failures.is_empty(), cancelled) {
            (true, Some(error)) => error.reraise().await,
            (false, Some(error)) => error.redeliver(),
            // The body has answered it with its failure, or a failure came after it had caught it.
            (false, None) if requests() > entry => CancelledError::without_message().redeliver(),
            (_, None) => {}
        }
        match value {
            Some(value) if failures.is_empty() => Ok(value),
            _ => Err(ExceptionGroup::new(failures)),
        }
    }
}

/// The requests to the running task and the scopes around, which are all from outside for what is about to be entered.
fn requests() -> u32 {
    current_task().map_or(0, |task| task.cancelling())
}

/// How the body ended.
enum Body<T, E> {
    Value(T),
    Failed(Failure<E>),
    /// By the group.
    Cancelled,
    CancelledFromOutside(CancelledError),
}

// Not `AsyncFnOnce`: the future of such a closure is a projection, and the compiler cannot show that one to be `Send` when the group's
// error type has a lifetime in it, `&'static str` included.
async fn run_body<T, E, B, F>(group: &TaskGroup<E>, body: B) -> Body<T, E>
where
    E: Send + 'static,
    B: FnOnce(TaskGroup<E>) -> F,
    F: Future<Output = Result<T, E>>,
{
    let abort = Aborted(Arc::clone(&group.shared));
    let body = match catch_unwind(AssertUnwindSafe(|| body(group.clone()))) {
        Ok(body) => body,
        Err(payload) => return Body::Failed(Failure::Panicked(PanicError::new(payload))),
    };
    // Panics are caught out here, so that those of destructors are too that a cancellation runs.
    match CatchPanic::new(catch_cancelled(cancel_when(body, abort)).before_unwinding()).await {
        Ok(Ok(Ok(Ok(value)))) => Body::Value(value),
        Ok(Ok(Ok(Err(error)))) => Body::Failed(Failure::Error(error)),
        Ok(Ok(Err(_aborted))) => Body::Cancelled,
        Ok(Err(from_outside)) => Body::CancelledFromOutside(from_outside),
        Err(panic) => Body::Failed(Failure::Panicked(panic)),
    }
}

#[track_caller]
fn refused<T: Send + 'static>() -> Task<T> {
    let (promise, task) = runtime_core::Promise::new();
    task.cancel_with("the task group is shutting down or over");
    drop(promise);
    task
}

/// Cancels the children if the scope is dropped before it has returned.
struct CancelOnDrop<E: Send + 'static>(TaskGroup<E>);

impl<E: Send + 'static> Drop for CancelOnDrop<E> {
    fn drop(&mut self) {
        self.0.abort();
        self.0.shared.close().into_iter().for_each(report);
    }
}

/// A failure of a group whose scope was dropped: a panic goes to the exception handler, for nobody else will see it. About an error nothing
/// is known that could be said.
fn report<E>(failure: Failure<E>) {
    if let (Failure::Panicked(panic), Some(handle)) = (failure, Handle::try_current()) {
        let mut context =
            ExceptionContext::new("a child of a task group failed after the group was dropped").with_error(panic);
        context.task = current_task();
        handle.call_exception_handler(&context);
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}
