//! Where threads that are no workers leave work: a few queues behind short locks, over which such threads spread.
//!
//! One queue without locks (crossbeam's) was slower: all threads write to its one end, and it gets memory for its entries in the pusher's thread, which the
//! global allocator does not give back to the system when a worker frees it. Here entries lie in the memory of tasks.

use crate::loom::atomic::AtomicUsize;
use crate::prefetch::prefetch;
use crate::spin::SpinLock;
use crate::task::{Notified, memory};
use crossbeam_utils::CachePadded;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// More queues than this take longer to look through than they save.
const QUEUES: usize = 16;
/// How many tasks a worker takes over at a time, at the most.
pub(super) const BATCH: usize = 32;
/// How many entries a segment has: half a kilobyte.
const SEGMENT: usize = 64;
/// A list of segments that had room for more than this is given back when it is empty.
const KEPT: usize = 64;

pub(crate) struct Injector(Box<[CachePadded<Shard>]>);

struct Shard {
    /// How many entries there are; written under the lock. A look at it orders nothing: see the fences of `Idle`.
    len: AtomicUsize,
    queue: SpinLock<Queue>,
}

/// First in, first out.
struct Queue {
    segments: VecDeque<Segment>,
    /// Where the next entry of the first segment is taken out, and where one is put into the last.
    head: usize,
    tail: usize,
}

type Entries = [Option<Notified>; SEGMENT];

/// A block of the tasks' memory, for entries.
struct Segment(NonNull<Entries>);

// SAFETY: owns its entries, which may be sent.
unsafe impl Send for Segment {}

impl Segment {
    fn new() -> Self {
        let place = memory::allocate::<Entries>();
        // SAFETY: fresh room for just that.
        unsafe { place.write([const { None }; SEGMENT]) };
        Self(place)
    }
}

impl Deref for Segment {
    type Target = Entries;

    fn deref(&self) -> &Entries {
        // SAFETY: initialised in `new`, and ours until it is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Segment {
    fn deref_mut(&mut self) -> &mut Entries {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: from `allocate`, and nobody uses it any more. Entries have no destructor, and own no memory.
        unsafe { memory::free(self.0) };
    }
}

/// What is given back when nothing is locked any more.
#[derive(Default)]
struct Surplus {
    segment: Option<Segment>,
    list: VecDeque<Segment>,
}

impl Queue {
    const fn new() -> Self {
        Self { segments: VecDeque::new(), head: 0, tail: SEGMENT }
    }

    /// Adds an entry if there is room in the last segment, or in `fresh`, which then becomes that.
    fn push(&mut self, task: Notified, fresh: &mut Option<Segment>) -> Result<(), Notified> {
        if self.tail == SEGMENT {
            let Some(segment) = fresh.take() else { return Err(task) };
            self.segments.push_back(segment);
            self.tail = 0;
        }
        let last = self.segments.back_mut().expect("the segment with the tail");
        last[self.tail] = Some(task);
        self.tail += 1;
        Ok(())
    }

    /// Takes an entry. One segment stays when all have been taken.
    fn pop(&mut self, surplus: &mut Surplus) -> Option<Notified> {
        let task = self.segments.front_mut()?.get_mut(self.head)?.take()?;
        self.head += 1;
        if self.segments.len() > 1 && self.head == SEGMENT {
            surplus.segment = self.segments.pop_front();
            self.head = 0;
        } else if self.segments.len() == 1 && self.head == self.tail {
            (self.head, self.tail) = (0, 0);
            if self.segments.capacity() > KEPT {
                surplus.list = std::mem::take(&mut self.segments);
                self.segments.extend(surplus.list.pop_front());
            }
        }
        Some(task)
    }
}

impl Shard {
    fn new() -> CachePadded<Self> {
        CachePadded::new(Self { len: AtomicUsize::new(0), queue: SpinLock::new(Queue::new()) })
    }

    fn len(&self) -> usize {
        // Relaxed: see the field.
        self.len.load(Relaxed)
    }

    fn push(&self, mut task: Notified) {
        // Its memory is got with nothing locked.
        let mut fresh = None;
        loop {
            let mut queue = self.queue.lock();
            match queue.push(task, &mut fresh) {
                Ok(()) => {
                    // Release, as the lock's: whoever sees it may find the entry. Written by who has the lock.
                    self.len.store(self.len() + 1, Release);
                    return;
                }
                Err(again) => task = again,
            }
            drop(queue);
            fresh = Some(Segment::new());
        }
    }

