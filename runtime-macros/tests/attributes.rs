//! The attributes themselves, on a stand-in for the facade that records what the builder is told.

extern crate self as runtime;

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::process::{ExitCode, Termination};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use runtime_macros as rt;

/// Stands for the builder, and records what it is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Builder {
    /// Calls in their order, as text.
    calls: Vec<String>,
}

/// Gives `Builder` a method for each option.
macro_rules! record {
    ($($method:ident: $ty:ty,)*) => {
        impl Builder {
            $(
                #[doc = "Records the call."]
                pub fn $method(mut self, value: $ty) -> Builder {
                    self.calls.push(format!("{} {:?}", stringify!($method), value));
                    self
                }
            )*
        }
    };
}

record! {
    workers: usize,
    thread_name: &str,
    thread_stack_size: usize,
    max_blocking_threads: usize,
    blocking_keep_alive: Duration,
    debug: bool,
    slow_poll_threshold: Duration,
    handle_interrupts: bool,
    shutdown_grace: Duration,
    virtual_time: bool,
    seed: u64,
    eager_tasks: bool,
}

/// Stands for the runner.
#[derive(Debug)]
pub struct Runner;

impl Runner {
    /// An empty record.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

thread_local! {
    /// What the running body can ask for.
    static TOLD: RefCell<Builder> = RefCell::default();
}

/// The calls that made the present runtime.
fn told() -> Vec<String> {
    TOLD.with_borrow(|told| told.calls.clone())
}

/// What the expansions call, with the signatures of the real ones.
pub mod __private {
    use super::*;

    /// Polls the future once, which is enough for the bodies here.
    pub fn main<F: Future>(builder: Builder, future: F) -> F::Output {
        TOLD.set(builder);
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the body waits"),
        }
    }

    pub use main as test;
}

/// As in the facade.
pub mod testing {
    use super::*;

    /// Runs `run` with each seed, and stops at the first that does not succeed.
    pub fn for_each_seed<T: Termination>(seeds: impl IntoIterator<Item = u64>, mut run: impl FnMut(u64) -> T) {
        for seed in seeds {
            let code = run(seed).report();
            assert!(code == ExitCode::SUCCESS, "failed under seed {seed}");
        }
    }
}

#[rt::test]
async fn a_test_has_one_worker() {
    assert_eq!(told(), ["workers 1"]);
}

#[rt::test(
    workers = 1,
    thread_name = "io",
    thread_stack_size = 65_536,
    max_blocking_threads = 3,
    blocking_keep_alive = "1s",
    debug,
    slow_poll_threshold = "1.5ms",
    handle_interrupts = false,
    shutdown_grace = "2m",
    virtual_time = true,
    seed = 7,
    eager_tasks
)]
async fn all_options_reach_the_builder() {
    assert_eq!(
        told(),
        [
            "workers 1",
            "thread_name \"io\"",
            "thread_stack_size 65536",
            "max_blocking_threads 3",
            "blocking_keep_alive 1s",
            "debug true",
            "slow_poll_threshold 1.5ms",
            "handle_interrupts false",
            "shutdown_grace 120s",
            "virtual_time true",
            "seed 7",
            "eager_tasks true",
        ]
    );
}

/// A constant for an option.
const NAME: &str = "constant";

#[rt::test(workers = { 1 + 1 }, thread_name = NAME, debug = { const ON: bool = true; ON })]
async fn options_take_paths_and_blocks() {
    assert_eq!(told(), ["workers 2", "thread_name \"constant\"", "debug true"]);
}

/// Not the program's `main`, so anything may come back.
#[rt::main(workers = 3)]
async fn ask() -> Vec<String> {
    told()
}

#[rt::main]
pub(crate) async fn ask_by_default() -> Vec<String>
where
    String: Clone,
{
    told()
}

#[rt::main(seed = 7)]
async fn ask_deterministic() -> Vec<String> {
    told()
}

#[test]
fn main_may_have_another_name_and_return_anything() {
    assert_eq!(ask(), ["workers 3"]);
    assert_eq!(ask_by_default(), Vec::<String>::new());
    assert_eq!(ask_deterministic(), ["workers 1", "seed 7"]);
}

#[rt::test]
async fn a_test_may_return_a_result() -> Result<(), std::num::ParseIntError> {
    let number: u8 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}

#[rt::test]
async fn a_test_may_return_an_exit_code() -> ExitCode {
    ExitCode::from(u8::from(told().is_empty()))
}

#[rt::test]
async fn a_test_may_return_what_it_does_not_name() -> impl Termination {
    let number: u8 = "7".parse()?;
    if number == 7 { Ok(()) } else { "".parse::<u8>().map(drop) }
}

#[rt::test]
#[should_panic(expected = "on purpose")]
async fn should_panic_stays() {
    panic!("on purpose");
}

#[rt::main]
async fn never() -> ! {
    panic!("on purpose")
}

#[test]
#[should_panic(expected = "on purpose")]
fn a_function_may_never_return() {
    never()
}

#[rt::test]
#[ignore = "would fail"]
async fn ignore_stays() {
    unreachable!("ignored");
}

#[rt::test]
async fn the_body_need_not_be_send() {
    let shared = std::rc::Rc::new(1);
    std::future::ready(()).await;
    assert_eq!(*shared, 1);
}

thread_local! {
    /// The seeds that a test has seen, for the last of them to look at.
    static SEEN: RefCell<Vec<String>> = RefCell::default();
}

#[rt::test(seeds = 5..8, debug)]
async fn seeds_run_the_body_under_each() -> Result<(), String> {
    let calls = told();
    SEEN.with_borrow_mut(|seen| {
        seen.push(calls[2].clone());
        match calls[2].as_str() {
            "seed 5" | "seed 6" => Ok(()),
            "seed 7" if *seen == ["seed 5", "seed 6", "seed 7"] => Ok(()),
            other => Err(other.to_owned()),
        }
    })
}

#[rt::test(seeds = { [3, 4711] })]
#[should_panic(expected = "failed under seed 4711")]
async fn a_seed_that_fails_is_named() -> Result<(), ()> {
    if told().contains(&"seed 4711".to_owned()) { Err(()) } else { Ok(()) }
}

#[rt::test(seeds = 2)]
async fn seed() {
    // The name is that of a method and a variable in the expansion, and means neither.
    assert!(told()[1].starts_with("seed "));
}

/// Another path to the stand-in.
mod renamed {
    pub(crate) use super::{__private, Runner};
}

#[rt::test(crate = renamed)]
async fn the_crate_may_have_another_name() {
    assert_eq!(told(), ["workers 1"]);
}

/// Passes its arguments on, in invisible brackets.
macro_rules! make_test {
    ($name:ident, $workers:expr, $grace:literal) => {
        #[rt::test(workers = $workers, shutdown_grace = $grace)]
        async fn $name() {
            assert_eq!(told(), ["workers 2", "shutdown_grace 3s"]);
        }
    };
}

make_test!(a_declarative_macro_may_write_the_options, 2, "3s");
