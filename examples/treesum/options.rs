//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const USAGE: &str = "\
Prints the SHA-256 of every regular file below the paths, sorted by path, for `sha256sum -c`.

Usage: treesum [--jobs N] [--timeout SECONDS] PATH...

  --jobs N           how many files and directories are read at a time (default: twice the processors)
  --timeout SECONDS  gives a file up that takes longer
  --help             shows this

Symbolic links are not followed. The exit status is 1 when something could not be read.";

/// What the user wants.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) paths: Vec<PathBuf>,
    /// How many blocking functions may run at a time.
    pub(crate) jobs: usize,
    /// How long hashing one file may take.
    pub(crate) timeout: Option<Duration>,
}

/// Why there is nothing to run.
pub(crate) enum Stop {
    Help,
    Wrong(String),
}

impl Stop {
    pub(crate) fn tell(&self) -> ExitCode {
        match self {
            Self::Help => {
                println!("{USAGE}");
                ExitCode::SUCCESS
            }
            Self::Wrong(what) => {
                eprintln!("treesum: {what}\n\n{USAGE}");
                ExitCode::from(2)
            }
        }
    }
}

impl Options {
    pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Self, Stop> {
        let jobs = thread::available_parallelism().map_or(2, |cores| cores.get() * 2);
        let mut options = Self { paths: Vec::new(), jobs, timeout: None };
        let mut args = args;
        let mut only_paths = false;
        while let Some(arg) = args.next() {
            match arg.to_str().filter(|_| !only_paths) {
                Some("--") => only_paths = true,
                Some("--help" | "-h") => return Err(Stop::Help),
                Some("--jobs" | "-j") => options.jobs = number(&arg, args.next())?,
                Some("--timeout") => options.timeout = Some(seconds(&arg, args.next())?),
                Some(unknown) if unknown.len() > 1 && unknown.starts_with('-') => {
                    return Err(Stop::Wrong(format!("there is no option {unknown}")));
                }
                _ => options.paths.push(PathBuf::from(arg)),
            }
        }
        if options.paths.is_empty() {
            return Err(Stop::Wrong(String::from("a path is missing")));
        }
        Ok(options)
    }
}

fn number(option: &OsString, value: Option<OsString>) -> Result<usize, Stop> {
    let number = value.as_ref().and_then(|value| value.to_str()?.parse().ok()).filter(|jobs| (1..=4096).contains(jobs));
    number.ok_or_else(|| wrong(option, "a number from 1 to 4096", value))
}

fn seconds(option: &OsString, value: Option<OsString>) -> Result<Duration, Stop> {
    let seconds = value.as_ref().and_then(|value| value.to_str()?.parse().ok());
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| wrong(option, "a number of seconds above 0", value))
}

fn wrong(option: &OsString, wanted: &str, value: Option<OsString>) -> Stop {
    let given = value.map_or_else(|| String::from("nothing"), |value| format!("{value:?}"));
    Stop::Wrong(format!("{} takes {wanted}, not {given}", option.display()))
}
