//! The one seam between the protocols of this crate and the memory model they run on: the system's, or loom's with `--cfg loom`.

#[cfg(not(loom))]
mod imp {
    pub(crate) use crossbeam_channel::{Receiver, Sender, unbounded};
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    use std::io;
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread::{JoinHandle, Thread, current, park, park_timeout};
    use std::time::Instant;

    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    pub(crate) fn spawn(
        name: String,
        stack_size: Option<usize>,
        f: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let builder = std::thread::Builder::new().name(name);
        match stack_size {
            Some(size) => builder.stack_size(size).spawn(f),
            None => builder.spawn(f),
        }
    }

    /// Whether it is the thread that asks.
    pub(crate) fn is_current(thread: &JoinHandle<()>) -> bool {
        thread.thread().id() == current().id()
    }
}

#[cfg(loom)]
mod imp {
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::thread::JoinHandle;
    pub(crate) use runtime_core::loom::thread::{Thread, current, park, park_timeout};
    pub(crate) use runtime_core::loom::{Mutex, atomic};
    use std::collections::VecDeque;
    use std::io;
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
    use std::sync::{Arc, LazyLock};
    use std::time::Instant;

    pub(crate) fn now() -> Instant {
        static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
        *EPOCH + runtime_core::loom::elapsed(*EPOCH)
    }

    pub(crate) fn spawn(
        _name: String,
        _stack_size: Option<usize>,
        f: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        Ok(loom::thread::spawn(f))
    }

    pub(crate) fn is_current(thread: &JoinHandle<()>) -> bool {
        thread.thread().id() == loom::thread::current().id()
    }

    /// In place of the channel: a queue behind a lock, with its length beside it, a look at which orders nothing.
    struct Queue<T> {
        items: Mutex<VecDeque<T>>,
        len: atomic::AtomicUsize,
    }

    pub(crate) struct Sender<T>(Arc<Queue<T>>);

    pub(crate) struct Receiver<T>(Arc<Queue<T>>);

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let queue = Arc::new(Queue { items: Mutex::new(VecDeque::new()), len: atomic::AtomicUsize::new(0) });
        (Sender(Arc::clone(&queue)), Receiver(queue))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, item: T) -> Result<(), T> {
            let mut items = self.0.items.lock();
            items.push_back(item);
            self.0.len.store(items.len(), Release);
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn try_recv(&self) -> Result<T, ()> {
            if self.0.len.load(Acquire) == 0 {
                return Err(());
            }
            let mut items = self.0.items.lock();
            let item = items.pop_front();
            self.0.len.store(items.len(), Release);
            item.ok_or(())
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }

        pub(crate) fn len(&self) -> usize {
            self.0.len.load(Relaxed)
        }
    }
}

pub(crate) use imp::*;
