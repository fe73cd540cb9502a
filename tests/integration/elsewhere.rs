//! What the suites of other runtimes ask, and no other file here does: their questions in our words.

use crate::support::{Count, OnDrop, begun, everywhere, exact, forever, ms, received, send, signal, workers};
use runtime::{
    CancelScope, Handle, Promise, Runner, Sleep, Task, TaskRef, create_task, gather, sleep, timeout, to_thread,
    yield_now,
};
use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// Runners of one worker and of several.
fn runners() -> impl Iterator<Item = Runner> {
    [1, 2, 8].into_iter().map(|workers| Runner::builder().workers(workers).build().unwrap())
}

/// Does something when it is dropped.
struct Finally<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Finally<F> {
    fn new(last: F) -> Self {
        Self(Some(last))
    }
}

impl<F: FnOnce()> Drop for Finally<F> {
    fn drop(&mut self) {
        if let Some(last) = self.0.take() {
            last();
        }
    }
}

// The end of a runtime.

#[test]
fn a_runtime_in_a_thread_local_is_closed_when_its_thread_ends() {
    thread_local! {
        static MINE: RefCell<Option<Runner>> = const { RefCell::new(None) };
    }
    for (runner, first) in runners().zip([true, false, true]).chain(runners().zip([false, true, false])) {
        let dropped = Count::default();
        let kept = OnDrop(dropped.clone());
        let thread = thread::spawn(move || {
            if first {
                // Registered before all that the runtime may keep in this thread, so it may go last.
                MINE.with(|mine| assert!(mine.borrow().is_none()));
            }
            let used = runner.run(async {
                to_thread(|| ()).await.unwrap();
                let task = begun(async {
                    let _kept = kept;
                    forever().await;
                });
                drop(task.await);
            });
            used.unwrap();
            MINE.set(Some(runner));
        });
        thread.join().unwrap();
        assert_eq!(dropped.get(), 1);
    }
}

#[test]
fn a_destructor_wakes_another_task_in_the_shutdown() {
    for runner in runners() {
        let ended = Count::default();
        runner
            .run(async {
                for _ in 0..50 {
                    let (sender, receiver) = signal();
                    let (back_sender, back_receiver) = signal();
                    // Each has what the other waits for, and gives it away when it is dropped: one of them gets it.
                    drop(begun(ring(sender, back_receiver, OnDrop(ended.clone()))).await);
                    drop(begun(ring(back_sender, receiver, OnDrop(ended.clone()))).await);
                }
            })
            .unwrap();
        runner.close();
        assert_eq!(ended.get(), 100);
    }

    async fn ring(mine: Promise<()>, others: Task<()>, _kept: OnDrop) {
        let _gives = Finally::new(|| mine.set_result(()).unwrap_or(()));
        received(others).await;
    }
}

#[test]
fn destructors_create_tasks_in_the_shutdown() {
    /// Lives for ever, and has a successor.
    fn generation(left: usize, dropped: Count) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let _kept = OnDrop(dropped.clone());
            let _next = Finally::new(move || {
                if left > 0 {
                    drop(create_task(generation(left - 1, dropped)));
                }
            });
            forever().await;
        })
    }

    for runner in runners() {
        let dropped = Count::default();
        runner.run(async { drop(begun(generation(40, dropped.clone())).await) }).unwrap();
        runner.close();
        // The last ones may have come when nothing was taken in any more; what is refused is dropped, and has a successor too.
        assert_eq!(dropped.get(), 41);
    }
}

#[test]
fn tasks_that_know_their_runtime_and_each_other_go_with_it() {
    for runner in runners() {
        let gone: Vec<Weak<()>> = runner
            .run(async {
                let known: Arc<Mutex<Vec<TaskRef>>> = Arc::default();
                let mut gone = Vec::new();
                for _ in 0..20 {
                    let kept = Arc::new(());
                    gone.push(Arc::downgrade(&kept));
                    let (known_too, handle) = (known.clone(), Handle::current());
                    let task = begun(async move {
                        forever().await;
                        drop((kept, known_too, handle));
                    });
                    let task = task.await.task_ref();
                    known.lock().unwrap().push(task);
                }
                gone
            })
            .unwrap();
        runner.close();
        assert!(gone.iter().all(|kept| kept.upgrade().is_none()));
    }
}

