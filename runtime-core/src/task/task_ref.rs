//! `TaskRef`, the cheap untyped copy of a handle: what can be asked of a task and done to it without its type.

use super::cell::{self, Header};
use super::cold::Callback;
use super::error::CancelledError;
use super::{Kind, harness, state};
use crate::context::{self, Context as VarContext};
use crate::current;
use crate::inspect;
use crate::scope;
use std::fmt;
use std::future::Future;
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
    /// [cancelled](Self::cancelled). A task that awaits another [`Task`](super::Task) passes the request to that one and waits for it.
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
    ///
    /// At 65,535 it stays, however many more requests come.
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
    /// Neither a request nor a drop touches the task that is waited for; await the [`Task`](super::Task) itself to pass requests on.
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

/// Whether a user sees it as a task.
pub(crate) fn is_listed(kind: Kind) -> bool {
    matches!(kind, Kind::Task | Kind::Main)
}
