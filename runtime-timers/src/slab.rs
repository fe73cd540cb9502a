//! Where entries live: fixed pages, so that growing copies none and shrinking is possible.
//!
//! 1. An entry is free exactly when its generation is 0; then its value is `None` and it is on
//!    the free list of its page.
//! 2. A page with a free entry is on the list of pages with room; a full one is not.
//! 3. At most `SPARE_PAGES` pages are wholly free; one more is given back at once. So between a
//!    page's making and its release lie at least a page's worth of operations.
//! 4. `vacant` holds the numbers of released pages that are below the end of the page table, and
//!    the last page of the table is never one of them.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;

use crate::level::Place;

/// No entry, no page.
pub(crate) const NIL: u32 = u32::MAX;

/// Bits of an index that number the entry within its page.
const PAGE_BITS: u32 = 8;
/// Entries in one page: 10 KiB for a `Waker`. Small enough to become free as a whole, large
/// enough that making one costs little per entry.
const PAGE_LEN: usize = 1 << PAGE_BITS;
/// Pages at most, so that no entry has the index `NIL`.
const MAX_PAGES: usize = (NIL >> PAGE_BITS) as usize;
/// Wholly free pages that are kept. One is enough for O(1); four is picked out of thin air, so
/// that programs with less than a thousand timers never return here.
const SPARE_PAGES: u32 = 4;

/// Names one entry of a [`Wheel`](crate::Wheel), also after it has gone.
///
/// A key whose entry was cancelled or has expired is *stale*: the wheel refuses it, also when the
/// entry's memory is in use again. The wheel numbers its insertions with 32 bits, so a stale key
/// could be taken for another only after 2³² − 1 later insertions, and then only if precisely that
/// one uses the same memory. A key is only meaningful for the wheel that gave it out.
///
/// # Examples
///
/// ```
/// use runtime_timers::{Key, Wheel};
///
/// let mut wheel = Wheel::new(0);
/// let key = wheel.insert(10, 'a');
/// assert_eq!(wheel.cancel(key), Some('a'));
/// let other = wheel.insert(10, 'b');
/// assert_eq!(wheel.cancel(key), None);
/// assert_ne!(key, other);
/// assert_eq!(size_of::<Option<Key>>(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The number of the entry: page and position in it.
    index: u32,
    /// The number of the insertion.
    generation: NonZeroU32,
}

impl Key {
    /// The key as a number that is never 0, for where it has to fit into a word.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_timers::{Key, Wheel};
    ///
    /// let mut wheel = Wheel::new(0);
    /// let key = wheel.insert(10, 'a');
    /// assert_eq!(Key::from_bits(key.to_bits()), Some(key));
    /// assert_eq!(Key::from_bits(0), None);
    /// ```
    #[must_use]
    #[inline]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation.get()) << 32 | u64::from(self.index)
    }

    /// The reverse of [`to_bits`](Key::to_bits). A number that did not come from there is a stale key, or `None`.
    #[must_use]
    #[inline]
    pub fn from_bits(bits: u64) -> Option<Key> {
        let generation = NonZeroU32::new((bits >> 32) as u32)?;
        Some(Key { index: bits as u32, generation })
    }

    /// The number of the entry.
    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.index
    }
}

/// One timer, or the room for one.
pub(crate) struct Entry<T> {
    /// When it is due; not before the wheel's time when this was set.
    pub(crate) deadline: u64,
    /// What the caller stored; `None` while free.
    value: Option<T>,
    /// Where it is.
    pub(crate) links: Links,
    /// The number of the insertion; 0 while free.
    generation: u32,
}

/// Where an entry is.
#[derive(Clone, Copy)]
pub(crate) struct Links {
    /// The next entry of the slot, or of the page's free list; `NIL` at the end.
    pub(crate) next: u32,
    /// The entry before it in the slot; `NIL` for the first. Without meaning while free.
    pub(crate) prev: u32,
    /// The slot that holds it. Without meaning while free.
    pub(crate) place: Place,
}

/// A fixed number of entries in one allocation.
struct Page<T> {
    /// The entries, free or not.
    entries: Box<[Entry<T>; PAGE_LEN]>,
    /// The first free entry of the page, by its index in the slab; `NIL` if there is none.
    free: u32,
    /// How many entries are not free.
    used: u32,
    /// The next page with room; `NIL` at the end.
    next: u32,
    /// The page with room before this one; `NIL` for the first.
    prev: u32,
}

/// The links of a free entry.
fn free_link(next: u32) -> Links {
    Links { next, prev: NIL, place: Place::nowhere() }
}

