//! `Task<T>`, the one handle type for a result that is not there yet: its await, and what a cancelled await does.

use super::cell::{self, Header};
use super::error::{CancelledError, InvalidStateError, TaskError};
use super::ring::Sent;
use super::task_ref::{Ended, TaskRef};
use super::{harness, state};
use crate::current;
use crate::scope::{self, Mark, path};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// The handle of a task: what one holds for a result that is not there yet, whoever makes it.
///
/// Awaiting it gives `Ok(value)`, or the [`TaskError`] the task ended with. `(&mut task).await` keeps the handle.
/// Dropping it detaches the task, which goes on: the runtime owns its tasks.
///
/// # Cancellation
///
/// When the task that awaits this one is cancelled, the request is passed on to this one, and the awaiting task waits for its end. If
/// it ends cancelled, the awaiting task's cancellation goes on from there; if it caught the request and returned, its value is
/// awaited as if nothing had happened. Dropping the future of the await (a `select!` that lost) does not touch the task.
///
/// # Panics
///
/// Awaiting panics when a task awaits itself, and when the outcome was taken before.
///
/// # Examples
///
/// ```
/// use runtime_core::{create_task, testing};
///
/// testing::block_on(async {
///     let task = create_task(async { 40 + 2 });
///     assert_eq!(task.await.unwrap(), 42);
/// });
/// ```
///
/// # Example: the outcome without an await
///
/// ```
/// use runtime_core::{create_task, testing};
/// use std::future::poll_fn;
///
/// testing::block_on(async {
///     let mut task = create_task(async { 42 });
///     assert!(task.result().is_err(), "not yet");
///     poll_fn(|cx| task.poll_done(cx)).await; // to wait, and leave the outcome
///     assert_eq!(task.exception().unwrap().map(|error| error.to_string()), None);
///     assert_eq!(task.peek(|outcome| *outcome.unwrap()), Some(42));
///     assert_eq!(task.result().unwrap().unwrap(), 42);
///     assert!(task.result().is_err(), "it was taken");
/// });
/// ```
#[must_use = "dropping the handle of a task detaches it: say so with `drop`, or await it"]
pub struct Task<T> {
    /// The reference; kept as one so that all methods of `TaskRef` serve here as well.
    task: ManuallyDrop<TaskRef>,
    /// The last poll of an await, by which it is known again.
    mark: Mark,
    /// What only an await needs that is cancelled.
    awaiting: Option<Box<Awaiting>>,
    output: PhantomData<fn() -> T>,
}

#[derive(Default)]
struct Awaiting {
    /// The requests that were passed on: all of them, for any of them may come again.
    passed: Vec<CancelledError>,
    /// What was sent after them, to find out whether the tasks await each other in a ring.
    sent: Option<Sent>,
    /// The task that awaits, if one of them was its own.
    requested: Option<u64>,
    /// The task ended by one: this cancellation goes on from here.
    unwinding: Option<CancelledError>,
}

// SAFETY: the handle gives out the `T`, on whatever thread it is; everything else is shared by design.
unsafe impl<T: Send> Send for Task<T> {}
// SAFETY: `&Task<T>` gives out no `T`: taking the outcome needs `&mut`.
unsafe impl<T: Send> Sync for Task<T> {}
impl<T> Unpin for Task<T> {}
impl<T> std::panic::UnwindSafe for Task<T> {}
impl<T> std::panic::RefUnwindSafe for Task<T> {}

impl<T> Task<T> {
    /// Takes over the typed handle's reference.
    ///
    /// # Safety
    ///
    /// Called once per task, with the reference that was counted for the handle, and with the output type of its future.
    pub(crate) unsafe fn from_raw(task: NonNull<Header>) -> Self {
        // SAFETY: the caller hands the reference over.
        let task = ManuallyDrop::new(unsafe { TaskRef::from_raw(task) });
        Self { task, mark: Mark::default(), awaiting: None, output: PhantomData }
    }

    /// An untyped copy.
    pub fn task_ref(&self) -> TaskRef {
        TaskRef::clone(&self.task)
    }

    /// The outcome, if the task has ended and it was not taken before. Never blocks.
    ///
    /// # Errors
    ///
    /// [`InvalidStateError`] while the task has not ended, and when the value was taken before.
    pub fn result(&mut self) -> Result<Result<T, TaskError>, InvalidStateError> {
        if !self.done() {
            return Err(InvalidStateError { done: false });
        }
        self.take_outcome().ok_or(InvalidStateError { done: true })
    }

