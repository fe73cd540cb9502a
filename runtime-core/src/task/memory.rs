//! Memory of tasks: blocks of ended tasks are kept by the worker that freed them, for its next tasks.
//!
//! A general allocator keeps few blocks of a size at hand, and takes a long way for one that another thread allocated, which is the
//! common case when work is stolen. Measured on spawning 100,000 tasks that are stolen in part: a quarter of the time. Blocks are kept in
//! lists by size, up to a bound per worker, and given back when the worker ends.

use crate::current;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::NonNull;

/// Sizes are rounded up to a multiple of this, which the system's allocator does as well.
const GRAIN: usize = 16;
/// Larger blocks are not kept.
const LARGEST: usize = 512;
/// How many bytes a worker keeps.
const KEPT: usize = 4 << 20;

/// The kept blocks of one worker.
pub(crate) struct FreeLists {
    /// The first free block of each size.
    lists: [Cell<Option<NonNull<FreeBlock>>>; LARGEST / GRAIN],
    /// Bytes in all of them.
    bytes: Cell<usize>,
}

/// A free block begins with the pointer to the next one.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

impl FreeLists {
    pub(crate) fn new() -> Self {
        Self { lists: [const { Cell::new(None) }; LARGEST / GRAIN], bytes: Cell::new(0) }
    }

    #[inline]
    fn take(&self, class: usize) -> Option<NonNull<u8>> {
        let list = &self.lists[class];
        let block = list.get()?;
        // SAFETY: in the list, so free, written by `keep`, and this thread's alone.
        list.set(unsafe { block.as_ref() }.next);
        self.bytes.set(self.bytes.get() - size_of_class(class));
        Some(block.cast())
    }

    /// Keeps a block; false when there is enough.
    ///
    /// # Safety
    ///
    /// The block came from `allocate` with a size of this class, and nobody uses it.
    #[inline]
    unsafe fn keep(&self, class: usize, block: NonNull<u8>) -> bool {
        let bytes = self.bytes.get() + size_of_class(class);
        if bytes > KEPT {
            return false;
        }
        let list = &self.lists[class];
        let block = block.cast::<FreeBlock>();
        // SAFETY: at least `GRAIN` bytes at an alignment of at least 8, and the caller's to overwrite.
        unsafe { block.write(FreeBlock { next: list.get() }) };
        list.set(Some(block));
        self.bytes.set(bytes);
        true
    }
}

impl Drop for FreeLists {
    fn drop(&mut self) {
        for class in 0..self.lists.len() {
            while let Some(block) = self.take(class) {
                // SAFETY: kept blocks came from the global allocator with this layout.
                unsafe { dealloc(block.as_ptr(), layout_of_class(class)) };
            }
        }
    }
}

/// The class of a layout, if blocks like it are kept.
const fn class_of(layout: Layout) -> Option<usize> {
    if layout.size() == 0 || layout.size() > LARGEST || layout.align() > GRAIN {
        None
    } else {
        Some((layout.size() - 1) / GRAIN)
    }
}

const fn size_of_class(class: usize) -> usize {
    (class + 1) * GRAIN
}

fn layout_of_class(class: usize) -> Layout {
    // SAFETY: a power of two, and far from overflow.
    unsafe { Layout::from_size_align_unchecked(size_of_class(class), GRAIN) }
}

/// Room for a `T`.
#[inline]
pub(crate) fn allocate<T>() -> NonNull<T> {
    let layout = const { Layout::new::<T>() };
    let Some(class) = (const { class_of(Layout::new::<T>()) }) else {
        return allocate_from_system(layout).cast();
    };
    let kept = current::with_free_lists(|lists| lists.and_then(|lists| lists.take(class)));
    kept.unwrap_or_else(|| allocate_from_system(layout_of_class(class))).cast()
}

fn allocate_from_system(layout: Layout) -> NonNull<u8> {
    // SAFETY: a task is never of size zero: it has a header.
    let block = unsafe { alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Gives the room back.
///
/// # Safety
///
/// It came from `allocate` with the same `T`, and nobody uses it.
#[inline]
pub(crate) unsafe fn free<T>(place: NonNull<T>) {
    let place = place.cast::<u8>();
    let Some(class) = (const { class_of(Layout::new::<T>()) }) else {
        // SAFETY: came from `allocate_from_system` with this layout.
        return unsafe { dealloc(place.as_ptr(), const { Layout::new::<T>() }) };
    };
    // SAFETY: by the caller's promise.
    let kept = current::with_free_lists(|lists| lists.is_some_and(|lists| unsafe { lists.keep(class, place) }));
    if !kept {
        // SAFETY: blocks of a class come from the system with the layout of the class.
        unsafe { dealloc(place.as_ptr(), layout_of_class(class)) };
    }
}
