//! One task that does not let go holds back nothing else while another worker is idle; nobody who reschedules itself starves anybody.
//!
//! "Stuck" is a poll that spins until the others have run: an event, not a time. A test that fails here hangs.

use crate::support::*;
use runtime_core::*;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

const ROUNDS: usize = 50;

/// Tests that need another worker than the stuck one.
fn with_others(test: impl AsyncFn()) {
    for workers in [2, 8] {
        on(workers, async {
            for _ in 0..ROUNDS {
                test().await;
            }
        });
    }
}

#[test]
fn a_stuck_task_does_not_hold_back_what_it_has_spawned() {
    with_others(async || {
        for children in [1, 2, 3, 50] {
            let stuck = create_task(async move {
                let ran = Count::default();
                for _ in 0..children {
                    let ran = ran.clone();
                    drop(create_task(async move { ran.up() }));
                }
                ran.spin_until(children);
            });
            stuck.await.unwrap();
        }
    });
}

#[test]
fn a_stuck_task_does_not_hold_back_small_ones_in_great_number() {
    // So small that a thief naps between thefts; the last ones come when it has long found that out.
    on(2, async {
        for _ in 0..3 {
            let stuck = create_task(async move {
                let ran = Count::default();
                let mut children = 0;
                for more in [2000, 1, 1, 2000] {
                    for _ in 0..more {
                        let ran = ran.clone();
                        drop(create_task(async move { ran.up() }));
                    }
                    children += more;
                    ran.spin_until(children);
                }
            });
            stuck.await.unwrap();
        }
    });
}

#[test]
fn a_stuck_task_does_not_hold_back_those_whose_timers_fired_with_its_own() {
    // After bursts that were soon over: nobody is woken for the next one, in which two want to run at once. Those with many timers leave them to each other.
    for (workers, timers) in [(2, 3), (2, 500), (8, 500)] {
        on(workers, async move {
            for round in 0..ROUNDS as u64 {
                for _ in 0..3 {
                    let naps = (0..timers).map(|n| create_task(sleep(Duration::from_nanos(100_000 + n * 977))));
                    for nap in naps.collect::<Vec<_>>() {
                        nap.await.unwrap();
                    }
                }
                let ran = Count::default();
                let both = [0, round].map(|later| {
                    let ran = ran.clone();
                    create_task(async move {
                        sleep(Duration::from_micros(100 + later)).await;
                        ran.up();
                        ran.spin_until(2);
                    })
                });
                for task in both {
                    task.await.unwrap();
                }
            }
        });
    }
}

#[test]
fn many_timers_at_the_end_of_time_are_slept_upon() {
    // A worker that leaves them to another one says that it wakes a little later than they are due.
    on(2, async {
        let born = Instant::now();
        // The runtime is a little older than that, nobody knows how much: timers later than any can be are waited for without one.
        for early in (0..40).map(|n| n * 50_000) {
            let last = move || u64::MAX - early - clock_nanos(born);
            let timers: Vec<_> =
                (0..200).map(|_| create_task(async move { sleep(Duration::from_nanos(last())).await })).collect();
            for _ in 0..3 {
                sleep(Duration::from_micros(30)).await;
            }
            let (promise, mut told) = Promise::new();
            let teller = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_micros(300));
                promise.set_result(()).unwrap();
            });
            (&mut told).await.unwrap();
            teller.join().unwrap();
            assert!(timers.iter().all(|timer| !timer.done()));
            timers.iter().for_each(|timer| assert!(timer.cancel()));
        }
    });
}

fn clock_nanos(since: Instant) -> u64 {
    since.elapsed().as_nanos().try_into().unwrap()
}

#[test]
fn what_a_burst_of_timers_makes_is_held_back_by_nothing_stuck() {
    // Of the sleepers whose timers fire together one spawns and is stuck, one yields; then main is the one that is stuck.
    with_others(async || {
        for main_is_stuck in [false, true] {
            for _ in 0..3 {
                sleep(Duration::from_micros(50)).await;
            }
            let ran = Count::default();
            let (spawns, yields) = (ran.clone(), ran.clone());
            let spawning = create_task(async move {
                sleep(Duration::from_micros(50)).await;
                let child = spawns.clone();
                drop(create_task(async move { child.up() }));
                if !main_is_stuck {
                    spawns.spin_until(2);
                }
            });
            let yielding = create_task(async move {
                sleep(Duration::from_micros(50)).await;
                yield_now().await;
                yields.up();
            });
            sleep(Duration::from_micros(50)).await;
            if main_is_stuck {
                ran.spin_until(2);
            }
            spawning.await.unwrap();
            yielding.await.unwrap();
        }
    });
}

