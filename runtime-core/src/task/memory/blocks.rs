//! Sizes, and the lists of one thread.

use super::chunk::CHUNK;
use super::depot::{self, Run};
use super::plain;
use crate::prefetch::prefetch;
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Sizes are rounded up to a multiple of this.
const GRAIN: usize = 16;
/// Larger blocks are the global allocator's.
const LARGEST: usize = 1024;
/// How many sizes there are.
pub(super) const CLASSES: usize = LARGEST / GRAIN;

/// A free block; blocks are large enough for it and aligned to `GRAIN`.
pub(super) struct FreeBlock {
    /// The next one of its list.
    pub(super) next: Option<NonNull<FreeBlock>>,
    /// In the first block of a run in the depot: the next run of the same chunk.
    pub(super) next_run: Option<Run>,
}

impl FreeBlock {
    /// Links a block.
    ///
    /// # Safety
    ///
    /// The block is large enough, aligned, and the caller's to overwrite.
    #[inline]
    pub(super) unsafe fn write(block: NonNull<Self>, next: Option<NonNull<Self>>) {
        // Not all of it: the rest is written where it has a meaning. SAFETY: by the caller's promise.
        unsafe { (&raw mut (*block.as_ptr()).next).write(next) };
    }
}

/// A list of free blocks that belong to nobody but its holder.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    pub(super) first: NonNull<FreeBlock>,
    pub(super) len: usize,
    /// Whether they may be of several chunks.
    pub(super) is_mixed: bool,
}

/// So many blocks side by side, with nothing written in them.
#[derive(Clone, Copy)]
pub(super) struct Fresh {
    pub(super) first: NonNull<FreeBlock>,
    pub(super) len: usize,
}

impl Fresh {
    /// The first block, if there is one.
    #[inline]
    fn next(&mut self, class: usize) -> Option<NonNull<FreeBlock>> {
        self.len = self.len.checked_sub(1)?;
        let block = self.first;
        // SAFETY: at most one behind the last one, which is in its chunk or at the end of it.
        self.first = unsafe { block.byte_add(size_of_class(class)) };
        Some(block)
    }

    /// Makes a list of what there is.
    fn into_chain(mut self, class: usize) -> Option<Chain> {
        let (mut chain, mut len) = (None, 0);
        while let Some(block) = self.next(class) {
            // SAFETY: ours, large enough, and aligned: the head of a chunk and all sizes are multiples of the grain.
            unsafe { FreeBlock::write(block, chain) };
            (chain, len) = (Some(block), len + 1);
        }
        chain.map(|first| Chain { first, len, is_mixed: false })
    }
}

/// Blocks from the depot.
pub(super) enum Supply {
    Chain(Chain),
    Fresh(Fresh),
}

/// The class of a layout, if it is one for blocks.
const fn class_of(layout: Layout) -> Option<usize> {
    if layout.size() < size_of::<FreeBlock>() || layout.size() > LARGEST || layout.align() > GRAIN {
        None
    } else {
        Some((layout.size() - 1) / GRAIN)
    }
}

pub(super) const fn size_of_class(class: usize) -> usize {
    (class + 1) * GRAIN
}

/// How many blocks make a full chain: so many that the depot's lock does not show, in not more than 8 KiB.
pub(super) const fn full(class: usize) -> usize {
    let blocks = 8192 / size_of_class(class);
    if blocks > 64 { 64 } else { blocks }
}

/// The free blocks of one size that a thread holds.
struct Magazine {
    /// The first block of the list in use.
    first: Cell<Option<NonNull<FreeBlock>>>,
    /// How many there are in it.
    len: Cell<usize>,
    /// In which bits their addresses differ, or have differed.
    differ: Cell<usize>,
    /// Taken when the list is empty: not linked before, which would read and write each block just to find the next one.
    fresh: Cell<Fresh>,
    /// A full chain, so that a thread on the border between two chains does not go to the depot each time.
    reserve: Cell<Option<Chain>>,
}