impl<T> Page<T> {
    /// A page of free entries with the number `page`.
    fn new(page: u32) -> Page<T> {
        let first = page << PAGE_BITS;
        let last = first + PAGE_LEN as u32 - 1;
        let free = |index| Entry {
            deadline: 0,
            value: None,
            links: free_link(if index == last { NIL } else { index + 1 }),
            generation: 0,
        };
        // By way of a vector, because an array would be built on the stack first.
        let entries: Vec<Entry<T>> = (first..=last).map(free).collect();
        let entries = entries.into_boxed_slice().try_into();
        let entries = entries.unwrap_or_else(|_| unreachable!("a page has PAGE_LEN entries"));
        Page { entries, free: first, used: 0, next: NIL, prev: NIL }
    }

    /// The entries, without the page.
    fn into_entries(self) -> Vec<Entry<T>> {
        let entries: Box<[Entry<T>]> = self.entries;
        entries.into_vec()
    }
}

/// The entries of one wheel.
pub(crate) struct Slab<T> {
    /// The page table; `None` where a page has been given back.
    pages: Vec<Option<Page<T>>>,
    /// The first page with room; `NIL` if all are full.
    room: u32,
    /// How many pages are wholly free.
    spare: u32,
    /// How many entries are not free.
    len: usize,
    /// The number of the next insertion.
    generation: NonZeroU32,
    /// Numbers of pages that were given back, lowest first, so that the table can become short.
    vacant: BTreeSet<u32>,
    /// The length that the page table may have; lower in tests only.
    max_pages: usize,
}

impl<T> Slab<T> {
    /// A slab that holds no memory yet.
    pub(crate) fn new() -> Slab<T> {
        Slab {
            pages: Vec::new(),
            room: NIL,
            spare: 0,
            len: 0,
            generation: NonZeroU32::MIN,
            vacant: BTreeSet::new(),
            max_pages: MAX_PAGES,
        }
    }

    /// How many entries are not free.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The index that `key` names, unless it is stale.
    pub(crate) fn find(&self, key: Key) -> Option<u32> {
        let page = self.pages.get((key.index >> PAGE_BITS) as usize)?.as_ref()?;
        let entry = &page.entries[key.index as usize % PAGE_LEN];
        (entry.generation == key.generation.get()).then_some(key.index)
    }

    /// The key of the entry at an index that is known to be in use.
    pub(crate) fn key(&self, index: u32) -> Key {
        let generation = NonZeroU32::new(self.at(index).generation);
        Key { index, generation: generation.expect("an entry in use has a generation") }
    }

    /// The entry at an index that is known to be in use.
    pub(crate) fn at(&self, index: u32) -> &Entry<T> {
        &self.page(index >> PAGE_BITS).entries[index as usize % PAGE_LEN]
    }

