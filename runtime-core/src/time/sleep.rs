//! `sleep`, `sleep_until`, `yield_now`.

use super::{Renewed, TimerShard, clock};
use crate::current;
use crate::inspect;
use crate::scheduler::worker::{self, Worker};
use runtime_timers::Key;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Waits for at least `duration`, counted from the first poll (as everything that asyncio's `sleep` does begins with the `await`).
///
/// A duration of zero lets everything that is ready on this worker go first, once. `Duration::MAX` waits until cancelled. The
/// clock is monotonic, or the runtime's virtual one.
///
/// A sleep that was begun in one runtime and is awaited in another goes on there when the first one is closed.
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
    Sleep::of(AFTER, clock::nanos(duration))
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
    Sleep::of(AT, clock::since_anchor(deadline))
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// Two words, for there are many: what it is and a number. (With the 40 bytes of an entry in the wheel, a pending sleep takes 56.)
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    /// One of the constants below, or the address of the shard in which the timer is armed.
    what: *const TimerShard,
    /// What the constant says, or the timer's key.
    value: u64,
}

/// Addresses that no shard has, because of its alignment.
const fn tag(number: usize) -> *const TimerShard {
    std::ptr::without_provenance(number)
}

/// Not begun: nanoseconds from the first poll on.
const AFTER: *const TimerShard = tag(1);
/// Not begun: nanoseconds since the process's anchor (`clock::since_anchor`).
const AT: *const TimerShard = tag(2);
/// Begun, not armed: as `AT`, or 0.
const STARTED: *const TimerShard = tag(3);
/// Due: ready at the next poll.
const YIELDED: *const TimerShard = tag(4);
/// Later than any timer can be.
const NEVER: *const TimerShard = tag(5);
const OVER: *const TimerShard = tag(6);

// SAFETY: the shard is shared by design, behind its lock; the rest are numbers.
unsafe impl Send for Sleep {}
// SAFETY: as above; besides, nothing is done through `&Sleep` but a look at the tag.
unsafe impl Sync for Sleep {}
impl std::panic::UnwindSafe for Sleep {}
impl std::panic::RefUnwindSafe for Sleep {}

impl Sleep {
    fn of(what: *const TimerShard, value: u64) -> Self {
        Self { what, value }
    }

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
        if self.what == AFTER {
            let deadline = match self.value {
                0 => 0,
                nanos => worker::with_current_or_panic("sleep", |worker| {
                    let clock = &worker.shared().clock;
                    clock.to_anchored(clock.after(nanos))
                }),
            };
            *self = Self::of(STARTED, deadline);
        }
    }

    /// The shard in which it is armed, and the key.
    #[inline]
    fn armed(&self) -> Option<(&'static TimerShard, Key)> {
        if self.what.addr() <= OVER.addr() {
            return None;
        }
        // SAFETY: none of the tags, so put in by `begin`; shards are never freed.
        let shard = unsafe { &*self.what };
        Some((shard, Key::from_bits(self.value)?))
    }

    fn begin(&mut self, worker: &Worker, cx: &Context<'_>) {
        let clock = &worker.shared().clock;
        let deadline = match self.what {
            _ if self.value == 0 => 0,
            AFTER => clock.after(self.value),
            _ => clock.of_anchored(self.value),
        };
        // One that counts from now, or that was started a moment ago, is not due yet; should it become so meanwhile, the wheel fires it at once.
        let new = if deadline == u64::MAX {
            inspect::saw(cx.waker(), || inspect::Leaf::Timer(None));
            Self::of(NEVER, 0)
        } else if deadline == 0 || self.what == AT && deadline <= clock.now() {
            cx.waker().wake_by_ref();
            Self::of(YIELDED, 0)
        } else {
            let waker = inspect::clone_for(cx.waker(), || inspect::Leaf::Timer(Some(deadline)));
            let (shard, key) = worker.arm(deadline, waker);
            Self::of(shard, key.to_bits())
        };
        *self = new;
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.what {
            AFTER | AT | STARTED => {
                worker::with_current_or_panic("sleep", |worker| self.begin(worker, cx));
                return Poll::Pending;
            }
            NEVER => {
                inspect::saw(cx.waker(), || inspect::Leaf::Timer(None));
                return Poll::Pending;
            }
            _ => {}
        }
        if let Some((shard, key)) = self.armed() {
            match shard.renew(key, cx.waker()) {
                Renewed::Fired => {}
                Renewed::Armed(_old) => return Poll::Pending,
                Renewed::Closed(deadline) => {
                    drop(shard.cancel(key));
                    *self = Self::of(AT, deadline);
                    return self.poll(cx);
                }
            }
        }
        self.what = OVER;
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        if let Some((shard, key)) = self.armed() {
            drop(shard.cancel(key));
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.what {
            AFTER | AT | STARTED => "Sleep(not begun)",
            NEVER => "Sleep(for ever)",
            YIELDED | OVER => "Sleep(over)",
            _ => "Sleep(armed)",
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
