//! Inner scopes: a region that something else than the task's own requests can cancel.

use super::catch::poll_some;
use super::node::{Delivery, Node, outside_requests};
use super::raise;
use crate::inspect;
use crate::task::cold::Waiters;
use crate::task::error::CancelledError;
use crate::task::harness::wake_caught;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What cancels a scope made with [`cancel_when`].
///
/// Every future of a [`CancelledError`] is one.
///
/// # Examples
///
/// ```
/// use runtime_core::{CancelledError, Trigger, cancel_when, testing};
/// use std::pin::Pin;
/// use std::task::{Context, Poll};
///
/// /// Lets the body be polled so many times.
/// struct After(u32);
///
/// impl Trigger for After {
///     fn poll_request(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<CancelledError> {
///         match self.0.checked_sub(1) {
///             None => Poll::Ready(CancelledError::new("too many polls")),
///             Some(left) => {
///                 self.0 = left;
///                 Poll::Pending
///             }
///         }
///     }
/// }
///
/// testing::block_on(async {
///     let body = async {
///         loop {
///             runtime_core::yield_now().await;
///         }
///     };
///     let error = cancel_when(body, After(3)).await.unwrap_err();
///     assert_eq!(error.message(), Some("too many polls"));
/// });
/// ```
pub trait Trigger {
    /// Called once, right before the body is polled for the first time.
    fn enter(self: Pin<&mut Self>) {}

    /// Ready when the scope is to be cancelled; not called again after that.
    fn poll_request(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CancelledError>;
}

impl<F: Future<Output = CancelledError>> Trigger for F {
    fn poll_request(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CancelledError> {
        self.poll(cx)
    }
}

/// Runs a future in a scope of its own, which is cancelled when `trigger` says so.
///
/// The request is delivered inside the scope only: to the innermost catchers in it, or by dropping the future when there
/// are none. What the future yields in spite of it is `Ok`. When the cancellation arrives back at the boundary, the result
/// is `Err`, unless a request from outside came as well, which then goes on outwards. Clean-up inside is waited for, however long it takes.
///
/// The trigger is looked at before the future, except in the very first poll: a body that never suspends is never cancelled, and
/// a trigger that is ready at once cancels its first suspension.
///
/// # Cancellation
///
/// A request from outside passes through the scope as if it were not there. A plain drop drops both futures.
///
/// # Examples
///
/// ```
/// use runtime_core::{CancelledError, cancel_when, catch_cancelled, sleep, testing};
/// use std::time::Duration;
///
/// testing::block_on(async {
///     let trigger = async { CancelledError::new("too late") };
///     let result = cancel_when(sleep(Duration::MAX), trigger).await;
///     assert_eq!(result.unwrap_err().message(), Some("too late"));
///
///     // Swallowed inside: not cancelled.
///     let trigger = async { CancelledError::default() };
///     let result = cancel_when(catch_cancelled(sleep(Duration::MAX)), trigger).await;
///     assert!(result.unwrap().is_err());
/// });
/// ```
pub fn cancel_when<F: IntoFuture, T: Trigger>(future: F, trigger: T) -> CancelWhen<F::IntoFuture, T> {
    CancelWhen {
        inner: Some(future.into_future()),
        trigger,
        scope: ScopeState { node: Node::default(), entry: 0, request: None, stage: Stage::Waiting, tries: 0 },
    }
}

pin_project! {
    /// The future of [`cancel_when`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct CancelWhen<F, T> {
        #[pin]
        inner: Option<F>,
        #[pin]
        trigger: T,
        scope: ScopeState,
    }
}

impl<F, T> CancelWhen<F, T> {
    /// Whether the trigger has fired.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{CancelScope, testing};
    /// use std::pin::pin;
    ///
    /// testing::block_on(async {
    ///     let scope = CancelScope::new();
    ///     let mut run = pin!(scope.run(std::future::pending::<()>()));
    ///     assert!(futures::poll!(run.as_mut()).is_pending());
    ///     assert!(!run.cancel_called());
    ///     scope.cancel();
    ///     assert!(run.as_mut().await.is_err());
    ///     assert!(run.cancel_called());
    ///     let _trigger = run.trigger();
    /// });
    /// ```
    pub fn cancel_called(&self) -> bool {
        self.scope.request.is_some()
    }

    /// The trigger.
    pub fn trigger(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.project().trigger
    }
}

struct ScopeState {
    node: Node,
    /// The requests from outside when the scope was entered (rule 6).
    entry: u32,
    /// The scope's own request; while it passes one on, that.
    request: Option<CancelledError>,
    stage: Stage,
    /// How often it was tried to deliver the own request.
    tries: u16,
}

/// What has become of a scope's own request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is none, or it has been delivered.
    Waiting,
    /// It waits to be delivered.
    Undelivered,
    /// The inner future was dropped, and the cancellation goes on outwards.
    Passing,
}

