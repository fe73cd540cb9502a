//! Two tasks await each other. `docs/debugging.md` tells how to find that out from outside.

use runtime::{Promise, Task, TaskBuilder, sleep};
use std::time::Duration;

async fn fetch_prices(rates: Task<u32>) -> u32 {
    100 * rates.await.unwrap_or(1) // here the prices wait for the rates
}

async fn fetch_rates(prices: Task<Task<u32>>) -> u32 {
    let prices = prices.await.expect("given right away");
    prices.await.unwrap_or(1) / 100 // here the rates wait for the prices
}

#[runtime::main(workers = 2)]
async fn main() {
    let (give, given) = Promise::new();
    let rates = TaskBuilder::new().name("rates").create_task(fetch_rates(given));
    let prices = TaskBuilder::new().name("prices").create_task(fetch_prices(rates));
    let prices_ref = prices.task_ref();
    give.set_result(prices).expect("nobody has cancelled it");
    println!("waiting for prices");
    prices_ref.wait().await;
    sleep(Duration::ZERO).await;
    println!("done");
}