    /// The entry at an index that is known to be in use.
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.page_mut(index >> PAGE_BITS).entries[index as usize % PAGE_LEN]
    }

    /// The value at an index that is known to be in use.
    pub(crate) fn value_mut(&mut self, index: u32) -> Option<&mut T> {
        self.at_mut(index).value.as_mut()
    }

    /// Stores a value in a free entry, and there the links that `link` answers for its index.
    pub(crate) fn insert(&mut self, deadline: u64, value: T, link: impl FnOnce(u32) -> Links) -> (Key, Links) {
        if self.room == NIL {
            self.grow();
        }
        let number = self.room;
        let generation = self.next_generation();
        let page = self.page_mut(number);
        let index = page.free;
        let links = link(index);
        let entry = &mut page.entries[index as usize % PAGE_LEN];
        page.free = entry.links.next;
        *entry = Entry { deadline, value: Some(value), links, generation: generation.get() };
        page.used += 1;
        let (full, was_spare) = (page.free == NIL, page.used == 1);
        self.len += 1;
        self.spare -= u32::from(was_spare);
        if full {
            self.leave_room_list(number);
        }
        (Key { index, generation }, links)
    }

    /// Takes the value out of an entry, which is free from here on; the links that it had are
    /// still to be undone. `None` if the key is stale.
    pub(crate) fn remove(&mut self, key: Key) -> Option<(T, Links)> {
        let number = key.index >> PAGE_BITS;
        let page = self.pages.get_mut(number as usize)?.as_mut()?;
        let entry = &mut page.entries[key.index as usize % PAGE_LEN];
        if entry.generation != key.generation.get() {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = 0;
        let links = std::mem::replace(&mut entry.links, free_link(page.free));
        let was_full = page.free == NIL;
        page.free = key.index;
        page.used -= 1;
        let unused = page.used == 0;
        self.len -= 1;
        if was_full {
            self.enter_room_list(number);
        }
        if unused {
            self.keep_or_release(number);
        }
        Some((value, links))
    }

    /// Hands all values over, and all memory with them; every key is stale afterwards.
    pub(crate) fn drain(&mut self) -> Drain<T> {
        let pages = std::mem::take(&mut self.pages).into_iter();
        let left = std::mem::take(&mut self.len);
        self.room = NIL;
        self.spare = 0;
        self.vacant.clear();
        Drain { pages, entries: Vec::new().into_iter(), left }
    }

    /// The entries in use of one page; `None` behind the last page.
    pub(crate) fn page_values(&self, page: usize) -> Option<impl Iterator<Item = (u64, &T)>> {
        let page = self.pages.get(page)?.as_ref();
        let entries = page.into_iter().flat_map(|page| page.entries.iter());
        Some(entries.filter_map(|entry| Some((entry.deadline, entry.value.as_ref()?))))
    }

    /// As [`page_values`](Self::page_values), to change the values.
    pub(crate) fn page_values_mut(&mut self, page: usize) -> Option<impl Iterator<Item = (u64, &mut T)>> {
        let page = self.pages.get_mut(page)?.as_mut();
        let entries = page.into_iter().flat_map(|page| page.entries.iter_mut());
        Some(entries.filter_map(|entry| Some((entry.deadline, entry.value.as_mut()?))))
    }

    /// Bytes held on the heap.
    pub(crate) fn memory(&self) -> usize {
        let table = self.pages.capacity() * size_of::<Option<Page<T>>>();
        let vacant = self.vacant.len() * size_of::<u32>();
        let pages = self.pages.len() - self.vacant.len();
        pages * PAGE_LEN * size_of::<Entry<T>>() + table + vacant
    }

    /// The page with this number, which is known to be there.
    fn page(&self, page: u32) -> &Page<T> {
        self.pages[page as usize].as_ref().expect("a page in use is there")
    }

    /// The page with this number, which is known to be there.
    fn page_mut(&mut self, page: u32) -> &mut Page<T> {
        self.pages[page as usize].as_mut().expect("a page in use is there")
    }

    /// The number for an insertion. After the last one they begin again.
    fn next_generation(&mut self) -> NonZeroU32 {
        let generation = self.generation;
        self.generation = generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        generation
    }

    /// Makes a page with room, at the lowest number that is not taken.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let number = match self.vacant.pop_first() {
            Some(number) => number,
            None => {
                let end = self.pages.len();
                assert!(end < self.max_pages, "a wheel holds at most {} timers", end * PAGE_LEN);
                self.pages.push(None);
                end as u32
            }
        };
        self.pages[number as usize] = Some(Page::new(number));
        self.spare += 1;
        self.enter_room_list(number);
    }

    /// Decides about a page that has just become wholly free.
    fn keep_or_release(&mut self, number: u32) {
        if self.spare < SPARE_PAGES {
            self.spare += 1;
        } else {
            self.release(number);
        }
    }

    /// Gives a wholly free page back, and the end of the table if it has become empty.
    #[cold]
    #[inline(never)]
    fn release(&mut self, number: u32) {
        self.leave_room_list(number);
        self.pages[number as usize] = None;
        self.vacant.insert(number);
        while let Some(None) = self.pages.last() {
            self.pages.pop();
            self.vacant.pop_last();
        }
        if self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }

    /// Puts a page in front of those with room.
    fn enter_room_list(&mut self, number: u32) {
        let next = std::mem::replace(&mut self.room, number);
        let page = self.page_mut(number);
        page.next = next;
        page.prev = NIL;
        if next != NIL {
            self.page_mut(next).prev = number;
        }
    }

    /// Takes a page off those with room.
    fn leave_room_list(&mut self, number: u32) {
        let &Page { next, prev, .. } = self.page(number);
        if prev == NIL {
            self.room = next;
        } else {
            self.page_mut(prev).next = next;
        }
        if next != NIL {
            self.page_mut(next).prev = prev;
        }
    }
}

