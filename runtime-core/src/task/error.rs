//! How a task can end other than with a value.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use crate::loom::static_thread_local;
use parking_lot::Mutex;
use std::cell::{Cell, RefCell};

/// Why a [`Task`](crate::Task) has no value.
///
/// An ordinary error of the task's body is part of its value (`Task<Result<T, E>>`); this is about the two ways in
/// which a body does not return at all.
///
/// # Examples
///
/// ```
/// # use runtime_core::{TaskError, Promise};
/// let (promise, mut task) = Promise::<u32>::new();
/// drop(promise);
/// let outcome = task.result().expect("a task whose promise is gone is done");
/// assert!(matches!(outcome, Err(TaskError::Cancelled(_))));
/// ```
#[derive(Clone)]
pub enum TaskError {
    /// The task was cancelled, or its promise was dropped.
    Cancelled(CancelledError),
    /// The task's body panicked.
    Panicked(PanicError),
}

impl TaskError {
    /// Whether the task ended cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Promise, create_task, testing};
    ///
    /// testing::block_on(async {
    ///     let (promise, task) = Promise::<u32>::new();
    ///     drop(promise);
    ///     let error = task.await.unwrap_err();
    ///     assert!(error.is_cancelled() && !error.is_panicked());
    ///
    ///     let error = create_task(async { panic!("a bug") }).await.unwrap_err();
    ///     assert!(error.is_panicked());
    /// });
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Whether the task ended with a panic.
    pub fn is_panicked(&self) -> bool {
        match self {
            Self::Cancelled(_) => false,
            Self::Panicked(panic) => {
                panic.0.look();
                true
            }
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(error) => error.fmt(f),
            Self::Panicked(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(error) => error.fmt(f),
            Self::Panicked(error) => error.fmt(f),
        }
    }
}

impl Error for TaskError {}

/// So that `?` works on a task in a function that gives an [`io::Error`](std::io::Error).
///
/// # Examples
///
/// ```
/// use runtime_core::{create_task, testing};
///
/// async fn length() -> std::io::Result<usize> {
///     Ok(create_task(async { "text".len() }).await?)
/// }
///
/// assert_eq!(testing::block_on(length()).unwrap(), 4);
/// ```
impl From<TaskError> for std::io::Error {
    fn from(error: TaskError) -> Self {
        Self::other(error)
    }
}

impl From<CancelledError> for TaskError {
    fn from(error: CancelledError) -> Self {
        Self::Cancelled(error)
    }
}

impl From<PanicError> for TaskError {
    fn from(error: PanicError) -> Self {
        Self::Panicked(error)
    }
}

/// A cancellation: what [`catch_cancelled`](crate::catch_cancelled) catches, and how a cancelled task ends.
///
/// It carries the message of the request, if one was given, and can be sent on to the next catcher with
/// [`reraise`](Self::reraise). Dropping it swallows the cancellation.
///
/// # Examples
///
/// ```
/// # use runtime_core::CancelledError;
/// let error = CancelledError::new("no longer needed");
/// assert_eq!(error.message(), Some("no longer needed"));
/// assert_eq!(error.to_string(), "cancelled: no longer needed");
/// ```
#[derive(Clone, Default)]
pub struct CancelledError(Origin);

/// What a cancellation comes from.
#[derive(Clone, Default)]
enum Origin {
    /// A request that nobody has to know again.
    #[default]
    Plain,
    /// The shutdown. Nothing is shared, which all workers would write at once.
    Sweep,
    /// One request, shared by all who see it: its address tells it from others.
    Request(Arc<Request>),
}

/// One request for cancellation.
struct Request {
    /// What the requester said.
    message: Option<Box<str>>,
}

impl CancelledError {
    /// A cancellation with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Origin::Request(Arc::new(Request { message: Some(message.into().into_boxed_str()) })))
    }

    /// A cancellation without a message.
    pub fn without_message() -> Self {
        Self(Origin::Plain)
    }