impl Magazine {
    const fn new() -> Self {
        let fresh = Fresh { first: NonNull::dangling(), len: 0 };
        let (len, differ) = (Cell::new(0), Cell::new(0));
        Self { first: Cell::new(None), len, differ, fresh: Cell::new(fresh), reserve: Cell::new(None) }
    }

    #[inline]
    fn take(&self, class: usize) -> NonNull<FreeBlock> {
        loop {
            if let Some(block) = self.first.get() {
                // SAFETY: in the list, so free, written by `keep` or the depot, and this thread's alone.
                let next = unsafe { block.as_ref() }.next;
                self.first.set(next);
                // Another core may have given it back.
                next.into_iter().for_each(prefetch);
                self.len.set(self.len.get() - 1);
                return block;
            }
            let mut fresh = self.fresh.get();
            if let Some(block) = fresh.next(class) {
                self.fresh.set(fresh);
                return block;
            }
            self.refill(class);
        }
    }

    #[cold]
    #[inline(never)]
    fn refill(&self, class: usize) {
        match self.reserve.take().map_or_else(|| depot::take(class, full(class)), Supply::Chain) {
            Supply::Fresh(fresh) => self.fresh.set(fresh),
            Supply::Chain(chain) => {
                self.first.set(Some(chain.first));
                self.len.set(chain.len);
                self.differ.set(if chain.is_mixed { usize::MAX } else { 0 });
            }
        }
    }

    /// # Safety
    ///
    /// The block came from `take` of this class, on whatever thread, and nobody uses it.
    #[inline]
    unsafe fn keep(&self, class: usize, block: NonNull<FreeBlock>) {
        if self.len.get() == full(class) {
            self.set_aside(class);
        }
        let next = self.first.get();
        self.differ.set(next.map_or(0, |next| self.differ.get() | next.addr().get() ^ block.addr().get()));
        // SAFETY: of this class, and the caller's to overwrite.
        unsafe { FreeBlock::write(block, next) };
        self.first.set(Some(block));
        self.len.set(self.len.get() + 1);
    }

    #[cold]
    #[inline(never)]
    fn set_aside(&self, class: usize) {
        let chain = self.in_use();
        if let Some(before) = self.reserve.replace(chain) {
            depot::put(class, before);
        }
    }

    /// Takes the list in use out.
    fn in_use(&self) -> Option<Chain> {
        let len = self.len.replace(0);
        let is_mixed = self.differ.get() >= CHUNK;
        self.first.take().map(|first| Chain { first, len, is_mixed })
    }

    fn give_back(&self, class: usize) {
        let fresh = Fresh { len: 0, ..self.fresh.get() };
        let fresh = self.fresh.replace(fresh).into_chain(class);
        for chain in self.in_use().into_iter().chain(self.reserve.take()).chain(fresh) {
            depot::put(class, chain);
        }
    }
}

/// All magazines of a thread; given back when it ends.
struct Magazines([Magazine; CLASSES]);

impl Magazines {
    fn give_back(&self) {
        for (class, magazine) in self.0.iter().enumerate() {
            magazine.give_back(class);
        }
    }
}

impl Drop for Magazines {
    fn drop(&mut self) {
        self.give_back();
    }
}

thread_local! {
    static MAGAZINES: Magazines = const { Magazines([const { Magazine::new() }; CLASSES]) };
}

/// Room for a `T`.
#[inline]
pub(crate) fn allocate<T>() -> NonNull<T> {
    let Some(class) = (const { class_of(Layout::new::<T>()) }) else {
        return plain::allocate();
    };
    // A thread that is being torn down gets its blocks one by one.
    let block = MAGAZINES.try_with(|magazines| magazines.0[class].take(class));
    block.unwrap_or_else(|_| take_one(class)).cast()
}

#[cold]
fn take_one(class: usize) -> NonNull<FreeBlock> {
    match depot::take(class, 1) {
        Supply::Chain(chain) => chain.first,
        Supply::Fresh(fresh) => fresh.first,
    }
}

