//! What one operation costs inside the wheel, in nanoseconds of one thread's time.
//!
//! Each row is the median of some rounds, with deadlines in nanoseconds as the engine uses them.
//! It says nothing about locks, wakers or the system's clock, and little about a wheel whose
//! entries were pushed out of the cache by other work.
//!
//! `cargo bench -p runtime-timers --bench wheel`; an argument that is a number is the number of
//! rounds.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::task::Waker;
use std::time::Instant;

use runtime_timers::{Key, Wheel};

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const SECOND: u64 = 1_000 * MS;

/// A small pseudo-random generator (xorshift), so that all rounds are alike.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Measures `work`, which returns how many operations it did, and prints the median.
fn row(name: &str, rounds: usize, mut work: impl FnMut() -> (u64, f64)) {
    let mut costs: Vec<f64> = (0..rounds)
        .map(|_| {
            let (operations, nanoseconds) = work();
            nanoseconds / operations as f64
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    println!("{name:<58} {:>8.1} ns", costs[rounds / 2]);
}

/// Runs `work` and returns its result with the nanoseconds that it took.
fn timed<R>(work: impl FnOnce() -> R) -> (R, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_nanos() as f64)
}

fn value() -> Waker {
    Waker::noop().clone()
}

/// A wheel with this many entries spread over a minute.
fn wheel_with(pending: u64) -> Wheel<Waker> {
    let mut wheel = Wheel::new(0);
    let mut random = Random(7);
    for _ in 0..pending {
        wheel.insert(SECOND + random.below(60 * SECOND), value());
    }
    wheel
}

/// A timeout of thirty seconds that is not needed.
fn arm_and_cancel(pending: u64) -> (u64, f64) {
    let mut wheel = wheel_with(pending);
    let ((), nanoseconds) = timed(|| {
        for now in 0..1_000_000 {
            let key = wheel.insert(30 * SECOND + now, value());
            black_box(wheel.cancel(black_box(key)));
        }
    });
    (1_000_000, nanoseconds)
}

/// The same with a thousand of them at any time, in random order.
fn arm_and_cancel_among_others() -> (u64, f64) {
    let mut wheel = Wheel::new(0);
    let mut random = Random(3);
    let mut keys: Vec<Key> = (0..1_000).map(|n| wheel.insert(30 * SECOND + n, value())).collect();
    let ((), nanoseconds) = timed(|| {
        for now in 0..1_000_000 {
            let n = random.below(1_000) as usize;
            wheel.cancel(keys[n]).unwrap();
            keys[n] = wheel.insert(30 * SECOND + now * 50, value());
        }
    });
    (1_000_000, nanoseconds)
}

/// Pushing one of a thousand deadlines back.
fn reset() -> (u64, f64) {
    let mut wheel = Wheel::new(0);
    let mut random = Random(3);
    let keys: Vec<Key> = (0..1_000).map(|n| wheel.insert(30 * SECOND + n, value())).collect();
    let ((), nanoseconds) = timed(|| {
        for now in 0..1_000_000 {
            let key = keys[random.below(1_000) as usize];
            assert!(wheel.reset(key, 30 * SECOND + now * 50));
        }
    });
    (1_000_000, nanoseconds)
}

/// Deadlines of sleeps spread over 50 to 250 ms.
fn sleeps(count: u64) -> Vec<u64> {
    let mut random = Random(11);
    (0..count).map(|_| 50 * MS + random.below(200 * MS)).collect()
}

fn only_insert(deadlines: &[u64]) -> (u64, f64) {
    let mut wheel = Wheel::new(0);
    let ((), nanoseconds) = timed(|| {
        for &deadline in deadlines {
            wheel.insert(deadline, value());
        }
    });
    assert_eq!(wheel.len(), deadlines.len());
    (deadlines.len() as u64, nanoseconds)
}

/// Inserting all, then polling whenever `step` has passed, as a worker would.
fn sleep_and_expire(deadlines: &[u64], step: u64) -> (u64, f64) {
    let mut wheel = Wheel::new(0);
    let (expired, nanoseconds) = timed(|| {
        for &deadline in deadlines {
            wheel.insert(deadline, value());
        }
        let mut now = 0;
        let mut expired = 0;
        while let Some(next) = wheel.next_deadline() {
            now = next.max(now + step);
            while wheel.poll(now).is_some() {
                expired += 1;
            }
        }
        expired
    });
    assert_eq!(expired, deadlines.len());
    (deadlines.len() as u64, nanoseconds)
}

/// The longest single poll of that, for all rounds: what others may wait for at a lock.
fn longest_poll(deadlines: &[u64]) -> (u64, f64) {
    let mut wheel = Wheel::new(0);
    for &deadline in deadlines {
        wheel.insert(deadline, value());
    }
    let mut longest = 0.0_f64;
    while let Some(next) = wheel.next_deadline() {
        longest = longest.max(timed(|| wheel.poll(next)).1);
    }
    (1, longest)
}

/// The yardstick: an ordered map.
fn ordered_map(deadlines: &[u64]) -> (u64, f64) {
    let mut map = BTreeMap::new();
    let ((), nanoseconds) = timed(|| {
        for (n, &deadline) in deadlines.iter().enumerate() {
            map.insert((deadline, n), value());
        }
        while let Some(entry) = map.pop_first() {
            black_box(entry);
        }
    });
    (deadlines.len() as u64, nanoseconds)
}

/// One short sleep after the other, with many timers far ahead.
fn lone_sleep(pending: u64) -> (u64, f64) {
    let mut wheel = wheel_with(pending);
    let mut now = 0;
    let ((), nanoseconds) = timed(|| {
        for _ in 0..1_000 {
            wheel.insert(now + 100 * US, value());
            now = wheel.next_deadline().unwrap();
            black_box(wheel.poll(now).unwrap());
            assert!(wheel.poll(now + 50 * US).is_none());
            now += 50 * US;
        }
    });
    (1_000, nanoseconds)
}

/// Asking for the next deadline and polling when nothing is due.
fn idle_poll() -> (u64, f64) {
    let mut wheel = wheel_with(1_000);
    let ((), nanoseconds) = timed(|| {
        for now in 0..1_000_000 {
            assert!(black_box(wheel.next_deadline()) > Some(now));
            assert!(wheel.poll(now).is_none());
        }
    });
    (1_000_000, nanoseconds)
}

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(9);
    let few = sleeps(1_000);
    let many = sleeps(100_000);
    let most = sleeps(1_000_000);
    row("arm and cancel, nothing else waiting", rounds, || arm_and_cancel(0));
    row("arm and cancel, 100,000 waiting", rounds, || arm_and_cancel(100_000));
    row("arm and cancel, one of 1,000 in random order", rounds, arm_and_cancel_among_others);
    row("reset, one of 1,000 in random order", rounds, reset);
    row("next deadline and a poll with nothing due", rounds, idle_poll);
    row("sleep of 100 us and its end, nothing else waiting", rounds, || lone_sleep(0));
    row("sleep of 100 us and its end, 100,000 waiting", rounds, || lone_sleep(100_000));
    row("insert 100,000 over 200 ms", rounds, || only_insert(&many));
    row("insert and expire 1,000 over 200 ms, no delay", rounds, || sleep_and_expire(&few, 0));
    row("insert and expire 100,000 over 200 ms, no delay", rounds, || sleep_and_expire(&many, 0));
    row("the same, a poll every 50 us", rounds, || sleep_and_expire(&many, 50 * US));
    row("the same, a poll every 1 ms", rounds, || sleep_and_expire(&many, MS));
    row("the same, one poll at the end", rounds, || sleep_and_expire(&many, SECOND));
    row("the same, an ordered map", rounds, || ordered_map(&many));
    row("insert and expire 1,000,000, a poll every 50 us", rounds, || sleep_and_expire(&most, 50 * US));
    row("longest single poll of 100,000 over 200 ms", rounds, || longest_poll(&many));
    row("longest single poll of 1,000,000 over 200 ms", rounds, || longest_poll(&most));
}
