//! Rings of tasks that await each other (T-12).
//!
//! An await that has passed a request on waits for the other task, and none of the tasks in a ring of such awaits would ever end. So they look for rings by
//! edge chasing (Chandy, Misra and Haas, "Distributed deadlock detection", 1983): an await that has passed a request on sends a number after it, and from then
//! on whatever comes to its own task and counts more than what it has sent, whatever becomes of the requests: those may be merged with others, or be known and
//! not be delivered again. In a ring in which all wait, the number that counts most comes back to the await that has made it (as in the election of Chang and
//! Roberts, 1979).
//!
//! 1. Each number is made by one await, and only that one ends by it: another one of the same task, in another branch of a `join!`, may be no part of the ring.
//! 2. A task has one handle, and no number comes through it twice that was not sent twice by its maker: a new await of a task sends what counts more than all
//!    that came to that task before. So two ways to one task, or an await that was begun again, are not mistaken for a ring.
//! 3. What has come round may have gone through an await that was left alone later (in a `select!` that something else won). So it is sent once more. An await
//!    passes it on the second time only if it has done so the first time. When it has come round again, all these awaits were there together when it came
//!    round first, and that was a ring.
//!
//! Groups and gathers, which have several tasks each and may meet, send none.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that is sent round. The greatest counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number {
    /// One more than that of what it has to count more than; 0 for none.
    rank: u32,
    /// Of those with the same rank, the oldest counts: most awaits then find one that they send on, and make none.
    id: Reverse<u64>,
}

/// What a task has of the numbers that came to it. In its cold part.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The greatest.
    number: Number,
    /// How often that one has come.
    times: u32,
}

/// What an await has sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    number: Number,
    /// It has made it.
    own: bool,
    /// How often.
    times: u32,
}

/// What an await does that waits for what it has passed a request to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    Send(Number),
    /// It is part of a ring.
    ComeRound,
}

/// Of all tasks: each is given out once.
static IDS: AtomicU64 = AtomicU64::new(1);

impl Number {
    fn greater_than(self, other: Self) -> Self {
        // Relaxed: only that it is no other one's counts.
        Self { rank: self.max(other).rank.saturating_add(1), id: Reverse(IDS.fetch_add(1, Relaxed)) }
    }
}

impl Probe {
    /// A number has come; true if the awaits in the task have to look.
    #[must_use]
    pub(crate) fn come(&mut self, number: Number) -> bool {
        if number < self.number {
            return false;
        }
        self.times = if number == self.number { self.times.saturating_add(1) } else { 1 };
        self.number = number;
        true
    }

    /// What comes next for an await in the task with this, that has `sent` something to the one with `to`, or nothing yet.
    pub(crate) fn next(&self, to: &Self, sent: &mut Option<Sent>) -> Next {
        let Some(before) = sent.as_mut().filter(|sent| self.number <= sent.number) else {
            return Next::Send(self.send_greater(to, sent));
        };
        let awaited = if before.own { before.times } else { before.times + 1 };
        match () {
            () if self.number < before.number || self.times < awaited => Next::Wait,
            () if before.times == 1 => {
                before.times = 2;
                Next::Send(before.number)
            }
            () if before.own => Next::ComeRound,
            () => Next::Wait,
        }
    }

