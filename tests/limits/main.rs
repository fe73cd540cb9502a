//! How many of everything: `ci/limits.sh`. In `cargo test` with a hundredth of the numbers.
//!
//! Each limit is reached, counted, and left again; what it took is printed. Nothing about time is asserted.

use runtime::{Handle, Runner, create_task, gather, sleep, to_thread, yield_now};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

/// What is tried, how, and to what number in the long form.
type Limit = (&'static str, fn(usize), usize);

fn main() {
    let full = std::env::var("LIMITS").is_ok_and(|value| value == "full");
    let share = if full { 1 } else { 100 };
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let limits: [Limit; 7] = [
        ("tasks alive at once", tasks_alive, 10_000_000),
        ("timers at once", timers, 1_000_000),
        ("tasks made in one poll", deep_deque, 1_000_000),
        ("tasks from a foreign thread, with nobody to run them", deep_injector, 1_000_000),
        ("wakers of one task", many_wakers, 1_000_000),
        ("tasks that await each other in a chain", chain, 1_000_000),
        ("steps of tasks on 64 workers", many_workers, 1_000_000),
    ];
    for (what, reach, count) in limits.into_iter().filter(|(what, ..)| what.contains(&filter)) {
        let count = count / share;
        let start = Instant::now();
        println!("{count} {what}:");
        reach(count);
        println!("    {:.2} s in all", start.elapsed().as_secs_f64());
    }
}

fn runner(workers: usize) -> Runner {
    Runner::builder().workers(workers).build().expect("there are threads")
}

/// Resident bytes of this process.
fn resident() -> usize {
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).map_or(0, |pages| pages * 4096)
}

/// Says how long a step took.
fn lap(what: &str, start: &mut Instant) {
    println!("    {what}: {:.2} s", start.elapsed().as_secs_f64());
    *start = Instant::now();
}

/// Counts when it goes.
struct Counted<A: AsRef<AtomicUsize>>(A);

impl<A: AsRef<AtomicUsize>> Drop for Counted<A> {
    fn drop(&mut self) {
        self.0.as_ref().fetch_add(1, Relaxed);
    }
}

/// A counter for a value of which there are ten million.
struct Dropped;

static DROPPED: AtomicUsize = AtomicUsize::new(0);

impl AsRef<AtomicUsize> for Dropped {
    fn as_ref(&self) -> &AtomicUsize {
        &DROPPED
    }
}

fn tasks_alive(count: usize) {
    let (runner, before, mut start) = (runner(2), resident(), Instant::now());
    let main = async {
        for number in 0..count {
            let value = Counted(Dropped);
            drop(create_task(async move {
                pending::<()>().await;
                drop(value);
            }));
            if number % 1_000 == 0 {
                yield_now().await;
            }
        }
        lap("made", &mut start);
        let bytes = resident().saturating_sub(before);
        println!("    {:.0} bytes of memory a task, {} MB", bytes as f64 / count as f64, bytes >> 20);
        assert_eq!(DROPPED.load(Relaxed), 0);
        assert_eq!(Handle::current().all_tasks().len(), count + 1);
        lap("listed", &mut start);
    };
    runner.run(main).expect("nobody cancels it");
    runner.close();
    lap("cancelled and freed", &mut start);
    assert_eq!(DROPPED.load(Relaxed), count);
}

fn timers(count: usize) {
    static FIRED: AtomicUsize = AtomicUsize::new(0);
    let (runner, before, mut start) = (runner(2), resident(), Instant::now());
    let main = async {
        let handle = Handle::current();
        let when = handle.time() + Duration::from_secs(3);
        for number in 0..count {
            let due = when + Duration::from_nanos(number as u64 * 1_009 % 1_000_000_000);
            drop(create_task(async move {
                runtime::sleep_until(due).await;
                assert!(Handle::current().time() >= due, "too early");
                FIRED.fetch_add(1, Relaxed);
            }));
            if number % 1_000 == 0 {
                yield_now().await;
            }
        }
        lap("made", &mut start);
        println!("    {:.0} bytes of memory a sleeping task", resident().saturating_sub(before) as f64 / count as f64);
        while FIRED.load(Relaxed) < count {
            sleep(Duration::from_millis(1)).await;
        }
        lap("all fired", &mut start);
    };
    runner.run(main).expect("nobody cancels it");
    runner.close();
    assert_eq!(FIRED.load(Relaxed), count);
}