    /// Takes up to half of the entries, not more than there is room for in `to`; gives the first, and how many are in `to`.
    fn pop(&self, to: &mut [Option<Notified>]) -> (Option<Notified>, usize) {
        // Saves the lock.
        if self.len() == 0 {
            return (None, 0);
        }
        let mut surplus = Surplus::default();
        let mut queue = self.queue.lock();
        let Some(task) = queue.pop(&mut surplus) else { return (None, 0) };
        let more = to.len().min(self.len() / 2);
        to[..more].fill_with(|| queue.pop(&mut surplus));
        self.len.store(self.len() - 1 - more, Release);
        (Some(task), more)
    }
}

impl Injector {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers.min(QUEUES)).map(|_| Shard::new()).collect())
    }

    /// How many places there are to push to.
    pub(crate) fn places(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&self, place: usize, task: Notified) {
        self.0[place].push(task);
    }

    /// Takes a task; looks first at the place with the number `from`, which may be any, and is to be another each time.
    pub(crate) fn steal(&self, from: usize) -> Option<Notified> {
        self.from(from).find_map(|shard| shard.pop(&mut []).0)
    }

    /// Takes a task, and some more of the same place, which are to be taken out of the iterator.
    pub(crate) fn steal_batch(&self, from: usize) -> Option<(Notified, impl Iterator<Item = Notified>)> {
        let mut more = [const { None }; BATCH];
        let (task, count) = self.from(from).map(|shard| shard.pop(&mut more)).find(|(task, _)| task.is_some())?;
        // They are in the cache of who has pushed them.
        let more = more.into_iter().take(count).flatten().inspect(|task| prefetch(task.task()));
        task.map(|task| (task, more))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|shard| shard.len() == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.len()).sum()
    }

    fn from(&self, from: usize) -> impl Iterator<Item = &CachePadded<Shard>> {
        let (before, rest) = self.0.split_at(from % self.0.len());
        rest.iter().chain(before)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// An entry that is only looked at by its number, and never run.
    fn entry(number: usize) -> Notified {
        let address = std::ptr::without_provenance_mut(8 * (number + 1));
        // SAFETY: nothing of it is used but the address.
        unsafe { Notified::new(NonNull::new(address).expect("not zero")) }
    }

    fn number(entry: Notified) -> usize {
        entry.task().as_ptr().addr() / 8 - 1
    }

    #[test]
    fn a_place_is_first_in_first_out_and_gives_memory_back() {
        let injector = Injector::new(1);
        let mut model = VecDeque::new();
        let mut random = 1_u64;
        let mut pushed = 0;
        for pushes_of_ten in [9, 5, 1, 9, 0] {
            for _ in 0..4_000 {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                if (random >> 33) % 10 < pushes_of_ten {
                    injector.push(0, entry(pushed));
                    model.push_back(pushed);
                    pushed += 1;
                } else {
                    assert_eq!(injector.steal(0).map(number), model.pop_front());
                }
                assert_eq!((injector.len(), injector.is_empty()), (model.len(), model.is_empty()));
            }
            let queue = injector.0[0].queue.lock();
            assert!(queue.segments.len() <= model.len() / SEGMENT + 2);
        }
        while let Some(next) = injector.steal(0) {
            assert_eq!(Some(number(next)), model.pop_front());
        }
        let queue = injector.0[0].queue.lock();
        assert!(model.is_empty() && queue.segments.len() == 1 && queue.segments.capacity() <= KEPT);
    }

    #[test]
    fn a_thief_takes_half_of_a_place_up_to_a_batch_and_comes_to_every_place() {
        let injector = Injector::new(3);
        let steal =
            |from| injector.steal_batch(from).map(|(task, more)| (number(task), more.map(number).collect::<Vec<_>>()));
        for task in 0..10 {
            injector.push(1, entry(task));
        }
        assert_eq!(steal(2), Some((0, vec![1, 2, 3, 4, 5])), "in their order");
        assert_eq!(injector.len(), 4);
        for task in 0..200 {
            injector.push(2, entry(task));
        }
        assert!(steal(2).is_some_and(|(_, more)| more.len() == BATCH));
        while steal(0).is_some() {}
        assert!(injector.is_empty());
    }
}
