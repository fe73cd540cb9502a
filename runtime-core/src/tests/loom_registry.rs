//! The list of live tasks of one worker, used from several threads.

use super::support::{Counted, Drops, Flags, Freed, Queue, create_unqueued, model};
use crate::loom::thread;
use crate::scheduler::Shared;
use crate::task::registry::{Shard, Swept};
use crate::task::{Notified, Task, TaskRef};
use std::sync::Arc;

struct Listed {
    queue: Arc<Queue>,
    freed: Freed,
    drops: Drops,
    shard: Arc<Shard>,
}

impl Listed {
    fn new() -> Self {
        Self { queue: Queue::new(), freed: Freed::new(), drops: Drops::default(), shard: Arc::new(Shard::new()) }
    }

    /// A task that lives until it is drained, and is in no list.
    fn create(&self) -> (Task<Counted>, Notified) {
        create_unqueued(&self.queue, &self.freed, Flags::new(0, &self.drops, &self.drops))
    }

    fn insert(&self, task: &Task<Counted>) -> bool {
        // SAFETY: the models put a task into one list, and remove it before it completes.
        unsafe { self.shard.insert(task.as_raw()) }
    }

    fn remove(shard: &Shard, task: &TaskRef) -> usize {
        // SAFETY: inserted before, removed once.
        unsafe { shard.remove(task.as_raw()) }
    }

    fn end(&self, notified: Vec<Notified>) {
        for task in notified {
            self.queue.push(task);
        }
        self.queue.drain();
        self.drops.check();
        self.freed.check();
    }
}

/// Three neighbours of which two are removed at once, while a third thread collects: who stays is in the list, the links hold.
///
/// *Found by hand:* `remove` that takes the neighbours before the lock; `collect` that gives out references that it has not taken.
#[test]
fn neighbours_are_removed_at_once() {
    model(|| {
        let listed = Listed::new();
        let (tasks, notified): (Vec<_>, Vec<_>) = (0..3).map(|_| listed.create()).unzip();
        assert!(tasks.iter().all(|task| listed.insert(task)));
        let shard = Arc::clone(&listed.shard);
        let first = tasks[0].task_ref();
        let remover = thread::spawn(move || Listed::remove(&shard, &first));
        let left = Listed::remove(&listed.shard, &tasks[1]);
        let seen = listed.shard.collect();
        assert!(seen.contains(&tasks[2]) && !seen.contains(&tasks[1]));
        let other = remover.join().unwrap();
        assert_eq!(left.min(other), 1, "the last to leave sees what is left");
        assert_eq!(left.max(other), 2);
        assert_eq!(listed.shard.collect(), [tasks[2].task_ref()]);
        assert_eq!(Listed::remove(&listed.shard, &tasks[2]), 0);
        drop((seen, tasks));
        listed.end(notified);
    });
}

/// A task is listed while the shard closes: it is among those that are collected afterwards, or it is refused.
///
/// *Found by hand:* `insert` that looks at `closed` under a lock of its own; `close` that leaves the list open.
#[test]
fn a_task_is_listed_or_refused() {
    model(|| {
        let listed = Listed::new();
        let (task, notified) = listed.create();
        let closer = thread::spawn({
            let shard = Arc::clone(&listed.shard);
            move || {
                shard.close();
                shard.collect()
            }
        });
        let inserted = listed.insert(&task);
        let collected = closer.join().unwrap();
        assert_eq!(inserted, collected.contains(&task.task_ref()));
        if inserted {
            assert_eq!(Listed::remove(&listed.shard, &task), 0);
        }
        drop((collected, task));
        listed.end(vec![notified]);
    });
}

/// The sweep comes to a list in steps, and the task that would be next goes meanwhile, or before: all that stay are found, each once.
///
/// *Found by hand:* `unlink` that leaves the sweep's place where it is.
#[test]
fn a_sweep_finds_its_place_when_the_next_task_goes() {
    model(|| {
        let listed = Listed::new();
        let (tasks, notified): (Vec<_>, Vec<_>) = (0..3).map(|_| listed.create()).unzip();
        assert!(tasks.iter().all(|task| listed.insert(task)));
        listed.shard.begin_sweep();
        let (shard, next) = (Arc::clone(&listed.shard), tasks[2].task_ref());
        let remover = thread::spawn(move || Listed::remove(&shard, &next));
        let mut swept = Swept::new();
        listed.shard.sweep_on(&mut swept, |_| true);
        remover.join().unwrap();
        listed.shard.sweep_on(&mut swept, |_| true);
        let found = |task: &Task<Counted>| swept.others.iter().filter(|found| **found == task.task_ref()).count();
        assert_eq!((found(&tasks[0]), found(&tasks[1])), (1, 1));
        assert_eq!(swept.seen, 2 + found(&tasks[2]));
        assert!(swept.entries.is_empty(), "all are queued");
        let left: Vec<_> = tasks[..2].iter().map(|task| Listed::remove(&listed.shard, task)).collect();
        assert_eq!(left, [1, 0]);
        drop((swept, tasks));
        listed.end(notified);
    });
}

/// A task creates another in a list that was looked at before, and ends, and so on: the runtime is never taken for deserted.
///
/// *Found by hand:* `is_deserted` that looks at each list once.
#[test]
fn a_runtime_with_a_task_is_not_deserted() {
    model(|| {
        let listed = Listed::new();
        let (tasks, notified): (Vec<_>, Vec<_>) = (0..3).map(|_| listed.create()).unzip();
        let config = crate::Config { workers: 2, ..crate::Config::default() };
        let shared = Shared::new(0, config, vec![None, None]);
        let list = |shared: &Shared, worker: usize, task: &TaskRef, is_new: bool| {
            let shard = shared.tasks.get(shared.tasks.place(worker, 0));
            // SAFETY: each is put into one list, and removed from it before it completes.
            let _ =
                unsafe { if is_new { usize::from(shard.insert(task.as_raw())) } else { shard.remove(task.as_raw()) } };
        };
        let references: Vec<_> = tasks.iter().map(|task| task.task_ref()).collect();
        list(&shared, 1, &references[0], true);
        let others = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                list(&shared, 0, &references[1], true);
                list(&shared, 1, &references[0], false);
                list(&shared, 1, &references[2], true);
                list(&shared, 0, &references[1], false);
            }
        });
        assert!(!shared.is_deserted(|counts| counts.all));
        others.join().unwrap();
        list(&shared, 1, &tasks[2], false);
        assert!(shared.is_deserted(|counts| counts.all));
        drop(tasks);
        listed.end(notified);
    });
}
