//! Clocks that jump, deadlines beyond all clocks, workers that are stuck.

use crate::judge::{Case, End};
use runtime::{Handle, Runner, create_task, gather, sleep, sleep_until, timeout, to_thread, wait, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

pub(crate) const CASES: &[Case] = &[
    Case { name: "virtual_time_jumps_by_centuries", part: centuries, rounds: 1, end: End::Well },
    Case { name: "deadlines_that_no_clock_reaches", part: never, rounds: 1, end: End::Well },
    Case { name: "deadlines_that_have_passed", part: passed, rounds: 1, end: End::Well },
    Case { name: "a_worker_is_stuck_while_the_others_go_on", part: stuck, rounds: 3, end: End::Well },
    Case { name: "all_workers_but_one_are_stuck", part: all_but_one_stuck, rounds: 3, end: End::Well },
    Case { name: "the_process_is_stopped_for_a_while", part: stopped, rounds: 1, end: End::Well },
];

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn centuries(_round: u64) {
    let runner = Runner::builder().virtual_time(true).build().unwrap();
    let main = async {
        let handle = Handle::current();
        let start = handle.time();
        // Timers of all sizes are there while time jumps over some of them.
        let sleeps = [1, 1 << 10, 1 << 20, 1 << 30, 1 << 40, 1 << 50, 1 << 60].map(Duration::from_nanos);
        let tasks: Vec<_> = sleeps.iter().map(|duration| create_task(sleep(*duration))).collect();
        sleep(100 * YEAR).await;
        assert_eq!(handle.time() - start, 100 * YEAR);
        assert!(tasks.iter().all(|task| task.done()));
        sleep(Duration::from_nanos(1)).await;
        sleep(400 * YEAR).await;
        assert_eq!(handle.time() - start, 500 * YEAR + Duration::from_nanos(1));
        assert!(timeout(80 * YEAR, sleep(81 * YEAR)).await.is_err());
    };
    runner.run(main).unwrap();
    runner.close();
}

fn never(_round: u64) {
    for workers in [1, 4] {
        let runner = Runner::builder().workers(workers).build().unwrap();
        let main = async {
            let handle = Handle::current();
            let far = handle.time() + 1_000 * YEAR;
            let tasks = [
                create_task(sleep(Duration::MAX)),
                create_task(sleep(Duration::from_nanos(u64::MAX))),
                create_task(sleep_until(far)),
            ];
            let calls = [
                handle.call_later(Duration::MAX, || panic!("it never comes")),
                handle.call_at(far, || panic!("nor this")),
            ];
            assert_eq!(timeout(Duration::MAX, async { 1 }).await.unwrap(), 1);
            sleep(Duration::from_millis(1)).await;
            assert!(tasks.iter().all(|task| !task.done()));
            assert!(calls.iter().all(|call| call.cancel()));
            for task in tasks {
                task.cancel();
                assert!(task.await.unwrap_err().is_cancelled());
            }
        };
        runner.run(main).unwrap();
        runner.close();
    }
}

fn passed(_round: u64) {
    let before = Instant::now();
    let runner = Runner::builder().workers(2).build().unwrap();
    let main = async {
        sleep_until(before).await;
        sleep(Duration::ZERO).await;
        assert!(runtime::timeout_at(before, sleep(Duration::MAX)).await.is_err());
        let called = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&called);
        Handle::current().call_at(before, move || mark.store(true, SeqCst));
        while !called.load(SeqCst) {
            yield_now().await;
        }
    };
    runner.run(main).unwrap();
    runner.close();
}

/// Holds a worker until it is told.
async fn hold(release: Arc<AtomicBool>, held: Arc<AtomicUsize>) {
    held.fetch_add(1, SeqCst);
    while !release.load(SeqCst) {
        std::hint::spin_loop();
    }
}

/// So many workers of so many are stuck; what they had in their queues, and all new work, timers among it, goes on.
fn with_stuck_workers(stuck: usize, workers: usize) {
    let runner = Runner::builder().workers(workers).build().unwrap();
    let main = async {
        let (release, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let holders: Vec<_> = (0..stuck).map(|_| create_task(hold(Arc::clone(&release), Arc::clone(&held)))).collect();
        // Main sleeps, so that its worker, too, may be one of the stuck ones; then it waits for that one's end, which the others bring about.
        let (free, counted) = (Arc::clone(&release), Arc::clone(&held));
        let work = create_task(async move {
            while counted.load(SeqCst) < stuck {
                yield_now().await;
            }
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(1) {
                assert_eq!(gather((0..1_000).map(async |n| n)).await.len(), 1_000);
                sleep(Duration::from_micros(100)).await;
                assert_eq!(to_thread(|| 1).await.unwrap(), 1);
                assert!(timeout(Duration::from_micros(10), sleep(Duration::MAX)).await.is_err());
            }
            free.store(true, SeqCst);
        });
        work.await.unwrap();
        let (done, pending) = wait(holders).await;
        assert_eq!((done.len(), pending.len()), (stuck, 0));
    };
    runner.run(main).unwrap();
    runner.close();
}

fn stuck(round: u64) {
    with_stuck_workers(1, [2, 4, 8][round as usize]);
}

fn all_but_one_stuck(round: u64) {
    let workers = [2, 4, 8][round as usize];
    with_stuck_workers(workers - 1, workers);
}

/// For the process, the clock jumps by a second.
fn stopped(_round: u64) {
    // SAFETY: the child sleeps, sends one signal and ends, by calls that are allowed after a fork.
    let parent = unsafe { libc::getpid() };
    // SAFETY: as above.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above.
        unsafe {
            libc::usleep(100_000);
            libc::kill(parent, libc::SIGSTOP);
            libc::usleep(1_000_000);
            libc::kill(parent, libc::SIGCONT);
            libc::_exit(0);
        }
    }
    let runner = Runner::builder().workers(4).build().unwrap();
    let main = async {
        let start = Instant::now();
        let fired = Arc::new(AtomicUsize::new(0));
        for number in 0..1_000 {
            let fired = Arc::clone(&fired);
            Handle::current().call_later(Duration::from_millis(2 * number), move || {
                fired.fetch_add(1, SeqCst);
            });
        }
        while fired.load(SeqCst) < 1_000 {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(start.elapsed() >= Duration::from_millis(1_998));
    };
    runner.run(main).unwrap();
    runner.close();
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }, child);
}
