//! A poll that is watched: what it awaits, and with which stack.
//!
//! The poll gets a waker with a table of its own. Whoever registers the waker clones it, and whoever keeps one from before finds that it is
//! another; so the clone function sees every place that this poll waits at, ours and foreign ones, at no cost for other polls. Our own places
//! say beforehand what they are ([`clone_for`]). What gives out wakers of its own (`FuturesUnordered`) is seen as one place, and what
//! registers none (`future::pending`) not at all.

use super::answers::Request;
use crate::current;
use crate::task::cell::Header;
use crate::task::state::{TRACE, WATCHED};
use crate::task::{Kind, TaskId, waker};
use std::cell::RefCell;
use std::panic::Location;
use std::ptr::NonNull;
use std::task::{Context, Waker};

/// Frames of a stack that are kept at most: a recursion without end is not of interest to its last frame.
const MOST_FRAMES: usize = 256;

/// What is waited for at one place.
#[derive(Debug, Clone)]
pub(crate) enum Leaf {
    /// A task or a promise.
    Join { task: TaskId, kind: Kind, location: &'static Location<'static> },
    /// Several tasks.
    Tasks(Vec<TaskId>),
    /// A moment of the runtime's clock; `None` is never.
    Timer(Option<u64>),
    /// Goes on by itself.
    Yield,
    /// No await: something that has to be told, as a scope that can be cancelled.
    Internal,
    /// Somebody else's.
    Foreign,
}

impl Leaf {
    pub(crate) fn join(task: &Header) -> Self {
        Self::Join { task: TaskId(task.id), kind: task.kind(), location: task.location }
    }
}

/// One place that a poll waits at.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) leaf: Leaf,
    /// The combinator that waits there.
    pub(crate) via: Option<&'static str>,
    /// Return addresses, innermost first; empty when nobody asked for them.
    pub(crate) frames: Vec<usize>,
}

/// What the code around a registration has said of it.
enum Expected {
    /// The next clone of the waker is for this; `None` once it was seen.
    Leaf(Option<Leaf>),
    /// All that is seen belongs to this combinator.
    Via(&'static str),
}

/// Who watches one poll. On the heap, for the current thread points to it.
pub(crate) struct Watch {
    task: NonNull<Header>,
    /// Frames at higher addresses of the stack are the worker's.
    bottom: usize,
    seen: RefCell<Vec<Seen>>,
    expected: RefCell<Vec<Expected>>,
    /// Who wants stacks; empty where the poll is merely recorded.
    requests: Vec<Request>,
    /// The watch of a poll further out on this stack.
    before: *const Watch,
}

/// What is known of a task whose polls are all recorded.
pub(crate) struct Record {
    /// The task that has created this one; 0 for none.
    pub(crate) parent: u64,
    pub(crate) polls: u64,
    /// When the last poll ended, on the runtime's clock.
    pub(crate) since: u64,
    /// What the last poll waits for.
    pub(crate) awaits: Vec<Seen>,
}

/// Begins the record of a new task.
#[cold]
pub(crate) fn begin_record(task: &crate::task::TaskRef) {
    let parent = current::task().map_or(0, |task| task.header().id);
    let record = Record { parent, polls: 0, since: 0, awaits: Vec::new() };
    task.header().cold().inner.lock().record = Some(Box::new(record));
}

impl Watch {
    /// Begins to watch a poll, if anybody wants that. `bottom` is on the stack of the poller.
    #[cold]
    pub(crate) fn begin(task: &Header, bottom: *const u8) -> Option<Box<Self>> {
        let state = task.state.load();
        if !state.has(TRACE | WATCHED) {
            return None;
        }
        let traced = state.has(TRACE) && task.state.take_trace();
        let requests = match task.cold_if_any() {
            Some(cold) if traced => std::mem::take(&mut cold.inner.lock().traces),
            _ => Vec::new(),
        };
        if requests.is_empty() && !state.has(WATCHED) {
            return None;
        }
        let watch = Box::new(Self {
            task: NonNull::from(task),
            bottom: bottom.addr(),
            seen: RefCell::default(),
            expected: RefCell::default(),
            requests,
            before: current::watch(),
        });
        current::set_watch(&raw const *watch);
        Some(watch)
    }

