//! The live tasks: lists of its own for each worker, so that creating a task touches nothing that other workers write.
//!
//! A worker takes the tasks that have ended there out of their lists several at a time, and at the latest before it rests ([`Ended`]): their lists are often those of other
//! workers, whose locks would go to and fro with every task. Until then they are listed, but done.
//!
//! A shard's lock is a leaf: held for a few instructions, and nothing of a user's is called or dropped under it.

use super::cell::Header;
use super::task_ref::is_listed;
use super::{Kind, Notified, TaskRef, harness};
use crate::spin::SpinLock;
use crossbeam_utils::CachePadded;
use std::cell::RefCell;
use std::ptr::NonNull;

/// A task's neighbours in its shard.
#[derive(Debug)]
pub(crate) struct Links {
    before: Option<NonNull<Header>>,
    after: Option<NonNull<Header>>,
}

impl Links {
    pub(crate) fn new() -> Self {
        Self { before: None, after: None }
    }
}

/// How many ended tasks are taken out of their lists at a time. Picked out of thin air: the lock is then a small part, and little memory is kept.
const ENDED: usize = 32;

/// Tasks that have ended on a worker and are still listed, each with the runtime's reference.
pub(crate) struct Ended(RefCell<Vec<TaskRef>>);

impl Ended {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(Vec::with_capacity(ENDED)))
    }

    /// Adds one; true when it is time to take them out.
    #[inline]
    #[must_use]
    pub(crate) fn add(&self, task: TaskRef) -> bool {
        let mut tasks = self.0.borrow_mut();
        tasks.push(task);
        tasks.len() >= ENDED
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Takes all out of their lists and gives the references back.
    ///
    /// # Safety
    ///
    /// The tasks are listed there.
    pub(crate) unsafe fn unlist(&self, shards: &Shards) {
        // Nothing is borrowed when the references go.
        let mut tasks = self.0.take();
        tasks.sort_unstable_by_key(|task| task.header().shard);
        for tasks in tasks.chunk_by(|one, next| one.header().shard == next.header().shard) {
            // SAFETY: by the caller's promise.
            unsafe { shards.get(tasks[0].header().shard).remove_all(tasks) };
        }
        tasks.clear();
        if self.is_empty() {
            self.0.replace(tasks);
        }
    }
}

/// How many lists a worker has, if there are others: tasks go to one and the other by turns, so that in a shutdown the worker and one that helps it are at different
/// ones. (With one, two workers took as long for a million tasks as one did.)
const LISTS: usize = 2;
/// How many tasks in a row go to the same list: neighbours in a list are neighbours in memory. Picked out of thin air.
const ROW: u64 = 256;

/// The lists of a runtime.
pub(crate) struct Shards {
    shards: Box<[CachePadded<Shard>]>,
    /// Of each worker: a power of two.
    lists: usize,
}

impl Shards {
    pub(crate) fn new(workers: usize) -> Self {
        // One in models, which have to be small.
        let lists = if workers > 1 && !cfg!(loom) { LISTS } else { 1 };
        Self { shards: (0..workers * lists).map(|_| CachePadded::new(Shard::new())).collect(), lists }
    }

    /// The number of the list for the task with this `id`, made by this worker, or by a foreign thread that counts as this worker.
    #[inline]
    pub(crate) fn place(&self, worker: usize, id: u64) -> u16 {
        // Not a remainder, which is a division: 4 % of `spawn/chain`.
        (worker * self.lists + ((id / ROW) as usize & (self.lists - 1))) as u16
    }

    #[inline]
    pub(crate) fn get(&self, place: u16) -> &Shard {
        &self.shards[usize::from(place)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().map(|shard| &**shard)
    }

    /// The lists in the order in which this worker sweeps: its own, and then those of others from the other end, where they come last.
    pub(crate) fn to_sweep(&self, worker: usize) -> impl Iterator<Item = &Shard> {
        let own = worker * self.lists..(worker + 1) * self.lists;
        let others = (0..self.shards.len()).rev().filter({
            let own = own.clone();
            move |place| !own.contains(place)
        });
        own.chain(others).map(|place| &*self.shards[place])
    }
}

/// One list of live tasks.
pub(crate) struct Shard(SpinLock<List>);

struct List {
    first: Option<NonNull<Header>>,
    /// Where the sweep goes on, which comes to all in steps; `None` at its end, and as long as there is none.
    unswept: Option<NonNull<Header>>,
    /// Those that are tasks in a user's eyes.
    users: Tally,
    others: Tally,
    /// No task is taken in any more.
    closed: bool,
}

/// How many there are in a list.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) all: Count,
    /// Those that are tasks in a user's eyes.
    pub(crate) users: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count {
    /// How many tasks are listed.
    pub(crate) len: usize,
    /// How many ever were.
    pub(crate) inserted: u64,
}

/// Two numbers that only grow, so that a task that comes writes one of them. (Two in one step are read
/// together, and wait for the one that was written alone just before: a seventh of the time that making a task took.)
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    inserted: u64,
    removed: u64,
}

