//! `criterion`: its `AsyncExecutor` is a trait of one method. An adapter of ours would tie a version of ours to each of its.

use crate::support::{Count, ms};
use criterion::Criterion;
use criterion::async_executor::AsyncExecutor;
use runtime::{Runner, create_task};

/// This is all that is needed.
struct On<'a>(&'a Runner);

impl AsyncExecutor for On<'_> {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.run(future).expect("nobody cancels a benchmark")
    }
}

#[test]
fn a_benchmark_runs_on_a_runner() {
    let runner = Runner::builder().workers(2).build().unwrap();
    let count = Count::default();
    let directory = std::env::temp_dir().join(format!("works-with-criterion-{}", std::process::id()));
    let mut criterion = Criterion::default()
        .output_directory(&directory)
        .sample_size(10)
        .warm_up_time(ms(1))
        .measurement_time(ms(10))
        .without_plots();
    criterion.bench_function("spawn", |bencher| {
        bencher.to_async(On(&runner)).iter(|| async {
            count.up();
            create_task(async { 1 }).await.unwrap()
        });
    });
    assert!(count.get() > 10);
    std::fs::remove_dir_all(directory).unwrap();
}
