//! Threads that no runtime knows: they submit, cancel, wait, and use wakers in whatever state their task is.

use crate::ledger::Value;
use crate::programs::{MAY_BE_CANCELLED, tracked};
use crate::random::Random;
use runtime::{BlockingResult, Handle, RunInExecutor, run_coroutine_threadsafe, yield_now};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

/// Wakers on their way to a stranger.
#[derive(Default)]
pub(crate) struct WakerBox(Mutex<Vec<Waker>>);

impl WakerBox {
    pub(crate) fn put(&self, waker: Waker) {
        self.0.lock().unwrap().push(waker);
    }

    fn take(&self, random: &mut Random) -> Option<Waker> {
        let mut wakers = self.0.lock().unwrap();
        let last = wakers.len().checked_sub(1)?;
        let place = random.index(last + 1);
        Some(wakers.swap_remove(place))
    }
}

/// Disturbs the runtimes until it is over, and a little longer.
pub(crate) fn disturb(mut random: Random, handles: &[Handle], wakers: &WakerBox, over: &AtomicBool) {
    // Kept to be used when their tasks and runtimes have long gone.
    let mut kept = Vec::new();
    let mut after = 50;
    while after > 0 {
        if over.load(Relaxed) {
            after -= 1;
        }
        wake_some(&mut random, wakers, &mut kept);
        let handle = &handles[random.index(handles.len())];
        match random.index(12) {
            0 => submit(&mut random, handle),
            1 => submit_and_wait(&mut random, handle),
            2 => run_function(&mut random, handle),
            3 => call_back(&mut random, handle),
            4 => meddle(&mut random, handle),
            _ => std::thread::sleep(Duration::from_micros(random.below(50))),
        }
    }
    while let Some(waker) = wakers.take(&mut random) {
        waker.wake();
    }
}

/// Uses wakers in all the ways there are. Each that was put in is used at least once.
fn wake_some(random: &mut Random, wakers: &WakerBox, kept: &mut Vec<Waker>) {
    for _ in 0..32 {
        let Some(waker) = wakers.take(random) else { break };
        match random.index(4) {
            0 => waker.wake(),
            1 => waker.wake_by_ref(),
            2 => {
                let other = waker.clone();
                waker.wake();
                other.wake();
            }
            _ => {
                waker.wake_by_ref();
                kept.push(waker);
            }
        }
    }
    while kept.len() > 256 {
        let waker = kept.swap_remove(random.index(kept.len()));
        if random.one_in(2) { waker.wake() } else { drop(waker) }
    }
}

fn submit(random: &mut Random, handle: &Handle) {
    for _ in 0..random.below(20) {
        let steps = random.below(4);
        let task = run_coroutine_threadsafe(tracked(steps_of(steps)), handle);
        match random.index(3) {
            0 => drop(task),
            1 => drop(task.cancel()),
            _ => {
                let _ = task.blocking_result();
            }
        }
    }
}

fn submit_and_wait(random: &mut Random, handle: &Handle) {
    let mut task = run_coroutine_threadsafe(tracked(steps_of(random.below(50))), handle);
    let limit = Duration::from_micros(random.below(300));
    match task.blocking_result_timeout(limit) {
        Ok(Ok(value)) => value.check(),
        Ok(Err(_)) => {}
        Err(_too_late) => {
            if random.one_in(2) {
                task.cancel();
            }
            if let Ok(value) = task.blocking_result() {
                value.check();
            }
        }
    }
}

fn run_function(random: &mut Random, handle: &Handle) {
    let (call, long) = (Value::call(), random.one_in(4));
    let task = handle.run_in_executor(move || {
        call.check();
        if long {
            std::thread::sleep(Duration::from_micros(200));
        }
        Value::new()
    });
    match random.index(3) {
        0 => drop(task),
        1 => drop(task.cancel()),
        _ => {
            let _ = task.blocking_result();
        }
    }
}

fn call_back(random: &mut Random, handle: &Handle) {
    let call = Value::call();
    let callback = move || call.check();
    let handle = match random.index(3) {
        0 => handle.call_soon_threadsafe(callback),
        _ => handle.call_later(Duration::from_micros(random.below(2_000)), callback),
    };
    if random.one_in(3) {
        handle.cancel();
    }
}

/// Looks at all tasks of a runtime, and cancels some of those that do not mind.
fn meddle(random: &mut Random, handle: &Handle) {
    for task in handle.all_tasks() {
        let _ = (format!("{task:?}"), task.cancelling(), task.location());
        if task.get_name() == MAY_BE_CANCELLED && random.one_in(8) {
            task.cancel_with("meddled with");
        }
    }
}

async fn steps_of(count: u64) -> Value {
    for _ in 0..count {
        yield_now().await;
    }
    Value::new()
}
