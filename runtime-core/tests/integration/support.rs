//! What the tests share: runtimes of all sizes, traces, futures and values that are counted.

use futures::channel::oneshot;
use runtime_core::{Config, Engine};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Runs the body of each test under one, two and eight workers.
macro_rules! everywhere {
    ($($(#[$attr:meta])* async fn $name:ident() $body:block)*) => {
        $($(#[$attr])* mod $name {
            use super::*;

            async fn body() $body

            #[test]
            fn workers_1() {
                $crate::support::on(1, body());
            }

            #[test]
            fn workers_2() {
                $crate::support::on(2, body());
            }

            #[test]
            fn workers_8() {
                $crate::support::on(8, body());
            }
        })*
    };
}

/// Ends the process with a message when a test hangs: a lost wake-up must be a failure, not a silence.
pub(crate) struct Watchdog(Option<mpsc::Sender<()>>);

impl Watchdog {
    pub(crate) fn new() -> Self {
        let name = String::from(std::thread::current().name().unwrap_or("a test"));
        let seconds = std::env::var("TEST_HANG_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
        let (alive, ended) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if ended.recv_timeout(Duration::from_secs(seconds)) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{name} has hung for {seconds} s");
                std::process::abort();
            }
        });
        Self(Some(alive))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

pub(crate) fn engine(workers: usize) -> Engine {
    Engine::new(Config { workers, ..Config::default() }).unwrap()
}

/// Runs a future on a runtime of its own.
#[track_caller]
pub(crate) fn on<F: Future>(workers: usize, future: F) -> F::Output {
    let _watchdog = Watchdog::new();
    let engine = engine(workers);
    let output = engine.run(future).expect("main is not cancelled");
    engine.close();
    output
}

/// One worker: ready tasks run first in, first out.
#[track_caller]
pub(crate) fn in_order<F: Future>(future: F) -> F::Output {
    on(1, future)
}

/// One worker, and time that jumps to the next deadline when nothing is ready.
#[track_caller]
pub(crate) fn in_virtual_time<F: Future>(future: F) -> F::Output {
    let _watchdog = Watchdog::new();
    let engine = Engine::new(Config { workers: 1, virtual_time: true, ..Config::default() }).unwrap();
    let output = engine.run(future).expect("main is not cancelled");
    engine.close();
    output
}

/// A sequence of things that happened, to be compared as a whole.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    /// All so far, joined by blanks; the trace is empty afterwards.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(" ")
    }

    /// How much has happened.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Whether it has happened.
    pub(crate) fn contains(&self, what: &str) -> bool {
        self.0.lock().unwrap().iter().any(|happened| happened == what)
    }

    /// Adds `what` when the result is dropped.
    pub(crate) fn on_drop(&self, what: &'static str) -> OnDrop<impl FnOnce() + Send + use<>> {
        let trace = self.clone();
        on_drop(move || trace.add(what))
    }
}

pub(crate) struct OnDrop<F: FnOnce()>(Option<F>);

/// Calls the function when the result is dropped.
pub(crate) fn on_drop<F: FnOnce()>(f: F) -> OnDrop<F> {
    OnDrop(Some(f))
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0.take().unwrap())();
    }
}

/// Counts something.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// A value whose drop is counted.
    pub(crate) fn value(&self) -> Counted {
        Counted(self.clone())
    }

    /// Spins until the count has reached `at_least`: an event, however long it takes.
    pub(crate) fn spin_until(&self, at_least: usize) {
        while self.get() < at_least {
            std::thread::yield_now();
        }
    }
}

/// A value whose drop is counted.
pub(crate) struct Counted(Count);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.up();
    }
}

/// Something that happens once: who waits for it is no catcher.
pub(crate) fn event() -> (Happened, Awaited) {
    let (sender, receiver) = oneshot::channel();
    (Happened(sender), Awaited(receiver))
}

pub(crate) struct Happened(oneshot::Sender<()>);
pub(crate) struct Awaited(oneshot::Receiver<()>);

impl Happened {
    pub(crate) fn happen(self) {
        let _ = self.0.send(());
    }
}

impl Awaited {
    pub(crate) async fn wait(self) {
        self.0.await.expect("the other side lets it happen");
    }
}

/// A waker of our own that wakes another and counts.
pub(crate) struct CountingWaker {
    pub(crate) inner: Waker,
    pub(crate) woken: Count,
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.woken.up();
        self.inner.wake_by_ref();
    }
}

/// Polls a future once with a waker that does nothing.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Where the last panic on this thread was. Its hook, once installed, says nothing about panics that end in "as told".
///
/// One hook for all tests, and never taken away: while one of them exchanged it, another one's panic would find none.
pub(crate) fn place_of_last_panic() -> Option<String> {
    install_panic_hook();
    LAST_PANIC.with(|last| last.take())
}

thread_local! { static LAST_PANIC: Cell<Option<String>> = const { Cell::new(None) } }

pub(crate) fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // A thread that is being torn down has no place for it.
            let _ = LAST_PANIC.try_with(|last| last.set(info.location().map(|place| String::from(place.file()))));
            if !info.payload_as_str().is_some_and(|text| text.ends_with("as told")) {
                print(info);
            }
        }));
    });
}

/// The message of a panic.
#[track_caller]
pub(crate) fn panic_message<T>(f: impl FnOnce() -> T) -> String {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(_) => panic!("there should have been a panic"),
        Err(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => String::from(*payload.downcast::<&str>().expect("text")),
        },
    }
}
