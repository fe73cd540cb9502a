//! The run queues: the seam to `crossbeam-deque`, with a stand-in under loom, which cannot see into it.

use crate::task::Notified;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

#[cfg(loom)]
pub(crate) use stand_in::{Stealer, Worker};
#[cfg(not(loom))]
pub(crate) use work_stealing::{Stealer, Worker};

/// What a worker pushes to and pops from.
pub(crate) enum LocalQueue {
    /// Several workers: the others steal from it. First in, first out.
    Shared(Worker),
    /// One worker: nobody steals. First in, first out.
    Own(RefCell<VecDeque<Notified>>),
    /// One worker with a seed: any of the ready tasks is next.
    Seeded(RefCell<Vec<Notified>>, Random),
}

impl LocalQueue {
    #[inline]
    pub(crate) fn push(&self, task: Notified) {
        match self {
            Self::Shared(deque) => deque.push(task),
            Self::Own(queue) => queue.borrow_mut().push_back(task),
            Self::Seeded(queue, _) => queue.borrow_mut().push(task),
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Notified> {
        match self {
            Self::Shared(deque) => deque.pop(),
            Self::Own(queue) => queue.borrow_mut().pop_front(),
            Self::Seeded(queue, random) => {
                let mut queue = queue.borrow_mut();
                let len = queue.len();
                if len == 0 { None } else { Some(queue.swap_remove(random.below(len))) }
            }
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Shared(deque) => deque.len(),
            Self::Own(queue) => queue.borrow().len(),
            Self::Seeded(queue, _) => queue.borrow().len(),
        }
    }

    /// The deque that others steal from, if this is one.
    pub(crate) fn shared(&self) -> Option<&Worker> {
        match self {
            Self::Shared(deque) => Some(deque),
            _ => None,
        }
    }
}

/// A small generator (splitmix64, Steele, Lea and Flood 2014): for the order of ready tasks, and for whom to steal from first.
#[derive(Debug)]
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, evenly enough for what it is used for.
    pub(crate) fn below(&self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(not(loom))]
mod work_stealing {
    use crate::task::Notified;
    use crossbeam_deque as deque;

    /// The owner's end of a worker's deque.
    pub(crate) struct Worker(deque::Worker<Notified>);

    /// The thieves' end.
    pub(crate) struct Stealer(deque::Stealer<Notified>);

    impl Worker {
        pub(crate) fn new() -> (Self, Stealer) {
            let worker = deque::Worker::new_fifo();
            let stealer = worker.stealer();
            (Self(worker), Stealer(stealer))
        }

        pub(crate) fn push(&self, task: Notified) {
            self.0.push(task);
        }

        pub(crate) fn pop(&self) -> Option<Notified> {
            self.0.pop()
        }

        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }
    }

    impl Stealer {
        /// Moves about half of what is there to `to`, but for one task, which is given.
        pub(crate) fn steal_into(&self, to: &Worker) -> Option<Notified> {
            retry(|| self.0.steal_batch_and_pop(&to.0))
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }

    /// `Retry` means that another thief was faster: somebody makes progress, so this ends.
    fn retry(mut steal: impl FnMut() -> deque::Steal<Notified>) -> Option<Notified> {
        loop {
            match steal() {
                deque::Steal::Success(task) => return Some(task),
                deque::Steal::Empty => return None,
                deque::Steal::Retry => std::hint::spin_loop(),
            }
        }
    }
}

#[cfg(loom)]
mod stand_in {
    use crate::loom::Mutex;
    use crate::loom::atomic::AtomicUsize;
    use crate::task::Notified;
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

    /// A queue behind a lock, with its length beside it: a look at the length orders nothing, as with the real ones.
    struct Queue {
        tasks: Mutex<VecDeque<Notified>>,
        len: AtomicUsize,
    }

    impl Queue {
        fn new() -> Self {
            Self { tasks: Mutex::new(VecDeque::new()), len: AtomicUsize::new(0) }
        }

        fn push(&self, task: Notified) {
            let mut tasks = self.tasks.lock();
            tasks.push_back(task);
            self.len.store(tasks.len(), Release);
        }

        fn pop(&self) -> Option<Notified> {
            if self.len.load(Acquire) == 0 {
                return None;
            }
            let mut tasks = self.tasks.lock();
            let task = tasks.pop_front();
            self.len.store(tasks.len(), Release);
            task
        }

        fn len(&self) -> usize {
            self.len.load(Relaxed)
        }

        /// Two tasks at once, of which the second is in no queue on its way.
        fn move_into(&self, to: &Worker) -> Option<Notified> {
            let first = self.pop()?;
            if let Some(second) = self.pop() {
                to.push(second);
            }
            Some(first)
        }
    }

    /// The owner's end of a worker's queue.
    pub(crate) struct Worker(Arc<Queue>);

    /// The thieves' end.
    pub(crate) struct Stealer(Arc<Queue>);

    impl Worker {
        pub(crate) fn new() -> (Self, Stealer) {
            let queue = Arc::new(Queue::new());
            (Self(Arc::clone(&queue)), Stealer(queue))
        }

        pub(crate) fn push(&self, task: Notified) {
            self.0.push(task);
        }

        pub(crate) fn pop(&self) -> Option<Notified> {
            self.0.pop()
        }

        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }
    }

    impl Stealer {
        /// As the real one: gives a task, and moves more.
        pub(crate) fn steal_into(&self, to: &Worker) -> Option<Notified> {
            self.0.move_into(to)
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.len() == 0
        }
    }
}
