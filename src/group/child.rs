//! The children of a group: what they may return, their futures, their handles.

use super::TaskGroup;
use crate::exception_group::Failure;
use pin_project_lite::pin_project;
use runtime_core::{CancelledError, PanicError, Task};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a child of a group may return: a `Result` with the group's error, or nothing.
///
/// # Examples
///
/// ```
/// use runtime::TaskGroup;
///
/// runtime::run(async {
///     let sum = TaskGroup::<&str>::scope(async |group| {
///         let one = group.create_task(async { Ok(1) }); // its value is 1
///         let nothing = group.create_task(async {}); // its value is ()
///         nothing.await.unwrap();
///         Ok(one.await.unwrap())
///     });
///     assert_eq!(sum.await.unwrap(), 1);
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "a child of this task group has to return `Result<_, {E}>` or `()`, not `{Self}`",
    label = "its output is `{Self}`",
    note = "a value is wrapped: `Ok(value)`",
    note = "an error of another type is converted: `.map_err(...)`, or `?` in the child"
)]
pub trait ChildOutput<E> {
    /// The value, without the result around it.
    type Value;

    /// The value or the error.
    fn into_result(self) -> Result<Self::Value, E>;
}

/// Gives the type `!` a name, which cannot be written on a stable compiler yet.
mod never {
    pub trait Returns {
        type Output;
    }

    impl<T> Returns for fn() -> T {
        type Output = T;
    }

    pub(super) type Never = <fn() -> ! as Returns>::Output;
}

use never::Never;

/// For children that end by letting a cancellation go on, or never.
impl<E> ChildOutput<E> for Never {
    type Value = Never;

    fn into_result(self) -> Result<Never, E> {
        self
    }
}

impl<T, E> ChildOutput<E> for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

impl<E> ChildOutput<E> for () {
    type Value = ();

    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

pin_project! {
    /// The future of a child: its failure goes to the group in the step in which it happens, that of its destructor too.
    pub(super) struct Child<F, E>
    where
        E: Send,
        E: 'static,
    {
        #[pin]
        future: Option<F>,
        group: TaskGroup<E>,
        failed: bool,
    }

    impl<F, E> PinnedDrop for Child<F, E>
    where
        E: Send,
        E: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Err(panic) = drop_future(this.future) {
                this.group.child_failed(Failure::Panicked(panic));
            }
        }
    }
}

impl<F, E: Send + 'static> Child<F, E> {
    pub(super) fn new(future: F, group: TaskGroup<E>) -> Self {
        Self { future: Some(future), group, failed: false }
    }
}

/// Drops a future where it is; a panic of its destructor is given back.
fn drop_future<F>(mut future: Pin<&mut Option<F>>) -> Result<(), PanicError> {
    catch_unwind(AssertUnwindSafe(|| future.set(None))).map_err(PanicError::new)
}

impl<F, E> Future for Child<F, E>
where
    F: Future,
    F::Output: ChildOutput<E>,
    E: Send + 'static,
{
    type Output = <F::Output as ChildOutput<E>>::Value;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if !*this.failed {
            let future = this.future.as_mut().as_pin_mut().expect("a child is polled while its future is there");
            let failure = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(output)) => match (output.into_result(), drop_future(this.future)) {
                    (Ok(value), Ok(())) => return Poll::Ready(value),
                    (Ok(_), Err(panic)) => Failure::Panicked(panic),
                    (Err(error), _) => Failure::Error(error),
                },
                Err(payload) => Failure::Panicked(PanicError::new(payload)),
            };
            *this.failed = true;
            this.group.child_failed(failure);
        }
        CancelledError::new("this child of a task group failed; the group has the failure")
            .poll_reraise()
            .map(|never| match never {})
    }
}

/// The handle of a child: a [`Task`] that may be dropped without a second thought, because the group waits for it.
///
/// # Cancellation
///
/// As for a [`Task`]: a request that comes to the one who awaits it is passed on to the child, and waited out. Nobody but the group gets the error of a
/// child that fails: code of the group that awaits it at that moment is cancelled, with the group; to await it later gives
/// [`Cancelled`](crate::TaskError::Cancelled). A drop of the await, or of the handle, touches nothing.
///
/// # Examples
///
/// ```
/// use runtime::{Task, TaskGroup};
///
/// runtime::run(async {
///     let name = TaskGroup::<()>::scope(async |group| {
///         let child = group.create_task(async {});
///         child.set_name("child"); // all methods of a task
///         let task: Task<()> = child.into_task();
///         Ok(task.get_name())
///     });
///     assert_eq!(name.await.unwrap(), "child");
/// });
/// ```
#[derive(Debug)]
pub struct GroupTask<T>(pub(super) Task<T>);

impl<T> GroupTask<T> {
    /// The task itself, for what takes a [`Task`]: [`wait`](fn@crate::wait), [`as_completed`](fn@crate::as_completed).
    ///
    /// # Cancellation
    ///
    /// It is still a child, and the group waits for it.
    pub fn into_task(self) -> Task<T> {
        self.0
    }
}

impl<T> std::ops::Deref for GroupTask<T> {
    type Target = Task<T>;

    fn deref(&self) -> &Task<T> {
        &self.0
    }
}

impl<T> std::ops::DerefMut for GroupTask<T> {
    fn deref_mut(&mut self) -> &mut Task<T> {
        &mut self.0
    }
}

impl<T> Future for GroupTask<T> {
    type Output = Result<T, runtime_core::TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// The group is over or shutting down; the future that was to become a child is in it.
///
/// # Examples
///
/// ```
/// use runtime::{GroupClosed, TaskGroup};
///
/// runtime::run(async {
///     let mut kept = None;
///     let _ = TaskGroup::<()>::scope(async |group| {
///         kept = Some(group);
///         Ok(())
///     })
///     .await;
///     let GroupClosed(future) = kept.unwrap().try_create_task(async { Ok("not run") }).unwrap_err();
///     assert_eq!(future.await, Ok("not run"));
/// });
/// ```
pub struct GroupClosed<F>(pub F);

impl<F> fmt::Debug for GroupClosed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupClosed")
    }
}

impl<F> fmt::Display for GroupClosed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task group is shutting down or over")
    }
}

impl<F> Error for GroupClosed<F> {}
