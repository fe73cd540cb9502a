//! Stacks of suspended tasks, and their symbols.

use super::answers::{Answers, WaitForAnswers};
use super::graph::{Await, TaskState};
use super::watch;
use crate::task::{TaskId, TaskRef};
use std::ffi::c_void;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// How long a task that is running or ready is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// One function on a stack.
///
/// # Examples
///
/// ```
/// use runtime_core::{StackFrame, create_task, sleep, testing, yield_now};
/// use std::time::Duration;
///
/// async fn nap() {
///     sleep(Duration::MAX).await;
/// }
///
/// testing::block_on(async {
///     let task = create_task(nap());
///     yield_now().await;
///     let frames: Vec<StackFrame> = task.stack().await.awaits()[0].frames();
///     assert!(frames.iter().any(|frame| frame.function.contains("nap")));
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackFrame {
    /// The function, for an `async fn` without the closure that is its body; its address where there are no symbols.
    pub function: String,
    /// The source file, where the program has line tables.
    pub file: Option<String>,
    /// The line in it: that of the `.await` for all but the innermost.
    pub line: Option<u32>,
}

impl fmt::Display for StackFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " {}:{line}", shorten(file)),
            (Some(file), None) => write!(f, " {}", shorten(file)),
            _ => Ok(()),
        }
    }
}

/// The part of a file's name that says something: below the current directory, or the crate's.
fn shorten(file: &str) -> &str {
    static HERE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let here = HERE.get_or_init(|| {
        let here = std::env::current_dir().map(|here| format!("{}/", here.display()));
        here.unwrap_or_default()
    });
    if let Some(rest) = file.strip_prefix(here.as_str()).filter(|_| !here.is_empty()) {
        return rest;
    }
    match file.find("/registry/src/").or_else(|| file.find("/rustc/")) {
        Some(start) => file[start + 1..].splitn(4, '/').last().unwrap_or(file),
        None => file,
    }
}

/// What a task waits for, with a stack for each place: asyncio's `get_stack`, but down to the innermost await.
///
/// Symbols are looked up when it is displayed, or asked for its frames. That takes long the first time, for the program's debug information
/// is read: in a task, do it in `to_thread`.
///
/// # Examples
///
/// ```
/// use runtime_core::{create_task, sleep, testing, yield_now};
/// use std::time::Duration;
///
/// async fn nap() {
///     sleep(Duration::MAX).await;
/// }
///
/// testing::block_on(async {
///     let task = create_task(async { nap().await });
///     yield_now().await;
///     let stack = task.stack().await;
///     assert_eq!(stack.awaits().len(), 1);
///     assert!(stack.to_string().contains("nap"), "{stack}");
/// });
/// ```
///
/// # Example: the state alone
///
/// ```
/// use runtime_core::{TaskState, create_task, sleep, testing, yield_now};
/// use std::time::Duration;
///
/// testing::block_on(async {
///     let task = create_task(sleep(Duration::MAX));
///     yield_now().await;
///     let stack = task.stack().await.limit(0);
///     assert_eq!(*stack.state(), TaskState::Suspended { since: None });
///     assert!(stack.awaits()[0].frames().is_empty());
/// });
/// ```
#[derive(Debug, Clone)]
pub struct TaskStack {
    pub(super) id: TaskId,
    pub(super) name: String,
    pub(super) location: &'static Location<'static>,
    pub(super) state: TaskState,
    /// The places; of a running task that asks about itself one, which is where it asks.
    pub(super) awaits: Vec<Await>,
}

impl TaskStack {
    /// The state of the task when it was looked at.
    pub fn state(&self) -> &TaskState {
        &self.state
    }

    /// The places where the task waits: one, or several under a `join!` or `select!`. None for a task that is running elsewhere or has ended,
    /// and for one that waits for something that has not registered a waker (`future::pending`): nothing can ever wake that.
    pub fn awaits(&self) -> &[Await] {
        &self.awaits
    }

