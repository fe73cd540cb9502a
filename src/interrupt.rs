//! Ctrl-C: the first one cancels the main task, the second one ends the process.
//!
//! Only on the process's main thread, and only while `SIGINT` has its default disposition: a program that handles or ignores the
//! signal itself keeps what it has. Where there are no such signals nothing is done, and Ctrl-C does what the system does.
//!
//! A signal handler may do next to nothing. Ours moves a state and writes a byte into a pipe; a thread that reads the pipe does the
//! rest. Each watch gets exactly one byte, from the handler or from its own end, so that nothing is left in the pipe for the next one:
//!
//! ```text
//!          Watch::begin            first Ctrl-C: the handler, which writes a byte
//!   IDLE ───────────────> ARMED ─────────────────────────────────────────────────> INTERRUPTED
//!    ^                      │ Watch::end, which writes a byte                           │
//!    └──────────────────────┴─────────────────────── Watch::end ────────────────────────┘
//! ```
//!
//! A signal that finds another state than `ARMED` ends the process.

#[cfg(not(unix))]
pub(crate) use elsewhere::{Watch, end_process};
#[cfg(unix)]
pub(crate) use unix::{Watch, end_process};

/// What a watch has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No Ctrl-C.
    Nothing,
    /// One, and the watch's action did something about it.
    Interrupt,
    /// One, too late for the action.
    LateInterrupt,
}

#[cfg(unix)]
mod unix {
    use super::Seen;
    use std::io::{self, PipeReader, PipeWriter, Read, Write};
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;
    use std::ptr;
    use std::sync::OnceLock;
    use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
    use std::sync::atomic::{AtomicI32, AtomicU8};
    use std::thread::{self, JoinHandle};

    /// No watch: a signal ends the process.
    const IDLE: u8 = 0;
    /// A watch waits for the first signal.
    const ARMED: u8 = 1;
    /// The first signal has come: another one ends the process.
    const INTERRUPTED: u8 = 2;

    /// The byte that the handler writes.
    const INTERRUPT: u8 = b'i';
    /// The byte that ends a watch which has seen no signal.
    const END: u8 = b'e';

    /// The exit status of a process that the signal should have ended but could not, as a shell counts it.
    const STATUS: i32 = 128 + libc::SIGINT;

    /// Where the process's one watch stands.
    static STATE: AtomicU8 = AtomicU8::new(IDLE);
    /// The pipe's writing end, for the handler.
    static WRITER: AtomicI32 = AtomicI32::new(-1);
    /// The pipe. Made once and never closed: a handler that is late must not write into a file that got the same number.
    static PIPE: OnceLock<(PipeReader, PipeWriter)> = OnceLock::new();

    /// Our handler is installed, and a thread waits for its byte.
    pub(crate) struct Watch {
        /// What was to be done about the signal before.
        before: libc::sigaction,
        /// Ends with its byte; what it has seen. `None` once joined.
        thread: Option<JoinHandle<Seen>>,
    }

    impl Watch {
        /// Begins a watch; `action` runs on a thread of its own at the first signal, and says whether it came in time. `None` where a
        /// watch is not our business, or not possible (R-20).
        pub(crate) fn begin(action: impl FnOnce() -> bool + Send + 'static) -> Option<Self> {
            let before = current_action()?;
            if !is_main_thread() || before.sa_sigaction != libc::SIG_DFL {
                return None;
            }
            let (reader, writer) = pipe().ok()?;
            // Relaxed: read by a handler that is installed by this thread, below.
            WRITER.store(writer.as_raw_fd(), Relaxed);
            // AcqRel, here and wherever the state moves: pairs with itself. Not idle: nested in another watch of this thread.
            STATE.compare_exchange(IDLE, ARMED, AcqRel, Acquire).ok()?;
            let thread =
                thread::Builder::new().name(String::from("runtime-ctrl-c")).spawn(move || watch(reader, action));
            let Ok(thread) = thread else {
                STATE.swap(IDLE, AcqRel);
                return None;
            };
            let watch = Self { before, thread: Some(thread) };
            // If that fails, dropping the watch ends the thread.
            install().then_some(watch)
        }

        /// Ends the watch; the former handler is put back, unless somebody has installed another one meanwhile.
        pub(crate) fn end(mut self) -> Seen {
            self.finish()
        }

        fn finish(&mut self) -> Seen {
            let Some(thread) = self.thread.take() else { return Seen::Nothing };
            if current_action().is_some_and(|action| action.sa_sigaction == handler_address()) {
                set_action(&self.before);
            }
            if STATE.swap(IDLE, AcqRel) == ARMED {
                // Nobody else writes now, and a pipe with room takes one byte whole.
                let (_, writer) = PIPE.get().expect("made by `begin`");
                (&mut &*writer).write_all(&[END]).expect("the pipe's other end is open");
            }
            // The action calls nothing that panics; if it does, it was at work.
            thread.join().unwrap_or(Seen::Interrupt)
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            self.finish();
        }
    }

