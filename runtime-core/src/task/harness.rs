//! Acting on transitions: run, complete, cancel. With [`cell`] the fence of the unsafe code; the rules (R1) to (R7)
//! stand in the module page of [`task`](super).

use super::cell::{self, Header};
use super::cold::{ColdInner, Draining, Latest};
use super::error::{CancelledError, PanicError, TaskError, collect_unread, drop_caught};
use super::ring::{News, Next, Probe, Sent, Way};
use super::state::{self, BeginPoll, Claim, Complete, DropJoin, EndPoll, JoinWaker, Request, Wake};
use super::task_ref::{Ended, TaskRef};
use super::{Notified, Schedule, waker};
use crate::current;
use crate::inspect::{self, Watch};
use crate::loom::static_thread_local;
use crate::scope::{RootPoll, poll_root};
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Release;
use std::task::{Context, Waker};

/// What the worker owes after it has run a task.
#[must_use]
pub(crate) enum Ran {
    /// Nothing.
    Done,
    /// It was woken meanwhile: push it behind what is ready.
    Again(Notified),
}

/// Polls a task once.
#[inline]
pub(crate) fn run<S: Schedule>(task: Notified, scheduler: &S) -> Ran {
    let header = task.header();
    // A request with a message, or one that is delivered again, has left its mark in the cold part.
    let begin = header.state.begin_poll(&header.path, || header.cold_if_any().is_none());
    poll_and_settle(task, scheduler, begin)
}

/// Makes the first poll of a task that was created `RUNNING`.
pub(crate) fn run_eagerly<S: Schedule>(task: Notified, scheduler: &S) -> Ran {
    let attention = task.header().state.load().has(state::WATCHED);
    poll_and_settle(task, scheduler, BeginPoll { attention, first: true, took_request: false })
}

#[inline]
fn poll_and_settle<S: Schedule>(task: Notified, scheduler: &S, begin: BeginPoll) -> Ran {
    let header = task.header();
    let first = begin.first;
    let bottom = 0u8;
    let request = match begin {
        BeginPoll { attention: false, .. } => None,
        BeginPoll { took_request: true, .. } => Some((message_of(header), false)),
        _ => take_request(header),
    };
    let watch = if begin.attention { Watch::begin(header, &raw const bottom) } else { None };
    let entered = current::enter_task(Some(task.task()));
    let waker = if watch.is_some() { waker::watching(task.task()) } else { waker::borrowed(task.task()) };
    let mut cx = Context::from_waker(&waker);
    let polled = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `RUNNING` is ours, and the future is there as long as the task is not complete (R2).
        poll_root(header, &mut cx, request, first, |cx| unsafe { cell::poll_future(task.task(), cx) })
    }));
    if let Some(watch) = watch {
        watch.end(header, matches!(polled, Ok(RootPoll::Pending)), || scheduler.now());
    }
    let is_value = match polled {
        Ok(RootPoll::Pending) => {
            let yielded = entered.has_yielded();
            drop(entered);
            if yielded && !(first && scheduler.is_closing(header.kind())) {
                return Ran::Again(task);
            }
            if yielded {
                let _ = header.state.wake();
            }
            return end_poll(task, scheduler, first);
        }
        // Still the current task, here and below: destructors see its context (CV, "the context outlives the drop of the future").
        Ok(RootPoll::Ready) => true,
        Ok(RootPoll::Cancelled(error)) => store_failure(task.task(), TaskError::Cancelled(error)),
        Err(payload) => store_failure(task.task(), TaskError::Panicked(PanicError::new(payload))),
    };
    drop(entered);
    complete(task.task(), scheduler, is_value);
    Ran::Done
}

#[inline]
fn end_poll<S: Schedule>(task: Notified, scheduler: &S, first: bool) -> Ran {
    // during the shutdown, what has had its first step is cancelled right after it.
    if first && scheduler.is_closing(task.header().kind()) {
        // SAFETY: not complete, so the runtime's reference stands.
        let borrowed = unsafe { TaskRef::borrow_raw(task.task()) };
        sweep(&borrowed);
    }
    match task.header().state.end_poll(&task.header().path) {
        EndPoll::Idle => Ran::Done,
        EndPoll::Submit => Ran::Again(task),
    }
}

