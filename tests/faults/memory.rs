//! Memory that ends: the process aborts and says so, and nothing runs on with half of what it asked for.

use crate::allocator::{fail_after, panic_next, stop_failing};
use crate::judge::{Case, End, limit};
use runtime::{Runner, TaskGroup, catch_cancelled, create_task, gather, sleep, timeout, to_thread, yield_now};
use std::time::Duration;

/// What std says when memory is over.
const OVER: &str = "memory allocation of";

pub(crate) const CASES: &[Case] = &[
    Case { name: "the_address_space_ends_below_tasks", part: too_many_tasks, rounds: 1, end: End::Aborted(OVER) },
    Case { name: "the_address_space_ends_below_timers", part: too_many_timers, rounds: 1, end: End::Aborted(OVER) },
    Case { name: "the_address_space_has_no_room_for_stacks", part: no_stacks, rounds: 1, end: End::Well },
    Case { name: "any_one_allocation_fails", part: allocation_fails, rounds: 60, end: End::WellOrAborted(OVER) },
    Case { name: "the_allocator_panics_below_a_task", part: allocation_panics, rounds: 1, end: End::Well },
];

/// Room for what is there, and some more.
fn limit_memory() {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    limit(libc::RLIMIT_AS, pages * 4096 + (192 << 20));
}

fn too_many_tasks(_round: u64) {
    limit_memory();
    let runner = Runner::builder().workers(1).build().unwrap();
    let main = async {
        let mut tasks = Vec::new();
        loop {
            tasks.push(create_task(sleep(Duration::MAX)));
            if tasks.len() % 1_000 == 0 {
                yield_now().await;
            }
        }
    };
    let _: Result<(), _> = runner.run(main);
}

fn too_many_timers(_round: u64) {
    limit_memory();
    let runner = Runner::builder().workers(1).build().unwrap();
    let main = async {
        let mut sleeps = Vec::new();
        loop {
            let mut sleep = Box::pin(sleep(Duration::from_secs(1_000 + sleeps.len() as u64)));
            assert!(futures::poll!(sleep.as_mut()).is_pending());
            sleeps.push(sleep);
        }
    };
    let _: Result<(), _> = runner.run(main);
}

/// A thread without room for its stack is a thread that cannot be made.
fn no_stacks(_round: u64) {
    limit_memory();
    let build = |bytes| Runner::builder().workers(4).thread_stack_size(bytes).build();
    assert!(build(1 << 30).is_err());
    let runner = build(1 << 20).unwrap();
    assert_eq!(runner.run(async { gather((0..100).map(async |n| n)).await.len() }).unwrap(), 100);
    runner.close();
}

/// A bit of everything that asks for memory.
fn use_memory() {
    let runner = Runner::builder().workers(2).build().unwrap();
    let main = async {
        let group = TaskGroup::<()>::scope(async |group| {
            for _ in 0..4 {
                group.create_task(async {
                    let _ = catch_cancelled(timeout(Duration::from_micros(50), sleep(Duration::MAX))).await;
                });
            }
            Ok(())
        });
        group.await.unwrap();
        let task = create_task(async { String::from("text").len() });
        task.set_name("a name of some length");
        task.add_done_callback(|task| assert!(task.done()));
        assert_eq!(gather([task]).await.len(), 1);
        assert_eq!(to_thread(|| vec![0_u8; 100].len()).await.unwrap(), 100);
    };
    runner.run(main).unwrap();
    runner.close();
}

fn allocation_fails(round: u64) {
    use_memory();
    fail_after(round * 3);
    use_memory();
    stop_failing();
}

/// An allocator must not panic, and there is no promise for one that does so below the runtime's own allocations. What it does to a task's code is that
/// task's failure.
fn allocation_panics(_round: u64) {
    let runner = Runner::builder().workers(2).build().unwrap();
    let main = async {
        for _ in 0..100 {
            let task = create_task(async {
                yield_now().await;
                panic_next();
                vec![1_u8; 100].len()
            });
            let thread = to_thread(|| {
                panic_next();
                vec![1_u8; 100].len()
            });
            assert_eq!(task.await.unwrap_err().to_string(), "panicked: the allocator panics");
            assert_eq!(thread.await.unwrap_err().to_string(), "panicked: the allocator panics");
        }
        assert_eq!(gather((0..100).map(async |n| n)).await.len(), 100);
    };
    runner.run(main).unwrap();
    runner.close();
}
