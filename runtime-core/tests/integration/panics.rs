//! Panics stay where they belong, and the workers go on.

use crate::support::*;
use runtime_core::*;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// All workers still work: as many tasks as workers that wait for each other, each on a thread of its own.
async fn all_workers_are_well() {
    let workers = Handle::current().workers();
    if workers == 1 {
        return create_task(async {}).await.unwrap();
    }
    let arrived = Count::default();
    let tasks: Vec<_> = (1..workers)
        .map(|_| {
            let arrived = arrived.clone();
            create_task(async move {
                arrived.up();
                // On as many threads at once as there are workers but this one.
                arrived.spin_until(workers - 1);
            })
        })
        .collect();
    arrived.spin_until(workers - 1);
    for task in tasks {
        task.await.unwrap();
    }
}

struct PanickingWaker(Waker);

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
        panic!("a waker panics");
    }
}

struct PanicsInDrop(Count);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        self.0.up();
        assert!(std::thread::panicking(), "a value panics in its drop");
    }
}

everywhere! {
    async fn a_panicking_task_and_a_panicking_destructor() {
        for _ in 0..50 {
            let dropped = Count::default();
            let value = PanicsInDrop(dropped.clone());
            let task = create_task(async move {
                let _value = value;
                panic!("first");
            });
            let outcome: Result<(), _> = task.await;
            assert_eq!(outcome.unwrap_err().to_string(), "panicked: first");
            assert_eq!(dropped.get(), 1);

            let value = PanicsInDrop(dropped.clone());
            let task = create_task(async move {
                let _value = value;
                pending::<()>().await
            });
            task.cancel();
            assert!(task.await.unwrap_err().is_panicked(), "rule 11");
        }
        all_workers_are_well().await;
    }

    async fn a_panic_of_the_poll_counts_for_more_than_one_of_the_future_s_own_destructor() {
        /// Panics in either.
        struct Both;

        impl Future for Both {
            type Output = ();

            fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
                panic!("first, as told")
            }
        }

        impl Drop for Both {
            fn drop(&mut self) {
                panic!("second, as told")
            }
        }

        assert_eq!(create_task(Both).await.unwrap_err().to_string(), "panicked: first, as told");
    }

    async fn the_payload_of_a_panic_comes_through_and_is_dropped_once() {
        let dropped = Count::default();
        let value = dropped.value();
        let task = create_task(async move { std::panic::panic_any(value) });
        let outcome: Result<(), _> = task.await;
        let Err(TaskError::Panicked(panic)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(panic.message(), None);
        let payload = panic.clone().into_payload().unwrap();
        assert!(panic.into_payload().is_none());
        assert!(payload.is::<Counted>());
        drop(payload);
        assert_eq!(dropped.get(), 1);
    }

    async fn a_payload_that_panics_in_its_drop() {
        let dropped = Count::default();
        let value = PanicsInDrop(dropped.clone());
        Handle::current().set_exception_handler(Some(|_: &ExceptionContext| {}));
        drop(create_task(async move { std::panic::panic_any(value) }));
        while dropped.get() == 0 {
            yield_now().await;
        }
        all_workers_are_well().await;
    }

    async fn a_waker_of_a_timer_that_panics() {
        for _ in 0..20 {
            let task = create_task(async {
                let mut sleeping = Box::pin(sleep(Duration::from_micros(50)));
                std::future::poll_fn(move |cx| {
                    let waker = Waker::from(Arc::new(PanickingWaker(cx.waker().clone())));
                    sleeping.as_mut().poll(&mut std::task::Context::from_waker(&waker))
                })
                .await
            });
            task.await.unwrap();
        }
        all_workers_are_well().await;
    }

    async fn wakers_of_waiters_that_panic() {
        let (promise, task) = Promise::<()>::new();
        let waiter = |reference: TaskRef| {
            create_task(async move {
                let mut wait = Box::pin(reference.wait());
                std::future::poll_fn(move |cx| {
                    let waker = Waker::from(Arc::new(PanickingWaker(cx.waker().clone())));
                    wait.as_mut().poll(&mut std::task::Context::from_waker(&waker))
                })
                .await
            })
        };
        let inner = create_task(async move { task.await.unwrap() });
        let waiters = [waiter(inner.task_ref()), waiter(inner.task_ref())];
        yield_now().await;
        promise.set_result(()).unwrap();
        for waiter in waiters {
            waiter.await.unwrap();
        }
        inner.await.unwrap();
        all_workers_are_well().await;
    }

    async fn a_value_of_a_context_that_panics_in_its_drop() {
        context_var! { static VAR: Option<Arc<PanicsInDrop>> = None; }
        let dropped = Count::default();
        for round in 1..=20 {
            let value = Arc::new(PanicsInDrop(dropped.clone()));
            drop(create_task(async move {
                VAR.set(Some(value));
                yield_now().await;
            }));
            while dropped.get() < round {
                yield_now().await;
            }
        }
        all_workers_are_well().await;
    }

    async fn an_exception_handler_that_panics() {
        Handle::current().set_exception_handler(Some(|_: &ExceptionContext| panic!("the handler panics")));
        for _ in 0..10 {
            let task = create_task(async { panic!("unread") });
            let reference = task.task_ref();
            drop(task);
            reference.wait().await;
        }
        all_workers_are_well().await;
    }

    async fn a_done_callback_that_panics_in_its_drop() {
        let dropped = Count::default();
        for _ in 0..10 {
            let (promise, task) = Promise::<()>::new();
            let value = PanicsInDrop(dropped.clone());
            task.add_done_callback(move |_| drop(value));
            promise.set_result(()).unwrap();
            task.await.unwrap();
        }
        while dropped.get() < 10 {
            yield_now().await;
        }
        all_workers_are_well().await;
    }
}

#[test]
fn main_panics_and_the_rest_is_shut_down() {
    for workers in [1, 2, 8] {
        let ended = Count::default();
        let inside = ended.clone();
        let message = panic_message(move || {
            let engine = engine(workers);
            engine
                .run(async move {
                    let (begun, has_begun) = event();
                    drop(create_task(async move {
                        begun.happen();
                        catch_cancelled(pending::<()>()).await.unwrap_err();
                        inside.up();
                    }));
                    has_begun.wait().await;
                    panic!("main panics");
                })
                .unwrap()
        });
        assert_eq!(message, "main panics");
        // Dropped while panicking: closed by a thread of its own.
        ended.spin_until(1);
    }
}

#[test]
fn main_whose_future_and_value_both_panic_when_dropped_ends_with_the_first_panic() {
    struct Bad(&'static str);

    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("{}", self.0);
        }
    }

    /// Ready at once; it is dropped with the value already given.
    struct Main(#[allow(dead_code, reason = "for its destructor")] Bad);

    impl Future for Main {
        type Output = Bad;

        fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Bad> {
            std::task::Poll::Ready(Bad("the value"))
        }
    }

    let engine = engine(1);
    let run = std::panic::AssertUnwindSafe(|| engine.run(Main(Bad("the future"))).map(std::mem::forget));
    let panic = PanicError::new(std::panic::catch_unwind(run).unwrap_err());
    assert_eq!(panic.message(), Some("the future"));
    engine.close();
}
