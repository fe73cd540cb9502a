//! The stack of a thread that is stuck, taken by another one. Linux on x86-64 only, and only when asked for.
//!
//! A signal goes to the thread. Its handler copies three registers and the end of the stack into a buffer that is there from the start, and
//! returns: no lock, no allocation, no unwinding in a place where any lock may be held. The copying is done by the kernel (`process_vm_readv` on the own
//! process), which gives an error instead of a fault where the stack ends. What is called, from where, is then worked out
//! from the copy by the thread that asked, with the unwind tables of the program; and names are looked up there too.
//!
//! What remains of risk, and is why it is not the default:
//!
//! * system calls of the thread that are not restarted (`nanosleep`, `poll`, …) return `EINTR`; std copes, foreign code may not;
//! * the signal is a real-time one that was free when the first runtime that may need it was built. Code that takes it later for itself gets ours.
//!
//! A thread that blocks the signal, or sleeps so deep that no signal reaches it, is reported without its stack.

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder};
use parking_lot::Mutex;
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize};
use std::thread;
use std::time::{Duration, Instant};

/// How much of a stack is copied: what is further up is of little interest, and is left out.
const COPIED: usize = 256 << 10;
/// The kernel copies in such pieces: one that cannot be read ends the copy.
const PIECE: usize = 4096;
/// How long to wait for the thread to answer. Picked out of thin air: long for a thread that can, short for one that asks.
const PATIENCE: Duration = Duration::from_millis(500);
/// Frames further up are left out.
const FRAMES: usize = 128;

/// A thread as the kernel knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadId(libc::pid_t);

impl ThreadId {
    pub(crate) fn current() -> Self {
        // SAFETY: takes nothing and gives a number.
        Self(unsafe { libc::gettid() })
    }
}

/// The one sample that can be under way in the process.
struct Sample {
    /// `IDLE`, `ASKED`, `TAKING`, `TAKEN`: whose the rest is. The asker's but in `TAKING`.
    state: AtomicU32,
    /// Who is to answer.
    thread: AtomicI32,
    pc: AtomicU64,
    sp: AtomicU64,
    bp: AtomicU64,
    /// How much of the buffer is filled.
    len: AtomicUsize,
    stack: UnsafeCell<[u8; COPIED]>,
}

const IDLE: u32 = 0;
const ASKED: u32 = 1;
const TAKING: u32 = 2;
const TAKEN: u32 = 3;

// SAFETY: the buffer is written in `TAKING` by the thread that made it so, and read in `TAKEN` under the lock `ASKING`.
unsafe impl Sync for Sample {}

static SAMPLE: Sample = Sample {
    state: AtomicU32::new(IDLE),
    thread: AtomicI32::new(0),
    pc: AtomicU64::new(0),
    sp: AtomicU64::new(0),
    bp: AtomicU64::new(0),
    len: AtomicUsize::new(0),
    stack: UnsafeCell::new([0; COPIED]),
};

/// Held by whoever asks.
static ASKING: Mutex<()> = Mutex::new(());

/// The signal, once there is one.
static SIGNAL: Mutex<Option<c_int>> = Mutex::new(None);

