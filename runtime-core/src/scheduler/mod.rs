//! The work-stealing scheduler: what all workers share, and how tasks get into the queues.
//!
//! `README.md` beside this file tells the life of a spawn and of a wake, and argues why no wake-up is lost.

pub(crate) mod idle;
pub(crate) mod injector;
pub(crate) mod park;
pub(crate) mod queue;
pub(crate) mod worker;

use crate::context;
use crate::engine::Config;
use crate::loom::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, fence};
use crate::loom::{Canary, Mutex};
use crate::observe::counters::{Counter, Counters};
use crate::observe::debug::{Board, Watchdog};
use crate::report::Reporter;
use crate::task::cell::Header;
use crate::task::error::TaskError;
use crate::task::registry::{Count, Counts, Shard, Shards, Swept};
use crate::task::task_ref::is_listed;
use crate::task::{Kind, Notified, Schedule, TaskRef};
use crate::time::TimerShard;
use crate::time::clock::Clock;
use crossbeam_utils::CachePadded;
use idle::Idle;
use injector::Injector;
use park::Parker;
use queue::Stealer;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use std::sync::{Arc, Weak};
use worker::Worker;

/// How much later than its deadline the sentry fires a timer whose owner does not: enough for an owner that is about to.
pub(crate) const SENTRY_GRACE: u64 = 500_000;
/// Who should have woken so long ago is kept from it by the system, and is no longer counted on.
const OVERDUE: u64 = 100_000;

/// The life of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Life {
    /// Taking in tasks.
    Open = 0,
    /// The sweep has begun: every task gets its one request. Callbacks still come, for clean-up may need them.
    Closing = 1,
    /// All tasks have ended: the sweep goes on to callbacks.
    Draining = 2,
    /// Threads of extensions are waited for; the tasks that they create meanwhile run undisturbed (SD-04).
    Serving = 3,
    /// The sweep of what those have left.
    ClosingAgain = 4,
    /// The same for callbacks.
    DrainingAgain = 5,
    /// No task is taken in any more; workers end.
    Closed = 6,
}

/// What all workers of a runtime, and all who have a handle to it, share.
pub(crate) struct Shared {
    pub(crate) id: u32,
    /// Itself, for what has to keep it.
    this: Weak<Shared>,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) reporter: Reporter,
    /// Looks after workers that are stuck, in debug mode.
    pub(crate) watchdog: Option<Watchdog>,
    /// Parts of one worker that others read or take from.
    pub(crate) remotes: Box<[CachePadded<Remote>]>,
    /// The tasks that are alive.
    pub(crate) tasks: Shards,
    /// Work from threads that are no workers.
    pub(crate) injector: Injector,
    /// Work that only worker 0 may do: the main future.
    pinned: Mutex<VecDeque<Notified>>,
    pinned_len: AtomicUsize,
    pub(crate) idle: Idle,
    life: AtomicU8,
    /// Whether the sweep of a shutdown may have requests left to make, with which any worker helps.
    unswept: AtomicBool,
    /// Work outside of the runtime that will come back to it: while there is any, a virtual clock stands still.
    pub(crate) outside: AtomicUsize,
    /// What other crates attach to the runtime.
    pub(crate) extensions: crate::engine::Extensions,
    /// Whether it has gone, in models.
    canary: Canary,
}

/// The parts of a worker that others use.
pub(crate) struct Remote {
    /// Steals from its queue; none with a single worker.
    pub(crate) stealer: Option<Stealer>,
    /// The last-in slot: the task that the running one has just made ready.
    pub(crate) lifo: AtomicPtr<Header>,
    pub(crate) parker: Parker,
    /// What its thread runs.
    pub(crate) running: crate::current::Running,
    pub(crate) timers: &'static TimerShard,
    /// Until when it sleeps at the longest, in nanoseconds of the runtime's clock; `u64::MAX` while it does not, or without end.
    wakes_at: AtomicU64,
    /// Entries that threads which are no workers have queued; they spread over the workers' counters, which have nothing else to do with it.
    pub(crate) injected: Counter,
    /// What the worker counts about itself, in cache lines that nobody else writes.
    pub(crate) counters: Arc<CachePadded<Counters>>,
    /// What the worker tells the watchdog, in debug mode.
    pub(crate) board: Option<Box<Board>>,
}