    /// The message given with the request, if any.
    pub fn message(&self) -> Option<&str> {
        match &self.0 {
            Origin::Request(request) => request.message.as_deref(),
            Origin::Plain | Origin::Sweep => None,
        }
    }

    /// From now on all copies of `self` are told apart from other requests.
    pub(crate) fn identify(&mut self) {
        if self.is_plain() {
            self.0 = Origin::Request(Arc::new(Request { message: None }));
        }
    }

    /// A cancellation of which all copies are one request.
    ///
    /// Who cancels several tasks at once makes it so, and gives each of them a copy with
    /// [`cancel_by`](crate::TaskRef::cancel_by): a task that then gets it once more from another one of them, which awaits it, neither
    /// counts that nor has it delivered a second time.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{CancelledError, catch_cancelled, create_task, sleep, testing, yield_now};
    /// use std::time::Duration;
    ///
    /// testing::block_on(async {
    ///     let inner = create_task(async {
    ///         let _caught = catch_cancelled(sleep(Duration::MAX)).await;
    ///         yield_now().await;
    ///         yield_now().await;
    ///         "cleaned up"
    ///     });
    ///     let request = CancelledError::without_message().identified();
    ///     let same = inner.task_ref();
    ///     let outer = create_task(async move { inner.await.unwrap() });
    ///     yield_now().await;
    ///     assert!(same.cancel_by(&request) && outer.cancel_by(&request));
    ///     assert_eq!(outer.await.unwrap(), "cleaned up");
    /// });
    /// ```
    pub fn identified(mut self) -> Self {
        self.identify();
        self
    }

    /// The request that the shutdown makes to every task.
    pub(crate) fn sweep() -> Self {
        Self(Origin::Sweep)
    }

    /// Whether both are the same request. Requests that were never identified are not the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Origin::Request(one), Origin::Request(two)) => Arc::ptr_eq(one, two),
            (Origin::Sweep, Origin::Sweep) => true,
            _ => false,
        }
    }

    /// Whether there is anything that a fresh cancellation would not have.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.0, Origin::Plain)
    }
}

impl fmt::Debug for CancelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelledError").field(&self.message()).finish()
    }
}

impl fmt::Display for CancelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "cancelled: {message}"),
            None => f.write_str("cancelled"),
        }
    }
}

impl Error for CancelledError {}

/// A panic that ended a task, a callback or a blocking function.
///
/// Copies share the payload; [`into_payload`](Self::into_payload) takes it out once, for
/// [`resume_unwind`](std::panic::resume_unwind).
///
/// One that came from a task and that nobody has looked at (printed, asked, gone on panicking with) is reported if it ends as a part of
/// another task's value that nobody reads.
///
/// # Examples
///
/// ```
/// # use runtime_core::PanicError;
/// let error = PanicError::new(Box::new("out of cheese"));
/// assert_eq!(error.message(), Some("out of cheese"));
/// assert!(error.into_payload().is_some());
/// ```
#[derive(Clone)]
pub struct PanicError(Arc<Payload>);

struct Payload {
    /// The payload when it was a string, for reports.
    message: Option<Box<str>>,
    /// What was thrown, until somebody takes it.
    value: Mutex<Option<Box<dyn Any + Send>>>,
    /// Somebody has looked at it. Relaxed throughout: it guards no data, and is read for a decision when the last copy goes.
    seen: AtomicBool,
}

impl Payload {
    fn look(&self) {
        self.seen.store(true, Relaxed);
    }
}

static_thread_local! {
    /// Whether an outcome that nobody reads is being dropped on this thread.
    static COLLECTS: Cell<bool> = Cell::new(false)
}

static_thread_local! {
    /// The panics that nobody has seen, and that went with it.
    static UNREAD: RefCell<Vec<PanicError>> = RefCell::new(Vec::new())
}