impl Tally {
    fn count(self) -> Count {
        Count { len: (self.inserted - self.removed) as usize, inserted: self.inserted }
    }
}

impl List {
    /// # Safety
    ///
    /// The task is in this list.
    #[inline]
    unsafe fn unlink(&mut self, task: NonNull<Header>) {
        let Links { before, after } = take_links(task);
        match before {
            Some(before) => with_links(before, |links| links.after = after),
            None => self.first = after,
        }
        if self.unswept == Some(task) {
            self.unswept = after;
        }
        if let Some(after) = after {
            with_links(after, |links| links.before = before);
        }
        // SAFETY: it was listed, and is alive until its remover gives the runtime's reference back.
        unsafe { self.tally_of(task) }.removed += 1;
    }

    /// Where a task is counted.
    ///
    /// # Safety
    ///
    /// The task is alive.
    #[inline]
    unsafe fn tally_of(&mut self, task: NonNull<Header>) -> &mut Tally {
        // SAFETY: by the caller's promise.
        if is_listed(unsafe { task.as_ref() }.kind()) { &mut self.users } else { &mut self.others }
    }
}

/// How many tasks a step of a walk looks at under the lock: some ten microseconds. Picked out of thin air.
const WALK_STEP: usize = 256;

/// How many tasks whoever sweeps takes at a time. Picked out of thin air: the lock is then a small part, and they are still in the cache when they are run.
pub(crate) const SWEEP_STEP: usize = 32;

/// What a step of the sweep has found.
pub(crate) struct Swept {
    /// How many tasks it has looked at.
    pub(crate) seen: usize,
    /// Tasks with the request made, to be run.
    pub(crate) entries: Vec<Notified>,
    /// Tasks to which the request has to be made.
    pub(crate) others: Vec<TaskRef>,
}

impl Swept {
    /// With all the memory that a step needs, which cannot be got under a shard's lock.
    pub(crate) fn new() -> Self {
        Self { seen: 0, entries: Vec::with_capacity(SWEEP_STEP), others: Vec::with_capacity(SWEEP_STEP) }
    }
}

/// A walk through a shard in small steps, between which others use it.
#[derive(Default)]
pub(crate) struct Walk {
    /// The tasks found so far.
    pub(crate) found: Vec<TaskRef>,
    /// Those of them that may still be listed, which `found` keeps alive. Their links are read under the shard's lock.
    anchors: Vec<NonNull<Header>>,
}

// SAFETY: the list's pointers are to cells that may be shared (see `TaskRef`), and are only followed under the lock.
unsafe impl Send for List {}

impl Shard {
    pub(crate) fn new() -> Self {
        Self(SpinLock::new(List {
            first: None,
            unswept: None,
            users: Tally::default(),
            others: Tally::default(),
            closed: false,
        }))
    }

    /// Lists a task; false when the shard is closed.
    ///
    /// # Safety
    ///
    /// The task is in no list, and stays alive until it is removed: its creator holds the runtime's reference, which is given back
    /// after [`remove`](Self::remove).
    #[inline]
    pub(crate) unsafe fn insert(&self, task: NonNull<Header>) -> bool {
        let mut list = self.0.lock();
        if list.closed {
            return false;
        }
        let after = list.first.replace(task);
        set_links(task, Links { before: None, after });
        if let Some(after) = after {
            with_links(after, |links| links.before = Some(task));
        }
        // SAFETY: alive by the caller's promise.
        unsafe { list.tally_of(task) }.inserted += 1;
        true
    }

    /// Takes a task out; gives how many of the users' are left.
    ///
    /// # Safety
    ///
    /// The task is in this list.
    #[inline]
    pub(crate) unsafe fn remove(&self, task: NonNull<Header>) -> usize {
        let mut list = self.0.lock();
        // SAFETY: by the caller's promise.
        unsafe { list.unlink(task) };
        list.users.count().len
    }

