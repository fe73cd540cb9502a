//! The blocking pool: a queue of jobs, and the threads that run them.
//!
//! # The contract
//!
//! Jobs wait in one crossbeam channel, first come, first served. A thread is
//!
//! * **busy**: it runs a job. When that ends it takes the next one without asking anybody;
//! * a **watcher**: it looks at the queue now and takes what it finds; one of them spins for a moment when there is nothing. Threads
//!   that are starting or have been woken count from the moment at which somebody decided on them;
//! * **idle**: it sleeps in the stack of the crew, and ends after the keep-alive. One of the idle may stand as **sentry**: it looks at the queue every
//!   so often, without taking anything as long as the busy ones get on well.
//!
//! Whoever adds a job *summons* a thread (the idle one that slept last, or else a new one) unless a watcher or a sentry has the queue
//! **covered**. So does a watcher that leaves with a job, if it leaves an uncovered queue with more jobs behind.
//! A summoned thread takes a job, and so summons the next: jobs that block get threads in a chain, one by one, up to the limit, each as fast as a
//! thread starts. But if, by the time it has come, the busy ones have finished so many jobs that one more thread would be
//! of no use ([`Look::goes_well`]), it stands sentry instead: a burst of tiny jobs is run by one or two threads.
//!
//! * **(P1)** A queue with jobs in it is covered, or somebody holds or awaits the lock of the crew to summon, or there is no thread
//!   to be had: the limit is reached, or the system refuses.
//! * **(P2)** `cover` leaves zero and returns to it under the lock of the crew, with two exceptions. A busy thread may become a watcher
//!   at any time, also when all that is left of its job is to tell of its end, which does not block. And a watcher that has taken a
//!   job leaves at any time, and then looks after (P1) itself.
//! * **(P3)** Jobs are run and dropped, and threads woken, with no lock held.
//!
//! The interleaving to fear: a job is added while the last watcher goes. Adding is *send, fence, look at `cover`*; going is *lower `cover`,
//! fence, look at the queue*. One of the two sees the other.

use crate::loom::atomic::{AtomicBool, AtomicUsize, fence};
use crate::loom::{self, JoinHandle, Mutex, MutexGuard, Receiver, Sender, Thread, now, unbounded};
use crossbeam_utils::CachePadded;
use runtime_core::{Extension, Handle, Metrics};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// How long a watcher spins at an empty queue: longer than a worker takes to be woken and to send the next job.
const SPIN: Duration = Duration::from_micros(50);
/// How often a sentry looks at first; doubled, up to the second figure, while all goes well. Below the first, timer slack
/// makes it longer anyway; the second is the longest that a job waits behind ones that began to block after a good run.
const SENTRY_PERIOD: Duration = Duration::from_micros(100);
const SENTRY_PERIOD_MAX: Duration = Duration::from_micros(800);
/// Jobs that end at this rate need no more threads: starting one costs as much as a handful of them.
const FAST_RATE: Duration = Duration::from_micros(8);
/// Jobs that take no longer than this hardly block: threads beyond the number of cores do not help.
const SHORT_JOB: Duration = Duration::from_micros(50);
/// Set in `cover` while a sentry is posted; the bits below count watchers.
const SENTRY: usize = 1 << (usize::BITS - 1);

thread_local! {
    /// The pool that this thread is one of.
    static SERVES: Cell<Option<u64>> = const { Cell::new(None) };
}

/// How many threads can run at once.
static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));

/// Whether spinning makes sense: on one core it only holds back the one that is waited for.
pub(crate) fn may_spin() -> bool {
    !cfg!(loom) && *CORES > 1
}

/// How many threads may spin beside the workers.
pub(crate) fn most_spinners() -> usize {
    *CORES / 2
}

/// How the blocking pool of a runtime is to be; see [`configure`].
///
/// # Examples
///
/// ```
/// use runtime_bridge::BlockingConfig;
/// use std::time::Duration;
///
/// let config = BlockingConfig { max_threads: 4, ..BlockingConfig::default() };
/// assert_eq!(config.keep_alive, Duration::from_secs(10));
/// assert_eq!(BlockingConfig::default().max_threads, 512);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockingConfig {
    /// How many functions may run at once. Zero counts as one.
    pub max_threads: usize,
    /// How long a thread without work is kept.
    pub keep_alive: Duration,
    /// What the names of the threads begin with; a number follows. NUL characters are left out.
    pub thread_name: String,
    /// The stack size of the threads, in bytes; `None` is the standard library's.
    pub thread_stack_size: Option<usize>,
    /// How long the end of the runtime waits for functions that still run; `None` is without limit.
    pub close_timeout: Option<Duration>,
}

