//! A task blocks its worker, and with it what only that worker can do. `docs/debugging.md` tells how to find that out from outside.

use runtime::TaskBuilder;
use std::sync::mpsc;

async fn write_log(lines: mpsc::Receiver<String>) {
    // A channel for threads: this waits without giving the worker back.
    while let Ok(line) = lines.recv() {
        println!("{line}");
    }
}

#[runtime::main(workers = 1)]
async fn main() {
    let (log, lines) = mpsc::channel();
    let writer = TaskBuilder::new().name("log writer").create_task(write_log(lines)); // here the task is created
    println!("waiting for the log");
    runtime::yield_now().await;
    log.send(String::from("never comes to this")).expect("the writer listens");
    drop(log);
    writer.await.expect("does not panic");
}