#[test]
fn destructors_that_take_the_same_lock_do_not_meet_in_it() {
    for runner in runners() {
        let lock = Arc::new(Mutex::new(0));
        runner
            .run(async {
                for _ in 0..20 {
                    let (lock, handle) = (lock.clone(), Handle::current());
                    let last = Finally::new(move || {
                        let mut count = lock.lock().unwrap();
                        *count += 1;
                        // Under a user's lock all the engine is called.
                        drop(handle.create_task(async {}));
                        drop(handle.call_later(Duration::from_secs(1), || ()));
                        for task in handle.all_tasks() {
                            task.cancel();
                        }
                    });
                    drop(
                        begun(async move {
                            let _last = last;
                            forever().await;
                        })
                        .await,
                    );
                }
            })
            .unwrap();
        runner.close();
        assert_eq!(*lock.lock().unwrap(), 20);
    }
}

#[test]
fn threads_that_create_tasks_while_the_runtime_ends_get_an_end_of_each() {
    for runner in runners() {
        let (made, dropped) = (Count::default(), Count::default());
        let handle = runner.handle();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (handle, made, dropped) = (handle.clone(), made.clone(), dropped.clone());
                thread::spawn(move || {
                    let mut last = false;
                    while !last {
                        // Once more after the end.
                        last = handle.is_closed();
                        while made.get() > dropped.get() + 100 {
                            thread::yield_now();
                        }
                        made.add();
                        let kept = OnDrop(dropped.clone());
                        drop(handle.create_task(async move {
                            yield_now().await;
                            drop(kept);
                        }));
                    }
                })
            })
            .collect();
        while made.get() < 100 {
            runner.run(yield_now()).unwrap();
        }
        runner.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(dropped.get(), made.get());
    }
}

// Whose turn it is.

#[test]
fn tasks_that_make_their_own_successors_leave_others_their_turn() {
    fn succeed(over: Arc<AtomicBool>) {
        if !over.load(SeqCst) {
            drop(create_task(async { succeed(over) }));
        }
    }

    for runner in runners() {
        let workers = runner.handle().workers();
        runner
            .run(async {
                let over = Arc::new(AtomicBool::new(false));
                (0..2 * workers).for_each(|_| succeed(over.clone()));
                for _ in 0..10 {
                    create_task(async { create_task(yield_now()).await }).await.unwrap().unwrap();
                    sleep(Duration::from_micros(10)).await;
                    to_thread(|| ()).await.unwrap();
                }
                over.store(true, SeqCst);
            })
            .unwrap();
    }
}

#[test]
fn a_body_that_is_ready_again_at_once_times_out() {
    for runner in runners() {
        let busy = async {
            loop {
                yield_now().await;
            }
        };
        runner.run(async { timeout(ms(1), busy).await.unwrap_err() }).unwrap();
    }
}

#[test]
fn each_wake_is_one_poll() {
    everywhere(async || {
        const WAKES: usize = 20;
        let polls = Count::default();
        let place: Arc<Mutex<Option<Waker>>> = Arc::default();
        let (counted, put) = (polls.clone(), place.clone());
        let task = create_task(poll_fn(move |cx| {
            // The waker first: who sees the count finds it.
            *put.lock().unwrap() = Some(cx.waker().clone());
            counted.add();
            if counted.get() > WAKES { Poll::Ready(()) } else { Poll::Pending }
        }));
        for wake in 0..=WAKES {
            while polls.get() == wake {
                yield_now().await;
            }
            for _ in 0..10 {
                yield_now().await;
            }
            assert_eq!(polls.get(), wake + 1);
            let waker = place.lock().unwrap().take().unwrap();
            if wake % 2 == 0 { waker.wake() } else { waker.wake_by_ref() }
        }
        task.await.unwrap();
        assert_eq!(polls.get(), WAKES + 1);
    });
}

#[test]
fn a_message_goes_round_many_rings_of_tasks() {
    workers(async || {
        const ROUNDS: usize = 5;
        let rings = (0..20).map(|_| async {
            let (first, mut receiver) = async_channel::bounded::<usize>(1);
            for _ in 0..50 {
                let (sender, next) = async_channel::bounded(1);
                drop(create_task(async move {
                    while let Ok(step) = receiver.recv().await {
                        if sender.send(step + 1).await.is_err() {
                            return;
                        }
                    }
                }));
                receiver = next;
            }
            let mut step = 0;
            for _ in 0..ROUNDS {
                first.send(step).await.unwrap();
                step = receiver.recv().await.unwrap();
            }
            step
        });
        assert!(gather(rings).await.iter().all(|steps| *steps == ROUNDS * 50));
    });
}

