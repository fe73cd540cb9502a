//! `timeout`, `timeout_at`, `wait_for`, and the scope whose deadline can be moved.

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use runtime_core::{
    CancelWhen, CancelledError, Handle, Sleep, Trigger, awaiting_via, cancel_when, not_awaiting, sleep, sleep_until,
};
use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The time was up.
///
/// # Examples
///
/// ```
/// use runtime::{TimeoutError, sleep, timeout};
/// use std::time::Duration;
///
/// runtime::run(async {
///     assert_eq!(timeout(Duration::ZERO, sleep(Duration::MAX)).await, Err(TimeoutError));
///     assert_eq!(TimeoutError.to_string(), "the time was up");
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutError;

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

impl Error for TimeoutError {}

/// Runs a future for at most `duration`, counted from the first poll.
///
/// When the time is up the future is cancelled: what it catches it may clean up, which is **waited for**, however long it
/// takes. What it yields in spite of it is `Ok`; when the cancellation comes back to this boundary the result is [`TimeoutError`].
/// Nothing is allocated, and no timer is armed for a future that never suspends. A duration of zero
/// interrupts the first suspension.
///
/// # Errors
///
/// [`TimeoutError`] when the time was up and the future let itself be cancelled by it.
///
/// # Panics
///
/// When polled outside of a runtime.
///
/// # Cancellation
///
/// A request from outside is delivered to the future as if there were no timeout, and wins over one that expires at the same time. A
/// plain drop drops the future.
///
/// # Examples
///
/// ```
/// use runtime::{catch_cancelled, sleep, timeout};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let ms = Duration::from_millis;
///     assert_eq!(timeout(ms(1000), async { 1 }).await, Ok(1));
///     assert!(timeout(ms(1), sleep(Duration::MAX)).await.is_err());
///
///     // Clean-up runs to its end, and decides about the result.
///     let body = async {
///         match catch_cancelled(sleep(Duration::MAX)).await {
///             Ok(()) => "slept",
///             Err(_timed_out) => {
///                 sleep(ms(5)).await;
///                 "cleaned up"
///             }
///         }
///     };
///     assert_eq!(timeout(ms(1), body).await, Ok("cleaned up"));
/// });
/// ```
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout::new(sleep(duration), future)
}

/// As [`timeout`], until a moment of the runtime's [time](Handle::time).
///
/// # Errors
///
/// As [`timeout`].
///
/// # Panics
///
/// As [`timeout`].
///
/// # Cancellation
///
/// As [`timeout`].
///
/// # Examples
///
/// ```
/// use runtime::{Handle, sleep, timeout_at};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let when = Handle::current().time() + Duration::from_millis(2);
///     assert!(timeout_at(when, sleep(Duration::MAX)).await.is_err());
/// });
/// ```
pub fn timeout_at<F: IntoFuture>(when: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout::new(sleep_until(when), future)
}

/// asyncio's `wait_for`: [`timeout`] with the arguments the other way round.
///
/// # Errors
///
/// As [`timeout`].
///
/// # Panics
///
/// As [`timeout`].
///
/// # Cancellation
///
/// As [`timeout`]; an awaited [`Task`](crate::Task) is cancelled and waited for, however long its clean-up takes. If it ends with an outcome of its own all the same, that is
/// given, and no [`TimeoutError`].
///
/// # Examples
///
/// ```
/// use runtime::{create_task, sleep, wait_for};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let task = create_task(sleep(Duration::MAX));
///     let same = task.task_ref();
///     assert!(wait_for(task, Duration::from_millis(1)).await.is_err());
///     assert!(same.cancelled());
/// });
/// ```
pub fn wait_for<F: IntoFuture>(future: F, duration: Duration) -> Timeout<F::IntoFuture> {
    timeout(duration, future)
}

pin_project! {
    /// The future of [`timeout`], [`timeout_at`] and [`wait_for`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        scope: CancelWhen<F, Deadline>,
    }
}

impl<F: Future> Timeout<F> {
    fn new(sleep: Sleep, future: impl IntoFuture<IntoFuture = F>) -> Self {
        Self { scope: cancel_when(future, Deadline { sleep }) }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, TimeoutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().scope.poll(cx).map(|result| result.map_err(|_expired| TimeoutError))
    }
}

