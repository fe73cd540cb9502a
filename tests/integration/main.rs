//! Behaviour through the public API, in one binary; tests are named by area and as the sentence that they prove.
//! A name that begins with the id of a row of `docs/conformance.md` bears that row.

mod exports;
mod gather;
mod run;
mod support;
mod testing;