impl Remote {
    fn new(stealer: Option<Stealer>, config: &Config, clock: &Clock) -> CachePadded<Self> {
        let timers = TimerShard::get();
        timers.set_clock(clock);
        CachePadded::new(Self {
            stealer,
            lifo: AtomicPtr::new(std::ptr::null_mut()),
            parker: Parker::new(),
            running: crate::current::Running::default(),
            timers,
            wakes_at: AtomicU64::new(u64::MAX),
            injected: Counter::default(),
            counters: Arc::new(CachePadded::new(Counters::new(config.poll_times))),
            board: config.debug.then(Box::default),
        })
    }
}

impl Remote {
    /// Its worker is about to sleep until then, at the longest, and then looks at all queues before it does anything long.
    pub(crate) fn will_wake(&self, at: u64) {
        self.wakes_at.store(at, SeqCst);
    }

    /// It does not sleep any more. To be told before it looks at the queues.
    ///
    /// The fence pairs with the one in `Shared::is_looked_after`: either that sees nobody who wakes, or this one sees the work.
    pub(crate) fn has_woken(&self) {
        self.wakes_at.store(u64::MAX, SeqCst);
        fence(SeqCst);
    }

    /// When the first of its timers is due, if it sleeps on beyond that.
    pub(crate) fn left_timer(&self) -> Option<u64> {
        // Relaxed: a glance. Who leaves its timers to others makes sure that one of them sees it (`Worker::leaves_timers`).
        let wakes_at = self.wakes_at.load(Relaxed);
        let next = self.timers.next();
        (wakes_at != u64::MAX && wakes_at > next.saturating_add(worker::rest::GATHER)).then_some(next)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.timers.retire();
    }
}

impl Shared {
    pub(crate) fn new(id: u32, config: Config, stealers: Vec<Option<Stealer>>) -> Arc<Self> {
        let workers = stealers.len();
        let clock = Clock::new(config.virtual_time);
        Arc::new_cyclic(|this| Self {
            id,
            this: Weak::clone(this),
            reporter: Reporter::default(),
            watchdog: config.debug.then(Watchdog::new),
            remotes: stealers.into_iter().map(|stealer| Remote::new(stealer, &config, &clock)).collect(),
            tasks: Shards::new(workers),
            clock,
            config,
            injector: Injector::new(workers),
            pinned: Mutex::new(VecDeque::new()),
            pinned_len: AtomicUsize::new(0),
            idle: Idle::new(workers),
            life: AtomicU8::new(Life::Open as u8),
            unswept: AtomicBool::new(false),
            outside: AtomicUsize::new(0),
            extensions: crate::engine::Extensions::default(),
            canary: Canary::new(),
        })
    }

    #[inline]
    pub(crate) fn workers(&self) -> usize {
        self.remotes.len()
    }

    /// SeqCst: one order with the registry's locks is all that is needed, but this is never hot.
    pub(crate) fn life(&self) -> Life {
        match self.life.load(SeqCst) {
            0 => Life::Open,
            1 => Life::Closing,
            2 => Life::Draining,
            3 => Life::Serving,
            4 => Life::ClosingAgain,
            5 => Life::DrainingAgain,
            _ => Life::Closed,
        }
    }

    pub(crate) fn set_life(&self, life: Life) {
        self.life.fetch_max(life as u8, SeqCst);
    }

    /// Whether nothing is alive, as far as `alive` counts it.
    ///
    /// The shards are looked at one after the other, and meanwhile a task in one may create another in one that was looked at before,
    /// and end. So it takes a second look, in which nothing has been listed since the first: then all were empty at once.
    pub(crate) fn is_deserted(&self, alive: impl Fn(Counts) -> Count) -> bool {
        let counts: Vec<_> = self.tasks.iter().map(|shard| alive(shard.counts())).collect();
        counts.iter().all(|count| count.len == 0)
            && self.tasks.iter().zip(&counts).all(|(shard, first)| alive(shard.counts()) == *first)
    }

    /// Whether such a task is not taken in from a thread that is none of the workers: not in the shutdown, which would have no end if others went on
    /// creating tasks. Functions on threads of extensions are a part of the runtime: clean-up may wait for what they submit.
    pub(crate) fn refuses_strangers(&self, kind: Kind) -> bool {
        self.is_closing(kind) && !self.extensions.is_thread_of_one()
    }

    /// Begins a sweep of all that is listed, by worker 0; with others, if they have nothing to do.
    pub(crate) fn begin_sweep(&self) {
        self.tasks.iter().for_each(Shard::begin_sweep);
        if self.workers() > 1 {
            // SeqCst: as a push, before the look at who sleeps.
            self.unswept.store(true, SeqCst);
            self.notify();
        }
    }