/// Puts a failure in the place of the future, or of the value that the poll has stored. False: the outcome is no value.
#[cold]
fn store_failure(task: NonNull<Header>, mut error: TaskError) -> bool {
    // SAFETY: `RUNNING` is ours (R2).
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { cell::drop_stage_of(task) }));
    if let Err(payload) = dropped {
        // Rule 11: a panic in a destructor is the task's panic. An earlier panic of the poll counts for more.
        let panic = PanicError::new(payload);
        if error.is_cancelled() {
            error = TaskError::Panicked(panic);
        }
    }
    // SAFETY: as above; the stage is empty now, also if a destructor panicked.
    unsafe { cell::set_error_of(task, error) };
    false
}

/// Sets `COMPLETE`, tells everybody, gives the runtime's reference back.
#[inline]
fn complete<S: Schedule>(task: NonNull<Header>, scheduler: &S, is_value: bool) {
    // SAFETY: the runtime's reference is given back at the end of this function only.
    let task_ref = unsafe { TaskRef::borrow_raw(task) };
    let before = set_complete(task, is_value);
    run_hook(&task_ref);
    tell_joiner(task, before);
    if before.has(state::LISTENERS) {
        tell_listeners(&task_ref, || scheduler.run_callbacks(&task_ref));
    }
    if !before.has(state::JOIN_INTEREST) && is_worth_discarding(task_ref.header()) {
        // (R3) nobody will take the outcome: it is ours.
        discard_outcome(task, before, |error| scheduler.unretrieved(&task_ref, error));
    }
    // Last: as long as the task is listed, the runtime does not go (R6).
    scheduler.release(ManuallyDrop::into_inner(task_ref));
}

/// (5) of the state machine. A request that came before replaces a value (C-13, C-34).
#[inline]
fn set_complete(task: NonNull<Header>, mut is_value: bool) -> state::Snapshot {
    // SAFETY: the runtime's reference stands.
    let header = unsafe { task.as_ref() };
    loop {
        match header.state.complete(is_value, &header.path) {
            Complete::Done(before) => return before,
            Complete::CancelPending => {
                if let Some((error, _again)) = take_request(header) {
                    let entered = current::enter_task(Some(task));
                    is_value = store_failure(task, TaskError::Cancelled(error));
                    drop(entered);
                }
            }
        }
    }
}

/// Tells the hook, if there is one, before anybody else; a panic in it ends here (R7).
#[inline]
fn run_hook(task: &TaskRef) {
    if let Some(hook) = cell::hook_of(task) {
        // SAFETY: this is the completer, after `COMPLETE`.
        let told = catch_unwind(AssertUnwindSafe(|| unsafe { hook(task) }));
        drop(told.map_err(PanicError::new));
    }
}

#[inline]
fn tell_joiner(task: NonNull<Header>, before: state::Snapshot) {
    if !before.has(state::JOIN_WAKER) {
        return;
    }
    // SAFETY: (R4) `JOIN_WAKER` was set at completion: the slot is ours. The runtime's reference stands.
    let waker = unsafe { task.as_ref().join_waker.take() };
    if let Some(waker) = waker {
        wake_caught(waker);
    }
}

/// Wakes; a foreign waker that panics does not take the completer, or the worker that fires a timer, along (R7).
pub(crate) fn wake_caught(waker: Waker) {
    let woken = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    drop(woken.map_err(PanicError::new));
}

fn tell_listeners(task: &TaskRef, run_callbacks: impl FnOnce()) {
    let Some(cold) = task.header().cold_if_any() else { return };
    let (waiters, begin, traces) = {
        let mut inner = cold.inner.lock();
        inner.draining = Draining::Nobody;
        (inner.waiters.take_all(), inner.begin_draining(), std::mem::take(&mut inner.traces))
    };
    drop(traces);
    for waker in waiters {
        wake_caught(waker);
    }
    if begin {
        run_callbacks();
    }
}

/// Whether it makes a difference when the outcome of a task that has ended is dropped now, and not with the task: not for a value without a destructor.
#[inline]
fn is_worth_discarding(header: &Header) -> bool {
    header.output_needs_drop() || header.ended() != Ended::Value
}

