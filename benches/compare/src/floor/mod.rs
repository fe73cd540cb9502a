//! What the floors are made of. A floor does what the row asks with the least
//! that could work; it is a bound to measure against, not something to use.

pub mod mini;
pub mod pool;
pub mod wheel;
