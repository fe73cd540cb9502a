//! No ready task waits behind another one for ever: not behind tasks that reschedule themselves, and not behind one that never yields
//! while another worker is idle, wherever it is queued.

use runtime::{Promise, Runner, TaskBuilder, catch_cancelled, create_task, yield_now};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What does not come within this time does not come at all.
const NEVER: Duration = Duration::from_secs(100);

/// Often enough that the orders which luck decides all come.
const ROUNDS: usize = 50;

fn workers(workers: usize) -> Runner {
    Runner::builder().workers(workers).build().unwrap()
}

#[test]
fn main_woken_from_outside_has_its_turn_among_tasks_that_reschedule_themselves() {
    for count in [1, 2] {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let main = async move {
            let (go, wait) = mpsc::channel();
            let (promise, task) = Promise::new();
            thread::spawn(move || {
                wait.recv().unwrap();
                promise.set_result(()).unwrap();
            });
            let busy = create_task(async move {
                go.send(()).unwrap();
                let start = Instant::now();
                while !seen.load(SeqCst) && start.elapsed() < NEVER {
                    yield_now().await;
                }
                seen.load(SeqCst)
            });
            task.await.unwrap();
            over.store(true, SeqCst);
            busy.await.unwrap()
        };
        assert!(workers(count).run(main).unwrap(), "{count} workers");
    }
}

#[test]
fn a_task_from_outside_has_its_turn_among_tasks_that_reschedule_themselves() {
    for count in [1, 2] {
        let runner = workers(count);
        let handle = runner.handle();
        let main = async move {
            let over = Arc::new(AtomicBool::new(false));
            thread::spawn({
                let over = Arc::clone(&over);
                move || drop(handle.create_task(async move { over.store(true, SeqCst) }))
            });
            let busy = |over: Arc<AtomicBool>| async move {
                let start = Instant::now();
                while !over.load(SeqCst) && start.elapsed() < NEVER {
                    yield_now().await;
                }
                over.load(SeqCst)
            };
            let tasks: Vec<_> = (0..4).map(|_| create_task(busy(Arc::clone(&over)))).collect();
            for task in tasks {
                assert!(task.await.unwrap());
            }
        };
        runner.run(main).unwrap();
    }
}

#[test]
fn a_task_that_yielded_is_run_elsewhere_while_main_blocks() {
    for _ in 0..ROUNDS {
        let main = async {
            let (tx, rx) = mpsc::channel();
            let (promise, task) = Promise::new();
            drop(create_task(async move {
                promise.set_result(()).unwrap();
                yield_now().await;
                tx.send(()).unwrap();
            }));
            task.await.unwrap();
            rx.recv_timeout(NEVER)
        };
        workers(2).run(main).unwrap().expect("the other worker runs it");
    }
}

#[test]
fn an_eager_task_that_yielded_is_run_elsewhere_while_its_creator_blocks() {
    for _ in 0..ROUNDS {
        let main = async {
            let (tx, rx) = mpsc::channel();
            let eager = TaskBuilder::new().eager_start(true).create_task(async move {
                yield_now().await;
                tx.send(()).unwrap();
            });
            rx.recv_timeout(NEVER).map(|()| eager)
        };
        let _eager = workers(2).run(main).unwrap().expect("the other worker runs it");
    }
}

#[test]
fn a_task_is_run_elsewhere_while_its_creator_blocks() {
    for _ in 0..ROUNDS {
        let main = async {
            let (tx, rx) = mpsc::channel();
            drop(create_task(async move { tx.send(()).unwrap() }));
            rx.recv_timeout(NEVER)
        };
        workers(2).run(main).unwrap().expect("the other worker runs it");
    }
}

#[test]
fn tasks_go_on_between_the_runs_if_there_are_other_workers() {
    let runner = workers(2);
    for _ in 0..ROUNDS {
        let (tx, rx) = mpsc::channel();
        let second = tx.clone();
        let main = async {
            let (promise, task) = Promise::new();
            drop(create_task(async move {
                promise.set_result(()).unwrap();
                yield_now().await;
                tx.send(()).unwrap();
            }));
            task.await.unwrap();
            drop(create_task(async move { second.send(()).unwrap() }));
        };
        runner.run(main).unwrap();
        for _ in 0..2 {
            rx.recv_timeout(NEVER).expect("the other worker runs it");
        }
    }
}

#[test]
fn the_grace_period_holds_for_tasks_that_reschedule_themselves() {
    for count in [1, 2] {
        let (tx, rx) = mpsc::channel();
        thread::spawn(move || {
            let runner = Runner::builder().workers(count).shutdown_grace(Duration::from_millis(5)).build().unwrap();
            runner.handle().set_exception_handler(Some(|_: &runtime::ExceptionContext| {}));
            let main = async {
                drop(create_task(async {
                    loop {
                        let _ = catch_cancelled(yield_now()).await;
                    }
                }));
            };
            runner.run(main).unwrap();
            runner.close();
            tx.send(()).unwrap();
        });
        rx.recv_timeout(NEVER).expect("closed");
    }
}

#[test]
fn ten_thousand_yields_of_main_let_everybody_else_go_first() {
    for count in [1, 2] {
        let main = async {
            // The other worker is in a poll all the time: what it had taken, it might be slow to run.
            let (begin, begun) = mpsc::channel();
            let (release, released) = mpsc::channel::<()>();
            if count == 2 {
                drop(create_task(async move {
                    begin.send(()).unwrap();
                    let _ = released.recv();
                }));
                begun.recv_timeout(NEVER).expect("the other worker runs it");
            }
            let (tx, rx) = mpsc::channel();
            drop(create_task(async move { tx.send(()).unwrap() }));
            for _ in 0..10_000 {
                yield_now().await;
            }
            rx.try_recv().expect("it had its turn");
            drop(release);
        };
        workers(count).run(main).unwrap();
    }
}

#[test]
fn main_is_not_lost_when_the_tasks_before_it_are_stolen() {
    for count in [2, 4] {
        let (tx, rx) = mpsc::channel();
        thread::spawn(move || {
            let main = async {
                for _ in 0..20_000 {
                    drop(create_task(async {}));
                    yield_now().await;
                }
            };
            workers(count).run(main).unwrap();
            tx.send(()).unwrap();
        });
        rx.recv_timeout(NEVER).expect("main ends");
    }
}