/// Drops an outcome that nobody will take, and tells of the failures that so stay unread, unless the outcome was `RETRIEVED` in
/// `state`: its own, that of its destructor, and panics of other tasks in the value that nobody has looked at (a shield's task has that of
/// the task behind it as its value).
///
/// The caller owns the outcome (R3).
fn discard_outcome(task: NonNull<Header>, state: state::Snapshot, unread: impl Fn(TaskError)) {
    // SAFETY: as below.
    let discard = || catch_unwind(AssertUnwindSafe(|| unsafe { cell::drop_stage_of(task) }));
    if state.has(state::RETRIEVED) {
        drop(discard().map_err(PanicError::new));
        return;
    }
    // SAFETY: the caller's reference stands.
    let header = unsafe { task.as_ref() };
    let has_panicked = matches!(header.ended(), Ended::Panicked);
    // SAFETY: (R3), by the caller.
    let panic = if has_panicked { unsafe { cell::error_of(task) } } else { None };
    let (dropped, inside) = if header.output_needs_drop() { collect_unread(discard) } else { (discard(), Vec::new()) };
    let own = match dropped {
        Ok(()) => panic,
        Err(payload) => Some(TaskError::Panicked(PanicError::new(payload))),
    };
    own.into_iter().for_each(&unread);
    inside.into_iter().map(TaskError::Panicked).for_each(&unread);
}

/// Takes the undelivered request with its error; `None` if it was withdrawn meanwhile. True if it has been delivered before.
fn take_request(header: &Header) -> Option<(CancelledError, bool)> {
    let Some(cold) = header.cold_if_any() else {
        let again = header.state.take_request()?;
        return Some((message_of(header), again));
    };
    let mut inner = cold.inner.lock();
    let again = header.state.take_request();
    let error = inner.request.take();
    drop(inner);
    let again = again?;
    Some((error.unwrap_or_else(|| plain_request(header)), again))
}

/// What a request is delivered as that was taken while there was no cold part: a message may have come, with the cold part, just before it was. Or just after
/// it, with another request, which is pending then: that one keeps it.
fn message_of(header: &Header) -> CancelledError {
    let error = header.cold_if_any().and_then(|cold| {
        let mut inner = cold.inner.lock();
        // Under the lock, as whoever makes a request with a message: what is seen of it agrees with what is noted.
        if header.state.load().has(state::CANCEL) { None } else { inner.request.take() }
    });
    error.unwrap_or_else(|| plain_request(header))
}

/// What a request without a message is delivered as. In a shutdown it is the sweep's, which is known again when it comes twice (SD-06).
fn plain_request(header: &Header) -> CancelledError {
    if header.state.load().has(state::SWEPT) { CancelledError::sweep() } else { CancelledError::without_message() }
}

/// Records a request and schedules the task; false if it has ended. A promise's task ends at once (F-03).
pub(crate) fn cancel(task: &TaskRef, error: CancelledError) -> bool {
    let header = task.header();
    if header.kind().is_promise() {
        return cancel_promise(task, error);
    }
    let request = if error.is_plain() {
        header.state.request(false)
    } else {
        // Under the lock, so that the deliverer finds the error together with the bit.
        let mut inner = header.cold().inner.lock();
        if inner.latest.as_ref().is_some_and(|latest| latest.request.is_same(&error)) {
            // One request, counted once, by however many ways it comes: a timeout in the clean-up that it has begun would take the second for one from outside.
            return !header.state.load().has(state::COMPLETE);
        }
        record(header, &mut inner, error)
    };
    match request {
        Request::TooLate => false,
        Request::LeftToSweep => true,
        Request::Recorded { wake, .. } => {
            if wake == Wake::Submit {
                // SAFETY: the transition above owes the push.
                unsafe { cell::schedule_task(task.as_raw()) };
            }
            true
        }
    }
}

/// Makes a request that can be told from others, and notes it as the latest.
fn record(header: &Header, inner: &mut ColdInner, error: CancelledError) -> Request {
    let is_sweep = error.is_same(&CancelledError::sweep());
    // The sweep notes nothing, for it goes to all tasks there are.
    let request = if is_sweep { header.state.request_before_sweep() } else { header.state.request(true) };
    if request == Request::TooLate {
        return request;
    }
    if let Request::Recorded { first: true, .. } = request {
        // C-23: the first undelivered message is the one that is delivered.
        inner.request = Some(error.clone());
    }
    inner.latest = Some(Latest { request: error, left_to_sweep: request == Request::LeftToSweep });
    request
}

