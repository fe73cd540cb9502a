//! Everything at once, for as long as it is told: `ci/soak.sh SECONDS`. In `cargo test` it runs for two seconds.
//!
//! Time is cut into *waves*. A wave builds runtimes of 1, 2, 8 and 64 workers, has each of them run random programs while foreign threads
//! submit, cancel, wait and wake, and others make and close runtimes in a row; then it closes all and counts: whatever was begun is over, whatever was made
//! was dropped once, no thread is left, and the memory is what it was. A wave is named by a seed, which repeats its choices, but
//! not the order of its threads: `SOAK_SEED=n SOAK_SECONDS=m cargo test --release --test soak`.

mod foreign;
mod ledger;
mod programs;
mod random;

use ledger::{LEDGER, live_bytes};
use random::Random;
use runtime::{Handle, Runner};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a wave takes in new work.
const WAVE: Duration = Duration::from_millis(700);
/// Longer than any wave takes to come to its end, also on a machine under load.
const HANGING: Duration = Duration::from_secs(600);
/// Longer than what comes after a wave takes, far below that.
const SETTLING: Duration = Duration::from_secs(300);
/// What lazy collectors (crossbeam's, the allocator's, thread-locals) may hold on to after a wave; a leak grows beyond it.
const SLACK: i64 = 4 << 20;

/// The large runtimes of the wave.
static HANDLES: Mutex<Vec<Handle>> = Mutex::new(Vec::new());

