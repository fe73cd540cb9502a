//! Regions: as much room as a huge page takes, out of which chunks come once there are some.
//!
//! A page of 4 KiB costs a fault, which in a virtual machine takes more than a microsecond: a third of the time that making one of a million tasks took. A huge page of
//! 2 MiB costs one, and later fewer misses of the TLB. Where the system gives none, a region is room like any other.
//!
//! What has come back of a region is used before anything new, at the lowest address first, so that the higher ones become free. A bound is kept with its memory.
//! Beyond it regions that are free as a whole go back to the system, and where there is none, the memory of single chunks, though that splits the huge page.

use super::chunk::CHUNK;
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;

/// Regions begin at a multiple of this, and are as long: a huge page of x86-64, and of aarch64 with pages of 4 KiB.
pub(super) const REGION: usize = 2 << 20;
/// How many chunks a region has.
const CHUNKS: usize = REGION / CHUNK;
/// How many free chunks keep their memory, if there is somebody to keep it for.
const KEPT: usize = (32 << 20) / CHUNK;

/// One bit per chunk.
type Chunks = u8;
const ALL: Chunks = Chunks::MAX;

/// Which chunks of which regions are free. Only numbers: the memory is the caller's to map and to give back.
pub(super) struct Regions {
    all: BTreeMap<NonNull<u8>, Region>,
    /// Those of them that have a free chunk.
    with_room: BTreeSet<NonNull<u8>>,
    /// Those of them that are free as a whole.
    whole: BTreeSet<NonNull<u8>>,
    /// How many free chunks have their memory.
    kept: usize,
}

struct Region {
    free: Chunks,
    /// Those of the free ones that have their memory.
    kept: Chunks,
}

/// What is to be done when a chunk has come back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It was in no region: it is the caller's.
    Single,
    /// Nothing.
    Kept,
    /// The memory of this chunk is to go back, before anybody else can take it.
    Bare(NonNull<u8>),
    /// This region is free, and the caller's.
    Whole(NonNull<u8>),
}

// SAFETY: the addresses are looked at, and handed out; nothing is done here with the memory.
unsafe impl Send for Regions {}

impl Regions {
    pub(super) const fn new() -> Self {
        Self { all: BTreeMap::new(), with_room: BTreeSet::new(), whole: BTreeSet::new(), kept: 0 }
    }

    /// A chunk that is free.
    pub(super) fn take(&mut self) -> Option<NonNull<u8>> {
        let place = *self.with_room.first()?;
        let region = self.all.get_mut(&place).expect("a region with room is there");
        if region.free == ALL {
            self.whole.remove(&place);
        }
        let index = region.free.trailing_zeros() as usize;
        let chunk = 1 << index;
        region.free &= !chunk;
        if region.kept & chunk != 0 {
            region.kept &= !chunk;
            self.kept -= 1;
        }
        if region.free == 0 {
            self.with_room.remove(&place);
        }
        // SAFETY: inside of the region.
        Some(unsafe { place.add(index * CHUNK) })
    }

    /// A new region, all of which is free and has no memory yet.
    pub(super) fn add(&mut self, place: NonNull<u8>) {
        let before = self.all.insert(place, Region { free: ALL, kept: 0 });
        assert!(before.is_none(), "a region is new");
        self.with_room.insert(place);
        self.whole.insert(place);
    }

    /// A chunk comes back. It may keep its memory if `some_are_kept`.
    pub(super) fn put(&mut self, chunk: NonNull<u8>, some_are_kept: bool) -> Put {
        let offset = chunk.as_ptr().addr() % REGION;
        let place = chunk.as_ptr().wrapping_sub(offset);
        let Some((place, region)) = NonNull::new(place).and_then(|place| Some((place, self.all.get_mut(&place)?)))
        else {
            return Put::Single;
        };
        let bit = 1 << (offset / CHUNK);
        region.free |= bit;
        region.kept |= bit;
        let is_whole = region.free == ALL;
        self.kept += 1;
        self.with_room.insert(place);
        if is_whole {
            self.whole.insert(place);
        }
        if some_are_kept && self.kept <= KEPT {
            return Put::Kept;
        }
        if let Some(region) = self.pop_whole() {
            return Put::Whole(region);
        }
        self.all.get_mut(&place).expect("just found").kept &= !bit;
        self.kept -= 1;
        Put::Bare(chunk)
    }

    /// A region that is free as a whole, and the caller's from here on.
    pub(super) fn pop_whole(&mut self) -> Option<NonNull<u8>> {
        let place = self.whole.pop_last()?;
        self.with_room.remove(&place);
        let (place, region) = self.all.remove_entry(&place).expect("a region with room is there");
        self.kept -= region.kept.count_ones() as usize;
        Some(place)
    }

