//! `Task<T>`, the one handle type for a result that is not there yet, and `TaskRef`, its cheap untyped copy.

use super::cell::{self, Header};
use super::cold::Callback;
use super::error::{CancelledError, InvalidStateError, TaskError};
use super::ring::Sent;
use super::{Kind, harness, state};
use crate::context::{self, Context as VarContext};
use crate::current;
use crate::inspect;
use crate::scope::{self, Mark, path};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The number of a task: unique in the process, never used again.
///
/// # Examples
///
/// ```
/// use runtime_core::{TaskId, create_task, testing};
///
/// testing::block_on(async {
///     let (one, two) = (create_task(async {}), create_task(async {}));
///     let (id, other): (TaskId, TaskId) = (one.id(), two.id());
///     assert_ne!(id, other);
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(crate) u64);

impl From<TaskId> for u64 {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What [`TaskRef::add_done_callback`] gives, to remove the callback again.
///
/// # Examples
///
/// ```
/// use runtime_core::{CallbackId, create_task, testing};
///
/// testing::block_on(async {
///     let task = create_task(async {});
///     let id: CallbackId = task.add_done_callback(|_| panic!("removed"));
///     assert!(task.remove_done_callback(id));
///     task.await.unwrap();
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallbackId(u64);

/// An untyped, cheap copy of a task's handle: to ask, to cancel, to wait for its end.
///
/// Holding one keeps the task's memory, not the task: it lives until it ends by itself.
///
/// # Examples
///
/// ```
/// use runtime_core::{create_task, testing};
///
/// testing::block_on(async {
///     let task = create_task(async { 1 });
///     let same = task.task_ref();
///     assert!(!same.done());
///     same.wait().await;
///     assert!(same.done());
///     assert_eq!(task.await.unwrap(), 1);
/// });
/// ```
///
/// # Example: to name, to ask, to cancel
///
/// ```
/// use runtime_core::{TaskRef, context_var, create_task, testing, yield_now};
///
/// context_var! { static USER: &'static str = "nobody"; }
/// testing::block_on(async {
///     USER.set("me");
///     let task = create_task(std::future::pending::<()>());
///     let same: TaskRef = task.task_ref();
///     same.set_name("waits");
///     assert_eq!((task.get_name().as_str(), same.id()), ("waits", task.id()));
///     assert!(same.location().file().ends_with(".rs"));
///     assert_eq!(same.get_context().run(|| USER.get()), "me");
///
///     // A request that has not been delivered can be taken back.
///     assert!(same.cancel());
///     assert_eq!(same.cancelling(), 1);
///     assert_eq!(same.uncancel(), 0);
///
///     let (told, tell) = std::sync::mpsc::channel();
///     task.add_done_callback(move |task| told.send(task.cancelled()).unwrap());
///     assert!(same.cancel_with("enough"));
///     assert_eq!(task.await.unwrap_err().to_string(), "cancelled: enough");
///     yield_now().await;
///     assert!(tell.recv().unwrap());
///     assert!(!same.cancel(), "it has ended");
/// });
/// ```
pub struct TaskRef(NonNull<Header>);

// SAFETY: only what is shared by design is reached through it: atomics, and the cold part behind its lock.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// Takes over one reference.
    ///
    /// # Safety
    ///
    /// The caller owns a reference and hands it over.
    pub(crate) unsafe fn from_raw(task: NonNull<Header>) -> Self {
        Self(task)
    }