    /// Keeps the `frames` innermost frames of each place; 0 keeps the places only.
    pub fn limit(mut self, frames: usize) -> Self {
        for place in &mut self.awaits {
            place.limit = place.limit.min(frames);
        }
        self
    }
}

impl fmt::Display for TaskStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::text::stack(self))
    }
}

impl TaskRef {
    /// What the task waits for and where, by a poll that is watched: its stack, in release builds too as far as they have line tables.
    ///
    /// The task is polled once more than it would be, as every future must bear; the addresses of the functions on the stack are kept where
    /// it waits, and looked up by whoever wants to see them. Other tasks go on meanwhile, and nothing of it costs anything when nobody asks.
    /// A task that is running, or waits for its turn, is waited for, up to a tenth of a second; then it is shown as what it is, without a
    /// stack. Asked by the task about itself it is the stack of this very place, ordinary functions included. The task of a
    /// [`Promise`](crate::Promise) has none.
    ///
    /// Under combinators that give out wakers of their own (`FuturesUnordered`, a `join_all` of many) what is inside is polled only when it was
    /// woken: the stack ends at the combinator.
    ///
    /// # Panics
    ///
    /// When polled outside of a runtime.
    ///
    /// # Cancellation
    ///
    /// A request or a drop ends the wait. The task is polled all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{Promise, create_task, testing, yield_now};
    ///
    /// testing::block_on(async {
    ///     let (_promise, lost) = Promise::<()>::new();
    ///     let task = create_task(async { lost.await });
    ///     yield_now().await;
    ///     let stack = task.stack().await.to_string();
    ///     assert!(stack.contains("awaits the promise"), "{stack}");
    /// });
    /// ```
    pub async fn stack(&self) -> TaskStack {
        if self.is_current() {
            return self.own_stack();
        }
        let mut awaits = None;
        if !self.header().kind().is_promise() && !self.done() {
            let answers = Answers::of(std::iter::once(self));
            awaits = WaitForAnswers::new(answers, PATIENCE).await.pop().flatten().flatten();
        }
        self.stack_of(awaits)
    }

    /// asyncio's name for [`stack`](Self::stack) with a [`limit`](TaskStack::limit): the innermost so many frames.
    ///
    /// # Panics
    ///
    /// As [`stack`](Self::stack).
    ///
    /// # Cancellation
    ///
    /// As [`stack`](Self::stack).
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{create_task, sleep, testing, yield_now};
    /// use std::time::Duration;
    ///
    /// testing::block_on(async {
    ///     let task = create_task(async { sleep(Duration::MAX).await });
    ///     yield_now().await;
    ///     assert_eq!(task.get_stack(Some(1)).await.awaits()[0].frames().len(), 1);
    /// });
    /// ```
    pub async fn get_stack(&self, limit: Option<usize>) -> TaskStack {
        self.stack().await.limit(limit.unwrap_or(usize::MAX))
    }

