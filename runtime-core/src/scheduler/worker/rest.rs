//! A worker that has nothing to do: its search for work elsewhere, its sleep, and its watch over the others as the sentry.

use super::Worker;
use crate::scheduler::{Life, Remote, SENTRY_GRACE};
use crate::task::{Notified, state};
use std::sync::LazyLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

/// Sleeps of a worker with many timers that follow upon each other are at least this long, in nanoseconds. About what a sleep and a wake cost.
pub(in crate::scheduler) const GATHER: u64 = 50_000;
/// So long it takes to wake a thread on another core, in nanoseconds, from the call on until that looks for work.
const BRIEF: u64 = 100_000;
/// So many timers are many.
const MANY_TIMERS: u64 = if cfg!(loom) { 1 } else { 64 };
/// How long the sentry goes on looking at the last-in slots when nothing happens there, and how often it does.
const WATCH_ROUNDS: u32 = 3;
const WATCH_PERIOD: u64 = 1_000_000;
/// The same for the second look after it was called: that the slot's owner was at work a moment ago says little.
const WATCH_SOON: u64 = 50_000;
/// A poll in which nothing moves for so many spins is long enough that taking its last-in task costs nothing (about 10 µs).
const STUCK_SPINS: u32 = 300;
/// A sleep that somebody ends after no more than this was hardly worth it, and the next one is likely to be like it: before that, a worker looks around for as
/// long. About what falling asleep and being woken cost together.
const SPIN: u64 = 30_000;
/// How many spins there are between two looks.
const SPINS_PER_LOOK: u32 = 8;
/// When so much passes between two looks, the core was given to somebody else: the machine has more to do than spinning.
const INTERRUPTED: u64 = 10_000;
/// Of so many short sleeps at the least one is used to find out whether spinning pays again.
const MAX_PASSED: u32 = 1_023;

/// Whether spinning makes sense: on one core it only holds back the one that is waited for.
static MAY_SPIN: LazyLock<bool> =
    LazyLock::new(|| !cfg!(loom) && std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1));

/// Whether the next sleep is to be preceded by a look around.
#[derive(Clone, Copy, Default)]
pub(super) struct Spinning {
    /// Somebody ended the last sleep soon after it had begun.
    worth_it: bool,
    /// So many short sleeps go by first.
    to_pass: u32,
    /// As many as went by before the last try: doubled by each try that brings nothing.
    passed: u32,
    /// The worker's count of polls when the last try saw something to do.
    found_at: Option<u64>,
}

impl Spinning {
    fn slept(&mut self, shortly: bool) {
        self.worth_it = shortly && self.to_pass == 0;
        self.to_pass -= u32::from(shortly && self.to_pass > 0);
    }

    /// Whether to try now that there have been so many polls. If there were none since the last try saw something to do, somebody else took that: what flits
    /// through another's queue would be seen again and again, and never be ours.
    fn may_try(&mut self, polls: u64) -> bool {
        if self.found_at.take() == Some(polls) {
            self.tried(false);
        }
        self.worth_it
    }

    fn tried(&mut self, paid: bool) {
        self.passed = if paid { self.passed / 2 } else { (2 * self.passed + 1).min(MAX_PASSED) };
        (self.worth_it, self.to_pass) = (paid, if paid { 0 } else { self.passed });
    }
}

/// How late the system ends sleeps, in nanoseconds, on the average of the last ones: 5 to 20 µs on an idle core. (Measured: a lone sleep of 100 µs is 1.2 µs late
/// instead of 6, one of 1 ms 8 instead of 23, for no more processor time: the core does not rest in between, and does what follows faster.)
#[derive(Clone, Copy, Default)]
pub(super) struct Lateness(u64);

impl Lateness {
    /// By how much to end a sleep of this span sooner. Never most of it: the rest is spun away.
    fn early(self, span: u64) -> u64 {
        if *MAY_SPIN { self.0.min(span / 4) } else { 0 }
    }

    /// A sleep was so much longer than it should. What is longer than one spins for anything was not the timer's fault: somebody else had the core.
    fn note(&mut self, late: u64) {
        if late < SPIN {
            self.0 = (7 * self.0 + late) / 8;
        }
    }
}

/// What timers make ready, from the end of a sleep to the next one. As long as that takes less than it takes to wake a thread, nobody else needs to be woken for it.
#[derive(Clone, Copy, Default)]
pub(super) struct Burst {
    /// The last one was over so soon.
    brief: bool,
    /// When this one began.
    began: u64,
}

impl Burst {
    #[cfg(loom)]
    pub(super) fn of_brief_ones() -> Self {
        Self { brief: true, began: 0 }
    }

