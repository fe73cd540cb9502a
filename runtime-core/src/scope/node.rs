//! Frames on the poll stack and the nodes that survive between polls. The rules stand in the module page of `scope`.

use super::wakes::{Left, WakeList};
use crate::current;
use crate::task::cell::Header;
use crate::task::error::CancelledError;
use crate::task::harness;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::task::{Context, Poll, Waker};

/// Bits that tell an outer frame what is below it.
pub(crate) mod path {
    /// A catcher is on the path.
    pub(crate) const CATCHER: u8 = 1;
    /// A catcher on the path holds.
    pub(crate) const HOLDING: u8 = 2;
    /// (Root only) a cancellation has been raised and waits for those who hold; it is kept in the cold part.
    pub(crate) const DEFERRED: u8 = 4;
    /// A catcher with a waker of its own was woken for a request, and has not been polled since.
    pub(crate) const UNREACHED: u8 = 8;
    /// A catcher on the path would wait for others, and has not been told of a request.
    pub(crate) const UNTOLD: u8 = 16;
}

/// How often a request that nobody has taken is delivered again, and what unwinds is announced, while woken catchers have not had their turn (`FuturesUnordered` ends a
/// poll early when its futures wake themselves). Picked out of thin air: enough for a set of some hundred such futures.
pub(crate) const TRIES: u16 = 256;

/// A request on its way: lives on the stack of the scope that delivers it.
pub(crate) struct Delivery {
    error: Cell<CancelledError>,
    /// The task whose own request it is; 0 for one of an inner scope.
    pub(super) task: u64,
    /// Nobody waits any longer for those who were not reached.
    last: bool,
    pub(super) whom: Whom,
    /// How many catchers took it in this poll.
    taken: Cell<u32>,
}

/// Whom a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Whom {
    /// All catchers.
    All,
    /// It has been delivered before (`CancelledError::redeliver`): those who hold because of a request have had it, in another branch.
    #[default]
    NotTold,
    /// It is about to unwind (rule 8): those who would wait for others, and have not been told.
    Waiting,
}

/// What a catcher does about a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Catcher {
    /// Ends what is inside, and goes on by itself.
    Handles,
    /// Waits for what it passes the request to.
    Waits,
    /// As `Waits`, and was told before.
    Told,
}

impl Delivery {
    #[inline]
    pub(crate) fn new(error: CancelledError) -> Self {
        Self { error: Cell::new(error), task: 0, last: false, whom: Whom::All, taken: Cell::new(0) }
    }

    /// One that was left with somebody who is polled later.
    pub(super) fn late(error: CancelledError, task: u64, whom: Whom) -> Self {
        Self { task, whom, last: true, ..Self::new(error) }
    }

    fn of(Again { error, whom }: Again) -> Self {
        Self { whom, ..Self::new(error) }
    }

    /// Whether a catcher may take it.
    pub(crate) fn is_for(&self, catcher: Catcher) -> bool {
        match self.whom {
            Whom::All => true,
            Whom::NotTold => catcher != Catcher::Told,
            Whom::Waiting => catcher == Catcher::Waits,
        }
    }

    /// Whether it may be for somebody inside of this catcher.
    pub(crate) fn is_for_those_in(&self, catcher: Catcher) -> bool {
        self.whom == Whom::All || catcher != Catcher::Told
    }

    /// Whether it is but the last call before something unwinds.
    pub(crate) fn is_last_call(&self) -> bool {
        self.whom == Whom::Waiting
    }

    /// As `new`, for the try with this number.
    pub(crate) fn of_try(error: CancelledError, tries: u16) -> Self {
        Self { last: tries >= TRIES, ..Self::new(error) }
    }

    /// After a poll in which nobody took it: whether to wait for those `below` who have not had their turn yet.
    pub(crate) fn may_wait(&self, below: u8) -> bool {
        !self.last && below & path::UNREACHED != 0
    }

    /// After a poll in which nobody took it: whether it is the matter of those `below`, who have not had their turn yet, or have had it before and hold.
    pub(crate) fn is_left_to(&self, below: u8) -> bool {
        self.may_wait(below) || self.whom != Whom::All && below & path::HOLDING != 0
    }

    /// The number of the task whose own request it is.
    pub(crate) fn task(&self) -> Option<u64> {
        (self.task != 0).then_some(self.task)
    }

    /// Takes it: the caller does something about it.
    pub(crate) fn take(&self) -> CancelledError {
        self.taken.set(self.taken.get() + 1);
        self.copy(|_| {})
    }

