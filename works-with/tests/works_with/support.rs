//! What several of the modules need.

use runtime::{CancelledError, catch_cancelled};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// So many milliseconds.
pub(crate) fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Far more than any test takes: what comes later than this hangs.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Counts something from several tasks.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn up(&self) -> usize {
        self.0.fetch_add(1, SeqCst) + 1
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// Counts when it is dropped.
pub(crate) struct Dropped(pub(crate) Count);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.up();
    }
}

/// Waits for ever; cancelled, it suspends once more, counts, and lets the cancellation go on.
pub(crate) async fn until_cancelled(cleaned_up: Count) {
    if let Err(cancelled) = catch_cancelled(std::future::pending::<()>()).await {
        clean_up(cancelled, cleaned_up).await;
    }
}

async fn clean_up(cancelled: CancelledError, cleaned_up: Count) {
    runtime::yield_now().await;
    cleaned_up.up();
    cancelled.reraise().await
}
