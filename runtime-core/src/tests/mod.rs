//! Models of the engine's protocols, run by loom: `ci/loom.sh`.
//!
//! Each runs the engine's own code around as little as it needs: a queue behind a lock in place of the scheduler, futures that end when
//! others have said so. Two or three threads, few steps. The note *Found by hand* at a model names a bug that was put into the engine to see the model
//! find it.
//!
//! A lost wake-up shows as loom's "deadlock"; a race on what is not atomic as its "causality violation"; a value that is lost or dropped
//! twice as a wrong count of [`Drops`](support::Drops).

mod support;

mod loom_task;
