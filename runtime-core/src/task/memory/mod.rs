//! Memory of tasks: blocks of a few sizes, recycled by the thread that freed them, and by others by way of the chunk that they are cut from.
//!
//! A general allocator takes a long way for a block that another thread allocated, and work that is stolen is freed by another thread than
//! it came from: measured, a quarter of the time of a spawn, and most of the time of a shutdown with a million tasks. It also keeps
//! what a burst of tasks has left behind in pieces that it cannot give back. So here, after Bonwick's magazines (*Magazines and Vmem*, 2001):
//!
//! * a **block** is the room for one task, of one of `CLASSES` sizes;
//! * each thread has for each size a list in use and one full **chain** in reserve, and touches nothing shared while these last;
//! * full chains go to the **depot**, and empty lists are filled from there, under a short lock;
//! * the depot cuts blocks off **chunks** of 256 KiB, and each block goes back to its chunk: what is free there is used again, and what is free as a whole
//!   goes back;
//! * chunks come from the system; on Linux, once there are some, out of **regions** of the size of a huge page.
//!
//! Some free chunks are kept while there are runtimes, and none after the last one was closed.
//!
//! Larger tasks than the largest block go to the global allocator, one by one. With `--cfg runtime_plain_memory` all do: so tools
//! like valgrind and the sanitizers see every task. Miri and loom get that without asking.

#[cfg(not(any(runtime_plain_memory, miri, loom)))]
mod blocks;
#[cfg(not(any(runtime_plain_memory, miri, loom)))]
mod chunk;
#[cfg(not(any(runtime_plain_memory, miri, loom)))]
mod depot;
#[cfg(all(target_os = "linux", not(any(runtime_plain_memory, miri, loom))))]
mod regions;

#[cfg(not(any(runtime_plain_memory, miri, loom)))]
pub(crate) use blocks::{allocate, free, runtime_began, runtime_ended, runtime_ends};
#[cfg(any(runtime_plain_memory, miri, loom))]
pub(crate) use plain::{allocate, free, runtime_began, runtime_ended, runtime_ends};

mod plain {
    use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
    use std::ptr::NonNull;

    /// Room for a `T`.
    pub(crate) fn allocate<T>() -> NonNull<T> {
        let layout = const { Layout::new::<T>() };
        assert!(layout.size() > 0, "what is allocated here has a size");
        // SAFETY: not of size zero.
        let place = unsafe { alloc(layout) };
        NonNull::new(place).unwrap_or_else(|| handle_alloc_error(layout)).cast()
    }

    /// Gives the room back.
    ///
    /// # Safety
    ///
    /// It came from `allocate` with the same `T`, and nobody uses it.
    pub(crate) unsafe fn free<T>(place: NonNull<T>) {
        // SAFETY: by the caller's promise.
        unsafe { dealloc(place.as_ptr().cast(), const { Layout::new::<T>() }) };
    }

    #[cfg(any(runtime_plain_memory, miri, loom))]
    pub(crate) fn runtime_began() {}

    #[cfg(any(runtime_plain_memory, miri, loom))]
    pub(crate) fn runtime_ends() {}

    #[cfg(any(runtime_plain_memory, miri, loom))]
    pub(crate) fn runtime_ended() {}
}
