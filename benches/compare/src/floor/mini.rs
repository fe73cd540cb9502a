//! The floor's executor: one thread, no atomics, one allocation per task.
//!
//! A ready queue in a thread-local `VecDeque`, tasks in `Rc`, wakers that are an
//! `Rc` too. It implements [`Tasks`], so a floor row made with it runs the
//! same workload code as the rivals do, and shows what the work itself costs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::rt::Tasks;

thread_local! {
    /// Tasks to poll, first in, first out.
    static READY: RefCell<VecDeque<Rc<dyn Run>>> = const { RefCell::new(VecDeque::new()) };
}

/// The executor; all state is in the thread.
pub struct Mini;

/// What the queue needs of a task.
trait Run {
    /// Polls it.
    fn run(self: Rc<Self>);
}

/// What a handle needs of a task.
trait Ends<T> {
    /// The result, or the waker is kept; `None` inside is a cancelled task.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Option<T>>;
    /// Drops the future if it has not ended.
    fn cancel(&self);
}

/// A task.
struct Body<F: Future> {
    /// The future, then its output.
    stage: RefCell<Stage<F>>,
    /// Who awaits the task.
    waiter: RefCell<Option<Waker>>,
    /// Whether it is in the ready queue.
    queued: Cell<bool>,
}

/// Life of a task.
enum Stage<F: Future> {
    /// Not ended.
    Pending(F),
    /// Ended, output not taken.
    Ended(F::Output),
    /// Cancelled, or output taken.
    Gone,
}

/// Handle of a [`Mini`] task.
pub struct MiniTask<T>(Rc<dyn Ends<T>>);

// SAFETY: `Mini` has one thread, and nothing of a workload that runs on it leaves it.
unsafe impl<T> Send for MiniTask<T> {}

impl<T> Future for MiniTask<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_end(cx)
    }
}

impl<F: Future + 'static> Body<F> {
    const VTABLE: RawWakerVTable =
        RawWakerVTable::new(Self::clone_raw, Self::wake_raw, Self::wake_by_ref_raw, Self::drop_raw);

    fn make_ready(self: &Rc<Self>) {
        if !self.queued.replace(true) {
            READY.with_borrow_mut(|ready| ready.push_back(self.clone()));
        }
    }

    /// A waker that borrows the caller's reference.
    fn waker(self: &Rc<Self>) -> ManuallyDrop<Waker> {
        // SAFETY: the functions below keep to the contract, on the one thread there
        // is; `ManuallyDrop` keeps the reference that is not ours.
        ManuallyDrop::new(unsafe { Waker::new(Rc::as_ptr(self).cast(), &Self::VTABLE) })
    }

    unsafe fn clone_raw(this: *const ()) -> RawWaker {
        // SAFETY: `this` came from an `Rc<Self>` that the waker keeps alive.
        unsafe { Rc::increment_strong_count(this.cast::<Self>()) };
        RawWaker::new(this, &Self::VTABLE)
    }

    unsafe fn wake_raw(this: *const ()) {
        // SAFETY: the waker's own reference, which it gives up here.
        unsafe { Rc::from_raw(this.cast::<Self>()) }.make_ready();
    }

    unsafe fn wake_by_ref_raw(this: *const ()) {
        // SAFETY: the waker's own reference, which it keeps.
        ManuallyDrop::new(unsafe { Rc::from_raw(this.cast::<Self>()) }).make_ready();
    }

    unsafe fn drop_raw(this: *const ()) {
        // SAFETY: the waker's own reference, which it gives up here.
        drop(unsafe { Rc::from_raw(this.cast::<Self>()) });
    }

    fn end(&self, stage: Stage<F>) {
        self.stage.replace(stage);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }
}

