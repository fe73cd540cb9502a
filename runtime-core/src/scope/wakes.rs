//! The catchers below a scope that wait on wakers of their own, as in a `FuturesUnordered`: who is woken for a request, and who is still polled.
//!
//! Each has a place, with the waker that it left when it was polled last. A wake takes the waker out, so a place without one has been woken and not polled since.
//! Two things follow from that. A request is left at the place, for the next poll of the scope may not get as far as this catcher. And one that holds is in
//! **doubt**: the code around may not look at it any more. So one at a time is woken; if he has left no new waker when no further poll is due, he holds nothing up.

use super::node::{Delivery, TRIES, Whom, path};
use crate::loom::Mutex;
use crate::task::error::CancelledError;
use crate::task::harness::wake_caught;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

/// The catchers below a scope that wait on wakers other than the scope's.
#[derive(Default)]
pub(crate) struct WakeList {
    entries: Mutex<WakeEntries>,
    /// How often the task had been stirred (`Cold::stirs`) when this was last polled.
    stirs: AtomicU32,
}

#[derive(Default)]
struct WakeEntries {
    slots: Vec<Option<WakeEntry>>,
    free: Vec<u32>,
    /// How many hold.
    holding: usize,
    /// How many would, and have not been told.
    untold: usize,
    /// How many were woken for a request and not polled since.
    unreached: usize,
    doubt: Doubt,
}

/// Whether those who hold are still polled: one of them at a time is asked, by a wake.
#[derive(Default, Clone, Copy)]
struct Doubt {
    /// The place of the one who was asked last.
    slot: u32,
    /// For how many polls he has been asked; 0 if he is not.
    asking: u16,
    /// When this was looked at last, another poll was due.
    due: bool,
    /// How many polls in a row were due anyway, and not only because somebody was asked.
    busy: u16,
    /// How often the one who was asked has turned out to hold, since something else has happened.
    held: u16,
}

impl Doubt {
    /// A `FuturesUnordered` of one wakes itself whenever it has polled it: asked at each poll, it would never be quiet. Picked out of thin air: often enough not to
    /// miss anybody who was left alone meanwhile.
    const SOON: u16 = 16;

    fn may_ask(&self) -> bool {
        match self.busy {
            // There will be no other poll to ask in.
            0 => self.held < Self::SOON,
            busy => busy < Self::SOON || busy.is_multiple_of(TRIES),
        }
    }

    /// A poll has ended; `woken` if there will be another one anyway.
    fn count_poll(&mut self, woken: bool) {
        if !self.due || self.busy > Self::SOON {
            self.held = 0;
        }
        self.busy = if woken { self.busy.checked_add(1).unwrap_or(TRIES) } else { 0 };
        self.due = woken;
    }
}

/// What is known of the one who was asked last.
enum Answer {
    /// He has been polled.
    Holds,
    /// He has not, and will not be; or he has gone, or nobody was asked.
    LeftAlone,
    /// He may still have his turn.
    Unknown,
}

struct WakeEntry {
    /// `None` after it was woken, until it registers again.
    waker: Option<Waker>,
    /// The request that it was woken for, until it is polled.
    request: Option<Left>,
    /// What was said of it (`path`).
    bits: u8,
}

/// A request that was left with somebody who was woken for it.
pub(super) struct Left {
    pub(super) error: CancelledError,
    /// Whose task's it is.
    pub(super) task: u64,
    pub(super) whom: Whom,
}

impl WakeList {
    /// Gives out a place.
    pub(super) fn insert(&self) -> u32 {
        self.entries.lock().insert()
    }

    /// Whoever has this place has been polled, and is what the bits say.
    pub(super) fn renew(&self, slot: u32, waker: &Waker, bits: u8) {
        let fresh = waker.clone();
        let old = self.entries.lock().renew(slot, fresh, bits);
        drop(old);
    }

    /// The place is free again.
    pub(super) fn remove(&self, slot: u32) {
        let waker = self.entries.lock().remove(slot);
        drop(waker);
    }

    /// Leaves the request with all of them and wakes them, with nothing locked.
    pub(crate) fn wake_all(&self, delivery: &Delivery) {
        self.wake_noting(|entries| {
            entries.unreached = entries.slots.len() - entries.free.len();
            for entry in entries.slots.iter_mut().flatten() {
                // What is not for all is not worth keeping when something else comes.
                if entry.request.as_ref().is_none_or(|left| left.whom != Whom::All) {
                    entry.request = Some(delivery.leave());
                }
            }
        });
    }

    /// Whoever has this place is being polled: the request that it was woken for, if it was for one.
    pub(super) fn take_request(&self, slot: u32) -> Option<Delivery> {
        let request = self.entries.lock().take_request(slot);
        request.map(|Left { error, task, whom }| Delivery::late(error, task, whom))
    }

    /// Wakes all to look around, without a request.
    pub(crate) fn stir(&self) {
        self.wake_noting(|_| {});
    }

