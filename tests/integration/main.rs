//! Behaviour through the public API, in one binary; tests are named by area and as the sentence that they prove.
//! A name that begins with the id of a row of `docs/conformance.md` bears that row.

#![expect(clippy::unit_arg, reason = "`Ok(forever().await)` says in one line what a body does")]
#![expect(clippy::async_yields_async, reason = "a body that gives a task away, unawaited, is what is tested")]

mod as_completed;
mod auto_traits;
mod cancellation;
mod context;
mod eager;
mod elsewhere;
mod exports;
mod fairness;
mod finally;
mod gather;
mod group;
mod inspect;
mod often_wrong;
mod race;
mod reports;
mod run;
mod shield;
mod shutdown;
mod support;
mod testing;
mod timeout;
mod wait;
mod wait_for;
