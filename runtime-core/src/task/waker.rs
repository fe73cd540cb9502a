//! Wakers: one reference to the task each, usable from any thread at any time, also after the runtime has gone.

use super::Kind;
use super::cell::{Header, drop_ref, schedule_task};
use super::state::Wake;
use crate::observe::spans::{WakerOp, tell};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

pub(crate) static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// Of tasks with a span.
pub(crate) static TRACED: RawWakerVTable =
    RawWakerVTable::new(traced_clone, traced_wake, traced_wake_by_ref, traced_drop);

/// For a poll in which somebody watches (`inspect`). Its clones are ordinary wakers. So whoever compares the waker that he has with the one of
/// this poll finds another, and takes a clone: which is what is to be seen.
static WATCHING: RawWakerVTable = RawWakerVTable::new(watched_clone, wake, watched_wake_by_ref, drop);

/// The waker for a poll, which borrows the poller's hold on the task.
#[inline]
pub(crate) fn borrowed(task: NonNull<Header>) -> ManuallyDrop<Waker> {
    // SAFETY: the functions below keep the contract of `RawWaker`. No reference is taken, and none is given back, because
    // of `ManuallyDrop`; the poller keeps the task alive longer than the poll.
    ManuallyDrop::new(unsafe { Waker::new(task.as_ptr().cast(), task.as_ref().waker_vtable()) })
}

fn is_ours(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &VTABLE) || is_traced(waker)
}

/// Whether it is a waker of a task with a span.
#[inline]
pub(crate) fn is_traced(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &TRACED)
}

/// As [`borrowed`], for a poll that is watched.
#[cold]
pub(crate) fn watching(task: NonNull<Header>) -> ManuallyDrop<Waker> {
    // SAFETY: as in `borrowed`.
    ManuallyDrop::new(unsafe { Waker::new(task.as_ptr().cast(), &WATCHING) })
}

/// Whether it is a waker of ours, and of no poll that is watched.
#[inline]
pub(crate) fn is_plain(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &VTABLE)
}

/// Whether it is the waker of a poll that is watched.
#[inline]
pub(crate) fn is_watching(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &WATCHING)
}

/// Whether wakers with this table are ours.
pub(crate) fn is_our_table(vtable: *const RawWakerVTable) -> bool {
    std::ptr::eq(vtable, &VTABLE)
}

/// The address of the task behind a waker, if it is one of ours.
pub(crate) fn address_of(waker: &Waker) -> Option<usize> {
    (is_plain(waker) || is_watching(waker)).then(|| waker.data().addr())
}

/// Whether this is a waker of that task.
#[inline]
pub(crate) fn is_of(waker: &Waker, task: NonNull<Header>) -> bool {
    std::ptr::eq(waker.data(), task.as_ptr().cast()) && is_ours(waker)
}

/// What the task behind a waker is, if it is one of ours.
pub(crate) fn kind_of(waker: &Waker) -> Option<Kind> {
    if !is_ours(waker) {
        return None;
    }
    // SAFETY: one of ours, and it keeps its task alive.
    Some(unsafe { task(waker.data()).as_ref() }.kind())
}

fn task(data: *const ()) -> NonNull<Header> {
    // SAFETY: only made from `NonNull` in `borrowed`.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned keeps the task alive.
    unsafe { task(data).as_ref() }.state.ref_inc();
    RawWaker::new(data, &VTABLE)
}

unsafe fn watched_clone(data: *const ()) -> RawWaker {
    crate::inspect::cloned(data);
    // SAFETY: the caller's promise.
    unsafe { clone(data) }
}

unsafe fn watched_wake_by_ref(data: *const ()) {
    crate::inspect::woke_itself(data);
    // SAFETY: the caller's promise.
    unsafe { wake_by_ref(data) }
}

unsafe fn wake(data: *const ()) {
    let task = task(data);
    // SAFETY: this waker's reference keeps the task alive up to here.
    match unsafe { task.as_ref() }.state.wake_by_value() {
        // SAFETY: the transition owes the push; the task is alive, because it is not complete before that push is used.
        Some(Wake::Submit) => unsafe { schedule_task(task) },
        Some(Wake::Nothing) => {}
        // SAFETY: complete: the reference is still ours, and goes here.
        None => unsafe { drop_ref(task) },
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    let task = task(data);
    // SAFETY: the waker keeps the task alive.
    if unsafe { task.as_ref() }.state.wake() == Wake::Submit {
        // SAFETY: the transition above owes the push.
        unsafe { schedule_task(task) };
    }
}

unsafe fn drop(data: *const ()) {
    // SAFETY: this waker's reference is given back once.
    unsafe { drop_ref(task(data)) };
}

// The same, with an event before each: in this order, a drop that frees the task is told of while there is a task.

unsafe fn traced_clone(data: *const ()) -> RawWaker {
    tell(task(data), WakerOp::Clone);
    // SAFETY: the caller's promise is the callee's demand, here and below.
    unsafe { clone(data) };
    RawWaker::new(data, &TRACED)
}

unsafe fn traced_wake(data: *const ()) {
    tell(task(data), WakerOp::Wake);
    // SAFETY: as above.
    unsafe { wake(data) };
}

unsafe fn traced_wake_by_ref(data: *const ()) {
    tell(task(data), WakerOp::WakeByRef);
    // SAFETY: as above.
    unsafe { wake_by_ref(data) };
}

unsafe fn traced_drop(data: *const ()) {
    tell(task(data), WakerOp::Drop);
    // SAFETY: as above.
    unsafe { drop(data) };
}
