//! Catchers: `catch_cancelled` and `intercept`.

use super::node::{Catcher, Delivery, Node, path};
use super::raise;
use crate::task::error::CancelledError;
use pin_project_lite::pin_project;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs a future and catches a cancellation that reaches it: the `except CancelledError` of asyncio.
///
/// When a request reaches this place, the inner future is dropped there and then, and the error is yielded. The code
/// after it may await as long as it likes, may swallow the error by dropping it, or send it on with
/// [`reraise`](CancelledError::reraise). A request is delivered once.
///
/// # Cancellation
///
/// A request is what this catches; before the first poll nothing is caught. A plain drop drops the inner future: code
/// after the `await` does not run.
///
/// # Examples
///
/// ```
/// use runtime_core::{catch_cancelled, create_task, sleep, testing, yield_now};
/// use std::time::Duration;
///
/// testing::block_on(async {
///     let mut task = create_task(async {
///         match catch_cancelled(sleep(Duration::MAX)).await {
///             Ok(()) => "slept",
///             Err(error) => {
///                 yield_now().await; // clean-up may await
///                 assert_eq!(error.message(), Some("stop"));
///                 "cleaned up"
///             }
///         }
///     });
///     yield_now().await;
///     task.cancel_with("stop");
///     assert_eq!((&mut task).await.unwrap(), "cleaned up");
///     assert!(!task.cancelled());
/// });
/// ```
pub fn catch_cancelled<F: IntoFuture>(future: F) -> CatchCancelled<F::IntoFuture> {
    CatchCancelled { inner: Some(future.into_future()), waits: false, node: Node::default() }
}

pin_project! {
    /// The future of [`catch_cancelled`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct CatchCancelled<F> {
        #[pin]
        inner: Option<F>,
        // The code behind it waits for others.
        waits: bool,
        node: Node,
    }
}

impl<F> CatchCancelled<F> {
    /// Also catches what would otherwise just drop it: a cancellation that unwinds past this place from another branch of a `join!`. For code that
    /// waits for others when it was cancelled, with an [`intercept`] that [holds](Intercept::holding), as a task group
    /// does for its children; anything else behind it is dropped all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::join;
    /// use runtime_core::{CancelledError, catch_cancelled, create_task, testing, yield_now};
    /// use std::future::pending;
    ///
    /// testing::block_on(async {
    ///     let cancelled = create_task(async {
    ///         let told = async { catch_cancelled(pending::<()>()).before_unwinding().await.is_err() };
    ///         let unwinds = async {
    ///             yield_now().await;
    ///             CancelledError::default().reraise().await
    ///         };
    ///         join!(async { assert!(told.await) }, unwinds)
    ///     });
    ///     assert!(cancelled.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn before_unwinding(mut self) -> Self {
        self.waits = true;
        self
    }
}

impl<F: Future> Future for CatchCancelled<F> {
    type Output = Result<F::Output, CancelledError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (catcher, bits) = match *this.waits {
            true => (Catcher::Waits, path::CATCHER | path::UNTOLD),
            false => (Catcher::Handles, path::CATCHER),
        };
        let caught = match poll_catcher(this.node, cx, catcher, |cx| poll_some(this.inner.as_mut(), cx)) {
            Caught::Ready(output) => {
                this.node.deliver_again_outside();
                this.node.leave();
                this.inner.set(None);
                return Poll::Ready(Ok(output));
            }
            Caught::Delivered(error) => match this.node.unwind(error, cx) {
                Some(error) => error,
                None => {
                    this.node.settle(cx, bits);
                    return Poll::Pending;
                }
            },
            Caught::Unwound(error) => {
                // What unwound was another one: that of an awaited task.
                this.node.deliver_again_outside();
                error
            }
            Caught::Pending => {
                this.node.settle(cx, bits);
                return Poll::Pending;
            }
        };
        this.node.leave();
        this.inner.set(None);
        Poll::Ready(Err(caught))
    }
}

/// Polls the future in it.
///
/// # Panics
///
/// When it has gone: polled after completion.
pub(super) fn poll_some<F: Future>(inner: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    inner.as_pin_mut().expect("polled after completion").poll(cx)
}

/// What came of one poll of a catcher.
enum Caught<T> {
    Ready(T),
    /// A request is taken here (rule 3).
    Delivered(CancelledError),
    /// A raised cancellation has arrived (rule 5).
    Unwound(CancelledError),
    Pending,
}

