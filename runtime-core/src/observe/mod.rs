//! Seeing what the runtime does while it does it: counters, the reports of debug mode, and spans for `tracing`.
//!
//! Counters are written by the worker that they belong to, without read-modify-writes, and summed by who asks.

pub(crate) mod counters;
pub(crate) mod debug;
pub(crate) mod histogram;
pub(crate) mod metrics;
pub(crate) mod spans;
#[cfg_attr(
    not(all(feature = "stuck-stacks", target_os = "linux", target_arch = "x86_64", not(loom))),
    path = "no_stack.rs"
)]
pub(crate) mod stack;

pub use histogram::PollTimes;
pub use metrics::{BlockingMetrics, Metrics, TimerMetrics, WorkerMetrics};