/// An await of `to` in the running task, which has passed a request on and then `sent` this number, looks for what comes next (see [`ring`](super::ring)). True
/// if it is part of a ring, and is to end.
pub(crate) fn look_round(to: &TaskRef, sent: &mut Option<Sent>) -> bool {
    let Some(current) = current::task() else { return false };
    if to.done() || to.header().kind().is_promise() {
        return false;
    }
    let came = probe_of(&current);
    let mut inner = to.header().cold().inner.lock();
    let next = came.next(&inner.probe, sent);
    let has_news = matches!(next, Next::Send(number, round) if inner.probe.come(number, round, Way::Handle));
    drop(inner);
    if has_news {
        stir(to);
    }
    next == Next::ComeRound
}

/// What a wait for several others in the running task, that has `sent` something before, has to tell them.
pub(crate) fn came_round_to_send_on(sent: &mut Option<Sent>) -> Option<News> {
    probe_of(&*current::task()?).send_on(sent)
}

/// A wait for several tasks, this one among them, tells them what came to its own.
pub(crate) fn send_round(to: &TaskRef, news: News) {
    if to.done() || to.header().kind().is_promise() {
        return;
    }
    let mut inner = to.header().cold().inner.lock();
    let has_news = match news {
        News::Number(number, round) => inner.probe.come(number, round, Way::Group),
        News::BeginAnew(number) => inner.probe.begin_anew(number),
    };
    drop(inner);
    if has_news {
        stir(to);
    }
}

/// An await is over that has sent something to this task.
pub(crate) fn leave_ring(to: &TaskRef) {
    let lost = to.header().cold_if_any().is_some_and(|cold| cold.inner.lock().probe.lose_handle());
    if lost && !to.done() {
        stir(to);
    }
}

fn probe_of(task: &TaskRef) -> Probe {
    task.header().cold_if_any().map_or_else(Probe::default, |cold| cold.inner.lock().probe)
}

/// Lets the task look at what came, and the awaits in it with wakers of their own as well.
fn stir(task: &TaskRef) {
    let header = task.header();
    // Release: pairs with the acquire of the poll that sees it, be it this wake's or another one's.
    header.cold().stirs.fetch_add(1, Release);
    if header.state.wake() == Wake::Submit {
        // SAFETY: the transition above owes the push.
        unsafe { cell::schedule_task(task.as_raw()) };
    }
}

/// Makes a cancellation pending again, without counting a request. Called by the task's own code.
pub(crate) fn redeliver(header: &Header, error: CancelledError) {
    let mut inner = header.cold().inner.lock();
    if !header.state.request_again() {
        inner.request = Some(error);
    }
}

/// Takes one request back and gives how many are left; at zero an undelivered one goes, with its message.
///
/// Under the lock, as a request with a message is: a message that stayed behind would be delivered with the next plain request.
pub(crate) fn uncancel(header: &Header) -> u32 {
    let mut inner = header.cold().inner.lock();
    let left = header.state.unrequest();
    let withdrawn = if left == 0 {
        // What was noted of its delivery is not for the next one. But it stays known: it may be on its way here through another task as well.
        (inner.tries, inner.again_for) = Default::default();
        inner.request.take()
    } else {
        None
    };
    drop(inner);
    drop(withdrawn);
    left
}

/// The shutdown's request: made once per task.
pub(crate) fn sweep(task: &TaskRef) {
    if let Some(entry) = sweep_and_take(task) {
        // SAFETY: the entry is the right and the duty to push.
        unsafe { cell::schedule_task(entry.task()) };
    }
}

/// The shutdown's request to a task about which there is nothing special, and the right and duty to run it. `None`: nothing was done.
///
/// No cold part: another task that awaits this one may still be about to pass the same request on, and then notes so under the cold part's lock, which the
/// delivery takes. Looked for after the look at the state: there may have been none only because that one had not come yet, and meanwhile the task has had the
/// request, and waits again.
pub(crate) fn sweep_if_idle(task: NonNull<Header>) -> Option<Notified> {
    // SAFETY: the caller's reference or, under a shard's lock, the runtime's stands.
    let header = unsafe { task.as_ref() };
    let swept = header.state.sweep_idle(|| header.cold_if_any().is_none());
    // SAFETY: this step owes the push.
    swept.then(|| unsafe { Notified::new(task) })
}

