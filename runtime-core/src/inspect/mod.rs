//! Seeing inside: where every task is, what it awaits, who awaits it, and with which stack.
//!
//! # What is known when
//!
//! * **Always**, and at no cost: a task's name, number and creation place, its state, and who awaits it. The last is read from where the
//!   awaiting task's waker is registered anyway; what registers wakers of its own (`FuturesUnordered`) leaves the awaiting
//!   task's number beside it ([`Waiter`]). Timers are read from the wheels.
//! * **When asked**, by a poll that is watched (`watch`): everything that a suspended task awaits, promises and foreign futures included, each with
//!   its stack.
//! * **With `Config::inspect`**, at a cost for each poll: the parent, the number of polls, since when a task is suspended,
//!   and what its last poll awaits, so that all this is there also when no worker can poll.
//!
//! # What readers rely on
//!
//! A picture is taken by a thread that is in nobody's way. It takes references to the tasks a few at a time, under the lock of a shard of the
//! registry; what it reads of a task are atomics, and the cold part under its lock, which is a leaf. Addresses that it finds in
//! wakers are not followed but looked up among the tasks that it holds references to: so no task that is found can be another
//! than the one that is meant, except that of a waker that is just being replaced.
//! The parts of a picture are read one after the other: it is consistent for what stands still.

mod answers;
mod graph;
mod picture;
pub(crate) mod stack;
mod text;
mod watch;

pub use graph::{Await, Awaits, CallGraph, TaskReport, TaskState, WorkerReport};
pub use picture::{call_graph, capture_call_graph, format_call_graph, print_call_graph};
pub use stack::{StackFrame, TaskStack};
pub use watch::{awaiting_tasks, awaiting_via, not_awaiting};

pub(crate) use answers::Request;
pub(crate) use watch::{
    Leaf, Record, Watch, begin_record, clone_for, clone_for_join, cloned, is_watched_yield, saw, woke_itself,
};

use crate::current;
use crate::task::TaskId;
use crate::task::cell::Header;
use std::sync::atomic::Ordering::Relaxed;

/// What `Header::waiter` says: who awaits a task, where its join waker does not tell.
///
/// 31 bits of the number of a task, and whether that one awaits it all its life. Whoever reads it looks for a living task with this
/// number, and finds a wrong one only if two that live at the same time are 2³¹ tasks apart.
pub(crate) struct Waiter(u32);

const OWNER: u32 = 1 << 31;

/// `Header::waiter` of a task that is awaited by this one from its creation to its end.
pub(crate) fn owner(task: TaskId) -> u32 {
    short(task.0) | OWNER
}

/// The part of a task's number that is kept.
fn short(id: u64) -> u32 {
    id as u32 & !OWNER
}

impl Waiter {
    pub(crate) fn of(task: &Header) -> Self {
        // Relaxed: for pictures, nothing is followed.
        Self(task.waiter.load(Relaxed))
    }

    /// The one that awaits the task all its life.
    pub(crate) fn owner(&self) -> Option<u32> {
        (self.0 & OWNER != 0).then_some(self.0 & !OWNER)
    }

    /// The one that has registered by way of a combinator.
    pub(crate) fn combinator(&self) -> Option<u32> {
        (self.0 != 0 && self.0 & OWNER == 0).then_some(self.0)
    }

    /// The running task waits for this one with a waker that is not its own.
    pub(crate) fn note_combinator(task: &Header) {
        if Self::of(task).owner().is_none() {
            let waits = current::task().map_or(0, |current| short(current.header().id));
            // Relaxed as in `of`.
            task.waiter.store(waits, Relaxed);
        }
    }
}
