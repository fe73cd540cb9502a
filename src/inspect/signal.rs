//! The picture on `SIGQUIT` (Ctrl-\ at a terminal), to stderr.
//!
//! Only where the program does not handle the signal itself: then it keeps what it has. The handler writes a byte into
//! a pipe; a thread that reads it does the rest, and stays for the life of the process.

use parking_lot::Mutex;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// The pipe's writing end, for the handler.
static WRITER: AtomicI32 = AtomicI32::new(-1);
/// How many are served, with what was to be done about the signal before the first one.
static SERVED: Mutex<State> = Mutex::new(State { count: 0, before: None, pipe: None });

struct State {
    count: usize,
    before: Option<libc::sigaction>,
    /// The pipe's writing end. Made once and never closed: a handler that is late must not write into a file that got the same number.
    pipe: Option<PipeWriter>,
}

/// The signal is obeyed for as long as one of these lives.
pub(super) struct Served(());

impl Served {
    pub(super) fn new() -> io::Result<Self> {
        let mut state = SERVED.lock();
        if state.count == 0 {
            state.begin()?;
        }
        state.count += 1;
        Ok(Self(()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let mut state = SERVED.lock();
        state.count -= 1;
        if state.count == 0 {
            state.end();
        }
    }
}

impl State {
    fn begin(&mut self) -> io::Result<()> {
        if self.pipe.is_none() {
            let (reader, writer) = io::pipe()?;
            thread::Builder::new().name(String::from("runtime-inspect-signal")).spawn(move || serve(reader))?;
            // Relaxed: read by a handler that is installed by this thread, below.
            WRITER.store(writer.as_raw_fd(), Relaxed);
            self.pipe = Some(writer);
        }
        let before = current_action()?;
        // A shell lets what it runs in the background ignore the signal; that is not the program's wish.
        if ![libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction) {
            // The program's own.
            return Ok(());
        }
        // SAFETY: all fields may be zero: no flags, no function.
        let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
        action.sa_sigaction = handler_address();
        // System calls of the program go on as if nothing had happened.
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: initialises the set that it is given.
        unsafe { libc::sigemptyset(&raw mut action.sa_mask) };
        set_action(&action)?;
        self.before = Some(before);
        Ok(())
    }

    /// The former handler is put back, unless somebody has installed another one meanwhile.
    fn end(&mut self) {
        if let Some(before) = self.before.take()
            && current_action().is_ok_and(|action| action.sa_sigaction == handler_address())
        {
            // If it fails, the thread goes on to say that there is no runtime.
            let _ = set_action(&before);
        }
    }
}

/// The life of the thread.
fn serve(mut reader: PipeReader) {
    let mut byte = [0];
    while reader.read_exact(&mut byte).is_ok() {
        if let Some(answer) = super::answer("pstree") {
            // Not `eprint!`, which panics when stderr is closed.
            let _ = io::stderr().write_all(answer.text.as_bytes());
        }
    }
}

/// The handler. Uses only what POSIX lists as async-signal-safe, and a lock-free atomic.
extern "C" fn on_signal(_signal: libc::c_int) {
    let byte = [b'q'];
    // SAFETY: this thread's own. Saved and put back, for the write below may change it, when the pipe is full of signals.
    let before = unsafe { *errno() };
    // SAFETY: one byte, from the stack, into a pipe that is never closed, whose reader takes all that comes.
    unsafe { libc::write(WRITER.load(Relaxed), byte.as_ptr().cast(), 1) };
    // SAFETY: as above.
    unsafe { *errno() = before };
}

#[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "hurd", target_os = "redox"))]
fn errno() -> *mut libc::c_int {
    // SAFETY: takes nothing and gives this thread's place.
    unsafe { libc::__errno_location() }
}

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
fn errno() -> *mut libc::c_int {
    // SAFETY: takes nothing and gives this thread's place.
    unsafe { libc::__error() }
}

#[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
fn errno() -> *mut libc::c_int {
    // SAFETY: takes nothing and gives this thread's place.
    unsafe { libc::__errno() }
}

fn handler_address() -> libc::sighandler_t {
    on_signal as extern "C" fn(libc::c_int) as *const () as libc::sighandler_t
}

/// What is to be done about the signal.
fn current_action() -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: writes the one structure that it is given; all its fields may be zero.
    unsafe {
        match libc::sigaction(libc::SIGQUIT, ptr::null(), action.as_mut_ptr()) {
            0 => Ok(action.assume_init()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn set_action(action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: reads the structure. Its handler is ours, which is async-signal-safe, or one that was installed before.
    match unsafe { libc::sigaction(libc::SIGQUIT, action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
