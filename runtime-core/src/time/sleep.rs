//! `sleep`, `sleep_until`, `yield_now`.

use super::{Renewed, TimerShard};
use crate::current;
use crate::inspect;
use crate::scheduler::worker::{self, Worker};
use runtime_timers::Key;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Waits for at least `duration`, counted from the first poll (as everything that asyncio's `sleep` does begins with the `await`).
///
/// A duration of zero lets everything that is ready on this worker go first, once. `Duration::MAX` waits until cancelled. The
/// clock is monotonic, or the runtime's virtual one.
///
/// # Panics
///
/// When polled outside of a runtime.
///
/// # Cancellation
///
/// A request ends the wait, a drop too; both disarm the timer at once.
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, sleep, testing};
/// use std::time::Duration;
///
/// testing::block_on(async {
///     let start = Handle::current().time();
///     sleep(Duration::from_millis(5)).await;
///     assert!(Handle::current().time() - start >= Duration::from_millis(5));
/// });
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { state: State::After(duration) }
}

/// Waits until `deadline`; a moment that has passed lets everything that is ready on this worker go first, once.
///
/// # Panics
///
/// When polled outside of a runtime.
///
/// # Cancellation
///
/// As for [`sleep`].
///
/// # Examples
///
/// ```
/// use runtime_core::{Handle, sleep_until, testing};
/// use std::time::Duration;
///
/// testing::block_on(async {
///     let deadline = Handle::current().time() + Duration::from_millis(2);
///     sleep_until(deadline).await;
///     assert!(Handle::current().time() >= deadline);
/// });
/// ```
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { state: State::At(deadline) }
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    state: State,
}

enum State {
    After(Duration),
    At(Instant),
    /// Nanoseconds of the runtime's clock.
    Started(u64),
    Armed {
        shard: Arc<TimerShard>,
        key: Key,
    },
    /// Due: ready at the next poll.
    Yielded,
    /// Later than any timer can be.
    Never,
    Over,
}

impl Sleep {
    /// Counts the duration from now on instead of from the first poll.
    ///
    /// # Panics
    ///
    /// When called outside of a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Handle, sleep, testing, yield_now};
    /// use std::time::Duration;
    ///
    /// testing::block_on(async {
    ///     let start = Handle::current().time();
    ///     let mut nap = sleep(Duration::from_millis(2));
    ///     nap.start(); // from here, and not from the await
    ///     yield_now().await;
    ///     nap.await;
    ///     assert!(Handle::current().time() - start >= Duration::from_millis(2));
    /// });
    /// ```
    pub fn start(&mut self) {
        if let State::After(duration) = self.state {
            let deadline = worker::with_current_or_panic("sleep", |worker| worker.shared().clock.deadline(duration));
            self.state = State::Started(if duration.is_zero() { 0 } else { deadline });
        }
    }

    fn begin(&mut self, worker: &Worker, cx: &Context<'_>) {
        let clock = &worker.shared().clock;
        let started = matches!(self.state, State::Started(_));
        let deadline = match self.state {
            State::After(duration) if duration.is_zero() => 0,
            State::After(duration) => clock.deadline(duration),
            State::Started(deadline) => deadline,
            State::At(instant) => clock.nanos_of(instant),
            _ => unreachable!("called before anything else"),
        };
        // One that was started has read the clock a moment ago; if it has become due since, the wheel fires it at once.
        self.state = if deadline == u64::MAX {
            inspect::saw(cx.waker(), || inspect::Leaf::Timer(None));
            State::Never
        } else if deadline == 0 || !started && deadline <= clock.now() {
            cx.waker().wake_by_ref();
            State::Yielded
        } else {
            let (shard, key) =
                worker.arm(deadline, inspect::clone_for(cx.waker(), || inspect::Leaf::Timer(Some(deadline))));
            State::Armed { shard, key }
        };
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &self.state {
            State::After(_) | State::At(_) | State::Started(_) => {
                worker::with_current_or_panic("sleep", |worker| self.begin(worker, cx));
                return Poll::Pending;
            }
            State::Never => {
                inspect::saw(cx.waker(), || inspect::Leaf::Timer(None));
                return Poll::Pending;
            }
            State::Armed { shard, key } => {
                if let Renewed::Armed(_old) = shard.renew(*key, cx.waker()) {
                    return Poll::Pending;
                }
            }
            State::Yielded | State::Over => {}
        }
        self.state = State::Over;
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let State::Armed { shard, key } = &self.state {
            drop(shard.cancel(*key));
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::After(_) | State::At(_) | State::Started(_) => "Sleep(not begun)",
            State::Armed { .. } => "Sleep(armed)",
            State::Never => "Sleep(for ever)",
            State::Yielded | State::Over => "Sleep(over)",
        })
    }
}

/// Lets everything that is ready on this worker go first, once.
///
/// No promise is made on what other workers do meanwhile.
///
/// # Cancellation
///
/// A request ends it, as at every await.
///
/// # Examples
///
/// ```
/// use runtime_core::{create_task, testing, yield_now};
///
/// testing::block_on(async {
///     let task = create_task(async {});
///     yield_now().await;
///     assert!(task.done());
/// });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        if !current::yield_current(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