    /// Takes it for this catcher. All who may pass it on, in whatever branches, get the same one: it may come to a task from several of them.
    pub(crate) fn take_by(&self, catcher: Catcher) -> CancelledError {
        if catcher != Catcher::Handles {
            self.copy(CancelledError::identify);
        }
        self.take()
    }

    /// A copy for somebody who is woken for it, and may pass it on.
    pub(super) fn leave(&self) -> Left {
        Left { error: self.copy(CancelledError::identify), task: self.task, whom: self.whom }
    }

    fn copy(&self, change: impl FnOnce(&mut CancelledError)) -> CancelledError {
        let mut error = self.error.take();
        change(&mut error);
        self.error.set(error.clone());
        error
    }

    pub(crate) fn taken(&self) -> u32 {
        self.taken.get()
    }
}

/// One scope or catcher while its inner future is being polled.
pub(crate) struct Frame {
    /// The frame around it; null for a task's.
    parent: *const Frame,
    /// The waker that the inner future is polled with.
    waker: *const Waker,
    /// The request that is being delivered in this poll; null for none.
    delivery: *const Delivery,
    /// The scope's own requests.
    requests: u32,
    /// The task, when this is its frame; null otherwise.
    root: *const Header,
    /// The number of this poll; 0 until somebody below asks for it.
    serial: Cell<u32>,
    /// The number of the poll of this scope or catcher before this one.
    previous: u32,
    /// What is below, as far as it was polled this time.
    path: Cell<u8>,
    /// A cancellation that unwinds to this frame.
    raised: Cell<Option<CancelledError>>,
    /// What only few have, in the node; null for a root, which has it in the task's cold part.
    rare: *const Cell<Option<Box<Rare>>>,
}

/// What only few scopes and catchers have ever: apart, so that the futures with scopes in them are small.
#[derive(Default)]
struct Rare {
    /// Catchers below that have wakers of their own.
    wakes: Option<Arc<WakeList>>,
    /// A raised cancellation that waits for those who hold (rule 8).
    deferred: Option<CancelledError>,
    /// A cancellation that is to be delivered again, at the next suspension below.
    again: Option<Again>,
    /// How often those below were told that it is about to unwind.
    last_calls: u16,
}

/// A cancellation that is to be delivered again.
struct Again {
    error: CancelledError,
    whom: Whom,
}

/// Runs `f` with the innermost frame.
#[inline]
pub(crate) fn with_frame<R>(f: impl FnOnce(Option<&Frame>) -> R) -> R {
    let frame = current::frame();
    // SAFETY: `Entered` makes a frame current only while it lives on the stack below, and takes it back before it goes,
    // also when it unwinds. The reference does not leave `f`.
    f(unsafe { frame.as_ref() })
}

impl Frame {
    #[inline]
    fn new(parent: *const Frame, cx: &Context<'_>, delivery: *const Delivery) -> Self {
        Self {
            parent,
            waker: cx.waker(),
            delivery,
            requests: 0,
            root: std::ptr::null(),
            serial: Cell::new(0),
            previous: 0,
            path: Cell::new(0),
            raised: Cell::new(None),
            rare: std::ptr::null(),
        }
    }

    /// Lets a cancellation unwind to this frame. The first one counts.
    pub(crate) fn raise(&self, error: CancelledError) {
        let before = self.raised.take();
        self.raised.set(Some(before.unwrap_or(error)));
    }

    /// Makes a cancellation pending for the next suspension below this frame.
    pub(crate) fn redeliver(&self, error: CancelledError) {
        match self.root() {
            Some(task) => harness::redeliver(task, error),
            None => self.with_rare(|rare| rare.again = Some(Again { error, whom: Whom::NotTold })),
        }
    }

    fn rare(&self) -> &Cell<Option<Box<Rare>>> {
        // SAFETY: not null, for all callers have asked for a root before; `Node::poll` has borrowed it for as long as the frame lives.
        unsafe { &*self.rare }
    }

    fn with_rare<R>(&self, f: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare().take().unwrap_or_default();
        let result = f(&mut rare);
        self.rare().set(Some(rare));
        result
    }

    #[inline]
    fn parent(&self) -> Option<&Frame> {
        // SAFETY: the frame around this one is below it on the stack.
        unsafe { self.parent.as_ref() }
    }

    fn root(&self) -> Option<&Header> {
        // SAFETY: the poller of the task keeps it alive for the whole poll.
        unsafe { self.root.as_ref() }
    }