#[test]
fn who_is_woken_by_each_of_many_ready_tasks_does_not_run_in_between_each_time() {
    const TASKS: usize = 1000;
    on(2, async {
        let (begun, over) = (Count::default(), Count::default());
        let (begins, ends) = (begun.clone(), over.clone());
        // Keeps one of the two workers: nobody steals from the other one.
        let stuck = create_task(async move {
            begins.up();
            ends.spin_until(1);
        });
        let polls = create_task(async move {
            while begun.get() == 0 {
                yield_now().await;
            }
            let tasks: Vec<_> = (0..TASKS).map(|_| create_task(async {})).collect();
            let mut polls = 0;
            for mut task in tasks {
                std::future::poll_fn(|cx| {
                    polls += 1;
                    std::pin::Pin::new(&mut task).poll(cx)
                })
                .await
                .unwrap();
            }
            over.up();
            polls
        });
        let polls = polls.await.unwrap();
        stuck.await.unwrap();
        assert!(polls < TASKS + 20, "polled {polls} times to await {TASKS} tasks");
    });
}

#[test]
fn two_tasks_that_wake_each_other_leave_the_queue_its_turn_soon() {
    on(2, async {
        let (began, over) = (Count::default(), Count::default());
        let (begun, end) = (began.clone(), over.clone());
        // Keeps the other worker busy, so that all else happens on this one.
        let stuck = create_task(async move {
            begun.up();
            end.spin_until(1);
        });
        began.spin_until(1);
        let turns = Count::default();
        let wakers: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
        for me in 0..2 {
            let (wakers, turns, over) = (wakers.clone(), turns.clone(), over.clone());
            drop(create_task(poll_fn(move |cx| {
                turns.up();
                *wakers[me].lock().unwrap() = Some(cx.waker().clone());
                let other = wakers[1 - me].lock().unwrap().take();
                other.into_iter().for_each(Waker::wake);
                if over.get() > 0 { Poll::Ready(()) } else { Poll::Pending }
            })));
        }
        let queued = create_task(async move {
            let mut most = 0;
            for _ in 0..100 {
                let before = turns.get();
                yield_now().await;
                most = most.max(turns.get() - before);
            }
            (most, turns.get())
        });
        let (most, all) = queued.await.unwrap();
        over.up();
        stuck.await.unwrap();
        assert!(most <= 32 && all >= 100, "{most} turns in a row, {all} in all");
    });
}

#[test]
fn a_stuck_main_does_not_hold_back_what_it_has_spawned() {
    with_others(async || {
        for children in [1, 2, 50] {
            let ran = Count::default();
            for _ in 0..children {
                let ran = ran.clone();
                drop(create_task(async move {
                    yield_now().await;
                    ran.up();
                }));
            }
            ran.spin_until(children);
        }
    });
}