/// The values that were in a wheel, in no particular order; see
/// [`Wheel::drain`](crate::Wheel::drain).
///
/// It owns them: the wheel can be unlocked, used or dropped in the meantime. Dropping it drops the
/// values that were not taken.
///
/// # Examples
///
/// ```
/// let mut wheel = runtime_timers::Wheel::new(0);
/// wheel.insert(5, 'a');
/// let mut rest = wheel.drain();
/// assert_eq!(rest.len(), 1);
/// assert_eq!(rest.next(), Some('a'));
/// assert_eq!(rest.next(), None);
/// ```
#[must_use = "dropping it drops the values"]
pub struct Drain<T> {
    /// Pages that were not begun yet.
    pages: std::vec::IntoIter<Option<Page<T>>>,
    /// What is left of the page in hand.
    entries: std::vec::IntoIter<Entry<T>>,
    /// How many values were not taken yet.
    left: usize,
}

impl<T> Iterator for Drain<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while self.left > 0 {
            if let Some(value) = self.entries.find_map(|entry| entry.value) {
                self.left -= 1;
                return Some(value);
            }
            let page = self.pages.next()?;
            self.entries = page.map_or_else(Vec::new, Page::into_entries).into_iter();
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Drain<T> {}

impl<T> std::iter::FusedIterator for Drain<T> {}

impl<T> fmt::Debug for Drain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn add<T>(slab: &mut Slab<T>, value: T) -> Key {
        slab.insert(0, value, |_| free_link(NIL)).0
    }

