//! The runtime's clock: the system's monotonic one, or one that a test moves.

use crate::loom::elapsed;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::{Duration, Instant};

/// Nanoseconds since the runtime was made; `u64::MAX` is never reached.
pub(crate) struct Clock {
    epoch: Instant,
    /// The same moment, since the process's anchor.
    epoch_anchored: u64,
    /// The time of a virtual clock.
    virtual_now: Option<AtomicU64>,
}

impl Clock {
    pub(crate) fn new(is_virtual: bool) -> Self {
        // Before the epoch, so that no moment of this clock is before it.
        anchor();
        let epoch = Instant::now();
        Self { epoch, epoch_anchored: since_anchor(epoch), virtual_now: is_virtual.then(|| AtomicU64::new(0)) }
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
        self.after(nanos(after))
    }

    /// The moment so many nanoseconds from now.
    pub(crate) fn after(&self, nanos: u64) -> u64 {
        self.now().saturating_add(nanos)
    }

    /// The beginning of this clock, since the process's anchor.
    pub(crate) fn epoch_anchored(&self) -> u64 {
        self.epoch_anchored
    }

    /// The reverse of [`of_anchored`](Self::of_anchored).
    pub(crate) fn to_anchored(&self, nanos: u64) -> u64 {
        nanos.saturating_add(self.epoch_anchored())
    }

    /// What [`since_anchor`] has made of a moment, on this clock; moments before the runtime was made are its beginning.
    pub(crate) fn of_anchored(&self, nanos: u64) -> u64 {
        match nanos {
            u64::MAX => u64::MAX,
            nanos => nanos.saturating_sub(self.epoch_anchored()),
        }
    }
}

/// A moment that is the same for the whole process, and before the beginning of any runtime.
fn anchor() -> Instant {
    static ANCHOR: OnceLock<Instant> = OnceLock::new();
    *ANCHOR.get_or_init(Instant::now)
}

/// A moment as a number, which no runtime is needed for; `u64::MAX` for what is too far away.
pub(crate) fn since_anchor(moment: Instant) -> u64 {
    nanos(moment.saturating_duration_since(anchor()))
}

/// As nanoseconds; what does not fit is `u64::MAX`. (Without the 128-bit numbers of `Duration::as_nanos`.)
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().checked_mul(1_000_000_000);
    whole.and_then(|whole| whole.checked_add(u64::from(duration.subsec_nanos()))).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_on_two_clocks() {
        let older = Clock::new(false);
        while older.now() == 0 {}
        let younger = Clock::new(false);
        let moment = older.after(5_000_000_000);
        let there = younger.of_anchored(older.to_anchored(moment));
        assert_eq!(there, moment - (younger.epoch_anchored() - older.epoch_anchored()));
        assert_eq!(younger.to_anchored(there), older.to_anchored(moment));
        assert_eq!(older.of_anchored(u64::MAX), u64::MAX);
        // Before the younger one was made.
        assert_eq!(younger.of_anchored(older.to_anchored(0)), 0);
    }
}