    /// How the task failed: `None` if it has a value. The failure stays for later.
    ///
    /// # Errors
    ///
    /// [`InvalidStateError`] while the task has not ended, and when the outcome was taken before.
    pub fn exception(&self) -> Result<Option<TaskError>, InvalidStateError> {
        if !self.done() {
            return Err(InvalidStateError { done: false });
        }
        let _ = self.task.header().state.set(state::RETRIEVED);
        // SAFETY: (R3) the task is complete and this is its handle; nobody takes the outcome meanwhile, for that needs `&mut`.
        let error = unsafe { cell::error_of(self.task.as_raw()) };
        match error {
            None if self.task.ended_as() != Ended::Value => Err(InvalidStateError { done: true }),
            error => Ok(error),
        }
    }

    /// Looks at the outcome without taking it; `None` while the task has not ended, and when it was taken.
    ///
    /// Counts as reading it: a failure that was looked at is not reported when the handle goes.
    pub fn peek<R>(&mut self, look: impl FnOnce(Result<&T, &TaskError>) -> R) -> Option<R> {
        if !self.done() {
            return None;
        }
        let _ = self.task.header().state.set(state::RETRIEVED);
        // SAFETY: (R3) the task is complete and this is its handle, borrowed for the whole call; `T` is its output type.
        let outcome = unsafe { cell::outcome_of::<T>(self.task.as_raw()) };
        outcome.map(|outcome| look(outcome.as_ref()))
    }

