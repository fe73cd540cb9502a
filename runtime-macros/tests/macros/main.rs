//! The parser and the expansion over token streams, without a compiler around them.

#[path = "../../src/args.rs"]
mod args;
#[path = "../../src/expand.rs"]
mod expand;

mod expansion;
mod options;