    /// Writes [`get_stack`](Self::get_stack) to stderr.
    ///
    /// # Panics
    ///
    /// As [`stack`](Self::stack).
    ///
    /// # Cancellation
    ///
    /// As [`stack`](Self::stack).
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime_core::{current_task, testing};
    ///
    /// testing::block_on(async { current_task().unwrap().print_stack(Some(3)).await });
    /// ```
    pub async fn print_stack(&self, limit: Option<usize>) {
        let text = self.get_stack(limit).await.to_string();
        // Not `eprint!`, which panics when stderr is closed.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    }

    /// The stack of the running task, here.
    pub(super) fn own_stack(&self) -> TaskStack {
        let here = watch::Seen { leaf: watch::Leaf::Internal, via: None, frames: watch::capture(usize::MAX) };
        self.stack_of(Some(vec![here]))
    }

    fn stack_of(&self, seen: Option<Vec<watch::Seen>>) -> TaskStack {
        let shared = crate::report::runtime_of(self);
        let running = shared.as_ref().map_or_else(Vec::new, |shared| shared.running());
        let state = TaskState::of(self, self.header().state.load(), None, &running);
        let state = if seen.is_some() && !self.is_current() { TaskState::Suspended { since: None } } else { state };
        let awaits = seen.into_iter().flatten();
        let awaits = awaits.map(|seen| Await::new(seen, shared.as_ref().map(|shared| &shared.clock))).collect();
        TaskStack { id: self.id(), name: self.get_name(), location: self.location(), state, awaits }
    }
}

/// The functions at these return addresses that say something of the program: what belongs to the runtime's machinery and to the language's
/// is left out.
pub(super) fn resolve(addresses: &[usize]) -> Vec<StackFrame> {
    let mut frames = functions(addresses);
    // What a combinator does when it has said what it waits for is its own business.
    let hook = frames.iter().rposition(is_hook);
    frames.drain(..hook.map_or(0, |hook| hook + 1));
    // How a place of ours waits is said by what is shown for it.
    let first = frames.iter().position(|frame| !is_machinery(frame) && !is_ours(frame)).unwrap_or(frames.len());
    frames.drain(..first);
    frames.retain(|frame| !is_machinery(frame));
    frames
}

/// Looks up the functions at these return addresses, innermost first, up to where the engine polls the task; several for one address where they
/// were inlined.
pub(crate) fn functions(addresses: &[usize]) -> Vec<StackFrame> {
    let mut frames = Vec::new();
    for address in addresses {
        let before = frames.len();
        backtrace::resolve(std::ptr::without_provenance_mut::<c_void>(*address), |symbol| {
            let name = symbol.name().map(|name| format!("{name:#}"));
            frames.push(StackFrame {
                function: name.unwrap_or_else(|| format!("{address:#x}")),
                file: symbol.filename().map(|file| file.display().to_string()),
                line: symbol.lineno(),
            });
        });
        if frames.len() == before {
            frames.push(StackFrame { function: format!("{address:#x}"), file: None, line: None });
        }
        if let Some(poller) = frames[before..].iter().position(is_poller) {
            frames.truncate(before + poller);
            break;
        }
    }
    for frame in &mut frames {
        shorten_name(&mut frame.function);
    }
    frames
}

/// Where the engine polls a task's future.
fn is_poller(frame: &StackFrame) -> bool {
    frame.function.starts_with("runtime_core::task::cell::poll") || frame.source("runtime-core") == Some("task/cell.rs")
}

/// Where it is noted what a poll waits for: `awaiting_via`, and what a cloned waker calls.
fn is_hook(frame: &StackFrame) -> bool {
    frame.function.starts_with("runtime_core::inspect::")
        || frame.source("runtime-core").is_some_and(|file| file.starts_with("inspect/"))
}

/// Functions that say nothing of the program. With line tables alone, functions that were inlined have no path in their names, and it is the
/// files that tell.
fn is_machinery(frame: &StackFrame) -> bool {
    const PATHS: [&str; 11] = [
        "core::",
        "std::",
        "alloc::",
        "backtrace::",
        "__rust",
        "runtime_core::scope::",
        "runtime_core::task::harness::",
        "runtime_core::task::waker::",
        "runtime_core::engine::Main",
        "runtime_core::time::TimerShard",
        "runtime_core::task::task_ref::Wait::register",
    ];
    const FILES: [&str; 5] = ["scope/", "task/harness.rs", "task/waker.rs", "engine.rs", "time/mod.rs"];
    let inner = frame.function.trim_start_matches(['<', '&']);
    let inner = inner.strip_prefix("mut ").unwrap_or(inner);
    PATHS.iter().any(|path| inner.starts_with(path))
        || inner.starts_with("F as core::")
        || inner.starts_with("impl ")
        || ["library/core", "library/std", "library/alloc", "backtrace"]
            .iter()
            .any(|package| frame.source(package).is_some())
        || frame.source("runtime-core").is_some_and(|file| FILES.iter().any(|machinery| file.starts_with(machinery)))
}

/// The runtime's own functions: the engine's, and those of the packages beside it.
fn is_ours(frame: &StackFrame) -> bool {
    let inner = frame.function.trim_start_matches('<');
    ["runtime::", "runtime_core::", "runtime_bridge::"].iter().any(|path| inner.starts_with(path))
        || ["runtime-core", "runtime-bridge"].iter().any(|package| frame.source(package).is_some())
}

impl StackFrame {
    /// The source file below `src/`, if it is of this package, in whichever version.
    fn source(&self, package: &str) -> Option<&str> {
        let (directory, file) = self.file.as_deref()?.rsplit_once("/src/")?;
        let unversioned = directory.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let unversioned = unversioned.strip_suffix('-').unwrap_or(directory);
        unversioned.strip_suffix(package)?.ends_with('/').then_some(file)
    }
}

/// A name as it is to be read: the body of an `async fn` is a closure in it, and inlined functions of programs that have line tables alone are
/// called as they are in their module, with all the types that they are generic over.
fn shorten_name(function: &mut String) {
    for body in ["::{{closure}}", "::{closure#0}"] {
        while let Some(name) = function.strip_suffix(body) {
            function.truncate(name.len());
        }
    }
    let name_end = function.find(['<', ':']).unwrap_or(function.len());
    if name_end > 0 && !function[name_end..].starts_with(':') {
        function.truncate(name_end);
    }
    if let Some((kind, _)) = function.strip_prefix('{').and_then(|body| body.split_once('#')) {
        *function = kind.replace('_', " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str) -> StackFrame {
        StackFrame { function: String::from(function), file: Some(String::from(file)), line: None }
    }

    fn shortened(name: &str) -> String {
        let mut name = String::from(name);
        shorten_name(&mut name);
        name
    }

    #[test]
    fn the_package_of_a_file_with_and_without_a_version() {
        assert_eq!(frame("", "/a/runtime-core/src/task/cell.rs").source("runtime-core"), Some("task/cell.rs"));
        let of_registry = frame("", "/r/src/index-1/backtrace-0.3.77/src/capture.rs");
        assert_eq!(of_registry.source("backtrace"), Some("capture.rs"));
        assert_eq!(of_registry.source("trace"), None);
        assert_eq!(frame("", "/rustc/1b2/library/core/src/task/wake.rs").source("library/core"), Some("task/wake.rs"));
        assert_eq!(frame("", "/my/core/src/lib.rs").source("library/core"), None);
    }

    #[test]
    fn inlined_functions_of_programs_with_line_tables_alone_are_known_by_their_files() {
        assert!(is_poller(&frame("poll<u8, ()>", "/a/runtime-core/src/task/cell.rs")));
        assert!(is_hook(&frame("cloned", "/a/runtime-core-0.1.0/src/inspect/watch.rs")));
        assert!(is_machinery(&frame("poll_root<u8>", "/a/runtime-core/src/scope/node.rs")));
        assert!(is_machinery(&frame("clone", "/rustc/1b2/library/core/src/task/wake.rs")));
        assert!(is_ours(&frame("poll<u8>", "/a/runtime-core/src/task/handle.rs")));
        assert!(
            ![is_poller, is_hook, is_machinery, is_ours]
                .iter()
                .any(|is| is(&frame("{async_fn#0}", "/my/core/src/lib.rs")))
        );
    }

    #[test]
    fn names_are_made_short() {
        assert_eq!(shortened("my::fetch::{{closure}}::{{closure}}"), "my::fetch");
        assert_eq!(
            shortened("<my::Fetch<T> as core::future::Future>::poll"),
            "<my::Fetch<T> as core::future::Future>::poll"
        );
        assert_eq!(shortened("poll_next<my::Fetch, ()>"), "poll_next");
        assert_eq!(shortened("{async_fn#0}"), "async fn");
        assert_eq!(shortened("{async_block#2}<u8>"), "async block");
        assert_eq!(shortened("0x55d0"), "0x55d0");
    }
}
