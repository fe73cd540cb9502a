//! The runtime under another path, options from constants and expressions.

mod inner {
    pub(crate) use runtime as engine;
}

const WORKERS: usize = 1;

#[inner::engine::main(
    crate = inner::engine,
    workers = WORKERS,
    debug = { cfg!(debug_assertions) },
    slow_poll_threshold = { std::time::Duration::from_millis(50) },
)]
async fn main() {}