impl<F: Future + 'static> Run for Body<F> {
    fn run(self: Rc<Self>) {
        self.queued.set(false);
        let waker = self.waker();
        let mut stage = self.stage.borrow_mut();
        let Stage::Pending(future) = &mut *stage else {
            return;
        };
        // SAFETY: the future stays in its `Rc` until it is dropped there.
        let future = unsafe { Pin::new_unchecked(future) };
        if let Poll::Ready(output) = future.poll(&mut Context::from_waker(&waker)) {
            drop(stage);
            self.end(Stage::Ended(output));
        }
    }
}

impl<F: Future + 'static> Ends<F::Output> for Body<F> {
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let mut stage = self.stage.borrow_mut();
        if matches!(*stage, Stage::Pending(_)) {
            self.waiter.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        match std::mem::replace(&mut *stage, Stage::Gone) {
            Stage::Ended(output) => Poll::Ready(Some(output)),
            _ => Poll::Ready(None),
        }
    }

    fn cancel(&self) {
        if matches!(*self.stage.borrow(), Stage::Pending(_)) {
            self.end(Stage::Gone);
        }
    }
}

impl Tasks for Mini {
    type Task<T: Send + 'static> = MiniTask<T>;

    fn start(_: usize) -> Self {
        Self
    }

    fn drive<F>(&self, main: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let main = Self::spawn(main);
        while let Some(task) = READY.with_borrow_mut(VecDeque::pop_front) {
            task.run();
        }
        let mut cx = Context::from_waker(Waker::noop());
        match main.0.poll_end(&mut cx) {
            Poll::Ready(Some(output)) => output,
            _ => panic!("nothing is ready and the workload has not ended"),
        }
    }

    fn shutdown(self) {
        READY.take();
    }

    fn spawn<F>(future: F) -> MiniTask<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let body = Rc::new(Body {
            stage: RefCell::new(Stage::Pending(future)),
            waiter: RefCell::new(None),
            queued: Cell::new(false),
        });
        body.make_ready();
        MiniTask(body)
    }

    fn detach<T: Send + 'static>(task: MiniTask<T>) {
        drop(task);
    }

    async fn join<T: Send + 'static>(task: MiniTask<T>) -> T {
        task.await.expect("the task was cancelled")
    }

    async fn cancel_all<T: Send + 'static>(tasks: Vec<MiniTask<T>>) -> usize {
        tasks.iter().for_each(|task| task.0.cancel());
        let mut cancelled = 0;
        for task in tasks {
            cancelled += usize::from(task.await.is_none());
        }
        cancelled
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        futures_lite::future::yield_now()
    }

    async fn gather<F>(futures: Vec<F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let tasks: Vec<_> = futures.into_iter().map(Self::spawn).collect();
        let mut sum = 0;
        for task in tasks {
            sum += Self::join(task).await;
        }
        sum
    }

    async fn group<F>(futures: Vec<F>) -> usize
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let tasks: Vec<_> = futures.into_iter().map(Self::spawn).collect();
        let mut ended = 0;
        for task in tasks {
            Self::join(task).await;
            ended += 1;
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_take_turns_in_the_order_of_their_spawn() {
        let order = Mini.drive(async {
            let (sender, receiver) = std::sync::mpsc::channel();
            let child = |name: &'static str| {
                let sender = sender.clone();
                Mini::spawn(async move {
                    sender.send(name).unwrap();
                    Mini::yield_now().await;
                    sender.send(name).unwrap();
                })
            };
            let (first, second) = (child("a"), child("b"));
            Mini::join(first).await;
            Mini::join(second).await;
            receiver.try_iter().collect::<String>()
        });
        assert_eq!(order, "abab");
    }

    #[test]
    fn a_cancelled_task_drops_its_future_and_ends() {
        let (alive, cancelled) = Mini.drive(async {
            let guard = std::sync::Arc::new(());
            let held = guard.clone();
            let task = Mini::spawn(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
            Mini::yield_now().await;
            let cancelled = Mini::cancel_all(vec![task]).await;
            (std::sync::Arc::strong_count(&guard), cancelled)
        });
        assert_eq!((alive, cancelled), (1, 1));
    }
}
