//! Putting a worker to sleep until it is needed or until a moment.
//!
//! One word per worker, `EMPTY`, `PARKED` or `NOTIFIED`, over the thread's own park token. The token alone would not do: code of
//! a user that calls [`std::thread::park`] in a poll could take it away. The word is looked at around every sleep.

use crate::loom::atomic::AtomicU32;
use crate::loom::{Mutex, thread};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

const EMPTY: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;

pub(crate) struct Parker {
    word: AtomicU32,
    /// The thread that sleeps here; worker 0's changes from run to run.
    thread: Mutex<Option<thread::Thread>>,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(EMPTY), thread: Mutex::new(None) }
    }

    /// Makes the current thread the one that sleeps here.
    pub(crate) fn adopt_thread(&self) {
        *self.thread.lock() = Some(thread::current());
    }

    /// The thread ends, or leaves.
    pub(crate) fn release_thread(&self) {
        *self.thread.lock() = None;
    }

    /// Sleeps until [`unpark`](Self::unpark), but for at most `timeout`; `None` is without end. Returns at once if `unpark` was called since the
    /// last sleep, and may return early. True if it was `unpark` that ended it.
    ///
    /// Acquire: pairs with the release in `unpark`.
    pub(crate) fn park_timeout(&self, timeout: Option<Duration>) -> bool {
        if self.word.compare_exchange(EMPTY, PARKED, AcqRel, Acquire).is_err() {
            self.word.swap(EMPTY, AcqRel);
            return true;
        }
        match timeout {
            Some(timeout) => thread::park_timeout(timeout),
            None => thread::park(),
        }
        self.word.swap(EMPTY, AcqRel) == NOTIFIED
    }

    /// Whether the next sleep would end at once. Relaxed: it will.
    pub(crate) fn is_notified(&self) -> bool {
        self.word.load(Relaxed) == NOTIFIED
    }

    /// Ends the sleep, or the next one.
    ///
    /// Release: publishes what the caller did before to the sleeper.
    pub(crate) fn unpark(&self) {
        if self.word.swap(NOTIFIED, AcqRel) == PARKED {
            let sleeper = self.thread.lock().clone();
            if let Some(sleeper) = sleeper {
                sleeper.unpark();
            }
        }
    }
}

/// Lets this thread's timed sleeps end when they are due instead of up to 50 µs later, which is Linux's default; the former value
/// comes back when this is dropped. Elsewhere it does nothing.
pub(crate) struct TimerSlack {
    #[cfg(all(target_os = "linux", not(loom)))]
    before: libc::c_int,
}

#[cfg(all(target_os = "linux", not(loom)))]
impl TimerSlack {
    pub(crate) fn finest() -> Self {
        // SAFETY: these two requests take and give plain numbers and concern the calling thread only.
        let before = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
        // SAFETY: as above.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
        Self { before }
    }
}

#[cfg(all(target_os = "linux", not(loom)))]
impl Drop for TimerSlack {
    fn drop(&mut self) {
        if self.before > 0 {
            // SAFETY: as above.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, self.before, 0, 0, 0) };
        }
    }
}

#[cfg(any(not(target_os = "linux"), loom))]
impl TimerSlack {
    pub(crate) fn finest() -> Self {
        Self {}
    }
}
