//! One worker and its loop, which is `run_until`; all else serves it. What it does when nothing is ready is in [`rest`].

pub(super) mod rest;
mod theft;

use super::injector::BATCH;
use super::park::TimerSlack;
use super::queue::{LocalQueue, Random};
use super::{Life, SENTRY_GRACE, Shared};
use crate::current::{self, Running};
use crate::loom::static_thread_local;
use crate::observe::counters::Counters;
use crate::observe::debug::Watched;
use crate::task::harness::{self, Ran};
use crate::task::registry::{Ended, SWEEP_STEP, Swept};
use crate::task::{Kind, Notified, TaskRef};
use crate::time::TimerShard;
use crossbeam_utils::CachePadded;
use rest::{Burst, Lateness, Spinning};
use runtime_timers::Key;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::Waker;
use theft::Thefts;

/// Every so many polls the injector comes before the own queue. A prime, so that it does not fall into step with
/// the program; picked out of thin air (Go and Tokio take the same).
const INJECTOR_INTERVAL: u32 = 61;
/// Every so many polls the clock is read for the own timers: 25 ns spread over as many polls.
const TIMER_INTERVAL: u32 = 16;
/// How many tasks may come out of the last-in slot in a row before the queue has its turn. Those who talk to each other find all in the cache, the next in the
/// queue perhaps not: 3 turns cost `channel/mpsc_pairs` an eighth more than 15, and 31 saved nothing that could be told from noise elsewhere.
const SLOT_TURNS: u8 = 15;
/// How often the same task may come out of the slot, with turns of the queue in between, before it goes behind what is ready: it is woken by each of these, and
/// does better to look at them all at once.
const SAME_TURNS: u8 = 3;
/// How deep eager tasks may nest on one stack.
const EAGER_DEPTH: u32 = 64;
/// Ids are taken from the process's counter in blocks of this size.
const ID_BLOCK: u64 = 64;
/// When a sleeper has to wake by itself, so that it need not be woken for what timers have made ready.
const BURST_GRACE: u64 = 2 * SENTRY_GRACE;
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
    if cfg!(loom) {
        // A model has to repeat itself, and the numbers go on.
        return 0;
    }
    let block = FOREIGN_IDS.with(|ids| {
        if ids.get().1 == 0 {
            ids.set(take_block());
        }
        ids.get().1 / ID_BLOCK
    });
    block as usize % places
}

/// Takes a number out of a block; gets another block when it is used up.
fn take_id(ids: &Cell<(u64, u64)>) -> u64 {
    let (mut next, mut end) = ids.get();
    if next == end {
        (next, end) = take_block();
    }
    ids.set((next + 1, end));
    next
}

