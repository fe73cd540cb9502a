//! The one seam between the engine's protocols and the memory model they run on.
//!
//! Everything that takes part in a protocol (the task word, parking, the registry, timers) takes its atomics, locks,
//! cells and thread-locals from here: std and `parking_lot` in a normal build, loom's with `--cfg loom`.

#[cfg(not(loom))]
mod imp {
    pub(crate) use parking_lot::Mutex;
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread;
    use std::time::{Duration, Instant};

    /// The time since `epoch`.
    #[inline(always)]
    pub(crate) fn elapsed(epoch: Instant) -> Duration {
        epoch.elapsed()
    }

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

    /// For models: see there.
    pub(crate) struct Canary;

    pub(crate) struct Watched;

    impl Canary {
        pub(crate) const fn new() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn watch(&self) -> Watched {
            Watched
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
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::MutexGuard;
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    /// Part of something that must not go while it is being watched: loom does not see that memory is freed.
    pub struct Canary(&'static std::sync::atomic::AtomicBool);

    /// Fails when it is dropped, if the canary has gone.
    pub struct Watched(&'static std::sync::atomic::AtomicBool);

    impl Canary {
        pub fn new() -> Self {
            Self(Box::leak(Box::default()))
        }

        pub fn watch(&self) -> Watched {
            Watched(self.0)
        }
    }

    impl Drop for Canary {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            assert!(
                std::thread::panicking() || !self.0.load(std::sync::atomic::Ordering::SeqCst),
                "used after it has gone"
            );
        }
    }

    /// loom's mutex behind the interface of `parking_lot`'s.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
        }

        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// loom's atomics with `SeqCst` accesses that mean something.
    ///
    /// loom knows `SeqCst` fences only and takes an access for `AcqRel`, so that right code seems wrong. Here a `SeqCst` load that comes after a `SeqCst`
    /// store or exchange of the same thread has a fence before it: what C++ promises for "write mine, then read theirs", and no more
    /// than that where only one of the two is `SeqCst`.
    pub mod atomic {
        use loom::sync::atomic as inner;
        use std::cell::Cell;
        use std::sync::atomic::Ordering::{self, SeqCst};

        loom::thread_local! {
            /// A `SeqCst` write was made since the last fence.
            static WRITTEN: Cell<bool> = Cell::new(false)
        }

        fn set_written(to: bool) -> bool {
            WRITTEN.try_with(|written| written.replace(to)).unwrap_or(false)
        }

        /// Called before every read.
        fn before_read(ordering: Ordering) {
            if ordering == SeqCst && set_written(false) {
                inner::fence(SeqCst);
            }
        }

        /// Called after every write.
        fn after_write(ordering: Ordering) {
            if ordering == SeqCst {
                set_written(true);
            }
        }

        pub fn fence(ordering: Ordering) {
            set_written(false);
            inner::fence(ordering);
        }

        macro_rules! atomic {
            ($name:ident $(<$t:ident>)?, $value:ty, $($arithmetic:ident)*) => {
                #[derive(Debug)]
                pub struct $name $(<$t>)? (inner::$name $(<$t>)?);

                #[allow(dead_code, reason = "each kind has all operations; the engine needs some of each")]
                impl $(<$t>)? $name $(<$t>)? {
                    #[track_caller]
                    pub fn new(value: $value) -> Self {
                        Self(inner::$name::new(value))
                    }

                    #[track_caller]
                    pub fn load(&self, ordering: Ordering) -> $value {
                        before_read(ordering);
                        self.0.load(ordering)
                    }

                    #[track_caller]
                    pub fn store(&self, value: $value, ordering: Ordering) {
                        self.0.store(value, ordering);
                        after_write(ordering);
                    }

                    atomic!(@ $value, swap $($arithmetic)*);

                    #[track_caller]
                    pub fn compare_exchange(
                        &self,
                        from: $value,
                        to: $value,
                        success: Ordering,
                        failure: Ordering,
                    ) -> Result<$value, $value> {
                        before_read(success);
                        let result = self.0.compare_exchange(from, to, success, failure);
                        if result.is_ok() {
                            after_write(success);
                        }
                        result
                    }

                    #[track_caller]
                    pub fn compare_exchange_weak(
                        &self,
                        from: $value,
                        to: $value,
                        success: Ordering,
                        failure: Ordering,
                    ) -> Result<$value, $value> {
                        self.compare_exchange(from, to, success, failure)
                    }
                }
            };
            (@ $value:ty, $($operation:ident)*) => {
                $(
                    #[track_caller]
                    pub fn $operation(&self, value: $value, ordering: Ordering) -> $value {
                        before_read(ordering);
                        let before = self.0.$operation(value, ordering);
                        after_write(ordering);
                        before
                    }
                )*
            };
        }

        atomic!(AtomicBool, bool,);
        atomic!(AtomicU8, u8, fetch_max);
        atomic!(AtomicU32, u32, fetch_add);
        atomic!(AtomicU64, u64, fetch_add fetch_sub fetch_and fetch_or);
        atomic!(AtomicUsize, usize, fetch_add fetch_sub fetch_and fetch_or);
        atomic!(AtomicPtr<T>, *mut T,);
    }

    /// Threads whose park token is a `Notify`: loom's own `unpark` also wakes a thread that waits for a mutex.
    pub mod thread {
        use loom::sync::Notify;
        pub use loom::thread::{JoinHandle, spawn, yield_now};
        use std::sync::Arc;
        use std::time::Duration;

        loom::thread_local! {
            /// What ends `park` of this thread.
            static TOKEN: Arc<Notify> = Arc::new(Notify::new())
        }

        #[derive(Debug, Clone)]
        pub struct Thread(Arc<Notify>);

        impl Thread {
            pub fn unpark(&self) {
                self.0.notify();
            }
        }

        pub fn current() -> Thread {
            Thread(TOKEN.with(Arc::clone))
        }

        /// Like the real one, it may return without reason.
        pub fn park() {
            current().0.wait();
        }

        /// The time is up at once, but not before the others had a chance.
        pub fn park_timeout(timeout: Duration) {
            yield_now();
            super::NOW.set(super::NOW.get() + timeout);
        }
    }

    std::thread_local! {
        /// The time of the model: what was slept through. One for all threads of a model, which are coroutines of one real thread.
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) }
    }

    /// The time of the model since its beginning.
    pub fn elapsed(_epoch: Instant) -> Duration {
        NOW.get()
    }

    /// An execution begins.
    pub fn reset_time() {
        NOW.set(Duration::ZERO);
    }

    macro_rules! static_thread_local {
        ($(#[$attr:meta])* static $name:ident: $ty:ty = $init:expr) => {
            ::loom::thread_local! { $(#[$attr])* static $name: $ty = $init }
        };
    }
    pub(crate) use static_thread_local;
}

#[cfg(not(loom))]
pub(crate) use imp::*;
#[cfg(loom)]
pub use imp::*;