    fn requests(&self) -> u32 {
        self.root().map_or(self.requests, |task| task.state.load().requests())
    }

    #[inline]
    fn has_waker(&self, waker: &Waker) -> bool {
        // SAFETY: the waker is borrowed by the poll that this frame stands for.
        unsafe { &*self.waker }.will_wake(waker)
    }

    fn wake_list(&self) -> Arc<WakeList> {
        match self.root() {
            Some(task) => Arc::clone(task.cold().wake_list()),
            None => self.with_rare(|rare| Arc::clone(rare.wakes.get_or_insert_default())),
        }
    }

    /// Something below has returned pending: `bits` say what it is, `mark` is where that is remembered.
    #[inline]
    pub(crate) fn settle(&self, cx: &Context<'_>, bits: u8, mark: &mut Mark) {
        self.path.set(self.path.get() | bits);
        mark.serial = self.serial();
        if bits == 0 || self.has_waker(cx.waker()) {
            mark.unregister();
        } else {
            mark.register(self.wake_list(), cx.waker(), bits);
        }
    }

    /// Whether `mark` was left in the last poll of this frame's scope, or waits here on a waker of its own (rule 2). Something that was
    /// polled earlier and then left alone for a while is not on the path, nor is what was polled somewhere else.
    #[inline]
    pub(crate) fn has_on_path(&self, mark: &Mark) -> bool {
        mark.serial != 0 && mark.serial == self.previous || mark.list.as_ref().is_some_and(|list| self.owns(list))
    }

    /// Whether `mark` was left in this very poll.
    pub(crate) fn has_met(&self, mark: &Mark) -> bool {
        mark.serial != 0 && mark.serial == self.serial.get()
    }

    fn owns(&self, list: &Arc<WakeList>) -> bool {
        match self.root() {
            Some(task) => {
                task.cold_if_any().and_then(|cold| cold.wakes.get()).is_some_and(|own| Arc::ptr_eq(own, list))
            }
            None => {
                let rare = self.rare().take();
                let own = rare.as_ref().and_then(|rare| rare.wakes.as_ref());
                let owns = own.is_some_and(|own| Arc::ptr_eq(own, list));
                self.rare().set(rare);
                owns
            }
        }
    }

    #[inline]
    fn serial(&self) -> u32 {
        if self.serial.get() == 0 {
            self.serial.set(current::next_serial());
        }
        self.serial.get()
    }
}

/// What a scope, a catcher or an await remembers of the last poll in which it returned pending. Takes its place in the wake list along when it
/// goes, on whatever thread.
#[derive(Default)]
pub(crate) struct Mark {
    /// The number of the poll of the frame around; 0 for none.
    serial: u32,
    /// The place in `list`.
    slot: u32,
    /// The list of that frame, if the waker was another than the frame's.
    list: Option<Arc<WakeList>>,
}

impl Mark {
    /// Whether nothing is remembered.
    #[inline]
    pub(crate) fn is_blank(&self) -> bool {
        self.serial == 0 && self.list.is_none()
    }

    /// As [`Frame::settle`] for something that is on its way out: it is met again in the next poll, but is no catcher.
    pub(crate) fn unwinding(&mut self) {
        self.unregister();
        with_frame(|frame| self.serial = frame.map_or(0, Frame::serial));
    }

    /// The request that reaches something with this mark from further out.
    #[inline]
    pub(crate) fn incoming(&self) -> Incoming {
        let is_delivering = with_frame(|frame| frame.is_some_and(|frame| !frame.delivery.is_null()));
        if is_delivering || self.list.is_some() { self.look_for_request() } else { Incoming::Nothing }
    }

    fn look_for_request(&self) -> Incoming {
        let Some(list) = &self.list else {
            return with_frame(|frame| {
                let delivery =
                    frame.filter(|frame| frame.has_on_path(self)).map_or(std::ptr::null(), |frame| frame.delivery);
                NonNull::new(delivery.cast_mut()).map_or(Incoming::Nothing, Incoming::Now)
            });
        };
        // Not simply what the frame delivers: this may be polled more than once meanwhile, and gets it once.
        let Some(left) = list.take_request(self.slot) else { return Incoming::Nothing };
        with_frame(|frame| match frame.filter(|frame| frame.owns(list)) {
            Some(frame) => NonNull::new(frame.delivery.cast_mut()).map_or(Incoming::Late(left), Incoming::Now),
            None => Incoming::Nothing,
        })
    }

