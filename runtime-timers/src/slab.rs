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

/// One timer, or the room for one.
pub(crate) struct Entry<T> {
    /// When it is due; not before the wheel's time when this was set.
    pub(crate) deadline: u64,
    /// What the caller stored; `None` while free.
    value: Option<T>,
    /// The next entry of the slot, or of the page's free list; `NIL` at the end.
    pub(crate) next: u32,
    /// The entry before it in the slot; `NIL` for the first. Without meaning while free.
    pub(crate) prev: u32,
    /// The number of the insertion; 0 while free.
    generation: u32,
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

impl<T> Page<T> {
    /// A page of free entries with the number `page`.
    fn new(page: u32) -> Page<T> {
        let first = page << PAGE_BITS;
        let last = first + PAGE_LEN as u32 - 1;
        let free = |index| Entry {
            deadline: 0,
            value: None,
            next: if index == last { NIL } else { index + 1 },
            prev: NIL,
            generation: 0,
            place: Place::nowhere(),
        };
        // By way of a vector, because an array would be built on the stack first.
        let entries: Vec<Entry<T>> = (first..=last).map(free).collect();
        let entries = entries.into_boxed_slice().try_into();
        let entries = entries.unwrap_or_else(|_| unreachable!("a page has PAGE_LEN entries"));
        Page {
            entries,
            free: first,
            used: 0,
            next: NIL,
            prev: NIL,
        }
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
        let page = self
            .pages
            .get((key.index >> PAGE_BITS) as usize)?
            .as_ref()?;
        let entry = &page.entries[key.index as usize % PAGE_LEN];
        (entry.generation == key.generation.get()).then_some(key.index)
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

    /// Stores a value in a free entry that belongs to no slot yet.
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> (u32, Key) {
        if self.room == NIL {
            self.grow();
        }
        let number = self.room;
        let generation = self.next_generation();
        let page = self.page_mut(number);
        let index = page.free;
        let entry = &mut page.entries[index as usize % PAGE_LEN];
        page.free = entry.next;
        entry.deadline = deadline;
        entry.value = Some(value);
        entry.generation = generation.get();
        page.used += 1;
        let (full, was_spare) = (page.free == NIL, page.used == 1);
        self.len += 1;
        self.spare -= u32::from(was_spare);
        if full {
            self.leave_room_list(number);
        }
        (index, Key { index, generation })
    }

    /// Takes the value out of an entry in use that belongs to no slot any more; the entry is free
    /// from here on.
    pub(crate) fn remove(&mut self, index: u32) -> (Key, T) {
        let number = index >> PAGE_BITS;
        let page = self.page_mut(number);
        let was_full = page.free == NIL;
        let entry = &mut page.entries[index as usize % PAGE_LEN];
        let value = entry.value.take().expect("an entry in use has a value");
        let generation = NonZeroU32::new(std::mem::take(&mut entry.generation))
            .expect("an entry in use has a generation");
        entry.next = page.free;
        page.free = index;
        page.used -= 1;
        let unused = page.used == 0;
        self.len -= 1;
        if was_full {
            self.enter_room_list(number);
        }
        if unused {
            self.keep_or_release(number);
        }
        (Key { index, generation }, value)
    }

    /// Hands all values over, and all memory with them; every key is stale afterwards.
    pub(crate) fn drain(&mut self) -> Drain<T> {
        let pages = std::mem::take(&mut self.pages).into_iter();
        let left = std::mem::take(&mut self.len);
        self.room = NIL;
        self.spare = 0;
        self.vacant.clear();
        Drain {
            pages,
            entries: Vec::new().into_iter(),
            left,
        }
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
        self.pages[page as usize]
            .as_ref()
            .expect("a page in use is there")
    }

    /// The page with this number, which is known to be there.
    fn page_mut(&mut self, page: u32) -> &mut Page<T> {
        self.pages[page as usize]
            .as_mut()
            .expect("a page in use is there")
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
                assert!(
                    end < self.max_pages,
                    "a wheel holds at most {} timers",
                    end * PAGE_LEN
                );
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
        f.debug_struct("Drain")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
