//! What the models share: a scheduler that is a queue, tasks with counters, a blocking wait.

use crate::context::ContextMap;
use crate::loom::atomic::{AtomicBool, AtomicUsize};
use crate::loom::{Mutex, UnsafeCell, thread};
use crate::task::cell::{self, NewTask};
use crate::task::error::TaskError;
use crate::task::harness::{self, Ran};
use crate::task::state::State;
use crate::task::{Kind, Notified, Schedule, Task, TaskRef};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// Runs a model with the bounds that the environment sets (`ci/loom.sh`), and says how many executions there were.
pub(super) fn model(f: impl Fn() + Send + Sync + 'static) {
    check(loom::model::Builder::new(), f);
}

/// As [`model`], with one preemption less: three threads with whole loops in them have too many schedules.
pub(super) fn large_model(f: impl Fn() + Send + Sync + 'static) {
    reduced_model(1, f);
}

/// As [`model`], with two preemptions more: for models with few steps.
pub(super) fn small_model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.map(|bound| bound + 2);
    check(builder, f);
}

/// As [`model`], with so many preemptions less: for models that first wait for the others to be where they are wanted.
pub(super) fn reduced_model(less: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.map(|bound| bound.saturating_sub(less));
    check(builder, f);
}

fn check(mut builder: loom::model::Builder, f: impl Fn() + Send + Sync + 'static) {
    builder.max_branches = 20_000;
    let limit = builder.max_duration;
    let (executions, start) = (Arc::new(Count::new(0)), Instant::now());
    let counter = Arc::clone(&executions);
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        crate::loom::reset_time();
        f();
    });
    let name = String::from(std::thread::current().name().unwrap_or("model"));
    let rest = if limit.is_some_and(|limit| start.elapsed() >= limit) { ", not all: the time was up" } else { "" };
    println!("{name}: {} executions in {:.1?}{rest}", executions.load(Relaxed), start.elapsed());
}

/// The scheduler of the models. It goes when the last task of it has completed, as the real one may (R6).
pub(super) struct Queue {
    ready: Mutex<VecDeque<Notified>>,
    /// Written when the scheduler goes, read by every use of it: loom sees a use after that.
    alive: UnsafeCell<bool>,
    closing: AtomicBool,
    /// How many tasks have completed.
    released: Count,
    /// How many failures nobody has read.
    pub(super) unretrieved: Count,
}

impl Queue {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            ready: Mutex::new(VecDeque::new()),
            alive: UnsafeCell::new(true),
            closing: AtomicBool::new(false),
            released: Count::new(0),
            unretrieved: Count::new(0),
        })
    }

    fn touch(&self) {
        // SAFETY: read only; loom objects to a concurrent write.
        assert!(self.alive.with(|alive| unsafe { *alive }), "the scheduler is used after it has gone");
    }

    pub(super) fn push(&self, task: Notified) {
        self.touch();
        self.ready.lock().push_back(task);
    }

    pub(super) fn pop(&self) -> Option<Notified> {
        self.ready.lock().pop_front()
    }

    /// Runs what is ready, until nothing is.
    pub(super) fn drain(&self) {
        while let Some(task) = self.pop() {
            if let Ran::Again(task) = harness::run(task, self) {
                self.push(task);
            }
        }
    }

    /// Runs one of those that are ready.
    pub(super) fn drain_once(&self) {
        let task = self.pop().expect("something is ready");
        if let Ran::Again(task) = harness::run(task, self) {
            self.push(task);
        }
    }

    pub(super) fn begin_closing(&self) {
        self.closing.store(true, SeqCst);
    }

    pub(super) fn released(&self) -> usize {
        self.released.load(Relaxed)
    }

    /// The scheduler goes: from here on nobody may come to it.
    pub(super) fn go(&self) {
        // SAFETY: loom objects to a concurrent read.
        self.alive.with_mut(|alive| unsafe { *alive = false });
    }
}

impl Schedule for Queue {
    unsafe fn schedule(this: *const Self, task: Notified) {
        // SAFETY: the models keep the memory of the queue to their end, so that a use that is too late is caught by `touch`.
        unsafe { &*this }.push(task);
    }

    fn release(&self, _task: TaskRef) {
        self.released.fetch_add(1, Relaxed);
    }

    fn unretrieved(&self, _task: &TaskRef, _error: TaskError) {
        self.unretrieved.fetch_add(1, Relaxed);
    }

