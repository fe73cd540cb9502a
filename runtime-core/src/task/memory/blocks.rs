//! Sizes, and the lists of one thread.

use super::depot::{self, Chain};
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
    /// In the first block of a chain in the depot: the next chain.
    pub(super) next_chain: Option<Chain>,
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
    /// A full chain, so that a thread on the border between two chains does not go to the depot each time.
    reserve: Cell<Option<Chain>>,
}

impl Magazine {
    const fn new() -> Self {
        Self { first: Cell::new(None), len: Cell::new(0), reserve: Cell::new(None) }
    }

    #[inline]
    fn take(&self, class: usize) -> NonNull<FreeBlock> {
        let block = match self.first.get() {
            Some(block) => block,
            None => self.refill(class),
        };
        // SAFETY: in the list, so free, written by `keep` or the depot, and this thread's alone.
        let next = unsafe { block.as_ref() }.next;
        self.first.set(next);
        // Another core may have given it back.
        next.into_iter().for_each(prefetch);
        self.len.set(self.len.get() - 1);
        block
    }

    #[cold]
    #[inline(never)]
    fn refill(&self, class: usize) -> NonNull<FreeBlock> {
        let chain = self.reserve.take().unwrap_or_else(|| depot::take(class, full(class)));
        self.first.set(Some(chain.first));
        self.len.set(chain.len);
        chain.first
    }

    /// # Safety
    ///
    /// The block came from `take` of this class, on whatever thread, and nobody uses it.
    #[inline]
    unsafe fn keep(&self, class: usize, block: NonNull<FreeBlock>) {
        if self.len.get() == full(class) {
            self.set_aside(class);
        }
        // SAFETY: large enough, aligned, and the caller's to overwrite.
        unsafe { block.write(FreeBlock { next: self.first.get(), next_chain: None }) };
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
        self.first.take().map(|first| Chain { first, len })
    }

    fn give_back(&self, class: usize) {
        for chain in self.in_use().into_iter().chain(self.reserve.take()) {
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
    block.unwrap_or_else(|_| depot::take(class, 1).first).cast()
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
        unsafe { depot::put_one(block) };
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
