//! Frames on the poll stack and the nodes that survive between polls. The rules stand in the module page of `scope`.

use crate::current;
use crate::loom::Mutex;
use crate::task::cell::Header;
use crate::task::error::CancelledError;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Bits that tell an outer frame what is below it.
pub(crate) mod path {
    /// A catcher is on the path.
    pub(crate) const CATCHER: u8 = 1;
    /// A catcher on the path holds.
    pub(crate) const HOLDING: u8 = 2;
    /// (Root only) a cancellation has been raised and waits for those who hold; it is kept in the cold part.
    pub(crate) const DEFERRED: u8 = 4;
}

/// A request on its way: lives on the stack of the scope that delivers it.
pub(crate) struct Delivery {
    error: CancelledError,
    /// How many catchers took it in this poll.
    taken: Cell<u32>,
}

impl Delivery {
    pub(crate) fn new(error: CancelledError) -> Self {
        Self { error, taken: Cell::new(0) }
    }

    /// Takes it: the caller does something about it.
    pub(crate) fn take(&self) -> CancelledError {
        self.taken.set(self.taken.get() + 1);
        self.error.clone()
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
    /// What is below, as far as it was polled this time.
    path: Cell<u8>,
    /// A cancellation that unwinds to this frame.
    raised: Cell<Option<CancelledError>>,
    /// Catchers below that have wakers of their own. For a root in the task's cold part instead.
    wakes: RefCell<Option<Arc<WakeList>>>,
}

/// Runs `f` with the innermost frame.
pub(crate) fn with_frame<R>(f: impl FnOnce(Option<&Frame>) -> R) -> R {
    let frame = current::frame();
    // SAFETY: `Entered` makes a frame current only while it lives on the stack below, and takes it back before it goes,
    // also when it unwinds. The reference does not leave `f`.
    f(unsafe { frame.as_ref() })
}

impl Frame {
    fn new(parent: *const Frame, cx: &Context<'_>, delivery: *const Delivery) -> Self {
        Self {
            parent,
            waker: cx.waker(),
            delivery,
            requests: 0,
            root: std::ptr::null(),
            path: Cell::new(0),
            raised: Cell::new(None),
            wakes: RefCell::new(None),
        }
    }

    /// The request that is being delivered in this poll.
    pub(crate) fn delivery(&self) -> Option<&Delivery> {
        // SAFETY: it lives on the stack of a scope whose poll is around this one, hence longer than this frame.
        unsafe { self.delivery.as_ref() }
    }

    /// Lets a cancellation unwind to this frame. The first one counts.
    pub(crate) fn raise(&self, error: CancelledError) {
        let before = self.raised.take();
        self.raised.set(Some(before.unwrap_or(error)));
    }

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

    fn has_waker(&self, waker: &Waker) -> bool {
        // SAFETY: the waker is borrowed by the poll that this frame stands for.
        unsafe { &*self.waker }.will_wake(waker)
    }

    fn wake_list(&self) -> Arc<WakeList> {
        match self.root() {
            Some(task) => Arc::clone(task.cold().wake_list()),
            None => Arc::clone(self.wakes.borrow_mut().get_or_insert_default()),
        }
    }

