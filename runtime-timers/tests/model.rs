//! The wheel against an ordered map, on random sequences of operations.

use std::collections::BTreeMap;

use proptest::prelude::*;
use runtime_timers::{Expired, Key, Wheel};

/// The obvious implementation, with the wheel beside it.
struct Both {
    /// What is tested.
    wheel: Wheel<u32>,
    /// Entries by deadline and order of insertion, with key and value.
    model: BTreeMap<(u64, u64), (Key, u32)>,
    /// What `Wheel::now` has to be.
    now: u64,
    /// The number of the next insertion or reset.
    sequence: u64,
    /// Keys of entries that have gone.
    stale: Vec<Key>,
    /// Polls that an idle driver may still make without an entry coming out.
    allowance: u64,
}

/// How a deadline or a time is chosen.
#[derive(Clone, Copy, Debug)]
enum When {
    /// This moment.
    At(u64),
    /// So much after the model's time.
    After(u64),
    /// So much before the model's time.
    Before(u64),
    /// Around the border of a level above the model's time.
    Border(u32, i8),
    /// The deadline of some waiting entry.
    Same(usize),
}

/// One step of a test.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Insert an entry.
    Insert(When),
    /// Insert a number of entries at distances of so much.
    Burst(When, u8, u64),
    /// Cancel some waiting entry.
    Cancel(usize),
    /// Cancel the entry that would come next.
    CancelFirst,
    /// Give some waiting entry another deadline.
    Reset(usize, When),
    /// Change the value of some waiting entry.
    Replace(usize),
    /// Poll at a time, and take so many.
    Poll(When, usize),
    /// Poll at the next deadline until so many came out.
    Follow(usize),
    /// Take everything out.
    Drain,
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        2 => prop_oneof![
            Just(0), Just(1), Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 63), any::<u64>(),
        ].prop_map(When::At),
        4 => (0..5_000_u64).prop_map(When::After),
        4 => (0..58_u32, any::<u64>()).prop_map(|(shift, n)| When::After(n >> (63 - shift))),
        1 => any::<u16>().prop_map(|n| When::Before(n.into())),
        4 => (0..11_u32, -2..=2_i8).prop_map(|(level, offset)| When::Border(level, offset)),
        3 => any::<usize>().prop_map(When::Same),
    ]
}

