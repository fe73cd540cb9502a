//! Each module tries one library, and has its name.
//!
//! What is looked at first is cancellation: a request, a timeout or a drop that goes through code which never heard of this runtime.

mod async_channel;
mod async_compat;
mod async_io;
mod async_lock;
mod async_net;
mod async_process;
mod async_trait;
mod axum;
mod criterion;
mod event_listener;
mod futures;
mod hyper;
mod rayon;
mod reqwest;
mod tokio_sync;
mod tokio_util;
mod tower;
mod tracing_subscriber;

mod support;
mod table;