    /// Uses somebody's reference without taking it over.
    ///
    /// # Safety
    ///
    /// That reference outlives the result.
    pub(crate) unsafe fn borrow_raw(task: NonNull<Header>) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self(task))
    }

    /// Takes another reference.
    ///
    /// # Safety
    ///
    /// The task is alive.
    pub(crate) unsafe fn clone_raw(task: NonNull<Header>) -> Self {
        // SAFETY: alive during the call, by the caller's promise.
        let borrowed = unsafe { Self::borrow_raw(task) };
        Self::clone(&borrowed)
    }

    pub(crate) fn as_raw(&self) -> NonNull<Header> {
        self.0
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the reference that `self` is keeps the header alive.
        unsafe { self.0.as_ref() }
    }

    /// Asks the task to end.
    ///
    /// The request is recorded and counted, and the task is scheduled; nothing of it runs in this call, which never blocks and
    /// may be made from any thread. At the task's next poll the request is delivered: to the innermost
    /// [catcher](crate::catch_cancelled) inside of it, or, without one, by dropping its future, after which the task has ended
    /// [cancelled](Self::cancelled). A task that awaits another [`Task`] passes the request to that one and waits for it.
    ///
    /// True means only that the request was recorded; false, that the task had ended.
    pub fn cancel(&self) -> bool {
        harness::cancel(self, CancelledError::without_message())
    }

    /// As [`cancel`](Self::cancel), with a message for the [`CancelledError`]. Of several undelivered requests the first message counts.
    pub fn cancel_with(&self, message: impl Into<String>) -> bool {
        harness::cancel(self, CancelledError::new(message))
    }

    /// As [`cancel`](Self::cancel), passing on a request that was caught elsewhere: it stays the same request, so that
    /// one which comes round a cycle of tasks is recognised.
    pub fn cancel_by(&self, request: &CancelledError) -> bool {
        harness::cancel(self, request.clone())
    }

    /// Whether the task has ended, in whatever way.
    #[inline]
    pub fn done(&self) -> bool {
        self.header().state.load().has(state::COMPLETE)
    }

    /// Whether the task ended cancelled. False while it runs, and for one that caught the cancellation and returned.
    pub fn cancelled(&self) -> bool {
        self.done() && self.ended_as() == Ended::Cancelled
    }

    /// The number of cancel requests, less those taken back with [`uncancel`](Self::uncancel).
    ///
    /// Asked by the task about itself, requests of the scopes around the running code (timeouts that have fired, groups that are
    /// aborting) count as well, as in asyncio.
    pub fn cancelling(&self) -> u32 {
        let own = self.header().state.load().requests();
        if self.is_current() { own.saturating_add(scope::scope_requests()) } else { own }
    }

    /// Takes one cancel request back and gives how many are left. At zero, a request that has not been delivered yet is withdrawn, also one that was
    /// made pending again ([`CancelledError::redeliver`], a task group that fails), if it is the task itself that asks.
    pub fn uncancel(&self) -> u32 {
        let own = harness::uncancel(self.header());
        if !self.is_current() {
            return own;
        }
        let left = own.saturating_add(scope::scope_requests());
        if left == 0 {
            scope::withdraw();
        }
        left
    }

    /// The task's number.
    pub fn id(&self) -> TaskId {
        TaskId(self.header().id)
    }

    /// The task's name: the one it was given, or `Task-N`.
    pub fn get_name(&self) -> String {
        let given = self.header().cold_if_any().and_then(|cold| cold.inner.lock().name.clone());
        given.map_or_else(|| format!("Task-{}", self.header().id), |name| String::from(&*name))
    }

    /// Gives the task another name, at any time.
    pub fn set_name(&self, name: impl Into<String>) {
        let name: Arc<str> = name.into().into();
        let old = self.header().cold().inner.lock().name.replace(name);
        drop(old);
    }

    /// A copy of the task's context as it is now.
    pub fn get_context(&self) -> VarContext {
        VarContext::from_map(context::read_as_stranger(self.header()))
    }

    /// Where the task was created.
    pub fn location(&self) -> &'static Location<'static> {
        self.header().location
    }

    /// Runs `callback` when the task has ended, in the current [context](crate::Context), as queued work of the runtime: never inside
    /// of this call or of the one that ends the task. Callbacks of a task run in the order in which they were added.
    ///
    /// A panic in it is reported to the runtime's exception handler; the other callbacks run.
    /// After the end of the task it is queued at once. For the task of a [`Promise`](crate::Promise) made
    /// outside of any runtime, which has no queue, callbacks run on the thread that completes it.
    pub fn add_done_callback(&self, callback: impl FnOnce(&TaskRef) + Send + 'static) -> CallbackId {
        let context = VarContext::current();
        let mut callback = Callback { id: 0, context, function: Box::new(callback) };
        let cold = self.header().cold();
        let (id, begin) = {
            let mut inner = cold.inner.lock();
            inner.next_callback += 1;
            callback.id = inner.next_callback;
            let id = callback.id;
            inner.callbacks.push(callback);
            let ended = inner.listen(&self.header().state);
            (id, ended && inner.begin_draining())
        };
        if begin {
            crate::report::run_callbacks_of(self);
        }
        CallbackId(id)
    }

    /// Removes a callback that has not been queued yet; false if it was, or was removed before.
    pub fn remove_done_callback(&self, id: CallbackId) -> bool {
        let Some(cold) = self.header().cold_if_any() else { return false };
        let removed = {
            let mut inner = cold.inner.lock();
            if self.done() {
                return false;
            }
            let place = inner.callbacks.iter().position(|callback| callback.id == id.0);
            place.map(|place| inner.callbacks.remove(place))
        };
        removed.is_some()
    }

    /// Waits for the task to end, however it does.
    ///
    /// # Cancellation
    ///
    /// Neither a request nor a drop touches the task that is waited for; await the [`Task`] itself to pass requests on.
    ///
    /// # Panics
    ///
    /// When a task waits for itself.
    pub fn wait(&self) -> Wait {
        Wait { task: self.clone(), slot: None }
    }

    /// Whether the task's code is what runs on this thread.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        current::task_ptr() == Some(self.0)
    }

    pub(crate) fn ended_as(&self) -> Ended {
        self.header().ended()
    }
}

