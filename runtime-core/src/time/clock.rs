//! The runtime's clock: the system's monotonic one, or one that a test moves.

use crate::loom::elapsed;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::{Duration, Instant};

/// Nanoseconds since the runtime was made; `u64::MAX` is never reached.
pub(crate) struct Clock {
    epoch: Instant,
    /// The time of a virtual clock.
    virtual_now: Option<AtomicU64>,
}

impl Clock {
    pub(crate) fn new(is_virtual: bool) -> Self {
        Self { epoch: Instant::now(), virtual_now: is_virtual.then(|| AtomicU64::new(0)) }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_now.is_some()
    }

    pub(crate) fn now(&self) -> u64 {
        match &self.virtual_now {
            // Acquire: pairs with the release of `advance_to`.
            Some(now) => now.load(Acquire),
            None => self.real_now(),
        }
    }

    /// The time that really passes, also where the clock is virtual.
    pub(crate) fn real_now(&self) -> u64 {
        nanos(elapsed(self.epoch))
    }

    /// Moves a virtual clock forward; a real one moves by itself.
    pub(crate) fn advance_to(&self, when: u64) {
        if let Some(now) = &self.virtual_now {
            now.fetch_max(when, AcqRel);
        }
    }

    /// The moment that `nanos` stands for; far in the future where `Instant` cannot tell.
    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        let mut after = Duration::from_nanos(nanos);
        loop {
            if let Some(instant) = self.epoch.checked_add(after) {
                return instant;
            }
            after /= 2;
        }
    }

    /// The reverse of [`instant`](Self::instant); moments before the runtime was made are its beginning.
    pub(crate) fn nanos_of(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.epoch))
    }

    /// The moment `after` from now.
    pub(crate) fn deadline(&self, after: Duration) -> u64 {
        self.now().saturating_add(nanos(after))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
