//! One worker: its loop, its search for work, its sleep. The loop is `run_until`; all else serves it.

use super::park::TimerSlack;
use super::queue::{LocalQueue, Random};
use super::{Life, Remote, SENTRY_GRACE, Shared};
use crate::current::{self, Running};
use crate::loom::static_thread_local;
use crate::observe::counters::Counters;
use crate::observe::debug::Watched;
use crate::task::harness::{self, Ran};
use crate::task::registry::{Ended, SWEEP_STEP};
use crate::task::{Kind, Notified, Schedule, TaskRef, state};
use crate::time::TimerShard;
use crossbeam_utils::CachePadded;
use runtime_timers::Key;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::task::Waker;
use std::time::Duration;

/// Every so many polls the injector comes before the own queue. A prime, so that it does not fall into step with
/// the program; picked out of thin air (Go and Tokio take the same).
const INJECTOR_INTERVAL: u32 = 61;
/// Sleeps of a worker with many timers that follow upon each other are at least this long, in nanoseconds. About what a sleep and a wake cost.
const GATHER: u64 = 50_000;
/// So many timers are many.
const MANY_TIMERS: u64 = 64;
/// Every so many polls the clock is read for the own timers: 25 ns spread over as many polls.
const TIMER_INTERVAL: u32 = 16;
/// How many tasks may come out of the last-in slot in a row before the queue has its turn.
const LIFO_STREAK: u8 = 3;
/// How deep eager tasks may nest on one stack.
const EAGER_DEPTH: u32 = 64;
/// Ids are taken from the process's counter in blocks of this size.
const ID_BLOCK: u64 = 64;
/// How long the sentry goes on looking at the last-in slots when nothing happens there, and how often it does.
const WATCH_ROUNDS: u32 = 3;
const WATCH_PERIOD: u64 = 1_000_000;
/// A poll in which nothing moves for so many spins is long enough that taking its last-in task costs nothing (about 5 µs).
const STUCK_SPINS: u32 = 150;
/// What was stolen was too small to be worth the trip if it came to at least so many polls, took less than `SMALL_STEAL` in all, and less than
/// `SMALL_POLL` per poll. A stolen task costs both sides about 300 ns in cache lines that change cores.
const SMALL_POLLS: u64 = 6;
const SMALL_STEAL: u64 = 20_000;
const SMALL_POLL: u64 = 600;
/// The same for tasks that had been polled before, if it came to no more than that so many times in a row: they are most likely talking to those that
/// stay behind, which takes them back with the next message, and both sides fight for what they talk over.
const SMALL_TALK_POLL: u64 = 5_000;
const SMALL_TALKS: u32 = 3;
/// Thefts in a row are not further apart than this.
const IN_A_ROW: u64 = 200_000;
/// How long a thief then waits before it searches again: about as long as a thread takes to wake.
const NAP: u64 = 50_000;
/// How many pushes in one poll may go by before the fence of `notify` is paid for again.
const PUSHES_PER_NOTIFY: u32 = 16;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

static_thread_local! {
    /// The numbers that a thread that is no worker gives to tasks, as `Worker::ids`.
    static FOREIGN_IDS: Cell<(u64, u64)> = Cell::new((0, 0))
}

/// A number for a task that is created by no worker.
pub(crate) fn foreign_id() -> u64 {
    FOREIGN_IDS.with(take_id)
}

/// Which of so many places this foreign thread uses at the moment: spreads threads without a counter that they share.
pub(crate) fn foreign_place(places: usize) -> usize {
    FOREIGN_IDS.with(|ids| (ids.get().1 / ID_BLOCK) as usize % places)
}

/// Takes a number out of a block; gets another block when it is used up.
fn take_id(ids: &Cell<(u64, u64)>) -> u64 {
    let (mut next, mut end) = ids.get();
    if next == end {
        // Relaxed: only has to be unique.
        next = NEXT_ID.fetch_add(ID_BLOCK, Relaxed);
        end = next + ID_BLOCK;
    }
    ids.set((next + 1, end));
    next
}

/// Something stolen.
#[derive(Clone, Copy)]
struct Theft {
    when: u64,
    /// The thief's count of polls then.
    polls: u64,
    /// How long after the one before.
    after: u64,
    /// Whether the first of the tasks had been polled before.
    of_woken: bool,
}

