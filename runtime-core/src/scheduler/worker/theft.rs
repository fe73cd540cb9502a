//! What stealing comes to, and when a thief naps instead of stealing again.

use super::Worker;
use std::cell::Cell;
use std::time::Duration;

/// What was stolen was too small to be worth the trip if it came to at least so many polls, took less than `SMALL_STEAL` in all, and less than
/// `SMALL_POLL` per poll. A stolen task costs both sides about 300 ns in cache lines that change cores.
const SMALL_POLLS: u64 = if cfg!(loom) { 1 } else { 6 };
const SMALL_STEAL: u64 = 20_000;
const SMALL_POLL: u64 = 600;
/// The same for tasks that had been polled before, if it came to no more than that so many times in a row: they are most likely talking to those that
/// stay behind, which takes them back with the next message, and both sides fight for what they talk over.
const SMALL_TALK_POLL: u64 = 5_000;
const SMALL_TALKS: u32 = 3;
/// Tasks that had been polled before, which took more than that, but less than this in all and per poll, may do so because both sides fight. That can be measured.
const FIGHT_STEAL: u64 = 500_000;
const FIGHT_POLL: u64 = 50_000;
/// The polls of so many workers are counted for it: each is a look at a line that its worker writes.
const AROUND: usize = 8;
/// So many polls tell how fast the others are without the thief.
const SOLO_POLLS: u64 = 8;
/// From so many nanoseconds on, what was measured before counts half.
const RATE_SPAN: u64 = 500_000;
/// Of so many thefts that could be a fight at the least one is followed by a nap, to see.
const MAX_UNTRIED: u32 = 1_023;
/// Thefts in a row are not further apart than this.
const IN_A_ROW: u64 = 200_000;
/// How long a thief then waits before it searches again: about as long as a thread takes to wake; and how often that is doubled, as long as what it steals from
/// other workers remains small.
const NAP: u64 = 50_000;
const NAP_DOUBLINGS: u32 = 3;
/// A theft before which there was none for so long begins with short naps again. Picked out of thin air: some dozen of the longest naps.
const LONG_AGO: u64 = 10_000_000;

/// What a worker remembers of its thefts.
#[derive(Default)]
pub(super) struct Thefts {
    /// What was last stolen, until there is nothing to do again.
    last: Cell<Option<Theft>>,
    /// When that was.
    last_at: Cell<u64>,
    /// How many thefts in a row were small talk.
    small_talks: Cell<u32>,
    /// How often the next nap is doubled.
    longer_naps: Cell<u32>,
    solo: Cell<Solo>,
}

impl Thefts {
    pub(super) fn is_any_open(&self) -> bool {
        self.last.get().is_some()
    }

    /// What was last stolen shall not be looked at.
    #[cfg(loom)]
    pub(super) fn forget(&self) {
        self.last.set(None);
    }
}

/// Something stolen.
#[derive(Clone, Copy)]
struct Theft {
    when: u64,
    /// The thief's count of polls then.
    polls: u64,
    /// How long after the one before.
    after: u64,
    /// Whether the first of the tasks had been polled before.
    of_woken: bool,
    /// Whose they were, and for woken tasks what `polls_around` gave then; `None` if they came from outside.
    victim: Option<(usize, u64)>,
}

/// What a theft has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// It was worth the trip.
    Much,
    /// Hardly anything; not enough to judge by.
    Unknown,
    /// Perhaps more would have been done without it: time for a nap, to see.
    Doubtful,
    /// Less than the trip, or than would have been done without it: time for a nap.
    Little,
}

/// A pause between thefts.
pub(super) struct Nap {
    span: u64,
    /// The victim of whom, and of the others, it is to be seen how much they get done meanwhile.
    watched: Option<usize>,
}

/// Polls, and the nanoseconds in which they were done.
#[derive(Clone, Copy, Default)]
struct Rate {
    polls: u64,
    span: u64,
}

impl Rate {
    fn add(&mut self, polls: u64, span: u64) {
        if self.span > RATE_SPAN {
            (self.polls, self.span) = (self.polls / 2, self.span / 2);
        }
        self.polls += polls;
        self.span += span;
    }

    fn reaches(self, other: Rate) -> bool {
        u128::from(self.polls) * u128::from(other.span) >= u128::from(other.polls) * u128::from(self.span)
    }
}

