//! Seeing what the runtime does while it does it: counters.
//!
//! Counters are written by the worker that they belong to, without read-modify-writes, and summed by who asks.

pub(crate) mod counters;
pub(crate) mod histogram;
pub(crate) mod metrics;

pub use histogram::PollTimes;
pub use metrics::{BlockingMetrics, Metrics, TimerMetrics, WorkerMetrics};
