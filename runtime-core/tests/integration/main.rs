//! The behaviour of the engine, through its public API: one binary, one module per area.
//!
//! Tests whose names begin with a row's id (`c_05_...`) prove that row of the catalogue of asyncio's behaviours; `rule_03_...`, a
//! rule of the cancellation contract. `everywhere!` runs a test under one, two and eight workers.

#![allow(
    clippy::waker_clone_wake,
    clippy::let_underscore_future,
    clippy::redundant_async_block,
    clippy::unnecessary_unwrap,
    clippy::enum_variant_names,
    clippy::type_complexity,
    clippy::manual_inspect,
    reason = "these tests do on purpose what is superfluous elsewhere"
)]

#[macro_use]
mod support;

mod auto_traits;
mod callbacks;
mod cancel;
mod combinators;
mod context;
mod drops;
mod eager;
mod fairness;
mod foreign;
mod introspection;
mod main_future;
mod panics;
mod promise;
mod scopes;
mod shutdown;
mod sleep;
mod task;