    fn run_callbacks(&self, task: &TaskRef) {
        while let Some(callbacks) = task.header().cold().next_round() {
            for callback in callbacks {
                (callback.function)(task);
            }
        }
    }

    fn is_closing(&self, _kind: Kind) -> bool {
        self.closing.load(SeqCst)
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Says when a task's memory was freed.
#[derive(Clone)]
pub(super) struct Freed(Arc<ContextMap>);

impl Freed {
    pub(super) fn new() -> Self {
        Self(Arc::new(ContextMap::default()))
    }

    /// The task holds the only other count, until it is freed.
    pub(super) fn check(&self) {
        assert_eq!(Arc::strong_count(&self.0), 1, "the task was not freed");
    }
}

/// Makes a task of the queue's and pushes it.
pub(super) fn create<F: Future>(queue: &Arc<Queue>, freed: &Freed, future: F) -> Task<F::Output> {
    let (task, notified) = create_unqueued(queue, freed, future);
    queue.push(notified);
    task
}

/// Makes a task whose first push is the caller's.
pub(super) fn create_unqueued<F: Future>(queue: &Arc<Queue>, freed: &Freed, future: F) -> (Task<F::Output>, Notified) {
    allocate(queue, freed, future, State::new_notified())
}

/// Makes a task whose first poll is the caller's.
pub(super) fn create_eager<F: Future>(queue: &Arc<Queue>, freed: &Freed, future: F) -> (Task<F::Output>, Notified) {
    allocate(queue, freed, future, State::new_running())
}

fn allocate<F: Future>(queue: &Arc<Queue>, freed: &Freed, future: F, state: State) -> (Task<F::Output>, Notified) {
    let new = NewTask {
        state,
        kind: Kind::Task,
        id: 1,
        runtime: 0,
        shard: 0,
        context: Some(Arc::clone(&freed.0)),
        location: Location::caller(),
        waiter: 0,
    };
    let raw = cell::allocate::<F, Queue, ()>(future, Arc::as_ptr(queue), (), new);
    // SAFETY: the handle's reference, and the push or the poll that a new task owes.
    unsafe { (Task::from_raw(raw), Notified::new(raw)) }
}

/// Counts how many values of one kind were made and dropped.
#[derive(Clone, Default)]
pub(super) struct Drops(Arc<(Count, Count)>);

impl Drops {
    pub(super) fn make(&self) -> Counted {
        self.0.0.fetch_add(1, Relaxed);
        Counted(self.clone())
    }

    pub(super) fn dropped(&self) -> usize {
        self.0.1.load(Relaxed)
    }

    /// Every value was dropped once.
    pub(super) fn check(&self) {
        assert_eq!(self.0.0.load(Relaxed), self.dropped(), "made and dropped");
    }
}

/// A value that counts its drop.
pub(super) struct Counted(Drops);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.1.fetch_add(1, Relaxed);
    }
}

/// Ends with `output` when `flags` threads have said so; hands out its waker at the first poll.
///
/// The flags are relaxed: whoever misses one has missed the wake that came after it.
pub(super) struct Flags {
    pub(super) said: Arc<AtomicUsize>,
    wanted: usize,
    pub(super) waker: Arc<std::sync::Mutex<Option<Waker>>>,
    output: Option<Counted>,
    polled: bool,
    /// Dropped with the future.
    _future: Counted,
}

impl Flags {
    pub(super) fn new(wanted: usize, futures: &Drops, outputs: &Drops) -> Self {
        Self {
            said: Arc::new(AtomicUsize::new(0)),
            wanted,
            waker: Arc::default(),
            output: Some(outputs.make()),
            polled: false,
            _future: futures.make(),
        }
    }
}

impl Future for Flags {
    type Output = Counted;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Counted> {
        let this = &mut *self;
        if this.said.load(Relaxed) >= this.wanted {
            return Poll::Ready(this.output.take().expect("polled once after its end"));
        }
        if !std::mem::replace(&mut this.polled, true) {
            *this.waker.lock().unwrap() = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Takes the waker that the first poll has handed out.
pub(super) fn take_waker(slot: &std::sync::Mutex<Option<Waker>>) -> Waker {
    slot.lock().unwrap().take().expect("the first poll was made")
}

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker that ends `park` of this thread.
pub(super) fn thread_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// Polls a future to its end; sleeps in between, so that a lost wake-up is a deadlock.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = thread_waker();
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        thread::park();
    }
}