    /// Takes a place in this list, or renews what is there.
    pub(crate) fn register(&mut self, list: Arc<WakeList>, waker: &Waker, bits: u8) {
        if self.list.as_ref().is_some_and(|own| !Arc::ptr_eq(own, &list)) {
            // The future was moved to another task, or to another place in this one.
            self.unregister();
        }
        if self.list.is_none() {
            self.slot = list.insert();
        }
        self.list.get_or_insert(list).renew(self.slot, waker, bits);
    }

    /// Leaves the list.
    #[inline]
    pub(crate) fn unregister(&mut self) {
        if let Some(list) = self.list.take() {
            list.remove(self.slot);
        }
    }
}

impl Drop for Mark {
    #[inline]
    fn drop(&mut self) {
        self.unregister();
    }
}

/// A request that reaches a scope, a catcher or an await in the poll that has just begun.
pub(crate) enum Incoming {
    Nothing,
    /// It is being delivered by a poll further out.
    Now(NonNull<Delivery>),
    /// It was delivered by an earlier poll further out, which woke this one but did not get as far as polling it.
    Late(Delivery),
}

impl Incoming {
    pub(crate) fn get(&self) -> Option<&Delivery> {
        match self {
            Self::Nothing => None,
            // SAFETY: it lives on the stack of a scope whose poll is around this one; the value is used in this poll only.
            Self::Now(delivery) => Some(unsafe { delivery.as_ref() }),
            Self::Late(delivery) => Some(delivery),
        }
    }
}

/// Makes a frame current for as long as it lives.
struct Entered {
    before: *const Frame,
}

impl Entered {
    #[inline]
    fn new(frame: &Frame) -> Self {
        Self { before: current::set_frame(frame) }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        current::set_frame(self.before);
    }
}

/// The requests that come from outside of the scope that is about to be polled (rule 6).
#[inline]
pub(crate) fn outside_requests() -> u32 {
    sum_requests(|_| true)
}

/// The requests of the scopes around the running code, without the task's own.
pub(crate) fn scope_requests() -> u32 {
    sum_requests(|frame| frame.root.is_null())
}

#[inline]
fn sum_requests(counts: impl Fn(&Frame) -> bool) -> u32 {
    with_frame(|mut frame| {
        let mut sum = 0u32;
        while let Some(here) = frame {
            if counts(here) {
                sum = sum.saturating_add(here.requests());
            }
            frame = here.parent();
        }
        sum
    })
}

/// No request is left: takes back what the running code has made pending again ([`CancelledError::redeliver`]) in the scopes around it.
pub(crate) fn withdraw() {
    with_frame(|mut frame| {
        while let Some(here) = frame.filter(|frame| frame.root.is_null()) {
            if let Some(mut rare) = here.rare().take() {
                rare.again.take_if(|again| again.whom == Whom::NotTold);
                here.rare().set(Some(rare));
            }
            frame = here.parent();
        }
    });
}

/// What a scope or a catcher keeps between polls.
#[derive(Default)]
pub(crate) struct Node {
    /// Whether it has been polled before.
    pub(crate) started: bool,
    /// What was below in the last poll.
    path: u8,
    /// The number of the last poll, if it ended with catchers below.
    serial: u32,
    /// The last poll as the frame around saw it.
    pub(crate) mark: Mark,
    rare: Option<Box<Rare>>,
}

/// What came of polling inside of a frame.
pub(crate) struct Polled<T> {
    pub(crate) poll: Poll<T>,
    /// A cancellation has unwound to here and nobody holds it up.
    pub(crate) unwound: Option<CancelledError>,
}

impl Node {
    /// Whether a catcher is on the path below (rule 2).
    #[inline]
    pub(crate) fn has_catcher(&self) -> bool {
        self.below() & path::CATCHER != 0
    }

    #[inline]
    pub(crate) fn below(&self) -> u8 {
        self.path | self.wakes().map_or(0, |list| list.path())
    }

    #[inline]
    fn wakes(&self) -> Option<&Arc<WakeList>> {
        self.rare.as_ref()?.wakes.as_ref()
    }

    #[inline]
    fn take_again(&mut self) -> Option<Again> {
        self.rare.as_mut()?.again.take()
    }

    /// Lets a cancellation wait, unless another one does.
    #[cold]
    fn defer(&mut self, error: CancelledError) {
        self.rare.get_or_insert_default().deferred.get_or_insert(error);
    }

