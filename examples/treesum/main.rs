//! Prints the SHA-256 of every regular file below the given paths, sorted by path, for `sha256sum -c`.
//!
//! ```text
//! cargo run --release --example treesum -- PATH...
//! ```
//!
//! One task per file and directory, all in one task group; what blocks (reading directories, hashing, writing) goes through
//! `to_thread`; an ordinary thread asks for the progress with `run_coroutine_threadsafe` and draws it; Ctrl-C is a cancellation
//! that is caught to say how far it got, and then goes on.

mod hash;
mod options;
mod output;
mod progress;
mod tree;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use hash::Digest;
use options::Options;
use output::Output;
use progress::{Bar, Progress};
use runtime::{
    CancelledError, ExceptionGroup, Promise, Runner, TaskError, TaskGroup, catch_cancelled, timeout, to_thread,
};
use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tree::{Kind, Node, Tree};

/// How many tasks there are for each function that may run: so that a thread which has ended one finds the next in the queue.
const TASKS_PER_JOB: usize = 16;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(stop) => return stop.tell(),
    };
    match run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn complain(what: &dyn Display) {
    eprintln!("treesum: {what}");
}

/// True if all files could be read.
fn run(options: Options) -> io::Result<bool> {
    let tree = Tree::new(&options.paths)?;
    let runner = Runner::builder().max_blocking_threads(options.jobs).handle_interrupts(true).build()?;
    match runner.run(treesum(tree, options)) {
        Ok(result) => result,
        Err(_) if runner.interrupted() => runner.end_interrupted(),
        Err(error) => Err(io::Error::other(error)),
    }
}

async fn treesum(tree: Tree, options: Options) -> io::Result<bool> {
    let progress = Arc::new(Progress::default());
    progress.add_files(tree.files_waiting());
    let bar = Bar::start(&progress)?;
    let mut output = Output::default();
    let ended = catch_cancelled(sum_all(tree, options, &progress, &mut output)).await;
    bar.end().await;
    match ended {
        Ok(result) => result,
        Err(interrupt) => say_how_far(interrupt, &progress, &mut output).await,
    }
}

/// Writes what is complete, tells the rest, and lets the cancellation go on.
async fn say_how_far(interrupt: CancelledError, progress: &Progress, output: &mut Output) -> io::Result<bool> {
    output.flush().await?;
    complain(&format_args!("interrupted: {progress}"));
    interrupt.reraise().await
}

async fn sum_all(tree: Tree, options: Options, progress: &Arc<Progress>, output: &mut Output) -> io::Result<bool> {
    let visits = async |group| Visits::new(group, options, progress).visit_all(tree, output).await;
    TaskGroup::scope(visits).await.map_err(first_error)
}

/// The tasks do not fail, so that it is the body's error, or a panic.
fn first_error(errors: ExceptionGroup<io::Error>) -> io::Error {
    let message = errors.to_string();
    errors.into_errors().next().unwrap_or_else(|| io::Error::other(message))
}

/// What came of a node.
enum Found {
    Digest(Digest),
    Entries(Vec<Node>),
    Failure(String),
}

/// The tasks at work, and what they need.
struct Visits<'a> {
    group: TaskGroup<io::Error>,
    /// The most tasks at a time.
    limit: usize,
    /// How long hashing one file may take.
    timeout: Option<Duration>,
    progress: &'a Arc<Progress>,
    /// Where a task sends what it has found.
    sender: UnboundedSender<(Node, Found)>,
    found: UnboundedReceiver<(Node, Found)>,
}

impl<'a> Visits<'a> {
    fn new(group: TaskGroup<io::Error>, options: Options, progress: &'a Arc<Progress>) -> Self {
        let (sender, found) = unbounded();
        Self { group, limit: options.jobs * TASKS_PER_JOB, timeout: options.timeout, progress, sender, found }
    }

    async fn visit_all(mut self, mut tree: Tree, output: &mut Output) -> io::Result<bool> {
        let mut all_read = true;
        loop {
            while tree.open() < self.limit
                && let Some(node) = tree.start_next()
            {
                self.visit(node);
            }
            if tree.is_empty() {
                break;
            }
            let first = self.found.next().await;
            let more = std::iter::from_fn(|| self.found.try_recv().ok());
            for (node, found) in first.into_iter().chain(more) {
                all_read &= take_in(&mut tree, self.progress, node, found);
            }
            while let Some((path, digest)) = tree.next_result() {
                output.add(&path, &digest);
            }
            output.flush_if_full().await?;
        }
        output.flush().await?;
        Ok(all_read)
    }

    /// Makes the task for a file or a directory.
    fn visit(&self, node: Node) {
        let sender = self.sender.clone();
        let (limit, progress) = (self.timeout, Arc::clone(self.progress));
        self.group.create_task(async move {
            let found = match node.kind {
                Kind::Directory => list(&node).await,
                Kind::File => sum(&node, limit, progress).await,
            };
            // The other side is gone when the visit was interrupted.
            let _ = sender.unbounded_send((node, found));
        });
    }
}

/// False for a failure.
fn take_in(tree: &mut Tree, progress: &Progress, node: Node, found: Found) -> bool {
    match found {
        Found::Digest(digest) => {
            progress.add_hashed();
            tree.finish_file(node, digest);
        }
        Found::Entries(entries) => {
            let files = entries.iter().filter(|entry| entry.kind == Kind::File).count();
            progress.add_files(files);
            tree.finish_directory(&node, entries);
        }
        Found::Failure(why) => {
            complain(&format_args!("{}: {why}", node.path().display()));
            tree.finish_failed(&node);
            return false;
        }
    }
    true
}

async fn list(node: &Node) -> Found {
    let directory = node.clone();
    match to_thread(move || directory.list()).await {
        Ok(Ok(entries)) => Found::Entries(entries),
        Ok(Err(error)) => Found::Failure(error.to_string()),
        Err(error) => Found::Failure(error.to_string()),
    }
}

async fn sum(node: &Node, limit: Option<Duration>, progress: Arc<Progress>) -> Found {
    let path = node.path().to_path_buf();
    let hashed = match limit {
        None => to_thread(move || hash::sha256(&path, &progress)).await,
        Some(limit) => {
            // The time counts from when a thread begins with the file.
            let (begin, begun) = Promise::new();
            let mut hashing = to_thread(move || {
                let _ = begin.set_result(());
                hash::sha256(&path, &progress)
            });
            let _ = begun.await;
            match timeout(limit, &mut hashing).await {
                Ok(hashed) => hashed,
                Err(_) => return Found::Failure(format!("not read within {limit:?}")),
            }
        }
    };
    describe(hashed)
}

fn describe(hashed: Result<io::Result<Digest>, TaskError>) -> Found {
    match hashed {
        Ok(Ok(digest)) => Found::Digest(digest),
        Ok(Err(error)) => Found::Failure(error.to_string()),
        Err(error) => Found::Failure(error.to_string()),
    }
}
