//! Asking tasks for their stacks: a request is left with the task, and answered by whoever polls it next.

use super::watch::Seen;
use crate::task::TaskRef;
use crate::task::cell::schedule_task;
use crate::task::state::Wake;
use crate::time::{Sleep, sleep};
use parking_lot::{Condvar, Mutex};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What a task answers: what its poll waits for, or nothing when it has ended.
pub(crate) type Answer = Option<Vec<Seen>>;

/// The answers of several tasks, by their places.
pub(crate) struct Answers {
    state: Mutex<State>,
    /// Told when the last answer has come.
    complete: Condvar,
}

struct State {
    answers: Vec<Option<Answer>>,
    /// How many are still to come.
    missing: usize,
    /// Who waits as a future.
    waker: Option<Waker>,
}

/// A wish that was left with a task. Dropped unanswered, it says that the task has ended.
pub(crate) struct Request {
    answers: Arc<Answers>,
    place: usize,
}

impl Request {
    pub(crate) fn answer(self, answer: Answer) {
        self.answers.set(self.place, answer);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.answers.set(self.place, None);
    }
}

impl Answers {
    /// Asks all these tasks, which are no promises.
    pub(crate) fn of<'a>(tasks: impl ExactSizeIterator<Item = &'a TaskRef>) -> Arc<Self> {
        let state = State { answers: vec![None; tasks.len()], missing: tasks.len(), waker: None };
        let answers = Arc::new(Self { state: Mutex::new(state), complete: Condvar::new() });
        for (place, task) in tasks.enumerate() {
            ask(task, Request { answers: Arc::clone(&answers), place });
        }
        answers
    }

    fn set(&self, place: usize, answer: Answer) {
        let waker = {
            let mut state = self.state.lock();
            let slot = &mut state.answers[place];
            if slot.is_some() {
                return;
            }
            *slot = Some(answer);
            state.missing -= 1;
            if state.missing > 0 {
                return;
            }
            self.complete.notify_all();
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Blocks this thread until all have answered, for so long at most.
    pub(crate) fn wait(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        while state.missing > 0 && !self.complete.wait_until(&mut state, deadline).timed_out() {}
    }

    /// What has come so far, by places; `None` where nothing has.
    pub(crate) fn take(&self) -> Vec<Option<Answer>> {
        let mut state = self.state.lock();
        let none = vec![None; state.answers.len()];
        std::mem::replace(&mut state.answers, none)
    }
}

/// Leaves a request with a task, and has it polled.
fn ask(task: &TaskRef, request: Request) {
    let header = task.header();
    let cold = header.cold();
    let mut inner = cold.inner.lock();
    inner.traces.push(request);
    // Under the lock that the completer takes after it has seen `LISTENERS`: either it finds the request, or this sees `COMPLETE`.
    match header.state.request_trace() {
        Some((_, wake)) => {
            drop(inner);
            if wake == Wake::Submit {
                // SAFETY: the transition above owes the push.
                unsafe { schedule_task(task.as_raw()) };
            }
        }
        None => {
            let late = inner.traces.pop();
            drop(inner);
            drop(late);
        }
    }
}

/// Waits for answers, for so long at most.
pub(crate) struct WaitForAnswers {
    answers: Arc<Answers>,
    patience: Sleep,
}

impl WaitForAnswers {
    pub(crate) fn new(answers: Arc<Answers>, patience: Duration) -> Self {
        Self { answers, patience: sleep(patience) }
    }
}

impl Future for WaitForAnswers {
    type Output = Vec<Option<Answer>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let fresh = cx.waker().clone();
        let complete = {
            let mut state = self.answers.state.lock();
            let old = state.waker.replace(fresh);
            let complete = state.missing == 0;
            drop(state);
            drop(old);
            complete
        };
        if complete || Pin::new(&mut self.patience).poll(cx).is_ready() {
            return Poll::Ready(self.answers.take());
        }
        Poll::Pending
    }
}
