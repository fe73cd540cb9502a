//! Starts a process for each case and looks at its end.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, process, thread};

/// Says which part this process plays, and which round of it.
const PART: &str = "RUNTIME_TEST_FAULT";
const ROUND: &str = "RUNTIME_TEST_FAULT_ROUND";
/// No case takes this long, also on a machine under load; one that does hangs.
const TOO_LONG: Duration = Duration::from_secs(600);
/// What a part says last that has gone well.
const WELL: &str = "went well";

/// A fault, and how it must end.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What is done, given the number of the round.
    pub(crate) part: fn(u64),
    /// How often.
    pub(crate) rounds: u64,
    pub(crate) end: End,
}

/// How the process of a case ends.
pub(crate) enum End {
    /// The part returns.
    Well,
    /// With this code, and this on stderr.
    Code(i32, &'static str),
    /// Aborted, with this on stderr.
    Aborted(&'static str),
    /// Well, or aborted with this on stderr: it depends on the round.
    WellOrAborted(&'static str),
}

struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

pub(crate) fn main(cases: &[&[Case]]) {
    let cases = || cases.iter().copied().flatten();
    if let Ok(part) = env::var(PART) {
        let round = env::var(ROUND).ok().and_then(|round| round.parse().ok()).unwrap_or(0);
        let case = cases().find(|case| case.name == part).expect("a case of this name");
        (case.part)(round);
        println!("{WELL}");
        return;
    }
    let filters: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut failed = 0;
    for case in cases().filter(|case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter))) {
        match judge(case) {
            Ok(how) => println!("fault {} ... ok{how}", case.name),
            Err(why) => {
                failed += 1;
                println!("fault {} ... FAILED\n{why}", case.name);
            }
        }
    }
    if failed > 0 {
        println!("{failed} failed");
        process::exit(1);
    }
}

/// All rounds of a case.
fn judge(case: &Case) -> Result<String, String> {
    let mut aborted = 0;
    for round in 0..case.rounds {
        let ended = play(case, round)?;
        let well = ended.status.success() && ended.stdout.ends_with(&format!("{WELL}\n"));
        let abort = |message: &str| ended.status.signal() == Some(libc::SIGABRT) && ended.stderr.contains(message);
        let right = match &case.end {
            End::Well => well,
            End::Code(code, message) => ended.status.code() == Some(*code) && ended.stderr.contains(message),
            End::Aborted(message) => abort(message),
            End::WellOrAborted(message) => well || abort(message),
        };
        if !right {
            return Err(format!("round {round}: {}\n{}\n{}", ended.status, ended.stdout, ended.stderr));
        }
        aborted += usize::from(!well);
    }
    Ok(match case.end {
        End::WellOrAborted(_) if aborted == 0 => return Err("no round was aborted: the fault was not made".into()),
        End::WellOrAborted(_) => format!(" ({} rounds, {aborted} aborted)", case.rounds),
        _ => String::new(),
    })
}

fn play(case: &Case, round: u64) -> Result<Ended, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let mut player = Command::new(own)
        .env(PART, case.name)
        .env(ROUND, round.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let read = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = from.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = read(Box::new(player.stdout.take().expect("piped")));
    let stderr = read(Box::new(player.stderr.take().expect("piped")));
    let (over, watched) = mpsc::channel::<()>();
    let pid = player.id() as libc::pid_t;
    let watch = thread::spawn(move || {
        let hangs = watched.recv_timeout(TOO_LONG) == Err(mpsc::RecvTimeoutError::Timeout);
        if hangs {
            // SAFETY: a plain call; the process is waited for when this thread has ended or is told that it is over.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        hangs
    });
    // They end with the process.
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    drop(over);
    let hangs = watch.join().unwrap();
    let status = player.wait().map_err(|error| error.to_string())?;
    let ended = Ended { status, stdout, stderr };
    if hangs {
        return Err(format!("round {round} hangs\n{}\n{}", ended.stdout, ended.stderr));
    }
    Ok(ended)
}

/// Sets the soft limit of a resource; the hard one stays, so that it can be raised again.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, to: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: takes a pointer to a structure that lives.
    let got = unsafe { libc::getrlimit(resource, &raw mut limit) };
    limit.rlim_cur = to.min(limit.rlim_max);
    // SAFETY: as above.
    let set = unsafe { libc::setrlimit(resource, &raw const limit) };
    assert_eq!((got, set), (0, 0), "{}", std::io::Error::last_os_error());
}

/// Becomes a user whose number of threads can be limited: the limit does not bind root.
pub(crate) fn become_nobody() {
    // SAFETY: concerns the whole process, which has one thread yet.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgid(65_534), 0);
            // A number that nobody else uses: the limit counts all processes of a user.
            assert_eq!(libc::setuid(61_000 + std::process::id() % 4_000), 0);
        }
    }
}

/// How many threads this process has.
pub(crate) fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").expect("there is one").count()
}

/// Waits until only so many threads are left.
pub(crate) fn wait_for_threads(count: usize) {
    while thread_count() > count {
        thread::yield_now();
    }
}