// Tasks.

/// What somebody else does to a task while it is being polled.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    Wake,
    Cancel,
    Detach,
}

/// How that poll ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ends {
    Pending,
    Ready,
    Panic,
}

/// Two tasks' worth of facts about [`during`].
#[derive(Clone, Default)]
struct Seen {
    polls: Count,
    dropped: Count,
    output_dropped: Count,
}

/// A future whose first poll lets others act, and then ends as told; a second poll is ready.
fn during(
    ends: Ends,
    seen: Seen,
    polled: mpsc::Sender<Waker>,
    go_on: mpsc::Receiver<()>,
) -> impl Future<Output = OnDrop> {
    let _kept = OnDrop(seen.dropped);
    let (polls, output) = (seen.polls, seen.output_dropped);
    poll_fn(move |cx| {
        let _kept = &_kept;
        polls.add();
        if polls.get() > 1 {
            return Poll::Ready(OnDrop(output.clone()));
        }
        polled.send(cx.waker().clone()).unwrap();
        go_on.recv().unwrap();
        match ends {
            Ends::Pending => Poll::Pending,
            Ends::Ready => Poll::Ready(OnDrop(output.clone())),
            Ends::Panic => panic!("told to"),
        }
    })
}

fn do_during(ends: Ends, steps: &[Meanwhile]) {
    let runner = Runner::builder().workers(2).build().unwrap();
    let seen = Seen::default();
    let (polled, waker) = mpsc::channel();
    let (go_on, told) = mpsc::channel();
    let mut task = Some(runner.handle().create_task(during(ends, seen.clone(), polled, told)));
    let reference = task.as_ref().unwrap().task_ref();
    // On the other worker: this thread is not in `run`.
    let mut waker = Some(waker.recv().unwrap());
    for step in steps {
        match step {
            Meanwhile::Wake => waker.take().unwrap().wake(),
            Meanwhile::Cancel => assert!(reference.cancel()),
            Meanwhile::Detach => drop(task.take()),
        }
    }
    go_on.send(()).unwrap();
    let is_woken = ends == Ends::Pending && steps.contains(&Meanwhile::Wake);
    let is_cancelled = steps.contains(&Meanwhile::Cancel);
    if ends == Ends::Pending && !is_woken && !is_cancelled {
        drop(waker.take());
        // With no waker and no handle it is still the runtime's, and ends with that.
        runner.run(yield_now()).unwrap();
        assert!(!reference.done());
        runner.close();
    } else {
        runner.run(reference.wait()).unwrap();
    }
    assert_eq!(reference.cancelled(), is_cancelled && ends != Ends::Panic || ends == Ends::Pending && !is_woken);
    let polls = if is_woken && !is_cancelled { 2 } else { 1 };
    assert_eq!((seen.polls.get(), seen.dropped.get()), (polls, 1));
    drop((task, waker));
    runner.close();
    let outputs = usize::from(ends == Ends::Ready || polls == 2);
    assert_eq!(seen.output_dropped.get(), outputs, "made and dropped");
}

#[test]
fn whatever_is_done_to_a_task_during_its_poll_in_whatever_order() {
    use Meanwhile::{Cancel, Detach, Wake};
    let orders: [&[Meanwhile]; 16] = [
        &[],
        &[Wake],
        &[Cancel],
        &[Detach],
        &[Wake, Cancel],
        &[Cancel, Wake],
        &[Wake, Detach],
        &[Detach, Wake],
        &[Cancel, Detach],
        &[Detach, Cancel],
        &[Wake, Cancel, Detach],
        &[Wake, Detach, Cancel],
        &[Cancel, Wake, Detach],
        &[Cancel, Detach, Wake],
        &[Detach, Wake, Cancel],
        &[Detach, Cancel, Wake],
    ];
    for ends in [Ends::Pending, Ends::Ready, Ends::Panic] {
        for steps in orders {
            println!("{ends:?} {steps:?}");
            do_during(ends, steps);
        }
    }
}

