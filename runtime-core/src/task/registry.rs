//! The live tasks: one list per worker, so that creating a task touches nothing that other workers write.
//!
//! A shard's lock is a leaf: held for a few instructions, and nothing of a user's is called or dropped under it.

use super::TaskRef;
use super::cell::Header;
use super::handle::is_listed;
use crate::spin::SpinLock;
use std::mem::ManuallyDrop;
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

/// One list of live tasks.
pub(crate) struct Shard(SpinLock<List>);

struct List {
    first: Option<NonNull<Header>>,
    counts: Counts,
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

impl Counts {
    /// The counts that a task belongs to.
    ///
    /// # Safety
    ///
    /// The task is alive.
    unsafe fn of(&mut self, task: NonNull<Header>) -> impl Iterator<Item = &mut Count> {
        // SAFETY: by the caller's promise.
        let users = is_listed(unsafe { task.as_ref() }.kind()).then_some(&mut self.users);
        std::iter::once(&mut self.all).chain(users)
    }
}

/// How many tasks a step of a walk looks at under the lock: some ten microseconds. Picked out of thin air.
const WALK_STEP: usize = 256;

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
        Self(SpinLock::new(List { first: None, counts: Counts::default(), closed: false }))
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
        for count in unsafe { list.counts.of(task) } {
            count.len += 1;
            count.inserted += 1;
        }
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
        let Links { before, after } = take_links(task);
        match before {
            Some(before) => with_links(before, |links| links.after = after),
            None => list.first = after,
        }
        if let Some(after) = after {
            with_links(after, |links| links.before = before);
        }
        // SAFETY: it was listed, and is alive until its remover gives the runtime's reference back.
        for count in unsafe { list.counts.of(task) } {
            count.len -= 1;
        }
        list.counts.users.len
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    /// Takes in no more tasks.
    pub(crate) fn close(&self) {
        self.0.lock().closed = true;
    }

    /// References to all tasks that are listed, newest first.
    pub(crate) fn collect(&self) -> Vec<TaskRef> {
        // The memory is got with nothing locked; a few more tasks may have come when the lock is taken.
        let mut tasks = Vec::with_capacity(self.counts().all.len + 64);
        let list = self.0.lock();
        let mut next = list.first;
        while let Some(task) = next {
            // SAFETY: listed, so the runtime's reference stands; `ManuallyDrop` gives none back.
            let borrowed = ManuallyDrop::new(unsafe { TaskRef::from_raw(task) });
            tasks.push(TaskRef::clone(&borrowed));
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
            // SAFETY: listed, so the runtime's reference stands; `ManuallyDrop` gives none back.
            let borrowed = ManuallyDrop::new(unsafe { TaskRef::from_raw(task) });
            walk.found.push(TaskRef::clone(&borrowed));
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
