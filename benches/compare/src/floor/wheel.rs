//! Floor for timers: one level of slots over a slab, owned by one thread.
//!
//! Arming reads the clock and links an entry, dropping unlinks it. It never
//! fires anything: floors that fire use a heap instead.

use std::task::Waker;
use std::time::{Duration, Instant};

/// Slots of the wheel, a power of two.
const SLOTS: usize = 256;
/// No entry.
const NONE: u32 = u32::MAX;

/// The wheel.
pub struct Wheel {
    /// When tick zero was.
    start: Instant,
    /// First entry of each slot.
    heads: [u32; SLOTS],
    /// The entries, linked per slot.
    entries: Vec<Entry>,
    /// First of the unused entries, linked by `next`.
    free: u32,
}

/// A timer.
struct Entry {
    /// Nanoseconds after the start.
    deadline: u64,
    /// Whom to wake.
    waker: Option<Waker>,
    /// Neighbour in the slot.
    next: u32,
    /// Neighbour in the slot.
    prev: u32,
}

impl Wheel {
    /// An empty wheel with room for `capacity` timers.
    pub fn new(capacity: usize) -> Self {
        let entries = Vec::with_capacity(capacity);
        Self { start: Instant::now(), heads: [NONE; SLOTS], entries, free: NONE }
    }

    /// Arms a timer `span` from now; the key unlinks it.
    pub fn arm(&mut self, span: Duration, waker: Waker) -> u32 {
        let deadline = (self.start.elapsed() + span).as_nanos() as u64;
        let slot = Self::slot(deadline);
        let next = self.heads[slot];
        let key = self.put(Entry { deadline, waker: Some(waker), next, prev: NONE });
        if next != NONE {
            self.entries[next as usize].prev = key;
        }
        self.heads[slot] = key;
        key
    }

    /// Removes a timer.
    pub fn disarm(&mut self, key: u32) {
        let Entry { deadline, next, prev, .. } = self.entries[key as usize];
        match prev {
            NONE => self.heads[Self::slot(deadline)] = next,
            _ => self.entries[prev as usize].next = next,
        }
        if next != NONE {
            self.entries[next as usize].prev = prev;
        }
        let entry = &mut self.entries[key as usize];
        assert!(entry.waker.take().is_some(), "the timer was armed");
        entry.next = self.free;
        self.free = key;
    }

    fn slot(deadline: u64) -> usize {
        (deadline >> 20) as usize % SLOTS
    }

    fn put(&mut self, entry: Entry) -> u32 {
        let key = self.free;
        if key == NONE {
            self.entries.push(entry);
            return self.entries.len() as u32 - 1;
        }
        self.free = self.entries[key as usize].next;
        self.entries[key as usize] = entry;
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_timer_leaves_its_neighbours_linked() {
        let mut wheel = Wheel::new(3);
        // A thousand hours take many turns of the wheel, so the slots are shared.
        let keys: Vec<u32> = (0..3).map(|_| wheel.arm(Duration::from_secs(3_600_000), Waker::noop().clone())).collect();
        wheel.disarm(keys[1]);
        let again = wheel.arm(Duration::ZERO, Waker::noop().clone());
        assert_eq!(again, keys[1], "the entry is used again");
        wheel.disarm(again);
        wheel.disarm(keys[0]);
        wheel.disarm(keys[2]);
        assert_eq!(wheel.heads, [NONE; SLOTS]);
    }
}
