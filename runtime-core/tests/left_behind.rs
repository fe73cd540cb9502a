//! What the shutdown leaves behind ends all the same.

use runtime_core::{Config, Engine, create_task};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
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

/// What is ready behind the poll in which a worker is stuck is taken out of that worker's slot and queue, and dropped before the runtime is closed.
#[test]
fn the_tasks_behind_a_worker_left_behind_are_dropped_at_once() {
    const MANY: usize = 100;
    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let dropped = Arc::new(AtomicUsize::new(0));
    let (stuck, is_stuck) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (ended, has_ended) = mpsc::channel();
    let engine = Engine::new(Config { workers: 2, shutdown_grace: Some(Duration::ZERO), ..Config::default() }).unwrap();
    let handle = engine.handle();
    handle.set_exception_handler(Some(|_: &runtime_core::ExceptionContext| {}));
    let values = Arc::clone(&dropped);
    engine
        .run(async move {
            drop(create_task(async move {
                for _ in 0..MANY {
                    let value = Counted(Arc::clone(&values));
                    drop(create_task(async move {
                        let _value = value;
                        std::future::pending::<()>().await;
                    }));
                }
                stuck.send(()).unwrap();
                released.recv().unwrap();
                ended.send(()).unwrap();
            }));
            // Blocks this worker, so that the other one takes the task.
            is_stuck.recv().unwrap();
        })
        .unwrap();
    engine.close();
    assert_eq!(dropped.load(Ordering::SeqCst), MANY);
    assert!(has_ended.try_recv().is_err(), "stuck");
    release.send(()).unwrap();
    has_ended.recv().unwrap();
}