fn main() {
    let seconds = number("SOAK_SECONDS").unwrap_or(2);
    let first = number("SOAK_SEED").unwrap_or(1);
    // Panics are part of the programs: they are expected there, and nobody wants to read them.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !ledger::is_expected(info.payload()) {
            print(info);
            eprintln!("{LEDGER:?}");
            std::process::abort();
        }
    }));
    let waves = watch(first);
    let start = Instant::now();
    let mut baseline = None;
    let mut seed = first;
    while seed == first || start.elapsed() < Duration::from_secs(seconds) {
        wave(seed);
        // The first wave fills what is filled once per process.
        let live = live_bytes();
        let grown = live - *baseline.get_or_insert(live);
        assert!(grown < SLACK, "seed {seed}: {grown} bytes more are alive than after the first wave");
        seed += 1;
        waves.send(seed).expect("the watch goes on");
    }
    println!("soak: seeds {first} to {}, {:.0} s", seed - 1, start.elapsed().as_secs_f64());
    println!("soak: {LEDGER:?}");
    println!("soak: {} bytes alive after the first wave, {} now", baseline.unwrap_or(0), live_bytes());
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Ends the process when a wave hangs, with what is outstanding; is told of the seed of each wave that follows.
fn watch(mut seed: u64) -> Sender<u64> {
    let (sender, waves) = channel();
    thread::spawn(move || {
        loop {
            match waves.recv_timeout(HANGING) {
                Ok(next) => seed = next,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        eprintln!("soak: the wave of seed {seed} hangs\n{LEDGER:?}");
        for handle in HANDLES.lock().unwrap().iter() {
            eprintln!("{handle:?}: {:#?}", handle.all_tasks());
        }
        std::process::abort();
    });
    sender
}

/// One wave; returns when all of it is over and counted.
fn wave(seed: u64) {
    let mut random = Random::new(seed);
    let until = Instant::now() + WAVE;
    let runners: Vec<_> = [1, 2, 8, 64].into_iter().map(|workers| build(&mut random, workers)).collect();
    let wakers = Arc::new(foreign::WakerBox::default());
    let over = Arc::new(AtomicBool::new(false));
    let handles: Vec<_> = runners.iter().map(|runner| runner.handle()).collect();
    HANDLES.lock().unwrap().clone_from(&handles);
    let strangers: Vec<_> = (0..4)
        .map(|_| {
            let (random, handles) = (random.split(), handles.clone());
            let (wakers, over) = (Arc::clone(&wakers), Arc::clone(&over));
            thread::spawn(move || foreign::disturb(random, &handles, &wakers, &over))
        })
        .collect();
    let loads: Vec<_> = runners
        .into_iter()
        .map(|runner| {
            let (random, wakers) = (random.split(), Arc::clone(&wakers));
            thread::spawn(move || load(&runner, random, &wakers, until))
        })
        .collect();
    let churn: Vec<_> = (0..2)
        .map(|_| {
            let (random, wakers) = (random.split(), Arc::clone(&wakers));
            thread::spawn(move || churn(random, &wakers, until))
        })
        .collect();
    for thread in loads.into_iter().chain(churn) {
        thread.join().unwrap();
    }
    // The strangers go on for a while with handles and wakers of runtimes that are gone.
    over.store(true, Relaxed);
    for stranger in strangers {
        stranger.join().unwrap();
    }
    HANDLES.lock().unwrap().clear();
    drop((handles, wakers));
    settle(seed);
}

fn build(random: &mut Random, workers: usize) -> Runner {
    let grace = random.one_in(4).then(|| Duration::from_millis(random.below(20)));
    let mut builder = Runner::builder()
        .workers(workers)
        .thread_name("soak")
        .eager_tasks(random.one_in(4))
        .max_blocking_threads([1, 4, 512][random.index(3)])
        .blocking_keep_alive(Duration::from_micros(random.below(5_000)));
    if let Some(grace) = grace {
        builder = builder.shutdown_grace(grace);
    }
    let runner = builder.build().unwrap();
    runner.handle().set_exception_handler(Some(ledger::report));
    LEDGER.runtimes.begin();
    runner
}

/// Runs programs on a runtime until it is time, in several runs; then leaves something behind and closes it.
fn load(runner: &Runner, mut random: Random, wakers: &Arc<foreign::WakerBox>, until: Instant) {
    while Instant::now() < until {
        let breadth = 1 + random.index(8);
        // Cancelled now and then by a stranger who has found main among `all_tasks`.
        let _ = runner.run(programs::several(random.split(), breadth, Arc::clone(wakers), until));
    }
    let _ = runner.run(programs::leave_behind(random.split(), Arc::clone(wakers)));
    runner.close();
    LEDGER.runtimes.end();
}

/// Makes and closes small runtimes in a row.
fn churn(mut random: Random, wakers: &Arc<foreign::WakerBox>, until: Instant) {
    while Instant::now() < until {
        let mut builder = Runner::builder().thread_name("churn");
        builder = match random.index(4) {
            0 => builder.workers(1),
            1 => builder.virtual_time(true),
            2 => builder.seed(random.next()),
            _ => builder.workers(2 + random.index(3)),
        };
        let runner = builder.build().unwrap();
        runner.handle().set_exception_handler(Some(ledger::report));
        LEDGER.runtimes.begin();
        match random.index(4) {
            0 => {}
            1 => drop(runner.run(programs::one(random.split(), Arc::clone(wakers), 0))),
            2 => drop(runner.run(programs::leave_small(random.split()))),
            _ => {
                // Dropped inside of itself: closed by a thread of its own.
                if random.one_in(8) {
                    let other = Runner::builder().workers(2).thread_name("churn").build().unwrap();
                    drop(runner.run(async move { drop(other) }));
                }
            }
        }
        if random.one_in(2) {
            runner.close();
        }
        drop(runner);
        LEDGER.runtimes.end();
    }
}

/// Waits for what may come after the close of a runtime (threads that close one, and end), then counts.
fn settle(seed: u64) {
    let start = Instant::now();
    while !(LEDGER.is_even() && ledger::threads() <= 2) && start.elapsed() < SETTLING {
        thread::yield_now();
    }
    assert!(LEDGER.is_even(), "seed {seed}: not all that began is over: {LEDGER:?}");
    let threads = ledger::threads();
    assert!(threads <= 2, "seed {seed}: {threads} threads where there should be this one and the watch");
}
