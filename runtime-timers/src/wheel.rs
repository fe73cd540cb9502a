//! The wheel: where an entry goes, and how time moves.
//!
//! The idea is the hierarchical wheel of Varghese and Lauck, "Hashed and hierarchical timing
//! wheels" (1987). Choosing the level by the highest bit in which the deadline and the wheel's
//! time differ is the form known from, for instance, the wheels of Linux and Tokio. Two things
//! are done differently here:
//!
//! - The wheel's own time, the *base*, lags behind the caller's as far as it can: it stops before
//!   the first occupied slot and enters that only when something in it is due. So timers that are
//!   cancelled in time, which most are, are never sorted.
//! - Each slot remembers its earliest deadline. That makes [`Wheel::next_deadline`] exact in most
//!   cases, and lets the base jump right there instead of to the beginning of the slot, so that
//!   entries skip levels on their way down. A slot of few entries is not sorted down at all: the
//!   earliest is picked out of it where it is.
//!
//! Invariants:
//!
//! 1. `base <= now`, and no deadline is before `now`.
//! 2. Each entry is at `Place::of(base, deadline)`, whatever `base` has become since.
//! 3. Hence entries with equal deadlines are in the same slot, and they are there in the order of
//!    their insertion: entries are appended only, and sorting a slot down, which keeps their
//!    order, finds the levels below vacant.
//! 4. `Slot::earliest` is not after any deadline of its slot, and within the slot.

use std::fmt;

use crate::level::{Levels, Place};
use crate::slab::{Drain, Key, Links, NIL, Slab};

/// Up to this many entries of a slot are compared with each other instead of being sorted down.
/// Picked out of thin air: from 2 to 16, the benchmark shows no difference above its noise.
const FEW: usize = 8;

/// An entry whose time has come; see [`Wheel::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired<T> {
    /// The key that the entry had; it is stale now.
    pub key: Key,
    /// When the entry was due.
    pub deadline: u64,
    /// What was stored.
    pub value: T,
}

/// A set of values with deadlines, which gives each one out when its time has come.
///
/// A new wheel takes 11 KiB, and no memory for entries. It needs no order between operations: any
/// of them may come between two calls of [`poll`](Wheel::poll), also while more is due.
///
/// # Examples
///
/// ```
/// use runtime_timers::Wheel;
///
/// let mut wheel = Wheel::new(1_000);
/// let key = wheel.insert(1_500, "a");
/// wheel.insert(1_200, "b");
/// assert!(wheel.reset(key, 1_100));
///
/// let first = wheel.poll(2_000).unwrap();
/// assert_eq!((first.deadline, first.value), (1_100, "a"));
/// let second = wheel.poll(2_000).unwrap();
/// assert_eq!((second.deadline, second.value), (1_200, "b"));
/// assert!(wheel.poll(2_000).is_none());
/// assert_eq!(wheel.now(), 2_000);
/// ```
pub struct Wheel<T> {
    /// The time that levels and slots refer to.
    base: u64,
    /// What the caller knows as the wheel's time.
    now: u64,
    /// Which entries are in which slot.
    levels: Levels,
    /// The entries.
    slab: Slab<T>,
}

/// What a short slot holds: the entry to come first, and what remains without it.
struct Pick {
    /// The entry with the earliest deadline, the oldest of those.
    index: u32,
    /// Its deadline.
    deadline: u64,
    /// The earliest deadline of the others; `u64::MAX` if there are none.
    rest: u64,
}

impl<T> Wheel<T> {
    /// An empty wheel whose time is `now`.
    ///
    /// # Examples
    ///
    /// ```
    /// let wheel = runtime_timers::Wheel::<()>::new(7);
    /// assert_eq!((wheel.now(), wheel.len()), (7, 0));
    /// ```
    #[must_use]
    pub fn new(now: u64) -> Wheel<T> {
        Wheel { base: now, now, levels: Levels::new(), slab: Slab::new() }
    }