    /// Whether this is likely to be a brief one, and was not too long so far.
    pub(super) fn is_brief(self, now: u64) -> bool {
        self.brief && now.saturating_sub(self.began) < BRIEF
    }

    fn begin(&mut self, now: u64) {
        self.began = now;
    }

    fn end(&mut self, now: u64) {
        *self = Self { brief: now.saturating_sub(self.began) < BRIEF, began: now };
    }
}

/// Whom a sleeper leaves to what is queued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Nobody,
    /// The searcher who takes a long nap, as long as there is one.
    Napper,
}

/// What the sentry sees in the last-in slots.
enum Slots {
    Empty,
    /// There is something in one, and its owner is at work.
    InUse,
    /// This one's owner was stuck.
    Taken(Notified),
}

impl Worker {
    /// Nothing is ready here: searches elsewhere, then sleeps.
    pub(super) fn rest(&self, deadline: u64, done: &impl Fn() -> bool) {
        if self.shared.workers() == 1 {
            return self.rest_alone(deadline, done);
        }
        self.burst_is_untold.set(false);
        if !self.ended.is_empty() {
            self.unlist_ended();
            if done() {
                return;
            }
        }
        if self.shared.has_unswept() && self.sweep_some() {
            return;
        }
        if !self.searching.get() {
            self.searching.set(self.shared.idle.begin_search());
            if self.searching.get() {
                self.counters().searches.up();
            }
        }
        if self.searching.get()
            && let Some(nap) = self.nap_after_theft()
        {
            if !self.begin_nap(&nap) {
                return self.sleep(deadline, done, Trust::Napper);
            }
            self.napped.set(self.nap(nap));
            // Everything is looked at again, the injector too, before this comes back.
            return;
        }
        if self.searching.get()
            && let Some(task) = self.steal()
        {
            return self.run(task);
        }
        if !(self.fire_timers() || self.searching.get() && self.spin(deadline, done)) {
            self.sleep(deadline, done, Trust::Nobody);
        }
    }

    /// Before a sleep: looks around for a moment if the last one was short, as they are while a thread and a task talk to each other. True if there is
    /// something to do. Among several workers only a searcher may, for whom others keep silent as long as it looks.
    fn spin(&self, deadline: u64, done: &impl Fn() -> bool) -> bool {
        let mut spinning = self.spinning.get();
        let polls = self.counters().polls.get();
        let tries = spinning.may_try(polls) && *MAY_SPIN;
        let found = tries && {
            let (found, paid) = self.look_around(deadline, done);
            spinning.tried(paid);
            spinning.found_at = found.then_some(polls);
            found
        };
        self.spinning.set(spinning);
        found
    }

    /// Whether there is something to do before a spin is over, and whether the core was this thread's all the time until then.
    fn look_around(&self, deadline: u64, done: &impl Fn() -> bool) -> (bool, bool) {
        let mut now = self.shared.clock.real_now();
        let end = now + SPIN;
        loop {
            let before = now;
            for _ in 0..SPINS_PER_LOOK {
                std::hint::spin_loop();
            }
            now = self.shared.clock.real_now();
            if self.must_not_sleep(done, Trust::Nobody) {
                return (true, now - before < INTERRUPTED);
            }
            if now >= end.min(deadline).min(self.timers().next()) {
                return (false, false);
            }
        }
    }

    /// The searcher has found work, or gives up looking because it stops altogether.
    #[inline]
    pub(super) fn stop_searching(&self) {
        if !self.searching.replace(false) {
            return;
        }
        let napped = self.napped.replace(false);
        let told_by_nobody = if self.burst_is_untold.get() { self.index } else { usize::MAX };
        if self.shared.idle.end_search() && self.shared.has_work_besides(told_by_nobody) {
            // The last searcher passes the duty on: at once, or, for work that was too small for two before, to the sentry, who comes if this worker
            // does not get done with it within a millisecond.
            match napped {
                false => self.shared.notify(),
                true if !self.shared.idle.is_watched() => self.shared.call_sentry(),
                true => {}
            }
        }
    }

    fn steal(&self) -> Option<Notified> {
        let queue = self.queue.shared()?;
        let workers = self.shared.workers();
        let start = self.random.below(workers);
        (0..workers).map(|step| (start + step) % workers).filter(|victim| *victim != self.index).find_map(|victim| {
            let remote = &self.shared.remotes[victim];
            let had = queue.len();
            let task = remote.stealer.as_ref()?.steal_into(queue)?;
            self.count_stolen(1 + queue.len().saturating_sub(had));
            self.note_theft(task.header().state.load().has(state::STARTED), Some(victim));
            Some(task)
        })
    }

