//! The rules of cancellation, at the level of the vocabulary; rows of area C that combine several words.
//!
//! Rule 1: a request is recorded. 2: delivered at the next poll. 3: to the innermost catcher. 4: without one the task ends.
//! 5: swallowing. 6: awaited tasks. 7: timeouts. 8: groups. 9: plain combinators. 10: drops. 11: panics. 12: no cost.

mod chains;
mod combinators;
mod drops;
mod panics;
mod rings;
mod rows;
mod rules;
mod structured;

use crate::support::{
    Count, Log, OnDrop, begun, cancellation, everywhere, exact, forever, let_go, ms, passes, received, send, signal,
    under_load,
};
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use runtime::{
    CancelScope, CancelledError, Handle, Promise, Task, TaskGroup, all_tasks, catch_cancelled, create_task,
    current_task, gather, shield, sleep, timeout, yield_now,
};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

fn count() -> u32 {
    current_task().unwrap().cancelling()
}