impl Default for BlockingConfig {
    fn default() -> Self {
        Self {
            max_threads: 512,
            keep_alive: Duration::from_secs(10),
            thread_name: String::from("blocking"),
            thread_stack_size: None,
            close_timeout: Some(Duration::from_secs(300)),
        }
    }
}

/// Sets up the blocking pool of a runtime, before its first use. No thread is created yet.
///
/// False if the pool was there already, set up before or in use: it stays as it is.
///
/// # Examples
///
/// ```
/// use runtime_bridge::{BlockingConfig, configure, to_thread};
/// use runtime_core::{Config, Engine};
///
/// let engine = Engine::new(Config { workers: 1, ..Config::default() }).unwrap();
/// let config = BlockingConfig { thread_name: "files".into(), ..BlockingConfig::default() };
/// assert!(configure(&engine.handle(), config));
/// let name = engine.run(async { to_thread(|| std::thread::current().name().map(String::from)).await.unwrap() });
/// assert_eq!(name.unwrap().unwrap(), "files-1");
/// assert!(!configure(&engine.handle(), BlockingConfig::default()), "too late");
/// engine.close();
/// ```
pub fn configure(handle: &Handle, config: BlockingConfig) -> bool {
    let made = Pool::new(config);
    let serial = made.serial;
    handle.extension(|| Attached(made)).0.serial == serial
}

/// The pool of a runtime.
pub(crate) fn of(handle: &Handle) -> Arc<Pool> {
    Arc::clone(&handle.extension(|| Attached(Pool::new(BlockingConfig::default()))).0)
}

/// Work for a thread of the pool. Neither method panics.
pub(crate) trait Job: Send {
    /// Does it.
    fn run(self: Box<Self>, shift: &Shift<'_>);

    /// Ends it undone.
    fn refuse(self: Box<Self>, why: &Refusal<'_>);
}

/// A thread's time with one job.
pub(crate) struct Shift<'a> {
    pool: &'a Pool,
    /// Whether the thread is a watcher already.
    is_over: Cell<bool>,
}

impl Shift<'_> {
    /// Called when nothing is left to do but to tell somebody of the end. Who is told often comes back with the next job at once, and
    /// perhaps on this very core, before this thread runs on: it is a watcher from here on, so that no other one is woken for that job.
    pub(crate) fn end(&self) {
        if !self.is_over.get() && self.pool.jobs.is_empty() {
            self.is_over.set(true);
            self.pool.begin_watch();
        }
    }
}

/// Why a job is not done.
pub(crate) enum Refusal<'a> {
    /// The runtime is closed.
    Closed,
    /// There is no thread, and none can be created.
    NoThread(&'a io::Error),
}

/// The pool as the runtime holds it.
struct Attached(Arc<Pool>);

/// A blocking pool; its threads share it with the runtime.
pub(crate) struct Pool {
    /// Tells pools apart.
    serial: u64,
    config: BlockingConfig,
    /// The way into the queue.
    sender: Sender<Box<dyn Job>>,
    /// The queue.
    jobs: Receiver<Box<dyn Job>>,
    /// Who will look at the queue without being told: the number of watchers, and `SENTRY`.
    cover: CachePadded<AtomicUsize>,
    /// Counts the jobs that have ended.
    finished: CachePadded<AtomicUsize>,
    /// Whether a watcher spins: one is enough.
    spinning: AtomicBool,
    /// No job is taken in or begun any more.
    closed: AtomicBool,
    crew: Mutex<Crew>,
}

