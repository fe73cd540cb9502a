//! The state word of a task: every bit, every transition, no unsafe code.
//!
//! One `u64` holds the life cycle, the undelivered cancel request, the number of requests and the number of
//! references. See the module page of [`task`](super) for who may touch what in which state.
//!
//! | bits | name | set | never set |
//! |---|---|---|---|
//! | 0 | `RUNNING` | from a poll's begin to its end; while a promise is being filled | together with `COMPLETE` |
//! | 1 | `NOTIFIED` | by a wake; the task is in a run queue, or its poller will put it there | (ignored once `COMPLETE`) |
//! | 2 | `COMPLETE` | for good, after the outcome has been stored | before the outcome is stored |
//! | 3 | `CANCEL` | a cancel request was made and not delivered | by a `cancel` that came after `COMPLETE` |
//! | 4 | `JOIN_INTEREST` | as long as the typed handle exists | again after it was cleared |
//! | 5 | `JOIN_WAKER` | the join waker slot belongs to the completer | without `JOIN_INTEREST` |
//! | 6 | `STARTED` | from the first poll on | for promises |
//! | 7 | `SWEPT` | the shutdown has made its one request | before the runtime is closing |
//! | 8 | `LISTENERS` | the cold part may hold done callbacks or waiters | after completion took them |
//! | 9 | `RETRIEVED` | somebody has read the outcome, or said that nobody needs to | |
//! | 10 | `AGAIN` | the pending request has been delivered before: it replaces no value | without `CANCEL` |
//! | 11 | `TRACE` | somebody wants to know what the next poll awaits (`inspect`) | for promises |
//! | 12 | `WATCHED` | from creation on, where every poll is to be recorded (`inspect`) | later |
//! | 13 | `MESSAGE` | a request with a message was made: for good, so that the word is not again what it was before | |
//! | 16..32 | requests | `cancel` minus `uncancel`, saturating | |
//! | 32..64 | references | | |
//!
//! ```text
//!             wake (1)                 begin_poll (2)
//!   idle ───────────────▶ NOTIFIED ───────────────▶ RUNNING ──── complete (5) ───▶ COMPLETE
//!    ▲                     ▲    ▲                     │  │
//!    │                     │    └── end_poll (4) ─────┘  │ wake: NOTIFIED|RUNNING, queued by end_poll
//!    └──────────────────── │ ────── end_poll (3) ────────┘
//!                          └ (a task is created NOTIFIED; an eager one RUNNING)
//! ```
//!
//! A task that yields keeps `RUNNING` while it is queued again: the queue entry is then the right to the future, and wakes only set
//! `NOTIFIED`, which the next `begin_poll` clears. So a yield costs no write to this word.
//!
//! The step that begins a poll also takes a few references in advance, and the one that ends it gives back what is left of them
//! ([`Path`]): so wakers that the poll clones and drops cost no write to this word either. For a timeout that is armed and dropped that is two read-modify-writes less.
//!
//! Whoever sets `NOTIFIED` on an idle task owes the push into a run queue, and nobody else does: a task is in at most
//! one queue at a time. `RUNNING` is the right to touch the future.

use crate::loom::atomic::AtomicU64;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

pub(crate) const RUNNING: u64 = 1 << 0;
pub(crate) const NOTIFIED: u64 = 1 << 1;
pub(crate) const COMPLETE: u64 = 1 << 2;
pub(crate) const CANCEL: u64 = 1 << 3;
pub(crate) const JOIN_INTEREST: u64 = 1 << 4;
pub(crate) const JOIN_WAKER: u64 = 1 << 5;
pub(crate) const STARTED: u64 = 1 << 6;
pub(crate) const SWEPT: u64 = 1 << 7;
pub(crate) const LISTENERS: u64 = 1 << 8;
pub(crate) const RETRIEVED: u64 = 1 << 9;
pub(crate) const AGAIN: u64 = 1 << 10;
pub(crate) const TRACE: u64 = 1 << 11;
pub(crate) const WATCHED: u64 = 1 << 12;
pub(crate) const MESSAGE: u64 = 1 << 13;

/// How many references a poll has in advance. Picked out of thin air: more than most polls clone wakers.
pub(crate) const SPARE: u8 = 4;

const REQUEST_ONE: u64 = 1 << 16;
const REQUEST_MASK: u64 = 0xffff << 16;
const REF_ONE: u64 = 1 << 32;
const REF_SHIFT: u32 = 32;
/// Reference counts beyond this are a leak of wakers in a loop; the process is ended before the count wraps.
const REF_MAX: u64 = 1 << 31;

