//! Cancel scopes and catchers: cancellation as an exception that is delivered by dropping.
//!
//! # Words
//!
//! * A **request** is one call of `cancel`. It is aimed at a *scope* and *counted* there.
//! * A **scope** is a region of one task's polls. The task is the root scope; [`cancel_when`] (and with it timeouts,
//!   task groups and races) makes inner ones.
//! * A **catcher** can do something about a cancellation before it unwinds further: [`catch_cancelled`] ends its inner
//!   future and yields the error; [`intercept`] is told and goes on; an awaited [`Task`](crate::Task) passes the
//!   request to that task and waits for it.
//! * A cancellation is **delivered** when a catcher takes it, or when a scope without a willing catcher drops its future.
//! * It **unwinds** (is *raised*) when a catcher has let it go on: `reraise`, or an awaited task that ended cancelled.
//! * A catcher **holds** while it waits for what it passed the request to.
//!
//! # Rules
//!
//! 1. A request is recorded and the scope's waker is woken; delivery happens at the next poll of that scope, before any
//!    more code inside of it runs. A scope that was never polled is not cancelled before its first poll has returned
//!    pending, but for a task, which is dropped unpolled.
//! 2. A catcher is **on the path** if it returned pending in the last poll of the scope around it, or if it waits on a waker
//!    other than that of the scope around it (`FuturesUnordered` gives such wakers out). A request meets the innermost catchers on
//!    the path: one in a straight line; one per branch under `join!`. Each of them gets it once. What was polled through a `&mut`
//!    earlier, and then left alone for a poll or more, is not on the path when somebody comes back to it. (Left and come back to within
//!    two polls in a row, it cannot be told from a branch of a `join!`.)
//! 3. Without a catcher on the path the scope drops its future without polling it. With catchers it polls: first
//!    it wakes those that wait on wakers of their own, then it polls its future in *delivery* mode, in which a catcher without
//!    another one below it takes the request. If nobody has taken it when that poll returns, the future is dropped.
//! 4. A catcher that is polled for the first time in a delivering poll does not take the request: it was not on the path when
//!    the request was made. (The handler of one `catch_cancelled` may so enter the next.)
//! 5. A raised cancellation goes to the nearest enclosing catcher or scope on the poll stack. `catch_cancelled` takes it.
//!    [`intercept`] and scopes that did not ask for it let it pass; the task takes what is left.
//! 6. A scope takes what arrives at its boundary only if it made a request itself and no more requests come from outside of it than
//!    when it was entered; else it lets it pass. (The comparison that asyncio makes with `cancelling()`.)
//! 7. A scope whose own request comes together with one from outside delivers only the latter; if it is taken in there, both are then delivered.
//! 8. Unwinding drops a whole region, so it waits while a catcher in that region *holds*. Before, there is a **last call**: those in the region
//!    who would hold, but have not been told (an await that was first polled by the delivering poll, a group whose body is in a handler), are told now. It does
//!    not wait for handlers: code after a `catch_cancelled` in another branch of a `join!` is dropped with its branch. Tasks in a group, unlike
//!    branches of a `join!`, are waited for. A holder with a waker of its own that the code around has left alone (in a `FuturesUnordered` that is
//!    not looked at any more) holds nothing up: one at a time is woken, to see whether it is still polled.
//! 9. A cancellation that is made pending again (`CancelledError::redeliver`) is not for those who hold after a request: in other branches, they have had it.
//!
//! # How
//!
//! Dynamic scoping over the poll tree: while a scope or catcher polls its inner future, a [`Frame`] on the stack is the thread's
//! current frame; the frames are linked to the root. What has to survive between polls is a [`Node`](node::Node) in the future of the scope itself:
//! whether a catcher was on the path (two bits), and, only where a combinator gives out wakers of its own, a
//! [`WakeList`]. Nothing else is shared: a future with scopes in it may be moved to another task, dropped on any thread, or
//! polled outside of any task. A task without scopes pays for one frame on the stack.
//!
//! # Locks
//!
//! The lock of a `WakeList` is a leaf: nothing is called while it is held, wakers are taken out first.