#[test]
fn what_a_panicking_task_drops_wakes_others() {
    everywhere(async || {
        let (sender, receiver) = signal();
        let task = create_task(async move {
            let _gives = Finally::new(|| send(sender));
            yield_now().await;
            panic!("told to");
        });
        received(receiver).await;
        assert!(task.await.unwrap_err().is_panicked());
    });
}

#[test]
fn an_iterator_that_panics_leaves_nothing_of_what_it_gave() {
    everywhere(async || {
        let (made, dropped) = (Count::default(), Count::default());
        let futures = (0..10).map(|number| {
            assert!(number < 5, "told to");
            made.add();
            let kept = OnDrop(dropped.clone());
            async move {
                forever().await;
                drop(kept);
            }
        });
        let gathered = catch_unwind(AssertUnwindSafe(|| drop(gather(futures))));
        assert!(gathered.is_err());
        while dropped.get() < 5 {
            yield_now().await;
        }
        assert_eq!(made.get(), 5);
        assert!(Handle::current().all_tasks().len() <= 1, "main, at most");
    });
}

// Time.

#[test]
fn a_timers_waker_may_drop_other_timers() {
    /// Drops sleeps when it is woken.
    struct Drops(Mutex<Vec<Pin<Box<Sleep>>>>);

    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            let all = std::mem::take(&mut *self.0.lock().unwrap());
            drop(all);
        }
    }

    for due_together in [true, false] {
        let test = async || {
            let drops = Arc::new(Drops(Mutex::default()));
            let waker = Waker::from(drops.clone());
            for number in 0..100 {
                let moment = if due_together { ms(1) } else { Duration::from_micros(1_000 + number) };
                let mut nap = Box::pin(sleep(moment));
                assert!(nap.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                drops.0.lock().unwrap().push(nap);
            }
            while !drops.0.lock().unwrap().is_empty() {
                sleep(Duration::from_micros(100)).await;
            }
        };
        everywhere(test);
    }
}

#[test]
fn sleeps_of_every_length_end_at_their_moment() {
    exact(async || {
        let lengths = (0..60).flat_map(|bit| [(1_u64 << bit).saturating_sub(1), 1 << bit, (1 << bit) + 1]);
        let ends = lengths.map(|nanos| async move {
            let (length, start) = (Duration::from_nanos(nanos), Handle::current().time());
            sleep(length).await;
            (Handle::current().time() - start, length)
        });
        assert!(gather(ends).await.iter().all(|(slept, asked)| slept == asked));
    });
}

#[test]
fn sleeps_inside_of_tasks_inside_of_tasks_add_up() {
    /// Sleeps before and after two others of the kind, one after the other; gives how long that has to take.
    fn nest(depth: u64, salt: u64) -> Pin<Box<dyn Future<Output = Duration> + Send>> {
        Box::pin(async move {
            let start = Handle::current().time();
            let mut sum = ms(salt % 7);
            sleep(ms(salt % 7)).await;
            if depth > 0 {
                let beside = create_task(nest(depth - 1, salt * 31 + 1));
                sum += create_task(nest(depth - 1, salt * 17 + 3)).await.unwrap();
                let other = beside.await.unwrap();
                sum = sum.max(ms(salt % 7) + other);
            }
            assert_eq!(Handle::current().time() - start, sum);
            sum
        })
    }

    exact(async || {
        for salt in 0..20 {
            nest(6, salt).await;
        }
    });
}

// Scopes.

#[test]
fn a_scope_is_cancelled_by_what_its_cancellation_wakes_and_drops() {
    /// Cancels again when it is woken.
    struct Again(CancelScope, Count);

    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            self.1.add();
            assert!(!self.0.cancel(), "it has been cancelled");
        }
    }

    exact(async || {
        let (scope, woken) = (CancelScope::new(), Count::default());
        let inside = scope.clone();
        let mut region = Box::pin(scope.run(async move {
            let _again = Finally::new(move || assert!(!inside.cancel()));
            pending::<()>().await;
        }));
        let waker = Waker::from(Arc::new(Again(scope.clone(), woken.clone())));
        assert!(region.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(scope.cancel());
        assert_eq!(woken.get(), 1);
        assert!(region.await.is_err());
    });
}
