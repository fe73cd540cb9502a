//! The main future among the tasks.

use runtime_core::{create_task, yield_now};

everywhere! {
    /// With nothing in the queue, main came before the task in the last-in slot each time.
    async fn a_main_that_keeps_yielding_does_not_hold_back_the_last_task_it_made() {
        for _ in 0..100 {
            let task = create_task(async {});
            while !task.done() {
                yield_now().await;
            }
        }
    }
}