/// The request of a timeout: made when a sleep is over.
struct Deadline {
    sleep: Sleep,
}

impl Trigger for Deadline {
    fn enter(mut self: Pin<&mut Self>) {
        self.sleep.start();
    }

    fn poll_request(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CancelledError> {
        let sleep = Pin::new(&mut self.sleep);
        awaiting_via(cx, "timeout", |cx| sleep.poll(cx)).map(|()| CancelledError::without_message())
    }
}

/// A timeout whose deadline can be asked for and moved while it runs, from any task and any thread: asyncio's `Timeout` object.
///
/// # Examples
///
/// ```
/// use runtime::{Handle, TimeoutScope, sleep};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let ms = Duration::from_millis;
///     let scope = TimeoutScope::never();
///     let inside = scope.clone();
///     let result = scope
///         .run(async move {
///             inside.reschedule(Some(Handle::current().time() + ms(2))).unwrap();
///             sleep(Duration::MAX).await;
///         })
///         .await;
///     assert!(result.is_err());
///     assert!(scope.expired());
///     assert!(scope.reschedule(None).is_err(), "it is over");
/// });
/// ```
///
/// # Example: deadlines
///
/// ```
/// use runtime::{Handle, TimeoutScope, sleep};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let scope = TimeoutScope::after(Duration::from_millis(1));
///     assert_eq!(scope.when(), None, "it has not been entered");
///     assert!(scope.run(sleep(Duration::MAX)).await.is_err());
///     assert!(scope.when().is_some());
///
///     let when = Handle::current().time() + Duration::from_secs(60);
///     let scope = TimeoutScope::at(when);
///     assert_eq!(scope.when(), Some(when));
///     assert!(scope.run(async {}).await.is_ok());
/// });
/// ```
#[derive(Clone)]
pub struct TimeoutScope(Arc<Mutex<ScopeState>>);

struct ScopeState {
    phase: Phase,
    when: When,
    /// Counts changes of `when`, so that the trigger sees one.
    version: u64,
    /// Whom a change has to wake.
    waker: Option<Waker>,
    expired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    NotEntered,
    Active,
    /// The deadline has passed, the body has not ended yet.
    Expiring,
    Over,
}

#[derive(Clone, Copy)]
enum When {
    Never,
    At(Instant),
    After(Duration),
}

/// A [`TimeoutScope`] was used before it was entered, after its deadline, or a second time.
///
/// # Examples
///
/// ```
/// use runtime::TimeoutScope;
///
/// let error = TimeoutScope::never().reschedule(None).unwrap_err();
/// assert_eq!(error.to_string(), "this timeout has not been entered: `run` something in it first");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutStateError {
    phase: Phase,
}

impl fmt::Display for TimeoutStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.phase {
            Phase::NotEntered => "this timeout has not been entered: `run` something in it first",
            Phase::Active => "this timeout is running already: make another one",
            Phase::Expiring => "this timeout has expired, its body is just cleaning up",
            Phase::Over => "this timeout is over: make another one",
        })
    }
}

impl Error for TimeoutStateError {}

impl TimeoutScope {
    /// A timeout that expires so long after it is entered.
    pub fn after(duration: Duration) -> Self {
        Self::new(When::After(duration))
    }

    /// A timeout that expires at a moment of the runtime's [time](Handle::time).
    pub fn at(when: Instant) -> Self {
        Self::new(When::At(when))
    }

    /// A timeout without a deadline, to be given one with [`reschedule`](Self::reschedule).
    pub fn never() -> Self {
        Self::new(When::Never)
    }

    fn new(when: When) -> Self {
        Self(Arc::new(Mutex::new(ScopeState {
            phase: Phase::NotEntered,
            when,
            version: 0,
            waker: None,
            expired: false,
        })))
    }

    /// Runs a future in the scope; see [`timeout`]. A scope is entered once.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`] as for [`timeout`].
    ///
    /// # Panics
    ///
    /// When awaited, if the scope was entered before; and outside of a runtime.
    ///
    /// # Cancellation
    ///
    /// As for [`timeout`].
    pub async fn run<F: IntoFuture>(&self, future: F) -> Result<F::Output, TimeoutError> {
        let left = Entered(self.clone());
        let trigger = Movable { scope: self.clone(), sleep: None, version: 0 };
        let result = cancel_when(future, trigger).await;
        self.leave(false);
        drop(left);
        result.map_err(|_expired| TimeoutError)
    }