/// Gives the room back.
///
/// # Safety
///
/// It came from `allocate` with the same `T`, and nobody uses it.
#[inline]
pub(crate) unsafe fn free<T>(place: NonNull<T>) {
    let Some(class) = (const { class_of(Layout::new::<T>()) }) else {
        // SAFETY: by the caller's promise.
        return unsafe { plain::free(place) };
    };
    let block = place.cast::<FreeBlock>();
    // SAFETY: by the caller's promise; `allocate` takes blocks of this class for a `T`.
    let kept = MAGAZINES.try_with(|magazines| unsafe { magazines.0[class].keep(class, block) });
    if kept.is_err() {
        // SAFETY: as above.
        unsafe { depot::put_one(class, block) };
    }
}

/// How many runtimes are open.
static RUNTIMES: AtomicUsize = AtomicUsize::new(0);

/// A runtime has been made.
pub(crate) fn runtime_began() {
    // Relaxed, here and below: a count that nothing else hangs on. If a runtime begins while the last one ends, it finds an
    // empty depot, or one that is being emptied.
    RUNTIMES.fetch_add(1, Relaxed);
}

/// How many of them are being closed.
static CLOSING: AtomicUsize = AtomicUsize::new(0);

/// A runtime is about to end its tasks. If no other is open, their room goes back as they end, while it is still in the cache.
pub(crate) fn runtime_ends() {
    CLOSING.fetch_add(1, Relaxed);
}

/// Whether one is open, or about to be closed, after which what is free is given back.
#[cfg(target_os = "linux")]
pub(super) fn any_runtime() -> bool {
    RUNTIMES.load(Relaxed) > 0
}

/// Whether there is somebody to keep free blocks for.
pub(super) fn are_kept() -> bool {
    RUNTIMES.load(Relaxed) > CLOSING.load(Relaxed)
}

