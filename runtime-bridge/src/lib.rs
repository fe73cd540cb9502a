//! Threads in and out.
