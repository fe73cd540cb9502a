//! Tasks: one allocation each, one state word, a typed handle and untyped references.
//!
//! # The contract
//!
//! A task is a [`TaskCell`](cell): a header, then the future or its outcome. It is reached through *references*, counted in
//! the state word:
//!
//! * the **runtime's** one, from creation until completion has been told to everybody. A task in a run queue or in a poll
//!   needs no reference of its own: it is not complete, so the runtime's stands;
//! * one for the typed handle [`Task<T>`];
//! * one per [`TaskRef`] and per [`Waker`](std::task::Waker);
//! * a few that the poll that is going on has in advance, for the wakers that it clones (`state::Path`).
//!
//! Rules, cited in the code by number:
//!
//! * **(R1)** A cell is freed by whoever gives back the last reference. References are made only from references.
//! * **(R2)** The future belongs to whoever set `RUNNING` (`begin_poll`, `try_claim`, `claim_idle`, or the creator of an eager task), until that one
//!   clears it. So polls exclude each other, and dropping the future is done by the poller alone.
//! * **(R3)** The outcome is written by the owner of `RUNNING` before `COMPLETE` is set. After it the outcome belongs to the typed
//!   handle; if `JOIN_INTEREST` was gone by then, to the completer. Failures may be read (cloned) by the handle only.
//! * **(R4)** The join waker slot belongs to the handle while `JOIN_WAKER` is clear and the task is not complete; to the
//!   completer from `COMPLETE` on if `JOIN_WAKER` was set then. While `JOIN_WAKER` is set before completion, nobody touches it.
//! * **(R5)** The context is replaced by the poller only, under the lock of the cold part; the poller reads it without.
//! * **(R6)** The scheduler outlives every task that is not complete. After completion its address is not followed.
//! * **(R7)** User code (futures, wakers, destructors, callbacks) runs with no lock held, and a panic in it is caught here.
//!
//! # Worrying situations
//!
//! * *A wake during a poll*: sets `NOTIFIED` only; `end_poll` sees it and queues the task again.
//! * *A wake from a thread that never heard of the runtime*: the transition says that the push is owed, so the task is not complete,
//!   so the scheduler is alive (R6); the scheduler takes a reference to itself before it pushes, because afterwards the task may
//!   run, end, and let the runtime go.
//! * *The end of the runtime against a wake*: a task that has been woken is ended by whoever takes its entry out of a queue, and by
//!   nobody else; so a push that is owed comes before the completion, and the scheduler outlives it.
//! * *Completion against handle drop*: both go through the state word; exactly one of them finds the outcome to be its to drop.
//! * *Cancel against completion* (C-34): one compare-exchange decides; `complete` refuses while a request is pending.
//! * *A panicking destructor* of the future: the outcome is that panic. Of an output that nobody wants: reported.

pub(crate) mod builder;
pub(crate) mod cell;
pub(crate) mod cold;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod harness;
pub(crate) mod memory;
pub(crate) mod promise;
pub(crate) mod registry;
pub(crate) mod ring;
pub(crate) mod slot;
pub(crate) mod state;
pub(crate) mod task_ref;
pub(crate) mod waker;

pub use builder::{TaskBuilder, create_task, spawn};
pub use error::{CancelledError, InvalidStateError, PanicError, TaskError};
pub use handle::Task;
pub use promise::Promise;
pub use ring::RingProbe;
pub use task_ref::{CallbackId, TaskId, TaskRef, Wait};

use cell::Header;
use std::ptr::NonNull;

/// What a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Made by a user.
    Task = 0,
    /// The future given to `run`: polled by worker 0 only.
    Main = 1,
    /// A queued callback: no task in the eyes of users.
    Callback = 2,
    /// Without a future; filled through a [`Promise`].
    Promise = 3,
    /// A promise that a thread fills.
    Thread = 4,
}

impl Kind {
    /// Whether it has no future.
    pub(crate) fn is_promise(self) -> bool {
        matches!(self, Self::Promise | Self::Thread)
    }
}

/// What the tasks need of a scheduler.
pub(crate) trait Schedule: Sized + 'static {
    /// Pushes a task whose push is owed, from any thread.
    ///
    /// # Safety
    ///
    /// `this` is alive at the time of the call, kept so by the task alone (R6).
    unsafe fn schedule(this: *const Self, task: Notified);

    /// The task has completed, and everybody has been told: takes it out of the registry, and gives its reference, the runtime's, back.
    fn release(&self, task: TaskRef);

    /// A failure that nobody will read.
    fn unretrieved(&self, task: &TaskRef, error: TaskError);

    /// The task has ended and has done callbacks, which are to be run.
    fn run_callbacks(&self, task: &TaskRef);

    /// Whether the shutdown's sweep has begun, so that a task is cancelled after its first step.
    fn is_closing(&self, kind: Kind) -> bool;

    /// The time on the runtime's clock, for records.
    fn now(&self) -> u64;
}

/// The right and the duty to run a task: an entry of a run queue.
///
/// Holds no reference: the runtime's keeps the task alive until it is complete.
#[derive(Debug)]
pub(crate) struct Notified(NonNull<Header>);

// SAFETY: a queue entry is a pointer to a cell whose shared parts are atomics and locks, and whose future is only touched under
// `RUNNING` (R2). Futures that are not `Send` are of kind `Main` and only ever queued for the thread that made them.
unsafe impl Send for Notified {}

impl Notified {
    /// # Safety
    ///
    /// The caller has made the transition that owes a push.
    pub(crate) unsafe fn new(task: NonNull<Header>) -> Self {
        Self(task)
    }

    pub(crate) fn task(&self) -> NonNull<Header> {
        self.0
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: not complete, so the runtime's reference stands (R1).
        unsafe { self.0.as_ref() }
    }
}
