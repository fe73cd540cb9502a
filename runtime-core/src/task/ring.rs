//! Rings of tasks that await each other (T-12).
//!
//! An await that has passed a request on waits for the other task, and none of the tasks in a ring of such awaits would ever end. So they look for rings by
//! edge chasing (Chandy, Misra and Haas, "Distributed deadlock detection", 1983): together with its first request an await sends a number, which each
//! task on the way sends on, once and with its next await. A number that comes to a task a second time has come round, and the await there ends.
//!
//! Of several numbers, the lowest counts (as in the election of Chang and Roberts, 1979): a task sends on what is lower than all that it has sent. In a ring in which all wait, the lowest of
//! all that were sent comes round, whoever has sent it, and whatever became of the requests: those may be merged with others, or be known and not be
//! delivered again.
//!
//! A task has one handle, and so at most one await sends it numbers, each of them once. That is why two ways to one task are not mistaken for a ring. Groups and
//! gathers, which have several tasks each and may meet, send none.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a task has of numbers that came to it. In its cold part.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The lowest, or its own; 0 for none.
    lowest: u64,
    /// How often the lowest of that time has come again.
    rounds: u32,
}

/// What an await has seen of its task's numbers when it last sent one.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sent(Probe);

/// What an await does that waits for what it has passed a request to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    /// The number is to be sent on.
    Send(u64),
    /// It is part of a ring.
    ComeRound,
}

/// Numbers of all tasks: each is given out once.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

impl Probe {
    /// A number has come, 0 for none; true if the awaits in the task have to look.
    #[must_use]
    pub(crate) fn come(&mut self, number: u64) -> bool {
        if number == 0 || self.lowest != 0 && number > self.lowest {
            return false;
        }
        if number == self.lowest {
            self.rounds = self.rounds.wrapping_add(1);
        }
        self.lowest = number;
        true
    }

    /// The number to send with an await's first request.
    pub(crate) fn send(&mut self) -> (u64, Sent) {
        if self.lowest == 0 {
            // Relaxed: only that it is no other one's counts.
            self.lowest = NUMBERS.fetch_add(1, Relaxed);
        }
        (self.lowest, Sent(*self))
    }

    /// What comes next for an await that has `sent` a number.
    pub(crate) fn next(&self, sent: &mut Sent) -> Next {
        let before = std::mem::replace(&mut sent.0, *self);
        match before.lowest {
            lowest if lowest != self.lowest => Next::Send(self.lowest),
            _ if before.rounds != self.rounds => Next::ComeRound,
            _ => Next::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of so many tasks that all wait; what is on its way is at `queue`, as (to whom, number).
    fn rounds_of(order: &[usize]) -> usize {
        let length = order.len();
        let mut probes = vec![Probe::default(); length];
        let mut sent = vec![None; length];
        let mut queue = std::collections::VecDeque::new();
        let mut steps = 0;
        // Each is asked by somebody else, in this order, and passes that on.
        for &task in order {
            let (number, first) = probes[task].send();
            sent[task] = Some(first);
            queue.push_back(((task + 1) % length, number));
        }
        while let Some((to, number)) = queue.pop_front() {
            steps += 1;
            if !probes[to].come(number) {
                continue;
            }
            match probes[to].next(sent[to].as_mut().unwrap()) {
                Next::Wait => {}
                Next::Send(number) => queue.push_back(((to + 1) % length, number)),
                Next::ComeRound => return steps,
            }
        }
        panic!("nothing has come round: {order:?}")
    }

    #[test]
    fn t_12_a_number_comes_round_a_ring_whose_tasks_were_asked_in_any_order() {
        assert!(
            [&[0][..], &[0, 1], &[1, 0], &[2, 0, 1], &[0, 2, 1], &[3, 1, 2, 0], &[1, 3, 0, 2]]
                .map(rounds_of)
                .iter()
                .all(|steps| *steps > 0)
        );
    }

    #[test]
    fn numbers_that_are_asked_against_the_awaits_are_held_back_at_once() {
        let down: Vec<usize> = (0..1000).rev().collect();
        assert!(rounds_of(&down) <= 3000, "linear");
    }

    #[test]
    fn a_new_await_of_a_task_that_was_part_of_a_ring_is_not_part_of_one_yet() {
        let mut probe = Probe::default();
        let (number, mut first) = probe.send();
        assert!(probe.come(number));
        assert_eq!(probe.next(&mut first), Next::ComeRound);
        let (again, mut second) = probe.send();
        assert_eq!((again, probe.next(&mut second)), (number, Next::Wait));
        assert!(!probe.come(number + 1), "held back");
    }
}
