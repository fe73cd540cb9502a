//! A hierarchical timer wheel: a pure data structure without threads, clocks or unsafe code.
//!
//! A [`Wheel`] holds values with deadlines and gives them back when their time has come. It
//! never looks at a clock: time is a `u64` that the caller passes in, in any unit the caller
//! likes. It has no lock either: share it behind one, and take a few expired entries at a time
//! while holding it.
//!
//! # Promises
//!
//! - **Never early, always in order.** Entries come out by deadline, and those with equal
//!   deadlines in the order in which they were inserted or last reset. A deadline that has
//!   already passed when it is set counts as [`Wheel::now`].
//! - **Any deadline**, from the past up to `u64::MAX`. There is no horizon.
//! - **O(1)** [`insert`](Wheel::insert), [`cancel`](Wheel::cancel), [`reset`](Wheel::reset) and
//!   [`next_deadline`](Wheel::next_deadline). An entry is moved at most ten times between its
//!   insertion and its expiry, usually once or twice; time that passes costs nothing.
//! - **Memory** is one entry of 40 bytes per timer (for a value of 16 bytes with a niche, such as
//!   a [`Waker`](std::task::Waker)). That of a cancelled entry is free for the next
//!   insertion at once. Growing copies no entry. Pages of entries that are wholly free go back to the allocator,
//!   save a few. An entry never moves in memory, so one long-lived timer keeps its page.
//! - **Keys** are 8 bytes and safe to keep for too long: one whose entry has gone is refused.
//!
//! One thing is *not* promised: a single [`poll`](Wheel::poll) may take longer than the next
//! one, because a slot that comes near is sorted as a whole. That is amortised over the entries
//! in it, but with a million timers in one slot it is one pause of some milliseconds.
//!
//! # Examples
//!
//! ```
//! use runtime_timers::Wheel;
//!
//! let mut wheel = Wheel::new(0);
//! wheel.insert(300, "tea");
//! wheel.insert(100, "egg");
//! let toast = wheel.insert(200, "toast");
//! assert_eq!(wheel.cancel(toast), Some("toast"));
//!
//! assert_eq!(wheel.next_deadline(), Some(100));
//! assert!(wheel.poll(99).is_none());
//!
//! // A long jump: both are due, and come out in the order of their deadlines.
//! let ready: Vec<_> = std::iter::from_fn(|| wheel.poll(1_000)).map(|e| e.value).collect();
//! assert_eq!(ready, ["egg", "tea"]);
//! assert!(wheel.is_empty());
//! ```

#![forbid(unsafe_code)]

mod level;
mod slab;
mod wheel;

pub use slab::{Drain, Key};
pub use wheel::{Expired, Wheel};