/// Takes a signal that nobody uses, at the first call.
///
/// # Errors
///
/// When there is none, or the system refuses.
pub(crate) fn install() -> io::Result<()> {
    let mut signal = SIGNAL.lock();
    if signal.is_some() {
        return Ok(());
    }
    let free = (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(|signal| is_free(*signal));
    let free =
        free.ok_or_else(|| io::Error::other("every real-time signal is in use: there is none for `stuck_stacks`"))?;
    // SAFETY: a valid structure when all is zero; filled in below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as *const () as usize;
    // On the thread's stack for signals, where it has one, for it may be near the end of its own.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the handler does nothing but what a handler may.
    if unsafe { libc::sigaction(free, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    *signal = Some(free);
    Ok(())
}

fn is_free(signal: c_int) -> bool {
    // SAFETY: a valid structure when all is zero.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks only.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_DFL
}

/// The handler. May run at any moment in any code of the thread: system calls and atomics only.
extern "C" fn handle(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: gives the address of the thread's own variable.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    // Relaxed: a signal that comes too late finds another thread here, or another state.
    let for_me = SAMPLE.thread.load(Relaxed) == ThreadId::current().0;
    // Acquire: pairs with the release in `ask`.
    if for_me && SAMPLE.state.compare_exchange(ASKED, TAKING, AcqRel, Relaxed).is_ok() {
        // SAFETY: the kernel gives the interrupted registers to a handler with `SA_SIGINFO`.
        let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        let register = |name: c_int| registers[name as usize].cast_unsigned();
        SAMPLE.pc.store(register(libc::REG_RIP), Relaxed);
        SAMPLE.bp.store(register(libc::REG_RBP), Relaxed);
        let sp = register(libc::REG_RSP);
        SAMPLE.sp.store(sp, Relaxed);
        SAMPLE.len.store(copy_stack(sp as usize), Relaxed);
        // Release: pairs with the acquire in `wait`.
        SAMPLE.state.store(TAKEN, Release);
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Copies from `from` upwards, as far as there is memory and room; gives how much that was.
fn copy_stack(from: usize) -> usize {
    // SAFETY: takes nothing and gives a number.
    let process = unsafe { libc::getpid() };
    let mut len = 0;
    while len < COPIED {
        let from = from + len;
        // Up to the end of the page, so that a piece is there as a whole or not at all.
        let piece = (PIECE - from % PIECE).min(COPIED - len);
        // SAFETY: within the buffer, which is this thread's in `TAKING`.
        let to = unsafe { SAMPLE.stack.get().cast::<u8>().add(len) };
        let local = libc::iovec { iov_base: to.cast(), iov_len: piece };
        let remote = libc::iovec { iov_base: from as *mut c_void, iov_len: piece };
        // SAFETY: the kernel writes into the piece of the buffer only, and checks the other address.
        let copied = unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
        if copied != piece as isize {
            break;
        }
        len += piece;
    }
    len
}

/// What the thread is doing: where it is, and who called. `None` when it does not answer.
///
/// The caller sees to it that the thread does not end meanwhile. Not to be called by a thread about itself.
pub(crate) fn sample(thread: ThreadId) -> Option<Frames> {
    let signal = (*SIGNAL.lock())?;
    let _one_at_a_time = ASKING.lock();
    ask(thread, signal);
    let taken = wait();
    let frames = taken.then(unwind);
    // Relaxed: given to the next asker by the lock.
    SAMPLE.state.store(IDLE, Relaxed);
    frames.filter(|frames| !frames.0.is_empty())
}

fn ask(thread: ThreadId, signal: c_int) {
    SAMPLE.thread.store(thread.0, Relaxed);
    // Release: pairs with the acquire in the handler.
    SAMPLE.state.store(ASKED, Release);
    // SAFETY: sends a signal for which `install` has set a handler to a thread that exists, by the caller's promise. If it fails, nobody answers.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread.0, signal) };
}

/// Waits for the answer; false when there is none. After that nobody writes to the sample.
fn wait() -> bool {
    let limit = Instant::now() + PATIENCE;
    // Acquire: pairs with the release in the handler.
    while SAMPLE.state.load(Acquire) != TAKEN {
        // Relaxed: nothing was written.
        if Instant::now() >= limit && SAMPLE.state.compare_exchange(ASKED, IDLE, Relaxed, Relaxed).is_ok() {
            return false;
        }
        // In `TAKING` it will not be long.
        thread::sleep(Duration::from_micros(100));
    }
    true
}

fn unwind() -> Frames {
    let sp = SAMPLE.sp.load(Relaxed);
    // SAFETY: in `TAKEN` the buffer is the asker's, who has the lock.
    let stack = unsafe { &(&*SAMPLE.stack.get())[..SAMPLE.len.load(Relaxed)] };
    let mut read = |address: u64| {
        let at = usize::try_from(address.checked_sub(sp).ok_or(())?).map_err(|_| ())?;
        let word = stack.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or(())?;
        Ok(u64::from_ne_bytes(*word))
    };
    let mut unwinder = UnwinderX86_64::<Vec<u8>>::new();
    modules().into_iter().for_each(|module| unwinder.add_module(module));
    let pc = SAMPLE.pc.load(Relaxed);
    let registers = UnwindRegsX86_64::new(pc, sp, SAMPLE.bp.load(Relaxed));
    let mut cache = CacheX86_64::<_>::new();
    let mut frames = unwinder.iter_frames(pc, registers, &mut cache, &mut read);
    // An error is the end of what can be told.
    let addresses = std::iter::from_fn(|| frames.next().ok().flatten());
    Frames(addresses.map(FrameAddress::address_for_lookup).take(FRAMES).collect())
}

/// The unwind tables of everything that is loaded. Copies: what is unloaded while they are used does no harm then.
fn modules() -> Vec<Module<Vec<u8>>> {
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _size: usize, to: *mut c_void) -> c_int {
        // SAFETY: the pointers that `dl_iterate_phdr` was given and gives; nothing is unloaded while it runs.
        let (info, modules) = unsafe { (&*info, &mut *to.cast::<Vec<Module<Vec<u8>>>>()) };
        // SAFETY: as above.
        modules.extend(unsafe { module_of(info) });
        0
    }

    let mut modules = Vec::new();
    // SAFETY: `visit` takes what is handed in here.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut modules).cast()) };
    modules
}

/// # Safety
///
/// The module is loaded, and stays so meanwhile.
unsafe fn module_of(info: &libc::dl_phdr_info) -> Option<Module<Vec<u8>>> {
    // SAFETY: so many headers are there.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let base = info.dlpi_addr;
    let range = |header: &libc::Elf64_Phdr| header.p_vaddr..header.p_vaddr + header.p_memsz;
    let loaded: Vec<_> = headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(range).collect();
    let index = range(headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME)?);
    let segment_of = |address: u64| loaded.iter().find(|segment| segment.contains(&address));
    segment_of(index.start)?;
    // SAFETY: lies in a loaded segment.
    let index_bytes = unsafe { copy(base, &index) };
    // Version 1; the table's address as four bytes, relative to where they stand. All linkers write it so.
    let [1, 0x1b, ..] = *index_bytes else { return None };
    let offset = i32::from_ne_bytes(*index_bytes.get(4..)?.first_chunk()?);
    let start = (index.start + 4).checked_add_signed(i64::from(offset))?;
    let table = start..segment_of(start)?.end;
    // SAFETY: as above.
    let table_bytes = unsafe { copy(base, &table) };
    let whole = base + loaded.iter().map(|segment| segment.start).min()?
        ..base + loaded.iter().map(|segment| segment.end).max()?;
    let sections = ExplicitModuleSectionInfo {
        base_svma: 0,
        eh_frame_svma: Some(table),
        eh_frame: Some(table_bytes),
        eh_frame_hdr_svma: Some(index),
        eh_frame_hdr: Some(index_bytes),
        ..ExplicitModuleSectionInfo::default()
    };
    Some(Module::new(String::new(), whole, base, sections))
}

/// # Safety
///
/// The range lies in a loaded segment of the module at `base`, which is readable.
unsafe fn copy(base: u64, range: &Range<u64>) -> Vec<u8> {
    let start = (base + range.start) as *const u8;
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts(start, (range.end - range.start) as usize) }.to_vec()
}

/// Addresses of code, the innermost first.
#[derive(Debug)]
pub(crate) struct Frames(Vec<u64>);

impl fmt::Display for Frames {
    /// One line for each function, and one for its place, as std prints them; resolves the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<usize> = self.0.iter().map(|address| *address as usize).collect();
        for (number, frame) in crate::inspect::stack::functions(&addresses).into_iter().enumerate() {
            write!(f, "\n{number:4}: {}", frame.function)?;
            if let (Some(file), Some(line)) = (frame.file, frame.line) {
                write!(f, "\n             at {file}:{line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[inline(never)]
    fn waits_here(begins: &mpsc::Sender<ThreadId>, end: &mpsc::Receiver<()>) {
        begins.send(ThreadId::current()).unwrap();
        let _ended = end.recv();
        std::hint::black_box(());
    }

    #[inline(never)]
    fn spins_here(begins: &mpsc::Sender<ThreadId>, end: &mpsc::Receiver<()>) {
        begins.send(ThreadId::current()).unwrap();
        while end.try_recv() == Err(mpsc::TryRecvError::Empty) {
            std::hint::spin_loop();
        }
    }

    /// Says again and again what the thread is doing until that is `wished`.
    fn sampled(body: fn(&mpsc::Sender<ThreadId>, &mpsc::Receiver<()>), wished: &str) {
        install().unwrap();
        let (begins, began) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let thread = thread::spawn(move || body(&begins, &ended));
        let id = began.recv().unwrap();
        loop {
            let text = sample(id).map_or_else(String::new, |frames| frames.to_string());
            if text.contains(wished) && text.contains("waits_here") | text.contains("spins_here") {
                break;
            }
        }
        end.send(()).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn a_thread_in_a_system_call_is_seen_with_its_callers() {
        sampled(waits_here, "recv");
    }

    #[test]
    fn a_thread_that_computes_is_seen_with_its_callers() {
        sampled(spins_here, "spins_here");
    }

    #[test]
    fn a_thread_that_has_ended_does_not_answer() {
        install().unwrap();
        let id = thread::spawn(ThreadId::current).join().unwrap();
        assert!(sample(id).is_none());
    }
}
