//! How far it is, and the thread that shows it.

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use runtime::{BlockingResult, Handle, run_coroutine_threadsafe, to_thread};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the bar is drawn.
const PERIOD: Duration = Duration::from_millis(200);

/// How far it is. Plain counters: nothing is ordered by them.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Files that were found.
    files: AtomicUsize,
    /// Files that were hashed.
    hashed: AtomicUsize,
    bytes: AtomicUsize,
}

impl Progress {
    pub(crate) fn add_files(&self, files: usize) {
        self.files.fetch_add(files, Relaxed);
    }

    pub(crate) fn add_hashed(&self) {
        self.hashed.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    fn numbers(&self) -> [u64; 3] {
        [&self.hashed, &self.files, &self.bytes].map(|number| number.load(Relaxed) as u64)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [hashed, files, bytes] = self.numbers();
        write!(f, "{hashed} of {} files found so far are hashed, {}", files.max(hashed), HumanBytes(bytes))
    }
}

/// The thread that shows the progress.
pub(crate) struct Bar {
    /// Dropped to end it.
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Bar {
    pub(crate) fn start(progress: &Arc<Progress>) -> io::Result<Self> {
        let (end, ended) = channel();
        let (handle, progress) = (Handle::current(), Arc::clone(progress));
        let thread = thread::Builder::new().name("progress".into()).spawn(move || show(&handle, &progress, &ended))?;
        Ok(Self { end, thread })
    }

    pub(crate) async fn end(self) {
        drop(self.end);
        let thread = self.thread;
        let joined = to_thread(move || thread.join());
        let _ = joined.await;
    }
}

/// Asks the runtime a few times a second, and draws the answer if standard error is a terminal.
fn show(handle: &Handle, progress: &Arc<Progress>, ended: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {msg} ({elapsed})");
    bar.set_style(style.expect("the template is right"));
    while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        let asked = Arc::clone(progress);
        let mut question = run_coroutine_threadsafe(async move { asked.numbers() }, handle);
        // A runtime that does not answer in time is asked again at the next turn.
        if let Ok(Ok([hashed, files, bytes])) = question.blocking_result_timeout(PERIOD) {
            bar.set_length(files.max(hashed));
            bar.set_position(hashed);
            bar.set_message(HumanBytes(bytes).to_string());
        }
    }
    bar.finish_and_clear();
}
