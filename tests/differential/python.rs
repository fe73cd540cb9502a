//! Finds CPython and lets it run programs.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::trace::Trace;

/// The oldest version taken: the first 3.11s had a `timeout` that compared counts with 0 (TO-19).
const OLDEST: Version = (3, 11, 7);

/// Major, minor, micro.
pub(crate) type Version = (u32, u32, u32);

/// A CPython that can run interpret.py.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Python {
    pub(crate) version: Version,
    /// The executable.
    path: PathBuf,
}

impl Python {
    /// The CPythons of this machine that are new enough, newest first. `DIFFERENTIAL_PYTHON` names the
    /// one to use instead.
    pub(crate) fn all() -> Vec<Self> {
        let paths = match env::var_os("DIFFERENTIAL_PYTHON") {
            Some(path) => vec![PathBuf::from(path)],
            None => usual_paths(),
        };
        let mut found: Vec<_> = paths.into_iter().filter_map(Self::probe).collect();
        found.sort_by_key(|python| std::cmp::Reverse(python.version));
        found.dedup_by_key(|python| python.version);
        found
    }

    /// Asks an executable what it is.
    fn probe(path: PathBuf) -> Option<Self> {
        let question = "import sys; print(sys.implementation.name, *sys.version_info[:3])";
        let output = Command::new(&path).args(["-c", question]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut words = text.split_whitespace();
        if !output.status.success() || words.next() != Some("cpython") {
            return None;
        }
        let mut number = || words.next()?.parse().ok();
        let version = (number()?, number()?, number()?);
        (version >= OLDEST).then_some(Self { version, path })
    }

    /// Runs each program with `shuffles` shuffled schedules; the traces are in the order of the programs.
    ///
    /// # Panics
    ///
    /// When the interpreter fails or does not understand a program.
    pub(crate) fn run(&self, shuffles: u64, programs: &[String]) -> Vec<Trace> {
        let mut child = self.start();
        let mut input = child.stdin.take().expect("standard input is piped");
        let requests: String = programs.iter().map(|program| format!("{shuffles} {program}\n")).collect();
        // A thread of its own, for the pipes of both directions may fill up.
        let writer = thread::spawn(move || input.write_all(requests.as_bytes()));
        let output = child.stdout.take().expect("standard output is piped");
        let traces = BufReader::new(output)
            .lines()
            .zip(programs)
            .map(|(line, program)| {
                let line = line.expect("the interpreter can be read from");
                Trace::parse(&line).unwrap_or_else(|error| panic!("{program}: {error}"))
            })
            .collect::<Vec<_>>();
        writer.join().expect("no panic").expect("the interpreter reads all programs");
        assert!(child.wait().is_ok_and(|status| status.success()));
        assert_eq!(traces.len(), programs.len(), "an answer for each program");
        traces
    }

    fn start(&self) -> Child {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/interpret.py");
        Command::new(&self.path)
            .args(["-I", "-X", "utf8"])
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter starts")
    }
}

/// Where a CPython may be: on the path under its usual names, and in pyenv's directory.
fn usual_paths() -> Vec<PathBuf> {
    let minors = (OLDEST.1..OLDEST.1 + 10).map(|minor| format!("python3.{minor}"));
    let named = minors.chain(["python3".to_owned(), "python".to_owned()]);
    named.map(PathBuf::from).chain(pyenv_paths()).collect()
}

fn pyenv_paths() -> Vec<PathBuf> {
    let root = env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok());
    versions.into_iter().flatten().flatten().map(|version| version.path().join("bin").join("python3")).collect()
}