    /// Takes tasks out, under one lock.
    ///
    /// # Safety
    ///
    /// The tasks are in this list.
    pub(crate) unsafe fn remove_all(&self, tasks: &[TaskRef]) {
        let mut list = self.0.lock();
        for task in tasks {
            // SAFETY: by the caller's promise.
            unsafe { list.unlink(task.as_raw()) };
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let (users, others) = {
            let list = self.0.lock();
            (list.users.count(), list.others.count())
        };
        Counts { all: Count { len: users.len + others.len, inserted: users.inserted + others.inserted }, users }
    }

    /// Takes in no more tasks.
    pub(crate) fn close(&self) {
        self.0.lock().closed = true;
    }

    /// Begins a sweep: all that are listed now, and stay so until their turn, are given by [`sweep_on`](Self::sweep_on). One at a time.
    pub(crate) fn begin_sweep(&self) {
        let mut list = self.0.lock();
        list.unswept = list.first;
    }

    /// Goes on with the sweep, newest first, and finds nothing at its end. Each task that `is_due` is given to one of those who ask: with its request
    /// made if it is idle, which is most often so and costs one step of its state and no reference; or as it is.
    pub(crate) fn sweep_on(&self, swept: &mut Swept, is_due: impl Fn(Kind) -> bool) {
        let mut list = self.0.lock();
        for _ in 0..SWEEP_STEP {
            let Some(task) = list.unswept else { return };
            list.unswept = with_links(task, |links| links.after);
            swept.seen += 1;
            // SAFETY: listed, so the runtime's reference stands.
            if !is_due(unsafe { task.as_ref() }.kind()) {
                continue;
            }
            match harness::sweep_if_idle(task) {
                Some(entry) => swept.entries.push(entry),
                // SAFETY: as above.
                None => swept.others.push(unsafe { TaskRef::clone_raw(task) }),
            }
        }
    }

    /// References to all tasks that are listed, newest first.
    pub(crate) fn collect(&self) -> Vec<TaskRef> {
        // The memory is got with nothing locked; a few more tasks may have come when the lock is taken.
        let mut tasks = Vec::with_capacity(self.counts().all.len + 64);
        let list = self.0.lock();
        let mut next = list.first;
        while let Some(task) = next {
            // SAFETY: listed, so the runtime's reference stands.
            tasks.push(unsafe { TaskRef::clone_raw(task) });
            next = with_links(task, |links| links.after);
        }
        tasks
    }

    /// Goes on with a walk: takes references to some more tasks, newest first. True when the end has been reached.
    ///
    /// A task that is listed from the walk's beginning to its end is found; one that comes or goes meanwhile may be or not.
    pub(crate) fn walk_on(&self, walk: &mut Walk) -> bool {
        // The memory is got with nothing locked.
        walk.found.reserve(WALK_STEP);
        walk.anchors.reserve(WALK_STEP);
        let list = self.0.lock();
        let mut next = list.first;
        let mut steps = 0;
        // What comes after the last one found that is still listed has not been found yet: new tasks come in at the front.
        while let Some(anchor) = walk.anchors.last() {
            let (before, after) = with_links(*anchor, |links| (links.before, links.after));
            if before.is_some() || list.first == Some(*anchor) {
                next = after;
                break;
            }
            walk.anchors.pop();
            steps += 1;
            if steps == WALK_STEP {
                return false;
            }
        }
        while let Some(task) = next.filter(|_| steps < WALK_STEP) {
            // SAFETY: listed, so the runtime's reference stands.
            walk.found.push(unsafe { TaskRef::clone_raw(task) });
            walk.anchors.push(task);
            next = with_links(task, |links| links.after);
            steps += 1;
        }
        next.is_none()
    }

    /// As [`collect`](Self::collect), without what is no task in a user's eyes, and without those that have ended.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        let mut tasks = self.collect();
        tasks.retain(|task| is_listed(task.header().kind()) && !task.done());
        tasks
    }
}

// The three functions below are called under the lock of the shard that lists the task (or, in `walk_on`, has listed it), and only from
// above.

#[inline]
fn with_links<R>(task: NonNull<Header>, f: impl FnOnce(&mut Links) -> R) -> R {
    // SAFETY: listed, hence alive; the shard's lock, which the caller holds, guards the links of all tasks in its list.
    unsafe { task.as_ref() }.links.with_mut(|links| f(unsafe { &mut *links }))
}

#[inline]
fn set_links(task: NonNull<Header>, new: Links) {
    with_links(task, |links| *links = new);
}

#[inline]
fn take_links(task: NonNull<Header>) -> Links {
    with_links(task, |links| std::mem::replace(links, Links::new()))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_worker_sweeps_all_lists_its_own_first_and_meets_the_others_at_their_end() {
        let shards = Shards::new(3);
        let place = |shard: &Shard| shards.iter().position(|other| std::ptr::eq(other, shard)).unwrap();
        let orders = [0, 1, 2].map(|worker| shards.to_sweep(worker).map(place).collect::<Vec<_>>());
        assert_eq!(orders, [[0, 1, 5, 4, 3, 2], [2, 3, 5, 4, 1, 0], [4, 5, 3, 2, 1, 0]]);
        let only = Shards::new(1);
        assert_eq!((only.iter().count(), only.to_sweep(0).count()), (1, 1));
    }

    #[test]
    fn tasks_go_to_all_lists_of_their_worker() {
        let shards = Shards::new(2);
        let places: Vec<_> = (0..4).map(|row| shards.place(1, row * ROW)).collect();
        assert_eq!(places, [2, 3, 2, 3]);
        assert_eq!(Shards::new(1).place(0, 7 * ROW), 0);
    }
}
