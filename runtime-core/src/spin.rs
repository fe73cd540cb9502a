//! A lock for a few instructions: one atomic write to take, a plain store to give back.
//!
//! An uncontended `parking_lot` mutex takes a read-modify-write for each, because whoever gives it back has to look for sleepers. On the path of
//! every task created and ended that was measured as a tenth of the whole. Nobody sleeps here: a waiter spins, and
//! soon gives its time slice away, for the holder may have been preempted. Not for anything that takes longer
//! or calls other code.

#[cfg(loom)]
pub(crate) use crate::loom::Mutex as SpinLock;
#[cfg(not(loom))]
pub(crate) use imp::SpinLock;

#[cfg(not(loom))]
mod imp {
    use std::cell::UnsafeCell;
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

    /// How often a waiter looks before it gives its time slice away; picked out of thin air.
    const SPINS: u32 = 64;

    pub(crate) struct SpinLock<T> {
        locked: AtomicBool,
        value: UnsafeCell<T>,
    }

    // SAFETY: the value is reached by whoever holds the lock, one at a time.
    unsafe impl<T: Send> Sync for SpinLock<T> {}
    // SAFETY: owns the value.
    unsafe impl<T: Send> Send for SpinLock<T> {}

    pub(crate) struct Guard<'a, T>(&'a SpinLock<T>);

    impl<T> SpinLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }

        #[inline]
        pub(crate) fn lock(&self) -> Guard<'_, T> {
            // Acquire: pairs with the release in `Guard::drop`.
            if self.locked.swap(true, Acquire) {
                self.lock_contended();
            }
            Guard(self)
        }

        #[cold]
        fn lock_contended(&self) {
            loop {
                for _ in 0..SPINS {
                    // Acquire as above; the load first, so as not to write to a line that another is using.
                    if !self.locked.load(Relaxed) && !self.locked.swap(true, Acquire) {
                        return;
                    }
                    std::hint::spin_loop();
                }
                std::thread::yield_now();
            }
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        #[inline]
        fn deref(&self) -> &T {
            // SAFETY: the guard is the right to the value.
            unsafe { &*self.0.value.get() }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        #[inline]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: the guard is the only right to the value.
            unsafe { &mut *self.0.value.get() }
        }
    }

    impl<T> Drop for Guard<'_, T> {
        #[inline]
        fn drop(&mut self) {
            // Release: pairs with the acquire in `lock`.
            self.0.locked.store(false, Release);
        }
    }
}