    /// Waits for the end of the task without taking its outcome, and without passing a cancellation on: for combinators that
    /// do that themselves. The waker takes the place of that of an earlier await of this handle.
    pub fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `&mut self` is the typed handle.
        if unsafe { harness::poll_join(self.task.header(), cx.waker()) } { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes back what the last wait for the end has left with the task: its waker. For combinators that return before a task which they
    /// have borrowed has ended, so that nobody is woken for nothing, and no picture shows an await that is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{create_task, testing, yield_now};
    /// use std::future::{pending, poll_fn};
    /// use std::task::Poll;
    ///
    /// testing::block_on(async {
    ///     let mut task = create_task(pending::<()>());
    ///     poll_fn(|cx| Poll::Ready(task.poll_done(cx).is_ready())).await;
    ///     assert_eq!(task.call_graph().get(task.id()).unwrap().awaited_by.len(), 1);
    ///     task.stop_waiting();
    ///     assert!(task.call_graph().get(task.id()).unwrap().awaited_by.is_empty());
    /// });
    /// ```
    pub fn stop_waiting(&mut self) {
        // SAFETY: `&mut self` is the typed handle.
        unsafe { harness::forget_join(self.task.header()) };
    }

    /// Detaches the task and counts its outcome as read: should it fail, that is not reported.
    ///
    /// For combinators that have a failure to show already, as a gather has.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{ExceptionContext, Handle, create_task, testing, yield_now};
    ///
    /// testing::block_on(async {
    ///     let never = |report: &ExceptionContext| panic!("{report}");
    ///     Handle::current().set_exception_handler(Some(never));
    ///     create_task(async { panic!("nobody needs to know") }).forgive();
    ///     yield_now().await;
    /// });
    /// ```
    pub fn forgive(self) {
        let _ = self.task.header().state.set(state::RETRIEVED);
    }

    fn take_outcome(&mut self) -> Option<Result<T, TaskError>> {
        // SAFETY: (R3) the task is complete and this is its handle; `T` is its output type by `from_raw`.
        unsafe { cell::take_outcome_of(self.task.as_raw()) }
    }

    fn take_outcome_once(&mut self) -> Result<T, TaskError> {
        match self.take_outcome() {
            Some(outcome) => outcome,
            None => panic!("the outcome of task {} was taken before: a task is awaited once", self.get_name()),
        }
    }

    /// A request may be being delivered to the code that awaits this task: passes it on, or lets it go on from here.
    fn pass_on(&mut self) {
        let Some((request, of_task)) = scope::take_delivery(&self.mark, self.awaiting.is_some()) else { return };
        let awaiting = self.awaiting.get_or_insert_default();
        if awaiting.passed.iter().any(|passed| passed.is_same(&request)) {
            // It has come by another way as well, after yet another request.
            return;
        }
        if harness::cancel(&self.task, request.clone()) {
            awaiting.passed.push(request);
            awaiting.requested = awaiting.requested.or(of_task);
        } else {
            // C-10: the task has ended, but the awaiting task had not resumed. Its outcome stays with it.
            awaiting.unwinding = Some(request);
        }
    }

    /// T-12: the tasks may await each other in a ring, which is broken here if this is where that is found.
    fn look_round(&mut self) {
        let waits = |awaiting: &&mut Box<Awaiting>| awaiting.unwinding.is_none() && !awaiting.passed.is_empty();
        if let Some(awaiting) = self.awaiting.as_mut().filter(waits)
            && harness::look_round(&self.task, &mut awaiting.sent)
        {
            awaiting.unwinding = awaiting.passed.last().cloned();
            self.leave_ring();
        }
    }

    /// The await is over: what it has sent counts no more.
    fn leave_ring(&mut self) {
        if self.awaiting.as_mut().is_some_and(|awaiting| awaiting.sent.take().is_some()) {
            harness::leave_ring(&self.task);
        }
    }

    /// The cancellation that goes on from here: one that is on its way, or the one that a request passed on has ended the task with
    /// (rule 6).
    fn unwinding(&mut self) -> Option<CancelledError> {
        let task = &self.task;
        let awaiting = self.awaiting.as_mut()?;
        if awaiting.unwinding.is_none() && !awaiting.passed.is_empty() && task.cancelled() {
            // SAFETY: (R3) the task is complete, and `&mut self` is its handle.
            let error = unsafe { cell::error_of(task.as_raw()) };
            awaiting.unwinding = match error {
                Some(TaskError::Cancelled(error)) => Some(error),
                _ => awaiting.passed.last().cloned(),
            };
        }
        awaiting.unwinding.clone()
    }

    /// Tells the scopes around that this await is a catcher on the path.
    fn settle(&mut self, cx: &Context<'_>) {
        let bits = path::CATCHER | if self.awaiting.is_some() { path::HOLDING } else { path::UNTOLD };
        let mark = &mut self.mark;
        scope::with_frame(|frame| match frame {
            Some(frame) => frame.settle(cx, bits, mark),
            None => *mark = Mark::default(),
        });
    }

    /// A new await begins. A request of the task that an earlier await of it has passed on (in a `select!` that something else won) is
    /// still on its way, and goes on from here in its time; one that has unwound, or that was made by a scope, is not this await's.
    fn forget_other_awaits(&mut self) {
        self.leave_ring();
        let current = current::task().map(|task| task.header().id);
        self.awaiting = self.awaiting.take().filter(|awaiting| {
            awaiting.unwinding.is_none() && awaiting.requested.is_some() && awaiting.requested == current
        });
    }

    /// Whether this is the await of the last poll of the code around, or of this one (some combinators poll twice), and not a new one.
    fn is_same_await(&self) -> bool {
        scope::with_frame(|frame| frame.is_some_and(|frame| frame.has_on_path(&self.mark) || frame.has_met(&self.mark)))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // It has ended, and this is the first poll of the await: nothing can have been passed on.
        if this.awaiting.is_none() && this.mark.is_blank() && this.done() {
            return Poll::Ready(this.take_outcome_once());
        }
        assert!(!this.task.is_current(), "a task awaits itself: it could never end (its name: {})", this.get_name());
        if this.is_same_await() {
            if this.awaiting.as_ref().is_none_or(|awaiting| awaiting.unwinding.is_none()) {
                this.pass_on();
            }
        } else {
            this.forget_other_awaits();
        }
        this.look_round();
        let complete = this.awaiting.as_ref().is_some_and(|awaiting| awaiting.unwinding.is_some())
            // SAFETY: `&mut self` is the typed handle.
            || unsafe { harness::poll_join(this.task.header(), cx.waker()) };
        if !complete {
            this.settle(cx);
            return Poll::Pending;
        }
        if let Some(error) = this.unwinding() {
            this.mark.unwinding();
            scope::raise(error);
            return Poll::Pending;
        }
        this.awaiting = None;
        this.mark = Mark::default();
        Poll::Ready(this.take_outcome_once())
    }
}

impl<T> std::ops::Deref for Task<T> {
    type Target = TaskRef;

    /// All methods of [`TaskRef`] are methods of the handle.
    fn deref(&self) -> &TaskRef {
        &self.task
    }
}

impl<T> Drop for Task<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.mark.is_blank() {
            self.mark = Mark::default();
        }
        self.leave_ring();
        // SAFETY: this is the typed handle, and it goes once; `ManuallyDrop` keeps its reference from being given back again.
        unsafe { harness::drop_join(&self.task) };
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TaskRef::fmt(self, f)
    }
}

impl<T> From<&Task<T>> for TaskRef {
    fn from(task: &Task<T>) -> Self {
        task.task_ref()
    }
}