/// The first of a block of new numbers, and the end of the block.
fn take_block() -> (u64, u64) {
    // Relaxed: only has to be unique.
    let first = NEXT_ID.fetch_add(ID_BLOCK, Relaxed);
    (first, first + ID_BLOCK)
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    index: usize,
    queue: LocalQueue,
    /// Counts tasks taken, for the intervals above.
    tick: Cell<u32>,
    /// How many tasks in a row came out of the last-in slot.
    lifo_streak: Cell<u8>,
    /// The number of the task that came out of the slot last, and how often in a row.
    lifo_last: Cell<(u64, u8)>,
    /// Whether `Idle` counts this worker as searching.
    searching: Cell<bool>,
    /// What this worker has stolen, and what that came to.
    thefts: Thefts,
    /// Tasks pushed since the last look at who sleeps; 0 when nothing is owed.
    untold: Cell<u32>,
    /// Tasks that are pushed now are told of afterwards, if at all.
    firing_quietly: Cell<bool>,
    /// The main future when it is ready, and how many tasks go before it. (Worker 0 of several only.)
    main: Cell<Option<(Notified, usize)>>,
    /// Task numbers of this worker: the next one, and the end of the block.
    ids: Cell<(u64, u64)>,
    /// How many eager tasks are on the stack.
    eager_depth: Cell<u32>,
    /// Whether to look around before the next sleep.
    spinning: Cell<Spinning>,
    /// When a timer last ended a sleep of this worker.
    timer_fired_at: Cell<u64>,
    /// What its timers have made ready last.
    burst: Cell<Burst>,
    /// Nobody was told of it, because a sleeper that wakes by itself will see it.
    burst_is_untold: Cell<bool>,
    /// How late the system has ended this worker's sleeps lately.
    lateness: Cell<Lateness>,
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
#[inline]
#[track_caller]
pub(crate) fn with_current_or_panic<R>(what: &str, f: impl FnOnce(&Worker) -> R) -> R {
    // Not inside of the closure, which would be blamed instead of the caller.
    match with_current(|worker| worker.map(f)) {
        Some(result) => result,
        None => no_runtime(what),
    }
}

#[cold]
#[track_caller]
fn no_runtime(what: &str) -> ! {
    panic!(
        "`{what}` needs a runtime, and this thread is running none: call it inside of `runtime::run` or \
         `#[runtime::main]`, or use a `Handle` (from another thread: `run_coroutine_threadsafe`)"
    )
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
            lifo_last: Cell::new((0, 0)),
            searching: Cell::new(false),
            thefts: Thefts::default(),
            untold: Cell::new(0),
            firing_quietly: Cell::new(false),
            main: Cell::new(None),
            ids: Cell::new((0, 0)),
            eager_depth: Cell::new(0),
            spinning: Cell::new(Spinning::default()),
            timer_fired_at: Cell::new(0),
            burst: Cell::new(Burst::default()),
            burst_is_untold: Cell::new(false),
            lateness: Cell::new(Lateness::default()),
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
        if is_next {
            self.burst_is_untold.set(false);
        } else {
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
                if !self.firing_quietly.get() {
                    self.notify_soon();
                }
            }
            None if self.firing_quietly.get() => {}
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
        unsafe { self.ended.unlist(&self.shared.tasks) };
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
        let Swept { seen, mut entries, others } = self.shared.sweep_on(self.index);
        // who has not had its first step is swept after it.
        let others = others.iter().filter(|task| task.header().state.has_started());
        entries.extend(others.filter_map(harness::sweep_and_take));
        self.counters().local_pushes.add(entries.len() as u64);
        entries.into_iter().for_each(|entry| self.queue.push(entry));
        if self.shared.workers() > 1 && self.queue.len() > 0 {
            self.shared.notify();
        }
        seen > 0
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
            self.shared.notify_and_rouse();
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
        if self.queue.len() > 0 && !self.burst_is_untold.get() {
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
        if streak < SLOT_TURNS
            && let Some(task) = self.shared.take_lifo(self.index)
        {
            if self.has_its_turn(&task) {
                self.lifo_streak.set(streak + 1);
                self.counters().last_in_hits.up();
                return Some(task);
            }
            self.queue.push(task);
            // Who is ready before it may run for long.
            self.shared.notify();
        }
        self.lifo_streak.set(0);
        self.queue.pop().or_else(|| {
            let task = self.shared.take_lifo(self.index)?;
            self.counters().last_in_hits.up();
            Some(task)
        })
    }

    /// Whether a task out of the last-in slot is run at once; not each time, if it is the same one again and again and others are ready.
    #[inline]
    fn has_its_turn(&self, task: &Notified) -> bool {
        let (last, times) = self.lifo_last.get();
        let id = task.header().id;
        let times = if id == last { times + 1 } else { 1 };
        let is_in_turn = times <= SAME_TURNS || self.queue.len() == 0;
        self.lifo_last.set((id, if is_in_turn { times.min(SAME_TURNS) } else { 0 }));
        is_in_turn
    }

    fn next_injected(&self) -> Option<Notified> {
        #[cfg(loom)]
        if self.searching.get() && self.burst_is_untold.get() {
            // A moment for the others: loom does not come to think of going on with one that has yielded.
            crate::loom::thread::yield_now();
        }
        if self.shared.injector.is_empty() {
            return self.pinned_of_one();
        }
        if self.shared.workers() == 1 {
            self.take_over_injected();
            return self.queue.pop();
        }
        let (task, more) = self.shared.injector.steal_batch(self.anywhere())?;
        more.for_each(|task| self.queue.push(task));
        if !self.thefts.is_any_open() {
            self.note_theft(false, None);
        }
        // That nobody needs to be told was about what timers have pushed, and not about these.
        self.burst_is_untold.set(false);
        if self.queue.len() > 0 && !self.searching.get() {
            // On their way from one queue to the other they were in none, and may have been missed. (A searcher looks when it stops.)
            self.shared.notify();
        }
        Some(task)
    }

    /// The injector's turn under full local load. One worker takes over all that is there, in its order, as there is nobody else to do so: one task each
    /// time would let a main that yields hold back a million of them for 61 million polls.
    fn injected_in_turn(&self) -> Option<Notified> {
        if self.shared.workers() > 1 {
            return self.shared.injector.steal(self.anywhere());
        }
        self.take_over_injected();
        None
    }

    /// A number that is another each time.
    fn anywhere(&self) -> usize {
        self.random.next() as usize
    }

    /// One worker: what is in the injector now goes behind what is ready. Not what comes meanwhile, or fast threads could keep it here.
    fn take_over_injected(&self) {
        let injector = &self.shared.injector;
        let end = self.queue.len() + injector.len();
        while self.queue.len() < end {
            // In batches only when there are many: else a thread that pushes is held up where it is about to be overtaken.
            if injector.len() >= 2 * BATCH
                && let Some((task, more)) = injector.steal_batch(0)
            {
                std::iter::once(task).chain(more).for_each(|task| self.queue.push(task));
            } else if let Some(task) = injector.steal(0) {
                self.queue.push(task);
            } else {
                return;
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
        if own.next().min(others) == u64::MAX && !self.burst_is_untold.get() {
            return false;
        }
        let now = self.shared.clock.now();
        let mut any = self.fire_first(now);
        if others.saturating_add(SENTRY_GRACE) <= now {
            for remote in &self.shared.remotes {
                any |= remote.timers.fire(now.saturating_sub(SENTRY_GRACE));
            }
        }
        any
    }

    /// Fires own timers, and those that sleepers have left to others. When what they make ready is likely to be soon done, nobody is woken for it, if a sleeper
    /// looks after it soon enough by itself.
    fn fire_first(&self, now: u64) -> bool {
        let quietly = self.burst.get().is_brief(now);
        if !quietly && self.burst_is_untold.replace(false) {
            self.notify_of_all();
        }
        self.firing_quietly.set(quietly);
        let mut any = self.timers().fire(now);
        if self.shared.next_left_timer() <= now {
            for remote in self.shared.remotes.iter().filter(|remote| remote.left_timer().is_some()) {
                any |= remote.timers.fire(now);
            }
        }
        self.firing_quietly.set(false);
        if any && quietly {
            self.burst_is_untold.set(self.shared.is_looked_after(now, now + BURST_GRACE));
            if !self.burst_is_untold.get() {
                self.notify_of_all();
            }
        }
        any
    }

    /// Lets it expect the next burst of timers to be brief, and find all thefts worth the trip.
    #[cfg(loom)]
    pub(crate) fn expect_a_brief_burst(&self) {
        self.burst.set(Burst::of_brief_ones());
        self.thefts.forget();
    }

    /// Tells of everything that is ready here, of which nobody may know.
    #[cold]
    fn notify_of_all(&self) {
        if self.queue.len() > 0 {
            self.shared.notify();
        }
        // SeqCst: as in `push_lifo`.
        if !self.shared.remotes[self.index].lifo.load(SeqCst).is_null() && !self.shared.idle.is_watched() {
            self.shared.call_sentry();
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
        own.or_else(slots).or_else(|| shared.injector.steal(0)).or_else(|| shared.pop_pinned()).or_else(of_others)
    }
}
