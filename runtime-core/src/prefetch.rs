//! A hint to the processor: what another core has written last is fetched while there is still something else to do.

/// Asks for the first two cache lines of what is at this address and will be written soon. Changes nothing but when it is there.
#[inline]
pub(crate) fn prefetch<T>(at: std::ptr::NonNull<T>) {
    // With a hint for writing (which is one for reading, where the program is not built for a processor that is known to have it).
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    for line in 0..2 {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: nothing is read or written as far as the program can tell, and no address faults.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.as_ptr().cast::<i8>().wrapping_add(64 * line)) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