    fn count_stolen(&self, entries: usize) {
        self.counters().steals.up();
        self.counters().stolen.add(entries as u64);
    }

    /// Whether there is a reason not to sleep. Looked at after `fall_asleep`, whose fence makes this complete.
    fn must_not_sleep(&self, done: &impl Fn() -> bool, trust: Trust) -> bool {
        done()
            || self.has_work_for_it(trust)
            || self.index == 0 && self.shared.has_pinned()
            || self.index != 0 && self.shared.life() == Life::Closed
    }

    /// Whether anything is queued anywhere that nobody sees to whom it trusts.
    fn has_work_for_it(&self, trust: Trust) -> bool {
        // In this order: a napper that is seen has yet to look at what was there before.
        self.shared.has_work() && !(trust == Trust::Napper && self.shared.idle.is_anyone_napping())
    }

    fn sleep(&self, deadline: u64, done: &impl Fn() -> bool, trust: Trust) {
        let idle = &self.shared.idle;
        let asleep = idle.fall_asleep(self.index, self.searching.replace(false));
        self.napped.set(false);
        let mut sentry = asleep.sentry;
        let mut rounds = 0;
        let mut period = WATCH_SOON;
        let mut found = None;
        while !self.must_not_sleep(done, trust) {
            let mut wake_at = self.next_timer().min(deadline);
            if sentry {
                let watch = (rounds > 0).then_some(period);
                wake_at = self.announce(wake_at, watch);
                // After the announcement, on account of which others may have kept silent: queues and slots once more.
                if self.has_work_for_it(trust) {
                    break;
                }
                match self.look_at_slots() {
                    Slots::Empty => {}
                    Slots::Taken(task) => {
                        found = Some(task);
                        break;
                    }
                    Slots::InUse if rounds > 0 => {}
                    Slots::InUse => {
                        // Not to be left alone: its owner may be getting stuck just now.
                        rounds = WATCH_ROUNDS;
                        continue;
                    }
                }
            }
            let timed_out = !self.park_until(wake_at, !sentry && wake_at < deadline);
            if !idle.is_asleep(self.index) {
                break;
            }
            let now = self.shared.clock.now();
            if self.next_timer() <= now || now >= deadline {
                break;
            }
            if !sentry {
                sentry = idle.take_post(self.index);
            }
            (rounds, period) =
                if timed_out { (rounds.saturating_sub(1), WATCH_PERIOD) } else { (WATCH_ROUNDS, WATCH_SOON) };
            if sentry && self.shared.next_timer_of_others(self.index).saturating_add(SENTRY_GRACE) <= now {
                break;
            }
        }
        let work = self.has_work_for_it(trust);
        if !idle.wake_self(self.index, work) || work {
            self.searching.set(true);
        }
        if sentry {
            self.leave_post();
        } else {
            self.pass_the_call_on();
        }
        match found {
            Some(task) => self.run(task),
            None => {
                self.fire_timers();
            }
        }
    }

    /// As the sentry: says when it looks next, and whether it watches the slots, at which it then looks after so long.
    fn announce(&self, own: u64, watch: Option<u64>) -> u64 {
        let others = self.shared.next_timer_of_others(self.index).saturating_add(SENTRY_GRACE);
        let look_at = watch.map_or(u64::MAX, |period| self.shared.clock.now() + period);
        let at = own.min(others).min(look_at);
        self.shared.idle.announce_lookout(at, watch.is_some());
        // Timers armed before the announcement became visible.
        at.min(self.shared.next_timer_of_others(self.index).saturating_add(SENTRY_GRACE))
    }

    /// As the sentry: takes the last-in task of a worker that is stuck in a poll.
    fn look_at_slots(&self) -> Slots {
        let mut slots = Slots::Empty;
        for (index, remote) in self.shared.remotes.iter().enumerate() {
            if index == self.index || remote.lifo.load(Relaxed).is_null() {
                continue;
            }
            let polls = remote.counters.polls.get();
            for _ in 0..STUCK_SPINS {
                std::hint::spin_loop();
            }
            if remote.counters.polls.get() == polls
                && let Some(task) = self.shared.take_lifo(index)
            {
                self.count_stolen(1);
                return Slots::Taken(task);
            }
            slots = Slots::InUse;
        }
        slots
    }