/// As [`sweep`]; a task that was idle is not queued, but given to the caller, who has to run it.
pub(crate) fn sweep_and_take(task: &TaskRef) -> Option<Notified> {
    if let Some(entry) = sweep_if_idle(task.as_raw()) {
        return Some(entry);
    }
    let header = task.header();
    if header.state.set(state::SWEPT).has(state::SWEPT) {
        return None;
    }
    // Another task that was swept and awaits this one may have been faster (pairs with `State::request_before_sweep`): it has made the request, if it
    // came before the bit above, and else has left it to us.
    let known = header.cold_if_any().is_some_and(|cold| {
        let inner = cold.inner.lock();
        let made = |latest: &Latest| !latest.left_to_sweep && latest.request.is_same(&CancelledError::sweep());
        inner.latest.as_ref().is_some_and(made)
    });
    if known {
        return None;
    }
    debug_assert!(!header.kind().is_promise(), "no shard has it");
    let request = header.state.request(false);
    let is_owed = matches!(request, Request::Recorded { wake: Wake::Submit, .. });
    // SAFETY: the transition above owes the push.
    is_owed.then(|| unsafe { Notified::new(task.as_raw()) })
}

/// Ends a task that is idle without polling it any more: the shutdown's last means. One that has been woken is left to
/// [`drop_queued`].
pub(crate) fn drop_idle<S: Schedule>(task: &TaskRef, scheduler: &S, why: &str) -> Claim {
    let claim = task.header().state.claim_idle();
    if claim == Claim::Claimed {
        drop_claimed(task.as_raw(), scheduler, why);
    }
    claim
}

/// As [`drop_idle`], for a task that was taken out of a run queue. Says whether it had been polled before.
pub(crate) fn drop_queued<S: Schedule>(task: Notified, scheduler: &S, why: &str) -> bool {
    let begin = task.header().state.begin_poll(&task.header().path, || false);
    drop_claimed(task.task(), scheduler, why);
    !begin.first
}

/// Drops the future; `RUNNING` is the caller's.
fn drop_claimed<S: Schedule>(task: NonNull<Header>, scheduler: &S, why: &str) {
    let entered = current::enter_task(Some(task));
    store_failure(task, TaskError::Cancelled(CancelledError::new(why)));
    drop(entered);
    complete(task, scheduler, false);
}

// Promises: tasks without a future, completed from any thread.

fn cancel_promise(task: &TaskRef, error: CancelledError) -> bool {
    if !task.header().state.try_claim() {
        return false;
    }
    task.header().state.count_request();
    // SAFETY: the claim is the right to the stage (R2), which is empty.
    unsafe { cell::set_error_of(task.as_raw(), TaskError::Cancelled(error)) };
    complete_promise(task, false);
    true
}

/// Completes a promise whose outcome has been stored under a claim.
pub(crate) fn complete_promise(task: &TaskRef, is_value: bool) {
    debug_assert!(task.header().kind().is_promise());
    let before = set_complete(task.as_raw(), is_value);
    tell_joiner(task.as_raw(), before);
    if before.has(state::LISTENERS) {
        tell_listeners(task, || crate::report::run_callbacks_of(task));
    }
    if !before.has(state::JOIN_INTEREST) {
        discard_outcome(task.as_raw(), before, |error| crate::report::unretrieved(task, error));
    }
}

// The typed handle's side.

/// Registers the awaiter; true when the outcome is there instead.
///
/// # Safety
///
/// Called by the owner of the typed handle only.
#[inline]
pub(crate) unsafe fn poll_join(header: &Header, waker: &Waker) -> bool {
    let now = header.state.load();
    if now.has(state::COMPLETE) || now.has(state::JOIN_WAKER) && header.state.unset_join_waker() == JoinWaker::Complete
    {
        return true;
    }
    // The clone is a user's code: made before the slot is touched, dropped after.
    let fresh = if waker::is_plain(waker) { waker.clone() } else { inspect::clone_for_join(header, waker) };
    // SAFETY: (R4) the bit is clear and the task was not complete when it was cleared: the slot is the handle's.
    let old = unsafe { header.join_waker.replace(fresh) };
    let set = header.state.set_join_waker();
    drop(old);
    match set {
        JoinWaker::Changed => false,
        JoinWaker::Complete => {
            // SAFETY: (R4) the bit was clear at completion: the slot stays the handle's.
            let unused = unsafe { header.join_waker.take() };
            drop(unused);
            true
        }
    }
}

