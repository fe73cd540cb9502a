//! The process: signals, forks, exits, panics, closed outputs.

use crate::judge::{Case, End};
use runtime::{
    BlockingResult, Runner, TaskGroup, all_tasks, create_task, gather, run, run_coroutine_threadsafe, sleep, to_thread,
    yield_now,
};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    Case { name: "signals_in_the_middle_of_everything", part: signals, rounds: 1, end: End::Well },
    Case { name: "a_fork_can_exec", part: fork_and_exec, rounds: 1, end: End::Well },
    Case { name: "a_fork_can_end", part: fork_and_end, rounds: 1, end: End::Well },
    Case { name: "main_panics", part: main_panics, rounds: 3, end: End::Code(101, "main panics") },
    Case {
        name: "main_panics_in_a_group",
        part: main_panics_in_a_group,
        rounds: 3,
        end: End::Code(101, "main panics"),
    },
    Case { name: "exit_while_workers_run", part: exit_somewhere, rounds: 20, end: End::Code(7, "") },
    Case { name: "main_returns_while_workers_run", part: forgotten, rounds: 10, end: End::Well },
    Case { name: "stderr_cannot_be_written", part: no_stderr, rounds: 1, end: End::Well },
];

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_signal(_signal: libc::c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

/// Every 200 µs of time a signal without `SA_RESTART` interrupts what some thread is in, and several in each round go to each thread.
fn signals(_round: u64) {
    // SAFETY: the handler does what a handler may do; the structures live as long as the calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count_signal as extern "C" fn(libc::c_int) as usize;
        for signal in [libc::SIGALRM, libc::SIGUSR1] {
            assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
        }
        let often = libc::timeval { tv_sec: 0, tv_usec: 200 };
        let timer = libc::itimerval { it_interval: often, it_value: often };
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()), 0);
    }
    let (shoot, shots) = channel::<()>();
    let shooter = thread::spawn(move || {
        for () in shots {
            for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
                let id: i32 = thread.file_name().to_str().unwrap().parse().unwrap();
                // SAFETY: plain numbers; a thread that has ended meanwhile is an error that is of no interest.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, libc::SIGUSR1) };
            }
        }
    });
    for workers in [1, 2, 8] {
        let runner = Runner::builder().workers(workers).build().unwrap();
        let handle = runner.handle();
        let main = async {
            let mut round = 0;
            while round < 50 || SIGNALS.load(SeqCst) < 100 {
                round += 1;
                shoot.send(()).unwrap();
                sleep(Duration::from_micros(300)).await;
                shoot.send(()).unwrap();
                assert_eq!(gather((0..50).map(async |n| n)).await.len(), 50);
                assert_eq!(to_thread(move || round).await.unwrap(), round);
                let handle = handle.clone();
                shoot.send(()).unwrap();
                let ask =
                    move || run_coroutine_threadsafe(sleep(Duration::from_micros(100)), &handle).blocking_result();
                to_thread(ask).await.unwrap().unwrap();
            }
        };
        runner.run(main).unwrap();
        runner.close();
    }
    drop(shoot);
    shooter.join().unwrap();
}

/// Tasks that keep the workers busy until the end.
fn noise() {
    for _ in 0..8 {
        drop(create_task(async {
            loop {
                yield_now().await;
            }
        }));
    }
}

/// Processes are started from tasks, from functions in threads, and by the way that really forks.
fn fork_and_exec(_round: u64) {
    let runner = Runner::builder().workers(4).build().unwrap();
    let start = |forks: bool| {
        let mut command = Command::new("/bin/true");
        if forks {
            // SAFETY: does nothing; it makes std fork instead of spawning.
            unsafe { command.pre_exec(|| Ok(())) };
        }
        assert!(command.status().unwrap().success());
    };
    let main = async {
        noise();
        for round in 0..20 {
            let task = create_task(async move { start(round % 2 == 0) });
            to_thread(move || start(round % 2 == 1)).await.unwrap();
            task.await.unwrap();
        }
    };
    runner.run(main).unwrap();
    runner.close();
}