/// How a task ended; kept beside the outcome, which only the handle may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ended {
    Value = 0,
    Cancelled = 1,
    Panicked = 2,
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        self.header().state.ref_inc();
        Self(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // SAFETY: this reference goes here, once.
        unsafe { cell::drop_ref(self.0) };
    }
}

impl PartialEq for TaskRef {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for TaskRef {}

impl std::hash::Hash for TaskRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.header().state.load();
        let life = match () {
            () if state.has(state::COMPLETE) => match self.ended_as() {
                Ended::Cancelled => "cancelled",
                Ended::Panicked => "panicked",
                Ended::Value => "finished",
            },
            () if state.requests() > 0 => "cancelling",
            () => "pending",
        };
        write!(f, "<Task {life} id={} created at {}>", self.header().id, self.header().location)
    }
}

/// The future of [`TaskRef::wait`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Wait {
    task: TaskRef,
    /// The place among the waiters.
    slot: Option<usize>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        assert!(
            !this.task.is_current(),
            "a task waits for itself: it could never end (its name: {})",
            this.task.get_name()
        );
        if this.task.done() {
            return Poll::Ready(());
        }
        if this.register(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Wait {
    /// Puts the waker among the waiters; true if the task has ended meanwhile.
    fn register(&mut self, waker: &Waker) -> bool {
        let fresh = inspect::clone_for(waker, || inspect::Leaf::join(self.task.header()));
        let waits = current::task().map_or(0, |task| task.header().id);
        let cold = self.task.header().cold();
        let mut inner = cold.inner.lock();
        let old = inner.waiters.put(&mut self.slot, fresh, waits);
        // Under the lock that the completer takes after it has set `COMPLETE` and seen `LISTENERS`: either it finds the
        // waker, or this sees `COMPLETE`.
        let complete = inner.listen(&self.task.header().state);
        drop(inner);
        drop(old);
        complete
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let (Some(slot), Some(cold)) = (self.slot, self.task.header().cold_if_any()) {
            let waker = cold.inner.lock().waiters.remove(slot);
            drop(waker);
        }
    }
}

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

/// Whether a user sees it as a task.
pub(crate) fn is_listed(kind: Kind) -> bool {
    matches!(kind, Kind::Task | Kind::Main)
}
