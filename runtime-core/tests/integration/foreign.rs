//! Handles, wakers and promises in the hands of threads that know no runtime, also after it has gone.

use crate::support::*;
use runtime_core::*;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

everywhere! {
    async fn eight_threads_spawn_and_nothing_is_lost() {
        let handle = Handle::current();
        let count = Count::default();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (handle, count) = (handle.clone(), count.clone());
                std::thread::spawn(move || {
                    let tasks: Vec<_> = (0..1000)
                        .map(|_| {
                            let count = count.clone();
                            handle.create_task(async move {
                                yield_now().await;
                                count.up();
                            })
                        })
                        .collect();
                    tasks
                })
            })
            .collect();
        let (all, wait) = Promise::new();
        std::thread::spawn(move || {
            let tasks: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            all.set_result(tasks).unwrap();
        });
        for task in wait.await.unwrap() {
            task.await.unwrap();
        }
        assert_eq!(count.get(), 8000);
    }

    async fn woken_from_eight_threads_at_once() {
        for _ in 0..50 {
            let (sender, receiver) = mpsc::channel::<Waker>();
            let task = create_task(async move {
                let mut polled = false;
                std::future::poll_fn(move |cx| {
                    if std::mem::replace(&mut polled, true) {
                        return Poll::Ready(());
                    }
                    for _ in 0..8 {
                        sender.send(cx.waker().clone()).unwrap();
                    }
                    Poll::Pending
                })
                .await
            });
            yield_now().await;
            let threads: Vec<_> = (0..8)
                .map(|_| receiver.recv().unwrap())
                .map(|waker| {
                    std::thread::spawn(move || {
                        waker.wake_by_ref();
                        waker.clone().wake();
                        drop(waker);
                    })
                })
                .collect();
            task.await.unwrap();
            for thread in threads {
                thread.join().unwrap();
            }
        }
    }
}

/// Gives the waker of a task that never ends.
fn waker_of_a_task(handle: &Handle) -> (Waker, Task<()>) {
    let (sender, receiver) = mpsc::channel();
    let task = handle.create_task(std::future::poll_fn(move |cx: &mut Context<'_>| {
        let _ = sender.send(cx.waker().clone());
        Poll::Pending
    }));
    (receiver.recv().unwrap(), task)
}

#[test]
fn everything_is_usable_after_its_runtime_has_gone() {
    for _ in 0..20 {
        let engine = engine(2);
        let handle = engine.handle();
        let (waker, mut task) = waker_of_a_task(&handle);
        let reference = task.task_ref();
        let (promise, mut promised) = handle.create_promise::<u8>();
        let call = handle.call_later(Duration::from_secs(1000), || {});
        let wait = reference.wait();
        let scope = CancelScope::new();
        let called = Count::default();
        let counting = called.clone();
        promised.add_done_callback(move |_| counting.up());
        engine.close();
        drop(engine);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (waker, reference, handle, call) = (waker.clone(), reference.clone(), handle.clone(), call.clone());
                let scope = scope.clone();
                std::thread::spawn(move || {
                    waker.wake_by_ref();
                    waker.clone().wake();
                    assert!(!reference.cancel() && reference.done() && reference.cancelled());
                    reference.set_name("ghost");
                    assert_eq!(reference.get_name(), "ghost");
                    assert_eq!(reference.uncancel(), 0);
                    reference.add_done_callback(|task| assert!(task.done()));
                    assert!(handle.create_task(async {}).cancelled());
                    assert!(handle.is_closed() && handle.all_tasks().is_empty());
                    call.cancel();
                    scope.cancel();
                    handle.time();
                    let _ = handle.create_promise::<u8>();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(task.result().unwrap().unwrap_err().is_cancelled());
        futures::executor::block_on(wait);
        assert!(promised.result().is_err());
        promise.set_result(3).unwrap();
        assert_eq!(called.get(), 1);
        assert_eq!(promised.result().unwrap().unwrap(), 3);
    }
}

#[test]
fn a_waker_used_while_its_threads_locals_are_torn_down() {
    struct AtExit(std::cell::RefCell<Vec<Box<dyn FnOnce()>>>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            for last in self.0.take() {
                last();
            }
        }
    }
    thread_local! { static AT_EXIT: AtExit = const { AtExit(std::cell::RefCell::new(Vec::new())) } }
    let engine = engine(2);
    let handle = engine.handle();
    let polls = Count::default();
    let counting = polls.clone();
    let (sender, receiver) = mpsc::channel();
    let task = handle.create_task(std::future::poll_fn(move |cx: &mut Context<'_>| {
        counting.up();
        let _ = sender.send(cx.waker().clone());
        if counting.get() > 1 { Poll::Ready(()) } else { Poll::Pending }
    }));
    let waker = receiver.recv().unwrap();
    let reference = task.task_ref();
    std::thread::spawn(move || {
        let (promise, promised) = Promise::<u8>::new();
        AT_EXIT.with(|at_exit| {
            at_exit.0.borrow_mut().push(Box::new(move || {
                waker.wake();
                reference.get_context();
                promised.add_done_callback(|task| assert!(task.done()));
                promise.set_result(1).unwrap();
                assert!(current_task().is_none());
                let _ = handle.create_task(async {});
            }));
        });
        // Used after the other one was registered, hence destroyed before it.
        drop(Context::from_waker(Waker::noop()));
        let _ = runtime_core::Context::current();
    })
    .join()
    .unwrap();
    engine.run(task).unwrap().unwrap();
}

#[test]
fn a_task_is_awaited_by_another_executor() {
    for workers in [1, 2] {
        let _watchdog = Watchdog::new();
        let engine = engine(workers);
        let handle = engine.handle();
        let (stop, stopped) = futures::channel::oneshot::channel::<()>();
        let foreign = std::thread::spawn(move || {
            let task = handle.create_task(async {
                sleep(Duration::from_micros(100)).await;
                17
            });
            let value = futures::executor::block_on(task).unwrap();
            stop.send(()).unwrap();
            value
        });
        engine.run(stopped).unwrap().unwrap();
        assert_eq!(foreign.join().unwrap(), 17);
    }
}
