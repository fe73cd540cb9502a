//! Debug mode: polls that take long, reported when they are over, and while they are not.
//!
//! A worker in debug mode puts a note up for every poll: which task, and since when. When the poll is over it takes the note down and looks at the
//! time (DB-02). Meanwhile the watchdog, a thread that exists in debug mode only, looks at the notes of all workers when the first of them is due, and
//! reports a worker whose note has been up for too long. While there are no notes it sleeps: whoever puts one up wakes it.
//!
//! A poll is measured in time that really passes, also where the runtime's clock is virtual.

use super::stack::{self, Frames, ThreadId};
use crate::report::ExceptionContext;
use crate::scheduler::Shared;
use crate::task::cell::Header;
use crate::task::{Kind, TaskRef};
use parking_lot::Mutex;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// What one worker tells the watchdog.
#[derive(Default)]
pub(crate) struct Board {
    /// The poll that the worker is in; under eager tasks the innermost.
    note: Mutex<Option<Note>>,
    /// The worker's thread, as the system knows it.
    thread: Mutex<Option<ThreadId>>,
}

/// A poll that has begun.
struct Note {
    task: TaskRef,
    /// When, on the real clock of the runtime.
    since: u64,
    /// The watchdog has seen to it.
    reported: bool,
}

impl Board {
    /// Notes which thread is the worker now.
    pub(crate) fn adopt_thread(&self) {
        *self.thread.lock() = Some(ThreadId::current());
    }
}

/// A poll in debug mode, from its begin to its end.
#[must_use]
pub(crate) struct Watched<'a> {
    shared: &'a Shared,
    /// The worker.
    index: usize,
    board: &'a Board,
    /// The poll around this one: that of the creator of an eager task.
    outer: Option<Note>,
}

impl<'a> Watched<'a> {
    /// The poll of `task` begins. `None` outside of debug mode.
    pub(crate) fn begin(shared: &'a Shared, index: usize, task: NonNull<Header>) -> Option<Self> {
        let board = shared.remotes[index].board.as_deref()?;
        let watchdog = shared.watchdog.as_ref()?;
        // SAFETY: the entry that is about to be polled keeps the task alive.
        let task = unsafe { TaskRef::clone_raw(task) };
        let note = Note { task, since: shared.clock.real_now(), reported: false };
        let outer = board.note.lock().replace(note);
        watchdog.wake();
        Some(Self { shared, index, board, outer })
    }

    /// The poll is over.
    pub(crate) fn end(mut self) {
        let outer = self.outer.take();
        let note = std::mem::replace(&mut *self.board.note.lock(), outer).expect("put up when the poll began");
        let took = Duration::from_nanos(self.shared.clock.real_now() - note.since);
        let limit = self.shared.config.slow_poll_threshold;
        if took >= limit {
            let message = format!("{} took {took:.1?}, and {limit:?} is long", what(&note.task));
            self.shared.reporter.report(&report(message, note.task, took, self.index));
        }
    }
}

/// What took long, at the beginning of a sentence.
fn what(task: &TaskRef) -> &'static str {
    if is_callback(task) { "a callback" } else { "a poll" }
}

fn is_callback(task: &TaskRef) -> bool {
    task.header().kind() == Kind::Callback
}

fn report(message: String, task: TaskRef, elapsed: Duration, worker: usize) -> ExceptionContext {
    let mut context = ExceptionContext::new(message);
    context.location = Some(task.location());
    // A callback is no task in a user's eyes.
    context.task = Some(task).filter(|task| !is_callback(task));
    context.elapsed = Some(elapsed);
    context.worker = Some(worker);
    context
}

/// The watchdog of a runtime in debug mode.
pub(crate) struct Watchdog {
    /// Whether it sleeps until it is called.
    asleep: AtomicBool,
    /// Whether it is to end.
    stopped: AtomicBool,
    /// Its thread, from its start to its end.
    thread: Mutex<Option<(Thread, JoinHandle<()>)>>,
}

impl Watchdog {
    pub(crate) fn new() -> Self {
        Self { asleep: AtomicBool::new(false), stopped: AtomicBool::new(false), thread: Mutex::new(None) }
    }

    /// Makes the thread.
    ///
    /// # Errors
    ///
    /// When the system has none.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<()> {
        let Some(watchdog) = &shared.watchdog else { return Ok(()) };
        if shared.config.stuck_stacks {
            stack::install()?;
        }
        let name = format!("{}-watchdog", shared.config.thread_name);
        let watched = Arc::clone(shared);
        let thread = thread::Builder::new().name(name).spawn(move || watch(&watched))?;
        *watchdog.thread.lock() = Some((thread.thread().clone(), thread));
        Ok(())
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(&self) {
        // SeqCst: as for `asleep`; the unpark orders it before the look of the thread.
        self.stopped.store(true, SeqCst);
        let thread = self.thread.lock().take();
        if let Some((thread, handle)) = thread {
            thread.unpark();
            if thread.id() != thread::current().id() {
                // What it calls of a user's is caught by the reporter.
                drop(handle.join());
            }
        }
    }

    /// There is a note now.
    ///
    /// The watchdog says that it sleeps, and then looks at all notes, each under its lock: it sees the note that was put up before this call,
    /// or else that lock orders its word before this look.
    fn wake(&self) {
        if self.asleep.load(SeqCst) && self.asleep.swap(false, SeqCst) {
            let thread = self.thread.lock().as_ref().map(|(thread, _)| thread.clone());
            if let Some(thread) = thread {
                thread.unpark();
            }
        }
    }
}

/// The life of the watchdog's thread.
fn watch(shared: &Shared) {
    let watchdog = shared.watchdog.as_ref().expect("it is what this thread is for");
    while !watchdog.stopped.load(SeqCst) {
        let next = look_at_all(shared).or_else(|| {
            watchdog.asleep.store(true, SeqCst);
            look_at_all(shared)
        });
        match next {
            Some(wait) => thread::park_timeout(wait),
            None => thread::park(),
        }
        watchdog.asleep.store(false, SeqCst);
    }
}

/// Reports who is stuck; gives how long it takes until the next one may be.
fn look_at_all(shared: &Shared) -> Option<Duration> {
    let looks = shared
        .remotes
        .iter()
        .enumerate()
        .filter_map(|(index, remote)| look_at(shared, index, remote.board.as_deref()?));
    looks.min()
}

/// Reports the worker if it is stuck; `None` when there is nothing to wait for.
fn look_at(shared: &Shared, index: usize, board: &Board) -> Option<Duration> {
    let limit = shared.config.slow_poll_threshold;
    let (task, elapsed, frames) = {
        let mut note = board.note.lock();
        let note = note.as_mut().filter(|note| !note.reported)?;
        let elapsed = Duration::from_nanos(shared.clock.real_now().saturating_sub(note.since));
        if elapsed < limit {
            return Some(limit - elapsed);
        }
        note.reported = true;
        // Under the lock, for the poll cannot end so: what is on the stack is this task's.
        (note.task.clone(), elapsed, frames_of(shared, board))
    };
    let message = format!("worker {index} has been in {} for {elapsed:.1?}, and still is", what(&task));
    let mut context = report(message, task, elapsed, index);
    context.stack = frames.map(|frames| frames.to_string());
    shared.reporter.report(&context);
    None
}

fn frames_of(shared: &Shared, board: &Board) -> Option<Frames> {
    let thread = (*board.thread.lock())?;
    if shared.config.stuck_stacks { stack::sample(thread) } else { None }
}
