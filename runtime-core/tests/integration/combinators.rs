//! combinators
