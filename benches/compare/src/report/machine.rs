//! On what was measured: machine, compiler, versions, load.

use std::fs::read_to_string;
use std::process::Command;

use serde_json::{Value, json};

/// The lock file that this program was built with.
const LOCK: &str = include_str!("../../Cargo.lock");
/// Packages whose version a number depends on.
const PACKAGES: [&str; 6] = [
    "tokio",
    "async-executor",
    "async-task",
    "async-io",
    "blocking",
    "crossbeam-deque",
];

/// Everything that a reader needs to repeat it.
pub fn describe() -> Value {
    let versions: serde_json::Map<_, _> = PACKAGES
        .iter()
        .map(|name| ((*name).into(), version(name).into()))
        .collect();
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

/// A few lines above the table.
pub fn heading(document: &Value) -> String {
    let machine = &document["machine"];
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!(
        "{}, {} cores, {}\n{}, commit {}, {}\ntokio {}, async-executor {}, async-io {}, blocking {}\n\
         {} rounds{}; load before {}, after {}\n",
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
        if document["quick"] == true {
            ", quick"
        } else {
            ""
        },
        text(&machine["load_before"]),
        text(&document["load_after"]),
    )
}

fn cpu() -> String {
    proc_line("/proc/cpuinfo", "model name")
}

/// What stands after the colon in the first line that begins with `key`.
fn proc_line(file: &str, key: &str) -> String {
    let text = read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    line.and_then(|line| line.split_once(':'))
        .map_or("?".into(), |(_, value)| value.trim().into())
}

fn said(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().into()
        }
        _ => "?".into(),
    }
}

fn version(package: &str) -> String {
    let name = format!("name = \"{package}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != name);
    let line = lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = "));
    line.map_or("?".into(), |version| version.trim_matches('"').into())
}
