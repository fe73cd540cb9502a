//! On what was measured: machine, compiler, versions, load.

use std::fs::read_to_string;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

/// The lock file that this program was built with.
const LOCK: &str = include_str!("../../Cargo.lock");
/// Packages whose version a number depends on.
const PACKAGES: [&str; 6] = ["tokio", "async-executor", "async-task", "async-io", "blocking", "crossbeam-deque"];

/// Everything that a reader needs to repeat it.
pub fn describe() -> Value {
    let versions: serde_json::Map<_, _> = PACKAGES.iter().map(|name| ((*name).into(), version(name).into())).collect();
    json!({
        "cpu": cpu(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": proc_line("/proc/meminfo", "MemTotal"),
        "kernel": said("uname", &["-srm"]),
        "rustc": env!("COMPARE_RUSTC"),
        "profile": env!("COMPARE_PROFILE"),
        "commit": said("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
        "date": said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "versions": versions,
        "load_before": load(),
    })
}

/// Load averages over 1, 5 and 15 minutes; other work makes numbers worthless.
pub fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// CPU time that the machine and the ended children of this process have used.
pub struct Usage {
    /// All cores, all processes.
    machine: f64,
    /// Ended children.
    children: f64,
    /// When that was.
    at: Instant,
}

impl Usage {
    /// As of now.
    pub fn now() -> Self {
        Self { machine: machine_seconds(), children: children_seconds(), at: Instant::now() }
    }

    /// Per cent of the machine's CPU time since then that went to others than
    /// children of this process. Counted in ticks of 10 ms, so a guess.
    pub fn others_pct(&self) -> f64 {
        let now = Self::now();
        let others = (now.machine - self.machine) - (now.children - self.children);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let there_was = (now.at - self.at).as_secs_f64() * cores as f64;
        (100.0 * others / there_was).clamp(0.0, 100.0)
    }
}

/// Busy time of all cores, or zero where the system does not tell.
fn machine_seconds() -> f64 {
    let text = read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, then idle and iowait, then interrupts and what the host took.
    let busy = ticks.iter().take(8).sum::<f64>() - ticks.iter().skip(3).take(2).sum::<f64>();
    // SAFETY: `sysconf` has no preconditions.
    busy / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
}

fn children_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a valid place to write to, and all zeroes are a valid value.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// A few lines above the table.
pub fn heading(document: &Value) -> String {
    let machine = &document["machine"];
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!(
        "{}, {} cores, {}\n{}, commit {}, {}\ntokio {}, async-executor {}, async-io {}, blocking {}\n\
         {} rounds{}; load before {}, after {}; others used {:.0} % of the CPU (median), at most {:.0} %\n",
        text(&machine["cpu"]),
        machine["cores"],
        text(&machine["kernel"]),
        text(&machine["rustc"]),
        text(&machine["commit"]),
        text(&machine["date"]),
        text(&machine["versions"]["tokio"]),
        text(&machine["versions"]["async-executor"]),
        text(&machine["versions"]["async-io"]),
        text(&machine["versions"]["blocking"]),
        document["rounds"],
        if document["quick"] == true { ", quick" } else { "" },
        text(&machine["load_before"]),
        text(&document["load_after"]),
        document["others_pct"]["median"].as_f64().unwrap_or(0.0),
        document["others_pct"]["most"].as_f64().unwrap_or(0.0),
    )
}

fn cpu() -> String {
    proc_line("/proc/cpuinfo", "model name")
}

/// What stands after the colon in the first line that begins with `key`.
fn proc_line(file: &str, key: &str) -> String {
    let text = read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    line.and_then(|line| line.split_once(':')).map_or("?".into(), |(_, value)| value.trim().into())
}

fn said(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().into(),
        _ => "?".into(),
    }
}

fn version(package: &str) -> String {
    let name = format!("name = \"{package}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != name);
    let line = lines.nth(1).and_then(|line| line.strip_prefix("version = "));
    line.map_or("?".into(), |version| version.trim_matches('"').into())
}
