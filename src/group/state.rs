//! What the handles of a group share: its children, its failures, how far it is.

use crate::exception_group::Failure;
use parking_lot::Mutex;
use runtime_core::{CancelledError, TaskId, TaskRef, Trigger, not_awaiting};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What all handles share.
pub(super) struct Shared<E> {
    state: Mutex<State<E>>,
    /// The task that the scope is in, for pictures of the runtime.
    pub(super) owner: Option<TaskId>,
}

struct State<E> {
    phase: Phase,
    /// The children that have not ended.
    children: HashMap<TaskId, TaskRef, BuildHasherDefault<TaskIdHasher>>,
    /// Children that are being created: counted before they are there.
    starting: usize,
    /// In the order in which they happened.
    failures: Vec<Failure<E>>,
    /// What the children and the body have got, once the group aborts.
    request: Option<CancelledError>,
    /// The body, when it waits; woken by an abort.
    body: Option<Waker>,
    /// The scope, when it waits for the children.
    scope: Option<Waker>,
}

/// Numbers of tasks are distinct and nobody chooses them: a multiplication spreads them well enough (Knuth's multiplicative hashing), at a
/// fraction of what the standard one costs, which was a fifth of all that a child costs.
#[derive(Default)]
struct TaskIdHasher(u64);

impl Hasher for TaskIdHasher {
    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// All children and the body have got their request.
    Aborting,
    /// The scope has returned.
    Over,
}

impl<E> Shared<E> {
    pub(super) fn new(owner: Option<TaskId>) -> Self {
        let state = Mutex::new(State {
            phase: Phase::Open,
            children: HashMap::default(),
            starting: 0,
            failures: Vec::new(),
            request: None,
            body: None,
            scope: None,
        });
        Self { state, owner }
    }

    /// Counts a child that is about to be created; false when none is taken in any more.
    pub(super) fn begin_child(&self) -> bool {
        let mut state = self.state.lock();
        let open = state.phase == Phase::Open;
        state.starting += usize::from(open);
        open
    }

    /// A child is about to begin. The group may have begun to abort since it was counted: then the child gets its request now.
    fn child_begins(&self, task: &TaskRef) {
        let late = {
            let mut state = self.state.lock();
            state.starting -= 1;
            state.children.insert(task.id(), task.clone());
            (state.phase != Phase::Open).then(|| state.request.clone().unwrap_or_default())
        };
        if let Some(request) = late {
            task.cancel_by(&request);
        }
    }

    /// A child that was counted will not begin.
    fn child_not_created(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.starting -= 1;
            state.wake_scope()
        };
        wake(waker);
    }

    pub(super) fn child_ended(&self, task: &TaskRef) {
        let (child, waker) = {
            let mut state = self.state.lock();
            let child = state.children.remove(&task.id());
            (child, state.wake_scope())
        };
        drop(child);
        wake(waker);
    }

    pub(super) fn children(&self) -> Vec<TaskId> {
        let mut children: Vec<TaskId> = self.state.lock().children.keys().copied().collect();
        children.sort_unstable();
        children
    }

    /// The children themselves, for an aborting group.
    pub(super) fn told(&self) -> Vec<TaskRef> {
        self.state.lock().children.values().cloned().collect()
    }

    pub(super) fn poll_no_child(&self, cx: &mut Context<'_>) -> Poll<()> {
        let fresh = cx.waker().clone();
        let mut state = self.state.lock();
        if state.no_child() {
            // In the same step: somebody else could add a child in between, which nobody would wait for.
            state.phase = Phase::Over;
            return Poll::Ready(());
        }
        let old = state.scope.replace(fresh);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Whom to cancel and to wake, the first time.
    pub(super) fn begin_abort(&self, request: &CancelledError) -> Option<(Vec<TaskRef>, Option<Waker>)> {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return None;
        }
        state.phase = Phase::Aborting;
        state.request = Some(request.clone());
        Some((state.children.values().cloned().collect(), state.body.take()))
    }

    pub(super) fn is_aborting(&self) -> bool {
        self.state.lock().phase == Phase::Aborting
    }

    /// Notes a failure; gives it back when the scope was dropped, so that nobody will read it.
    pub(super) fn add_failure(&self, failure: Failure<E>) -> Result<(), Failure<E>> {
        let mut state = self.state.lock();
        if state.phase == Phase::Over {
            return Err(failure);
        }
        state.failures.push(failure);
        Ok(())
    }

    /// The scope returns: no child is taken in any more.
    pub(super) fn close(&self) -> Vec<Failure<E>> {
        let mut state = self.state.lock();
        state.phase = Phase::Over;
        std::mem::take(&mut state.failures)
    }
}

impl<E> State<E> {
    fn no_child(&self) -> bool {
        self.children.is_empty() && self.starting == 0
    }

    fn wake_scope(&mut self) -> Option<Waker> {
        if self.no_child() { self.scope.take() } else { None }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A child that is counted, and not there yet. None may come: where there is no runtime, or a closed one.
pub(super) struct Starting<'a, E>(pub(super) &'a Shared<E>);

impl<E> Starting<'_, E> {
    pub(super) fn begins(self, task: &TaskRef) {
        self.0.child_begins(task);
        std::mem::forget(self);
    }
}

impl<E> Drop for Starting<'_, E> {
    fn drop(&mut self) {
        self.0.child_not_created();
    }
}

/// Cancels the body when the group aborts.
pub(super) struct Aborted<E>(pub(super) Arc<Shared<E>>);

impl<E> Trigger for Aborted<E> {
    fn poll_request(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CancelledError> {
        let fresh = not_awaiting(cx, |cx| cx.waker().clone());
        let mut state = self.0.state.lock();
        if state.phase != Phase::Open {
            return Poll::Ready(state.request.clone().unwrap_or_default());
        }
        let old = state.body.replace(fresh);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<E> fmt::Debug for Shared<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state.try_lock() {
            Some(state) => f
                .debug_struct("TaskGroup")
                .field("phase", &state.phase)
                .field("children", &state.children.len())
                .field("failures", &state.failures.len())
                .finish(),
            None => f.write_str("TaskGroup(<locked>)"),
        }
    }
}