    /// A poll begins, of a task that has been stirred so often: all are to look around if it was since the last one. Done by the poller, and not by who stirs the task:
    /// a catcher that is in its first poll then, or was woken for something else, has left no waker yet.
    pub(super) fn stir_since(&self, stirs: u32) {
        // Relaxed: only polls of the task come here, one after the other (R2).
        if self.stirs.load(Relaxed) != stirs {
            self.stirs.store(stirs, Relaxed);
            self.stir();
        }
    }

    /// Something waits for those who hold. One of them is woken, to see whether he is polled then. If not, the code around has left him alone (in a
    /// `FuturesUnordered` that it does not look at any more), and he holds nothing up. True if another poll is needed to know; `woken` if there will be one anyway.
    pub(crate) fn ask_a_holder(&self, woken: bool) -> bool {
        let mut entries = self.entries.lock();
        entries.doubt.count_poll(woken);
        let asking = std::mem::take(&mut entries.doubt.asking);
        let next = match entries.answer(asking, woken) {
            Answer::Holds => {
                entries.doubt.held = entries.doubt.held.saturating_add(1);
                return false;
            }
            Answer::LeftAlone => entries.holder_to_ask().map(|slot| (slot, 1)),
            Answer::Unknown => Some((entries.doubt.slot, asking + 1)),
        };
        let Some((slot, asking)) = next else { return false };
        entries.doubt = Doubt { slot, asking, due: true, ..entries.doubt };
        let waker = entries.entry(slot).waker.take();
        drop(entries);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Notes something under the lock, and wakes all with nothing locked.
    fn wake_noting(&self, note: impl FnOnce(&mut WakeEntries)) {
        let wakers: Vec<Waker> = {
            let mut entries = self.entries.lock();
            note(&mut entries);
            entries.slots.iter_mut().flatten().filter_map(|entry| entry.waker.take()).collect()
        };
        for waker in wakers {
            wake_caught(waker);
        }
    }

    /// The bits of all that are registered.
    pub(crate) fn path(&self) -> u8 {
        let entries = self.entries.lock();
        let some = entries.slots.len() > entries.free.len();
        let catcher = if some { path::CATCHER } else { 0 };
        let holding = if entries.holding > 0 { path::HOLDING } else { 0 };
        let untold = if entries.untold > 0 { path::UNTOLD } else { 0 };
        let unreached = if entries.unreached > 0 { path::UNREACHED } else { 0 };
        catcher | holding | untold | unreached
    }
}

impl WakeEntries {
    fn insert(&mut self) -> u32 {
        let entry = Some(WakeEntry { waker: None, request: None, bits: 0 });
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                self.slots.push(entry);
                u32::try_from(self.slots.len() - 1).expect("fewer catchers than 2^32 in one task")
            }
        }
    }

    fn entry(&mut self, slot: u32) -> &mut WakeEntry {
        self.slots[slot as usize].as_mut().expect("a place keeps its entry until it is left")
    }

    /// Gives the waker that was there.
    fn renew(&mut self, slot: u32, waker: Waker, bits: u8) -> Option<Waker> {
        self.set_bits(slot, bits);
        self.entry(slot).waker.replace(waker)
    }

    /// Whom to ask next, of those who hold.
    fn holder_to_ask(&mut self) -> Option<u32> {
        if self.holding == 0 || !self.doubt.may_ask() {
            return None;
        }
        let places = self.slots.len() as u32;
        let first = self.doubt.slot;
        let holds = |slot: &u32| self.bits(*slot) & path::HOLDING != 0;
        // Whoever was asked before is asked again, as long as he is there.
        (first..places).chain(0..first.min(places)).find(holds)
    }

    fn bits(&self, slot: u32) -> u8 {
        self.slots.get(slot as usize).and_then(Option::as_ref).map_or(0, |entry| entry.bits)
    }

    /// What has come of `asking` for so many polls. Who was polled has left a waker, or has gone.
    fn answer(&mut self, asking: u16, woken: bool) -> Answer {
        let slot = self.doubt.slot;
        match self.slots.get(slot as usize) {
            _ if asking == 0 => return Answer::LeftAlone,
            Some(Some(entry)) if entry.waker.is_none() => {}
            Some(Some(_)) => return Answer::Holds,
            // Gone: it is the next one's turn.
            Some(None) | None => return Answer::LeftAlone,
        }
        if woken && asking < TRIES {
            return Answer::Unknown;
        }
        // Until he is polled again.
        self.set_bits(slot, self.bits(slot) & !path::HOLDING);
        Answer::LeftAlone
    }

    fn set_bits(&mut self, slot: u32, bits: u8) {
        let before = std::mem::replace(&mut self.entry(slot).bits, bits);
        for (bit, count) in [(path::HOLDING, &mut self.holding), (path::UNTOLD, &mut self.untold)] {
            *count += usize::from(bits & bit != 0);
            *count -= usize::from(before & bit != 0);
        }
    }

    fn take_request(&mut self, slot: u32) -> Option<Left> {
        let request = self.entry(slot).request.take();
        self.unreached -= usize::from(request.is_some());
        request
    }

    fn remove(&mut self, slot: u32) -> Option<Waker> {
        self.set_bits(slot, 0);
        drop(self.take_request(slot));
        self.free.push(slot);
        self.slots[slot as usize].take().and_then(|entry| entry.waker)
    }
}
