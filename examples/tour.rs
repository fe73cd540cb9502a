//! The programs of asyncio's chapter "Coroutines and Tasks", in our words, printing what the chapter prints.
//!
//! ```text
//! cargo run --example tour
//! ```
//!
//! Where only the runtime waits, its clock is virtual: the seconds pass as soon as nothing else is left to do. Where real threads
//! take part, so is the time real. The output is compared with `tour.expected` by a test.

use runtime::{
    BlockingResult, BlockingTimeout, Handle, Runner, TaskError, TaskGroup, TimeoutScope, catch_cancelled, create_task,
    gather, run_coroutine_threadsafe, sleep, timeout, to_thread, wait_for,
};
use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn main() {
    virtually("Coroutines", hello_world);
    virtually("One after the other", one_after_the_other);
    virtually("Two tasks side by side", side_by_side);
    virtually("The same with a task group", with_a_group);
    virtually("Awaitables", awaitables);
    virtually("Tasks with callbacks", callbacks);
    virtually("Both results of a group", both_results);
    virtually("Terminating a task group", terminate_group);
    virtually("Running tasks concurrently", factorials);
    virtually("Timeouts", timeouts);
    virtually("Cancelling a task", cancel_me);
    really("Running in threads", threads);
    really("Scheduling from other threads", foreign_thread);
}

/// Runs a program in virtual time, with tasks in the order of asyncio.
fn virtually<F: Future<Output = ()>>(title: &str, program: impl FnOnce() -> F) {
    println!("-- {title}");
    let runner = Runner::builder().workers(1).virtual_time(true).build().expect("one worker needs no thread");
    runner.run(program()).expect("nobody cancels it");
}

/// Runs a program in real time, on all cores.
fn really<F: Future<Output = ()>>(title: &str, program: impl FnOnce() -> F) {
    println!("-- {title}");
    let runner = Runner::builder().build().expect("threads can be created");
    runner.run(program()).expect("nobody cancels it");
}

/// A wall clock that showed what the chapter's did when the program began.
#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
    /// In seconds since midnight.
    shown: u64,
}

impl Clock {
    fn starting_at(hours: u64, minutes: u64, seconds: u64) -> Self {
        Self { start: Handle::current().time(), shown: (hours * 60 + minutes) * 60 + seconds }
    }