/// The threads of a pool.
#[derive(Default)]
struct Crew {
    /// How many there are, whatever they do; one that ends is gone from here when it has nothing left to do.
    threads: usize,
    /// The number of the last one created.
    last_number: u64,
    /// Those that sleep; the last one slept the shortest, and is the first to be summoned.
    idle: Vec<Arc<Bunk>>,
    /// The number of the idle one that stands sentry.
    sentry: Option<u64>,
    /// The state of things at the last summons.
    last_look: Option<Look>,
    /// To wait for the ends of the threads.
    handles: BTreeMap<u64, JoinHandle<()>>,
    /// The thread that ended last by its keep-alive; the next one to end waits for it, so that none is left behind.
    ended: Option<JoinHandle<()>>,
    /// Called when the last thread of a closed pool ends.
    on_empty: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// Where a thread sleeps.
struct Bunk {
    number: u64,
    thread: Thread,
    /// Set by whoever takes it out of the stack, under the lock of the crew.
    summoned: AtomicBool,
}

/// A moment in the life of the pool, to see whether it gets on since then.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    /// How many jobs had ended.
    finished: usize,
}

impl Look {
    /// Whether the threads at work have done so much since then that another one would be of no use.
    fn goes_well(&self, now: Look, busy: usize) -> bool {
        let finished = u32::try_from(now.finished.wrapping_sub(self.finished)).unwrap_or(u32::MAX);
        let passed = now.at.saturating_duration_since(self.at);
        let busy_cores = busy >= *CORES;
        let busy = u32::try_from(busy).unwrap_or(u32::MAX);
        finished > 0
            && (passed <= FAST_RATE.saturating_mul(finished)
                || busy_cores && passed.saturating_mul(busy) <= SHORT_JOB.saturating_mul(finished))
    }
}

/// What a watcher has come to.
enum Watched {
    /// It has a job, and is no watcher any more.
    Job(Box<dyn Job>),
    /// There is nothing to do.
    Nothing,
    /// There are jobs, and the others get on well with them; as of this look.
    NotNeeded(Look),
    /// The pool is closed.
    Closed,
}

/// What an idle thread has come to.
enum Rested {
    /// It is a watcher, summoned at this look if there is one.
    Up(Option<Look>),
    /// It is not counted any more, and ends.
    Ended,
}

/// The post of a sentry.
struct Post {
    since: Look,
    period: Duration,
}

