//! Odd situations that other runtimes have had to get right, and that no other module here is about: wakers that misbehave, handles that own each
//! other, destructors that use the runtime, futures of odd sizes, tasks between two runtimes.

use crate::support::{Count, engine, event, on, on_drop, panic_message, poll_once};
use runtime_core::{Handle, Promise, Task, create_task, current_task, sleep, yield_now};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::Duration;

/// A waker that panics when it is used.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("this waker does not wake");
    }
}

/// A waker of which one operation panics: 0 clone, 1 wake.
fn raw_waker(panics_in: usize) -> Waker {
    unsafe fn clone(data: *const ()) -> RawWaker {
        assert!(data as usize != 1, "clone panics");
        RawWaker::new(data, &VTABLE)
    }
    unsafe fn wake(data: *const ()) {
        assert!(data as usize != 2, "wake panics");
    }
    unsafe fn drop(_data: *const ()) {}
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop);
    // SAFETY: the data is a number, and the functions use it as one.
    unsafe { Waker::from_raw(RawWaker::new((panics_in + 1) as *const (), &VTABLE)) }
}

everywhere! {
    /// The worker that ends the task goes on, and so do the others who wait.
    async fn a_joiners_waker_that_panics_harms_nobody_else() {
        let (promise, mut task) = Promise::new();
        let waiter = create_task(task.task_ref().wait());
        yield_now().await;
        let bad = Waker::from(Arc::new(Panicking));
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&bad)).is_pending());
        create_task(async move { promise.set_result(5).unwrap() }).await.unwrap();
        waiter.await.unwrap();
        assert_eq!(task.await.unwrap(), 5);
    }

    async fn a_timers_waker_that_panics_harms_no_other_timer() {
        let mut bad = Box::pin(sleep(Duration::from_micros(100)));
        let waker = Waker::from(Arc::new(Panicking));
        assert!(bad.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let others: Vec<_> = (0..50).map(|n| create_task(sleep(Duration::from_micros(100 + n)))).collect();
        for other in others {
            other.await.unwrap();
        }
        sleep(Duration::from_millis(1)).await;
        assert!(poll_once(&mut bad).is_ready());
    }

    /// A panic of a foreign waker comes out where the handle is polled, or ends where the task ends, and the handle is as good as before.
    async fn foreign_wakers_may_panic() {
        for operation in 0..2 {
            let (go, gone) = event();
            let mut task = create_task(async move {
                gone.wait().await;
                3
            });
            let waker = raw_waker(operation);
            let polled = catch_unwind(AssertUnwindSafe(|| {
                let _ = Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
            }));
            assert_eq!(polled.is_err(), operation == 0);
            go.happen();
            task.wait().await;
            assert_eq!(task.await.unwrap(), 3);
        }
    }

    /// A task whose future owns its own handle: a circle that its end opens.
    async fn a_task_may_own_its_own_handle() {
        let count = Count::default();
        for ends in [false, true] {
            let place = Arc::new(Mutex::new(None::<Task<()>>));
            let (own, value) = (Arc::clone(&place), count.value());
            let task = create_task(async move {
                while own.lock().unwrap().is_none() {
                    yield_now().await;
                }
                let handle = own.lock().unwrap().take();
                if !ends {
                    sleep(Duration::MAX).await;
                }
                drop((handle, value));
            });
            let reference = task.task_ref();
            *place.lock().unwrap() = Some(task);
            if !ends {
                for _ in 0..10 {
                    yield_now().await;
                }
                reference.cancel();
            }
            reference.wait().await;
        }
        count.spin_until(2);
    }

    /// Two tasks that own each other's handles end when they are cancelled.
    async fn two_tasks_may_own_each_other() {
        let (one_place, other_place) = (Arc::new(Mutex::new(None::<Task<()>>)), Arc::new(Mutex::new(None::<Task<()>>)));
        let hold = |place: &Arc<Mutex<Option<Task<()>>>>| {
            let place = Arc::clone(place);
            create_task(async move {
                sleep(Duration::MAX).await;
                drop(place);
            })
        };
        let (one, other) = (hold(&other_place), hold(&one_place));
        let (first, second) = (one.task_ref(), other.task_ref());
        *one_place.lock().unwrap() = Some(one);
        *other_place.lock().unwrap() = Some(other);
        first.cancel();
        first.wait().await;
        second.cancel();
        second.wait().await;
        assert!(first.cancelled() && second.cancelled());
    }

    /// The destructor of a future wakes, cancels and asks its own task, makes another, and polls a sleep.
    async fn a_destructor_may_use_everything() {
        let made = Arc::new(Mutex::new(None));
        let place = Arc::clone(&made);
        let (begun, has_begun) = event();
        let task = create_task(async move {
            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            let _guard = on_drop(move || {
                waker.wake_by_ref();
                let own = current_task().expect("the destructor belongs to the task");
                assert!(!own.done());
                own.cancel();
                drop(waker);
                let mut nap = Box::pin(sleep(Duration::from_secs(1)));
                assert!(poll_once(&mut nap).is_pending());
                *place.lock().unwrap() = Some(create_task(async { 8 }));
            });
            begun.happen();
            sleep(Duration::MAX).await;
        });
        has_begun.wait().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        let child = made.lock().unwrap().take().expect("made by the destructor");
        assert_eq!(child.await.unwrap(), 8);
    }

    /// An output whose destructor makes a task, with nobody to take it.
    async fn the_destructor_of_an_output_may_make_tasks() {
        let count = Count::default();
        let up = count.clone();
        drop(create_task(async move { on_drop(move || drop(create_task(async move { up.up() }))) }));
        while count.get() == 0 {
            yield_now().await;
        }
    }

    async fn futures_and_outputs_of_odd_sizes_and_alignments() {
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[repr(align(4096))]
        struct Page(u8);

        #[derive(Clone, Copy)]
        #[repr(align(64))]
        struct Line([u8; 64]);

        fn is_aligned<T>(value: &T) -> bool {
            (std::ptr::from_ref(value) as usize).is_multiple_of(align_of::<T>())
        }

        let page = create_task(async {
            let page = Page(1);
            yield_now().await;
            assert!(is_aligned(&page));
            page
        });
        let line = create_task(async {
            let line = Line([2; 64]);
            yield_now().await;
            assert!(is_aligned(&line));
            line
        });
        let large = create_task(async {
            let large = [3_u8; 20_000];
            yield_now().await;
            large
        });
        let (nothing, never) = (create_task(async {}), create_task(std::future::pending::<()>()));
        assert_eq!(page.await.unwrap(), Page(1));
        assert_eq!(line.await.unwrap().0, [2; 64]);
        assert!(large.await.unwrap().iter().all(|byte| *byte == 3));
        nothing.await.unwrap();
        never.cancel();
        assert!(never.await.is_err());
    }

    /// A handle that is polled by turns with different wakers rings the last one only.
    async fn a_handle_polled_by_turns_wakes_who_polled_last() {
        struct Rings(Count);
        impl Wake for Rings {
            fn wake(self: Arc<Self>) {
                self.0.up();
            }
        }
        let (promise, mut task) = Promise::new();
        let (first, second) = (Count::default(), Count::default());
        for count in [&first, &second, &first, &second] {
            let waker = Waker::from(Arc::new(Rings(count.clone())));
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        promise.set_result(1).unwrap();
        assert_eq!((first.get(), second.get()), (0, 1));
    }

    /// A wake that comes in the poll that ends the task, and after it, is nothing.
    async fn a_wake_in_the_last_poll_is_nothing() {
        let kept = Arc::new(Mutex::new(None));
        let place = Arc::clone(&kept);
        let task = create_task(poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            cx.waker().clone().wake();
            *place.lock().unwrap() = Some(cx.waker().clone());
            Poll::Ready(7)
        }));
        assert_eq!(task.await.unwrap(), 7);
        let waker: Waker = kept.lock().unwrap().take().unwrap();
        waker.wake_by_ref();
        waker.wake();
    }

    async fn a_task_polled_after_its_end_says_so() {
        let mut task = create_task(async { 1 });
        assert_eq!((&mut task).await.unwrap(), 1);
        let message = panic_message(|| poll_once(&mut task));
        assert!(!message.is_empty());
    }
}

