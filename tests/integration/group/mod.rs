//! Rows TG: `TaskGroup`.

mod cancel;
mod failure;
mod nesting;
mod outside;
mod size;
mod success;

use crate::support::{
    Count, Log, OnDrop, begun, cancellation, everywhere, exact, forever, forever_from, let_go, ms, passes, received,
    send, signal, under_load,
};
use futures::FutureExt;
use runtime::{
    Context, ExceptionGroup, Failure, Handle, Promise, TaskBuilder, TaskGroup, all_tasks, catch_cancelled, context_var,
    create_task, current_task, sleep, timeout, yield_now,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

context_var! { static VALUE: u32 = 0; }

type Errors = Vec<&'static str>;

fn errors<T: std::fmt::Debug>(result: Result<T, ExceptionGroup<&'static str>>) -> Errors {
    result.expect_err("the group fails").into_errors().collect()
}

fn count() -> u32 {
    current_task().unwrap().cancelling()
}

/// Waits for ever; after a request adds its count and its message to the log, after some passes, and lets it go on.
async fn cleans_up(log: Log, steps: usize) -> Result<(), &'static str> {
    let error = catch_cancelled(forever()).await.unwrap_err();
    passes(steps).await;
    log.add(format!("{} {:?}", count(), error.message()));
    error.reraise().await
}

/// Adds a child that `cleans_up`; it waits already.
async fn add_cleaning_child(group: &TaskGroup<&'static str>, log: &Log, steps: usize) {
    let (log, (sent, started)) = (log.clone(), signal());
    group.create_task(async move {
        send(sent);
        cleans_up(log, steps).await
    });
    received(started).await;
}

struct PanicsInDrop(&'static str);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}