    /// Something below has returned pending: `bits` say what it is, `place` is where it registers if it has to.
    pub(crate) fn settle(&self, cx: &Context<'_>, bits: u8, place: &mut Option<Place>) {
        self.path.set(self.path.get() | bits);
        if bits == 0 || self.has_waker(cx.waker()) {
            drop(place.take());
        } else {
            Place::update(place, || self.wake_list(), cx.waker(), bits);
        }
    }
}

/// Makes a frame current for as long as it lives.
struct Entered {
    before: *const Frame,
}

impl Entered {
    fn new(frame: &Frame) -> Self {
        Self { before: current::set_frame(frame) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        current::set_frame(self.before);
    }
}

/// The requests that come from outside of the scope that is about to be polled (rule 6).
pub(crate) fn outside_requests() -> u32 {
    sum_requests(|_| true)
}

/// The requests of the scopes around the running code, without the task's own.
pub(crate) fn scope_requests() -> u32 {
    sum_requests(|frame| frame.root.is_null())
}

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

/// What a scope or a catcher keeps between polls.
#[derive(Default)]
pub(crate) struct Node {
    /// Whether it has been polled before.
    pub(crate) started: bool,
    /// What was below in the last poll.
    path: u8,
    /// Catchers below with wakers of their own.
    wakes: Option<Arc<WakeList>>,
    /// The place in the list of the frame around, if this node has a waker of its own.
    place: Option<Place>,
    /// A raised cancellation that waits for those who hold (rule 8).
    pub(crate) deferred: Option<CancelledError>,
}

/// Which request goes inwards with a poll.
pub(crate) enum Deliver<'a> {
    /// The one that is being delivered from further out, if any.
    FromOutside,
    /// One of this scope.
    Own(&'a Delivery),
    /// None: this catcher has taken it.
    Nothing,
}

/// What came of polling inside of a frame.
pub(crate) struct Polled<T> {
    pub(crate) poll: Poll<T>,
    /// A cancellation has unwound to here and nobody holds it up.
    pub(crate) unwound: Option<CancelledError>,
}

impl Node {
    /// Whether a catcher is on the path below (rule 2).
    pub(crate) fn has_catcher(&self) -> bool {
        self.below() & path::CATCHER != 0
    }

    fn below(&self) -> u8 {
        self.path | self.wakes.as_ref().map_or(0, |list| list.path())
    }

    /// Polls the inner future in a frame.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        deliver: Deliver<'_>,
        requests: u32,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Polled<T> {
        let delivery = match deliver {
            Deliver::FromOutside => with_frame(|parent| parent.map_or(std::ptr::null(), |parent| parent.delivery)),
            Deliver::Own(delivery) => std::ptr::from_ref(delivery),
            Deliver::Nothing => std::ptr::null(),
        };
        if !delivery.is_null()
            && let Some(list) = &self.wakes
        {
            list.wake_all();
        }
        self.started = true;
        let frame =
            Frame { requests, wakes: RefCell::new(self.wakes.take()), ..Frame::new(current::frame(), cx, delivery) };
        let entered = Entered::new(&frame);
        let poll = poll(cx);
        drop(entered);
        self.wakes = frame.wakes.take();
        self.path = frame.path.get();
        if let Some(error) = frame.raised.take() {
            self.deferred.get_or_insert(error);
        }
        let held = poll.is_ready() || self.below() & path::HOLDING != 0;
        let unwound = if held { None } else { self.deferred.take() };
        Polled { poll, unwound }
    }

    /// The poll ends pending: tells the frame around what is below, `own` included.
    pub(crate) fn settle(&mut self, cx: &Context<'_>, own: u8) {
        let bits = self.below() | own;
        let place = &mut self.place;
        with_frame(|parent| match parent {
            Some(parent) => parent.settle(cx, bits, place),
            None => drop(place.take()),
        });
    }