fn deep_deque(count: usize) {
    let runner = runner(2);
    let sum = runner.run(async { gather((0..count).map(async |n| n)).await.into_iter().sum::<usize>() });
    assert_eq!(sum.expect("nobody cancels it"), count * (count - 1) / 2);
    runner.close();
}

fn deep_injector(count: usize) {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    // With one worker nobody runs them before `run`.
    let (runner, mut start) = (runner(1), Instant::now());
    let handle = runner.handle();
    let foreign = std::thread::spawn(move || {
        for _ in 0..count {
            drop(handle.create_task(async { RUN.fetch_add(1, Relaxed) }));
        }
    });
    foreign.join().expect("it does not panic");
    lap("made", &mut start);
    let main = async {
        // Not by yielding: main would go on all the time, and the others have one turn in 61 then.
        while RUN.load(Relaxed) < count {
            sleep(Duration::from_millis(1)).await;
        }
    };
    runner.run(main).expect("nobody cancels it");
    lap("run", &mut start);
    runner.close();
}

fn many_wakers(count: usize) {
    let runner = runner(2);
    let main = async {
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut polls = 0;
        let task = create_task(std::future::poll_fn(move |cx| {
            if polls == 0 {
                sender.send((0..count).map(|_| cx.waker().clone()).collect::<Vec<_>>()).expect("there is a receiver");
            }
            polls += 1;
            if polls == 1 { Poll::Pending } else { Poll::Ready(()) }
        }));
        let wakers = to_thread(move || receiver.recv().expect("there is a sender")).await.expect("it is sent");
        let (mut one, mut other) = (wakers, Vec::new());
        other.extend(one.drain(count / 2..));
        let both = [one, other].map(|wakers| to_thread(move || wakers.into_iter().for_each(std::task::Waker::wake)));
        for thread in both {
            thread.await.expect("waking does not panic");
        }
        task.await.expect("nobody cancels it");
    };
    runner.run(main).expect("nobody cancels it");
    runner.close();
}

/// A request to the first goes down the chain to the last, and the end comes back up.
fn chain(count: usize) {
    let (runner, mut start) = (runner(2), Instant::now());
    let main = async {
        let (awaiting, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut last = create_task(sleep(Duration::MAX));
        for _ in 1..count {
            let (before, awaiting, ended) = (last, Arc::clone(&awaiting), Arc::clone(&ended));
            last = create_task(async move {
                let value = Counted(ended);
                awaiting.fetch_add(1, Relaxed);
                let _ = before.await;
                drop(value);
            });
        }
        // The request ends at one that has not begun.
        while awaiting.load(Relaxed) < count - 1 {
            yield_now().await;
        }
        lap("made", &mut start);
        last.cancel();
        let _ = last.await;
        lap("cancelled", &mut start);
        assert_eq!(ended.load(Relaxed), count - 1);
    };
    runner.run(main).expect("nobody cancels it");
    runner.close();
}

fn many_workers(count: usize) {
    let (runner, mut start) = (runner(64), Instant::now());
    let main = async {
        let steps = count / 1_000;
        let tasks = (0..1_000).map(move |_| async move {
            for _ in 0..steps {
                yield_now().await;
            }
        });
        assert_eq!(gather(tasks).await.len(), 1_000);
        lap("stepped", &mut start);
        let cpu = cpu_time();
        sleep(Duration::from_secs(1)).await;
        println!("    a second of rest: {:.1} ms of processor time", (cpu_time() - cpu) as f64 / 1e6);
    };
    runner.run(main).expect("nobody cancels it");
    runner.close();
}

/// Nanoseconds of processor time that this process has used.
fn cpu_time() -> u64 {
    #[cfg(unix)]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the structure lives.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
    #[cfg(not(unix))]
    0
}
