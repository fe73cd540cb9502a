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
//! A group or a gather that aborts waits for **all** of its children: what comes to its task goes on to each of them. It makes no numbers, for it must not end before
//! they have; in each ring there is an await as well, which does. A group is a second way to those of its children that others await, against (2). So nothing goes that way
//! once something has come through the child's handle. (So a ring by that way is not found as long as that one waits.) When the handle is
//! dropped, or its await left, the awaits in the child begin anew (their *epoch* is over), and so do those in its children if it waits for such: what they had sent may have come
//! back by the way that was closed, or be of somebody who is no part of any ring.

use super::{TaskRef, harness};
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
    /// On which of its rounds: the first, or the second; 0 when it counts no more, but what is made has to be greater.
    round: u8,
    /// The greatest that did not count, because it came by way of a group.
    refused: Number,
    /// Something has come through the task's handle, which is still there.
    by_handle: bool,
    /// How often a way to the task was closed: what came and was sent before that counts no more.
    epoch: u32,
}

/// By which way a number comes to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its handle is awaited.
    Handle,
    /// A group, or a gather, waits for it.
    Group,
}

/// What an await, or a wait for several tasks, has sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    number: Number,
    /// It has made it.
    own: bool,
    /// How often.
    times: u8,
    /// The epoch of its task.
    epoch: u32,
}

/// What an await does that waits for what it has passed a request to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    /// For the first, or for the second time.
    Send(Number, u8),
    /// It is part of a ring.
    ComeRound,
}

/// What a wait for several tasks tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// A number, and on which round it is.
    Number(Number, u8),
    /// What they were told before counts no more, and what is made has to be greater than this.
    BeginAnew(Number),
}

/// Of all tasks: each is given out once.
static IDS: AtomicU64 = AtomicU64::new(1);

impl Number {
    #[cfg(all(test, loom))]
    pub(crate) fn greatest() -> Self {
        Self { rank: u32::MAX, id: Reverse(0) }
    }

    fn greater_than(self, other: Self) -> Self {
        // Relaxed: only that it is no other one's counts.
        Self { rank: self.max(other).rank.saturating_add(1), id: Reverse(IDS.fetch_add(1, Relaxed)) }
    }
}

impl Probe {
    /// A number has come on this round; true if the awaits in the task have to look.
    #[must_use]
    pub(crate) fn come(&mut self, number: Number, round: u8, way: Way) -> bool {
        if self.refuses(number, way) {
            return false;
        }
        let known = if round == 1 { number <= self.number } else { (number, round) != (self.number, self.round + 1) };
        if !known {
            let by_handle = self.by_handle || way == Way::Handle;
            *self = Self { number, round, by_handle, ..*self };
        }
        !known
    }

    fn refuses(&mut self, number: Number, way: Way) -> bool {
        let refuses = self.by_handle && way == Way::Group;
        if refuses {
            self.refused = self.refused.max(number);
        }
        refuses
    }

    /// The handle has gone; true if the awaits in the task have to look.
    #[must_use]
    pub(crate) fn lose_handle(&mut self) -> bool {
        std::mem::take(&mut self.by_handle) && self.begin_anew(self.refused)
    }

    /// A way to this task, or to one before it, is closed. What came that way counts no more: whoever made it may be no part of any ring. What is made from now on is
    /// greater, and greater than this `number`. True if the awaits in the task have to look.
    #[must_use]
    pub(crate) fn begin_anew(&mut self, number: Number) -> bool {
        let refuses = self.refuses(number, Way::Group);
        if !refuses {
            *self = Self { number: self.number.max(number), round: 0, epoch: self.epoch.wrapping_add(1), ..*self };
        }
        !refuses
    }