/// A task of one runtime awaits one of another; a request goes across, and so does the end of a runtime.
#[test]
fn tasks_of_two_runtimes_await_each_other() {
    for workers in [1, 2] {
        let other = engine(2);
        let far = other.handle();
        on(workers, async {
            let value = far.create_task(async {
                yield_now().await;
                assert!(Handle::current().workers() == 2);
                4
            });
            assert_eq!(value.await.unwrap(), 4);
            let sleeper = far.create_task(sleep(Duration::MAX));
            let reference = sleeper.task_ref();
            let near = create_task(sleeper);
            yield_now().await;
            near.cancel();
            // The request may be taken before the near task has begun to await.
            let _ = near.await;
            reference.cancel();
            reference.wait().await;
            assert!(reference.cancelled());
        });
        let left = far.create_task(sleep(Duration::MAX));
        let waits = std::thread::spawn(move || on(workers, async { left.await.unwrap_err().is_cancelled() }));
        other.close();
        assert!(waits.join().unwrap());
    }
}

/// A runtime whose last owner is a task of its own.
#[test]
fn a_runtime_may_be_dropped_by_its_own_task() {
    let count = Count::default();
    let (runs, value) = (engine(2), count.value());
    let handle = runs.handle();
    let owned = Arc::new(runs);
    let (inside, done) = (Arc::clone(&owned), Count::default());
    let up = done.clone();
    let _detached = handle.create_task(async move {
        drop(inside);
        up.up();
        sleep(Duration::MAX).await;
        drop(value);
    });
    drop(owned);
    count.spin_until(1);
    assert!(handle.is_closed() || done.get() <= 1);
}
