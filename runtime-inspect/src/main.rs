//! `runtime-inspect ps|pstree|stats PID`: asks a live process where its tasks are.
//!
//! The process has to be told to answer: by `RUNTIME_INSPECT=socket` in its environment, or by `Runner::builder().inspect_socket(true)`.
//! Ends with status 1 when the process cannot be asked, and for `pstree` also when tasks await each other in a cycle; with 2 when
//! it is called wrongly.

use std::process::ExitCode;

const USAGE: &str = "\
usage: runtime-inspect COMMAND PID

  ps      a table: one row per task
  pstree  a tree: who awaits whom, and with which stacks
  stats   counters

The process has to be started with RUNTIME_INSPECT=socket.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (question, process) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["--version" | "-V"] => {
            println!("runtime-inspect {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        [question @ ("ps" | "pstree" | "stats"), process] => (question, process.parse::<u32>()),
        _ => return wrong(USAGE),
    };
    let Ok(process) = process else { return wrong("the process is given by its number") };
    match ask(question, process) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("runtime-inspect: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wrong(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(2)
}

#[cfg(unix)]
fn ask(question: &str, process: u32) -> std::io::Result<u8> {
    use std::io::{BufRead, BufReader, Write};
    let mut connection = unix::connect(process)?;
    writeln!(connection, "{question}")?;
    let mut answer = BufReader::new(connection);
    let mut status = String::new();
    answer.read_line(&mut status)?;
    let status = status.trim().parse().map_err(|_| std::io::Error::other("the process does not answer"))?;
    match std::io::copy(&mut answer, &mut std::io::stdout()) {
        // Somebody has read enough, as `head` does.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(status),
        copied => copied.map(|_| status),
    }
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};

    /// Connects to the socket of a process, in one of the directories where it may be.
    pub(super) fn connect(process: u32) -> io::Result<UnixStream> {
        let user = fs::metadata(format!("/proc/{process}")).map(|found| found.uid());
        let of_session = std::env::var_os("XDG_RUNTIME_DIR").map(|path| PathBuf::from(path).join("runtime-inspect"));
        let directories = of_session.into_iter().chain(user.iter().flat_map(|user| {
            [format!("/run/user/{user}/runtime-inspect"), format!("/tmp/runtime-inspect-{user}")].map(PathBuf::from)
        }));
        // Where there is no `/proc`, the directories of all users are looked at; only the own one can be entered.
        let others = fs::read_dir("/tmp").into_iter().flatten().flatten().map(|entry| entry.path());
        let others = others
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("runtime-inspect-")));
        let mut last = None;
        for directory in directories.chain(others) {
            let path = directory.join(format!("{process}.sock"));
            match UnixStream::connect(&path) {
                Ok(connection) => return check(&directory).map(|()| connection),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => last = Some(error),
                Err(_) => {}
            }
        }
        let is_gone = user.is_err() && Path::new("/proc/self").exists();
        let unknown = if is_gone {
            format!("there is no process {process}")
        } else {
            format!("process {process} does not answer: was it started with RUNTIME_INSPECT=socket?")
        };
        Err(last.map_or_else(
            || io::Error::new(io::ErrorKind::NotFound, unknown),
            |error| io::Error::new(error.kind(), format!("process {process} is another user's: {error}")),
        ))
    }

    /// Believes nothing that is said in a directory which others than its owner may write to.
    fn check(directory: &Path) -> io::Result<()> {
        match fs::symlink_metadata(directory)?.mode() & 0o077 {
            0 => Ok(()),
            _ => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} is open to others", directory.display()),
            )),
        }
    }
}

#[cfg(not(unix))]
fn ask(_question: &str, _process: u32) -> std::io::Result<u8> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "this needs a Unix system"))
}