    /// The cancellation that has unwound to here. It waits while somebody below holds; and before it goes on, those who would hold are told (rule 8).
    #[cold]
    fn let_unwind(&mut self, cx: &Context<'_>) -> Option<CancelledError> {
        if self.path & path::HOLDING == 0 && self.wakes().is_some_and(|list| list.ask_a_holder(is_woken())) {
            cx.waker().wake_by_ref();
        }
        let below = self.below();
        let rare = self.rare.as_mut()?;
        if below & path::HOLDING != 0 {
            return None;
        }
        if below & path::UNTOLD == 0 || rare.last_calls >= TRIES {
            return rare.deferred.take();
        }
        if let (Some(error), None) = (&rare.deferred, &rare.again) {
            rare.again = Some(Again { error: error.clone(), whom: Whom::Waiting });
            rare.last_calls += 1;
            cx.waker().wake_by_ref();
        }
        None
    }

    /// A cancellation that is to end what is inside: given back when nobody in there has to be told or waited for before.
    pub(crate) fn unwind(&mut self, error: CancelledError, cx: &Context<'_>) -> Option<CancelledError> {
        if self.below() & (path::HOLDING | path::UNTOLD) == 0 {
            return Some(error);
        }
        self.defer(error);
        self.let_unwind(cx)
    }

    fn is_unwinding(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.deferred.is_some())
    }

    /// Polls the inner future in a frame.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        deliver: Option<&Delivery>,
        requests: u32,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Polled<T> {
        let again = self.take_again().map(Delivery::of);
        if let Some(again) = &again
            && !self.has_catcher()
        {
            return Polled { poll: Poll::Pending, unwound: Some(again.take()) };
        }
        // One from outside that comes at the same time is delivered in its place.
        let deliver = deliver.or(again.as_ref());
        match (deliver, self.wakes()) {
            (_, None) => {}
            (Some(delivery), Some(list)) => list.wake_all(delivery),
            (None, Some(list)) => stir_since_last(list),
        }
        let delivery = deliver.map_or(std::ptr::null(), std::ptr::from_ref);
        self.started = true;
        let frame = Frame {
            requests,
            previous: self.serial,
            rare: Cell::from_mut(&mut self.rare),
            ..Frame::new(current::frame(), cx, delivery)
        };
        let entered = Entered::new(&frame);
        let poll = poll(cx);
        drop(entered);
        self.path = frame.path.get();
        self.serial = frame.serial.get();
        if let Some(error) = frame.raised.take() {
            self.defer(error);
        }
        if poll.is_pending() {
            if self.rare.as_ref().is_some_and(|rare| rare.again.is_some()) {
                cx.waker().wake_by_ref();
            }
            if let Some(again) = &again
                && std::ptr::eq(delivery, again)
                && again.taken() == 0
            {
                self.defer(again.take());
            }
        }
        let unwound = if poll.is_pending() && self.is_unwinding() { self.let_unwind(cx) } else { None };
        Polled { poll, unwound }
    }

    /// The inner future has ended with a cancellation still to be delivered again: that is now up to what is further out.
    #[inline]
    pub(crate) fn deliver_again_outside(&mut self) {
        if let Some(Again { error, whom: Whom::NotTold }) = self.take_again() {
            error.redeliver();
        }
    }

    /// The poll ends pending: tells the frame around what is below, `own` included.
    #[inline]
    pub(crate) fn settle(&mut self, cx: &Context<'_>, own: u8) {
        let bits = self.below() | own;
        let mark = &mut self.mark;
        with_frame(|parent| match parent {
            Some(parent) => parent.settle(cx, bits, mark),
            None => *mark = Mark::default(),
        });
    }

    /// The inner future has gone: nothing is below any more, and nothing is registered further out.
    #[inline]
    pub(crate) fn leave(&mut self) {
        *self = Self { started: true, ..Self::default() };
    }
}

/// What came of a task's poll.
pub(crate) enum RootPoll {
    Ready,
    Pending,
    /// The future is to be dropped, and the task ends so.
    Cancelled(CancelledError),
}