/// Whether the others get no less done alone, while the thief naps, than all together do otherwise: then they fight for what their tasks share, as several
/// producers do for one channel. Of work that can be shared out one of two workers alone gets half as much done, so the two cases are far apart, and a nap in between
/// them costs no time, and saves the processor's.
#[derive(Clone, Copy, Default)]
struct Solo {
    alone: Rate,
    together: Rate,
    /// When the last nap was over.
    napped_at: u64,
    /// The last nap was to find out.
    is_try: bool,
    /// So many thefts go by before the next try.
    to_pass: u32,
    /// As many as went by before the last one: doubled by each that shows nothing.
    passed: u32,
}

impl Solo {
    /// What a theft was worth during which so many polls were made in all; `None` if that is not known, nor worth a try.
    fn worth_of(&mut self, all: Rate) -> Option<Worth> {
        self.together.add(all.polls, all.span);
        let fights = self.alone.polls >= SOLO_POLLS && self.alone.reaches(self.together);
        if std::mem::take(&mut self.is_try) {
            self.passed = if fights { self.passed / 2 } else { (2 * self.passed + 1).min(MAX_UNTRIED) };
            self.to_pass = self.passed;
        }
        if fights {
            return Some(Worth::Little);
        }
        if self.to_pass > 0 {
            self.to_pass -= 1;
            return None;
        }
        self.is_try = true;
        Some(Worth::Doubtful)
    }

    /// During a nap that ended `now` the others got so much done.
    fn note_nap(&mut self, alone: Rate, now: u64) {
        if now.saturating_sub(self.napped_at) > LONG_AGO {
            (self.alone, self.together) = Default::default();
        }
        self.napped_at = now;
        self.alone.add(alone.polls, alone.span);
    }
}

impl Worker {
    pub(super) fn note_theft(&self, of_woken: bool, victim: Option<usize>) {
        let thefts = &self.thefts;
        let when = self.shared.clock.now();
        let after = when.saturating_sub(thefts.last_at.replace(when));
        let victim = victim.map(|victim| (victim, if of_woken { self.polls_around(victim) } else { 0 }));
        thefts.last.set(Some(Theft { when, polls: self.counters().polls.get(), after, of_woken, victim }));
    }

    /// How many polls this worker, the victim and some of the others have made in all.
    fn polls_around(&self, victim: usize) -> u64 {
        let workers = self.shared.workers();
        let around = (victim..victim + workers.min(AROUND)).map(|worker| worker % workers);
        let others = around
            .filter(|worker| *worker != self.index)
            .map(|worker| self.shared.remotes[worker].counters.polls.get());
        others.fold(self.counters().polls.get(), u64::wrapping_add)
    }

    /// Whether to nap because what was last stolen, all of which has been done, was too small to be worth it. Asked once per theft.
    pub(super) fn nap_after_theft(&self) -> Option<Nap> {
        let theft = self.thefts.last.take()?;
        let longer_naps = &self.thefts.longer_naps;
        // What was small some time ago says nothing of today.
        let longer = if theft.after < LONG_AGO { longer_naps.get() } else { 0 };
        let watched = theft.victim.filter(|_| theft.of_woken).map(|(victim, _)| victim);
        match self.worth_of(theft) {
            Worth::Unknown => None,
            Worth::Much => {
                longer_naps.set(0);
                None
            }
            Worth::Little if theft.victim.is_some() => {
                longer_naps.set((longer + 1).min(NAP_DOUBLINGS));
                Some(Nap { span: NAP << longer, watched })
            }
            Worth::Little | Worth::Doubtful => Some(Nap { span: NAP, watched }),
        }
    }

    fn worth_of(&self, theft: Theft) -> Worth {
        let polls = self.counters().polls.get().wrapping_sub(theft.polls);
        if polls < SMALL_POLLS && !theft.of_woken {
            return Worth::Unknown;
        }
        let took = self.shared.clock.now() - theft.when;
        let is_small = took < SMALL_STEAL;
        let is_talk = is_small && theft.of_woken && took < SMALL_TALK_POLL * polls;
        let small_talks = &self.thefts.small_talks;
        let in_a_row = IN_A_ROW + (NAP << self.thefts.longer_naps.get());
        let before = if theft.after < in_a_row { small_talks.get() } else { 0 };
        small_talks.set(if is_talk { before + 1 } else { 0 });
        let are_small = is_small && polls >= SMALL_POLLS && took < SMALL_POLL * polls;
        if are_small || small_talks.get() >= SMALL_TALKS {
            return Worth::Little;
        }
        let otherwise = if is_small { Worth::Unknown } else { Worth::Much };
        match theft.victim {
            Some((victim, before)) if theft.of_woken && took < FIGHT_STEAL.min(FIGHT_POLL * polls) => {
                let all = Rate { polls: self.polls_around(victim).wrapping_sub(before), span: took };
                let mut solo = self.thefts.solo.get();
                let worth = solo.worth_of(all);
                self.thefts.solo.set(solo);
                worth.unwrap_or(otherwise)
            }
            _ => otherwise,
        }
    }

