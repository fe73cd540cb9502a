//! The attributes of [`runtime`](https://docs.rs/runtime): `#[runtime::main]` and
//! `#[runtime::test]`.
//!
//! Use them through the facade crate, which holds what their expansions call, and examples.

mod args;
mod expand;

use proc_macro::TokenStream;

use crate::args::Attribute;

/// Runs an `async fn`, usually `main`, on a runtime of its own.
///
/// The function becomes a plain one of the same name that starts a runtime, runs the body as the
/// main task on the calling thread, shuts the runtime down and returns what the body returned:
/// `()`, a `Result`, an `ExitCode`, or anything else that implements
/// [`Termination`](std::process::Termination) if it is the program's `main`. The body need not be
/// `Send`. Attributes, documentation, visibility and the where-clause stay. A function of another
/// name than `main` may have the attribute too, and returns anything.
///
/// # Options
///
/// Each option but `crate` is the method of that name of `Runner::builder()`, whose page says
/// what it does and what holds without it.
///
/// | option | value |
/// |---|---|
/// | `workers = 4` | integer of at least 1 (`usize`) |
/// | `thread_name = "io"` | string |
/// | `thread_stack_size = 2_097_152` | bytes, an integer (`usize`) |
/// | `max_blocking_threads = 64` | integer (`usize`) |
/// | `blocking_keep_alive = "10s"` | duration |
/// | `debug`, `debug = true` | flag |
/// | `slow_poll_threshold = "100ms"` | duration |
/// | `handle_interrupts = false` | flag |
/// | `shutdown_grace = "2s"` | duration |
/// | `virtual_time` | flag; takes one worker |
/// | `seed = 7` | integer (`u64`); takes one worker |
/// | `eager_tasks` | flag |
/// | `crate = path` | path under which this crate sees `runtime`, if not `::runtime` |
///
/// A duration is a string of a decimal number and one of the units `ns`, `us`, `ms`, `s`, `m`,
/// `h`, such as `"1.5s"`. A flag without a value is `true`. Instead of its literal, every option
/// but `crate` also takes the path of a constant, or any expression in braces, of the type that
/// the builder's method takes: `workers = limits::WORKERS`, `debug = { cfg!(debug_assertions) }`.
///
/// With `virtual_time` or `seed` and no `workers`, there is one worker.
///
/// # Errors
///
/// Wrong use does not compile, and the error stands at the wrong token and says what is accepted:
/// a function that is not async, has arguments or generic parameters, or is `const`, `unsafe` or
/// `extern`; an option that is unknown or doubled; a value of the wrong kind; several workers with
/// `virtual_time` or `seed`. What is written as a path or in braces is checked by the builder when
/// the program starts.
///
/// # Panics
///
/// The function panics if the runtime cannot be started, and it passes on a panic of the body.
///
/// # Cancellation
///
/// A cancellation of the main task, by Ctrl-C for instance, that the body does not catch ends the
/// function as `runtime::run` ends then.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(Attribute::Main, options.into(), item.into()).into()
}

/// Makes an `async fn` a test that runs on a runtime of its own, with one worker.
///
/// The function becomes a plain one of the same name with the standard `#[test]` on it. It may
/// return `()`, a `Result`, an `ExitCode`, or anything else that implements
/// [`Termination`](std::process::Termination). The body need not be `Send`. Attributes such as
/// `#[ignore]` and `#[should_panic]`, documentation, visibility and the where-clause stay.
///
/// With one worker and no seed, ready tasks run first in, first out. With a seed they run in a
/// random order that the seed repeats, so that a failure found under one seed is replayed by it.
///
/// # Options
///
/// All those of [`main`](macro@main), in the same spelling, with one difference: without
/// `workers` there is always one worker. And one more:
///
/// | option | value |
/// |---|---|
/// | `seeds = 100`, `seeds = 0..100` | run the body under each of the seeds, from 0 if only their number is given |
///
/// The first seed under which the body panics or returns an error ends the test, whose panic
/// message names it: write `seed = N` with that number to run it alone. `seeds` also takes the
/// path of a constant, or an expression in braces, that is an `IntoIterator<Item = u64>`, such as
/// `seeds = { [17, 4711] }`. Under `#[should_panic]` it is enough that one seed panics.
///
/// # Errors
///
/// Wrong use does not compile, in the same way as that of [`main`](macro@main). `seed` and `seeds`
/// exclude each other, and neither goes with several workers.
///
/// # Panics
///
/// The test fails with a panic if the runtime cannot be started, if the body panics, and if the
/// body is cancelled and does not catch it.
///
/// # Cancellation
///
/// A cancellation of the main task that the body does not catch fails the test.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(Attribute::Test, options.into(), item.into()).into()
}
