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

pub(super) use imp::free;

#[cfg(target_os = "linux")]
mod imp {
    use super::CHUNK;
    use std::ptr::NonNull;

    pub(super) fn allocate() -> Option<NonNull<u8>> {
        let place = map(CHUNK)?;
        if place.as_ptr().addr() % CHUNK == 0 {
            return Some(place);
        }
        // Side by side with another mapping, which is the rule after the first time, it would have been aligned.
        // SAFETY: just mapped, and used by nobody.
        unsafe { unmap(place, CHUNK) };
        let place = map(2 * CHUNK)?;
        let before = place.as_ptr().addr().next_multiple_of(CHUNK) - place.as_ptr().addr();
        // SAFETY: inside of the mapping, of which the parts before and behind the aligned middle are given back.
        unsafe {
            let aligned = place.add(before);
            unmap(place, before);
            unmap(aligned.add(CHUNK), CHUNK - before);
            Some(aligned)
        }
    }

    /// Gives a chunk back.
    ///
    /// # Safety
    ///
    /// It came from `allocate`, and nobody uses it.
    pub(in super::super) unsafe fn free(chunk: NonNull<u8>) {
        // SAFETY: by the caller's promise.
        unsafe { unmap(chunk, CHUNK) };
    }

    fn map(len: usize) -> Option<NonNull<u8>> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping where the system likes; nothing that exists is touched.
        let place = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if place == libc::MAP_FAILED { None } else { NonNull::new(place.cast()) }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_aligned_and_apart() {
        let mut chunks: Vec<_> = (0..40).map(|_| allocate()).collect();
        chunks.sort();
        assert!(chunks.iter().all(|chunk| chunk.as_ptr().addr() % CHUNK == 0));
        assert!(chunks.windows(2).all(|pair| pair[1].as_ptr().addr() - pair[0].as_ptr().addr() >= CHUNK));
        for chunk in chunks {
            // SAFETY: fresh, hence of this size and writable; given back once.
            unsafe {
                chunk.write_bytes(0xA5, CHUNK);
                free(chunk);
            }
        }
    }
}