impl Pool {
    pub(crate) fn new(config: BlockingConfig) -> Arc<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let (sender, jobs) = unbounded();
        Arc::new(Self {
            // Relaxed: only has to be unique.
            serial: SERIAL.fetch_add(1, Relaxed),
            config: BlockingConfig {
                max_threads: config.max_threads.max(1),
                // A thread cannot be given a name with a NUL in it.
                thread_name: config.thread_name.replace('\0', ""),
                ..config
            },
            sender,
            jobs,
            cover: CachePadded::new(AtomicUsize::new(0)),
            finished: CachePadded::new(AtomicUsize::new(0)),
            spinning: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            crew: Mutex::new(Crew::default()),
        })
    }

    /// Takes in a job: it is run or refused, sooner or later.
    pub(crate) fn submit(self: &Arc<Self>, job: Box<dyn Job>) {
        if self.is_closed() {
            return job.refuse(&Refusal::Closed);
        }
        self.sender.send(job).unwrap_or_else(|_| unreachable!("the pool holds a receiver"));
        // Pairs with the fences in `lie_down`, `take_job` and `close`: they see the job, or this sees what they wrote.
        fence(SeqCst);
        if self.is_closed() {
            self.refuse_queued(&Refusal::Closed);
        } else if self.cover.load(Relaxed) == 0 {
            self.summon();
        }
    }

    fn is_closed(&self) -> bool {
        // Relaxed: ordered by the fences in `submit` and `close`; the threads learn of it by the lock of the crew at the latest.
        self.closed.load(Relaxed)
    }

    fn refuse_queued(&self, why: &Refusal<'_>) {
        while let Ok(job) = self.jobs.try_recv() {
            job.refuse(why);
        }
    }

    fn look(&self) -> Look {
        // Relaxed: an estimate.
        Look { at: now(), finished: self.finished.load(Relaxed) }
    }

    /// Sees to it that a thread comes for the queue.
    #[cold]
    fn summon(self: &Arc<Self>) {
        let look = self.look();
        let mut crew = self.crew.lock();
        // SeqCst: pairs with the fence in `submit`, of those who find it covered from here on.
        if self.is_closed() || self.jobs.is_empty() || self.cover.compare_exchange(0, 1, SeqCst, Relaxed).is_err() {
            return;
        }
        if let Some(bunk) = crew.idle.pop() {
            crew.last_look = Some(look);
            // Relaxed: read under the lock of the crew.
            bunk.summoned.store(true, Relaxed);
            drop(crew);
            return bunk.thread.unpark();
        }
        if crew.threads < self.config.max_threads {
            let Err(error) = self.create_thread(&mut crew, look) else { return };
            self.cover.fetch_sub(1, SeqCst);
            if crew.threads == 0 {
                drop(crew);
                // Also the jobs of others, who had found the queue covered by the thread that did not come.
                self.refuse_queued(&Refusal::NoThread(&error));
            }
            return;
        }
        self.cover.fetch_sub(1, SeqCst);
    }

    fn create_thread(self: &Arc<Self>, crew: &mut Crew, look: Look) -> io::Result<()> {
        let number = crew.last_number + 1;
        let name = format!("{}-{number}", self.config.thread_name);
        let pool = Arc::clone(self);
        let handle = loom::spawn(name, self.config.thread_stack_size, move || pool.serve(number, look))?;
        crew.last_number = number;
        crew.threads += 1;
        crew.handles.insert(number, handle);
        Ok(())
    }

    /// The life of a thread, which begins as a watcher.
    fn serve(self: Arc<Self>, number: u64, look: Look) {
        SERVES.set(Some(self.serial));
        let bunk = Arc::new(Bunk { number, thread: loom::current(), summoned: AtomicBool::new(false) });
        let mut summoned = Some(look);
        loop {
            let rested = match self.watch(summoned.take()) {
                Watched::Job(job) => {
                    self.work(job);
                    continue;
                }
                Watched::Nothing => self.rest(&bunk, None),
                Watched::NotNeeded(since) => self.rest(&bunk, Some(Post { since, period: SENTRY_PERIOD })),
                Watched::Closed => return self.end_closed(),
            };
            match rested {
                Rested::Up(look) => summoned = look,
                Rested::Ended => return,
            }
        }
    }

    /// Busy: runs this job and all it finds after it; then it is a watcher.
    fn work(&self, job: Box<dyn Job>) {
        let mut next = Some(job);
        while let Some(job) = next {
            let shift = Shift { pool: self, is_over: Cell::new(false) };
            job.run(&shift);
            // Relaxed: an estimate.
            self.finished.fetch_add(1, Relaxed);
            if shift.is_over.get() {
                return;
            }
            next = if self.is_closed() { None } else { self.jobs.try_recv().ok() };
        }
        self.begin_watch();
    }

    fn begin_watch(&self) {
        // SeqCst: pairs with the fence in `submit`, of those who find the queue covered from here on.
        self.cover.fetch_add(1, SeqCst);
    }

    /// A watcher looks at the queue, and spins there for a moment.
    fn watch(self: &Arc<Self>, summoned: Option<Look>) -> Watched {
        if self.is_closed() {
            return Watched::Closed;
        }
        if let Some(since) = summoned
            && !self.jobs.is_empty()
        {
            let now = self.look();
            if since.goes_well(now, self.crew.lock().busy()) {
                return Watched::NotNeeded(now);
            }
        }
        match self.take_job().or_else(|| self.spin()) {
            Some(job) => Watched::Job(job),
            None => Watched::Nothing,
        }
    }

    /// Takes a job, and leaves the watch with it.
    fn take_job(self: &Arc<Self>) -> Option<Box<dyn Job>> {
        let job = self.jobs.try_recv().ok()?;
        let before = self.cover.fetch_sub(1, SeqCst);
        // Pairs with the fence in `submit`.
        fence(SeqCst);
        if before == 1 && !self.jobs.is_empty() {
            // (P1) before the job, which may block.
            self.summon();
        }
        Some(job)
    }

    fn spin(self: &Arc<Self>) -> Option<Box<dyn Job>> {
        // Acquire and release: nothing depends on it but the number of spinners.
        if !may_spin() || self.spinning.swap(true, Acquire) {
            return None;
        }
        let end = now() + SPIN;
        let mut job = None;
        while job.is_none() && now() < end && !self.is_closed() {
            for _ in 0..8 {
                std::hint::spin_loop();
            }
            if !self.jobs.is_empty() {
                job = self.take_job();
            }
        }
        self.spinning.store(false, Release);
        job
    }

    /// Sleeps until it is summoned, or for as long as it is kept; with a post, as sentry at first.
    fn rest(&self, bunk: &Arc<Bunk>, mut post: Option<Post>) -> Rested {
        if !self.lie_down(bunk, &mut post) {
            return Rested::Up(None);
        }
        // A moment that the clock cannot name is never.
        let kept_until = now().checked_add(self.config.keep_alive);
        loop {
            let left = kept_until.map(|until| until.saturating_duration_since(now()));
            match post.as_ref().map(|post| post.period).or(left) {
                Some(time) => loom::park_timeout(time),
                None => loom::park(),
            }
            let is_over = kept_until.is_some_and(|until| until <= now());
            if let Some(rested) = self.look_up(bunk, &mut post, is_over) {
                return rested;
            }
        }
    }

    /// A watcher gets into its bunk, as sentry if there is none yet. False if there are uncovered jobs: then it stays a watcher.
    fn lie_down(&self, bunk: &Arc<Bunk>, post: &mut Option<Post>) -> bool {
        let mut crew = self.crew.lock();
        if crew.sentry.is_some() && post.take().is_none() {
            // Nothing was left to watch: the sentry is relieved.
            self.unpost(&mut crew);
        }
        if post.is_some() {
            crew.sentry = Some(bunk.number);
            // SeqCst: as in `work`. Posted before the watch ends, so that the queue is covered all the time.
            self.cover.fetch_or(SENTRY, SeqCst);
        }
        self.cover.fetch_sub(1, SeqCst);
        // Pairs with the fence in `submit`.
        fence(SeqCst);
        if self.is_closed() || self.cover.load(Relaxed) == 0 && !self.jobs.is_empty() {
            self.unpost_if(&mut crew, bunk);
            self.cover.fetch_add(1, SeqCst);
            return false;
        }
        crew.idle.push(Arc::clone(bunk));
        true
    }

    fn unpost(&self, crew: &mut Crew) {
        crew.sentry = None;
        self.cover.fetch_and(!SENTRY, SeqCst);
    }

    /// Takes this thread from the post of the sentry, if it stands there.
    fn unpost_if(&self, crew: &mut Crew, bunk: &Bunk) {
        if crew.sentry == Some(bunk.number) {
            self.unpost(crew);
        }
    }

    /// An idle thread is awake for a moment: decides what it is now. `None`: it sleeps on.
    fn look_up(&self, bunk: &Arc<Bunk>, post: &mut Option<Post>, is_over: bool) -> Option<Rested> {
        let mut crew = self.crew.lock();
        // Relaxed: under the lock of the crew.
        if bunk.summoned.swap(false, Relaxed) {
            return Some(Rested::Up(crew.last_look));
        }
        if crew.sentry != Some(bunk.number) {
            *post = None;
            return is_over.then(|| self.end_idle(crew, bunk));
        }
        let post_now = post.as_mut()?;
        if self.jobs.is_empty() {
            self.unpost(&mut crew);
            // Pairs with the fence in `submit`.
            fence(SeqCst);
            if self.jobs.is_empty() {
                *post = None;
                return None;
            }
        }
        let now = self.look();
        if post_now.since.goes_well(now, crew.busy()) {
            self.repost(&mut crew, bunk);
            *post_now = Post { since: now, period: (post_now.period * 2).min(SENTRY_PERIOD_MAX) };
            return None;
        }
        self.get_up(crew, bunk);
        Some(Rested::Up(None))
    }

    /// Makes the idle thread sentry, if it is not.
    fn repost(&self, crew: &mut Crew, bunk: &Bunk) {
        crew.sentry = Some(bunk.number);
        self.cover.fetch_or(SENTRY, SeqCst);
    }

    /// An idle thread becomes a watcher by itself.
    fn get_up(&self, mut crew: MutexGuard<'_, Crew>, bunk: &Bunk) {
        crew.idle.retain(|other| other.number != bunk.number);
        self.cover.fetch_add(1, SeqCst);
        self.unpost_if(&mut crew, bunk);
    }

    /// The time of an idle thread is over. The thread that ended before it is waited for, so that none is left behind.
    fn end_idle(&self, mut crew: MutexGuard<'_, Crew>, bunk: &Bunk) -> Rested {
        // What is in the queue now has been summoned for, or will be by somebody who waits for this lock: he will not find
        // this thread, and creates another one if need be. Better to stay.
        if !self.jobs.is_empty() {
            self.get_up(crew, bunk);
            return Rested::Up(None);
        }
        crew.idle.retain(|other| other.number != bunk.number);
        crew.threads -= 1;
        let mine = crew.handles.remove(&bunk.number);
        let before = std::mem::replace(&mut crew.ended, mine);
        drop(crew);
        join(before);
        Rested::Ended
    }

    /// A watcher of a closed pool ends. Its handle stays for the runtime, which waits for it.
    fn end_closed(&self) {
        let mut crew = self.crew.lock();
        self.cover.fetch_sub(1, SeqCst);
        crew.threads -= 1;
        let on_empty = if crew.threads == 0 { crew.on_empty.take() } else { None };
        drop(crew);
        if let Some(on_empty) = on_empty {
            on_empty();
        }
    }

    /// Takes in nothing more, refuses what is queued, and sends the threads home.
    pub(crate) fn close(&self, on_empty: Arc<dyn Fn() + Send + Sync>) {
        // Relaxed: the fence pairs with the one in `submit`.
        self.closed.store(true, Relaxed);
        fence(SeqCst);
        let idle = {
            let mut crew = self.crew.lock();
            crew.on_empty = (crew.threads > 0).then_some(on_empty);
            crew.sentry = None;
            let idle = std::mem::take(&mut crew.idle);
            for bunk in &idle {
                bunk.summoned.store(true, Relaxed);
            }
            self.cover.fetch_and(!SENTRY, SeqCst);
            self.cover.fetch_add(idle.len(), SeqCst);
            idle
        };
        for bunk in idle {
            bunk.thread.unpark();
        }
        self.refuse_queued(&Refusal::Closed);
    }

    /// Whether a closed pool has no thread any more. Those that have said good-bye are waited for: they have nothing left to do.
    pub(crate) fn has_ended(&self) -> bool {
        let threads = {
            let mut crew = self.crew.lock();
            if crew.threads > 0 {
                return false;
            }
            let mut threads: Vec<_> = std::mem::take(&mut crew.handles).into_values().collect();
            threads.extend(crew.ended.take());
            threads
        };
        threads.into_iter().for_each(|thread| join(Some(thread)));
        true
    }
}