/// Two small numbers of the poller (R2) in one byte.
///
/// The lower five bits are what the last poll said of the catchers in the task (`scope::path`). The upper three, `spare`, are how many of the references counted in the
/// state word belong to the poll that is going on, or, when the task has yielded, to the next one: for the wakers that it clones.
pub(crate) struct Path(Cell<u8>);

impl Path {
    const SHIFT: u32 = 5;
    const MASK: u8 = (1 << Self::SHIFT) - 1;
    /// As many as there is room for.
    const MOST_SPARE: u8 = u8::MAX >> Self::SHIFT;

    pub(crate) fn new() -> Self {
        Self(Cell::new(0))
    }

    #[inline]
    pub(crate) fn get(&self) -> u8 {
        self.0.get() & Self::MASK
    }

    #[inline]
    pub(crate) fn set(&self, path: u8) {
        debug_assert!(path <= Self::MASK);
        self.0.set(self.0.get() & !Self::MASK | path);
    }

    #[inline]
    pub(crate) fn spare(&self) -> u8 {
        self.0.get() >> Self::SHIFT
    }

    #[inline]
    pub(crate) fn set_spare(&self, spare: u8) {
        debug_assert!(spare <= Self::MOST_SPARE);
        self.0.set(self.0.get() & Self::MASK | spare << Self::SHIFT);
    }

    fn take_spare(&self) -> u8 {
        let spare = self.spare();
        self.set_spare(0);
        spare
    }

    /// Takes one of the references; false if there is none.
    #[inline]
    pub(crate) fn take_one(&self) -> bool {
        let spare = self.spare();
        let some = spare > 0;
        if some {
            self.set_spare(spare - 1);
        }
        some
    }

    /// Adds a reference; false if there is no room for it.
    #[inline]
    pub(crate) fn keep_one(&self) -> bool {
        let spare = self.spare();
        let fits = spare < Self::MOST_SPARE;
        if fits {
            self.set_spare(spare + 1);
        }
        fits
    }
}

/// A state word as it was seen at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot(pub(crate) u64);

impl Snapshot {
    #[inline]
    pub(crate) fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    pub(crate) fn requests(self) -> u32 {
        ((self.0 & REQUEST_MASK) >> 16) as u32
    }

    pub(crate) fn refs(self) -> u64 {
        self.0 >> REF_SHIFT
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u64, &str); 14] = [
            (RUNNING, "RUNNING"),
            (NOTIFIED, "NOTIFIED"),
            (COMPLETE, "COMPLETE"),
            (CANCEL, "CANCEL"),
            (JOIN_INTEREST, "JOIN_INTEREST"),
            (JOIN_WAKER, "JOIN_WAKER"),
            (STARTED, "STARTED"),
            (SWEPT, "SWEPT"),
            (LISTENERS, "LISTENERS"),
            (RETRIEVED, "RETRIEVED"),
            (AGAIN, "AGAIN"),
            (TRACE, "TRACE"),
            (WATCHED, "WATCHED"),
            (MESSAGE, "MESSAGE"),
        ];
        let set: Vec<&str> = NAMES.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| *name).collect();
        write!(f, "State({}; requests {}, refs {})", set.join("|"), self.requests(), self.refs())
    }
}

/// What the caller of a waking transition owes.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Push the task into a run queue.
    Submit,
    /// Nothing: it is queued, running, or over.
    Nothing,
}

/// What the poller finds when a poll begins.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BeginPoll {
    /// There is more to do than to poll: a request waits to be delivered, or somebody watches.
    pub(crate) attention: bool,
    /// No poll has happened before this one.
    pub(crate) first: bool,
    /// The request was taken by this very step: a plain one, that has not been delivered before.
    pub(crate) took_request: bool,
}

/// What the poller owes when a poll has ended pending.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndPoll {
    /// Nothing: the task is idle and may already run elsewhere.
    Idle,
    /// Push it again: it was woken meanwhile.
    Submit,
}

/// What came of the attempt to complete.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Complete {
    /// The outcome stands; the word as it was just before.
    Done(Snapshot),
    /// A request came first: store `Cancelled` in place of the value, then try again.
    CancelPending,
}

/// What came of the attempt to claim a task that nobody polls.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// `RUNNING` is the caller's.
    Claimed,
    /// The task is in a run queue, or on its way there: whoever takes the entry out has the right to it.
    Queued,
    /// It is being polled, or it has ended.
    Busy,
}

