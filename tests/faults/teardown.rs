//! Threads that are being torn down: their thread-locals' destructors use the runtime.

use crate::judge::{Case, End};
use runtime::{
    BlockingResult, Handle, Promise, RunInExecutor, Runner, Task, TaskRef, all_tasks, context_var, create_task,
    current_task, run_coroutine_threadsafe, sleep, thread_cancelled, to_thread,
};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    Case { name: "a_foreign_thread_is_torn_down", part: foreign_thread, rounds: 1, end: End::Well },
    Case { name: "a_thread_of_the_pool_is_torn_down", part: pool_thread, rounds: 1, end: End::Well },
    Case { name: "a_worker_is_torn_down", part: worker, rounds: 1, end: End::Well },
    Case { name: "the_main_thread_is_torn_down", part: |_| main_thread(), rounds: 1, end: End::Well },
    Case { name: "a_waker_outlives_its_runtime_in_a_thread_local", part: late_waker, rounds: 1, end: End::Well },
];

context_var! { static VARIABLE: u32 = 5; }

/// What a destructor finds to work with.
struct Late {
    handle: Handle,
    waker: Waker,
    task: Task<u32>,
    promise: Option<Promise<u32>>,
    other: TaskRef,
    used: Arc<AtomicUsize>,
}

impl Drop for Late {
    fn drop(&mut self) {
        self.waker.wake_by_ref();
        let clone = self.waker.clone();
        assert!(clone.will_wake(&self.waker));
        drop(clone);
        assert!(current_task().is_none() && !thread_cancelled());
        let _ = VARIABLE.try_get();
        assert!(self.handle.all_tasks().len() < 1_000);
        let _ = self.promise.take().unwrap().set_result(1);
        self.other.cancel();
        self.other.add_done_callback(|_| ());
        let _ = self.task.result();
        drop(run_coroutine_threadsafe(async { 1 }, &self.handle));
        drop(self.handle.run_in_executor(|| 1));
        self.handle.call_soon(|| ());
        let mut sleep = std::pin::pin!(sleep(Duration::from_millis(1)));
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }));
        self.used.fetch_add(1, SeqCst);
    }
}

thread_local! {
    static BEFORE: RefCell<Option<Late>> = const { RefCell::new(None) };
    static AFTER: RefCell<Option<Late>> = const { RefCell::new(None) };
}

/// Two sets of things, one to be destroyed before whatever the runtime keeps for a thread, and one after it.
struct Kit(Vec<Late>);

impl Kit {
    async fn new(used: &Arc<AtomicUsize>) -> Self {
        let mut kit = Vec::new();
        for _ in 0..2 {
            let waker = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            let (promise, task) = Promise::new();
            let other = create_task(sleep(Duration::MAX)).task_ref();
            let handle = Handle::current();
            kit.push(Late { handle, waker, task, promise: Some(promise), other, used: Arc::clone(used) });
        }
        Self(kit)
    }

    /// Leaves it all to this thread, which uses `between` in the meantime.
    fn leave(mut self, between: impl FnOnce()) {
        BEFORE.with(|before| *before.borrow_mut() = self.0.pop());
        between();
        AFTER.with(|after| *after.borrow_mut() = self.0.pop());
    }
}

fn foreign_thread(_round: u64) {
    let used = Arc::new(AtomicUsize::new(0));
    let runner = Runner::builder().workers(2).build().unwrap();
    let main = async {
        let kit = Kit::new(&used).await;
        let handle = Handle::current();
        let thread = thread::spawn(move || {
            kit.leave(|| assert_eq!(run_coroutine_threadsafe(async { 3 }, &handle).blocking_result().unwrap(), 3));
        });
        to_thread(move || thread.join().unwrap()).await.unwrap();
    };
    runner.run(main).unwrap();
    runner.close();
    assert_eq!(used.load(SeqCst), 2);
}

fn pool_thread(_round: u64) {
    let used = Arc::new(AtomicUsize::new(0));
    let runner = Runner::builder().workers(2).blocking_keep_alive(Duration::ZERO).build().unwrap();
    let main = async {
        let kit = Kit::new(&used).await;
        to_thread(move || kit.leave(|| assert!(!thread_cancelled()))).await.unwrap();
    };
    runner.run(main).unwrap();
    runner.close();
    assert_eq!(used.load(SeqCst), 2);
}

/// A worker leaves its thread-locals when the runtime is closed already.
fn worker(_round: u64) {
    let used = Arc::new(AtomicUsize::new(0));
    let runner = Runner::builder().workers(2).build().unwrap();
    let (own, seen) = (thread::current().id(), Arc::clone(&used));
    let main = async move {
        let kit = Kit::new(&seen).await;
        let (sender, receiver) = std::sync::mpsc::channel();
        drop(create_task(async move {
            assert_ne!(thread::current().id(), own, "this thread waits below");
            kit.leave(|| drop(all_tasks()));
            sender.send(()).unwrap();
        }));
        // Worker 0 is held up, so that the other one must do it.
        receiver.recv().unwrap();
    };
    runner.run(main).unwrap();
    runner.close();
    assert_eq!(used.load(SeqCst), 2);
}

fn main_thread() {
    let used = Arc::new(AtomicUsize::new(0));
    let runner = Runner::builder().workers(2).build().unwrap();
    let kit = runner.run(async { Kit::new(&used).await }).unwrap();
    kit.leave(|| assert_eq!(runner.run(async { 4 }).unwrap(), 4));
    runner.close();
}

thread_local! {
    static WAKER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// The last reference to a task of a runtime that is gone is a waker in a thread-local.
fn late_waker(_round: u64) {
    let thread = {
        let runner = Runner::builder().workers(2).build().unwrap();
        let waker = runner.run(async {
            let take = create_task(std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())));
            take.await.unwrap()
        });
        runner.close();
        thread::spawn(move || WAKER.with(|place| *place.borrow_mut() = Some(waker.unwrap())))
    };
    thread.join().unwrap();
}
