//! eager