/// Times that do not go to the end at once.
fn moderate() -> impl Strategy<Value = When> {
    prop_oneof![
        30 => (0..10_000_u64).prop_map(When::After),
        20 => (0..45_u32, any::<u64>()).prop_map(|(shift, n)| When::After(n >> (63 - shift))),
        5 => Just(When::Before(3)),
        20 => (0..9_u32, -2..=2_i8).prop_map(|(level, offset)| When::Border(level, offset)),
        30 => any::<usize>().prop_map(When::Same),
        1 => Just(When::At(u64::MAX)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => when().prop_map(Step::Insert),
        5 => (when(), 2..40_u8, prop_oneof![Just(0), Just(1), 0..100_u64, any::<u64>()])
            .prop_map(|(when, count, distance)| Step::Burst(when, count, distance)),
        6 => any::<usize>().prop_map(Step::Cancel),
        3 => Just(Step::CancelFirst),
        6 => (any::<usize>(), when()).prop_map(|(n, when)| Step::Reset(n, when)),
        2 => any::<usize>().prop_map(Step::Replace),
        8 => (moderate(), prop_oneof![0..5_usize, Just(usize::MAX)])
            .prop_map(|(when, take)| Step::Poll(when, take)),
        6 => (1..6_usize).prop_map(Step::Follow),
        1 => Just(Step::Drain),
    ]
}

impl Both {
    fn new(now: u64) -> Both {
        Both { wheel: Wheel::new(now), model: BTreeMap::new(), now, sequence: 0, stale: Vec::new(), allowance: 0 }
    }

    fn time(&self, when: When) -> u64 {
        match when {
            When::At(time) => time,
            When::After(distance) => self.now.saturating_add(distance),
            When::Before(distance) => self.now.saturating_sub(distance),
            When::Border(level, offset) => {
                let next = (self.now >> (6 * level)).saturating_add(1);
                let border = next.saturating_mul(1 << (6 * level));
                border.saturating_add_signed(offset.into())
            }
            When::Same(n) => self.nth(n).map_or(self.now, |id| id.0),
        }
    }

    fn nth(&self, n: usize) -> Option<(u64, u64)> {
        let n = n.checked_rem(self.model.len())?;
        self.model.keys().nth(n).copied()
    }

    /// The model's place for a new deadline.
    fn place(&mut self, deadline: u64) -> (u64, u64) {
        self.sequence += 1;
        (deadline.max(self.now), self.sequence)
    }

    fn insert(&mut self, deadline: u64) {
        let value = self.sequence as u32;
        let key = self.wheel.insert(deadline, value);
        let id = self.place(deadline);
        self.model.insert(id, (key, value));
        self.allowance += 11;
    }

    fn cancel(&mut self, id: (u64, u64)) {
        let (key, value) = self.model.remove(&id).unwrap();
        assert_eq!(self.wheel.cancel(key), Some(value));
        self.stale.push(key);
        self.allowance += 1;
    }

    fn reset(&mut self, id: (u64, u64), deadline: u64) {
        let entry = self.model.remove(&id).unwrap();
        assert!(self.wheel.reset(entry.0, deadline));
        let id = self.place(deadline);
        self.model.insert(id, entry);
        self.allowance += 12;
    }

    fn replace(&mut self, id: (u64, u64)) {
        let (key, value) = self.model.get_mut(&id).unwrap();
        *value = !*value;
        *self.wheel.get_mut(*key).unwrap() = *value;
    }

    /// Polls both; whether something came out.
    fn poll(&mut self, now: u64) -> bool {
        let now = now.max(self.now);
        let due = self.model.first_key_value().is_some_and(|((deadline, _), _)| *deadline <= now);
        let expected = due.then(|| self.model.pop_first().unwrap());
        match (self.wheel.poll(now), expected) {
            (None, None) => self.now = now,
            (Some(Expired { key, deadline, value, .. }), Some(expected)) => {
                assert_eq!((deadline, (key, value)), (expected.0.0, expected.1));
                self.stale.push(key);
                self.now = deadline;
            }
            (got, expected) => panic!("at {now}: {got:?}, not {expected:?}"),
        }
        due
    }

    /// Does what a driver does that sleeps until the next deadline, until `count` came out.
    fn follow(&mut self, mut count: usize) {
        while count > 0 && !self.model.is_empty() {
            let next = self.wheel.next_deadline().unwrap();
            if self.poll(next) {
                count -= 1;
            } else {
                self.allowance = self.allowance.checked_sub(1).expect("too many idle polls");
                assert_ne!(self.wheel.next_deadline(), Some(next), "no progress");
            }
        }
    }

    fn drain(&mut self) {
        let mut values: Vec<u32> = self.wheel.drain().collect();
        let mut expected: Vec<u32> = self.model.values().map(|entry| entry.1).collect();
        values.sort_unstable();
        expected.sort_unstable();
        assert_eq!(values, expected);
        self.stale.extend(std::mem::take(&mut self.model).into_values().map(|entry| entry.0));
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Insert(when) => self.insert(self.time(when)),
            Step::Burst(when, count, distance) => {
                let first = self.time(when);
                for n in 0..count {
                    self.insert(first.wrapping_add(distance.wrapping_mul(n.into())));
                }
            }
            Step::Cancel(n) => self.nth(n).into_iter().for_each(|id| self.cancel(id)),
            Step::CancelFirst => self.nth(0).into_iter().for_each(|id| self.cancel(id)),
            Step::Reset(n, when) => {
                let deadline = self.time(when);
                self.nth(n).into_iter().for_each(|id| self.reset(id, deadline));
            }
            Step::Replace(n) => self.nth(n).into_iter().for_each(|id| self.replace(id)),
            Step::Poll(when, take) => {
                let now = self.time(when);
                let _ = (0..take).find(|_| !self.poll(now));
            }
            Step::Follow(count) => self.follow(count),
            Step::Drain => self.drain(),
        }
    }

    /// What must hold after each step.
    fn check(&mut self) {
        assert_eq!(self.wheel.len(), self.model.len());
        assert_eq!(self.wheel.is_empty(), self.model.is_empty());
        assert_eq!(self.wheel.now(), self.now);
        let first = self.model.keys().next().map(|id| id.0);
        let next = self.wheel.next_deadline();
        assert_eq!(next.is_some(), first.is_some());
        assert!(next <= first, "next deadline {next:?} after {first:?}");
        assert!(next.is_none_or(|next| next >= self.now), "next deadline in the past");
    }

    /// Waiting entries are known, stale keys are refused.
    fn check_keys(&mut self) {
        for (id, (key, value)) in &self.model {
            assert_eq!(self.wheel.deadline(*key), Some(id.0));
            assert_eq!(self.wheel.get_mut(*key), Some(&mut value.clone()));
        }
        for &key in &self.stale {
            assert_eq!(self.wheel.cancel(key), None);
            assert!(!self.wheel.reset(key, 0));
            assert_eq!(self.wheel.get_mut(key), None);
            assert_eq!(self.wheel.deadline(key), None);
        }
    }
}

proptest! {
    #[test]
    fn does_what_an_ordered_map_does(
        start in prop_oneof![Just(0), Just(63), any::<u64>().prop_map(|n| n >> 20), any::<u64>()],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut both = Both::new(start);
        for step in steps {
            both.apply(step);
            both.check();
        }
        both.check_keys();
        both.follow(usize::MAX);
        both.check();
        prop_assert!(both.wheel.is_empty());
    }
}