    pub(crate) fn has_unswept(&self) -> bool {
        // Relaxed: worker 0 gets to the end without any help.
        self.unswept.load(Relaxed)
    }

    /// The next few tasks of the sweep for this worker; none at the end.
    pub(crate) fn sweep_on(&self, worker: usize) -> Swept {
        let mut swept = Swept::new();
        for shard in self.tasks.to_sweep(worker) {
            shard.sweep_on(&mut swept, |kind| self.is_closing(kind));
            if swept.seen > 0 {
                return swept;
            }
        }
        self.unswept.store(false, Relaxed);
        swept
    }

    /// The addresses of the tasks that the workers run at the moment; not to be followed.
    pub(crate) fn running(&self) -> Vec<usize> {
        self.remotes.iter().filter_map(|remote| remote.running.address()).collect()
    }

    pub(crate) fn all_tasks(&self) -> Vec<TaskRef> {
        self.tasks.iter().flat_map(Shard::tasks).collect()
    }

    /// The place in `tasks` for the task with this number, which this worker creates, or a foreign thread.
    #[inline]
    pub(crate) fn place_of(&self, worker: Option<&Worker>, id: u64) -> u16 {
        self.tasks.place(worker.map_or_else(|| worker::foreign_place(self.workers()), Worker::index), id)
    }

    /// Takes a push from a thread that is none of this runtime's workers, or one for worker 0 alone.
    pub(crate) fn push_from_outside(&self, task: Notified) {
        let _stays = self.canary.watch();
        self.remotes[worker::foreign_place(self.workers())].injected.up_shared();
        if task.header().kind() == Kind::Main {
            self.push_pinned(task);
        } else {
            self.injector.push(worker::foreign_place(self.injector.places()), task);
            self.notify_and_rouse();
        }
    }

    /// As [`notify`](Self::notify), for work that is left to others altogether: a long nap is ended by it.
    pub(crate) fn notify_and_rouse(&self) {
        self.notify();
        if let Some(napper) = self.idle.rouse() {
            self.remotes[napper].parker.unpark();
        }
    }

    fn push_pinned(&self, task: Notified) {
        {
            let mut pinned = self.pinned.lock();
            pinned.push_back(task);
            // Release: pairs with the acquire in `pop_pinned`.
            self.pinned_len.store(pinned.len(), SeqCst);
        }
        self.remotes[0].parker.unpark();
    }

    #[inline]
    pub(crate) fn pop_pinned(&self) -> Option<Notified> {
        // Acquire: pairs with the store in `push_pinned`.
        if self.pinned_len.load(Acquire) == 0 {
            return None;
        }
        let mut pinned = self.pinned.lock();
        let task = pinned.pop_front();
        self.pinned_len.store(pinned.len(), SeqCst);
        task
    }

    pub(crate) fn has_pinned(&self) -> bool {
        self.pinned_len.load(SeqCst) > 0
    }

    /// Wakes a worker for work that was just pushed, if one is needed.
    #[inline]
    pub(crate) fn notify(&self) {
        if let Some(worker) = self.idle.notify() {
            self.remotes[worker].parker.unpark();
        }
    }

    /// Whether a sleeper will wake by itself by then, and look at what was pushed before this.
    pub(crate) fn is_looked_after(&self, now: u64, by: u64) -> bool {
        fence(SeqCst);
        let soon = now.saturating_sub(OVERDUE)..=by;
        // Relaxed: after the fence.
        self.remotes.iter().any(|remote| soon.contains(&remote.wakes_at.load(Relaxed)))
    }

    /// When the first timer is due that a sleeper has left to those who wake sooner than it does.
    pub(crate) fn next_left_timer(&self) -> u64 {
        self.remotes.iter().filter_map(|remote| remote.left_timer()).min().unwrap_or(u64::MAX)
    }

    /// Makes a sleeper look around: for what only the sentry sees.
    #[cold]
    pub(crate) fn call_sentry(&self) {
        if self.idle.any_asleep()
            && let Some(worker) = self.idle.lookout()
        {
            self.remotes[worker].parker.unpark();
        }
    }

    /// Wakes all workers, to look at the life of the runtime.
    pub(crate) fn unpark_all(&self) {
        self.remotes.iter().for_each(|remote| remote.parker.unpark());
    }

    /// How many entries no worker has taken over yet.
    pub(crate) fn count_injected(&self) -> usize {
        // Relaxed: for reports only.
        self.injector.len() + self.pinned_len.load(Relaxed)
    }

