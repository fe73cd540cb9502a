//! The engine of `runtime`: tasks, cancel scopes, the work-stealing scheduler, timers.
//!
//! Programs use the `runtime` crate, which re-exports all of this and adds the vocabulary of asyncio on top. Nothing there uses more
//! of this crate than its public API, so other combinators can be built on it in the same way.
//!
//! Fixed words: [`Task`] is the typed handle, [`TaskRef`] the untyped copy, a *worker* a thread of the scheduler, the *header*
//! the untyped part of a task's allocation, a *request* one call of `cancel`, a *scope* the region it is aimed at, a
//! *catcher* what can do something about it, a *frame* a scope or catcher while it is being polled.
//!
//! The contracts stand at the head of the modules: `task` (references, who may touch what), `scope` (delivery of
//! cancellation), `scheduler` (sleep and wake).

#[macro_use]
mod context;
mod current;
mod engine;
mod handle;
mod inspect;
#[cfg(not(loom))]
mod loom;
/// For the models of the crates above, which run on the same memory model.
#[cfg(loom)]
#[allow(missing_docs, reason = "the names are std's")]
pub mod loom;
mod observe;
mod prefetch;
mod report;
mod scheduler;
mod scope;
mod spin;
mod task;
#[cfg(all(test, loom))]
mod tests;
mod time;

pub mod testing;

pub use context::{Context, ContextVar, Token};
pub use engine::{Config, Engine, Extension};
pub use handle::{CallHandle, Handle, OutsidePause, OutsideWork, all_tasks, current_task};
pub use inspect::{
    Await, Awaits, CallGraph, StackFrame, TaskReport, TaskStack, TaskState, WorkerReport, awaiting_tasks, awaiting_via,
    call_graph, capture_call_graph, format_call_graph, not_awaiting, print_call_graph,
};
pub use observe::{BlockingMetrics, Metrics, PollTimes, TimerMetrics, WorkerMetrics};
pub use report::ExceptionContext;
pub use scope::{
    CancelScope, CancelWhen, CatchCancelled, Intercept, Intercepted, Scoped, Trigger, cancel_when, catch_cancelled,
    intercept,
};
pub use task::{
    CallbackId, CancelledError, InvalidStateError, PanicError, Promise, RingProbe, Task, TaskBuilder, TaskError,
    TaskId, TaskRef, Wait, create_task, spawn,
};
pub use time::{Sleep, YieldNow, sleep, sleep_until, yield_now};