#[test]
fn every_pair_of_borders_comes_out_in_order() {
    let mut times = vec![0, 1, u64::MAX - 1, u64::MAX];
    for shift in 1..64 {
        times.extend([(1 << shift) - 1, 1 << shift, (1 << shift) + 1]);
    }
    times.sort_unstable();
    for &start in &times {
        let mut both = Both::new(start);
        times.iter().rev().for_each(|&deadline| both.insert(deadline));
        for &now in &times {
            while both.poll(now) {}
            both.check();
        }
        assert!(both.wheel.is_empty());
    }
}

#[test]
fn equal_deadlines_come_out_in_the_order_of_insertion_however_late_they_came() {
    let target = 0x1234_5678_9abc_def0;
    let mut both = Both::new(0);
    for shift in (0..61).rev() {
        both.insert(target);
        both.insert(target);
        while both.poll(target - (1 << shift)) {}
        // Short-lived neighbours force slots to be sorted in between.
        for n in 0..8 {
            both.insert(both.now + n);
        }
        while both.poll(both.now + 4) {}
    }
    both.follow(usize::MAX);
    assert!(both.wheel.is_empty());
}

#[test]
fn following_the_next_deadline_takes_one_poll_for_each_entry_when_none_is_cancelled() {
    let mut wheel = Wheel::new(0);
    let mut deadline = 1_u64;
    for n in 0..10_000 {
        deadline = deadline.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n);
        wheel.insert(deadline >> (deadline % 40), n);
    }
    let mut polls = 0;
    while let Some(next) = wheel.next_deadline() {
        polls += 1;
        let expired = wheel.poll(next);
        assert!(expired.is_none_or(|expired| expired.deadline == next));
    }
    assert!(polls <= 11_000, "{polls} polls");
}

#[test]
fn a_lone_timer_takes_one_poll_however_far_ahead() {
    for shift in 0..64 {
        let mut wheel = Wheel::new(12_345);
        wheel.insert(u64::MAX >> shift, shift);
        let next = wheel.next_deadline().unwrap();
        assert_eq!(wheel.poll(next).unwrap().value, shift);
    }
}

#[test]
fn memory_is_given_back_after_expiry() {
    let mut wheel = Wheel::new(0);
    let empty = wheel.memory();
    for n in 0..300_000 {
        wheel.insert(n, n);
    }
    assert!(wheel.memory() >= 300_000 * 32);
    while wheel.poll(u64::MAX).is_some() {}
    assert!(wheel.memory() < empty + 64 * 1024, "{} bytes", wheel.memory());
}

#[test]
fn memory_is_given_back_after_cancellation_in_any_order() {
    let mut wheel = Wheel::new(0);
    let empty = wheel.memory();
    for stride in [1, 7, 99_989] {
        let mut keys: Vec<Option<Key>> = (0..100_000).map(|n| Some(wheel.insert(n * 1_000_003, n))).collect();
        for n in 0..keys.len() {
            let key = keys[n * stride % 100_000].take().unwrap();
            assert!(wheel.cancel(key).is_some());
        }
        assert!(wheel.memory() < empty + 64 * 1024, "{} bytes", wheel.memory());
    }
}

#[test]
fn draining_gives_all_memory_back_and_leaves_a_usable_wheel() {
    let mut wheel = Wheel::new(0);
    let empty = wheel.memory();
    let old = wheel.insert(5, 5);
    for n in 0..10_000 {
        wheel.insert(n, n);
    }
    let rest = wheel.drain();
    assert_eq!(wheel.memory(), empty);
    let new = wheel.insert(7, 7);
    assert_eq!(rest.len(), 10_001);
    assert_eq!(rest.sum::<u64>(), 5 + 9_999 * 10_000 / 2);
    assert_eq!(wheel.cancel(old), None);
    assert_eq!(wheel.cancel(new), Some(7));
}

#[test]
fn values_are_dropped_once_whatever_becomes_of_them() {
    let token = std::sync::Arc::new(());
    let count = || std::sync::Arc::strong_count(&token) - 1;
    let mut wheel = Wheel::new(0);
    let keys: Vec<Key> = (0..1_000).map(|n| wheel.insert(n, token.clone())).collect();
    assert_eq!(count(), 1_000);
    drop(wheel.cancel(keys[500]));
    drop(wheel.poll(0));
    assert_eq!(count(), 998);
    let mut rest = wheel.drain();
    drop(rest.next());
    assert_eq!(count(), 997);
    drop(rest);
    assert_eq!(count(), 0);
    wheel.insert(1, token.clone());
    wheel.clear();
    assert_eq!(count(), 0);
    wheel.insert(1, token.clone());
    drop(wheel);
    assert_eq!(count(), 0);
}