    /// The poll is over: answers, and records.
    #[expect(clippy::boxed_local, reason = "it is where the thread's pointer points to, until here")]
    #[cold]
    pub(crate) fn end(self: Box<Self>, task: &Header, is_pending: bool, now: impl FnOnce() -> u64) {
        current::set_watch(self.before);
        let Self { seen, requests, .. } = *self;
        let seen = seen.into_inner();
        let is_recorded = task.state.load().has(WATCHED);
        let record = if is_recorded { Some(seen.clone()) } else { None };
        for request in requests {
            request.answer(is_pending.then(|| seen.clone()));
        }
        let Some(awaits) = record else { return };
        let now = now();
        let mut inner = task.cold().inner.lock();
        let Some(record) = &mut inner.record else { return };
        record.polls += 1;
        record.since = now;
        let old = std::mem::replace(&mut record.awaits, awaits);
        drop(inner);
        drop(old);
    }

    /// The waker was cloned.
    fn cloned(&self) {
        let leaf = match self.expected.borrow_mut().last_mut() {
            Some(Expected::Leaf(leaf)) => leaf.take(),
            Some(Expected::Via(_)) | None => Some(Leaf::Foreign),
        };
        if let Some(leaf) = leaf {
            self.see(leaf);
        }
    }

    fn see(&self, leaf: Leaf) {
        if matches!(leaf, Leaf::Internal) {
            return;
        }
        let via = self.expected.borrow().iter().find_map(|expected| match expected {
            Expected::Via(via) => Some(*via),
            Expected::Leaf(_) => None,
        });
        let frames = if self.requests.is_empty() { Vec::new() } else { capture(self.bottom) };
        self.seen.borrow_mut().push(Seen { leaf, via, frames });
    }

    fn within<R>(&self, expected: Expected, f: impl FnOnce() -> R) -> R {
        /// Takes it back, also when `f` panics.
        struct Over<'a>(&'a Watch);

        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.expected.borrow_mut().pop();
            }
        }

        self.expected.borrow_mut().push(expected);
        let _over = Over(self);
        f()
    }
}

/// Runs `f` with the watch of the task at this address, if the poll that runs here is one of that task's and watched.
fn with_watch_of<R>(task: *const (), f: impl FnOnce(Option<&Watch>) -> R) -> R {
    // SAFETY: set by `begin` for as long as the box lives, which `end` consumes after it has taken the pointer back. The reference does
    // not leave `f`.
    let watch = unsafe { current::watch().as_ref() };
    f(watch.filter(|watch| std::ptr::eq(watch.task.as_ptr().cast_const().cast(), task)))
}

/// A waker of a watched poll was cloned.
#[cold]
pub(crate) fn cloned(task: *const ()) {
    with_watch_of(task, |watch| watch.into_iter().for_each(Watch::cloned));
}

/// A watched poll wakes its own task.
#[cold]
pub(crate) fn woke_itself(task: *const ()) {
    with_watch_of(task, |watch| watch.into_iter().for_each(|watch| watch.see(Leaf::Yield)));
}

/// Whether a waker that is not known as one of the task's is that of its watched poll, in which a yield is to be noted.
#[cold]
pub(crate) fn is_watched_yield(waker: &Waker, task: NonNull<Header>) -> bool {
    let is_ours = waker::is_watching(waker) && std::ptr::eq(waker.data(), task.as_ptr().cast());
    if is_ours {
        woke_itself(waker.data());
    }
    is_ours
}

/// Clones a waker for a place that waits for this.
#[inline]
pub(crate) fn clone_for(waker: &Waker, leaf: impl FnOnce() -> Leaf) -> Waker {
    if waker::is_watching(waker) { clone_watched(waker, leaf()) } else { waker.clone() }
}

#[cold]
fn clone_watched(waker: &Waker, leaf: Leaf) -> Waker {
    with_watch_of(waker.data(), |watch| match watch {
        Some(watch) => watch.within(Expected::Leaf(Some(leaf)), || waker.clone()),
        None => waker.clone(),
    })
}

/// Clones a waker, which is none of an unwatched poll of ours, for the place where a task's end is waited for.
#[cold]
pub(crate) fn clone_for_join(joined: &Header, waker: &Waker) -> Waker {
    if waker::is_watching(waker) {
        return clone_watched(waker, Leaf::join(joined));
    }
    super::Waiter::note_combinator(joined);
    if let Some(current) = current::task_ptr() {
        // Below a combinator that gives out wakers of its own.
        with_watch_of(current.as_ptr().cast_const().cast(), |watch| {
            watch.into_iter().for_each(|watch| watch.see(Leaf::join(joined)));
        });
    }
    waker.clone()
}

/// Something waits here without a waker.
#[inline]
pub(crate) fn saw(waker: &Waker, leaf: impl FnOnce() -> Leaf) {
    if waker::is_watching(waker) {
        with_watch_of(waker.data(), |watch| {
            if let Some(watch) = watch {
                watch.see(leaf());
            }
        });
    }
}