    /// The wheel's time.
    ///
    /// It is the deadline of the entry that came out last, or, when the last [`poll`](Wheel::poll)
    /// found nothing due, the time it was called with. It never goes back.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// How many entries are waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether no entry is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a value that comes out of [`poll`](Wheel::poll) at `deadline`.
    ///
    /// A deadline that is before [`now`](Wheel::now) counts as `now`: the entry comes out at the
    /// next poll, after those that were due before. `u64::MAX` is a deadline like any other.
    /// Takes constant time.
    ///
    /// # Panics
    ///
    /// When 4,294,967,040 entries are waiting (160 GiB of them). Nothing changes then.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(100);
    /// let late = wheel.insert(20, 'x');
    /// assert_eq!(wheel.deadline(late), Some(100));
    /// assert_eq!(wheel.poll(0).unwrap().value, 'x');
    /// ```
    pub fn insert(&mut self, deadline: u64, value: T) -> Key {
        let deadline = deadline.max(self.now);
        let (base, levels) = (self.base, &mut self.levels);
        let link = |index| levels.append(Place::of(base, deadline), index, deadline);
        let (key, links) = self.slab.insert(deadline, value, link);
        self.follow(links.prev, key.index());
        key
    }

    /// Takes an entry out before its time; `None` if the key is stale.
    ///
    /// Its memory is free for the next insertion at once. Takes constant time.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(0);
    /// let key = wheel.insert(20, 'x');
    /// assert_eq!(wheel.cancel(key), Some('x'));
    /// assert_eq!(wheel.cancel(key), None);
    /// ```
    pub fn cancel(&mut self, key: Key) -> Option<T> {
        let (value, links) = self.slab.remove(key)?;
        self.unlink(links);
        Some(value)
    }

    /// Gives an entry another deadline, earlier or later; false if the key is stale.
    ///
    /// The key stays valid. Among entries with the same deadline this one is now the last, as if
    /// it had just been inserted; that is so even if the deadline is the one it had. Takes
    /// constant time.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(0);
    /// let key = wheel.insert(20, 'x');
    /// assert!(wheel.reset(key, 30));
    /// assert!(wheel.poll(20).is_none());
    /// assert_eq!(wheel.poll(30).unwrap().key, key);
    /// assert!(!wheel.reset(key, 40));
    /// ```
    pub fn reset(&mut self, key: Key, deadline: u64) -> bool {
        let Some(index) = self.slab.find(key) else {
            return false;
        };
        let deadline = deadline.max(self.now);
        let links = self.slab.at(index).links;
        self.unlink(links);
        self.link(index, deadline);
        true
    }