/// What the sentry sees in the last-in slots.
enum Slots {
    Empty,
    /// There is something in one, and its owner is at work.
    InUse,
    /// This one's owner was stuck.
    Taken(Notified),
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    index: usize,
    queue: LocalQueue,
    /// Counts tasks taken, for the intervals above.
    tick: Cell<u32>,
    /// How many tasks in a row came out of the last-in slot.
    lifo_streak: Cell<u8>,
    /// Whether `Idle` counts this worker as searching.
    searching: Cell<bool>,
    /// What this worker last stole, until it has nothing to do again.
    theft: Cell<Option<Theft>>,
    /// When the last theft was.
    last_theft: Cell<u64>,
    /// How many thefts in a row were small talk.
    small_talks: Cell<u32>,
    /// Tasks pushed since the last look at who sleeps; 0 when nothing is owed.
    untold: Cell<u32>,
    /// The main future when it is ready, and how many tasks go before it. (Worker 0 of several only.)
    main: Cell<Option<(Notified, usize)>>,
    /// Task numbers of this worker: the next one, and the end of the block.
    ids: Cell<(u64, u64)>,
    /// How many eager tasks are on the stack.
    eager_depth: Cell<u32>,
    /// When a timer last ended a sleep of this worker.
    timer_fired_at: Cell<u64>,
    /// Tasks that have ended here and are still listed.
    ended: Ended,
    /// Whether the last search came after a nap: then what was found is as small as what was found before.
    napped: Cell<bool>,
    /// What this worker has done; the same as in its `Remote`, one step nearer.
    counters: Arc<CachePadded<Counters>>,
    /// Whether polls are looked at one by one, because the configuration asks for what only that can tell.
    observing: bool,
    random: Random,
}

/// Runs `f` with the worker that this thread is, if it is one.
#[inline]
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Worker>) -> R) -> R {
    let worker = current::worker().cast::<Worker>();
    // SAFETY: set by `Worker::enter` for as long as the worker is borrowed there; the reference does not leave `f`.
    f(unsafe { worker.as_ref() })
}

/// As [`with_current`], for what cannot work elsewhere.
#[track_caller]
pub(crate) fn with_current_or_panic<R>(what: &str, f: impl FnOnce(&Worker) -> R) -> R {
    // Not inside of the closure, which would be blamed instead of the caller.
    match with_current(|worker| worker.map(f)) {
        Some(result) => result,
        None => panic!(
            "`{what}` needs a runtime, and this thread is running none: call it inside of `runtime::run` or \
             `#[runtime::main]`, or use a `Handle` (from another thread: `run_coroutine_threadsafe`)"
        ),
    }
}

