//! Rule 10: drops.

use super::*;

#[test]
fn rule_10_dropping_an_await_does_not_touch_the_task() {
    everywhere(async || {
        let (go, wait) = signal();
        let mut task = create_task(received(wait));
        for _ in 0..3 {
            futures::select_biased! {
                _ = (&mut task).fuse() => unreachable!(),
                () = yield_now().fuse() => {}
            }
        }
        assert_eq!(task.cancelling(), 0);
        send(go);
        task.await.unwrap();
    });
}

#[test]
fn rule_10_futures_with_scopes_alive_may_move_to_another_task() {
    everywhere(async || {
        for cancelled in [false, true] {
            let (go, wait) = signal();
            let inner = create_task(async {
                received(wait).await;
                "value"
            });
            let same = inner.task_ref();
            let mut moved = Box::pin(timeout(Duration::from_secs(3600), async move {
                let child = create_task(async { passes(3).await });
                let joined = futures::join!(catch_cancelled(inner), catch_cancelled(child));
                joined.0
            }));
            let moved = create_task(async move {
                passes(1).await;
                assert!(futures::poll!(&mut moved).is_pending());
                moved
            })
            .await
            .unwrap();
            let second = begun(moved).await;
            passes(3).await;
            if cancelled {
                second.cancel();
                // The awaited task took the request, ended, and so the catcher around it got it.
                assert!(second.await.unwrap().unwrap().is_err());
                assert!(same.cancelled());
                assert!(go.set_result(()).is_err() || same.done());
            } else {
                send(go);
                assert_eq!(second.await.unwrap().unwrap().unwrap().unwrap(), "value");
            }
        }
    });
}

#[test]
fn rule_10_futures_with_scopes_alive_may_be_dropped_on_a_foreign_thread() {
    everywhere(async || {
        let dropped = Count::default();
        let guard = OnDrop(dropped.clone());
        let cleaned_up = Count::default();
        let told = cleaned_up.clone();
        let (sent, started) = signal();
        let mut whole = Box::pin(async move {
            let _guard = guard;
            let group = TaskGroup::<()>::scope(async |group| {
                group.create_task(async move {
                    send(sent);
                    let error = catch_cancelled(forever()).await.unwrap_err();
                    told.add();
                    let_go(error).await
                });
                timeout(Duration::from_secs(3600), catch_cancelled(forever())).await.unwrap().unwrap();
                Ok(())
            });
            let branches: FuturesUnordered<_> =
                [timeout(Duration::from_secs(3600), gather([forever()]))].into_iter().collect();
            futures::join!(group, branches.count(), create_task(forever()), shield(passes(2)))
        });
        assert!(futures::poll!(&mut whole).is_pending());
        received(started).await;
        std::thread::spawn(move || drop(whole)).join().unwrap();
        assert_eq!(dropped.get(), 1);
        while cleaned_up.get() == 0 {
            yield_now().await;
        }
    });
}

/// An executor that is not ours.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[test]
fn rule_10_futures_with_scopes_alive_may_be_polled_outside_of_any_task() {
    everywhere(async || {
        let (go, wait) = signal();
        let task = create_task(async {
            received(wait).await;
            1
        });
        // On a foreign thread, with a waker that is not a task's.
        let thread = std::thread::spawn(move || {
            block_on(async {
                let caught = catch_cancelled(task).await;
                let reraised = catch_cancelled(CancelledError::new("mine").reraise()).await;
                (caught.unwrap().unwrap(), reraised.unwrap_err().message().map(String::from))
            })
        });
        send(go);
        let (promise, ended) = signal();
        std::thread::spawn(move || promise.set_result(drop(thread.join().unwrap())));
        ended.await.unwrap();
    });
}

#[test]
fn rule_10_a_catcher_kept_by_its_task_is_forgotten_when_it_is_dropped() {
    everywhere(async || {
        let task = begun(async {
            {
                let mut paused = pin!(catch_cancelled(forever()));
                assert!(futures::poll!(&mut paused).is_pending());
                let mut elsewhere: FuturesUnordered<_> = [catch_cancelled(forever())].into_iter().collect();
                assert!(futures::poll!(elsewhere.next()).is_pending());
            }
            forever().await;
        })
        .await;
        passes(3).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}
