//! Where chunks come from: on Linux straight from the system, so that what is given back is given back at once. A general allocator keeps it, when
//! anything else lies above it.

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

/// Chunks begin at a multiple of this, so that a block's address tells its chunk, and are as long.
pub(super) const CHUNK: usize = 256 << 10;

const LAYOUT: Layout = match Layout::from_size_align(CHUNK, CHUNK) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

/// A fresh chunk. When the system has no more memory, that is an end like that of any other allocation.
pub(super) fn allocate() -> NonNull<u8> {
    imp::allocate().unwrap_or_else(|| handle_alloc_error(LAYOUT))
}

pub(super) use imp::{free, give_free_ones_back};

#[cfg(target_os = "linux")]
mod imp {
    use super::super::blocks::any_runtime;
    use super::super::regions::{Put, REGION, Regions};
    use super::CHUNK;
    use parking_lot::Mutex;
    use std::ptr::NonNull;

    /// So many chunks are mapped one by one, and then regions: so what is mapped ahead is never more than what is in use.
    const SINGLES: usize = REGION / CHUNK;

    struct Chunks {
        /// How many there are that are in no region.
        singles: usize,
        regions: Regions,
    }

    static CHUNKS: Mutex<Chunks> = Mutex::new(Chunks { singles: 0, regions: Regions::new() });

    pub(super) fn allocate() -> Option<NonNull<u8>> {
        let mut chunks = CHUNKS.lock();
        if let Some(chunk) = chunks.regions.take() {
            return Some(chunk);
        }
        if chunks.singles >= SINGLES
            && let Some(region) = map_aligned(REGION)
        {
            prefer_huge(region);
            chunks.regions.add(region);
            return chunks.regions.take();
        }
        let chunk = map_aligned(CHUNK)?;
        chunks.singles += 1;
        Some(chunk)
    }

    /// Gives a chunk back.
    ///
    /// # Safety
    ///
    /// It came from `allocate`, and nobody uses it.
    pub(in super::super) unsafe fn free(chunk: NonNull<u8>) {
        let mut chunks = CHUNKS.lock();
        match chunks.regions.put(chunk, any_runtime()) {
            Put::Kept => {}
            // SAFETY: free, and nobody takes it as long as the lock is held.
            Put::Bare(chunk) => unsafe { give_memory_back(chunk) },
            Put::Single => {
                chunks.singles -= 1;
                drop(chunks);
                // SAFETY: by the caller's promise; mapped alone.
                unsafe { unmap(chunk, CHUNK) };
            }
            Put::Whole(region) => {
                drop(chunks);
                // SAFETY: free as a whole, and forgotten.
                unsafe { unmap(region, REGION) };
            }
        }
    }

    /// Gives back what is kept for more tasks.
    pub(in super::super) fn give_free_ones_back() {
        let mut chunks = CHUNKS.lock();
        while let Some(region) = chunks.regions.pop_whole() {
            // SAFETY: as above.
            unsafe { unmap(region, REGION) };
        }
        // SAFETY: as above.
        chunks.regions.bare().for_each(|chunk| unsafe { give_memory_back(chunk) });
    }

    /// Room at a multiple of its length.
    fn map_aligned(len: usize) -> Option<NonNull<u8>> {
        let place = map(len)?;
        if place.as_ptr().addr() % len == 0 {
            return Some(place);
        }
        // Side by side with another mapping, which is the rule after the first time, it would have been aligned.
        // SAFETY: just mapped, and used by nobody.
        unsafe { unmap(place, len) };
        let place = map(2 * len)?;
        let before = place.as_ptr().addr().next_multiple_of(len) - place.as_ptr().addr();
        // SAFETY: inside of the mapping, of which the parts before and behind the aligned middle are given back.
        unsafe {
            let aligned = place.add(before);
            unmap(place, before);
            unmap(aligned.add(len), len - before);
            Some(aligned)
        }
    }

    fn map(len: usize) -> Option<NonNull<u8>> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping where the system likes; nothing that exists is touched.
        let place = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if place == libc::MAP_FAILED { None } else { NonNull::new(place.cast()) }
    }

    /// Asks for a huge page. A system that has none says no, which changes nothing.
    fn prefer_huge(region: NonNull<u8>) {
        // SAFETY: a mapping of this length; advice changes nothing of what is in it.
        unsafe { libc::madvise(region.as_ptr().cast(), REGION, libc::MADV_HUGEPAGE) };
    }

    /// # Safety
    ///
    /// The chunk is inside of a mapping made by `map`, and nobody uses it or counts on what is in it.
    unsafe fn give_memory_back(chunk: NonNull<u8>) {
        // SAFETY: by the caller's promise. It is mapped as before, and empty. If it fails the memory stays, which harms nobody.
        unsafe { libc::madvise(chunk.as_ptr().cast(), CHUNK, libc::MADV_DONTNEED) };
    }

    /// # Safety
    ///
    /// The range is of a mapping made by `map`, and nobody uses it.
    unsafe fn unmap(place: NonNull<u8>, len: usize) {
        if len == 0 {
            return;
        }
        // SAFETY: by the caller's promise. It fails only if the system cannot split the mapping in two, which wastes the memory and harms nobody.
        let result = unsafe { libc::munmap(place.as_ptr().cast(), len) };
        debug_assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::LAYOUT;
    use std::alloc::{alloc, dealloc};
    use std::ptr::NonNull;

    pub(super) fn allocate() -> Option<NonNull<u8>> {
        // SAFETY: not of size zero.
        NonNull::new(unsafe { alloc(LAYOUT) })
    }

    /// Gives a chunk back.
    ///
    /// # Safety
    ///
    /// It came from `allocate`, and nobody uses it.
    pub(in super::super) unsafe fn free(chunk: NonNull<u8>) {
        // SAFETY: by the caller's promise.
        unsafe { dealloc(chunk.as_ptr(), LAYOUT) };
    }

    /// None are kept.
    pub(in super::super) fn give_free_ones_back() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(chunk: NonNull<u8>) {
        // SAFETY: from `allocate`, hence of this size and writable.
        unsafe { chunk.write_bytes(0xA5, CHUNK) };
    }

    #[test]
    fn chunks_are_aligned_and_apart() {
        let mut chunks: Vec<_> = (0..100).map(|_| allocate()).collect();
        chunks.sort();
        assert!(chunks.iter().all(|chunk| chunk.as_ptr().addr() % CHUNK == 0));
        assert!(chunks.windows(2).all(|pair| pair[1].as_ptr().addr() - pair[0].as_ptr().addr() >= CHUNK));
        for chunk in chunks {
            fill(chunk);
            // SAFETY: given back once.
            unsafe { free(chunk) };
        }
    }

    #[test]
    fn chunks_can_be_used_again_when_their_memory_has_gone_back() {
        // More than are kept with their memory.
        let mut chunks: Vec<_> = (0..200).map(|_| allocate()).collect();
        for _ in 0..3 {
            chunks.iter().copied().for_each(fill);
            for chunk in chunks.iter().skip(1).step_by(2) {
                // SAFETY: replaced below, so given back once.
                unsafe { free(*chunk) };
            }
            chunks.iter_mut().skip(1).step_by(2).for_each(|chunk| *chunk = allocate());
        }
        chunks.iter().copied().for_each(fill);
        // SAFETY: given back once.
        chunks.into_iter().for_each(|chunk| unsafe { free(chunk) });
    }
}