    /// What comes next for an await in the task with this, that has `sent` something to the one with `to`, or nothing yet.
    pub(crate) fn next(&self, to: &Self, sent: &mut Option<Sent>) -> Next {
        let still = |sent: &&mut Sent| self.number <= sent.number && self.epoch == sent.epoch;
        let Some(before) = sent.as_mut().filter(still) else {
            return Next::Send(self.send_greater(to, sent), 1);
        };
        let awaited = if before.own { before.times } else { before.times + 1 };
        match () {
            () if self.number < before.number || self.round < awaited => Next::Wait,
            () if before.times == 1 => {
                before.times = 2;
                Next::Send(before.number, 2)
            }
            () if before.own => Next::ComeRound,
            () => Next::Wait,
        }
    }

    /// What has come, if that counts more than what came to the other one, and (3) is on its first round; or a new number.
    fn send_greater(&self, to: &Self, sent: &mut Option<Sent>) -> Number {
        let own = self.round != 1 || self.number <= to.number;
        let number = if own { self.number.greater_than(to.number) } else { self.number };
        *sent = Some(Sent { number, own, times: 1, epoch: self.epoch });
        number
    }

    /// What a wait for several tasks tells them, when it has `sent` something before, or nothing yet.
    pub(crate) fn send_on(&self, sent: &mut Option<Sent>) -> Option<News> {
        let before = sent.filter(|sent| sent.number == self.number && sent.epoch == self.epoch);
        let next = match before {
            None if self.number == Number::default() || self.round > 1 => return None,
            None => self.round,
            Some(before) => before.times + 1,
        };
        if self.round != next {
            return None;
        }
        *sent = Some(Sent { number: self.number, own: false, times: next, epoch: self.epoch });
        Some(if next == 0 { News::BeginAnew(self.number) } else { News::Number(self.number, next) })
    }
}

/// For combinators that wait for several tasks: finds out whether these await the running task in turn, in a ring that would never end.
///
/// Tasks that await each other in a ring and are cancelled end, for each await looks for such rings, and one of them gives up. An await of one's own that waits for
/// several tasks ([`intercept`](crate::intercept) with [`poll_done`](crate::Task::poll_done)) may be part of a ring as well. It need not give up, but has to let the
/// others look past it.
///
/// # Examples
///
/// ```
/// use runtime_core::{Promise, RingProbe, Task, create_task, intercept, testing, yield_now};
/// use std::future::poll_fn;
/// use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
///
/// /// Waits for both; a request is passed on to both.
/// async fn both(mut tasks: [Task<()>; 2]) {
///     let refs = [0, 1].map(|place| tasks[place].task_ref());
///     let (mut ring, told) = (RingProbe::default(), AtomicBool::new(false));
///     let wait = poll_fn(|cx| {
///         if told.load(Relaxed) {
///             ring.pass_on(|| refs.clone());
///         }
///         let [one, two] = &mut tasks;
///         let (one, two) = (one.poll_done(cx), two.poll_done(cx));
///         std::task::ready!(one);
///         two
///     });
///     let tell = |request: &_| {
///         told.store(true, Relaxed);
///         refs.iter().for_each(|task| drop(task.cancel_by(request)));
///     };
///     intercept(wait, |_, request| tell(request)).await.reraise().await
/// }
///
/// testing::block_on(async {
///     let (close, closed) = Promise::<Task<()>>::new();
///     let asks_back = create_task(async move {
///         let outer = closed.await.unwrap();
///         outer.await.unwrap();
///     });
///     let outer = create_task(both([asks_back, create_task(std::future::pending())]));
///     let outer_ref = outer.task_ref();
///     close.set_result(outer).ok().unwrap();
///     yield_now().await;
///     outer_ref.cancel();
///     outer_ref.wait().await;
///     assert!(outer_ref.cancelled());
/// });
/// ```
#[derive(Debug, Default)]
pub struct RingProbe(Option<Sent>);

