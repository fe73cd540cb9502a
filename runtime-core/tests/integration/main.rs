//! The behaviour of the engine, through its public API: one binary, one module per area.
//!
//! Tests whose names begin with a row's id (`c_05_...`) prove that row of the catalogue of asyncio's behaviours; `rule_03_...`, a
//! rule of the cancellation contract. `everywhere!` runs a test under one, two and eight workers.

#![allow(
    clippy::enum_variant_names,
    clippy::incompatible_msrv,
    clippy::let_underscore_future,
    clippy::manual_inspect,
    clippy::map_identity,
    clippy::redundant_async_block,
    clippy::type_complexity,
    clippy::unnecessary_unwrap,
    clippy::useless_vec,
    clippy::waker_clone_wake,
    dead_code,
    reason = "tests spell out what users may write, clumsy forms included, and build against one toolchain; \
              the helper traits of `auto_traits` are there not to be used"
)]

#[macro_use]
mod support;

mod auto_traits;
mod boundaries;
mod callbacks;
mod cancel;
mod chains;
mod combinators;
mod context;
mod debug;
mod drops;
mod eager;
mod fairness;
mod foreign;
mod inspect;
mod introspection;
mod main_future;
mod metrics;
mod odd;
mod panics;
mod promise;
mod rings;
mod scopes;
mod shutdown;
mod sleep;
mod task;