    /// False if the nap would be a long one, and another searcher takes such a one: it is enough that that one comes back. With each of several thieves coming
    /// back after a nap of its own, their victim would be alone for a fraction of it.
    pub(super) fn begin_nap(&self, nap: &Nap) -> bool {
        nap.span == NAP || self.shared.idle.begin_nap(self.index)
    }

    /// A pause between thefts, after [`begin_nap`](Self::begin_nap): the others' tasks are so small that they are done sooner where they are. Meanwhile this worker counts as searching, so
    /// nobody else is woken for what other workers push, and it looks at all queues afterwards; so what is behind a poll that never ends waits for a nap longer.
    /// What comes from outside waits for no longer than a short one: a long one is ended by it. False if it was, for of that nobody knows how small it is.
    pub(super) fn nap(&self, nap: Nap) -> bool {
        let Nap { span, watched } = nap;
        let polls = watched.map_or(0, |worker| self.polls_around(worker));
        let now = self.shared.clock.now();
        let next = self.next_timer().max(now);
        let wake_at = if next < now + span { self.gathered(now, next) } else { now + span };
        // After `begin_nap`, on account of which others tell of what they push.
        let undisturbed = span == NAP || self.shared.injector.is_empty();
        if wake_at > now && undisturbed {
            self.shared.remotes[self.index].parker.park_timeout(Some(Duration::from_nanos(wake_at - now)));
        }
        if let Some(worker) = watched {
            let then = self.shared.clock.now();
            let mut solo = self.thefts.solo.get();
            solo.note_nap(Rate { polls: self.polls_around(worker).wrapping_sub(polls), span: then - now }, then);
            self.thefts.solo.set(solo);
        }
        let roused = span > NAP && self.shared.idle.end_nap(self.index);
        undisturbed && !roused
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn rate(polls: u64, span: u64) -> Rate {
        Rate { polls, span }
    }

    #[test]
    fn what_was_measured_before_counts_less_and_less() {
        let mut measured = rate(0, 0);
        for _ in 0..100 {
            measured.add(100, 100_000);
        }
        assert!(measured.span <= 2 * RATE_SPAN, "{}", measured.span);
        for _ in 0..100 {
            measured.add(10, 100_000);
        }
        assert!(!measured.reaches(rate(11, 100_000)) && measured.reaches(rate(10, 100_001)));
    }

    #[test]
    fn a_thief_naps_as_long_as_the_victim_gets_no_less_done_alone() {
        let mut solo = Solo::default();
        let mut now = 1_000_000_000;
        assert_eq!(solo.worth_of(rate(10, 40_000)), Some(Worth::Doubtful), "time for a try");
        for _ in 0..1_000 {
            now += 90_000;
            solo.note_nap(rate(20, 50_000), now);
            assert_eq!(solo.worth_of(rate(10, 40_000)), Some(Worth::Little), "the two fight");
        }
        // They do so no more.
        let naps = (0..100).take_while(|_| {
            now += 90_000;
            solo.note_nap(rate(5, 50_000), now);
            solo.worth_of(rate(8, 40_000)) == Some(Worth::Little)
        });
        let naps = naps.count();
        assert!((1..20).contains(&naps), "{naps}");
    }

    #[test]
    fn tries_that_show_nothing_become_rare() {
        let mut solo = Solo::default();
        let mut now = 1_000_000_000;
        let mut tries = 0;
        for _ in 0..10_000 {
            now += 50_000;
            match solo.worth_of(rate(20, 50_000)) {
                Some(Worth::Doubtful) => {
                    tries += 1;
                    now += 50_000;
                    solo.note_nap(rate(10, 50_000), now);
                }
                worth => assert_eq!(worth, None, "it helps"),
            }
        }
        assert!((10..30).contains(&tries), "{tries}");
    }

    #[test]
    fn what_was_long_ago_says_nothing() {
        let mut solo = Solo::default();
        solo.note_nap(rate(1_000, 50_000), LONG_AGO + 1);
        solo.note_nap(rate(10, 50_000), 2 * LONG_AGO + 2);
        assert_ne!(solo.worth_of(rate(20, 50_000)), Some(Worth::Little));
        let mut few = Solo::default();
        few.note_nap(rate(SOLO_POLLS - 1, 1), 1);
        assert_ne!(few.worth_of(rate(20, 50_000)), Some(Worth::Little), "too few polls to tell");
    }
}