    /// Whether any queue holds work that any worker may do.
    pub(crate) fn has_work(&self) -> bool {
        self.has_work_besides(usize::MAX)
    }

    /// As [`has_work`](Self::has_work), but for the queue of this worker.
    pub(crate) fn has_work_besides(&self, worker: usize) -> bool {
        let has = |remote: &Remote| remote.stealer.as_ref().is_some_and(|stealer| !stealer.is_empty());
        !self.injector.is_empty()
            || self.has_unswept()
            || self.remotes.iter().enumerate().any(|(index, remote)| index != worker && has(remote))
    }

    /// When the first timer of any worker but `except` is due.
    pub(crate) fn next_timer_of_others(&self, except: usize) -> u64 {
        let others = self.remotes.iter().enumerate().filter(|(index, _)| *index != except);
        others.map(|(_, remote)| remote.timers.next()).min().unwrap_or(u64::MAX)
    }

    /// Takes the task out of a worker's last-in slot.
    #[inline]
    pub(crate) fn take_lifo(&self, worker: usize) -> Option<Notified> {
        let slot = &self.remotes[worker].lifo;
        // Relaxed: a mere look, to spare the write. AcqRel below: pairs with the swap that put it in.
        if slot.load(Relaxed).is_null() {
            return None;
        }
        let task = NonNull::new(slot.swap(std::ptr::null_mut(), AcqRel))?;
        // SAFETY: the slot is an entry of a queue: whoever swaps the pointer out has the right and the duty that was put in.
        Some(unsafe { Notified::new(task) })
    }

    /// Outside work begins; see [`outside`](Self::outside).
    pub(crate) fn outside_begins(&self) {
        // Counted for a virtual clock only: it is one line that all threads would write.
        if self.clock.is_virtual() {
            self.outside.fetch_add(1, SeqCst);
        }
    }

    pub(crate) fn outside_ends(&self) {
        if self.clock.is_virtual() && self.outside.fetch_sub(1, SeqCst) == 1 {
            self.remotes[0].parker.unpark();
        }
    }
}

impl Schedule for Shared {
    unsafe fn schedule(this: *const Self, task: Notified) {
        let mut task = Some(task);
        worker::with_current(|worker| {
            if let Some(worker) = worker
                && std::ptr::eq(Arc::as_ptr(worker.shared()), this)
            {
                task = worker.push_woken(task.take().expect("pushed once"));
            }
        });
        let Some(task) = task else { return };
        // SAFETY: alive by the caller's promise. From the push on nothing but this reference keeps it alive: the task may run and end
        // on another thread before `push_from_outside` returns.
        let shared = unsafe {
            Arc::increment_strong_count(this);
            Arc::from_raw(this)
        };
        shared.push_from_outside(task);
    }

    fn release(&self, task: TaskRef) {
        let header = task.header();
        // What a user may notice going is not kept: the values of a context, messages.
        let is_plain = header.cold_if_any().is_none() && !context::has_any(header);
        let mut task = Some(task);
        if is_plain && self.workers() > 1 && self.life() < Life::Closed {
            with_worker_of(self, |worker| {
                if let Some(worker) = worker {
                    worker.retire(task.take().expect("given once"));
                }
            });
        }
        let Some(task) = task else { return };
        let shard = self.tasks.get(task.header().shard);
        // SAFETY: inserted by its creator into this very shard, and removed once, by its completer.
        let left = unsafe { shard.remove(task.as_raw()) };
        if left == 0 && self.life() != Life::Open {
            // The shutdown waits for the last one.
            self.remotes[0].parker.unpark();
        }
    }

    fn unretrieved(&self, task: &TaskRef, error: TaskError) {
        self.reporter.unretrieved(task, error);
    }

    fn run_callbacks(&self, task: &TaskRef) {
        let shared = self.this.upgrade().expect("a worker of the runtime keeps it");
        crate::report::queue_callbacks(&shared, task);
    }

    fn is_closing(&self, kind: Kind) -> bool {
        match self.life() {
            Life::Open | Life::Serving => false,
            Life::Closing | Life::ClosingAgain => is_listed(kind),
            Life::Draining | Life::DrainingAgain | Life::Closed => true,
        }
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }
}

/// Runs `f` with the worker of this runtime that the current thread is, if it is one.
pub(crate) fn with_worker_of<R>(shared: &Shared, f: impl FnOnce(Option<&Worker>) -> R) -> R {
    worker::with_current(|worker| f(worker.filter(|worker| std::ptr::eq(Arc::as_ptr(worker.shared()), shared))))
}