/// Where a cancellation goes that has arrived at the boundary.
enum Boundary {
    Ours(CancelledError),
    Pass(CancelledError),
}

impl ScopeState {
    /// Rule 6.
    fn judge(&self, error: CancelledError) -> Boundary {
        match &self.request {
            Some(own) if outside_requests() <= self.entry => Boundary::Ours(own.clone()),
            _ => Boundary::Pass(error),
        }
    }

    /// The own request, if it is to be delivered in this poll: not together with one from outside (rule 7).
    fn own_delivery(&mut self, from_outside: bool) -> Option<Delivery> {
        if self.stage != Stage::Undelivered || from_outside {
            return None;
        }
        self.stage = Stage::Waiting;
        self.request.clone().map(|request| Delivery::of_try(request, self.tries))
    }

    /// A request from outside was delivered in a poll in which the own one waited. Somebody in here has `taken` it: then both are delivered. If not, it was
    /// for others, in another branch.
    fn deliver_after(&mut self, taken: bool, cx: &Context<'_>) {
        if self.stage != Stage::Undelivered {
            return;
        }
        match taken {
            true => self.stage = Stage::Waiting,
            false => cx.waker().wake_by_ref(),
        }
    }

    /// Nobody has taken the own request, but some who were woken for it have not had their turn yet.
    fn try_again(&mut self, cx: &Context<'_>) {
        self.tries += 1;
        self.stage = Stage::Undelivered;
        cx.waker().wake_by_ref();
    }

    fn requests(&self) -> u32 {
        u32::from(self.request.is_some())
    }

    fn made(&mut self, request: CancelledError) {
        self.request = Some(request);
        self.stage = Stage::Undelivered;
    }

    /// The cancellation that goes on outwards.
    fn passing(&self) -> Option<&CancelledError> {
        if self.stage == Stage::Passing { self.request.as_ref() } else { None }
    }

    fn pass(&mut self, error: CancelledError) {
        self.request = Some(error);
        self.stage = Stage::Passing;
    }
}

impl<F: Future, T: Trigger> Future for CancelWhen<F, T> {
    type Output = Result<F::Output, CancelledError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let scope = this.scope;
        if let Some(error) = scope.passing() {
            raise(error.clone());
            return Poll::Pending;
        }
        let first = !scope.node.started;
        if first {
            scope.entry = outside_requests();
            this.trigger.as_mut().enter();
        } else if scope.request.is_none()
            && let Poll::Ready(request) = this.trigger.as_mut().poll_request(cx)
        {
            scope.made(request);
        }
        let incoming = scope.node.mark.incoming();
        let from_outside = incoming.get().filter(|delivery| !delivery.is_last_call());
        let taken_before = from_outside.map(Delivery::taken);
        let own = if first { None } else { scope.own_delivery(from_outside.is_some()) };
        let arrived = match &own {
            // Rule 3: dropped without being polled.
            Some(own) if !scope.node.has_catcher() => Some(own.take()),
            _ => {
                let requests = scope.requests();
                let deliver = own.as_ref().or(incoming.get());
                let inner = this.inner.as_mut();
                let polled = scope.node.poll(cx, deliver, requests, |cx| poll_some(inner, cx));
                if let Poll::Ready(output) = polled.poll {
                    if scope.request.is_none() || outside_requests() > scope.entry {
                        // Not, or not only, the scope's own.
                        scope.node.deliver_again_outside();
                    }
                    scope.node.leave();
                    this.inner.set(None);
                    return Poll::Ready(Ok(output));
                }
                if let Some(delivery) = from_outside {
                    scope.deliver_after(Some(delivery.taken()) != taken_before, cx);
                }
                let mut untaken = own.as_ref().filter(|own| own.taken() == 0);
                if untaken.is_some_and(|own| own.may_wait(scope.node.below())) {
                    scope.try_again(cx);
                    untaken = None;
                }
                let untaken = untaken.map(Delivery::take).and_then(|error| scope.node.unwind(error, cx));
                match polled.unwound {
                    // A foreign one goes on outwards, and whoever takes it drops us.
                    Some(error) if scope.request.is_none() => {
                        raise(error);
                        None
                    }
                    unwound => unwound.or(untaken),
                }
            }
        };
        if let Some(error) = arrived {
            let boundary = scope.judge(error);
            scope.node.leave();
            this.inner.set(None);
            return match boundary {
                Boundary::Ours(error) => Poll::Ready(Err(error)),
                Boundary::Pass(error) => {
                    scope.pass(error.clone());
                    raise(error);
                    Poll::Pending
                }
            };
        }
        if first && let Poll::Ready(request) = this.trigger.as_mut().poll_request(cx) {
            scope.made(request);
            cx.waker().wake_by_ref();
        }
        scope.node.settle(cx, 0);
        Poll::Pending
    }
}