    /// The value of an entry; `None` if the key is stale.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(0);
    /// let key = wheel.insert(20, 'x');
    /// *wheel.get_mut(key).unwrap() = 'y';
    /// assert_eq!(wheel.cancel(key), Some('y'));
    /// ```
    #[must_use]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let index = self.slab.find(key)?;
        self.slab.value_mut(index)
    }

    /// When an entry is due; `None` if the key is stale.
    ///
    /// This is the deadline that was asked for, or the wheel's time at that moment if it was
    /// later.
    #[must_use]
    pub fn deadline(&self, key: Key) -> Option<u64> {
        let index = self.slab.find(key)?;
        Some(self.slab.at(index).deadline)
    }

    /// The entries of one page of the wheel's memory, each with its deadline, in no order; `None` behind the last page.
    ///
    /// For looking at a large wheel in small steps: a page holds a fixed number of entries, and an entry that is neither cancelled
    /// nor expired between two steps stays in its page.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(0);
    /// wheel.insert(20, 'x');
    /// assert!(wheel.page(0).unwrap().eq([(20, &'x')]));
    /// assert!(wheel.page(1).is_none());
    /// ```
    #[must_use]
    pub fn page(&self, page: usize) -> Option<impl Iterator<Item = (u64, &T)>> {
        self.slab.page_values(page)
    }

    /// As [`page`](Wheel::page), to change the values.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(0);
    /// let key = wheel.insert(20, 'x');
    /// wheel.page_mut(0).unwrap().for_each(|(_, value)| *value = 'y');
    /// assert_eq!(wheel.cancel(key), Some('y'));
    /// ```
    #[must_use]
    pub fn page_mut(&mut self, page: usize) -> Option<impl Iterator<Item = (u64, &mut T)>> {
        self.slab.page_values_mut(page)
    }

    /// When [`poll`](Wheel::poll) should be called next; `None` if no entry is waiting.
    ///
    /// It is never after the earliest deadline. It is before it only when the entry that was the
    /// earliest of its slot has been cancelled or reset. A poll at that time then gives nothing
    /// out but moves on, so that a caller who does nothing but poll at these times comes to each
    /// entry, with no more polls than eleven for each entry and one for each cancellation and
    /// reset; in practice with one for each entry. Looks at no entries.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(0);
    /// assert_eq!(wheel.next_deadline(), None);
    /// wheel.insert(1_000_000, 'x');
    /// wheel.insert(1_000_001, 'y');
    /// assert_eq!(wheel.next_deadline(), Some(1_000_000));
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let place = self.levels.first()?;
        Some(self.levels.slot(place).earliest)
    }

    /// Moves time forward and gives out one entry that is due by then.
    ///
    /// Entries come in the order of their deadlines, and with equal deadlines in the order in
    /// which they were inserted or last reset. `None` means that nothing more is due at `now`.
    /// While it gives entries out, the wheel's time is that of the entry: one that is inserted in
    /// between takes its proper place among those still to come. A `now` before the wheel's time
    /// counts as the wheel's time.
    ///
    /// Takes constant time, amortised over the entries: each is looked at a few times in its
    /// life, however far time jumps.
    ///
    /// # Examples
    ///
    /// Take a few under a lock, and use them outside of it:
    ///
    /// ```
    /// use runtime_timers::Wheel;
    /// use std::sync::Mutex;
    ///
    /// let wheel = Mutex::new(Wheel::new(0));
    /// for n in 0..40 {
    ///     wheel.lock().unwrap().insert(n, n);
    /// }
    /// let mut seen = 0;
    /// loop {
    ///     let batch: Vec<_> = {
    ///         let mut wheel = wheel.lock().unwrap();
    ///         std::iter::from_fn(|| wheel.poll(100)).take(16).collect()
    ///     };
    ///     if batch.is_empty() {
    ///         break;
    ///     }
    ///     seen += batch.len();
    /// }
    /// assert_eq!(seen, 40);
    /// ```
    pub fn poll(&mut self, now: u64) -> Option<Expired<T>> {
        let now = now.max(self.now);
        while let Some(place) = self.levels.first() {
            let earliest = self.levels.slot(place).earliest;
            if earliest > now {
                // The base may not enter the slot; see invariant 2. It is before the slot now, so
                // this neither underflows nor moves it back.
                self.base = now.min(place.start(earliest) - 1);
                self.now = now;
                return None;
            }
            let Some(pick) = self.pick(place) else {
                self.sort_down(place, earliest);
                continue;
            };
            if pick.deadline <= now {
                return Some(self.expire(place, &pick));
            }
            self.levels.slot_mut(place).earliest = pick.deadline;
        }
        self.base = now;
        self.now = now;
        None
    }

    /// Takes all entries out, at once and without looking at them; every key is stale afterwards.
    ///
    /// The values are in what is returned, in no particular order, with the memory of the entries:
    /// they can be used or dropped after the wheel's lock was released. Time stays where it is,
    /// and the wheel can be used again.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(0);
    /// let key = wheel.insert(1, 'a');
    /// wheel.insert(2, 'b');
    /// let rest = wheel.drain();
    /// assert!(wheel.is_empty());
    /// assert_eq!(rest.count(), 2);
    /// assert_eq!(wheel.cancel(key), None);
    /// ```
    pub fn drain(&mut self) -> Drain<T> {
        self.levels.clear();
        self.slab.drain()
    }

    /// Drops all values; every key is stale afterwards.
    ///
    /// The wheel is already empty when the first value is dropped. To drop them elsewhere, see
    /// [`drain`](Wheel::drain).
    pub fn clear(&mut self) {
        drop(self.drain());
    }

    /// How many bytes the wheel holds, itself included, for entries in use and for free ones.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(0);
    /// let before = wheel.memory();
    /// for n in 0..100_000 {
    ///     wheel.insert(n, ());
    /// }
    /// assert!(wheel.memory() > before + 100_000 * 24);
    /// while wheel.poll(u64::MAX).is_some() {}
    /// assert!(wheel.memory() < before + 100_000);
    /// ```
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.levels.memory() + self.slab.memory()
    }

    /// Begins a new time at `now`, which may be earlier, if nothing is waiting; false otherwise. Keys that are stale stay so.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut wheel = runtime_timers::Wheel::new(0);
    /// let key = wheel.insert(10, 'a');
    /// assert!(!wheel.rewind(0));
    /// assert!(wheel.poll(10).is_some());
    /// assert!(wheel.rewind(3));
    /// assert_eq!(wheel.now(), 3);
    /// assert_eq!(wheel.cancel(key), None);
    /// ```
    #[must_use]
    pub fn rewind(&mut self, now: u64) -> bool {
        let empty = self.is_empty();
        if empty {
            self.base = now;
            self.now = now;
        }
        empty
    }

    /// Puts an entry that is in no slot into the one for `deadline`, as the last one.
    fn link(&mut self, index: u32, deadline: u64) {
        let links = self.levels.append(Place::of(self.base, deadline), index, deadline);
        let entry = self.slab.at_mut(index);
        entry.deadline = deadline;
        entry.links = links;
        self.follow(links.prev, index);
    }

    /// Lets the last entry of a slot, if there was one, know the one that was appended.
    fn follow(&mut self, before: u32, index: u32) {
        if before != NIL {
            self.slab.at_mut(before).links.next = index;
        }
    }

    /// Takes the entry that has these links out of its slot.
    fn unlink(&mut self, Links { place, prev, next }: Links) {
        if prev == NIL && next == NIL {
            self.levels.vacate(place);
            return;
        }
        match prev {
            NIL => self.levels.slot_mut(place).head = next,
            _ => self.slab.at_mut(prev).links.next = next,
        }
        match next {
            NIL => self.levels.slot_mut(place).tail = prev,
            _ => self.slab.at_mut(next).links.prev = prev,
        }
    }

    /// The entry of an occupied slot that comes first, unless the slot has too many to look.
    fn pick(&self, place: Place) -> Option<Pick> {
        let slot = self.levels.slot(place);
        let mut index = slot.head;
        if place.level() == 0 {
            // Deadlines on the lowest level differ in nothing.
            return Some(Pick { index, deadline: slot.earliest, rest: slot.earliest });
        }
        let mut pick = Pick { index: NIL, deadline: u64::MAX, rest: u64::MAX };
        for _ in 0..FEW {
            let entry = self.slab.at(index);
            pick.consider(index, entry.deadline);
            index = entry.links.next;
            if index == NIL {
                return Some(pick);
            }
        }
        None
    }

    /// Gives the picked entry of a slot out.
    fn expire(&mut self, place: Place, pick: &Pick) -> Expired<T> {
        self.levels.slot_mut(place).earliest = pick.rest;
        let key = self.slab.key(pick.index);
        let (value, links) = self.slab.remove(key).expect("the key of an entry in use is valid");
        self.unlink(links);
        self.now = pick.deadline;
        Expired { key, deadline: pick.deadline, value }
    }

    /// Moves the base into the first occupied slot, to its earliest moment, and its entries to
    /// lower levels.
    fn sort_down(&mut self, place: Place, earliest: u64) {
        self.base = earliest;
        let slot = self.levels.vacate(place);
        let (mut index, mut far) = (slot.head, slot.tail);
        while index != NIL {
            let entry = self.slab.at(index);
            let next = entry.links.next;
            // Most entries are in no cache, and where the next one is only the one before it tells. So the other half is read at the same time, from the end.
            if far != NIL {
                far = if far == index || far == next { NIL } else { self.slab.at(far).links.prev };
            }
            self.link(index, entry.deadline);
            index = next;
        }
    }
}

