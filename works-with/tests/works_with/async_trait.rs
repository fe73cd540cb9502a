//! `async-trait`: async methods behind `dyn`.

use crate::support::{Count, ms, until_cancelled};
use async_trait::async_trait;
use runtime::{create_task, sleep, timeout};

#[async_trait]
trait Job: Send + Sync {
    async fn run(&self, input: u32) -> u32;
}

struct Doubles;

#[async_trait]
impl Job for Doubles {
    async fn run(&self, input: u32) -> u32 {
        sleep(ms(1)).await;
        input * 2
    }
}

struct Stuck(Count);

#[async_trait]
impl Job for Stuck {
    async fn run(&self, _input: u32) -> u32 {
        until_cancelled(self.0.clone()).await;
        0
    }
}

#[runtime::test(virtual_time)]
async fn boxed_jobs_run_as_tasks_and_are_cancelled() {
    let cleaned_up = Count::default();
    let jobs: Vec<Box<dyn Job>> = vec![Box::new(Doubles), Box::new(Stuck(cleaned_up.clone()))];
    let mut ended = Vec::new();
    for job in jobs {
        let task = create_task(async move { job.run(21).await });
        ended.push(timeout(ms(10), task).await.map(Result::unwrap));
    }
    assert_eq!(ended, [Ok(42), Err(runtime::TimeoutError)]);
    assert_eq!(cleaned_up.get(), 1);
}
