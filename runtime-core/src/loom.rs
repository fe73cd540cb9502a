//! The one seam between the engine's protocols and the memory model they run on.
//!
//! Everything that takes part in a protocol (the task word, parking, the registry, timers) takes its atomics, locks,
//! cells and thread-locals from here: std and `parking_lot` in a normal build, loom's with `--cfg loom`.

#[cfg(not(loom))]
mod imp {
    pub(crate) use parking_lot::Mutex;
    #[cfg(test)]
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread;

    /// `std::cell::UnsafeCell` with the closure interface that loom needs to track accesses.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }

    /// A thread-local without a destructor, so that it can be used at any time in a thread's life.
    macro_rules! static_thread_local {
        ($(#[$attr:meta])* static $name:ident: $ty:ty = $init:expr) => {
            ::std::thread_local! { $(#[$attr])* static $name: $ty = const { $init } }
        };
    }
    pub(crate) use static_thread_local;
}

#[cfg(loom)]
mod imp {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::{Arc, MutexGuard, atomic};
    pub(crate) use loom::thread;

    /// loom's mutex behind the interface of `parking_lot`'s.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    macro_rules! static_thread_local {
        ($(#[$attr:meta])* static $name:ident: $ty:ty = $init:expr) => {
            ::loom::thread_local! { $(#[$attr])* static $name: $ty = $init }
        };
    }
    pub(crate) use static_thread_local;
}

pub(crate) use imp::*;