    /// No longer the sentry. Whoever kept silent because of this one's announcement has to be looked after by another, also by one
    /// who has the post by now: what this one announced last may have stood over that one's announcement.
    fn leave_post(&self) {
        self.shared.idle.announce_lookout(u64::MAX, false);
        let remotes = || self.shared.remotes.iter();
        let timers_wait = || {
            // Who wakes by itself before any timer is late takes the post, or calls another (`pass_the_call_on`).
            let first = remotes().map(|remote| remote.timers.next()).min().unwrap_or(u64::MAX);
            let now = self.shared.clock.now();
            first != u64::MAX && !self.shared.is_looked_after(now, now + SENTRY_GRACE)
        };
        if remotes().any(|remote| !remote.lifo.load(Relaxed).is_null()) || timers_wait() {
            self.shared.call_sentry();
        }
    }

    /// No longer asleep, and not the sentry: may have been called to become it (`call_sentry`) at the moment in which it was woken for
    /// something else. Then another sleeper has to come instead.
    fn pass_the_call_on(&self) {
        let idle = &self.shared.idle;
        let waits = |remote: &Remote| {
            !remote.lifo.load(Relaxed).is_null() && !idle.is_watched()
                || remote.timers.next() != u64::MAX
                    && idle.lookout_is_later_than(remote.timers.next().saturating_add(SENTRY_GRACE))
        };
        if idle.any_asleep() && self.shared.remotes.iter().any(|remote| waits(remote)) {
            self.shared.call_sentry();
        }
    }

    /// When the first timer is due that this worker sees to: its own, and those that sleepers have left to others.
    pub(super) fn next_timer(&self) -> u64 {
        self.timers().next().min(self.shared.next_left_timer())
    }

    /// Parks until a moment in real time; true if somebody ended it, false when the time was up. `for_timers` says that the moment is that of `next_timer`.
    fn park_until(&self, wake_at: u64, for_timers: bool) -> bool {
        let clock = &self.shared.clock;
        let counters = self.counters();
        let now = clock.real_now();
        if wake_at <= now {
            self.timer_fired_at.set(now);
            return false;
        }
        counters.rest.set(true, now);
        let remote = &self.shared.remotes[self.index];
        let mut burst = self.burst.get();
        burst.end(now);
        // `leaves_timers` looks at it.
        self.burst.set(burst);
        if wake_at == u64::MAX {
            remote.parker.park_timeout(None);
        } else {
            let gathered = self.gathered(now, wake_at);
            remote.will_wake(gathered);
            if for_timers && self.leaves_timers(now, wake_at) {
                remote.parker.park_timeout(Some(Duration::from_nanos(wake_at.saturating_add(SENTRY_GRACE) - now)));
            } else if gathered > wake_at {
                remote.parker.park_timeout(Some(Duration::from_nanos(gathered - now)));
            } else {
                self.sleep_for(now, wake_at - now);
            }
            remote.has_woken();
        }
        let then = clock.real_now();
        burst.begin(then);
        self.burst.set(burst);
        counters.rest.set(false, then);
        counters.parks.up();
        let woken = then < wake_at;
        if woken {
            counters.wakes.up();
        } else {
            self.timer_fired_at.set(then);
        }
        let mut spinning = self.spinning.get();
        spinning.slept(woken && then - now <= SPIN);
        self.spinning.set(spinning);
        woken
    }

    /// Sleeps for so long, unless somebody ends it: asks the system to end the sleep a little sooner, and spins the rest away.
    fn sleep_for(&self, now: u64, span: u64) {
        let (parker, clock) = (&self.shared.remotes[self.index].parker, &self.shared.clock);
        let mut lateness = self.lateness.get();
        let early = lateness.early(span);
        if parker.park_timeout(Some(Duration::from_nanos(span - early))) {
            return;
        }
        let end = now + span;
        let mut then = clock.real_now();
        // A thread may wake for no reason.
        let Some(late) = then.checked_sub(end - early) else { return };
        lateness.note(late);
        self.lateness.set(lateness);
        while then < end && !parker.is_notified() {
            std::hint::spin_loop();
            then = clock.real_now();
        }
    }

    /// Until when to sleep for a timer that is due at `next`: a little longer if the last one has only just ended a sleep and there are many, so that one sleep
    /// does for several. (Measured on 100,000 sleeps that end 2 µs apart: see docs/performance.md.)
    pub(super) fn gathered(&self, now: u64, next: u64) -> u64 {
        if self.has_dense_timers(now) { next.max(now + GATHER) } else { next }
    }

    fn has_dense_timers(&self, now: u64) -> bool {
        now.saturating_sub(self.timer_fired_at.get()) < 2 * GATHER
            && (self.timers().pending() >= MANY_TIMERS || self.shared.next_left_timer() != u64::MAX)
    }

