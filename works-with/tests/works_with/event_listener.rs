//! `event-listener`: what the others of its family wait with.

use crate::support::ms;
use event_listener::Event;
use runtime::{create_task, timeout, yield_now};
use std::sync::Arc;

#[runtime::test(virtual_time)]
async fn a_notification_wakes_one() {
    let event = Arc::new(Event::new());
    let waiting = || {
        let listener = event.listen();
        create_task(listener)
    };
    let (first, second) = (waiting(), waiting());
    yield_now().await;
    event.notify(1);
    first.await.unwrap();
    assert!(!second.done());
    event.notify(1);
    second.await.unwrap();
}

#[runtime::test(virtual_time)]
async fn a_cancelled_listener_passes_its_notification_on() {
    let event = Event::new();
    let (first, second) = (event.listen(), event.listen());
    let (first, second) = (create_task(first), create_task(second));
    yield_now().await;
    event.notify(1);
    first.cancel();
    assert!(first.await.unwrap_err().is_cancelled());
    second.await.unwrap();
}

#[runtime::test(virtual_time)]
async fn a_timeout_gives_the_wait_up() {
    let event: Event = Event::new();
    assert!(timeout(ms(10), event.listen()).await.is_err());
    assert_eq!(event.total_listeners(), 0);
}

#[runtime::test]
async fn a_thread_waits_for_a_task() {
    let event = Arc::new(Event::new());
    let listener = event.listen();
    let thread = runtime::to_thread(move || event_listener::Listener::wait(listener));
    event.notify(1);
    thread.await.unwrap();
}