    /// The inner future has gone: nothing is below any more, and nothing is registered further out.
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

/// Polls a task's future in its root frame. `request` is what `State::take_request` found.
pub(crate) fn poll_root(
    task: &Header,
    cx: &mut Context<'_>,
    request: Option<CancelledError>,
    first: bool,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<()>,
) -> RootPoll {
    let Some(error) = request else {
        return poll_in_root(task, cx, None, poll);
    };
    if first || root_below(task) & path::CATCHER == 0 {
        return RootPoll::Cancelled(error);
    }
    if let Some(list) = task.cold_if_any().and_then(|cold| cold.wakes.get()) {
        list.wake_all();
    }
    let delivery = Delivery::new(error);
    match poll_in_root(task, cx, Some(&delivery), poll) {
        RootPoll::Pending if delivery.taken() == 0 => RootPoll::Cancelled(delivery.take()),
        other => other,
    }
}

fn root_below(task: &Header) -> u8 {
    task.path.get() | task.cold_if_any().and_then(|cold| cold.wakes.get()).map_or(0, |list| list.path())
}

fn poll_in_root(
    task: &Header,
    cx: &mut Context<'_>,
    delivery: Option<&Delivery>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<()>,
) -> RootPoll {
    let delivery = delivery.map_or(std::ptr::null(), std::ptr::from_ref);
    let frame = Frame { root: task, ..Frame::new(std::ptr::null(), cx, delivery) };
    let entered = Entered::new(&frame);
    let poll = poll(cx);
    drop(entered);
    if poll.is_ready() {
        return RootPoll::Ready;
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
    let mut inner = task.cold().inner.lock();
    let error = inner.deferred.take().or(raised);
    let Some(error) = error else { return RootPoll::Pending };
    if root_below(task) & path::HOLDING == 0 {
        return RootPoll::Cancelled(error);
    }
    inner.deferred = Some(error);
    task.path.set(task.path.get() | path::DEFERRED);
    RootPoll::Pending
}

/// The catchers below a scope that wait on wakers other than the scope's.
#[derive(Default)]
pub(crate) struct WakeList(Mutex<WakeEntries>);

#[derive(Default)]
struct WakeEntries {
    slots: Vec<Option<WakeEntry>>,
    free: Vec<usize>,
    /// How many hold.
    holding: usize,
}

struct WakeEntry {
    /// `None` after it was woken, until it registers again.
    waker: Option<Waker>,
    holding: bool,
}

impl WakeList {
    /// Wakes all, with nothing locked.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> = {
            let mut entries = self.0.lock();
            entries.slots.iter_mut().flatten().filter_map(|entry| entry.waker.take()).collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// The bits of all that are registered.
    pub(crate) fn path(&self) -> u8 {
        let entries = self.0.lock();
        let some = entries.slots.len() > entries.free.len();
        let catcher = if some { path::CATCHER } else { 0 };
        if entries.holding > 0 { catcher | path::HOLDING } else { catcher }
    }
}

impl WakeEntries {
    fn insert(&mut self) -> usize {
        let entry = Some(WakeEntry { waker: None, holding: false });
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = entry;
                slot
            }
            None => {
                self.slots.push(entry);
                self.slots.len() - 1
            }
        }
    }

    fn set_holding(&mut self, slot: usize, holding: bool) {
        let entry = self.slots[slot].as_mut().expect("a place keeps its entry until it is dropped");
        if entry.holding != holding {
            entry.holding = holding;
            self.holding = if holding { self.holding + 1 } else { self.holding - 1 };
        }
    }

    fn remove(&mut self, slot: usize) -> Option<Waker> {
        self.set_holding(slot, false);
        self.free.push(slot);
        self.slots[slot].take().and_then(|entry| entry.waker)
    }
}

/// A place in a [`WakeList`]; leaves it when dropped, on whatever thread.
pub(crate) struct Place {
    list: Arc<WakeList>,
    slot: usize,
}

impl Place {
    /// Registers, or renews what is registered.
    pub(crate) fn update(place: &mut Option<Place>, list: impl FnOnce() -> Arc<WakeList>, waker: &Waker, bits: u8) {
        let list = list();
        if place.as_ref().is_some_and(|place| !Arc::ptr_eq(&place.list, &list)) {
            // The future was moved to another task, or to another place in this one.
            *place = None;
        }
        let place = place.get_or_insert_with(|| {
            let slot = list.0.lock().insert();
            Place { list, slot }
        });
        let fresh = waker.clone();
        let old = {
            let mut entries = place.list.0.lock();
            entries.set_holding(place.slot, bits & path::HOLDING != 0);
            let entry = entries.slots[place.slot].as_mut().expect("a place keeps its entry until it is dropped");
            entry.waker.replace(fresh)
        };
        drop(old);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let waker = self.list.0.lock().remove(self.slot);
        drop(waker);
    }
}
