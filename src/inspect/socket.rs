//! Answers to the command `runtime-inspect`, over a Unix socket in a directory that only this user may enter.
//!
//! The directory is `runtime-inspect` in `XDG_RUNTIME_DIR`, else `/tmp/runtime-inspect-UID`; the socket `PID.sock` in it. A question
//! is one line; the answer is a line with the exit status that the command is to end with, then text. Who asks has to be this process's
//! user, or root: the directory says so, and the credentials of the connection are looked at as well.

use parking_lot::Mutex;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long one who asks is waited for: others may want to ask as well.
const PATIENCE: Duration = Duration::from_secs(5);
/// A question is no longer than this.
const LONGEST: u64 = 64;

/// How many are served, and by what.
static SERVED: Mutex<(usize, Option<Server>)> = Mutex::new((0, None));

/// The socket is there for as long as one of these lives.
pub(super) struct Served(());

impl Served {
    pub(super) fn new() -> io::Result<Self> {
        let mut served = SERVED.lock();
        if served.1.is_none() {
            served.1 = Some(Server::new()?);
        }
        served.0 += 1;
        Ok(Self(()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let mut served = SERVED.lock();
        served.0 -= 1;
        let last = if served.0 == 0 { served.1.take() } else { None };
        drop(served);
        drop(last);
    }
}

/// The socket and its thread.
struct Server {
    path: PathBuf,
    /// The thread is to end.
    over: Arc<AtomicBool>,
    /// `None` once it was joined.
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn new() -> io::Result<Self> {
        let directory = directory()?;
        remove_orphans(&directory);
        let path = directory.join(format!("{}.sock", std::process::id()));
        // Left behind by a process that had the same number.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = thread::Builder::new()
            .name(String::from("runtime-inspect-socket"))
            .spawn(move || serve(&listener, &is_over))?;
        Ok(Self { path, over, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `serve`.
        self.over.store(true, Release);
        // A connection that asks nothing wakes the thread. If there is none, because files have run out, the thread stays.
        let woken = UnixStream::connect(&self.path).is_ok();
        // It is of no use any more; if somebody has removed it, all the better.
        let _ = fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

/// The directory, made if need be.
fn directory() -> io::Result<PathBuf> {
    let of_session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let path = match of_session {
        Some(path) => path.join("runtime-inspect"),
        None => PathBuf::from(format!("/tmp/runtime-inspect-{}", user())),
    };
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    check(&path)?;
    Ok(path)
}

/// Removes the sockets of processes that were killed. What cannot be removed is in nobody's way.
fn remove_orphans(directory: &Path) {
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let process = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".sock")?.parse().ok());
        // Refused is also who has bound his socket just now, and gone is also who lives in another container.
        if process.is_some_and(is_gone)
            && UnixStream::connect(&path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_gone(process: libc::pid_t) -> bool {
    // SAFETY: signal 0 is none: this asks whether there is such a process.
    let told = unsafe { libc::kill(process, 0) };
    told != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

/// A directory that somebody else has put there, or that others may enter, is not taken.
fn check(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() && found.uid() == user() && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    let message = format!("{} has to be a directory of this user's that nobody else may enter", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

fn user() -> libc::uid_t {
    // SAFETY: takes nothing and gives a number.
    unsafe { libc::geteuid() }
}

/// The life of the thread.
fn serve(listener: &UnixListener, over: &AtomicBool) {
    for connection in listener.incoming() {
        // Acquire: pairs with the release in `Server::drop`.
        if over.load(Acquire) {
            return;
        }
        match connection {
            // Who asks and goes away is not worth a word.
            Ok(connection) => drop(converse(connection)),
            // Files have run out, perhaps: not again at once.
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn converse(mut connection: UnixStream) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let peer = peer(&connection)?;
    if peer != user() && peer != 0 {
        return connection.write_all(b"1\nonly the user of the process may ask\n");
    }
    let mut question = String::new();
    BufReader::new(Read::by_ref(&mut connection).take(LONGEST)).read_line(&mut question)?;
    let (status, text) = match super::answer(question.trim()) {
        Some(answer) => (u8::from(answer.cycles && question.trim() == "pstree"), answer.text),
        None => (2, format!("{:?} is no question: ps, pstree and stats are\n", question.trim())),
    };
    connection.write_all(format!("{status}\n{text}").as_bytes())
}

/// The user on the other end.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer(connection: &UnixStream) -> io::Result<libc::uid_t> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the file is open for the time of the call, and the pointers are to a structure and a number of the frame, of these sizes.
    let told = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    };
    if told == 0 { Ok(peer.uid) } else { Err(io::Error::last_os_error()) }
}

/// The user on the other end.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn peer(connection: &UnixStream) -> io::Result<libc::uid_t> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: the file is open for the time of the call, and the pointers are to numbers of the frame.
    let told = unsafe { libc::getpeereid(connection.as_raw_fd(), &raw mut user, &raw mut group) };
    if told == 0 { Ok(user) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_processes_that_were_killed_are_removed() {
        let directory = std::env::temp_dir().join(format!("runtime-inspect-orphans-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&directory).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let [gone, own, other] = [format!("{}.sock", child.id()), format!("{}.sock", std::process::id()), "x".into()]
            .map(|name: String| directory.join(name));
        // Nobody listens to any of them any more.
        for path in [&gone, &own, &other] {
            drop(UnixListener::bind(path).unwrap());
        }
        remove_orphans(&directory);
        let left = [gone, own, other].map(|path| path.exists());
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(left, [false, true, true]);
    }

    #[test]
    fn a_directory_that_others_may_enter_is_not_taken() {
        let path = std::env::temp_dir().join(format!("runtime-inspect-test-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        check(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        let said = check(&path).unwrap_err();
        let link = path.with_extension("link");
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let linked = check(&link).is_err();
        fs::remove_file(&link).unwrap();
        fs::remove_dir(&path).unwrap();
        assert_eq!(said.kind(), io::ErrorKind::PermissionDenied);
        assert!(linked);
    }
}
