//! Waits until something has happened a number of times.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

/// A counter that wakes one waiter when it gets to zero. Made to be a static, so
/// that what counts it down captures nothing.
pub struct Countdown {
    /// How often it must still happen.
    left: AtomicUsize,
    /// Who waits.
    waiter: AtomicWaker,
}

impl Countdown {
    /// A counter at zero.
    pub const fn new() -> Self {
        Self { left: AtomicUsize::new(0), waiter: AtomicWaker::new() }
    }

    /// Waits for `count` more. Call it only at zero.
    pub fn reset(&self, count: usize) {
        let left = self.left.swap(count, Ordering::Relaxed);
        assert_eq!(left, 0, "a former round has not ended");
    }

    /// It happened once.
    pub fn down(&self) {
        // Release and Acquire: pairs with the load in `wait`, and one `down` with the next.
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waiter.wake();
        }
    }

    /// Ends when it has happened as often as asked.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + '_ {
        poll_fn(|cx| {
            self.waiter.register(cx.waker());
            // Acquire: pairs with the Release in `down`.
            match self.left.load(Ordering::Acquire) {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
    }
}
