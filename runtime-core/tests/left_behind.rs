//! What the shutdown leaves behind ends all the same.

use runtime_core::{Config, Engine, create_task};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// A worker that is stuck in a poll longer than the grace period is left behind; when the poll ends, its task is dropped,
/// and a waker of it finds it complete.
#[test]
fn the_task_of_a_worker_left_behind_is_dropped_when_its_poll_ends() {
    struct Told(mpsc::Sender<&'static str>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }

    let (tell, told) = mpsc::channel();
    let (wakers, waker) = mpsc::channel::<Waker>();
    let (release, released) = mpsc::channel::<()>();
    let engine = Engine::new(Config { workers: 2, shutdown_grace: Some(Duration::ZERO), ..Config::default() }).unwrap();
    let handle = engine.handle();
    handle.set_exception_handler(Some(|_: &runtime_core::ExceptionContext| {}));
    let waker = engine
        .run(async move {
            drop(create_task(async move {
                let _told = Told(tell);
                std::future::poll_fn::<(), _>(move |cx| {
                    wakers.send(cx.waker().clone()).unwrap();
                    released.recv().unwrap();
                    Poll::Pending
                })
                .await;
            }));
            // Blocks this worker, so that the other one takes the task.
            waker.recv().unwrap()
        })
        .unwrap();
    engine.close();
    drop((engine, handle));
    assert!(told.try_recv().is_err(), "stuck");
    release.send(()).unwrap();
    assert_eq!(told.recv(), Ok("dropped"));
    waker.wake();
}
