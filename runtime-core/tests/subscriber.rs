//! A `tracing` subscriber that panics: a user's code in the middle of a worker's loop. A process of its own, for there is one subscriber
//! in each.

use runtime_core::{Config, Engine, create_task, yield_now};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// How many events have come.
static EVENTS: AtomicUsize = AtomicUsize::new(0);

struct Broken;

impl Subscriber for Broken {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        EVENTS.fetch_add(1, SeqCst);
        panic!("the subscriber is broken");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn db_11_a_subscriber_that_panics_takes_no_worker_along() {
    tracing::subscriber::set_global_default(Broken).unwrap();
    for workers in [1, 2, 8] {
        EVENTS.store(0, SeqCst);
        let engine = Engine::new(Config { workers, ..Config::default() }).unwrap();
        let main = engine.run(async {
            for _ in 0..50 {
                drop(create_task(async { panic!("nobody reads this") }));
            }
            while EVENTS.load(SeqCst) < 50 {
                yield_now().await;
            }
            create_task(async { "still at work" }).await.unwrap()
        });
        assert_eq!(main.unwrap(), "still at work");
        engine.close();
    }
}