impl Pick {
    /// Looks at one more entry of the slot.
    fn consider(&mut self, index: u32, deadline: u64) {
        // Of equal ones the first stays: it is the oldest.
        if self.index == NIL || deadline < self.deadline {
            self.rest = self.deadline;
            self.index = index;
            self.deadline = deadline;
        } else {
            self.rest = self.rest.min(deadline);
        }
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("now", &self.now)
            .field("len", &self.len())
            .field("next_deadline", &self.next_deadline())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the invariants of this file by looking at everything.
    fn check(wheel: &Wheel<u64>) {
        assert!(wheel.base <= wheel.now);
        let places = wheel.levels.occupied_places();
        let count: usize = places.map(|place| check_slot(wheel, place)).sum();
        assert_eq!(count, wheel.len());
    }

    /// Checks one occupied slot and counts its entries.
    fn check_slot(wheel: &Wheel<u64>, place: Place) -> usize {
        let slot = wheel.levels.slot(place);
        assert_eq!(Place::of(wheel.base, slot.earliest), place);
        let (mut count, mut before, mut index) = (0, NIL, slot.head);
        while index != NIL {
            let entry = wheel.slab.at(index);
            assert!(entry.deadline >= wheel.now);
            assert!(entry.deadline >= slot.earliest);
            assert_eq!(Place::of(wheel.base, entry.deadline), place);
            assert_eq!((entry.links.place, entry.links.prev), (place, before));
            (before, index) = (index, entry.links.next);
            count += 1;
        }
        assert_eq!(slot.tail, before);
        assert!(count > 0);
        count
    }

    #[test]
    fn invariants_hold_after_each_operation() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move |end: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 8) % end
        };
        let mut wheel = Wheel::new(5);
        let mut keys = Vec::new();
        for n in 0..20_000 {
            let deadline = wheel.now() + (next(1 << 40) >> next(41));
            match next(8) {
                0..4 => keys.push(wheel.insert(deadline, n)),
                4 if !keys.is_empty() => {
                    let key = keys.swap_remove(next(keys.len() as u64) as usize);
                    wheel.cancel(key);
                }
                5 if !keys.is_empty() => {
                    wheel.reset(keys[next(keys.len() as u64) as usize], deadline);
                }
                _ => {
                    let now = wheel.now() + (next(1 << 36) >> next(37));
                    let _ = (0..next(50)).find(|_| wheel.poll(now).is_none());
                }
            }
            check(&wheel);
        }
    }

    #[test]
    fn timers_that_are_cancelled_in_time_are_never_moved() {
        let mut wheel = Wheel::new(0);
        let keys: Vec<Key> = (0..1_000).map(|n| wheel.insert(1_000_000 + n * 7, n)).collect();
        let places = |wheel: &Wheel<u64>| -> Vec<Place> {
            keys.iter().map(|key| wheel.slab.at(key.index()).links.place).collect()
        };
        let before = places(&wheel);
        for now in (0..1_000_000).step_by(999) {
            assert!(wheel.poll(now).is_none());
        }
        assert_eq!(places(&wheel), before);
        assert!(keys.iter().all(|&key| wheel.cancel(key).is_some()));
        check(&wheel);
    }

    #[test]
    fn what_is_due_soon_is_as_near_as_in_a_new_wheel_however_much_time_has_gone_by() {
        const LATER: u64 = 1 << 40;
        let mut wheel = Wheel::new(0);
        wheel.insert(LATER << 8, 0);
        assert!(wheel.poll(LATER).is_none());
        let mut new = Wheel::new(LATER);
        for soon in [1, 63, 64, 5_000] {
            let [place, expected] = [&mut wheel, &mut new].map(|wheel| {
                let key = wheel.insert(LATER + soon, 0);
                wheel.slab.at(key.index()).links.place
            });
            assert_eq!(place, expected);
        }
        check(&wheel);
    }

    #[test]
    fn time_does_not_go_back_but_where_it_begins_anew() {
        let mut wheel = Wheel::new(1_000);
        wheel.insert(2_000, 0);
        assert!(wheel.poll(500).is_none());
        assert_eq!(wheel.now(), 1_000);
        assert!(!wheel.rewind(500));
        assert_eq!(wheel.now(), 1_000, "not empty");
        check(&wheel);
        assert!(wheel.poll(2_000).is_some());
        assert!(wheel.rewind(10));
        wheel.insert(50, 1);
        check(&wheel);
        assert!(wheel.poll(49).is_none());
        assert_eq!(wheel.poll(50).map(|expired| expired.value), Some(1));
    }

    #[test]
    fn few_entries_are_never_moved() {
        let mut wheel = Wheel::new(0);
        let deadlines = [1 << 30, (1 << 30) + 900, (1 << 30) + 1, (1 << 30) + (1 << 29)];
        let keys = deadlines.map(|deadline| wheel.insert(deadline, 0));
        let place = wheel.slab.at(keys[0].index()).links.place;
        for key in [keys[0], keys[2], keys[1], keys[3]] {
            assert_eq!(wheel.slab.at(key.index()).links.place, place);
            assert_eq!(wheel.poll(u64::MAX).map(|expired| expired.key), Some(key));
            check(&wheel);
        }
    }
}
