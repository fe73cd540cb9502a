//! Behaviour through the public API, in one binary; tests are named by area and as the sentence that they prove.

mod exports;
mod run;
mod testing;
