//! A lock is held over an await, for something that needs the lock. `docs/debugging.md` tells how to find that out from outside.

use async_lock::Mutex;
use runtime::{Promise, TaskBuilder, gather};
use std::sync::Arc;

type Accounts = Arc<Mutex<Vec<i64>>>;

async fn transfer(accounts: Accounts, audited: runtime::Task<()>) {
    let mut accounts = accounts.lock().await;
    accounts[0] -= 10;
    audited.await.expect("does not panic"); // here the lock is held
    accounts[1] += 10;
}

async fn audit(accounts: Accounts, report: Promise<()>) {
    let accounts = accounts.lock().await; // here the lock is waited for
    assert_eq!(accounts.iter().sum::<i64>(), 100);
    report.set_result(()).expect("nobody has cancelled it");
}

#[runtime::main(workers = 2)]
async fn main() {
    let accounts: Accounts = Arc::new(Mutex::new(vec![100, 0]));
    let (report, audited) = Promise::new();
    let transfer = TaskBuilder::new().name("transfer").create_task(transfer(accounts.clone(), audited));
    // Once it has the lock.
    while accounts.try_lock().is_some() {
        runtime::yield_now().await;
    }
    let audit = TaskBuilder::new().name("audit").create_task(audit(accounts, report));
    println!("waiting for both");
    let (transferred, audited) = gather((transfer, audit)).await;
    transferred.and(audited).expect("neither panics");
}