    /// The deadline; `None` while there is none, and for one [after](Self::after) a duration that has not been entered.
    pub fn when(&self) -> Option<Instant> {
        match self.0.lock().when {
            When::At(instant) => Some(instant),
            When::After(_) | When::Never => None,
        }
    }

    /// Whether the deadline has passed while the scope was active.
    pub fn expired(&self) -> bool {
        self.0.lock().expired
    }

    /// Moves the deadline of the running scope; `None` takes it away. One that has passed expires at the next suspension.
    ///
    /// # Errors
    ///
    /// [`TimeoutStateError`] before the scope is entered, and once it has expired or ended.
    pub fn reschedule(&self, when: Option<Instant>) -> Result<(), TimeoutStateError> {
        let waker = {
            let mut state = self.0.lock();
            if state.phase != Phase::Active {
                return Err(TimeoutStateError { phase: state.phase });
            }
            state.when = when.map_or(When::Never, When::At);
            state.version += 1;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// The scope is over. When a cancellation from further out dropped it at a time at which its own deadline had passed too, it has
    /// expired, although nobody has looked at its timer any more (TO-14).
    fn leave(&self, dropped: bool) {
        let now = if dropped { Handle::try_current().map(|handle| handle.time()) } else { None };
        let waker = {
            let mut state = self.0.lock();
            if let (Phase::Active, When::At(when), Some(now)) = (state.phase, state.when, now) {
                state.expired |= when <= now;
            }
            state.phase = Phase::Over;
            state.waker.take()
        };
        drop(waker);
    }

    #[track_caller]
    fn enter(&self) {
        let mut state = self.0.lock();
        if state.phase != Phase::NotEntered {
            let error = TimeoutStateError { phase: state.phase };
            drop(state);
            panic!("{error}");
        }
        state.phase = Phase::Active;
        if let When::After(duration) = state.when {
            state.when = Handle::current().time().checked_add(duration).map_or(When::Never, When::At);
        }
    }
}

impl fmt::Debug for TimeoutScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.try_lock() {
            Some(state) => {
                f.debug_struct("TimeoutScope").field("phase", &state.phase).field("expired", &state.expired).finish()
            }
            None => f.write_str("TimeoutScope(<locked>)"),
        }
    }
}

/// The scope is over when this goes, also by a drop.
struct Entered(TimeoutScope);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.leave(true);
    }
}

/// The trigger of a [`TimeoutScope`]: a sleep that is made anew when the deadline moves.
struct Movable {
    scope: TimeoutScope,
    sleep: Option<Sleep>,
    /// The version of the deadline that `sleep` was made for.
    version: u64,
}

impl Trigger for Movable {
    fn enter(mut self: Pin<&mut Self>) {
        self.scope.enter();
        // One that has passed already interrupts the first suspension.
        let _passed = self.renew();
    }

    fn poll_request(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CancelledError> {
        let fresh = not_awaiting(cx, |cx| cx.waker().clone());
        let (old, moved) = {
            let mut state = self.scope.0.lock();
            (state.waker.replace(fresh), state.version != self.version)
        };
        drop(old);
        if moved && self.renew() {
            return Poll::Ready(self.expire());
        }
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        awaiting_via(cx, "timeout", |cx| Pin::new(sleep).poll(cx)).map(|()| self.expire())
    }
}

impl Movable {
    fn expire(&self) -> CancelledError {
        let mut state = self.scope.0.lock();
        state.phase = Phase::Expiring;
        state.expired = true;
        CancelledError::without_message()
    }

    /// Makes the sleep for the present deadline. True if that has passed: a sleep would take a pass more to say so (TO-22).
    fn renew(&mut self) -> bool {
        let (when, version) = {
            let state = self.scope.0.lock();
            (state.when, state.version)
        };
        self.version = version;
        self.sleep = match when {
            When::At(instant) => Some(sleep_until(instant)),
            When::After(_) | When::Never => None,
        };
        matches!(when, When::At(instant) if instant <= Handle::current().time())
    }
}