    /// The pages with room, as their list has them, and their numbers of entries in use.
    fn pages_with_room<T>(slab: &Slab<T>) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        let (mut prev, mut number) = (NIL, slab.room);
        while number != NIL {
            let page = slab.page(number);
            assert_eq!(page.prev, prev);
            found.push((number, page.used));
            (prev, number) = (number, page.next);
        }
        found
    }

    #[test]
    fn an_entry_for_a_waker_takes_40_bytes() {
        assert!(size_of::<Entry<Waker>>() <= 40);
        assert_eq!(size_of::<Option<Key>>(), 8);
    }

    #[test]
    fn memory_of_a_removed_entry_is_the_next_to_be_used() {
        let mut slab = Slab::new();
        let keys: Vec<Key> = (0..3 * PAGE_LEN).map(|n| add(&mut slab, n)).collect();
        let memory = slab.memory();
        for n in [0, 700, 255, 256, 300, 767] {
            assert_eq!(slab.remove(keys[n]).map(|removed| removed.0), Some(n));
            let again = add(&mut slab, n);
            assert_eq!(again.index, keys[n].index);
            assert_ne!(again, keys[n]);
        }
        assert_eq!(slab.memory(), memory);
    }

    #[test]
    fn no_page_is_made_while_an_entry_is_free() {
        let mut slab = Slab::new();
        let keys: Vec<Key> = (0..100 * PAGE_LEN).map(|n| add(&mut slab, n)).collect();
        let memory = slab.memory();
        let removed = keys.iter().step_by(3);
        removed.clone().for_each(|&key| assert!(slab.remove(key).is_some()));
        removed.for_each(|_| {
            add(&mut slab, 0);
        });
        assert_eq!(slab.memory(), memory);
        assert_eq!(pages_with_room(&slab), []);
    }

    #[test]
    fn growing_moves_no_entry() {
        let mut slab = Slab::new();
        let key = add(&mut slab, 1_u32);
        let address: *const Entry<u32> = slab.at(key.index);
        (0..1_000_000).for_each(|n| {
            add(&mut slab, n);
        });
        assert!(std::ptr::eq(slab.at(key.index), address));
    }

    #[test]
    fn generations_begin_again_and_skip_zero() {
        let mut slab = Slab::new();
        slab.generation = NonZeroU32::MAX;
        let last = add(&mut slab, 'a');
        let first = add(&mut slab, 'b');
        assert_eq!((last.generation, first.generation), (NonZeroU32::MAX, NonZeroU32::MIN));
        assert_eq!(slab.remove(last).map(|removed| removed.0), Some('a'));
        let reused = add(&mut slab, 'c');
        assert_eq!(reused.index, last.index);
        assert!(slab.find(last).is_none());
        assert_eq!(slab.remove(first).map(|removed| removed.0), Some('b'));
        assert_eq!(slab.remove(reused).map(|removed| removed.0), Some('c'));
    }

    #[test]
    fn a_key_stays_stale_when_its_page_was_given_back_and_made_again() {
        let mut slab = Slab::new();
        let count = (SPARE_PAGES as usize + 3) * PAGE_LEN;
        let old: Vec<Key> = (0..count).map(|n| add(&mut slab, n)).collect();
        old.iter().for_each(|&key| assert!(slab.remove(key).is_some()));
        assert!(old.iter().all(|&key| slab.find(key).is_none()));
        let new: Vec<Key> = (0..count).map(|n| add(&mut slab, n)).collect();
        assert!(old.iter().all(|&key| slab.find(key).is_none()));
        assert!(old.iter().all(|&key| slab.remove(key).is_none()));
        assert!(new.iter().all(|&key| slab.find(key).is_some()));
    }

    #[test]
    fn a_full_slab_panics_before_anything_changes() {
        let mut slab = Slab::new();
        slab.max_pages = 2;
        let keys: Vec<Key> = (0..2 * PAGE_LEN).map(|n| add(&mut slab, n)).collect();
        let one_more = std::panic::AssertUnwindSafe(|| add(&mut slab, 0));
        let panic = std::panic::catch_unwind(one_more).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert_eq!(message, "a wheel holds at most 512 timers");
        assert_eq!(slab.len(), 2 * PAGE_LEN);
        assert_eq!(slab.remove(keys[3]).map(|removed| removed.0), Some(3));
        assert_eq!(add(&mut slab, 0).index, keys[3].index);
        assert!(keys.iter().enumerate().all(|(n, &key)| (n == 3) == slab.find(key).is_none()));
    }

    #[test]
    fn the_last_possible_index_is_not_nil() {
        let last_page = MAX_PAGES as u32 - 1;
        assert!((last_page << PAGE_BITS) + (PAGE_LEN as u32 - 1) < NIL);
        assert_eq!(MAX_PAGES * PAGE_LEN, 4_294_967_040);
    }

    #[test]
    fn free_pages_are_given_back_save_a_few() {
        let mut slab = Slab::new();
        let keys: Vec<Key> = (0..1_000 * PAGE_LEN).map(|n| add(&mut slab, n)).collect();
        // One entry stays, on a page in the middle.
        let survivor = keys[500 * PAGE_LEN + 17];
        keys.iter().filter(|&&key| key != survivor).for_each(|&key| assert!(slab.remove(key).is_some()));
        assert_eq!(slab.spare, SPARE_PAGES);
        let pages = pages_with_room(&slab);
        assert_eq!(pages.len(), SPARE_PAGES as usize + 1);
        assert_eq!(pages.iter().filter(|page| page.1 == 0).count(), SPARE_PAGES as usize);
        assert_eq!(slab.pages.len(), 501);
        assert_eq!(slab.vacant.len(), 501 - pages.len());
        // The table shrinks with its last page, and gaps are filled from below.
        slab.remove(survivor).unwrap();
        assert!(slab.pages.len() <= SPARE_PAGES as usize);
        (0..10 * PAGE_LEN).for_each(|n| {
            add(&mut slab, n);
        });
        assert_eq!((slab.pages.len(), slab.vacant.len()), (10, 0));
    }

    #[test]
    fn a_page_is_not_made_and_given_back_over_and_over() {
        let mut slab = Slab::new();
        let count = 20 * PAGE_LEN;
        (0..count).for_each(|n| {
            add(&mut slab, n);
        });
        let key = add(&mut slab, 0);
        let memory = slab.memory();
        slab.remove(key).unwrap();
        assert_eq!(slab.memory(), memory);
        let again = add(&mut slab, 0);
        assert_eq!((again.index, slab.memory()), (key.index, memory));
    }

    #[test]
    fn after_a_drain_all_begins_anew() {
        let mut slab = Slab::new();
        for _ in 0..3 {
            let keys: Vec<Key> = (0..20 * PAGE_LEN).map(|n| add(&mut slab, n)).collect();
            assert_eq!((slab.pages.len(), slab.spare, slab.vacant.len()), (20, 0, 0));
            // The last entry stays, with gaps before it.
            keys.iter().rev().skip(1).for_each(|&key| assert!(slab.remove(key).is_some()));
            assert_eq!((slab.pages.len(), slab.spare), (20, SPARE_PAGES));
            assert!(!slab.vacant.is_empty());
            drop(slab.drain());
            assert_eq!((slab.spare, slab.memory()), (0, Slab::<usize>::new().memory()));
        }
    }

    #[test]
    fn values_that_were_not_drained_are_dropped() {
        let mut slab = Slab::new();
        let value = std::rc::Rc::new(());
        (0..2 * PAGE_LEN + 5).for_each(|_| {
            add(&mut slab, value.clone());
        });
        let mut rest = slab.drain();
        assert_eq!(rest.by_ref().take(PAGE_LEN + 9).count(), PAGE_LEN + 9);
        assert_eq!(rest.len(), PAGE_LEN - 4);
        drop(rest);
        assert_eq!(std::rc::Rc::strong_count(&value), 1);
    }
}