    /// The free chunks that still have their memory, which is to go back before anybody can take them.
    pub(super) fn bare(&mut self) -> impl Iterator<Item = NonNull<u8>> {
        self.kept = 0;
        self.all.iter_mut().flat_map(|(place, region)| {
            let kept = std::mem::take(&mut region.kept);
            // SAFETY: inside of the region.
            (0..CHUNKS).filter(move |index| kept & 1 << index != 0).map(|index| unsafe { place.add(index * CHUNK) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(number: usize) -> NonNull<u8> {
        NonNull::new(std::ptr::without_provenance_mut(number * REGION)).unwrap()
    }

    fn with(numbers: impl IntoIterator<Item = usize>) -> Regions {
        let mut regions = Regions::new();
        numbers.into_iter().for_each(|number| regions.add(region(number)));
        regions
    }

    fn take_all(regions: &mut Regions) -> Vec<NonNull<u8>> {
        std::iter::from_fn(|| regions.take()).collect()
    }

    #[test]
    fn chunks_are_taken_from_the_lowest_region_first_and_each_once() {
        let chunks = take_all(&mut with([7, 3]));
        assert_eq!(chunks.len(), 2 * CHUNKS);
        assert_eq!((chunks[0], chunks[CHUNKS]), (region(3), region(7)));
        assert!(chunks.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn what_came_back_is_taken_again() {
        let mut regions = with([3, 4]);
        let chunks = take_all(&mut regions);
        let free = [chunks[2], chunks[5], chunks[CHUNKS]];
        assert!(free.iter().rev().all(|&chunk| regions.put(chunk, true) == Put::Kept));
        assert_eq!(take_all(&mut regions), free);
        assert_eq!((regions.kept, regions.pop_whole()), (0, None));
    }

    #[test]
    fn a_chunk_that_is_in_no_region_is_the_callers() {
        let mut regions = with([3]);
        assert_eq!(regions.put(region(4), true), Put::Single);
        assert_eq!(regions.pop_whole(), Some(region(3)));
        assert_eq!(regions.put(region(3), true), Put::Single, "it is forgotten");
    }

    #[test]
    fn what_is_free_can_be_made_to_give_its_memory_back() {
        let mut regions = with([3, 4]);
        let chunks = take_all(&mut regions);
        let free = [chunks[1], chunks[6], chunks[CHUNKS]];
        assert!(free.iter().all(|&chunk| regions.put(chunk, true) == Put::Kept));
        assert_eq!(regions.bare().collect::<Vec<_>>(), free);
        assert_eq!((regions.bare().count(), regions.kept), (0, 0));
        assert_eq!(take_all(&mut regions), free, "it is free as before");
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let mut regions = with([3, 4]);
        let chunks = take_all(&mut regions);
        let puts: Vec<_> = chunks[..CHUNKS].iter().map(|&chunk| regions.put(chunk, false)).collect();
        let (last, bare) = puts.split_last().unwrap();
        assert!(bare.iter().zip(&chunks).all(|(put, chunk)| *put == Put::Bare(*chunk)));
        assert_eq!((last, regions.kept), (&Put::Whole(region(3)), 0));
    }

    const MANY: usize = KEPT / CHUNKS + 3;

    #[test]
    fn beyond_a_bound_whole_regions_go_first() {
        let mut regions = with(1..=MANY);
        let chunks = take_all(&mut regions);
        let puts: Vec<_> = chunks.iter().map(|&chunk| regions.put(chunk, true)).collect();
        assert!(puts[..KEPT].iter().all(|put| *put == Put::Kept));
        // One region goes for the first chunk too many, and so there is room for as many more as it had.
        let whole = puts.iter().filter(|put| matches!(put, Put::Whole(_))).count();
        assert_eq!((whole, puts.iter().filter(|put| matches!(put, Put::Bare(_))).count()), (3, 0));
        assert_eq!(regions.kept, KEPT);
        assert_eq!(std::iter::from_fn(|| regions.pop_whole()).count(), MANY - 3);
        assert_eq!((regions.take(), regions.kept), (None, 0));
    }

    #[test]
    fn beyond_a_bound_the_memory_of_chunks_goes_where_no_region_is_free() {
        let mut regions = with(1..=2 * MANY);
        let chunks = take_all(&mut regions);
        // One of each region stays.
        let (stay, go): (Vec<_>, Vec<_>) = chunks.into_iter().partition(|chunk| chunk.as_ptr().addr() % REGION == 0);
        let puts: Vec<_> = go.iter().map(|&chunk| regions.put(chunk, true)).collect();
        assert!(puts[..KEPT].iter().all(|put| *put == Put::Kept));
        assert!(puts[KEPT..].iter().zip(&go[KEPT..]).all(|(put, chunk)| *put == Put::Bare(*chunk)));
        assert!(stay.iter().all(|&chunk| matches!(regions.put(chunk, true), Put::Whole(_) | Put::Kept)));
        std::iter::from_fn(|| regions.pop_whole()).for_each(drop);
        assert_eq!((regions.take(), regions.kept), (None, 0));
    }
}
