//! `finally`: clean-up with awaits, however the body ends.

use crate::catch_panic::CatchPanic;
use runtime_core::catch_cancelled;
use std::future::IntoFuture;

/// Runs `body`, then `clean_up`, whether `body` has returned, was cancelled, or panicked; then gives its value, or lets the cancellation or the
/// panic go on: asyncio's `try: ... finally: ...`.
///
/// The body is gone when the clean-up begins, but the compiler does not know that: what both need to change goes into a `Cell`, a lock or a channel,
/// or write the few lines of it with [`catch_cancelled`]. An early return with `?` inside of `body` is an ordinary value.
///
/// # Panics
///
/// With the panic of the body, after the clean-up.
///
/// # Cancellation
///
/// A request ends the body, and goes on when the clean-up has ended. A second one interrupts the clean-up, as in asyncio; what must not be interrupted goes
/// into a [`shield`](fn@crate::shield). A plain drop drops both, and runs nothing.
///
/// # Examples
///
/// ```
/// use runtime::{finally, sleep, timeout};
/// use std::cell::Cell;
/// use std::time::Duration;
///
/// runtime::run(async {
///     let closed = Cell::new(false);
///     let close = async {
///         sleep(Duration::from_millis(1)).await;
///         closed.set(true);
///     };
///     let work = finally(sleep(Duration::MAX), close);
///     assert!(timeout(Duration::from_millis(1), work).await.is_err());
///     assert!(closed.get(), "waited for");
/// });
/// ```
pub async fn finally<F, C>(body: F, clean_up: C) -> F::Output
where
    F: IntoFuture,
    C: IntoFuture<Output = ()>,
{
    let ended = CatchPanic::new(catch_cancelled(body)).await;
    clean_up.await;
    match ended {
        Ok(Ok(value)) => value,
        Ok(Err(cancelled)) => cancelled.reraise().await,
        Err(panic) => panic.resume(),
    }
}