/// Polls something on behalf of a combinator: pictures of the runtime show what it registers the waker of `cx` for as awaited by way of `via`, and
/// stacks end at this call.
///
/// For combinators; outside of a poll that is being watched it costs one comparison.
///
/// # Examples
///
/// ```
/// use runtime_core::{awaiting_via, create_task, current_task, testing, yield_now};
/// use std::future::poll_fn;
///
/// testing::block_on(async {
///     let mut inner = create_task(std::future::pending::<()>());
///     let outer = create_task(poll_fn(move |cx| awaiting_via(cx, "poll", |cx| inner.poll_done(cx))));
///     yield_now().await;
///     assert_eq!(outer.stack().await.awaits()[0].via, Some("poll"));
/// });
/// ```
#[inline]
pub fn awaiting_via<R>(cx: &mut Context<'_>, via: &'static str, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
    if waker::is_watching(cx.waker()) { within_watched(cx, Expected::Via(via), poll) } else { poll(cx) }
}

/// As [`awaiting_via`], for something that waits for all these tasks with one registration.
///
/// # Examples
///
/// ```
/// use runtime_core::{Awaits, awaiting_tasks, create_task, testing, yield_now};
/// use std::future::{pending, poll_fn};
/// use std::task::Poll;
///
/// testing::block_on(async {
///     let inner = create_task(pending::<()>());
///     let id = inner.id();
///     let mut kept = None;
///     let outer = create_task(poll_fn(move |cx| {
///         awaiting_tasks(cx, "poll", &mut kept, |_| vec![id], |kept, cx| *kept = Some(cx.waker().clone()));
///         Poll::<()>::Pending
///     }));
///     yield_now().await;
///     assert!(matches!(&outer.stack().await.awaits()[0].what, Awaits::Tasks(tasks) if *tasks == [id]));
/// });
/// ```
#[inline]
pub fn awaiting_tasks<S: ?Sized, R>(
    cx: &mut Context<'_>,
    via: &'static str,
    state: &mut S,
    tasks: impl FnOnce(&mut S) -> Vec<TaskId>,
    poll: impl FnOnce(&mut S, &mut Context<'_>) -> R,
) -> R {
    if !waker::is_watching(cx.waker()) {
        return poll(state, cx);
    }
    let leaf = Expected::Leaf(Some(Leaf::Tasks(tasks(state))));
    within_watched(cx, Expected::Via(via), |cx| within_watched(cx, leaf, |cx| poll(state, cx)))
}

/// As [`awaiting_via`], for something that is no await: that has to be told of something while the code waits elsewhere, as a scope that can
/// be cancelled. It is left out of pictures.
///
/// # Examples
///
/// ```
/// use runtime_core::{create_task, not_awaiting, testing, yield_now};
/// use std::future::poll_fn;
/// use std::task::Poll;
///
/// testing::block_on(async {
///     let mut kept = None;
///     let task = create_task(poll_fn(move |cx| {
///         not_awaiting(cx, |cx| kept = Some(cx.waker().clone()));
///         Poll::<()>::Pending
///     }));
///     yield_now().await;
///     assert!(task.stack().await.awaits().is_empty());
/// });
/// ```
#[inline]
pub fn not_awaiting<R>(cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
    if waker::is_watching(cx.waker()) { within_watched(cx, Expected::Leaf(None), poll) } else { poll(cx) }
}

#[cold]
fn within_watched<R>(cx: &mut Context<'_>, expected: Expected, f: impl FnOnce(&mut Context<'_>) -> R) -> R {
    with_watch_of(cx.waker().data(), |watch| match watch {
        Some(watch) => watch.within(expected, || f(cx)),
        None => f(cx),
    })
}

/// The return addresses from here up to the poller. Not resolved: that takes long, and is the asker's.
pub(crate) fn capture(bottom: usize) -> Vec<usize> {
    let mut frames = Vec::with_capacity(32);
    let visit = |frame: &backtrace::Frame| {
        // Where the system does not tell (0), the poller's frames are cut off by their names.
        let inside = frame.sp().addr() <= bottom;
        if inside {
            frames.push(frame.ip().addr());
        }
        inside && frames.len() < MOST_FRAMES
    };
    #[cfg(unix)]
    // SAFETY: what needs a lock is the resolution of symbols, and on Windows the walk. Here the walk is that of the C runtime's
    // unwinder, which every panic uses on any thread. The lock is not taken because it is held for long by those who resolve.
    unsafe {
        backtrace::trace_unsynchronized(visit);
    }
    #[cfg(not(unix))]
    backtrace::trace(visit);
    frames
}