/// The child of a bare fork ends at once; the parent goes on.
fn fork_and_end(_round: u64) {
    let runner = Runner::builder().workers(4).build().unwrap();
    let main = async {
        noise();
        for code in 0..20 {
            let fork_and_wait = move || {
                // SAFETY: the child calls nothing but `_exit`.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    // SAFETY: as above.
                    unsafe { libc::_exit(code) };
                }
                let mut status = 0;
                // SAFETY: the status lives.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert_eq!(libc::WEXITSTATUS(status), code);
            };
            create_task(async move { fork_and_wait() }).await.unwrap();
        }
        sleep(Duration::from_millis(1)).await;
    };
    runner.run(main).unwrap();
    runner.close();
}

/// Counts down when it goes.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// The panic leaves `run` after all tasks have been ended and dropped.
fn main_panics(round: u64) {
    let alive = Arc::new(AtomicUsize::new(100));
    let values: Vec<_> = (0..100).map(|_| Counted(Arc::clone(&alive))).collect();
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let runner = Runner::builder().workers([1, 2, 8][round as usize]).build().unwrap();
        let ended: Result<(), _> = runner.run(async {
            for value in values {
                drop(create_task(async move {
                    sleep(Duration::MAX).await;
                    drop(value);
                }));
            }
            yield_now().await;
            panic!("main panics");
        });
        drop(ended);
    }))
    .unwrap_err();
    // A runtime that is dropped by a panic is closed by a thread of its own.
    while alive.load(SeqCst) > 0 {
        thread::yield_now();
    }
    std::panic::resume_unwind(payload);
}

fn main_panics_in_a_group(_round: u64) {
    let alive = Arc::new(AtomicUsize::new(10));
    let values: Vec<_> = (0..10).map(|_| Counted(Arc::clone(&alive))).collect();
    let main = async {
        let group = TaskGroup::<()>::scope::<(), _, _>(async |group| {
            for value in values {
                group.create_task(async move {
                    sleep(Duration::MAX).await;
                    drop(value);
                });
            }
            yield_now().await;
            panic!("main panics");
        });
        let failures = group.await.unwrap_err();
        assert_eq!(alive.load(SeqCst), 0, "the group has waited for its children");
        drop(failures.resume_panic());
    };
    run(main);
}

/// `exit` is called by main, by a task, by a function in a thread, by a stranger, in turn, while all others run.
fn exit_somewhere(round: u64) {
    let runner = Runner::builder().workers(4).build().unwrap();
    let main = async {
        noise();
        for _ in 0..4 {
            drop(to_thread(|| {
                loop {
                    thread::park();
                }
            }));
        }
        sleep(Duration::from_micros(100 * round)).await;
        let exit = || std::process::exit(7);
        match round % 4 {
            0 => exit(),
            1 => drop(create_task(async move { exit() })),
            2 => drop(to_thread(exit)),
            _ => drop(thread::spawn(exit)),
        }
        sleep(Duration::MAX).await;
    };
    runner.run(main).unwrap();
}

/// A runner that is never closed does not keep the process.
fn forgotten(_round: u64) {
    let runner = Runner::builder().workers(4).build().unwrap();
    runner.run(async { noise() }).unwrap();
    std::mem::forget(runner);
}

/// Reports that cannot be written are no reason to fail.
fn no_stderr(_round: u64) {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    std::panic::set_hook(Box::new(|_| {}));
    // SAFETY: two open descriptors.
    assert_eq!(unsafe { libc::dup2(full.as_raw_fd(), 2) }, 2);
    let main = async {
        for _ in 0..10 {
            drop(create_task(async { panic!("nobody reads this") }));
        }
        runtime::Handle::current().call_soon(|| panic!("nor this"));
        while all_tasks().len() > 1 {
            yield_now().await;
        }
        1
    };
    assert_eq!(run(main), 1);
}
