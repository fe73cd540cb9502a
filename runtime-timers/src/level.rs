//! The slots of the wheel, and which of them hold something.
//!
//! A time is read as eleven digits of six bits each. Level `n` has one slot for each value of
//! digit `n`; an entry sits on the level of the highest digit in which its deadline differs from
//! the wheel's base time, in the slot of that digit. Deadlines are never before the base, so the
//! lowest occupied level holds the earliest deadlines, and its lowest occupied slot the earliest
//! of those. Slots never wrap round: the levels cover all of `u64`.

use crate::slab::{Links, NIL};

/// Bits of one digit.
const DIGIT: u32 = 6;
/// Slots of one level.
const WIDTH: usize = 1 << DIGIT;
/// Levels, so that eleven digits of six bits cover 64 bits.
const LEVELS: usize = 11;

/// The number of one slot, counted through all levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u16);

impl Place {
    /// Where an entry for `deadline` belongs while the wheel's base time is `base`.
    #[inline]
    pub(crate) fn of(base: u64, deadline: u64) -> Place {
        debug_assert!(base <= deadline);
        let differing = (base ^ deadline) | (WIDTH as u64 - 1);
        let level = differing.ilog2() / DIGIT;
        let digit = (deadline >> (level * DIGIT)) as usize & (WIDTH - 1);
        Place((level as usize * WIDTH + digit) as u16)
    }

    /// A place for entries that are in no slot yet.
    pub(crate) const fn nowhere() -> Place {
        Place(u16::MAX)
    }

    /// The level of this slot.
    #[inline]
    pub(crate) fn level(self) -> usize {
        self.index() / WIDTH
    }

    /// The first moment that belongs to this slot, given any moment that does.
    #[inline]
    pub(crate) fn start(self, inside: u64) -> u64 {
        let shift = self.level() as u32 * DIGIT;
        inside >> shift << shift
    }

    /// This slot's position among all slots.
    #[inline]
    fn index(self) -> usize {
        usize::from(self.0)
    }

    /// This slot's bit in the bitmap of its level.
    #[inline]
    fn bit(self) -> u64 {
        1 << (self.index() % WIDTH)
    }
}

/// One slot: a doubly linked list of entries, oldest first.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    /// Not later than any deadline in the slot, and a moment that belongs to it. Exact until the
    /// entry that set it is taken out. Without meaning while the slot is vacant.
    pub(crate) earliest: u64,
    /// The entry that came first; `NIL` while the slot is vacant.
    pub(crate) head: u32,
    /// The entry that came last; `NIL` while the slot is vacant.
    pub(crate) tail: u32,
}

/// What a vacant slot looks like.
const VACANT: Slot = Slot { earliest: u64::MAX, head: NIL, tail: NIL };

/// All slots, with bitmaps to find the first occupied one without looking at any.
pub(crate) struct Levels {
    /// One bit a level: whether any of its slots is occupied.
    summary: u16,
    /// One bitmap a level: which of its slots are occupied.
    occupied: [u64; LEVELS],
    /// The slots, level by level.
    slots: Box<[Slot; LEVELS * WIDTH]>,
}

impl Levels {
    /// Levels without entries.
    pub(crate) fn new() -> Levels {
        Levels { summary: 0, occupied: [0; LEVELS], slots: Box::new([VACANT; LEVELS * WIDTH]) }
    }

    /// The occupied slot with the earliest deadlines.
    #[inline]
    pub(crate) fn first(&self) -> Option<Place> {
        if self.summary == 0 {
            return None;
        }
        let level = self.summary.trailing_zeros() as usize;
        let digit = self.occupied[level].trailing_zeros() as usize;
        Some(Place((level * WIDTH + digit) as u16))
    }

    /// The slot at `place`.
    #[inline]
    pub(crate) fn slot(&self, place: Place) -> &Slot {
        &self.slots[place.index()]
    }