/// Polls a task's future in its root frame. `request` is what `State::take_request` found, and whether it has been delivered before.
#[inline]
pub(crate) fn poll_root(
    task: &Header,
    cx: &mut Context<'_>,
    request: Option<(CancelledError, bool)>,
    first: bool,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<()>,
) -> RootPoll {
    let Some((error, again)) = request else {
        if let Some(list) = task.cold_if_any().and_then(|cold| cold.wakes.get()) {
            stir_since_last(list);
        }
        return poll_in_root(task, cx, None, poll);
    };
    if first || root_below(task) & path::CATCHER == 0 {
        return RootPoll::Cancelled(error);
    }
    let cold = task.cold_if_any();
    let (tries, again_for) = cold.map_or_else(Default::default, |cold| {
        let mut inner = cold.inner.lock();
        (std::mem::take(&mut inner.tries), std::mem::take(&mut inner.again_for))
    });
    let whom = if again { again_for } else { Whom::All };
    let delivery = Delivery { task: task.id, whom, ..Delivery::of_try(error, tries) };
    if let Some(list) = cold.and_then(|cold| cold.wakes.get()) {
        list.wake_all(&delivery);
    }
    match poll_in_root(task, cx, Some(&delivery), poll) {
        RootPoll::Pending if delivery.taken() > 0 => RootPoll::Pending,
        RootPoll::Pending if delivery.is_last_call() => RootPoll::Pending,
        RootPoll::Pending if delivery.may_wait(root_below(task)) => {
            try_again(task, &delivery, tries);
            RootPoll::Pending
        }
        RootPoll::Pending => unwind_root(task, Some(delivery.take())),
        other => other,
    }
}

/// The awaits in the running task may have to look at what came (`task::ring`): also those in this list, which have wakers of their own.
#[cold]
fn stir_since_last(list: &WakeList) {
    let Some(task) = current::task() else { return };
    if let Some(cold) = task.header().cold_if_any() {
        // Acquire: pairs with the release of whoever stirs the task: what came before that is seen by all that are woken here.
        list.stir_since(cold.stirs.load(Acquire));
    }
}

/// Nobody has taken the request, but some who were woken for it have not had their turn: makes it pending again, for the last time if
/// the poll has not woken itself, so that their turn will not come either.
#[cold]
fn try_again(task: &Header, delivery: &Delivery, tries: u16) {
    let woken = task.state.load().has(crate::task::state::NOTIFIED);
    let mut inner = task.cold().inner.lock();
    inner.tries = if woken { tries + 1 } else { TRIES };
    inner.again_for = delivery.whom;
    drop(inner);
    harness::redeliver(task, delivery.take());
}

fn root_below(task: &Header) -> u8 {
    task.path.get() | task.cold_if_any().and_then(|cold| cold.wakes.get()).map_or(0, |list| list.path())
}

#[inline]
fn poll_in_root(
    task: &Header,
    cx: &mut Context<'_>,
    delivery: Option<&Delivery>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<()>,
) -> RootPoll {
    let delivery = delivery.map_or(std::ptr::null(), std::ptr::from_ref);
    let previous = task.serial.get();
    let frame = Frame { root: task, previous, ..Frame::new(std::ptr::null(), cx, delivery) };
    let entered = Entered::new(&frame);
    let poll = poll(cx);
    drop(entered);
    if poll.is_ready() {
        return RootPoll::Ready;
    }
    if previous | frame.serial.get() != 0 {
        task.serial.set(frame.serial.get());
    }
    let deferred = task.path.get() & path::DEFERRED;
    task.path.set(frame.path.get() | deferred);
    match frame.raised.take() {
        None if deferred == 0 => RootPoll::Pending,
        raised => unwind_root(task, raised),
    }
}

/// A cancellation has unwound to the task: ends it, unless somebody holds (rule 8).
#[cold]
fn unwind_root(task: &Header, raised: Option<CancelledError>) -> RootPoll {
    if task.path.get() & path::HOLDING == 0
        && let Some(list) = task.cold_if_any().and_then(|cold| cold.wakes.get())
        && list.ask_a_holder(is_woken())
    {
        // It is being polled: nobody owes a push.
        let _ = task.state.wake();
    }
    let mut inner = task.cold().inner.lock();
    let error = inner.deferred.take().or(raised);
    let Some(error) = error else { return RootPoll::Pending };
    let below = root_below(task);
    let last_call = below & path::HOLDING == 0 && below & path::UNTOLD != 0 && inner.last_calls < TRIES;
    if below & path::HOLDING == 0 && !last_call {
        return RootPoll::Cancelled(error);
    }
    inner.deferred = Some(error.clone());
    inner.again_for = if last_call { Whom::Waiting } else { inner.again_for };
    inner.last_calls += u16::from(last_call);
    drop(inner);
    task.path.set(task.path.get() | path::DEFERRED);
    if last_call {
        harness::redeliver(task, error);
    }
    RootPoll::Pending
}

/// Whether the running task will be polled again in any case. Outside of any task nobody knows.
fn is_woken() -> bool {
    current::task().is_none_or(|task| task.header().state.load().has(crate::task::state::NOTIFIED))
}
