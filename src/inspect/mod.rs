//! Pictures of the runtime from outside: on a signal, and over a socket.
//!
//! Both are opened only when the builder or `RUNTIME_INSPECT` says so, and served by threads of their own, so that they answer also when
//! all workers are stuck. There is one of each in a process; they show all runtimes that have asked for it, and go with the last of them.

#[cfg(unix)]
mod signal;
#[cfg(unix)]
mod socket;

use parking_lot::Mutex;
use runtime_core::{CallGraph, Handle};
use std::fmt::Write;
use std::io;
use std::time::Duration;

/// How long tasks that are running or ready are waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Up to so many tasks all are asked for their stacks. Picked out of thin air: each costs some ten microseconds of a worker.
const MOST_STACKS: usize = 10_000;

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Openings {
    /// The picture goes to stderr on `SIGQUIT`.
    pub(crate) signal: bool,
    /// The command `runtime-inspect` is answered.
    pub(crate) socket: bool,
    /// Every poll is recorded.
    pub(crate) record: bool,
}

impl Openings {
    /// What `RUNTIME_INSPECT` asks for: words with commas between them.
    pub(crate) fn from_environment() -> io::Result<Self> {
        match std::env::var("RUNTIME_INSPECT") {
            Ok(words) => Self::parse(&words),
            Err(_) => Ok(Self::default()),
        }
    }

    fn parse(words: &str) -> io::Result<Self> {
        let mut openings = Self::default();
        for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "signal" => openings.signal = true,
                "socket" => openings.socket = true,
                "record" => openings.record = true,
                _ => {
                    let message =
                        format!("RUNTIME_INSPECT is made of `signal`, `socket` and `record`, but it says {word:?}");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
                }
            }
        }
        Ok(openings)
    }
}

/// The runtimes that are shown.
static RUNTIMES: Mutex<Vec<Handle>> = Mutex::new(Vec::new());

/// A runtime is shown for as long as this lives.
pub(crate) struct Opened {
    /// Its number.
    runtime: u32,
    /// What is served for it.
    #[cfg(unix)]
    _served: (Option<signal::Served>, Option<socket::Served>),
}

impl Opened {
    /// Shows a runtime; `None` when nothing is asked for.
    pub(crate) fn new(handle: &Handle, openings: Openings) -> io::Result<Option<Self>> {
        if !openings.signal && !openings.socket {
            return Ok(None);
        }
        #[cfg(not(unix))]
        return Err(io::Error::new(io::ErrorKind::Unsupported, "inspection from outside needs a Unix system"));
        #[cfg(unix)]
        {
            let signal = if openings.signal { Some(signal::Served::new()?) } else { None };
            let socket = if openings.socket { Some(socket::Served::new()?) } else { None };
            RUNTIMES.lock().push(handle.clone());
            Ok(Some(Self { runtime: handle.id(), _served: (signal, socket) }))
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut runtimes = RUNTIMES.lock();
        let place = runtimes.iter().position(|handle| handle.id() == self.runtime);
        let gone = place.map(|place| runtimes.swap_remove(place));
        drop(runtimes);
        drop(gone);
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened(runtime {})", self.runtime)
    }
}

/// An answer, and whether it names a cycle.
#[cfg_attr(not(unix), expect(dead_code, reason = "nobody can ask"))]
struct Answer {
    text: String,
    cycles: bool,
}

/// The answer to a question; `None` for one that is not known.
#[cfg_attr(not(unix), expect(dead_code, reason = "nobody can ask"))]
fn answer(question: &str) -> Option<Answer> {
    let show: fn(&mut Answer, &Handle) = match question {
        "ps" => |answer, handle| answer.show(handle, |graph| graph.table().to_string()),
        "pstree" => |answer, handle| answer.show(handle, CallGraph::to_string),
        "stats" => |answer, handle| answer.text.push_str(&stats(handle)),
        _ => return None,
    };
    let handles = RUNTIMES.lock().clone();
    let mut answer = Answer { text: String::new(), cycles: false };
    if handles.is_empty() {
        answer.text.push_str("no runtime is running\n");
    }
    for handle in &handles {
        // Writing to a string does not fail.
        let _ = writeln!(answer.text, "runtime {} of process {}", handle.id(), std::process::id());
        show(&mut answer, handle);
    }
    Some(answer)
}

impl Answer {
    /// With stacks, unless that would disturb too many.
    fn show(&mut self, handle: &Handle, text: fn(&CallGraph) -> String) {
        let mut graph = handle.call_graph();
        if graph.tasks().len() > MOST_STACKS {
            let _ = writeln!(
                self.text,
                "more than {MOST_STACKS} tasks: they are not asked for their stacks, nor which promises and foreign futures they await"
            );
        } else {
            graph = handle.blocking_call_graph(PATIENCE);
        }
        self.text.push_str(&text(&graph));
        self.cycles |= !graph.cycles().is_empty();
    }
}

fn stats(handle: &Handle) -> String {
    let metrics = handle.metrics();
    let total = metrics.total();
    let (timers, blocking) = (&metrics.timers, &metrics.blocking);
    let mut text = String::new();
    for (name, value) in [
        ("tasks alive", metrics.tasks_alive as u64),
        ("tasks created", metrics.tasks_created),
        ("ready", metrics.ready as u64),
        ("ready, injected", metrics.ready_injected as u64),
        ("injected", metrics.injected),
        ("polls", total.polls),
        ("local pushes", total.local_pushes),
        ("last-in hits", total.last_in_hits),
        ("steals", total.steals),
        ("stolen", total.stolen),
        ("searches", total.searches),
        ("parks", total.parks),
        ("wakes", total.wakes),
        ("timers armed", timers.armed),
        ("timers fired", timers.fired),
        ("timers cancelled", timers.cancelled),
        ("blocking threads", blocking.threads as u64),
        ("blocking threads idle", blocking.idle as u64),
        ("blocking queued", blocking.queued as u64),
        ("blocking finished", blocking.finished),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}: {value}");
    }
    for (index, worker) in metrics.workers.iter().enumerate() {
        let _ = writeln!(text, "worker {index}: {} polls, busy {:.1?}", worker.polls, worker.busy);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_environment() {
        let all = Openings { signal: true, socket: true, record: true };
        assert_eq!(Openings::parse("signal, socket,record").unwrap(), all);
        assert_eq!(Openings::parse("").unwrap(), Openings::default());
        assert_eq!(Openings::parse("signal").unwrap(), Openings { signal: true, ..Openings::default() });
        assert!(Openings::parse("singal").unwrap_err().to_string().contains("singal"));
    }
}