/// What all catchers with a future inside do: leave the request to a catcher below, or take it.
fn poll_catcher<T>(
    node: &mut Node,
    cx: &mut Context<'_>,
    catcher: Catcher,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Caught<T> {
    let incoming = node.mark.incoming();
    let inside = incoming.get().filter(|delivery| delivery.is_for_those_in(catcher));
    let delivery = inside.filter(|delivery| delivery.is_for(catcher));
    if let Some(delivery) = delivery
        && !node.has_catcher()
    {
        return Caught::Delivered(delivery.take_by(catcher));
    }
    let taken_before = delivery.map(Delivery::taken);
    let polled = node.poll(cx, inside, 0, poll);
    if let Poll::Ready(output) = polled.poll {
        return Caught::Ready(output);
    }
    if let Some(error) = polled.unwound {
        return Caught::Unwound(error);
    }
    // The catchers that were below in the last poll may be gone, or were not reached: then it is this one's turn.
    match delivery {
        Some(delivery) if Some(delivery.taken()) == taken_before && !delivery.is_left_to(node.below()) => {
            Caught::Delivered(delivery.take_by(catcher))
        }
        _ => Caught::Pending,
    }
}

/// Runs a future that is told of cancellation instead of being dropped by it.
///
/// When a request reaches this place, `handler` is called with the inner future and the request, and the inner future goes on: it should then come to its
/// end soon, because the handler cancelled what it waits for. The result says whether there was a request; to let it
/// unwind further is up to the caller ([`Intercepted::reraise`]). While the inner future goes on after a
/// request, a cancellation that unwinds past this place waits for it.
///
/// This is what gather and task groups are made of: they pass a request to their children and wait for them.
///
/// # Cancellation
///
/// Each request calls the handler once more. A plain drop drops the inner future and calls nothing.
///
/// # Examples
///
/// ```
/// use runtime_core::{create_task, intercept, sleep, testing, yield_now};
/// use std::time::Duration;
///
/// testing::block_on(async {
///     let outer = create_task(async {
///         let child = create_task(sleep(Duration::MAX));
///         let all_ended = intercept(child.wait(), |_, request| {
///             child.cancel_by(request);
///         })
///         .await;
///         assert!(child.cancelled(), "told, and waited for");
///         all_ended.reraise().await
///     });
///     yield_now().await;
///     outer.cancel();
///     assert!(outer.await.unwrap_err().is_cancelled());
/// });
/// ```
pub fn intercept<F: IntoFuture, H>(future: F, handler: H) -> Intercept<F::IntoFuture, H>
where
    H: FnMut(Pin<&mut F::IntoFuture>, &CancelledError),
{
    Intercept { inner: Some(future.into_future()), handler, cancelled: None, holds: false, node: Node::default() }
}

pin_project! {
    /// The future of [`intercept`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Intercept<F, H> {
        #[pin]
        inner: Option<F>,
        handler: H,
        // The first request that arrived.
        cancelled: Option<CancelledError>,
        // What unwinds waits for the inner future.
        holds: bool,
        node: Node,
    }
}

impl<F, H> Intercept<F, H> {
    /// The inner future, to change it before the first poll; `None` after the end.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{intercept, testing};
    /// use std::future::ready;
    ///
    /// testing::block_on(async {
    ///     let mut told = intercept(ready(1), |_, _| {});
    ///     if let Some(inner) = told.get_mut() {
    ///         *inner = ready(2);
    ///     }
    ///     assert_eq!(told.await.output, 2);
    /// });
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut F> {
        self.inner.as_mut()
    }

    /// With `true`: a cancellation that unwinds past this place waits for the inner future from its first poll on, not only after a request that
    /// arrived here. For a wait that begins when those that are waited for have been told already.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{intercept, testing, yield_now};
    ///
    /// testing::block_on(async {
    ///     let ended = intercept(yield_now(), |_, _| {}).holding(true).await;
    ///     assert!(ended.cancelled.is_none());
    /// });
    /// ```
    pub fn holding(mut self, holds: bool) -> Self {
        self.holds = holds;
        self
    }
}

/// What [`intercept`] yields.
///
/// # Examples
///
/// ```
/// use runtime_core::{Intercepted, intercept, testing};
///
/// testing::block_on(async {
///     let told: Intercepted<u32> = intercept(async { 1 }, |_, _| {}).await;
///     assert!(told.cancelled.is_none());
///     assert_eq!(told.reraise().await, 1);
/// });
/// ```
#[derive(Debug, Clone)]
pub struct Intercepted<T> {
    /// What the inner future yielded.
    pub output: T,
    /// The first request that arrived meanwhile.
    pub cancelled: Option<CancelledError>,
}

impl<T> Intercepted<T> {
    /// Lets the request unwind further if there was one, else gives the output.
    ///
    /// # Cancellation
    ///
    /// With a request it is one itself, as [`CancelledError::reraise`]; without, it does not suspend.
    pub async fn reraise(self) -> T {
        match self.cancelled {
            Some(error) => error.reraise().await,
            None => self.output,
        }
    }
}

impl<F: Future, H: FnMut(Pin<&mut F>, &CancelledError)> Future for Intercept<F, H> {
    type Output = Intercepted<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let output = 'ready: {
            let catcher = if this.cancelled.is_some() { Catcher::Told } else { Catcher::Waits };
            let own = match poll_catcher(this.node, cx, catcher, |cx| poll_some(this.inner.as_mut(), cx)) {
                Caught::Ready(output) => break 'ready output,
                Caught::Delivered(error) => {
                    let inner = this.inner.as_mut().as_pin_mut().expect("polled after completion");
                    (this.handler)(inner, &error);
                    this.cancelled.get_or_insert(error);
                    *this.holds = true;
                    // The handler may have made the inner future ready, and it must register its waker in any case.
                    let polled = this.node.poll(cx, None, 0, |cx| poll_some(this.inner.as_mut(), cx));
                    match (polled.poll, polled.unwound) {
                        (Poll::Ready(output), _) => break 'ready output,
                        (Poll::Pending, Some(error)) => unwinding_past(error),
                        (Poll::Pending, None) => path::CATCHER | path::HOLDING,
                    }
                }
                Caught::Unwound(error) => unwinding_past(error),
                Caught::Pending if *this.holds => path::CATCHER | path::HOLDING,
                Caught::Pending => path::CATCHER | path::UNTOLD,
            };
            this.node.settle(cx, own);
            return Poll::Pending;
        };
        this.node.deliver_again_outside();
        this.node.leave();
        this.inner.set(None);
        Poll::Ready(Intercepted { output, cancelled: this.cancelled.take() })
    }
}

/// Lets a cancellation go on outwards. What is inside does not come to an end any more, so this is no catcher now.
fn unwinding_past(error: CancelledError) -> u8 {
    raise(error);
    0
}