    /// Leaves the timers to a sleeper who wakes for its own soon enough, if they are many and come to little work: one that wakes for all is woken half as
    /// often as two are, and one core rests.
    fn leaves_timers(&self, now: u64, next: u64) -> bool {
        if !self.burst.get().brief || !self.has_dense_timers(now) {
            return false;
        }
        let remote = &self.shared.remotes[self.index];
        remote.will_wake(next.saturating_add(SENTRY_GRACE));
        // After that is known: either one is seen here who has woken meanwhile, or that one sees what was left to it (`Remote::has_woken`).
        let left = self.shared.is_looked_after(now, next.saturating_add(GATHER));
        if !left {
            remote.will_wake(self.gathered(now, next));
        }
        left
    }

    /// Sleeping without colleagues: the injector, the timers, or the end.
    fn rest_alone(&self, deadline: u64, done: &impl Fn() -> bool) {
        let next = self.timers().next().min(deadline);
        // Acquire: pairs with the end of outside work. What that has made ready before comes before any time that passes after it.
        if self.shared.clock.is_virtual() && next != u64::MAX && self.shared.outside.load(Acquire) == 0 {
            if self.must_not_sleep(done, Trust::Nobody) {
                return;
            }
            self.shared.clock.advance_to(next);
            // Nothing fires if it was the deadline of a timer that has been cancelled: then the next one is looked up.
            self.fire_timers();
            return;
        }
        if self.fire_timers() || !self.shared.clock.is_virtual() && self.spin(deadline, done) {
            return;
        }
        let _ = self.shared.idle.fall_asleep(self.index, false);
        if !self.must_not_sleep(done, Trust::Nobody) {
            let wake_at = if self.shared.clock.is_virtual() { u64::MAX } else { next };
            self.park_until(wake_at, false);
        }
        if !self.shared.idle.wake_self(self.index, false) {
            // With one worker nobody needs to know who searches.
            let _ = self.shared.idle.end_search();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// How many short sleeps pass until the next try.
    fn passes(spinning: &mut Spinning) -> u32 {
        let mut passed = 0;
        loop {
            spinning.slept(true);
            if spinning.worth_it {
                return passed;
            }
            passed += 1;
        }
    }

    #[test]
    fn tries_that_bring_nothing_become_rare_and_those_that_pay_frequent() {
        let mut spinning = Spinning::default();
        assert_eq!(passes(&mut spinning), 0);
        for passed in [1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1023] {
            spinning.tried(false);
            assert!(!spinning.worth_it);
            assert_eq!(passes(&mut spinning), passed);
        }
        spinning.tried(true);
        assert!(spinning.worth_it, "the next one is tried at once");
        spinning.tried(false);
        assert_eq!(passes(&mut spinning), 1023);
        for _ in 0..10 {
            spinning.tried(true);
        }
        spinning.tried(false);
        assert_eq!(passes(&mut spinning), 1);
    }

    #[test]
    fn what_somebody_else_took_does_not_pay() {
        let mut spinning = Spinning::default();
        spinning.slept(true);
        for polls in 0..3 {
            assert!(spinning.may_try(polls));
            spinning.tried(true);
            spinning.found_at = Some(polls);
        }
        assert!(!spinning.may_try(2), "nothing was polled since");
        assert_eq!(passes(&mut spinning), 1);
        assert!(spinning.may_try(2), "counted once");
    }

    #[test]
    fn sleeps_are_ended_sooner_by_what_the_last_ones_were_late_and_no_more() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.early(1_000_000), 0);
        for _ in 0..100 {
            lateness.note(8_000);
            lateness.note(5_000_000);
        }
        let early = lateness.early(1_000_000);
        assert!(if *MAY_SPIN { (7_000..=8_000).contains(&early) } else { early == 0 }, "{early}");
        assert!(lateness.early(4_000) <= 1_000);
        (0..100).for_each(|_| lateness.note(0));
        assert!(lateness.early(1_000_000) < 10);
    }

    #[test]
    fn a_burst_is_expected_to_be_as_brief_as_the_last_one() {
        let mut burst = Burst::default();
        burst.begin(5);
        assert!(!burst.is_brief(5), "nothing is known");
        burst.end(5 + BRIEF - 1);
        burst.begin(1_000_000);
        assert!(burst.is_brief(1_000_000 + BRIEF - 1) && !burst.is_brief(1_000_000 + BRIEF));
        burst.end(1_000_000 + BRIEF);
        burst.begin(2_000_000);
        assert!(!burst.is_brief(2_000_000));
    }

    #[test]
    fn a_long_sleep_is_followed_by_no_try() {
        let mut spinning = Spinning::default();
        spinning.slept(true);
        assert!(spinning.worth_it);
        spinning.slept(false);
        assert!(!spinning.worth_it);
    }
}