/// What came of a cancel request.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// The task had ended: nothing was recorded.
    TooLate,
    /// The shutdown's request, which it has made itself, or is just about to: nothing was recorded.
    LeftToSweep,
    /// Recorded; `first` says that no undelivered request was there before.
    Recorded { first: bool, wake: Wake },
}

/// What came of the attempt to set or take back the join waker.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinWaker {
    /// The bit has the wished value.
    Changed,
    /// The task has completed: read the outcome instead.
    Complete,
}

/// What the typed handle owes when it goes.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropJoin {
    /// Nothing: its reference has gone too.
    Gone,
    /// The waker slot is its own: empty it, then give the reference back.
    Waker,
    /// The outcome may be its to drop; then give the reference back.
    Complete,
}

/// The word itself.
pub(crate) struct State(AtomicU64);

impl State {
    /// A task that is about to be pushed into a run queue: one reference for the runtime, one for the handle.
    pub(crate) fn new_notified() -> Self {
        Self(AtomicU64::new(NOTIFIED | JOIN_INTEREST | (2 * REF_ONE)))
    }

    /// A task whose first poll is made by its creator.
    pub(crate) fn new_running() -> Self {
        Self(AtomicU64::new(RUNNING | STARTED | JOIN_INTEREST | (2 * REF_ONE)))
    }

    /// A promise: idle until it is filled; one reference for each side.
    pub(crate) fn new_promise() -> Self {
        Self(AtomicU64::new(JOIN_INTEREST | (2 * REF_ONE)))
    }