#[test]
fn a_stuck_task_does_not_hold_back_what_it_has_woken() {
    with_others(async || {
        let (ready, go) = (Count::default(), Count::default());
        let mut gates = Vec::new();
        for _ in 0..3 {
            let (gate, opens) = event();
            gates.push(gate);
            let (ready, go) = (ready.clone(), go.clone());
            drop(create_task(async move {
                ready.up();
                opens.wait().await;
                go.up();
            }));
        }
        while ready.get() < 3 {
            yield_now().await;
        }
        create_task(async move {
            for gate in gates {
                gate.happen();
            }
            go.spin_until(3);
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_stuck_task_does_not_hold_back_its_workers_timers() {
    with_others(async || {
        let stuck = create_task(async {
            let fired = Count::default();
            let armed = Count::default();
            for _ in 0..3 {
                let (fired, armed) = (fired.clone(), armed.clone());
                let task = TaskBuilder::new().eager_start(true).create_task(async move {
                    armed.up();
                    sleep(Duration::from_micros(200)).await;
                    fired.up();
                });
                drop(task);
            }
            // All armed in this worker's wheel; it does not come back to it.
            assert_eq!(armed.get(), 3);
            fired.spin_until(3);
        });
        stuck.await.unwrap();
    });
}

#[test]
fn a_stuck_task_does_not_hold_back_tasks_from_outside() {
    with_others(async || {
        let handle = Handle::current();
        let stuck = create_task(async move {
            let ran = Count::default();
            let inside = ran.clone();
            std::thread::spawn(move || {
                for _ in 0..10 {
                    let ran = inside.clone();
                    drop(handle.create_task(async move { ran.up() }));
                }
            });
            ran.spin_until(10);
        });
        stuck.await.unwrap();
    });
}

#[test]
fn all_but_one_stuck() {
    // Each waits for the next one's child, so that all children have to run on the last free worker.
    for workers in [2, 4, 8] {
        on(workers, async {
            for _ in 0..ROUNDS {
                let ran = Count::default();
                let tasks: Vec<_> = (1..workers)
                    .map(|_| {
                        let ran = ran.clone();
                        create_task(async move {
                            let inside = ran.clone();
                            drop(create_task(async move {
                                yield_now().await;
                                inside.up();
                            }));
                            ran.spin_until(workers - 1);
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            }
        });
    }
}

#[test]
fn a_yielding_task_is_not_held_back_by_main_that_gets_stuck() {
    with_others(async || {
        let steps = Count::default();
        let inside = steps.clone();
        let yields = create_task(async move {
            loop {
                inside.up();
                yield_now().await;
            }
        });
        let (promise, task) = Promise::<()>::new();
        std::thread::spawn(move || promise.set_result(()).unwrap());
        task.await.unwrap();
        let now = steps.get();
        steps.spin_until(now + 5);
        yields.cancel();
        yields.wait().await;
    });
}

/// Tasks that only yield, until told to stop.
fn busy(count: usize) -> (Vec<Task<()>>, Count) {
    let over = Count::default();
    let tasks = (0..count)
        .map(|_| {
            let over = over.clone();
            create_task(async move {
                while over.get() == 0 {
                    yield_now().await;
                }
            })
        })
        .collect();
    (tasks, over)
}

everywhere! {
    async fn yielding_tasks_do_not_starve_timers() {
        let (tasks, over) = busy(20);
        for _ in 0..5 {
            sleep(Duration::from_micros(100)).await;
        }
        create_task(sleep(Duration::from_micros(100))).await.unwrap();
        over.up();
        for task in tasks {
            task.await.unwrap();
        }
    }

    async fn yielding_tasks_do_not_starve_tasks_from_outside() {
        let (tasks, over) = busy(20);
        let handle = Handle::current();
        let (promise, waits) = Promise::<()>::new();
        std::thread::spawn(move || {
            let task = handle.create_task(async { 1 });
            assert_eq!(futures::executor::block_on(task).unwrap(), 1);
            promise.set_result(()).unwrap();
        });
        waits.await.unwrap();
        over.up();
        for task in tasks {
            task.await.unwrap();
        }
    }

    async fn yielding_tasks_do_not_starve_main_woken_from_outside() {
        let (tasks, over) = busy(20);
        for _ in 0..10 {
            let (promise, waits) = Promise::<()>::new();
            std::thread::spawn(move || promise.set_result(()).unwrap());
            waits.await.unwrap();
        }
        over.up();
        for task in tasks {
            task.await.unwrap();
        }
    }

    async fn a_yielding_main_does_not_starve_tasks() {
        for _ in 0..200 {
            let task = create_task(async {});
            while !task.done() {
                yield_now().await;
            }
        }
    }

    async fn tasks_that_wake_each_other_do_not_starve_others() {
        // Two that hand a token to and fro live in the last-in slot.
        let over = Count::default();
        let (to_a, mut from_b) = futures::channel::mpsc::unbounded::<()>();
        let (to_b, mut from_a) = futures::channel::mpsc::unbounded::<()>();
        use futures::StreamExt;
        let (over_a, over_b) = (over.clone(), over.clone());
        let kick = to_a.clone();
        let a = create_task(async move {
            while over_a.get() == 0 {
                from_b.next().await;
                let _ = to_b.unbounded_send(());
            }
        });
        let b = create_task(async move {
            while over_b.get() == 0 {
                from_a.next().await;
                let _ = to_a.unbounded_send(());
            }
        });
        kick.unbounded_send(()).unwrap();
        for _ in 0..20 {
            create_task(async { yield_now().await }).await.unwrap();
            sleep(Duration::from_micros(20)).await;
        }
        over.up();
        let _ = kick.unbounded_send(());
        a.await.unwrap();
        b.cancel();
        b.wait().await;
    }

    async fn main_gets_its_turn_among_tasks_that_are_always_woken() {
        let (tasks, over) = busy(3);
        for _ in 0..1000 {
            yield_now().await;
        }
        over.up();
        for task in tasks {
            task.await.unwrap();
        }
    }
}