/// Runs `code`, which drops an outcome that nobody reads; gives the panics that nobody has seen and of which it dropped the last copy.
///
/// `code` must not unwind.
pub(crate) fn collect_unread<R>(code: impl FnOnce() -> R) -> (R, Vec<PanicError>) {
    let before = COLLECTS.with(|collects| collects.replace(true));
    let result = code();
    COLLECTS.with(|collects| collects.set(before));
    // A thread that is being torn down collects nothing.
    let unread = UNREAD.try_with(|unread| std::mem::take(&mut *unread.borrow_mut()));
    (result, unread.unwrap_or_default())
}

impl PanicError {
    /// Wraps what [`catch_unwind`](std::panic::catch_unwind) caught.
    pub fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| Box::from(*text))
            .or_else(|| payload.downcast_ref::<String>().map(|text| text.clone().into_boxed_str()));
        Self(Arc::new(Payload { message, value: Mutex::new(Some(payload)), seen: AtomicBool::new(false) }))
    }

    /// What the panic said, when it was text.
    pub fn message(&self) -> Option<&str> {
        self.0.look();
        self.0.message.as_deref()
    }

    /// The payload, the first time any copy is asked.
    pub fn into_payload(self) -> Option<Box<dyn Any + Send>> {
        self.0.look();
        self.0.value.lock().take()
    }

    /// Goes on panicking with the payload, or with its message when the payload was taken before.
    ///
    /// # Panics
    ///
    /// Always: that is its purpose.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::PanicError;
    ///
    /// let resumed = std::panic::catch_unwind(|| PanicError::new(Box::new("again")).resume());
    /// assert_eq!(*resumed.unwrap_err().downcast::<&str>().unwrap(), "again");
    /// ```
    pub fn resume(self) -> ! {
        let message = self.0.message.clone();
        match self.into_payload() {
            Some(payload) => std::panic::resume_unwind(payload),
            None => std::panic::resume_unwind(Box::new(String::from(message.unwrap_or_default()))),
        }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if !*self.seen.get_mut() && COLLECTS.with(Cell::get) {
            let value = Mutex::new(self.value.get_mut().take());
            let same = Self { message: self.message.take(), value, seen: AtomicBool::new(true) };
            // On a thread that is being torn down it just goes.
            let _ = UNREAD.try_with(|unread| unread.borrow_mut().push(PanicError(Arc::new(same))));
            return;
        }
        // A payload is a user's value: a panic in its destructor is not allowed to take anybody else along.
        if let Some(payload) = self.value.get_mut().take() {
            drop_quietly(payload);
        }
    }
}

impl fmt::Debug for PanicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PanicError").field(&self.message()).finish()
    }
}

impl fmt::Display for PanicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "panicked: {message}"),
            None => f.write_str("panicked"),
        }
    }
}

impl Error for PanicError {}

/// The outcome was asked for before there was one, or after it was taken.
///
/// # Examples
///
/// ```
/// # use runtime_core::Promise;
/// let (promise, mut task) = Promise::new();
/// assert!(task.result().is_err(), "not done yet");
/// promise.set_result(1).unwrap();
/// assert_eq!(task.result().unwrap().unwrap(), 1);
/// assert!(task.result().is_err(), "a value is taken once");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidStateError {
    /// Whether the task had ended.
    pub(crate) done: bool,
}

impl fmt::Display for InvalidStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.done {
            "the outcome of this task was taken before"
        } else {
            "this task has not ended yet: await it, or ask `done()` first"
        })
    }
}

impl Error for InvalidStateError {}

/// Drops a user's value; a panic of its destructor is caught and given back.
pub(crate) fn drop_caught<T>(value: T) -> Result<(), PanicError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(value))).map_err(PanicError::new)
}

/// Drops a user's value; a panic of its destructor ends here (its message was already printed by the panic hook).
pub(crate) fn drop_quietly<T>(value: T) {
    let thrown_by = |dropped: Result<(), PanicError>| dropped.err().and_then(PanicError::into_payload);
    let mut thrown = thrown_by(drop_caught(value));
    // What was thrown may have a destructor that panics as well, and so on: after a few it is forgotten.
    for _ in 0..4 {
        let Some(payload) = thrown else { return };
        thrown = thrown_by(drop_caught(payload));
    }
    std::mem::forget(thrown);
}
