//! Models of the engine's protocols, run by loom: `ci/loom.sh`.
//!
//! Each runs the engine's own code around as little as it needs: a queue behind a lock in place of the scheduler, futures that end when
//! others have said so. Two or three threads, few steps. The note *Found by hand* at a model names a bug that was put into the engine to see the model
//! find it.
//!
//! loom compares an operation with the last one on the same atomic, so that of "A reads, B reads, B writes" it does not try "B writes, A reads". A thread
//! that only looks is therefore a spawned one, and the thread of the model, which comes first, the one that writes.
//!
//! A lost wake-up shows as loom's "deadlock"; a race on what is not atomic as its "causality violation"; a value that is lost or dropped
//! twice as a wrong count of [`Drops`](support::Drops).

mod support;

mod loom_idle;
mod loom_park;
mod loom_registry;
mod loom_scope;
mod loom_task;
mod loom_worker;
