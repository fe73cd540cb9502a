//! Figures of a whole process: CPU time of an idle runtime, memory after a million tasks. Ignored by default, for they need a process
//! each: `cargo test --release -p runtime-core --test measure -- --ignored --test-threads=1 --nocapture`.
#![cfg(target_os = "linux")]

use runtime_core::{Config, Engine, Handle, create_task, sleep};
use std::time::Duration;

/// CPU time of this process.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    let main: u64 = stat.split(' ').next().unwrap().parse().unwrap();
    let others = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(others.sum::<u64>().max(main))
}

/// What the process holds, without what only the allocator keeps.
fn resident_kib() -> usize {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        // SAFETY: takes a plain number, and may be called at any time from any thread.
        unsafe { malloc_trim(0) };
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "measures real time: to be run alone"]
fn an_idle_runtime_uses_under_a_millisecond_of_cpu_per_second() {
    for (workers, timers) in [(1, 0), (2, 0), (8, 0), (1, 1_000_000), (2, 1_000_000), (8, 1_000_000)] {
        let engine = Engine::new(Config { workers, ..Config::default() }).unwrap();
        let used = engine.run(async {
            for _ in 0..timers {
                drop(create_task(sleep(Duration::from_secs(86_400))));
            }
            // Everything armed, everybody asleep.
            sleep(Duration::from_secs(1)).await;
            let before = cpu_time();
            sleep(Duration::from_secs(2)).await;
            cpu_time() - before
        });
        let used = used.unwrap() / 2;
        println!("{workers} workers, {timers} timers a day ahead: {used:?} of CPU per second");
        assert!(used < Duration::from_millis(1));
    }
}

/// Has the allocator give large vectors back to the system as soon as they are freed. As it is, it soon keeps those of megabytes in its arenas, of which there is
/// one per thread, and does not give back what is free at their ends.
fn give_large_vectors_back() {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        const M_MMAP_THRESHOLD: i32 = -3;
        // SAFETY: takes plain numbers; no other thread uses the allocator yet.
        unsafe { mallopt(M_MMAP_THRESHOLD, 64 << 10) };
    }
}

#[test]
#[ignore = "measures memory: to be run alone"]
fn a_million_tasks_leave_no_memory_behind() {
    const TASKS: usize = 1_000_000;
    // The handles are kept in vectors, which are this test's and not the runtime's.
    give_large_vectors_back();
    let before = resident_kib();
    for workers in [1, 2, 8] {
        let engine = Engine::new(Config { workers, ..Config::default() }).unwrap();
        let sum = engine.run(async {
            let from_main: Vec<_> = (0..TASKS).map(|_| create_task(async { 1usize })).collect();
            let from_task = create_task(async {
                let tasks: Vec<_> = (0..TASKS).map(|_| create_task(async { 1usize })).collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap();
                }
                sum
            });
            let mut sum = from_task.await.unwrap();
            for task in from_main {
                sum += task.await.unwrap();
            }
            let (promise, threads_ended) = runtime_core::Promise::new();
            let handle = Handle::current();
            std::thread::spawn(move || {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        let handle = handle.clone();
                        let spawn =
                            move || (0..TASKS / 8).map(|_| handle.create_task(async { 1usize })).collect::<Vec<_>>();
                        std::thread::spawn(spawn)
                    })
                    .collect();
                let tasks: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
                promise.set_result(tasks).unwrap();
            });
            for task in threads_ended.await.unwrap() {
                sum += task.await.unwrap();
            }
            sum
        });
        assert_eq!(sum.unwrap(), 3 * TASKS);
        drop(engine);
        let after = resident_kib();
        println!("{workers} workers: {before} KiB resident before, {after} KiB after");
        // Three million tasks are 400 MB.
        assert!(after < before + 4 * 1024);
    }
}