/// A scope that can be cancelled through a handle, from any task and any thread.
///
/// # Examples
///
/// ```
/// use runtime_core::{CancelScope, sleep, testing};
/// use std::time::Duration;
///
/// testing::block_on(async {
///     let scope = CancelScope::new();
///     let handle = scope.clone();
///     let result = scope
///         .run(async move {
///             handle.cancel();
///             sleep(Duration::MAX).await;
///         })
///         .await;
///     assert!(result.is_err());
///     assert!(scope.cancel_called());
/// });
/// ```
#[derive(Clone, Default)]
pub struct CancelScope(Arc<Mutex<ScopeHandle>>);

#[derive(Default)]
struct ScopeHandle {
    /// The request, once it was made.
    request: Option<CancelledError>,
    /// Those who poll what runs in the scope; who enters it later finds the request itself.
    waiting: Waiters,
}

impl CancelScope {
    /// A scope that nothing runs in yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels what runs in the scope, now or later; false if that was done before.
    pub fn cancel(&self) -> bool {
        self.request(CancelledError::without_message())
    }

    /// As [`cancel`](Self::cancel), with a message for the error.
    pub fn cancel_with(&self, message: impl Into<String>) -> bool {
        self.request(CancelledError::new(message))
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn cancel_called(&self) -> bool {
        self.0.lock().request.is_some()
    }

    /// Runs a future in the scope: its value, or the [`CancelledError`] when the cancellation of the scope has come back to here.
    ///
    /// Any number of futures may run in it, in one task or in several: [`cancel`](Self::cancel) reaches all of them, and those that enter
    /// it later.
    ///
    /// # Cancellation
    ///
    /// As [`cancel_when`]: the future may clean up, and is waited for, after the scope's own request and after one from outside, which passes through. A
    /// plain drop drops the future.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{CancelScope, catch_cancelled, create_task, testing, yield_now};
    /// use std::future::pending;
    ///
    /// testing::block_on(async {
    ///     let scope = CancelScope::new();
    ///     let inside = scope.clone();
    ///     let task = create_task(async move {
    ///         let saved = inside.run(async {
    ///             let cancelled = catch_cancelled(pending::<()>()).await.unwrap_err();
    ///             yield_now().await; // clean-up may await
    ///             cancelled.reraise().await
    ///         });
    ///         saved.await.map(|()| "not reached").unwrap_or("cleaned up")
    ///     });
    ///     yield_now().await;
    ///     assert!(scope.cancel());
    ///     assert_eq!(task.await.unwrap(), "cleaned up");
    /// });
    /// ```
    pub fn run<F: IntoFuture>(&self, future: F) -> CancelWhen<F::IntoFuture, Scoped> {
        cancel_when(future, Scoped { scope: self.clone(), slot: None })
    }

    fn request(&self, error: CancelledError) -> bool {
        let waiting = {
            let mut handle = self.0.lock();
            if handle.request.is_some() {
                return false;
            }
            handle.request = Some(error);
            handle.waiting.take_all()
        };
        for waker in waiting {
            wake_caught(waker);
        }
        true
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.try_lock() {
            Some(handle) => f.debug_struct("CancelScope").field("request", &handle.request).finish(),
            None => f.write_str("CancelScope(<locked>)"),
        }
    }
}

/// The trigger of a [`CancelScope`].
///
/// # Examples
///
/// ```
/// use runtime_core::{CancelScope, CancelWhen, Scoped, testing};
/// use std::future::{Ready, ready};
///
/// testing::block_on(async {
///     let run: CancelWhen<Ready<u32>, Scoped> = CancelScope::new().run(ready(1));
///     assert_eq!(run.await.unwrap(), 1);
/// });
/// ```
#[derive(Debug)]
pub struct Scoped {
    scope: CancelScope,
    /// The place among those who wait for the request.
    slot: Option<usize>,
}

impl Trigger for Scoped {
    fn poll_request(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CancelledError> {
        let fresh = inspect::clone_for(cx.waker(), || inspect::Leaf::Internal);
        let this = &mut *self;
        let mut handle = this.scope.0.lock();
        if let Some(request) = &handle.request {
            return Poll::Ready(request.clone());
        }
        let old = handle.waiting.put(&mut this.slot, fresh, 0);
        drop(handle);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Scoped {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let waker = self.scope.0.lock().waiting.remove(slot);
            drop(waker);
        }
    }
}
