//! `runtime::testing` and `#[runtime::test]`.

use runtime::testing::for_each_seed;
use runtime::{create_task, current_task, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

/// What a panic in `f` says.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    *payload.downcast::<String>().expect("with a formatted text")
}

#[test]
fn for_each_seed_stops_at_the_first_panic_and_names_it() {
    let mut seen = Vec::new();
    let message = panic_of(|| {
        for_each_seed(3..9, |seed| {
            seen.push(seed);
            assert!(seed != 5, "not five");
        });
    });
    assert_eq!(message, "failed under seed 5: not five");
    assert_eq!(seen, [3, 4, 5]);
}

#[test]
fn for_each_seed_takes_a_returned_failure_for_one() {
    assert_eq!(
        panic_of(|| for_each_seed([8, 9], |seed| if seed == 9 { Err("nine") } else { Ok(()) })),
        "failed under seed 9"
    );
    assert_eq!(panic_of(|| for_each_seed([1], |_| ExitCode::FAILURE)), "failed under seed 1");
    for_each_seed([1], |_| ExitCode::SUCCESS);
}

/// The order in which four tasks of a run come after a yield.
fn order(runner: runtime::RunnerBuilder) -> Vec<u32> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let runner = runner.build().unwrap();
    let main = async {
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let order = Arc::clone(&order);
                create_task(async move {
                    yield_now().await;
                    order.lock().unwrap().push(number);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    };
    runner.run(main).unwrap();
    drop(runner);
    Arc::into_inner(order).unwrap().into_inner().unwrap()
}

#[test]
fn one_worker_without_a_seed_is_first_in_first_out() {
    assert_eq!(order(runtime::Runner::builder().workers(1)), [0, 1, 2, 3]);
}

#[test]
fn a_seed_repeats_its_order_and_another_has_another() {
    let orders: Vec<_> = (0..20).map(|seed| order(runtime::Runner::builder().seed(seed))).collect();
    let again: Vec<_> = (0..20).map(|seed| order(runtime::Runner::builder().seed(seed))).collect();
    assert_eq!(orders, again);
    let mut different = orders.clone();
    different.sort();
    different.dedup();
    assert!(different.len() > 5, "{different:?}");
}

#[runtime::test]
#[should_panic(expected = "the test was cancelled: enough")]
async fn a_cancelled_test_fails() {
    current_task().unwrap().cancel_with("enough");
    yield_now().await;
}

#[runtime::test(seeds = 4)]
#[should_panic(expected = "failed under seed 0: the test was cancelled")]
async fn a_cancelled_test_with_seeds_fails() {
    current_task().unwrap().cancel();
    yield_now().await;
}

#[runtime::test(workers = { 0 })]
#[should_panic(expected = "failed to start the runtime: a runtime needs at least one worker")]
async fn a_runtime_that_cannot_start_fails_the_test() {}
