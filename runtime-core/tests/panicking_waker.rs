//! A waker that panics when a timer wakes it: neither the worker nor the other timers suffer.

use runtime_core::{sleep, testing};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("woken");
    }
}

#[test]
fn a_timer_with_a_waker_that_panics_leaves_the_others_alone() {
    testing::block_on(async {
        let mut first = Box::pin(sleep(Duration::from_millis(1)));
        assert!(first.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
        sleep(Duration::from_millis(1)).await;
        first.await;
    });
}