impl Crew {
    /// How many threads are at work, or about to be.
    fn busy(&self) -> usize {
        self.threads - self.idle.len()
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread
        && !loom::is_current(&thread)
    {
        // It catches all panics of users; nothing is to be done about one of its own.
        drop(thread.join());
    }
}

impl Extension for Attached {
    fn begin_close(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.0.close(wake);
    }

    fn is_closed(&self) -> bool {
        self.0.has_ended()
    }

    fn is_current(&self) -> bool {
        SERVES.get() == Some(self.0.serial)
    }

    fn close_timeout(&self) -> Option<Duration> {
        self.0.config.close_timeout
    }

    fn count(&self, metrics: &mut Metrics) {
        let blocking = &mut metrics.blocking;
        (blocking.threads, blocking.idle) = {
            let crew = self.0.crew.lock();
            (crew.threads, crew.idle.len())
        };
        blocking.queued = self.0.jobs.len();
        // Relaxed: for reports only.
        blocking.finished = self.0.finished.load(Relaxed) as u64;
    }

    fn still_busy(&self) -> String {
        let threads = self.0.crew.lock().threads;
        format!(
            "{threads} functions given to `to_thread` still run at the end of the runtime; their threads are left behind"
        )
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cover = self.cover.load(Relaxed);
        let mut pool = f.debug_struct("Pool");
        pool.field("queued", &self.jobs.len())
            .field("watchers", &(cover & !SENTRY))
            .field("sentry", &(cover & SENTRY != 0));
        match self.crew.try_lock() {
            Some(crew) => pool.field("threads", &crew.threads).field("idle", &crew.idle.len()),
            None => pool.field("threads", &format_args!("<locked>")),
        };
        pool.finish_non_exhaustive()
    }
}
