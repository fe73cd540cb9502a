//! Waiting for a task on a thread that may block.

use crate::loom::atomic::AtomicBool;
use crate::loom::{self, Mutex, Thread, now};
use crate::to_thread;
use runtime_core::{Handle, OutsidePause, Task, TaskError};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// How long a wait looks at the task before it goes to sleep: about what falling asleep and being woken cost together.
const SPIN: Duration = Duration::from_micros(30);

/// Waits for a [`Task`] from a thread that may block: one of the program's own, or a function given to [`to_thread`](fn@crate::to_thread).
///
/// In asyncio this is `concurrent.futures.Future.result()`.
///
/// In a function given to `to_thread`, a virtual clock that stands still for the function moves while it waits here for a task of the
/// same runtime, as it would if the task were awaited.
///
/// # Cancellation
///
/// After a [`cancel`](runtime_core::TaskRef::cancel), the wait goes on until the task has really ended, clean-up included.
///
/// # Panics
///
/// On a thread that is running a runtime, whose tasks would stand still meanwhile (the one waited for perhaps among them): `await` the
/// task there. That holds for a task that has ended, too, so that it does not depend on luck;
/// [`Task::result`] gives the outcome of such a one anywhere. And when the outcome was taken before.
///
/// # Examples
///
/// ```
/// use runtime_bridge::{BlockingResult, BlockingTimeout};
/// use runtime_core::Promise;
/// use std::time::Duration;
///
/// let (promise, mut task) = Promise::new();
/// assert_eq!(task.blocking_result_timeout(Duration::from_millis(1)).unwrap_err(), BlockingTimeout);
///
/// let thread = std::thread::spawn(move || promise.set_result("later").unwrap());
/// assert_eq!(task.blocking_result().unwrap(), "later");
/// thread.join().unwrap();
/// ```
pub trait BlockingResult {
    /// What the task gives.
    type Output;

    /// Blocks this thread until the task has ended, and gives its outcome.
    fn blocking_result(self) -> Result<Self::Output, TaskError>;

    /// As [`blocking_result`](Self::blocking_result), for at most `timeout` of real time. The task goes on after that, and
    /// can be asked again.
    ///
    /// # Errors
    ///
    /// [`BlockingTimeout`] when the task has not ended by then.
    fn blocking_result_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Result<Self::Output, TaskError>, BlockingTimeout>;
}

impl<T> BlockingResult for Task<T> {
    type Output = T;

    #[track_caller]
    fn blocking_result(mut self) -> Result<T, TaskError> {
        refuse_on_worker();
        wait(&mut self, None).expect("without a deadline it waits for the end")
    }

    #[track_caller]
    fn blocking_result_timeout(&mut self, timeout: Duration) -> Result<Result<T, TaskError>, BlockingTimeout> {
        refuse_on_worker();
        // A moment that the clock cannot name is never.
        wait(self, now().checked_add(timeout)).ok_or(BlockingTimeout)
    }
}

/// The task had not ended when the time was up.
///
/// # Examples
///
/// ```
/// assert_eq!(runtime_bridge::BlockingTimeout.to_string(), "the task did not end in time");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockingTimeout;

impl fmt::Display for BlockingTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task did not end in time")
    }
}

impl std::error::Error for BlockingTimeout {}

#[track_caller]
fn refuse_on_worker() {
    assert!(
        Handle::try_current().is_none(),
        "a blocking wait on a worker thread: it would hold back the tasks of this runtime, perhaps the one waited for. \
         `await` the task instead, or move what blocks into `to_thread`"
    );
}

/// What a waiting thread is woken by.
struct Bell {
    /// The one that waits.
    thread: Thread,
    /// Told apart from other users of the thread's park token.
    rung: AtomicBool,
    /// While the thread sleeps: a virtual clock that stood still for it may move. Taken by whoever rings, in the step that ends the wait,
    /// so that the clock does not move any further before the thread is awake.
    pause: Mutex<Option<OutsidePause>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let pause = {
            let mut pause = self.pause.lock();
            // Release: pairs with the acquire in `sleep`. Under the lock: `pause_clock` sees it, or is seen.
            // A swap, because loom does not know that the one in `sleep` cannot come between a store and those before it.
            self.rung.swap(true, Release);
            pause.take()
        };
        drop(pause);
        self.thread.unpark();
    }
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self { thread: loom::current(), rung: AtomicBool::new(false), pause: Mutex::new(None) })
    }

    /// The clock may move until it rings.
    fn pause_clock(&self, runtime: &Handle) {
        let mut pause = self.pause.lock();
        // Relaxed: under the lock that the other side holds.
        if !self.rung.load(Relaxed) {
            *pause = Some(runtime.pause_outside_work());
        }
    }

    /// The clock stands still again, if it has not rung.
    fn resume_clock(&self) {
        let pause = self.pause.lock().take();
        drop(pause);
    }

    /// Sleeps until it rings; false if the deadline came first.
    fn sleep(&self, deadline: Option<Instant>) -> bool {
        // Acquire: pairs with the release in `wake_by_ref`.
        while !self.rung.swap(false, Acquire) {
            match deadline.map(|deadline| deadline.saturating_duration_since(now())) {
                None => loom::park(),
                Some(Duration::ZERO) => return false,
                Some(left) => loom::park_timeout(left),
            }
        }
        true
    }
}

/// Waits for the end of the task; `None` when the deadline came first.
fn wait<T>(task: &mut Task<T>, deadline: Option<Instant>) -> Option<Result<T, TaskError>> {
    spin(task, deadline);
    let bell = Bell::new();
    let clock = to_thread::clock_held_from(task);
    let waker = Waker::from(Arc::clone(&bell));
    let mut cx = Context::from_waker(&waker);
    loop {
        // A waker that stays with the task after a timeout rings for nobody; the next poll replaces it.
        if let Poll::Ready(outcome) = Pin::new(&mut *task).poll(&mut cx) {
            return Some(outcome);
        }
        if let Some(runtime) = &clock {
            bell.pause_clock(runtime);
        }
        let rung = bell.sleep(deadline);
        if clock.is_some() {
            bell.resume_clock();
        }
        if !rung {
            return None;
        }
    }
}

/// How many threads look at their tasks in this moment.
static SPINNERS: AtomicUsize = AtomicUsize::new(0);

/// Looks at the task for a moment: when it ends by then, neither side pays for a sleep. When as many threads do that already as half of the cores, this one would take
/// its core from a worker.
fn spin<T>(task: &Task<T>, deadline: Option<Instant>) {
    if task.done() || !crate::pool::may_spin() {
        return;
    }
    // Relaxed, here and below: nothing depends on it but the number of spinners.
    if SPINNERS.fetch_add(1, Relaxed) < crate::pool::most_spinners() {
        look_for_a_moment(task, deadline);
    }
    SPINNERS.fetch_sub(1, Relaxed);
}

fn look_for_a_moment<T>(task: &Task<T>, deadline: Option<Instant>) {
    let end = now() + SPIN;
    let end = deadline.map_or(end, |deadline| deadline.min(end));
    while !task.done() && now() < end {
        for _ in 0..8 {
            std::hint::spin_loop();
        }
    }
}