    fn at(self, now: Instant) -> String {
        let seconds = self.shown + (now - self.start).as_secs();
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    fn show(self) -> String {
        self.at(Handle::current().time())
    }
}

async fn say_after(seconds: u32, what: &str) {
    sleep(seconds * SECOND).await;
    println!("{what}");
}

async fn hello_world() {
    println!("hello");
    sleep(SECOND).await;
    println!("world");
}

async fn one_after_the_other() {
    let clock = Clock::starting_at(17, 13, 52);
    println!("started at {}", clock.show());
    say_after(1, "hello").await;
    say_after(2, "world").await;
    println!("finished at {}", clock.show());
}

async fn side_by_side() {
    let clock = Clock::starting_at(17, 14, 32);
    let hello = create_task(say_after(1, "hello"));
    let world = create_task(say_after(2, "world"));
    println!("started at {}", clock.show());
    hello.await.unwrap();
    world.await.unwrap();
    println!("finished at {}", clock.show());
}

async fn with_a_group() {
    let clock = Clock::starting_at(17, 14, 32);
    let ended = TaskGroup::<()>::scope(async |group| {
        group.create_task(say_after(1, "hello"));
        group.create_task(say_after(2, "world"));
        println!("started at {}", clock.show());
        Ok(())
    });
    ended.await.unwrap();
    println!("finished at {}", clock.show());
}

async fn nested() -> u32 {
    42
}

async fn awaitables() {
    // A future that is not awaited does nothing; what is awaited runs here, and a task runs on its own.
    drop(nested());
    println!("{}", nested().await);
    let task = create_task(nested());
    println!("{}", task.await.unwrap());
}

async fn some_coro(param: u32) {
    sleep(SECOND).await;
    println!("background task {param}");
}

async fn callbacks() {
    // asyncio needs the set, or its tasks may be collected; here the runtime owns them, and the set is for those who want to see it.
    let background = Arc::new(Mutex::new(HashSet::new()));
    for i in 0..3 {
        let task = create_task(some_coro(i)).task_ref();
        background.lock().unwrap().insert(task.clone());
        let discard = Arc::clone(&background);
        task.add_done_callback(move |task| {
            discard.lock().unwrap().remove(task);
        });
    }
    println!("{} in the background", background.lock().unwrap().len());
    sleep(2 * SECOND).await;
    println!("{} in the background", background.lock().unwrap().len());
}

async fn both_results() {
    let ended = TaskGroup::<()>::scope(async |group| {
        let one = group.create_task(async { Ok("some") });
        let two = group.create_task(async { Ok("another") });
        Ok((one.await.unwrap(), two.await.unwrap()))
    });
    let (one, two) = ended.await.unwrap();
    println!("Both tasks have completed now: {one}, {two}");
}

async fn job(number: u32, seconds: f64) {
    println!("Task {number}: start");
    sleep(Duration::from_secs_f64(seconds)).await;
    println!("Task {number}: done");
}

async fn terminate_group() {
    let ended = TaskGroup::scope(async |group| {
        group.create_task(job(1, 0.5));
        group.create_task(job(2, 1.5));
        sleep(SECOND).await;
        group.create_task(async { Err::<(), _>("terminate") });
        Ok(())
    });
    assert_eq!(ended.await.unwrap_err().into_errors().collect::<Vec<_>>(), ["terminate"]);
}

async fn factorial(name: &str, number: u32) -> u32 {
    let mut product = 1;
    for i in 2..=number {
        println!("Task {name}: Compute factorial({number}), currently i={i}...");
        sleep(SECOND).await;
        product *= i;
    }
    println!("Task {name}: factorial({number}) = {product}");
    product
}

async fn factorials() {
    let all = gather([factorial("A", 2), factorial("B", 3), factorial("C", 4)]).await;
    println!("{all:?}");
}

async fn timeouts() {
    if timeout(10 * SECOND, sleep(3600 * SECOND)).await.is_err() {
        println!("The long operation timed out, but we've handled it.");
    }
    println!("This statement will run regardless.");
    let scope = TimeoutScope::never();
    let late = scope.run(async {
        scope.reschedule(Some(Handle::current().time() + 10 * SECOND)).unwrap();
        sleep(3600 * SECOND).await;
    });
    let _ = late.await;
    if scope.expired() {
        println!("Looks like we haven't finished on time.");
    }
    if wait_for(sleep(3600 * SECOND), SECOND).await.is_err() {
        println!("timeout!");
    }
}

async fn cancel_me() {
    let task = create_task(async {
        println!("cancel_me(): before sleep");
        let slept = catch_cancelled(sleep(3600 * SECOND)).await;
        if slept.is_err() {
            println!("cancel_me(): cancel sleep");
        }
        println!("cancel_me(): after sleep");
        if let Err(cancelled) = slept {
            cancelled.reraise().await
        }
    });
    sleep(SECOND).await;
    task.cancel();
    if let Err(TaskError::Cancelled(_)) = task.await {
        println!("main(): cancel_me is cancelled now");
    }
}

fn blocking_io(clock: Clock) {
    println!("start blocking_io at {}", clock.at(Instant::now()));
    thread::sleep(SECOND);
    println!("blocking_io complete at {}", clock.at(Instant::now()));
}

async fn threads() {
    let clock = Clock::starting_at(19, 50, 53);
    println!("started main at {}", clock.show());
    let (blocking, slept) = gather((to_thread(move || blocking_io(clock)), sleep(SECOND))).await;
    let ((), ()) = (blocking.unwrap(), slept);
    println!("finished main at {}", clock.show());
}

async fn slow(seconds: u32, result: u32) -> u32 {
    sleep(Duration::from_millis(1) * seconds).await;
    result
}

/// A thread of the program's own, which knows the runtime by its handle only.
fn submit(handle: &Handle) {
    let task = run_coroutine_threadsafe(slow(1, 3), handle);
    println!("The coroutine returned: {}", task.blocking_result().unwrap());
    let task = run_coroutine_threadsafe(async { Err::<(), _>("no luck") }, handle);
    println!("The coroutine raised an exception: {}", task.blocking_result().unwrap().unwrap_err());
    let mut task = run_coroutine_threadsafe(std::future::pending::<()>(), handle);
    if let Err(BlockingTimeout) = task.blocking_result_timeout(Duration::from_millis(10)) {
        println!("The coroutine took too long, cancelling the task...");
        task.cancel();
    }
    assert!(task.blocking_result().unwrap_err().is_cancelled());
}

async fn foreign_thread() {
    let handle = Handle::current();
    let thread = thread::spawn(move || submit(&handle));
    to_thread(move || thread.join()).await.unwrap().unwrap();
}