mod catch;
mod node;
mod wakes;
mod when;

pub use catch::{CatchCancelled, Intercept, Intercepted, catch_cancelled, intercept};
#[cfg(all(test, loom))]
pub(crate) use node::Delivery;
pub(crate) use node::with_frame;
pub(crate) use node::{Frame, Mark, RootPoll, Whom, path, poll_root, scope_requests, withdraw};
pub(crate) use wakes::WakeList;
pub use when::{CancelScope, CancelWhen, Scoped, Trigger, cancel_when};

use crate::task::error::CancelledError;
use node::Catcher;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

impl CancelledError {
    /// Lets the cancellation go on to the next catcher or scope further out; never returns.
    ///
    /// Also usable with an error that did not come from a catcher here: it is then as if the code were cancelled at this
    /// place, and without a catcher around it the task ends cancelled.
    ///
    /// # Panics
    ///
    /// When it is awaited outside of any task: there is nothing that could be unwound.
    ///
    /// # Cancellation
    ///
    /// It is one: the code that awaits this is dropped here, as by a request.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{CancelledError, catch_cancelled, testing};
    ///
    /// testing::block_on(async {
    ///     let caught = catch_cancelled(async {
    ///         CancelledError::new("enough").reraise().await;
    ///     })
    ///     .await;
    ///     assert_eq!(caught.unwrap_err().message(), Some("enough"));
    /// });
    /// ```
    pub async fn reraise(self) -> ! {
        Raise(self).await;
        unreachable!("a raised cancellation does not come back")
    }

    /// [`reraise`](Self::reraise) for hand-written futures: call it at every poll from then on, and return pending.
    ///
    /// # Panics
    ///
    /// As [`reraise`](Self::reraise).
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{CancelledError, create_task, testing};
    /// use std::future::poll_fn;
    ///
    /// testing::block_on(async {
    ///     let error = CancelledError::new("enough");
    ///     let task = create_task(poll_fn::<(), _>(move |_cx| error.poll_reraise().map(|never| match never {})));
    ///     assert_eq!(task.await.unwrap_err().to_string(), "cancelled: enough");
    /// });
    /// ```
    #[track_caller]
    pub fn poll_reraise(&self) -> Poll<Infallible> {
        raise(self.clone());
        Poll::Pending
    }

    /// Makes the cancellation pending again: it is delivered at the next suspension of the code that goes on from here.
    ///
    /// For combinators that caught a cancellation but have to return something more urgent first, as a task group does
    /// with the failures of its children. No request is counted. Outside of any task it does nothing. A task that returns
    /// without another suspension ends with its value, unless a new request has come: this one has been delivered before.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{CancelledError, create_task, testing, yield_now};
    ///
    /// testing::block_on(async {
    ///     let task = create_task(async {
    ///         CancelledError::new("later").redeliver();
    ///         // Goes on up to the next suspension.
    ///         yield_now().await;
    ///     });
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn redeliver(self) {
        node::with_frame(|frame| {
            if let Some(frame) = frame {
                frame.redeliver(self);
            }
        });
    }
}

/// Raises at every poll, never ready.
struct Raise(CancelledError);

impl Future for Raise {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        raise(self.0.clone());
        Poll::Pending
    }
}

/// Starts to unwind from the current frame.
///
/// # Panics
///
/// When there is no frame.
#[track_caller]
pub(crate) fn raise(error: CancelledError) {
    node::with_frame(|frame| match frame {
        Some(frame) => frame.raise(error),
        None => panic!("a cancellation was raised outside of any task: nothing here could catch it"),
    });
}

/// The request that is being delivered to a catcher without a future of its own, which takes it with this call, unless it was `told` before and has had
/// it; and the number of the task, if it is a request of the task itself and not of a scope in it.
pub(crate) fn take_delivery(mark: &Mark, told: bool) -> Option<(CancelledError, Option<u64>)> {
    let catcher = if told { Catcher::Told } else { Catcher::Waits };
    let incoming = mark.incoming();
    let delivery = incoming.get().filter(|delivery| delivery.is_for(catcher));
    delivery.map(|delivery| (delivery.take_by(catcher), delivery.task()))
}
