//! Threads in and out of `runtime`: blocking functions on a pool of threads, work from foreign threads, waits of foreign threads.
//!
//! | from → to | here |
//! |---|---|
//! | task → blocking function | [`to_thread`](fn@to_thread), [`RunInExecutor::run_in_executor`] |
//! | any thread → task | [`run_coroutine_threadsafe`] |
//! | blocking thread → the result of any [`Task`](runtime_core::Task) | [`BlockingResult`] |
//! | blocking function → its own task | [`thread_cancelled`] |
//!
//! All of them give or take the one handle type, `Task<T>`. The pool belongs to a runtime, is made by its first use, set up by
//! [`configure`] before that, and ends with the runtime.
//!
//! # Examples
//!
//! ```
//! use runtime_bridge::{BlockingResult, run_coroutine_threadsafe, to_thread};
//! use runtime_core::{Handle, testing};
//!
//! testing::block_on(async {
//!     let handle = Handle::current();
//!     let sum = to_thread(move || {
//!         // A thread that may block: here on a task of the runtime that it came from.
//!         let task = run_coroutine_threadsafe(async { 40 }, &handle);
//!         task.blocking_result().unwrap() + 2
//!     });
//!     assert_eq!(sum.await.unwrap(), 42);
//! });
//! ```

#![forbid(unsafe_code)]

mod loom;
mod pool;
#[cfg(all(test, loom))]
mod tests;
mod threadsafe;
mod to_thread;
mod wait;

pub use pool::{BlockingConfig, configure};
pub use threadsafe::run_coroutine_threadsafe;
pub use to_thread::{RunInExecutor, thread_cancelled, to_thread};
pub use wait::{BlockingResult, BlockingTimeout};
