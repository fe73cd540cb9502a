//! Small helpers for examples and tests.

use crate::engine::{Config, Engine};
use std::future::Future;

/// Runs a future on a runtime of its own with one worker, in the order of asyncio, and closes it.
///
/// # Panics
///
/// With the panic of the future, and when it ends cancelled.
///
/// # Examples
///
/// ```
/// assert_eq!(runtime_core::testing::block_on(async { 1 + 1 }), 2);
/// ```
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let engine = Engine::new(Config { workers: 1, ..Config::default() }).expect("one worker needs no thread");
    let result = engine.run(future);
    engine.close();
    match result {
        Ok(output) => output,
        Err(error) => panic!("the future given to `block_on` was {error}"),
    }
}
