//! What happens when the system gives no thread. A process of its own: the limit holds for all of it.
#![cfg(target_os = "linux")]

mod support;

use runtime_bridge::{BlockingConfig, BlockingResult, RunInExecutor, configure};
use std::sync::mpsc::channel;
use support::{LONG, engine};

/// The stack of a thread of the pool: address space only, for it is never touched.
const STACK: usize = 1 << 30;

/// Leaves the process so much address space beyond what it has.
fn leave_address_space(bytes: u64) {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse().unwrap();
    let limit = pages * 4096 + bytes;
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the struct is read, and nothing else.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

#[test]
fn a_thread_that_cannot_be_created_fails_the_call_only_if_there_is_none() {
    let engine = engine(1);
    let handle = engine.handle();
    let config = BlockingConfig { thread_stack_size: Some(STACK), ..BlockingConfig::default() };
    assert!(configure(&handle, config));

    leave_address_space(STACK as u64 / 2);
    for _ in 0..3 {
        let error = handle.run_in_executor(|| 1).blocking_result().unwrap_err();
        let message = error.to_string();
        assert!(error.is_panicked() && message.contains("no thread could be created"), "{message}");
    }

    // Room for one: the second call waits for it.
    leave_address_space(STACK as u64 * 3 / 2);
    let (began, has_begun) = channel();
    let (release, released) = channel::<()>();
    let first = handle.run_in_executor(move || {
        began.send(()).unwrap();
        let _ = released.recv_timeout(LONG);
        1
    });
    has_begun.recv_timeout(LONG).unwrap();
    let others: Vec<_> = (2..100).map(|i| handle.run_in_executor(move || i)).collect();
    assert!(others.iter().all(|task| !task.done()));
    drop(release);
    assert_eq!(first.blocking_result().unwrap(), 1);
    for (task, i) in others.into_iter().zip(2..) {
        assert_eq!(task.blocking_result().unwrap(), i);
    }

    leave_address_space(STACK as u64 * 8);
    assert_eq!(handle.run_in_executor(|| 3).blocking_result().unwrap(), 3);
    engine.close();
}
