//! Ctrl-C.
fn main() {}