impl RingProbe {
    /// To be called at each poll of the wait once a request was passed on to the tasks. These are asked for only when there is something to tell them: those that have not
    /// ended, and that the wait cannot end without.
    pub fn pass_on<I: IntoIterator<Item = TaskRef>>(&mut self, mut tasks: impl FnMut() -> I) {
        while let Some(news) = harness::came_round_to_send_on(&mut self.0) {
            tasks().into_iter().for_each(|task| harness::send_round(&task, news));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes(probe: &mut Probe, number: Number, round: u8) -> bool {
        probe.come(number, round, Way::Handle)
    }

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
                Next::Send(number, round) => {
                    steps += 1;
                    if probes[to].come(number, round, Way::Handle) && sent[to].is_some() {
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
            let Next::Send(number, 1) = probe.next(&to, &mut sent) else { panic!("{round}") };
            assert!(number > before);
            assert!(to.come(number, 1, Way::Handle), "{round}");
            before = number;
            // What was sent before is not sent on for the first time.
            assert!(probe.come(number, 1, Way::Handle));
        }
    }

    #[test]
    fn what_is_on_its_second_round_is_not_sent_on_by_who_has_not_sent_it_before() {
        let mut maker = None;
        let Next::Send(number, 1) = Probe::default().next(&Probe::default(), &mut maker) else { panic!() };
        let mut probe = Probe::default();
        assert!(comes(&mut probe, number, 1) && comes(&mut probe, number, 2));
        let mut late = None;
        assert!(matches!(probe.next(&Probe::default(), &mut late), Next::Send(other, 1) if other != number));
    }

    #[test]
    fn another_await_of_the_task_does_not_end_by_what_has_come_round() {
        let (mut probe, one, other) = (Probe::default(), Probe::default(), Probe::default());
        let (mut maker, mut beside) = (None, None);
        let Next::Send(number, 1) = probe.next(&one, &mut maker) else { panic!() };
        assert!(matches!(probe.next(&other, &mut beside), Next::Send(..)));
        assert!(comes(&mut probe, number, 1));
        assert_eq!(probe.next(&one, &mut maker), Next::Send(number, 2));
        let _ = probe.next(&other, &mut beside);
        assert!(comes(&mut probe, number, 2));
        assert_eq!(probe.next(&one, &mut maker), Next::ComeRound);
        assert_ne!(probe.next(&other, &mut beside), Next::ComeRound);
    }

    #[test]
    fn what_counts_less_than_what_came_before_changes_nothing() {
        let (mut one, mut other) = (None, None);
        let Next::Send(less, 1) = Probe::default().next(&Probe::default(), &mut one) else { panic!() };
        let mut asked = Probe::default();
        assert!(comes(&mut asked, less, 1));
        let Next::Send(more, 1) = Probe::default().next(&asked, &mut other) else { panic!() };
        assert!(comes(&mut asked, more, 1));
        let before = asked;
        assert!(!comes(&mut asked, less, 1) && !comes(&mut asked, less, 2));
        assert_eq!(asked, before);
    }

    #[test]
    fn what_was_sent_on_is_sent_on_again_when_it_has_come_again() {
        let (to, mut maker, mut passes_on) = (Probe::default(), None, None);
        let Next::Send(number, 1) = Probe::default().next(&to, &mut maker) else { panic!() };
        let mut probe = Probe::default();
        assert!(comes(&mut probe, number, 1));
        assert_eq!(probe.next(&to, &mut passes_on), Next::Send(number, 1));
        assert_eq!(probe.next(&to, &mut passes_on), Next::Wait, "woken for something else");
        assert!(comes(&mut probe, number, 2));
        assert_eq!(probe.next(&to, &mut passes_on), Next::Send(number, 2));
        assert_eq!(probe.next(&to, &mut passes_on), Next::Wait);
    }

    #[test]
    fn a_number_comes_round_a_ring_in_which_some_wait_for_several() {
        // The first awaits; the second is a group's task, and sends on to its child, which awaits the first.
        let (mut awaits, mut group, mut child) = (Probe::default(), Probe::default(), Probe::default());
        let (mut sent, mut sent_on, mut sent_back) = (None, None, None);
        assert_eq!(group.send_on(&mut sent_on), None, "nothing has come");
        let Next::Send(number, 1) = awaits.next(&group, &mut sent) else { panic!() };
        for round in [1, 2] {
            assert!(comes(&mut group, number, round));
            assert_eq!(group.send_on(&mut sent_on), Some(News::Number(number, round)));
            assert_eq!(group.send_on(&mut sent_on), None);
            assert!(child.come(number, round, Way::Group));
            assert_eq!(child.next(&awaits, &mut sent_back), Next::Send(number, round));
            assert!(comes(&mut awaits, number, round));
            let next = awaits.next(&group, &mut sent);
            assert_eq!(next, if round == 1 { Next::Send(number, 2) } else { Next::ComeRound });
        }
    }

    #[test]
    fn what_is_on_its_second_round_is_not_sent_on_by_a_wait_that_has_begun_since() {
        let mut maker = None;
        let Next::Send(number, 1) = Probe::default().next(&Probe::default(), &mut maker) else { panic!() };
        let mut group = Probe::default();
        assert!(comes(&mut group, number, 1) && comes(&mut group, number, 2));
        assert_eq!(group.send_on(&mut None), None);
    }

    #[test]
    fn a_group_sends_nothing_to_a_child_that_is_awaited() {
        let (mut child, mut to, mut maker, mut sent) = (Probe::default(), Probe::default(), None, None);
        let Next::Send(number, 1) = Probe::default().next(&child, &mut maker) else { panic!() };
        assert!(comes(&mut child, number, 1));
        assert_eq!(child.next(&to, &mut sent), Next::Send(number, 1));
        assert!(comes(&mut to, number, 1));
        let Next::Send(greater, 1) = child.next(&child, &mut None) else { panic!() };
        assert!(!child.come(greater, 1, Way::Group));
        // Then it begins anew, also an await that has sent nothing yet.
        assert!(child.lose_handle());
        assert!(matches!(child.next(&Probe::default(), &mut None), Next::Send(own, 1) if own > number));
        assert!(!child.lose_handle());
        let Next::Send(own, 1) = child.next(&to, &mut sent) else { panic!() };
        assert!(own > number);
        assert_eq!(child.next(&to, &mut sent), Next::Wait);
        assert!(child.come(own, 1, Way::Group));
        assert_eq!(child.next(&to, &mut sent), Next::Send(own, 2));
    }

    #[test]
    fn a_wait_for_several_has_them_begin_anew_when_a_way_to_it_is_closed() {
        let (mut group, mut child) = (Probe::default(), Probe::default());
        let (mut maker, mut sent_on) = (None, None);
        let Next::Send(number, 1) = Probe::default().next(&group, &mut maker) else { panic!() };
        assert!(comes(&mut group, number, 1));
        assert_eq!(group.send_on(&mut sent_on), Some(News::Number(number, 1)));
        assert!(child.come(number, 1, Way::Group));
        assert!(group.lose_handle());
        assert_eq!(group.send_on(&mut sent_on), Some(News::BeginAnew(number)));
        assert_eq!(group.send_on(&mut sent_on), None);
        assert!(child.begin_anew(number));
        assert!(matches!(child.next(&Probe::default(), &mut None), Next::Send(own, 1) if own > number));
    }

    #[test]
    fn what_came_by_way_of_a_group_while_the_handle_was_there_is_exceeded_when_that_has_gone() {
        let (mut child, mut maker, mut awaits) = (Probe::default(), None, None);
        let Next::Send(number, 1) = Probe::default().next(&child, &mut maker) else { panic!() };
        assert!(comes(&mut child, number, 1));
        let greater = number.greater_than(number);
        assert!(!child.come(greater, 1, Way::Group));
        let greatest = greater.greater_than(greater);
        assert!(!child.begin_anew(greatest));
        assert!(child.lose_handle());
        assert!(matches!(child.next(&Probe::default(), &mut awaits), Next::Send(own, 1) if own > greatest));
        // Also what an await makes in a child that begins later.
        let (mut group, mut late) = (child, Probe::default());
        let Some(News::BeginAnew(number)) = group.send_on(&mut None) else { panic!() };
        assert!(late.begin_anew(number));
        assert!(matches!(late.next(&Probe::default(), &mut None), Next::Send(own, 1) if own > greatest));
        assert!(group.come(greatest.greater_than(greatest), 1, Way::Group), "the way is open");
    }
}
