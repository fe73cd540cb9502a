//! Floor for work that comes from other threads: an injector and plain threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use crossbeam_deque::{Injector, Steal};

/// A closure to run.
pub type Job = Box<dyn FnOnce() + Send>;

/// How often a thread looks for a job before it waits, a few microseconds. Without
/// it each job that comes alone costs two switches; tried with 0, 100 and 2,000.
const SPINS: usize = 100;

/// Threads that run closures from one queue.
pub struct Pool {
    /// What the threads share.
    shared: Arc<Shared>,
    /// The threads.
    threads: Vec<JoinHandle<()>>,
}

/// See [`Pool`].
struct Shared {
    /// Closures not yet started.
    jobs: Injector<Job>,
    /// Threads that wait or are about to and were not called; changed under the gate.
    sleepers: AtomicUsize,
    /// How many sleepers were called and have not got up.
    gate: Mutex<usize>,
    /// Where the threads wait.
    bell: Condvar,
    /// Set when the threads must end.
    closed: AtomicBool,
}

impl Pool {
    /// Starts `threads` threads.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            jobs: Injector::new(),
            sleepers: AtomicUsize::new(0),
            gate: Mutex::new(0),
            bell: Condvar::new(),
            closed: AtomicBool::new(false),
        });
        let thread = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.work())
        };
        let threads = (0..threads).map(thread).collect();
        Self { shared, threads }
    }

    /// Queues a closure.
    pub fn submit(&self, job: Job) {
        self.shared.jobs.push(job);
        // Pairs with the fence in `wait`: either the sleeper sees the job, or this
        // thread sees the sleeper.
        fence(Ordering::SeqCst);
        if self.shared.sleepers.load(Ordering::Relaxed) > 0 {
            self.shared.call_one();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `work`.
        self.shared.closed.store(true, Ordering::Release);
        *self.shared.gate.lock().unwrap() += self.threads.len();
        self.shared.bell.notify_all();
        self.threads.drain(..).for_each(|thread| thread.join().expect("a job panicked"));
    }
}

impl Shared {
    fn work(&self) {
        let mut looked = 0;
        // Acquire: pairs with the Release in `drop`.
        while !self.closed.load(Ordering::Acquire) {
            match self.jobs.steal() {
                Steal::Success(job) => {
                    job();
                    looked = 0;
                }
                Steal::Empty if looked == SPINS => {
                    self.wait();
                    looked = 0;
                }
                Steal::Empty => {
                    std::hint::spin_loop();
                    looked += 1;
                }
                Steal::Retry => std::hint::spin_loop(),
            }
        }
    }

    /// Calls a sleeper, who is none from then on: one call per sleep.
    fn call_one(&self) {
        let mut called = self.gate.lock().unwrap();
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            self.sleepers.fetch_sub(1, Ordering::Relaxed);
            *called += 1;
            drop(called);
            self.bell.notify_one();
        }
    }

    fn wait(&self) {
        let mut called = self.gate.lock().unwrap();
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `submit`.
        fence(Ordering::SeqCst);
        if !self.jobs.is_empty() || self.closed.load(Ordering::Acquire) {
            self.sleepers.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        while *called == 0 {
            called = self.bell.wait(called).unwrap();
        }
        *called -= 1;
    }
}
