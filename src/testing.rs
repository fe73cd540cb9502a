//! For tests: one body under many seeds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ExitCode, Termination};

/// Calls `run` with each of the seeds, and stops at the first that fails. It is what `#[test(seeds = ...)]` becomes.
///
/// # Panics
///
/// With a message that names the seed and what `run` said, when `run` panics or returns a failure.
///
/// # Examples
///
/// ```
/// use runtime::{Runner, create_task, testing, yield_now};
///
/// testing::for_each_seed(0..10, |seed| {
///     let runner = Runner::builder().seed(seed).build().unwrap();
///     let sum = runner.run(async {
///         let tasks: Vec<_> = (0..4).map(|n| create_task(async move { yield_now().await; n })).collect();
///         let mut sum = 0;
///         for task in tasks {
///             sum += task.await.unwrap();
///         }
///         sum
///     });
///     assert_eq!(sum.unwrap(), 6);
/// });
/// ```
///
/// # Example: the seed that fails is named
///
/// ```should_panic
/// // failed under seed 3: not three
/// runtime::testing::for_each_seed(0..10, |seed| assert!(seed != 3, "not three"));
/// ```
#[track_caller]
pub fn for_each_seed<T: Termination>(seeds: impl IntoIterator<Item = u64>, mut run: impl FnMut(u64) -> T) {
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| run(seed).report())) {
            Ok(code) if is_success(code) => {}
            Ok(_) => panic!("failed under seed {seed}"),
            Err(payload) => match runtime_core::PanicError::new(payload).message() {
                Some(message) => panic!("failed under seed {seed}: {message}"),
                None => panic!("failed under seed {seed}"),
            },
        }
    }
}

/// Exit codes cannot be compared, but they can be printed.
fn is_success(code: ExitCode) -> bool {
    format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
}