/// A runtime has been closed, after [`runtime_ends`]: after the last one nothing is kept.
pub(crate) fn runtime_ended() {
    CLOSING.fetch_sub(1, Relaxed);
    if RUNTIMES.fetch_sub(1, Relaxed) == 1 {
        let _ = MAGAZINES.try_with(Magazines::give_back);
        depot::clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::queue::Random;
    use crate::spin::SpinLock;
    use std::collections::HashSet;

    type Block = [u64; 25];

    fn fill(blocks: &[NonNull<Block>]) {
        for (number, block) in blocks.iter().enumerate() {
            // SAFETY: just allocated for this type.
            unsafe { block.write([number as u64; 25]) };
        }
    }

    fn check(blocks: &[NonNull<Block>]) {
        for (number, block) in blocks.iter().enumerate() {
            // SAFETY: written by `fill`, not freed.
            assert_eq!(unsafe { block.read() }, [number as u64; 25], "two blocks share their room");
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_are_aligned() {
        let blocks: Vec<_> = (0..10_000).map(|_| allocate::<Block>()).collect();
        assert!(blocks.iter().all(|block| block.as_ptr().addr() % GRAIN == 0));
        fill(&blocks);
        check(&blocks);
        for block in blocks {
            // SAFETY: from `allocate`, used no more.
            unsafe { free(block) };
        }
    }

    #[test]
    fn what_is_free_beside_a_block_in_use_is_used_again() {
        // A size that no other test takes.
        type Odd = [u64; 61];
        let chunk_of = |block: &NonNull<Odd>| block.as_ptr().addr() / (256 << 10);
        let mut chunks = HashSet::new();
        let mut kept = Vec::new();
        for _ in 0..20 {
            let blocks: Vec<_> = (0..10_000).map(|_| allocate::<Odd>()).collect();
            chunks.extend(blocks.iter().map(chunk_of));
            for (index, block) in blocks.into_iter().enumerate() {
                if index % 500 == 0 {
                    kept.push(block);
                } else {
                    // SAFETY: from `allocate`, used no more.
                    unsafe { free(block) };
                }
            }
        }
        let least = (10_000 + kept.len()) * size_of::<Odd>() / (256 << 10);
        assert!(chunks.len() < least + least / 4 + 2, "{} chunks instead of {least}", chunks.len());
        // SAFETY: from `allocate`, used no more.
        kept.into_iter().for_each(|block| unsafe { free(block) });
    }

    #[test]
    fn blocks_may_be_freed_by_another_thread_and_come_back_from_there() {
        struct Sent(Vec<NonNull<Block>>);
        // SAFETY: blocks are nobody's thread's.
        unsafe impl Send for Sent {}
        for _ in 0..4 {
            let blocks = Sent((0..3_000).map(|_| allocate::<Block>()).collect());
            fill(&blocks.0);
            let other = std::thread::spawn(move || {
                let blocks = blocks;
                check(&blocks.0);
                // SAFETY: from `allocate`, used no more.
                blocks.0.into_iter().for_each(|block| unsafe { free(block) });
            });
            other.join().unwrap();
        }
    }

    #[test]
    fn no_block_is_given_twice_whoever_frees_it() {
        struct Pool(Vec<(NonNull<Block>, u64)>);
        // SAFETY: blocks are nobody's thread's.
        unsafe impl Send for Pool {}
        let pool = SpinLock::new(Pool(Vec::new()));
        let work = |seed: u64| {
            let random = Random::new(seed);
            for turn in 0..100_000_u64 {
                let grows = random.below(4) < if turn / 10_000 % 2 == 0 { 3 } else { 1 };
                let block = if grows {
                    let (block, stamp) = (allocate::<Block>(), random.next());
                    // SAFETY: just allocated for this type.
                    unsafe { block.write([stamp; 25]) };
                    Some((block, stamp))
                } else {
                    None
                };
                let mut pool = pool.lock();
                let other = if grows || pool.0.is_empty() {
                    None
                } else {
                    let index = random.below(pool.0.len());
                    Some(pool.0.swap_remove(index))
                };
                pool.0.extend(block);
                drop(pool);
                if let Some((block, stamp)) = other {
                    // SAFETY: from `allocate`, written above, and out of the pool: used by nobody else.
                    unsafe {
                        assert_eq!(block.read(), [stamp; 25], "two blocks share their room");
                        free(block);
                    }
                }
            }
        };
        std::thread::scope(|scope| (1..=4).for_each(|seed| drop(scope.spawn(move || work(seed)))));
        // SAFETY: as above; the other threads have ended.
        pool.lock().0.drain(..).for_each(|(block, _)| unsafe { free(block) });
    }

    #[test]
    fn a_thread_that_is_torn_down_still_allocates_and_frees() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                let block = allocate::<Block>();
                fill(&[block]);
                // SAFETY: from `allocate`, used no more.
                unsafe { free(block) };
            }
        }
        thread_local! { static LATE: Late = const { Late } }
        std::thread::spawn(|| {
            // Made first, so destroyed last on most systems; either order has to work.
            LATE.with(|_| ());
            let block = allocate::<Block>();
            // SAFETY: from `allocate`, used no more.
            unsafe { free(block) };
        })
        .join()
        .unwrap();
    }

    #[test]
    fn each_size_has_its_class() {
        for size in size_of::<FreeBlock>()..=LARGEST {
            let class = class_of(Layout::from_size_align(size, GRAIN).unwrap()).unwrap();
            assert!(class < CLASSES && size_of_class(class) >= size && size_of_class(class) < size + GRAIN);
            assert!(full(class) >= 8);
        }
        assert_eq!(class_of(Layout::from_size_align(LARGEST + 1, 8).unwrap()), None);
        assert_eq!(class_of(Layout::from_size_align(64, 2 * GRAIN).unwrap()), None);
        assert_eq!(class_of(Layout::new::<()>()), None);
    }
}