    /// The slot at `place`, to change its ends while it stays occupied.
    #[inline]
    pub(crate) fn slot_mut(&mut self, place: Place) -> &mut Slot {
        &mut self.slots[place.index()]
    }

    /// Makes `entry` the last of its slot and returns where it is now.
    #[inline]
    pub(crate) fn append(&mut self, place: Place, entry: u32, deadline: u64) -> Links {
        let slot = &mut self.slots[place.index()];
        let before = slot.tail;
        slot.tail = entry;
        if before == NIL {
            slot.head = entry;
            slot.earliest = deadline;
            self.occupied[place.level()] |= place.bit();
            self.summary |= 1 << place.level();
        } else {
            slot.earliest = slot.earliest.min(deadline);
        }
        Links { place, prev: before, next: NIL }
    }

    /// Marks the slot as vacant and returns what it was.
    #[inline]
    pub(crate) fn vacate(&mut self, place: Place) -> Slot {
        let level = place.level();
        self.occupied[level] &= !place.bit();
        if self.occupied[level] == 0 {
            self.summary &= !(1 << level);
        }
        std::mem::replace(&mut self.slots[place.index()], VACANT)
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        self.summary = 0;
        self.occupied.fill(0);
        self.slots.fill(VACANT);
    }

    /// Bytes held on the heap.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

#[cfg(test)]
impl Levels {
    /// The slots that are occupied, for tests.
    pub(crate) fn occupied_places(&self) -> impl Iterator<Item = Place> {
        let places = (0..(LEVELS * WIDTH) as u16).map(Place);
        places.filter(|&place| {
            let occupied = self.occupied[place.level()] & place.bit() != 0;
            assert_eq!(occupied, self.slot(place).head != NIL);
            assert!(!occupied || self.summary & 1 << place.level() != 0);
            occupied
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_is_that_of_the_highest_differing_digit() {
        assert_eq!(Place::of(0, 0), Place(0));
        assert_eq!(Place::of(0, 63), Place(63));
        assert_eq!(Place::of(0, 64), Place(64 + 1));
        assert_eq!(Place::of(63, 64), Place(64 + 1));
        assert_eq!(Place::of(64, 64 + 5), Place(5));
        assert_eq!(Place::of(0, 4095), Place(64 + 63));
        assert_eq!(Place::of(0, 4096), Place(128 + 1));
        assert_eq!(Place::of(0, u64::MAX), Place(640 + 15));
        assert_eq!(Place::of(u64::MAX, u64::MAX), Place(63));
    }

    #[test]
    fn start_clears_the_digits_below() {
        assert_eq!(Place::of(0, 77).start(77), 64);
        assert_eq!(Place::of(0, 33).start(33), 33);
        assert_eq!(Place::of(0, u64::MAX).start(u64::MAX), 15 << 60);
    }

    #[test]
    fn first_is_the_lowest_slot_of_the_lowest_level() {
        let mut levels = Levels::new();
        assert_eq!(levels.first(), None);
        for deadline in [u64::MAX, 4096, 130, 70, 9, 3] {
            assert_eq!(levels.append(Place::of(0, deadline), 1, deadline).prev, NIL);
            assert_eq!(levels.first(), Some(Place::of(0, deadline)));
        }
        for deadline in [3, 9, 70, 130, 4096, u64::MAX] {
            assert_eq!(levels.first(), Some(Place::of(0, deadline)));
            levels.vacate(Place::of(0, deadline));
        }
        assert_eq!(levels.first(), None);
    }

    #[test]
    fn earliest_follows_insertions() {
        let mut levels = Levels::new();
        let place = Place::of(0, 100);
        levels.append(place, 1, 100);
        assert_eq!(levels.append(place, 2, 90).prev, 1);
        assert_eq!(levels.append(place, 3, 95).prev, 2);
        let slot = levels.vacate(place);
        assert_eq!((slot.head, slot.tail, slot.earliest), (1, 3, 90));
    }
}