    /// What has come, if that counts more than what came to the other one, and (3) is on its first round; or a new number.
    fn send_greater(&self, to: &Self, sent: &mut Option<Sent>) -> Number {
        let own = self.times != 1 || self.number <= to.number;
        let number = if own { self.number.greater_than(to.number) } else { self.number };
        *sent = Some(Sent { number, own, times: 1 });
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of so many tasks that all wait, each awaiting the next one; asked in this `order`. How many numbers were sent until one has come round.
    fn rounds_of(order: &[usize]) -> usize {
        let length = order.len();
        let mut probes = vec![Probe::default(); length];
        let mut sent = vec![None; length];
        let mut queue: std::collections::VecDeque<usize> = order.iter().copied().collect();
        let mut steps = 0;
        while let Some(task) = queue.pop_front() {
            let to = (task + 1) % length;
            match probes[task].next(&probes[to], &mut sent[task]) {
                Next::Wait => {}
                Next::Send(number) => {
                    steps += 1;
                    if probes[to].come(number) && sent[to].is_some() {
                        queue.push_back(to);
                    }
                }
                Next::ComeRound => return steps,
            }
        }
        panic!("nothing has come round: {order:?}")
    }

    #[test]
    fn t_12_a_number_comes_round_a_ring_whose_tasks_were_asked_in_any_order() {
        for order in [&[0][..], &[0, 1], &[1, 0], &[2, 0, 1], &[0, 2, 1], &[3, 1, 2, 0], &[1, 3, 0, 2]] {
            assert!(rounds_of(order) >= 2 * order.len(), "twice");
        }
    }

    #[test]
    fn a_ring_is_found_in_linear_time_whichever_way_it_is_asked() {
        let up: Vec<usize> = (0..1000).collect();
        let down: Vec<usize> = (0..1000).rev().collect();
        assert!(rounds_of(&up) <= 4000);
        assert!(rounds_of(&down) <= 4000);
    }

    #[test]
    fn a_new_await_sends_what_counts_more_than_all_that_came_to_the_task() {
        let (mut probe, mut to) = (Probe::default(), Probe::default());
        let mut before = Number::default();
        for round in 0..3 {
            let mut sent = None;
            let Next::Send(number) = probe.next(&to, &mut sent) else { panic!("{round}") };
            assert!(number > before);
            assert!(to.come(number), "{round}");
            before = number;
            // What was sent before is not sent on for the first time.
            assert!(probe.come(number));
        }
    }

    #[test]
    fn what_is_on_its_second_round_is_not_sent_on_by_who_has_not_sent_it_before() {
        let mut maker = None;
        let Next::Send(number) = Probe::default().next(&Probe::default(), &mut maker) else { panic!() };
        let mut probe = Probe::default();
        assert!(probe.come(number) && probe.come(number));
        let mut late = None;
        assert_ne!(probe.next(&Probe::default(), &mut late), Next::Send(number));
    }

    #[test]
    fn another_await_of_the_task_does_not_end_by_what_has_come_round() {
        let (mut probe, one, other) = (Probe::default(), Probe::default(), Probe::default());
        let (mut maker, mut beside) = (None, None);
        let Next::Send(number) = probe.next(&one, &mut maker) else { panic!() };
        assert!(matches!(probe.next(&other, &mut beside), Next::Send(_)));
        assert!(probe.come(number));
        assert_eq!(probe.next(&one, &mut maker), Next::Send(number));
        let _ = probe.next(&other, &mut beside);
        assert!(probe.come(number));
        assert_eq!(probe.next(&one, &mut maker), Next::ComeRound);
        assert_ne!(probe.next(&other, &mut beside), Next::ComeRound);
    }

    #[test]
    fn what_counts_less_than_what_came_before_changes_nothing() {
        let (mut one, mut other) = (None, None);
        let Next::Send(less) = Probe::default().next(&Probe::default(), &mut one) else { panic!() };
        let mut asked = Probe::default();
        assert!(asked.come(less));
        let Next::Send(more) = Probe::default().next(&asked, &mut other) else { panic!() };
        assert!(asked.come(more));
        let before = asked;
        assert!(!asked.come(less));
        assert_eq!(asked, before);
    }

    #[test]
    fn what_was_sent_on_is_sent_on_again_when_it_has_come_again() {
        let (to, mut maker, mut passes_on) = (Probe::default(), None, None);
        let Next::Send(number) = Probe::default().next(&to, &mut maker) else { panic!() };
        let mut probe = Probe::default();
        assert!(probe.come(number));
        assert_eq!(probe.next(&to, &mut passes_on), Next::Send(number));
        assert_eq!(probe.next(&to, &mut passes_on), Next::Wait, "woken for something else");
        assert!(probe.come(number));
        assert_eq!(probe.next(&to, &mut passes_on), Next::Send(number));
        assert_eq!(probe.next(&to, &mut passes_on), Next::Wait);
    }
}
