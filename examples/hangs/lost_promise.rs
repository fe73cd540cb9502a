//! A task awaits a promise that nobody will keep. `docs/debugging.md` tells how to find that out from outside.

use runtime::{Promise, TaskBuilder};
use std::collections::HashMap;

/// Who waits for the answer to which request.
#[derive(Default)]
struct Pending(HashMap<u32, Promise<&'static str>>);

impl Pending {
    /// The answer to request 7 has come. (It is looked for under the wrong number, and so the promise stays where it is.)
    fn answer(&mut self) {
        if let Some(promise) = self.0.remove(&8) {
            promise.set_result("fine").expect("nobody has cancelled it");
        }
    }
}

#[runtime::main(workers = 2)]
async fn main() {
    let mut pending = Pending::default();
    let (promise, answer) = Promise::new(); // here the promise is made
    pending.0.insert(7, promise);
    let request = TaskBuilder::new().name("request 7").create_task(async {
        answer.await.unwrap_or("cancelled") // here it is waited for
    });
    pending.answer();
    println!("waiting for the answer");
    println!("{}", request.await.expect("does not panic"));
}
