//! What the tests share.

#![allow(dead_code, reason = "each of the binaries uses a part")]

use runtime_bridge::{BlockingConfig, configure};
use runtime_core::{Config, Engine, ExceptionContext, Handle};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than anything here takes; only a failing test waits so long.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Runs a body on an engine with so many workers, closes it, and gives the result.
pub(crate) fn on<T>(workers: usize, body: impl Future<Output = T>) -> T {
    let engine = engine(workers);
    let result = engine.run(body).expect("main is not cancelled");
    engine.close();
    result
}

pub(crate) fn engine(workers: usize) -> Engine {
    Engine::new(Config { workers, ..Config::default() }).expect("threads can be created")
}

/// Runs a body with one worker and with several.
pub(crate) fn on_each<F: Future<Output = ()>>(body: impl Fn() -> F) {
    for workers in [1, 2, 4] {
        on(workers, body());
    }
}

/// Makes the pool of the current runtime one with so many threads, which stay until its end.
pub(crate) fn limit_threads(max_threads: usize) {
    let config = BlockingConfig { max_threads, keep_alive: Duration::from_secs(3600), ..BlockingConfig::default() };
    assert!(configure(&Handle::current(), config));
}

/// What is reported to the exception handler of the runtime from now on.
pub(crate) fn reports(handle: &Handle) -> Receiver<String> {
    let (tx, rx) = channel();
    handle.set_exception_handler(Some(move |report: &ExceptionContext| {
        let _ = tx.send(report.to_string());
    }));
    rx
}

/// Counts its drops; may panic in them.
#[derive(Clone)]
pub(crate) struct Dropped {
    pub(crate) count: Arc<AtomicUsize>,
    pub(crate) panics: bool,
}

impl Dropped {
    pub(crate) fn new(panics: bool) -> (Self, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        (Self { count: Arc::clone(&count), panics }, count)
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.count.fetch_add(1, SeqCst);
        assert!(!self.panics, "destructor");
    }
}
