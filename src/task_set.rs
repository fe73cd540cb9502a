//! Waiting for the ends of many tasks, in the order in which they end, at a constant cost for each.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runtime_core::{CancelledError, Task, TaskId, TaskRef, awaiting_tasks};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A task, or a task that is borrowed: what [`wait`](fn@crate::wait) and [`as_completed`](fn@crate::as_completed) take.
///
/// # Examples
///
/// ```
/// use runtime::{create_task, wait};
///
/// runtime::run(async {
///     let mut task = create_task(async { 1 });
///     let (done, _) = wait([&mut task]).await; // borrowed
///     assert_eq!(done.len(), 1);
///     let (mut done, _) = wait([task]).await; // given away, and back
///     assert_eq!(done.remove(0).await.unwrap(), 1);
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no task: this takes `Task<T>` or `&mut Task<T>`",
    note = "a future is made a task with `create_task`"
)]
pub trait TaskLike: Unpin {
    /// The value of the task.
    type Value;

    /// The task itself.
    fn task(&mut self) -> &mut Task<Self::Value>;
}

impl<T> TaskLike for Task<T> {
    type Value = T;

    fn task(&mut self) -> &mut Task<T> {
        self
    }
}

impl<T> TaskLike for &mut Task<T> {
    type Value = T;

    fn task(&mut self) -> &mut Task<T> {
        self
    }
}

/// Tasks, of which the ended ones are known.
pub(crate) struct TaskSet<K: TaskLike> {
    /// Those that have ended, at their places in the input.
    ended: Vec<Option<K>>,
    running: FuturesUnordered<Ended<K>>,
    /// Who waits, for pictures of the runtime.
    via: &'static str,
}

/// Waits for the end of one task, and gives it back.
struct Ended<K> {
    index: usize,
    task: Option<K>,
}

impl<K: TaskLike> Future for Ended<K> {
    type Output = (usize, K);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.task.as_mut().expect("polled after completion").task();
        if task.poll_done(cx).is_pending() {
            return Poll::Pending;
        }
        let index = self.index;
        self.task.take().map_or(Poll::Pending, |task| Poll::Ready((index, task)))
    }
}

impl<K: TaskLike> Drop for TaskSet<K> {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

fn ids<K: TaskLike>(running: &mut FuturesUnordered<Ended<K>>) -> Vec<TaskId> {
    running.iter_mut().filter_map(|ended| ended.task.as_mut().map(|task| task.task().id())).collect()
}

impl<K: TaskLike> TaskSet<K> {
    pub(crate) fn new(via: &'static str, tasks: impl IntoIterator<Item = K>) -> Self {
        let running: FuturesUnordered<_> =
            tasks.into_iter().enumerate().map(|(index, task)| Ended { index, task: Some(task) }).collect();
        let ended = (0..running.len()).map(|_| None).collect();
        Self { ended, running, via }
    }

    pub(crate) fn len(&self) -> usize {
        self.ended.len()
    }

    /// The next task that has ended, by its place; `None` when all have been given.
    pub(crate) fn poll_next_done(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let next = awaiting_tasks(cx, self.via, &mut self.running, ids, |running, cx| running.poll_next_unpin(cx));
        next.map(|next| {
            next.map(|(index, task)| {
                self.ended[index] = Some(task);
                index
            })
        })
    }

    /// A task that has ended.
    pub(crate) fn get_mut(&mut self, index: usize) -> &mut K {
        self.ended[index].as_mut().expect("only asked for tasks that have ended")
    }

    /// Takes out a task that has ended.
    pub(crate) fn take(&mut self, index: usize) -> K {
        self.ended[index].take().expect("only asked once, for tasks that have ended")
    }

    /// Passes a request on to all tasks that have not ended; true if any of them took it.
    pub(crate) fn cancel(&mut self, request: &CancelledError) -> bool {
        // One for all: a task that another one of them awaits does not get it twice.
        let request = &request.clone().identified();
        let mut any = false;
        for ended in self.running.iter_mut() {
            if let Some(task) = &mut ended.task {
                any |= task.task().cancel_by(request);
            }
        }
        any
    }

    /// Those that have not ended.
    pub(crate) fn running(&mut self) -> Vec<TaskRef> {
        self.running.iter_mut().filter_map(|ended| ended.task.as_mut().map(|task| task.task().task_ref())).collect()
    }

    /// Borrowed tasks outlive the wait for them.
    fn stop_waiting(&mut self) {
        for ended in self.running.iter_mut() {
            if let Some(task) = &mut ended.task {
                task.task().stop_waiting();
            }
        }
    }

    /// Those that have ended and those that have not, each in the order of the input.
    pub(crate) fn split(&mut self) -> (Vec<K>, Vec<K>) {
        self.stop_waiting();
        let mut running: Vec<(usize, K)> = std::mem::take(&mut self.running)
            .into_iter()
            .filter_map(|ended| ended.task.map(|task| (ended.index, task)))
            .collect();
        running.sort_by_key(|(index, _)| *index);
        let ended = std::mem::take(&mut self.ended).into_iter().flatten().collect();
        (ended, running.into_iter().map(|(_, task)| task).collect())
    }
}
