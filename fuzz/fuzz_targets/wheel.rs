//! The wheel beside an ordered map: the same deadlines come out in the same order, and never too early.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime_timers::{Key, Wheel};
use std::collections::BTreeMap;

/// Both, with what is needed to compare them.
struct Pair {
    wheel: Wheel<u64>,
    /// By deadline and by the order of insertion; the value is the name.
    map: BTreeMap<(u64, u64), u64>,
    /// The keys that were given out, with the name and, while it waits, the place in the map.
    keys: Vec<(Key, u64, Option<(u64, u64)>)>,
    next: u64,
    now: u64,
}

impl Pair {
    fn turn(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn insert(&mut self, deadline: u64) {
        let name = self.turn();
        let place = (deadline.max(self.now), name);
        let key = self.wheel.insert(deadline, name);
        assert_eq!(self.wheel.deadline(key), Some(place.0));
        self.map.insert(place, name);
        self.keys.push((key, name, Some(place)));
    }

    fn cancel(&mut self, which: usize) {
        let Some((key, name, place)) = self.keys.get_mut(which) else { return };
        let place = place.take();
        assert_eq!(self.wheel.cancel(*key), place.map(|_| *name));
        if let Some(place) = place {
            self.map.remove(&place);
        }
    }

    fn reset(&mut self, which: usize, deadline: u64) {
        let turn = self.turn();
        let Some((key, name, place)) = self.keys.get_mut(which) else { return };
        assert_eq!(self.wheel.reset(*key, deadline), place.is_some());
        if let Some(old) = place {
            self.map.remove(old);
            *old = (deadline.max(self.now), turn);
            self.map.insert(*old, *name);
        }
    }

    fn poll(&mut self, now: u64) {
        let now = now.max(self.now);
        let due = self.map.first_key_value().map(|(place, name)| (*place, *name)).filter(|(place, _)| place.0 <= now);
        let expired = self.wheel.poll(now);
        assert_eq!(expired.map(|expired| (expired.deadline, expired.value)), due.map(|(place, name)| (place.0, name)));
        self.now = due.map_or(now, |(place, _)| place.0);
        if let Some((place, name)) = due {
            self.map.remove(&place);
            let entry = self.keys.iter_mut().find(|entry| entry.1 == name).expect("it was given out");
            entry.2 = None;
        }
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.map.len());
        assert_eq!(self.wheel.now(), self.now);
        let first = self.map.first_key_value().map(|(place, _)| place.0);
        match (self.wheel.next_deadline(), first) {
            (None, None) => {}
            (Some(next), Some(first)) => assert!(next <= first),
            other => panic!("{other:?}"),
        }
    }
}

/// A number of any size: one byte says how many bits, and the others which.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let bits = u32::from(bytes.next()? % 65);
    let mut number = 0_u64;
    for _ in 0..bits.div_ceil(8) {
        number = number << 8 | u64::from(bytes.next()?);
    }
    Some(if bits == 64 { number } else { number & ((1 << bits) - 1) })
}

fn run(data: &[u8]) -> Option<()> {
    let mut bytes = data.iter().copied();
    let start = number(&mut bytes)?;
    let mut pair = Pair { wheel: Wheel::new(start), map: BTreeMap::new(), keys: Vec::new(), next: 0, now: start };
    loop {
        let operation = bytes.next()?;
        let which = usize::from(operation >> 3);
        match operation % 8 {
            0 | 1 => pair.insert(pair.now.saturating_add(number(&mut bytes)?)),
            2 => pair.insert(number(&mut bytes)?),
            3 => pair.cancel(pair.keys.len().wrapping_sub(1 + which)),
            4 => pair.reset(pair.keys.len().wrapping_sub(1 + which), pair.now.saturating_add(number(&mut bytes)?)),
            5 => pair.poll(pair.now.saturating_add(number(&mut bytes)?)),
            6 => pair.poll(pair.wheel.next_deadline().unwrap_or(pair.now)),
            _ if which == 31 => {
                assert_eq!(pair.wheel.drain().count(), pair.map.len());
                pair.map.clear();
                pair.keys.iter_mut().for_each(|entry| entry.2 = None);
            }
            _ => pair.poll(pair.now),
        }
        pair.check();
    }
}

fuzz_target!(|data: &[u8]| {
    run(data);
});