/// The awaiter goes, and the typed handle stays.
///
/// # Safety
///
/// Called by the owner of the typed handle only.
pub(crate) unsafe fn forget_join(header: &Header) {
    if header.state.load().has(state::JOIN_WAKER) && header.state.unset_join_waker() == JoinWaker::Changed {
        // SAFETY: (R4) the bit is clear and the task was not complete when it was cleared: the slot is the handle's.
        let waker = unsafe { header.join_waker.take() };
        drop(waker);
    }
}

/// The typed handle goes, and its reference with it.
///
/// # Safety
///
/// Called once, by the owner of the typed handle, who does not use its reference again.
#[inline]
pub(crate) unsafe fn drop_join(task: &ManuallyDrop<TaskRef>) {
    let header = task.header();
    match header.state.drop_join_interest() {
        DropJoin::Gone => return,
        DropJoin::Waker => {
            // SAFETY: (R4) both bits are clear and the task was not complete: the slot is ours.
            let waker = unsafe { header.join_waker.take() };
            let _ = drop_caught(waker);
        }
        // SAFETY: (R3) the outcome is the handle's, if it was not taken.
        DropJoin::Complete if is_worth_discarding(header) && unsafe { cell::has_outcome(task.as_raw()) } => {
            return discard_joined(task.as_raw());
        }
        DropJoin::Complete => {}
    }
    // SAFETY: the handle's reference, given back once.
    unsafe { cell::drop_ref(task.as_raw()) };
}

/// How deep drops of outcomes nest in which there are handles of tasks that have ended. Picked out of thin air: what lies deeper is dropped
/// when the outermost has gone, so that a chain of any length needs no more stack than this.
const DISCARD_DEPTH: u32 = 32;

/// The outcomes that are being dropped on this thread.
struct Discards {
    /// How many are on the stack.
    depth: Cell<u32>,
    /// Tasks whose outcomes wait until the stack is flatter; each with the handle's reference.
    waiting: RefCell<Vec<NonNull<Header>>>,
}

static_thread_local! {
    static DISCARDS: Discards = Discards { depth: Cell::new(0), waiting: RefCell::new(Vec::new()) }
}

/// Drops the outcome of a task whose handle goes, and the handle's reference with it.
#[cold]
fn discard_joined(task: NonNull<Header>) {
    let nested = DISCARDS.try_with(|discards| {
        let depth = discards.depth.get();
        if depth == DISCARD_DEPTH {
            discards.waiting.borrow_mut().push(task);
            return;
        }
        discards.depth.set(depth + 1);
        discard_and_release(task);
        if depth == 0 {
            discard_waiting(discards);
        }
        discards.depth.set(depth);
    });
    if nested.is_err() {
        // The thread is being torn down.
        discard_and_release(task);
    }
}

fn discard_waiting(discards: &Discards) {
    loop {
        // A statement of its own: the borrow must be over when an outcome adds to what waits.
        let next = discards.waiting.borrow_mut().pop();
        let Some(next) = next else { return };
        discard_and_release(next);
    }
}

/// The outcome and the handle's reference are the caller's, and go. Never unwinds.
fn discard_and_release(task: NonNull<Header>) {
    // SAFETY: the handle's reference stands until the end of this function, which gives it back.
    let task_ref = unsafe { TaskRef::from_raw(task) };
    discard_outcome(task, task_ref.header().state.load(), |error| crate::report::unretrieved(&task_ref, error));
}

/// Ends a task that no runtime takes in: never listed, never queued. `RUNNING` or `NOTIFIED` is the caller's.
pub(crate) fn refuse(task: NonNull<Header>, why: &str) {
    // SAFETY: the runtime's reference is given back at the end.
    let task_ref = unsafe { TaskRef::from_raw(task) };
    let _claimed = task_ref.header().state.try_claim();
    let entered = current::enter_task(Some(task));
    store_failure(task, TaskError::Cancelled(CancelledError::new(why)));
    drop(entered);
    // Nobody but the creator has seen the task: no waiters, no callbacks, and the handle exists.
    let _before = set_complete(task, false);
    run_hook(&task_ref);
    drop(task_ref);
}