/// Makes the worker before current again.
struct Left<'a> {
    before: *const (),
    /// Where others see what this thread runs.
    running: &'a Running,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.running.hide();
        current::set_worker(self.before);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.ended.is_empty() {
            self.unlist_ended();
        }
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, index: usize, queue: LocalQueue) -> Self {
        let random = Random::new(index as u64 + 1);
        let observing = shared.config.poll_times || shared.config.debug;
        Self {
            counters: Arc::clone(&shared.remotes[index].counters),
            shared,
            index,
            queue,
            tick: Cell::new(0),
            lifo_streak: Cell::new(0),
            searching: Cell::new(false),
            theft: Cell::new(None),
            last_theft: Cell::new(0),
            small_talks: Cell::new(0),
            untold: Cell::new(0),
            main: Cell::new(None),
            ids: Cell::new((0, 0)),
            eager_depth: Cell::new(0),
            timer_fired_at: Cell::new(0),
            ended: Ended::new(),
            napped: Cell::new(false),
            observing,
            random,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    #[inline]
    fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Notes that the worker goes to rest, or goes to work.
    fn set_resting(&self, resting: bool) {
        self.counters().rest.set(resting, self.shared.clock.real_now());
    }

    /// Makes this thread the worker while `f` runs.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let running = &self.shared.remotes[self.index].running;
        let _left = Left { before: current::set_worker(std::ptr::from_ref(self).cast()), running };
        running.show();
        let parker = &self.shared.remotes[self.index].parker;
        parker.adopt_thread();
        if let Some(board) = &self.shared.remotes[self.index].board {
            board.adopt_thread();
        }
        let slack = TimerSlack::finest();
        self.set_resting(false);
        let result = f();
        self.set_resting(true);
        drop(slack);
        parker.release_thread();
        result
    }

    /// The next task number.
    #[inline]
    pub(crate) fn next_id(&self) -> u64 {
        take_id(&self.ids)
    }

    // Pushing.

    /// Takes a task that was woken or created here. Gives it back if only worker 0 may run it and this is another.
    #[inline]
    pub(crate) fn push_woken(&self, task: Notified) -> Option<Notified> {
        if task.header().kind() == Kind::Main {
            return self.push_main(task);
        }
        self.counters().local_pushes.up();
        if self.shared.workers() == 1 {
            self.queue.push(task);
        } else {
            self.push_lifo(task);
        }
        None
    }

    /// Takes a task that was woken while it ran: behind everything that is ready here.
    fn push_yielded(&self, task: Notified) {
        if task.header().kind() == Kind::Main {
            if let Some(task) = self.push_main(task) {
                self.shared.push_from_outside(task);
            }
            return;
        }
        self.counters().local_pushes.up();
        // With nothing before it, it is what this worker runs next, and nobody needs to be told.
        let is_next = self.shared.workers() == 1 || self.ready() == 0;
        self.queue.push(task);
        if !is_next {
            self.shared.notify();
        }
    }

    /// How many tasks are ready in the own queue and slot.
    fn ready(&self) -> usize {
        // Relaxed: written by this worker, and emptied by the sentry, who then runs the task.
        let slot = self.shared.remotes[self.index].lifo.load(Relaxed);
        self.queue.len() + usize::from(!slot.is_null())
    }

    fn push_main(&self, task: Notified) -> Option<Notified> {
        if self.index != 0 {
            return Some(task);
        }
        self.counters().local_pushes.up();
        if self.shared.workers() == 1 {
            self.queue.push(task);
            return None;
        }
        self.main.set(Some((task, self.ready())));
        None
    }

    #[inline]
    fn push_lifo(&self, task: Notified) {
        let slot = &self.shared.remotes[self.index].lifo;
        // SeqCst: pairs with the swap that takes it out, and is before the look at `is_watched` in the one order in which the sentry announces itself
        // before it looks at the slots.
        let displaced = slot.swap(task.task().as_ptr(), SeqCst);
        match std::ptr::NonNull::new(displaced) {
            Some(displaced) => {
                // SAFETY: swapped out of the slot: its right and duty are ours.
                self.queue.push(unsafe { Notified::new(displaced) });
                self.notify_soon();
            }
            None if !self.shared.idle.is_watched() => self.shared.call_sentry(),
            None => {}
        }
    }

    /// Something was pushed while the last-in slot is in use: tells now if somebody seems to sleep, else when the poll has ended.
    ///
    /// The look has no fence, so it may miss one who is falling asleep: until the poll has ended the sentry makes up for that, who watches as long as
    /// the slot is in use. The fence at each push would be some 10 ns of a spawn.
    #[inline]
    fn notify_soon(&self) {
        let untold = self.untold.get() + 1;
        if untold == 1 || untold >= PUSHES_PER_NOTIFY || self.shared.idle.seems_to_need_a_searcher() {
            self.untold.set(1);
            self.shared.notify();
        } else {
            self.untold.set(untold);
        }
    }

    /// What `notify_soon` has left owing.
    #[inline]
    fn notify_owed(&self) {
        if self.untold.replace(0) > 1 {
            self.shared.notify();
        }
    }

    /// Arms a timer in this worker's wheel.
    #[inline]
    pub(crate) fn arm(&self, deadline: u64, waker: Waker) -> (&'static TimerShard, Key) {
        let shard = self.timers();
        let armed = shard.arm(deadline, waker);
        if armed.is_first
            && self.shared.workers() > 1
            && self.shared.idle.lookout_is_later_than(deadline.saturating_add(SENTRY_GRACE))
        {
            self.shared.call_sentry();
        }
        (shard, armed.key)
    }

    fn timers(&self) -> &'static TimerShard {
        self.shared.remotes[self.index].timers
    }

    /// Runs the first poll of a task here and now, unless eager tasks are nested too deep: then it is queued.
    pub(crate) fn run_eagerly(&self, task: Notified) {
        let depth = self.eager_depth.get();
        self.eager_depth.set(depth + 1);
        let watched = if self.observing { Watched::begin(&self.shared, self.index, task.task()) } else { None };
        let ran = harness::run_eagerly(task, &*self.shared);
        self.eager_depth.set(depth);
        if let Ran::Again(task) = ran {
            self.counters().local_pushes.up();
            self.queue.push(task);
            if self.shared.workers() > 1 {
                // Its creator is still being polled, and may be for long.
                self.shared.notify();
            }
        }
        if let Some(watched) = watched {
            watched.end();
        }
    }

    pub(crate) fn may_run_eagerly(&self) -> bool {
        self.eager_depth.get() < EAGER_DEPTH
    }

    /// A task has ended here, and is taken out of its list with others.
    #[inline]
    pub(crate) fn retire(&self, task: TaskRef) {
        if self.ended.add(task) {
            self.unlist_ended();
        }
    }

    /// Before any rest, so that nothing that has ended keeps a shutdown waiting.
    fn unlist_ended(&self) {
        // SAFETY: `Shared::release` gives tasks of this runtime, listed by their creators in the shards with these numbers.
        unsafe { self.ended.unlist(|shard| &self.shared.remotes[usize::from(shard)].tasks) };
        if self.shared.life() != Life::Open {
            // The shutdown waits for the last one.
            self.shared.remotes[0].parker.unpark();
        }
    }

    // The loop.

    /// Works until `done` says so, or until `deadline` on the runtime's clock.
    pub(crate) fn run_until(&self, deadline: u64, done: impl Fn() -> bool) {
        while !done() {
            match self.next_task() {
                Some(task) => self.run(task),
                None => self.rest(deadline, &done),
            }
            if self.is_over(deadline) {
                break;
            }
        }
        self.stop_searching();
        self.unlist_ended();
        self.hand_over();
    }

    /// Runs what is ready here, but not much more than [`sweep_some`](Self::sweep_some) makes ready at a time.
    pub(crate) fn run_some(&self, deadline: u64) {
        for _ in 0..2 * SWEEP_STEP {
            let Some(task) = self.next_task() else { return };
            self.run(task);
            if self.is_over(deadline) {
                return;
            }
        }
    }

    /// Makes the next few requests of the sweep; false when all have been made, or are being made by others.
    pub(crate) fn sweep_some(&self) -> bool {
        let mut tasks = Vec::new();
        self.shared.sweep_on(self.index, &mut tasks);
        let any = !tasks.is_empty();
        for task in tasks {
            let header = task.header();
            if !self.shared.is_closing(header.kind()) || !header.state.has_started() {
                continue;
            }
            if let Some(entry) = harness::sweep_and_take(&task) {
                self.counters().local_pushes.up();
                self.queue.push(entry);
            }
        }
        if self.shared.workers() > 1 && self.queue.len() > 0 {
            self.shared.notify();
        }
        any
    }

    /// Whether to look at what all workers share: when nothing is ready here, and now and then.
    pub(crate) fn is_time_to_look(&self) -> bool {
        self.ready() == 0 || self.tick.get().is_multiple_of(TIMER_INTERVAL)
    }

    /// Whether the deadline has passed; looked at now and then, also when there is always something to do.
    fn is_over(&self, deadline: u64) -> bool {
        deadline != u64::MAX && self.tick.get().is_multiple_of(TIMER_INTERVAL) && self.shared.clock.now() >= deadline
    }

    /// Leaving: what is ready here is for the others, who have not been told of the first in the queue, nor need have seen the slot.
    fn hand_over(&self) {
        if self.shared.workers() == 1 {
            return;
        }
        if let Some(task) = self.shared.take_lifo(self.index) {
            self.queue.push(task);
        }
        if self.queue.len() > 0 {
            self.shared.notify();
        }
    }

    #[inline]
    fn run(&self, task: Notified) {
        self.stop_searching();
        // The sentry needs no more than to see it move.
        self.counters().polls.up();
        if self.observing {
            return self.run_observed(task);
        }
        if let Ran::Again(task) = harness::run(task, &*self.shared) {
            self.push_yielded(task);
        }
        self.notify_owed();
    }

    /// As [`run`](Self::run), with a look at the clock before and after, and a note for the watchdog.
    #[cold]
    fn run_observed(&self, task: Notified) {
        let watched = Watched::begin(&self.shared, self.index, task.task());
        let start = self.shared.clock.real_now();
        let ran = harness::run(task, &*self.shared);
        if let Some(times) = &self.counters().poll_times {
            times.record(self.shared.clock.real_now() - start);
        }
        if let Ran::Again(task) = ran {
            self.push_yielded(task);
        }
        self.notify_owed();
        // Last, for it may call the exception handler.
        if let Some(watched) = watched {
            watched.end();
        }
    }

    /// A task that this worker can run without searching.
    #[inline]
    fn next_task(&self) -> Option<Notified> {
        let tick = self.tick.get().wrapping_add(1);
        self.tick.set(tick);
        if tick.is_multiple_of(TIMER_INTERVAL) {
            self.fire_timers();
        }
        if tick.is_multiple_of(INJECTOR_INTERVAL)
            && let Some(task) = self.pinned_of_one().or_else(|| self.injected_in_turn())
        {
            return Some(task);
        }
        let next = self.next_main().or_else(|| self.next_local()).or_else(|| self.next_injected());
        // Last, because what main was to wait for may have been stolen meanwhile.
        next.or_else(|| self.main.take().map(|(main, _)| main))
    }

    /// Main when it is its turn. (Worker 0 of several only.)
    #[inline]
    fn next_main(&self) -> Option<Notified> {
        if self.index != 0 || self.shared.workers() == 1 {
            return None;
        }
        if let Some(main) = self.shared.pop_pinned() {
            // Woken by others. One task goes first, or main could keep all that are here waiting.
            self.main.set(Some((main, 1)));
        }
        let (main, wait) = self.main.take()?;
        if wait > 0 && self.ready() > 0 {
            self.main.set(Some((main, wait - 1)));
            return None;
        }
        if self.queue.len() > 0 {
            // Perhaps nobody was told of the first in the queue, because it was what this worker would run next.
            self.shared.notify();
        }
        Some(main)
    }

    #[inline]
    fn next_local(&self) -> Option<Notified> {
        if self.shared.workers() == 1 {
            return self.queue.pop();
        }
        let streak = self.lifo_streak.get();
        if streak < LIFO_STREAK
            && let Some(task) = self.shared.take_lifo(self.index)
        {
            self.lifo_streak.set(streak + 1);
            self.counters().last_in_hits.up();
            return Some(task);
        }
        self.lifo_streak.set(0);
        self.queue.pop().or_else(|| {
            let task = self.shared.take_lifo(self.index)?;
            self.counters().last_in_hits.up();
            Some(task)
        })
    }

    fn next_injected(&self) -> Option<Notified> {
        if self.shared.injector.is_empty() {
            return self.pinned_of_one();
        }
        match self.queue.shared() {
            Some(queue) => {
                let task = self.shared.injector.steal_into(queue);
                if task.is_some() && self.theft.get().is_none() {
                    self.note_theft(false);
                }
                if self.queue.len() > 0 && !self.searching.get() {
                    // On their way from one queue to the other they were in none, and may have been missed. (A searcher looks when it stops.)
                    self.shared.notify();
                }
                task
            }
            None => {
                self.take_over_injected();
                self.queue.pop()
            }
        }
    }

    /// The injector's turn under full local load. One worker takes over all that is there, in its order, as there is nobody else to do so: one task each
    /// time would let a main that yields hold back a million of them for 61 million polls.
    fn injected_in_turn(&self) -> Option<Notified> {
        if self.shared.workers() > 1 {
            return self.shared.injector.steal();
        }
        self.take_over_injected();
        None
    }

    /// One worker: what is in the injector now goes behind what is ready. Not what comes meanwhile, or fast threads could keep it here.
    fn take_over_injected(&self) {
        for _ in 0..self.shared.injector.len() {
            match self.shared.injector.steal() {
                Some(task) => self.queue.push(task),
                None => return,
            }
        }
    }

    /// The main future woken from outside, where there is but one worker.
    fn pinned_of_one(&self) -> Option<Notified> {
        if self.shared.workers() == 1 { self.shared.pop_pinned() } else { None }
    }

    /// Fires own timers that are due; with several workers, also those of owners who are late.
    fn fire_timers(&self) -> bool {
        let own = self.timers();
        if self.shared.workers() == 1 {
            return own.next() != u64::MAX && own.fire_callbacks_first(self.shared.clock.now());
        }
        let others = self.shared.next_timer_of_others(self.index);
        if own.next().min(others) == u64::MAX {
            return false;
        }
        let now = self.shared.clock.now();
        let mut any = own.fire(now);
        if others.saturating_add(SENTRY_GRACE) <= now {
            for remote in &self.shared.remotes {
                any |= remote.timers.fire(now.saturating_sub(SENTRY_GRACE));
            }
        }
        any
    }

    // Searching and sleeping.

    /// Nothing is ready here: searches elsewhere, then sleeps.
    fn rest(&self, deadline: u64, done: &impl Fn() -> bool) {
        if self.shared.workers() == 1 {
            return self.rest_alone(deadline, done);
        }
        if !self.ended.is_empty() {
            self.unlist_ended();
            if done() {
                return;
            }
        }
        if self.shared.has_unswept() && self.sweep_some() {
            return;
        }
        if !self.searching.get() {
            self.searching.set(self.shared.idle.begin_search());
            if self.searching.get() {
                self.counters().searches.up();
            }
        }
        if self.stole_little() && self.searching.get() {
            self.nap();
            self.napped.set(true);
            // Everything is looked at again, the injector too, before this comes back.
            return;
        }
        if self.searching.get()
            && let Some(task) = self.steal()
        {
            return self.run(task);
        }
        if !self.fire_timers() {
            self.sleep(deadline, done);
        }
    }

    /// The searcher has found work, or gives up looking because it stops altogether.
    #[inline]
    fn stop_searching(&self) {
        if !self.searching.replace(false) {
            return;
        }
        let napped = self.napped.replace(false);
        if self.shared.idle.end_search() && self.shared.has_work() {
            // The last searcher passes the duty on: at once, or, for work that was too small for two before, to the sentry, who comes if this worker
            // does not get done with it within a millisecond.
            match napped {
                false => self.shared.notify(),
                true if !self.shared.idle.is_watched() => self.shared.call_sentry(),
                true => {}
            }
        }
    }

    /// Whether what was last stolen, all of which has been done, was too small to be worth it. Asked once per theft.
    fn stole_little(&self) -> bool {
        let Some(theft) = self.theft.take() else { return false };
        let polls = self.counters().polls.get().wrapping_sub(theft.polls);
        if polls < SMALL_POLLS && !theft.of_woken {
            return false;
        }
        let took = self.shared.clock.now() - theft.when;
        let is_small = took < SMALL_STEAL;
        let is_talk = is_small && theft.of_woken && took < SMALL_TALK_POLL * polls;
        let before = if theft.after < IN_A_ROW { self.small_talks.get() } else { 0 };
        self.small_talks.set(if is_talk { before + 1 } else { 0 });
        is_small && polls >= SMALL_POLLS && took < SMALL_POLL * polls || self.small_talks.get() >= SMALL_TALKS
    }

    /// A pause between thefts: the others' tasks are so small that they are done sooner where they are. Meanwhile this worker counts as searching, so
    /// nobody else is woken for what is pushed, and it looks at all queues afterwards; so what is behind a poll that never ends waits for a nap longer.
    fn nap(&self) {
        let now = self.shared.clock.now();
        let wake_at = self.timers().next().min(now + NAP);
        if wake_at > now {
            self.shared.remotes[self.index].parker.park_timeout(Some(Duration::from_nanos(wake_at - now)));
        }
    }

    fn note_theft(&self, of_woken: bool) {
        let (when, polls) = (self.shared.clock.now(), self.counters().polls.get());
        let after = when.saturating_sub(self.last_theft.replace(when));
        self.theft.set(Some(Theft { when, polls, after, of_woken }));
    }

    fn steal(&self) -> Option<Notified> {
        let queue = self.queue.shared()?;
        let workers = self.shared.workers();
        let start = self.random.below(workers);
        (0..workers).map(|step| (start + step) % workers).filter(|victim| *victim != self.index).find_map(|victim| {
            let remote = &self.shared.remotes[victim];
            let had = queue.len();
            let task = remote.stealer.as_ref()?.steal_into(queue)?;
            self.count_stolen(1 + queue.len().saturating_sub(had));
            self.note_theft(task.header().state.load().has(state::STARTED));
            Some(task)
        })
    }

    fn count_stolen(&self, entries: usize) {
        self.counters().steals.up();
        self.counters().stolen.add(entries as u64);
    }

    /// Whether there is a reason not to sleep. Looked at after `fall_asleep`, whose fence makes this complete.
    fn must_not_sleep(&self, done: &impl Fn() -> bool) -> bool {
        done()
            || self.shared.has_work()
            || self.index == 0 && self.shared.has_pinned()
            || self.index != 0 && self.shared.life() == Life::Closed
    }

    fn sleep(&self, deadline: u64, done: &impl Fn() -> bool) {
        let idle = &self.shared.idle;
        let asleep = idle.fall_asleep(self.index, self.searching.replace(false));
        let mut sentry = asleep.sentry;
        let mut rounds = 0;
        let mut found = None;
        while !self.must_not_sleep(done) {
            let mut wake_at = self.timers().next().min(deadline);
            if sentry {
                wake_at = self.announce(wake_at, rounds);
                // After the announcement, on account of which others may have kept silent: queues and slots once more.
                if self.shared.has_work() {
                    break;
                }
                match self.look_at_slots() {
                    Slots::Empty => {}
                    Slots::Taken(task) => {
                        found = Some(task);
                        break;
                    }
                    Slots::InUse if rounds > 0 => {}
                    Slots::InUse => {
                        // Not to be left alone: its owner may be getting stuck just now.
                        rounds = WATCH_ROUNDS;
                        continue;
                    }
                }
            }
            let timed_out = !self.park_until(wake_at);
            if !idle.is_asleep(self.index) {
                break;
            }
            let now = self.shared.clock.now();
            if self.timers().next() <= now || now >= deadline {
                break;
            }
            if !sentry {
                sentry = idle.take_post(self.index);
            }
            rounds = if timed_out { rounds.saturating_sub(1) } else { WATCH_ROUNDS };
            if sentry && self.shared.next_timer_of_others(self.index).saturating_add(SENTRY_GRACE) <= now {
                break;
            }
        }
        let work = self.shared.has_work();
        if !idle.wake_self(self.index, work) || work {
            self.searching.set(true);
        }
        if sentry {
            self.leave_post();
        } else {
            self.pass_the_call_on();
        }
        match found {
            Some(task) => self.run(task),
            None => {
                self.fire_timers();
            }
        }
    }

    /// As the sentry: says when it looks next.
    fn announce(&self, own: u64, rounds: u32) -> u64 {
        let others = self.shared.next_timer_of_others(self.index).saturating_add(SENTRY_GRACE);
        let watch = if rounds > 0 { self.shared.clock.now() + WATCH_PERIOD } else { u64::MAX };
        let at = own.min(others).min(watch);
        self.shared.idle.announce_lookout(at, rounds > 0);
        // Timers armed before the announcement became visible.
        at.min(self.shared.next_timer_of_others(self.index).saturating_add(SENTRY_GRACE))
    }

    /// As the sentry: takes the last-in task of a worker that is stuck in a poll.
    fn look_at_slots(&self) -> Slots {
        let mut slots = Slots::Empty;
        for (index, remote) in self.shared.remotes.iter().enumerate() {
            if index == self.index || remote.lifo.load(Relaxed).is_null() {
                continue;
            }
            let polls = remote.counters.polls.get();
            for _ in 0..STUCK_SPINS {
                std::hint::spin_loop();
            }
            if remote.counters.polls.get() == polls
                && let Some(task) = self.shared.take_lifo(index)
            {
                self.count_stolen(1);
                return Slots::Taken(task);
            }
            slots = Slots::InUse;
        }
        slots
    }

    /// No longer the sentry. Whoever kept silent because of this one's announcement has to be looked after by another, also by one
    /// who has the post by now: what this one announced last may have stood over that one's announcement.
    fn leave_post(&self) {
        self.shared.idle.announce_lookout(u64::MAX, false);
        let waits = |remote: &Remote| remote.timers.next() != u64::MAX || !remote.lifo.load(Relaxed).is_null();
        if self.shared.remotes.iter().any(|remote| waits(remote)) {
            self.shared.call_sentry();
        }
    }

    /// No longer asleep, and not the sentry: may have been called to become it (`call_sentry`) at the moment in which it was woken for
    /// something else. Then another sleeper has to come instead.
    fn pass_the_call_on(&self) {
        let idle = &self.shared.idle;
        let waits = |remote: &Remote| {
            !remote.lifo.load(Relaxed).is_null() && !idle.is_watched()
                || remote.timers.next() != u64::MAX
                    && idle.lookout_is_later_than(remote.timers.next().saturating_add(SENTRY_GRACE))
        };
        if idle.any_asleep() && self.shared.remotes.iter().any(|remote| waits(remote)) {
            self.shared.call_sentry();
        }
    }

    /// Parks until a moment in real time; true if somebody ended it, false when the time was up.
    fn park_until(&self, wake_at: u64) -> bool {
        let clock = &self.shared.clock;
        let counters = self.counters();
        let now = clock.real_now();
        if wake_at <= now {
            self.timer_fired_at.set(now);
            return false;
        }
        let span = (wake_at != u64::MAX).then(|| Duration::from_nanos(self.gather_timers(now, wake_at - now)));
        counters.rest.set(true, now);
        self.shared.remotes[self.index].parker.park_timeout(span);
        let then = clock.real_now();
        counters.rest.set(false, then);
        counters.parks.up();
        let woken = then < wake_at;
        if woken {
            counters.wakes.up();
        } else {
            self.timer_fired_at.set(then);
        }
        woken
    }

    /// How long to sleep until a timer: a little longer if the last one has only just ended a sleep and there are many, so that one sleep does for
    /// several. (Measured on 100,000 sleeps that end 2 µs apart: see docs/performance.md.)
    fn gather_timers(&self, now: u64, span: u64) -> u64 {
        let dense = now.saturating_sub(self.timer_fired_at.get()) < GATHER && self.timers().pending() >= MANY_TIMERS;
        if dense { span.max(GATHER) } else { span }
    }

    /// Sleeping without colleagues: the injector, the timers, or the end.
    fn rest_alone(&self, deadline: u64, done: &impl Fn() -> bool) {
        let next = self.timers().next().min(deadline);
        if self.shared.clock.is_virtual() && next != u64::MAX && self.shared.outside.load(Acquire) == 0 {
            self.shared.clock.advance_to(next);
            // Nothing fires if it was the deadline of a timer that has been cancelled: then the next one is looked up.
            self.fire_timers();
            return;
        }
        if self.fire_timers() {
            return;
        }
        let _ = self.shared.idle.fall_asleep(self.index, false);
        if !self.must_not_sleep(done) {
            let wake_at = if self.shared.clock.is_virtual() { u64::MAX } else { next };
            self.park_until(wake_at);
        }
        if !self.shared.idle.wake_self(self.index, false) {
            // With one worker nobody needs to know who searches.
            let _ = self.shared.idle.end_search();
        }
    }

    /// Takes what is queued anywhere, in no order: for the end of the runtime.
    pub(crate) fn take_any(&self) -> Option<Notified> {
        let shared = &self.shared;
        let of_others = || {
            let queue = self.queue.shared()?;
            shared.remotes.iter().find_map(|remote| remote.stealer.as_ref()?.steal_into(queue))
        };
        let slots = || (0..shared.workers()).find_map(|worker| shared.take_lifo(worker));
        let main = self.main.take().map(|(task, _)| task);
        let own = main.or_else(|| self.queue.pop());
        own.or_else(slots).or_else(|| shared.injector.steal()).or_else(|| shared.pop_pinned()).or_else(of_others)
    }
}
