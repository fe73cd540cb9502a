//! Threads: refused, many, and foreign ones that end early.

use crate::judge::{Case, End, become_nobody, limit, thread_count, wait_for_threads};
use runtime::{
    BlockingResult, Handle, Promise, RunInExecutor, Runner, create_task, gather, run_coroutine_threadsafe, to_thread,
    yield_now,
};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    Case { name: "no_thread_can_be_made_for_a_worker", part: no_worker, rounds: 1, end: End::Well },
    Case { name: "only_some_threads_can_be_made_for_workers", part: some_workers, rounds: 1, end: End::Well },
    Case { name: "no_thread_can_be_made_for_a_function", part: no_blocking_thread, rounds: 1, end: End::Well },
    Case { name: "no_further_thread_can_be_made_for_a_function", part: one_blocking_thread, rounds: 1, end: End::Well },
    Case { name: "no_thread_can_be_made_to_close_a_runtime", part: no_closing_thread, rounds: 1, end: End::Well },
    Case { name: "ten_thousand_functions_at_once", part: ten_thousand_functions, rounds: 1, end: End::Well },
    Case { name: "sixty_four_foreign_threads_at_once", part: many_foreign_threads, rounds: 1, end: End::Well },
    Case { name: "a_foreign_thread_ends_while_others_hold_its_wakers", part: waiter_ends, rounds: 1, end: End::Well },
    Case { name: "no_file_can_be_opened", part: no_files, rounds: 1, end: End::Well },
];

fn refuse_threads() {
    limit(libc::RLIMIT_NPROC, 0);
}

fn allow_threads() {
    limit(libc::RLIMIT_NPROC, u64::MAX);
}

/// `build` says what the system said; a runtime that needs no thread works.
fn no_worker(_round: u64) {
    become_nobody();
    refuse_threads();
    let error = Runner::builder().workers(2).build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
    let runner = Runner::builder().workers(1).build().unwrap();
    let sum = runner.run(async { create_task(async { 1 }).await.unwrap() + create_task(async { 2 }).await.unwrap() });
    assert_eq!(sum.unwrap(), 3);
    runner.close();
}

/// The threads that were made end again.
fn some_workers(_round: u64) {
    become_nobody();
    limit(libc::RLIMIT_NPROC, 5);
    let error = Runner::builder().workers(16).build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
    wait_for_threads(1);
    let runner = Runner::builder().workers(4).build().unwrap();
    assert_eq!(runner.run(async { gather((0..100).map(async |n| n)).await.len() }).unwrap(), 100);
    runner.close();
    wait_for_threads(1);
}

/// The task fails with what the system said; later ones work when there are threads again.
fn no_blocking_thread(_round: u64) {
    become_nobody();
    let runner = Runner::builder().workers(2).build().unwrap();
    refuse_threads();
    let main = async {
        let error = to_thread(|| 1).await.unwrap_err();
        assert!(error.is_panicked() && error.to_string().contains("no thread could be created"), "{error}");
        allow_threads();
        assert_eq!(to_thread(|| 2).await.unwrap(), 2);
    };
    runner.run(main).unwrap();
    runner.close();
}

/// One thread does the work of all, one function after the other.
fn one_blocking_thread(_round: u64) {
    become_nobody();
    let runner = Runner::builder().workers(1).blocking_keep_alive(Duration::from_secs(3600)).build().unwrap();
    let main = async {
        to_thread(|| ()).await.unwrap();
        refuse_threads();
        let threads: Vec<_> = gather((0..100).map(|_| to_thread(|| thread::current().id()))).await;
        let threads: std::collections::HashSet<_> = threads.into_iter().map(Result::unwrap).collect();
        assert_eq!(threads.len(), 1);
        allow_threads();
    };
    runner.run(main).unwrap();
    runner.close();
}

/// A runtime that is dropped inside of another is closed by a thread of its own. Without one, that is reported, and nothing hangs or overflows.
fn no_closing_thread(_round: u64) {
    become_nobody();
    let outer = Runner::builder().workers(1).build().unwrap();
    let inner = Runner::builder().workers(2).build().unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reports);
    inner.handle().set_exception_handler(Some(move |context: &runtime::ExceptionContext| {
        seen.lock().unwrap().push(context.to_string());
    }));
    let handle = inner.handle();
    refuse_threads();
    outer.run(async move { drop(inner) }).unwrap();
    let reports = std::mem::take(&mut *reports.lock().unwrap());
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("no thread could be made"), "{reports:?}");
    drop(handle);
    outer.close();
}

fn ten_thousand_functions(_round: u64) {
    let runner = Runner::builder().workers(2).max_blocking_threads(64).build().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let main = async move {
        let functions = (0..10_000).map(|_| {
            let done = Arc::clone(&counted);
            to_thread(move || done.fetch_add(1, SeqCst))
        });
        for outcome in gather(functions.collect::<Vec<_>>()).await {
            outcome.unwrap();
        }
        assert!(thread_count() <= 1 + 1 + 64, "{} threads", thread_count());
    };
    runner.run(main).unwrap();
    runner.close();
    assert_eq!(done.load(SeqCst), 10_000);
    wait_for_threads(1);
}

fn many_foreign_threads(_round: u64) {
    let runner = Runner::builder().workers(2).build().unwrap();
    let together = Arc::new(Barrier::new(64));
    let handle = runner.handle();
    let main = async {
        let threads: Vec<_> = (0..64_u64)
            .map(|own| {
                let (handle, together) = (handle.clone(), Arc::clone(&together));
                thread::spawn(move || {
                    together.wait();
                    (0..200).map(|number| ask(&handle, own * number)).sum::<u64>()
                })
            })
            .collect();
        let sums = threads.into_iter().map(|thread| to_thread(move || thread.join().unwrap()));
        let sums = gather(sums.collect::<Vec<_>>()).await;
        sums.into_iter().map(Result::unwrap).sum::<u64>()
    };
    assert_eq!(runner.run(main).unwrap(), (0..64).map(|own| own * 199 * 200 / 2).sum());
    runner.close();
}

/// A foreign thread's question.
fn ask(handle: &Handle, number: u64) -> u64 {
    let future = async move {
        yield_now().await;
        number
    };
    match number % 3 {
        0 => handle.run_in_executor(move || number).blocking_result().unwrap(),
        _ => run_coroutine_threadsafe(future, handle).blocking_result().unwrap(),
    }
}

/// A thread gives up waiting and ends; what wakes it then wakes nobody.
fn waiter_ends(_round: u64) {
    let (senders, waiters): (Vec<_>, Vec<_>) = (0..64)
        .map(|_| {
            let (promise, mut task) = Promise::new();
            let waiter = thread::spawn(move || {
                assert!(task.blocking_result_timeout(Duration::from_micros(10)).is_err());
                task
            });
            (promise, waiter)
        })
        .unzip();
    let tasks: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
    wait_for_threads(1);
    for promise in senders {
        promise.set_result(7).unwrap();
    }
    assert!(tasks.into_iter().all(|mut task| task.result().unwrap().unwrap() == 7));
}

fn no_files(_round: u64) {
    limit(libc::RLIMIT_NOFILE, 3);
    let runner = Runner::builder().workers(4).build().unwrap();
    let main = async {
        assert_eq!(to_thread(|| 1).await.unwrap(), 1);
        runtime::sleep(Duration::from_millis(1)).await;
        gather((0..1_000).map(async |n| n)).await.len()
    };
    assert_eq!(runner.run(main).unwrap(), 1_000);
    runner.close();
}
