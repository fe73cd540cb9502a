//! What has happened so far.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Counters. They order nothing, so all of them are relaxed.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Requests that were answered.
    pub(crate) answered: Counter,
    /// Requests for `/work` that have begun.
    pub(crate) begun: Counter,
    /// Requests whose client has gone, or that took too long when the service stopped.
    pub(crate) cancelled: Counter,
    /// Handlers that have cleaned up after a cancellation.
    pub(crate) cleaned_up: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.load(Relaxed).fmt(f)
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "answered {}\nbegun {}\ncancelled {}\ncleaned up {}",
            self.answered, self.begun, self.cancelled, self.cleaned_up
        )
    }
}
