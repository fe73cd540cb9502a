//! The pool under changing load: no job may be left behind, whatever threads come and go meanwhile.

mod support;

use runtime_bridge::{BlockingConfig, BlockingResult, RunInExecutor, configure};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use support::{LONG, engine};

/// A generator that needs nothing: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One of several threads that use a pool in bursts, of jobs of all lengths, with pauses around the keep-alive and the spin.
fn use_pool(handle: &runtime_core::Handle, seed: u64, done: &Arc<AtomicUsize>) -> usize {
    let mut random = Random(seed);
    let mut submitted = 0;
    for _ in 0..60 {
        let most = 1 << random.below(8);
        let burst = 1 + random.below(most);
        let tasks: Vec<_> = (0..burst)
            .map(|_| {
                let (done, length) = (Arc::clone(done), random.below(8));
                handle.run_in_executor(move || {
                    if length == 7 {
                        thread::sleep(Duration::from_micros(300));
                    }
                    done.fetch_add(1, SeqCst);
                })
            })
            .collect();
        submitted += tasks.len();
        for mut task in tasks {
            task.blocking_result_timeout(LONG).expect("a job was left behind").unwrap();
        }
        thread::sleep(Duration::from_micros(random.below(400)));
    }
    submitted
}

#[test]
fn no_job_is_left_behind() {
    for (max_threads, keep_alive) in [(1, 100), (2, 0), (3, 200), (64, 100), (512, 10_000)] {
        let engine = engine(1);
        let keep_alive = Duration::from_micros(keep_alive);
        assert!(configure(&engine.handle(), BlockingConfig { max_threads, keep_alive, ..BlockingConfig::default() }));
        let done = Arc::new(AtomicUsize::new(0));
        let users: Vec<_> = (1..=4)
            .map(|seed| {
                let (handle, done) = (engine.handle(), Arc::clone(&done));
                thread::spawn(move || use_pool(&handle, seed * 0x9E37_79B9, &done))
            })
            .collect();
        let submitted: usize = users.into_iter().map(|user| user.join().unwrap()).sum();
        assert_eq!(done.load(SeqCst), submitted);
        engine.close();
    }
}

#[test]
fn closing_while_others_submit_ends_every_task() {
    for _ in 0..100 {
        let engine = engine(1);
        let users: Vec<_> = (0..3)
            .map(|_| {
                let handle = engine.handle();
                thread::spawn(move || {
                    let mut ran = 0;
                    loop {
                        let mut task = handle.run_in_executor(|| ());
                        match task.blocking_result_timeout(LONG).expect("a job was left behind") {
                            Ok(()) => ran += 1,
                            Err(error) => return (ran, error),
                        }
                    }
                })
            })
            .collect();
        engine.handle().run_in_executor(|| ()).blocking_result().unwrap();
        engine.close();
        for user in users {
            let (_ran, error) = user.join().unwrap();
            assert!(error.is_cancelled(), "{error}");
        }
    }
}
