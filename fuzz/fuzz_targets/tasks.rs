//! Tasks of a runtime with one worker, driven by a byte string: made, woken, cancelled, awaited, dropped, in any order; each value is dropped once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime_core::{
    CancelScope, Config, Engine, Promise, Task, TaskBuilder, TaskRef, catch_cancelled, sleep, yield_now,
};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How many values are alive.
#[derive(Clone)]
struct Alive(Arc<AtomicI64>);

impl Alive {
    fn value(&self) -> Value {
        self.0.fetch_add(1, Relaxed);
        Value(Arc::clone(&self.0))
    }
}

struct Value(Arc<AtomicI64>);

impl Drop for Value {
    fn drop(&mut self) {
        assert!(self.0.fetch_sub(1, Relaxed) > 0);
    }
}

/// What the bytes work on.
struct Things {
    alive: Alive,
    wakers: Arc<std::sync::Mutex<Vec<Waker>>>,
    tasks: Vec<Task<Value>>,
    references: Vec<TaskRef>,
    promises: Vec<Promise<Value>>,
    scopes: Vec<CancelScope>,
}

impl Things {
    fn body(&mut self, byte: u8) -> impl Future<Output = Value> + Send + use<> {
        let (alive, wakers, held) = (self.alive.clone(), Arc::clone(&self.wakers), self.alive.value());
        let scope = CancelScope::new();
        self.scopes.push(scope.clone());
        async move {
            let pending = std::future::poll_fn(|cx| {
                wakers.lock().unwrap().push(cx.waker().clone());
                Poll::<()>::Pending
            });
            match byte % 6 {
                0 => {}
                1 => yield_now().await,
                2 => pending.await,
                3 => {
                    let _ = catch_cancelled(pending).await;
                    yield_now().await;
                }
                4 => {
                    let _ = scope.run(pending).await;
                }
                _ => sleep(Duration::from_millis(u64::from(byte))).await,
            }
            drop(held);
            alive.value()
        }
    }

    fn take<T>(from: &mut Vec<T>, which: u8) -> Option<T> {
        let last = from.len().checked_sub(1)?;
        Some(from.swap_remove(usize::from(which) % (last + 1)))
    }

    async fn step(&mut self, operation: u8, which: u8) {
        match operation % 14 {
            0 | 1 => {
                let body = self.body(which);
                self.tasks.push(TaskBuilder::new().eager_start(operation % 14 == 1).create_task(body));
            }
            2 => yield_now().await,
            3 => drop(Self::take(&mut self.tasks, which)),
            4 => {
                if let Some(task) = self.tasks.get(usize::from(which)) {
                    task.cancel();
                }
            }
            5 => {
                if let Some(task) = self.tasks.get(usize::from(which)) {
                    task.uncancel();
                }
            }
            6 => self.references.extend(self.tasks.get(usize::from(which)).map(Task::task_ref)),
            7 => {
                let waker = Self::take(&mut self.wakers.lock().unwrap(), which);
                if let Some(waker) = waker {
                    if which % 2 == 0 { waker.wake() } else { waker.wake_by_ref() }
                }
            }
            8 => {
                let (promise, task) = Promise::new();
                self.promises.push(promise);
                self.tasks.push(task);
            }
            9 => {
                if let Some(promise) = Self::take(&mut self.promises, which)
                    && which % 2 == 0
                {
                    let value = self.alive.value();
                    let _ = promise.set_result(value);
                }
            }
            10 => {
                if let Some(scope) = Self::take(&mut self.scopes, which) {
                    scope.cancel();
                }
            }
            11 => {
                if let Some(mut task) = Self::take(&mut self.tasks, which) {
                    // A result that was taken is not there for an await.
                    if task.result().is_err() {
                        self.tasks.push(task);
                    }
                }
            }
            12 => {
                if let Some(task) = Self::take(&mut self.tasks, which) {
                    let value = self.alive.value();
                    task.add_done_callback(move |task| {
                        assert!(task.done());
                        drop(value);
                    });
                    task.cancel();
                    let _ = task.await;
                }
            }
            _ => sleep(Duration::from_millis(u64::from(which))).await,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let engine = Engine::new(Config { workers: 1, virtual_time: true, ..Config::default() }).unwrap();
    let alive = Alive(Arc::default());
    let mut things = Things {
        alive: alive.clone(),
        wakers: Arc::default(),
        tasks: Vec::new(),
        references: Vec::new(),
        promises: Vec::new(),
        scopes: Vec::new(),
    };
    let ended = Rc::new(Cell::new(false));
    let main = async {
        for pair in data.chunks_exact(2).take(200) {
            things.step(pair[0], pair[1]).await;
        }
        ended.set(true);
    };
    let _ = engine.run(main);
    engine.close();
    assert!(ended.get());
    assert!(
        things
            .references
            .iter()
            .all(|task| task.done() || things.promises.iter().any(|promise| promise.task_ref() == *task))
    );
    drop(things);
    assert_eq!(alive.0.load(Relaxed), 0, "each value was dropped");
});
