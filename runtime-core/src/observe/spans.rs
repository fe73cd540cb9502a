//! A `tracing` span for each task, with the names and fields that tokio-console reads; and an event for each clone, wake and drop of its wakers.
//!
//! What a task costs where nobody is interested: its creator looks at tracing's level, one load. A task of interest gets a span into its cold part, another
//! table of operations, whose polls and drops enter the span, and another table for its wakers. So nothing is asked at a poll or a wake.
//!
//! The span is closed when the future is gone. Its number, which the events carry, may be somebody else's soon after: there are no events then.

use crate::task::cell::Header;
use crate::task::{Kind, TaskRef};
use parking_lot::Mutex;
use std::ptr::NonNull;
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::span::EnteredSpan;
use tracing::{Level, Span};

/// Whether anybody may be interested in the spans of tasks.
#[inline(always)]
pub(crate) fn wanted() -> bool {
    Level::TRACE <= STATIC_MAX_LEVEL && Level::TRACE <= LevelFilter::current()
}

/// The span of a task.
pub(crate) struct TaskSpan {
    /// Its number, for the events of wakers.
    id: u64,
    /// The span until the task's future is gone.
    span: Mutex<Option<Span>>,
}

/// Makes the span of a new task whose future is so large; false if nobody is interested.
pub(crate) fn attach(task: &Header, size: usize) -> bool {
    let kind = match task.kind() {
        Kind::Task => "task",
        // The future itself stays on the stack of `run`: its size is not known here.
        Kind::Main => "main",
        Kind::Callback | Kind::Promise | Kind::Thread => return false,
    };
    let name = task.cold_if_any().and_then(|cold| cold.inner.lock().name.clone());
    let span = tracing::trace_span!(
        target: "runtime::task",
        parent: None,
        "runtime.spawn",
        kind,
        task.name = name.as_deref(),
        task.id = task.id,
        size.bytes = (task.kind() == Kind::Task).then_some(size),
        loc.file = task.location.file(),
        loc.line = task.location.line(),
        loc.col = task.location.column(),
    );
    let Some(id) = span.id() else { return false };
    let made = TaskSpan { id: id.into_u64(), span: Mutex::new(Some(span)) };
    task.cold().span.set(Box::new(made)).is_ok()
}

/// Enters the span until the result is dropped.
pub(crate) fn enter(task: &Header) -> Option<EnteredSpan> {
    // Cloned, so that no lock is held when the subscriber is called.
    let span = of(task)?.span.lock().clone();
    span.map(Span::entered)
}

/// The future is gone.
pub(crate) fn close(task: &Header) {
    if let Some(own) = of(task) {
        let span = own.span.lock().take();
        drop(span);
    }
}

fn of(task: &Header) -> Option<&TaskSpan> {
    task.cold_if_any()?.span.get().map(Box::as_ref)
}

/// What is done with a waker.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WakerOp {
    Clone,
    Wake,
    WakeByRef,
    Drop,
}

/// Tells what is about to be done with a waker of the task.
///
/// Keeps the task alive meanwhile: the subscriber is somebody else's code, which may take its time.
pub(crate) fn tell(task: NonNull<Header>, op: WakerOp) {
    // SAFETY: the waker that is used keeps the task alive up to here.
    let task = unsafe { TaskRef::clone_raw(task) };
    let Some(own) = of(task.header()) else { return };
    if own.span.lock().is_none() {
        return;
    }
    let op = match op {
        WakerOp::Clone => "waker.clone",
        WakerOp::Wake => "waker.wake",
        WakerOp::WakeByRef => "waker.wake_by_ref",
        WakerOp::Drop => "waker.drop",
    };
    tracing::trace!(target: "runtime::waker", op, task.id = own.id);
}