    /// The life of a watch's thread.
    fn watch(mut reader: &'static PipeReader, action: impl FnOnce() -> bool) -> Seen {
        let mut byte = [END];
        // `read_exact` goes on when it is interrupted.
        match reader.read_exact(&mut byte) {
            Ok(()) if byte == [INTERRUPT] => {
                if action() {
                    Seen::Interrupt
                } else {
                    Seen::LateInterrupt
                }
            }
            _ => Seen::Nothing,
        }
    }

    fn pipe() -> io::Result<&'static (PipeReader, PipeWriter)> {
        if let Some(pipe) = PIPE.get() {
            return Ok(pipe);
        }
        let made = io::pipe()?;
        Ok(PIPE.get_or_init(|| made))
    }

    /// The handler. Uses only what POSIX lists as async-signal-safe, and lock-free atomics.
    extern "C" fn on_interrupt(_signal: libc::c_int) {
        if STATE.compare_exchange(ARMED, INTERRUPTED, AcqRel, Acquire).is_err() {
            die();
        }
        let byte = [INTERRUPT];
        // SAFETY: one byte, from the stack, into a pipe that is never closed. It has room, so this neither blocks nor fails, and leaves
        // `errno` alone.
        unsafe { libc::write(WRITER.load(Relaxed), byte.as_ptr().cast(), 1) };
    }

    /// Ends the process by `SIGINT`, so that its parent sees that. Async-signal-safe.
    fn die() -> ! {
        // SAFETY: plain calls on values of this frame. The signal is let through here even while its handler runs, so that `raise` does not
        // return, except where the default disposition does not end a process: process 1 of a container.
        unsafe {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            let mut interrupt = MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(interrupt.as_mut_ptr());
            libc::sigaddset(interrupt.as_mut_ptr(), libc::SIGINT);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, interrupt.as_ptr(), ptr::null_mut());
            libc::raise(libc::SIGINT);
            libc::_exit(STATUS)
        }
    }

    /// Ends the process as if the Ctrl-C that it obeyed had ended it, after writing out what was printed.
    pub(crate) fn end_process() -> ! {
        // A closed stdout is nothing to complain about at this point.
        let _ = io::stdout().flush();
        die()
    }

    fn handler_address() -> libc::sighandler_t {
        on_interrupt as extern "C" fn(libc::c_int) as *const () as libc::sighandler_t
    }

    /// What is to be done about the signal.
    fn current_action() -> Option<libc::sigaction> {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: writes the one structure that it is given; all its fields may be zero.
        unsafe {
            let told = libc::sigaction(libc::SIGINT, ptr::null(), action.as_mut_ptr());
            (told == 0).then(|| action.assume_init())
        }
    }

    /// Sets what is to be done; true if that worked.
    fn set_action(action: &libc::sigaction) -> bool {
        // SAFETY: reads the structure. Its handler is ours, which is async-signal-safe, or one that was installed before.
        unsafe { libc::sigaction(libc::SIGINT, action, ptr::null_mut()) == 0 }
    }

    fn install() -> bool {
        // SAFETY: all fields may be zero: no flags, no function.
        let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
        action.sa_sigaction = handler_address();
        // System calls of the program go on as if nothing had happened.
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: initialises the set that it is given.
        unsafe { libc::sigemptyset(&raw mut action.sa_mask) };
        set_action(&action)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn is_main_thread() -> bool {
        // SAFETY: both take nothing and give a number. (`gettid` is younger than some C libraries.)
        unsafe { libc::syscall(libc::SYS_gettid) == libc::c_long::from(libc::getpid()) }
    }

    #[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "openbsd", target_os = "dragonfly"))]
    fn is_main_thread() -> bool {
        // SAFETY: takes nothing and gives a number.
        unsafe { libc::pthread_main_np() == 1 }
    }

    /// Elsewhere the name that std gives to the main thread has to do.
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "openbsd",
        target_os = "dragonfly"
    )))]
    fn is_main_thread() -> bool {
        thread::current().name() == Some("main")
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::Seen;

    /// There is none here.
    pub(crate) enum Watch {}

    impl Watch {
        pub(crate) fn begin(_action: impl FnOnce() -> bool + Send + 'static) -> Option<Self> {
            None
        }

        pub(crate) fn end(self) -> Seen {
            match self {}
        }
    }

    /// Never called, because nothing is ever seen.
    pub(crate) fn end_process() -> ! {
        std::process::exit(130)
    }
}