    /// Acquire: pairs with the release of `complete`, so that the outcome may be read when `COMPLETE` is seen.
    #[inline]
    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Acquire))
    }

    /// (1) Records a wake.
    ///
    /// AcqRel: the release half publishes what the waker's owner wrote before waking and pairs with the acquire of
    /// `begin_poll` (or of `end_poll`, which queues again).
    #[inline]
    pub(crate) fn wake(&self) -> Wake {
        let before = self.0.fetch_or(NOTIFIED, AcqRel);
        if before & (NOTIFIED | RUNNING | COMPLETE) == 0 { Wake::Submit } else { Wake::Nothing }
    }

    /// (2) The task was taken out of a run queue and is about to be polled. `spare` is how many references the poll has in advance, which it may
    /// have kept from the one before; it is filled up, unless nothing needs to be written. If there is a request, `is_plain` says whether it can only be one
    /// without a message that was not delivered before: then it is taken as well, as [`take_request`](Self::take_request) does.
    ///
    /// Acquire: pairs with the release of `wake` and with the release of the `end_poll` on another thread.
    #[inline]
    pub(crate) fn begin_poll(&self, spare: &Path, is_plain: impl Fn() -> bool) -> BeginPoll {
        let mut before = self.0.load(Acquire);
        if before & RUNNING != 0 && before & (NOTIFIED | CANCEL | TRACE | WATCHED) == 0 {
            // Put back by `yield_now`, and nobody has woken it since: not a single write.
            return BeginPoll { attention: false, first: false, took_request: false };
        }
        loop {
            debug_assert!(before & (NOTIFIED | RUNNING) != 0 && before & COMPLETE == 0, "{:?}", Snapshot(before));
            // The right to look at `spare` comes with the queue entry, be `RUNNING` set or not.
            let more = u64::from(SPARE.saturating_sub(spare.spare()));
            let took_request = before & (CANCEL | AGAIN) == CANCEL && is_plain();
            let taken = if took_request { CANCEL } else { 0 };
            let next = ((before & !(NOTIFIED | taken)) | RUNNING | STARTED) + more * REF_ONE;
            const ATTENTION: u64 = CANCEL | TRACE | WATCHED;
            // Acquire on failure: `is_plain` sees what was there when the word was.
            match self.0.compare_exchange_weak(before, next, AcqRel, Acquire) {
                Ok(_) => {
                    spare.set_spare(spare.spare().max(SPARE));
                    let (attention, first) = (before & ATTENTION != 0, before & STARTED == 0);
                    return BeginPoll { attention, first, took_request };
                }
                Err(now) => before = now,
            }
        }
    }

    /// (3), (4) The poll returned pending.
    ///
    /// Release: publishes the future's state to the next poller's `begin_poll`. Acquire: when the push is ours, the
    /// wakes that we push for.
    #[inline]
    pub(crate) fn end_poll(&self, spare: &Path) -> EndPoll {
        // `RUNNING` is set, so taking it off clears it. The runtime's reference stands: the spare ones are not the last.
        let before = self.0.fetch_sub(RUNNING + u64::from(spare.take_spare()) * REF_ONE, AcqRel);
        debug_assert!(before & RUNNING != 0 && before & COMPLETE == 0, "{:?}", Snapshot(before));
        if before & NOTIFIED != 0 { EndPoll::Submit } else { EndPoll::Idle }
    }

    /// (5) The outcome has been stored; `is_value` says that it is a value, which a pending request replaces. Not one that was delivered
    /// before, and whose catcher has asked for the *next suspension* because it had something more urgent to return: that was the end.
    ///
    /// Release: publishes the outcome to whoever sees `COMPLETE`. Acquire: the join waker and the listeners that
    /// were stored before this. One atomic step decides between a request and a completion (C-34).
    #[inline]
    pub(crate) fn complete(&self, is_value: bool, spare: &Path) -> Complete {
        let kept = spare.spare();
        let mut before = self.0.load(Relaxed);
        loop {
            debug_assert!(before & RUNNING != 0 && before & COMPLETE == 0, "{:?}", Snapshot(before));
            if is_value && before & (CANCEL | AGAIN) == CANCEL {
                spare.set_spare(kept);
                return Complete::CancelPending;
            }
            let next = ((before & !(RUNNING | NOTIFIED)) | COMPLETE) - u64::from(kept) * REF_ONE;
            // Before the step, after which it is nobody's.
            spare.set_spare(0);
            match self.0.compare_exchange_weak(before, next, AcqRel, Relaxed) {
                Ok(_) => return Complete::Done(Snapshot(before)),
                Err(now) => before = now,
            }
        }
    }

    /// Takes the right to the slot of a promise, or to the future of a task that nobody but its creator knows.
    ///
    /// Relaxed: nobody has touched either since it was made, and nobody claims it twice.
    pub(crate) fn try_claim(&self) -> bool {
        let mut before = self.0.load(Relaxed);
        while before & (RUNNING | COMPLETE) == 0 {
            match self.0.compare_exchange_weak(before, before | RUNNING, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => before = now,
            }
        }
        false
    }

    /// As [`try_claim`](Self::try_claim), but leaves a task alone that has been woken. Its entry would be left dangling in a queue; worse, the thread that
    /// woke it may still be about to push, and relies on the task not being complete (R6).
    ///
    /// Acquire: pairs with the release of `end_poll`.
    pub(crate) fn claim_idle(&self) -> Claim {
        let mut before = self.0.load(Relaxed);
        loop {
            if before & (RUNNING | COMPLETE) != 0 {
                return Claim::Busy;
            }
            if before & NOTIFIED != 0 {
                return Claim::Queued;
            }
            match self.0.compare_exchange_weak(before, before | RUNNING, AcqRel, Relaxed) {
                Ok(_) => return Claim::Claimed,
                Err(now) => before = now,
            }
        }
    }

    /// Counts a request, with a message or without, and leaves it for delivery.
    ///
    /// AcqRel as in `wake`.
    pub(crate) fn request(&self, has_message: bool) -> Request {
        self.request_unless(0, has_message)
    }

    /// The shutdown's request, passed on by another task that has had it: if the sweep was not here yet. AcqRel as in `wake`; and of the sweep's mark and this, together with
    /// what each does to the cold part around it, one sees the other.
    pub(crate) fn request_before_sweep(&self) -> Request {
        self.request_unless(SWEPT, true)
    }

    fn request_unless(&self, swept: u64, has_message: bool) -> Request {
        let mark = if has_message { MESSAGE } else { 0 };
        let mut before = self.0.load(Relaxed);
        loop {
            if before & COMPLETE != 0 {
                return Request::TooLate;
            }
            if before & swept != 0 {
                return Request::LeftToSweep;
            }
            let next = (add_request(before) | CANCEL | NOTIFIED | mark) & !AGAIN;
            match self.0.compare_exchange_weak(before, next, AcqRel, Relaxed) {
                Ok(_) => {
                    let wake = if before & (NOTIFIED | RUNNING) == 0 { Wake::Submit } else { Wake::Nothing };
                    return Request::Recorded { first: before & CANCEL == 0, wake };
                }
                Err(now) => before = now,
            }
        }
    }

    /// The shutdown's request to a task that has been polled before, is idle and has no request: all in one step, which owes the push. False for any other,
    /// and if `is_plain` says so, which is asked between the look at the word and the step: no request with a message was made in between, for that leaves
    /// its mark in the word.
    ///
    /// Acquire: `is_plain` sees what was there when the word was. Relaxed for the step: it publishes nothing of its own, and what others have published with
    /// the word before it it leaves as it is for the next `begin_poll`.
    pub(crate) fn sweep_idle(&self, is_plain: impl Fn() -> bool) -> bool {
        let before = self.0.load(Acquire);
        let is_idle = before & (RUNNING | NOTIFIED | COMPLETE | CANCEL | STARTED | SWEPT) == STARTED;
        // If it fails because of something else than these bits, that is what the long way is for.
        is_idle
            && is_plain()
            && self
                .0
                .compare_exchange(before, add_request(before) | SWEPT | CANCEL | NOTIFIED, Relaxed, Relaxed)
                .is_ok()
    }

    /// Counts a request that is carried out at once. Relaxed: the count guards no data.
    pub(crate) fn count_request(&self) {
        let mut before = self.0.load(Relaxed);
        while let Err(now) = self.0.compare_exchange_weak(before, add_request(before), Relaxed, Relaxed) {
            before = now;
        }
    }

    /// Whether the first poll has begun; a task for which this is false will see in its first poll what the caller has written before
    /// (release, pairs with the acquire of `begin_poll`; a mere load could be ordered after it).
    pub(crate) fn has_started(&self) -> bool {
        self.0.fetch_or(0, AcqRel) & STARTED != 0
    }

    /// Makes a delivered request pending again, of a task that is being polled; true if one was pending anyway, which then stays what it is.
    /// AcqRel as in `wake`.
    pub(crate) fn request_again(&self) -> bool {
        let mut before = self.0.load(Relaxed);
        loop {
            debug_assert!(before & RUNNING != 0, "{:?}", Snapshot(before));
            if before & CANCEL != 0 {
                return true;
            }
            match self.0.compare_exchange_weak(before, before | CANCEL | AGAIN | NOTIFIED, AcqRel, Relaxed) {
                Ok(_) => return false,
                Err(now) => before = now,
            }
        }
    }

    /// Takes one request back; at zero an undelivered one is withdrawn too (C-29). Gives what is left.
    ///
    /// Relaxed: the count guards no data; delivery is ordered by `begin_poll`.
    pub(crate) fn unrequest(&self) -> u32 {
        let mut before = self.0.load(Relaxed);
        loop {
            let mut next = if before & REQUEST_MASK == 0 { before } else { before - REQUEST_ONE };
            if next & REQUEST_MASK == 0 {
                next &= !(CANCEL | AGAIN);
            }
            match self.0.compare_exchange_weak(before, next, Relaxed, Relaxed) {
                Ok(_) => return Snapshot(next).requests(),
                Err(now) => before = now,
            }
        }
    }

    /// Takes the undelivered request, if it was not withdrawn meanwhile; says whether it has been delivered before.
    ///
    /// Acquire: pairs with the release of `request`, whose message is read next.
    pub(crate) fn take_request(&self) -> Option<bool> {
        let before = self.0.fetch_and(!(CANCEL | AGAIN), AcqRel);
        (before & CANCEL != 0).then_some(before & AGAIN != 0)
    }

    /// Wants a poll in which somebody watches; `None` for a task that has ended.
    ///
    /// AcqRel: the release half publishes the request for it, which the poller takes after the acquire of `begin_poll`.
    pub(crate) fn request_trace(&self) -> Option<(Snapshot, Wake)> {
        let mut before = self.0.load(Relaxed);
        while before & COMPLETE == 0 {
            match self.0.compare_exchange_weak(before, before | TRACE | LISTENERS | NOTIFIED, AcqRel, Relaxed) {
                Ok(_) => {
                    let wake = if before & (NOTIFIED | RUNNING) == 0 { Wake::Submit } else { Wake::Nothing };
                    return Some((Snapshot(before), wake));
                }
                Err(now) => before = now,
            }
        }
        None
    }

    /// The poller takes the wish to watch; true if there was one.
    ///
    /// Relaxed: it has seen the wish before (acquire, in `load`), and the requests are behind a lock.
    pub(crate) fn take_trace(&self) -> bool {
        self.0.fetch_and(!TRACE, Relaxed) & TRACE != 0
    }

    /// A task whose polls are all recorded. Called before anybody else knows the task.
    pub(crate) fn watched(self) -> Self {
        // Relaxed: nobody else sees it yet.
        self.0.fetch_or(WATCHED, Relaxed);
        self
    }

    /// Sets a flag; gives the word as it was. AcqRel, so that what the flag announces is published and what it
    /// finds announced is visible.
    pub(crate) fn set(&self, bit: u64) -> Snapshot {
        debug_assert!(bit & (SWEPT | LISTENERS | RETRIEVED) == bit);
        Snapshot(self.0.fetch_or(bit, AcqRel))
    }

    /// Hands the join waker slot to the completer.
    ///
    /// Release: publishes the waker to `complete`. Acquire on failure: the outcome will be read.
    #[inline]
    pub(crate) fn set_join_waker(&self) -> JoinWaker {
        self.change_unless_complete(|word| word | JOIN_WAKER)
    }

    /// Takes the join waker slot back.
    ///
    /// Acquire on failure: the outcome will be read.
    #[inline]
    pub(crate) fn unset_join_waker(&self) -> JoinWaker {
        self.change_unless_complete(|word| word & !JOIN_WAKER)
    }

    /// The typed handle goes: no outcome is wanted any more. Its reference goes with it, unless there is something left to do.
    ///
    /// Release as in `ref_dec`, of which it is one. Acquire for the look and on failure: the outcome will be read.
    #[inline]
    pub(crate) fn drop_join_interest(&self) -> DropJoin {
        let mut before = self.0.load(Acquire);
        loop {
            if before & COMPLETE != 0 {
                return DropJoin::Complete;
            }
            // Not complete: the runtime's reference stands, so this is not the last one.
            let waker = before & JOIN_WAKER != 0;
            let next = (before & !(JOIN_WAKER | JOIN_INTEREST)) - if waker { 0 } else { REF_ONE };
            match self.0.compare_exchange_weak(before, next, Release, Acquire) {
                Ok(_) if waker => return DropJoin::Waker,
                Ok(_) => return DropJoin::Gone,
                Err(now) => before = now,
            }
        }
    }

    /// A waker is used up: records the wake and gives its reference back in one step. `None` when the task is complete: then
    /// the reference is still the caller's to give back.
    ///
    /// AcqRel as in `wake`.
    #[inline]
    pub(crate) fn wake_by_value(&self) -> Option<Wake> {
        let mut before = self.0.load(Relaxed);
        loop {
            if before & COMPLETE != 0 {
                return None;
            }
            // Not complete: the runtime's reference stands, so this is not the last one.
            match self.0.compare_exchange_weak(before, (before | NOTIFIED) - REF_ONE, AcqRel, Relaxed) {
                Ok(_) if before & (NOTIFIED | RUNNING) == 0 => return Some(Wake::Submit),
                Ok(_) => return Some(Wake::Nothing),
                Err(now) => before = now,
            }
        }
    }

    fn change_unless_complete(&self, change: impl Fn(u64) -> u64) -> JoinWaker {
        let mut before = self.0.load(Acquire);
        loop {
            if before & COMPLETE != 0 {
                return JoinWaker::Complete;
            }
            match self.0.compare_exchange_weak(before, change(before), AcqRel, Acquire) {
                Ok(_) => return JoinWaker::Changed,
                Err(now) => before = now,
            }
        }
    }

    /// One more reference. Relaxed: the caller holds one, so the task cannot go meanwhile.
    #[inline]
    pub(crate) fn ref_inc(&self) {
        if self.0.fetch_add(REF_ONE, Relaxed) >> REF_SHIFT >= REF_MAX {
            // Leaking wakers without end must not wrap the count into a use after free.
            std::process::abort();
        }
    }

    /// One reference less; true when it was the last one and the caller frees the task.
    ///
    /// Release: what this reference did comes before the free. Acquire: the free comes after what all others did.
    #[must_use]
    #[inline]
    pub(crate) fn ref_dec(&self) -> bool {
        // The only reference cannot be cloned by anybody else: no need for the write. Acquire as above.
        if self.0.load(Acquire) >> REF_SHIFT == 1 {
            return true;
        }
        let before = self.0.fetch_sub(REF_ONE, Release) >> REF_SHIFT;
        debug_assert!(before >= 1);
        if before == 1 {
            // Pairs with the releases of the other references' decrements.
            let _ = self.0.load(Acquire);
            return true;
        }
        false
    }
}

fn add_request(word: u64) -> u64 {
    if word & REQUEST_MASK == REQUEST_MASK { word } else { word + REQUEST_ONE }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}
