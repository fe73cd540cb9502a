//! Rings of tasks that wait for each other through groups and gathers (T-12): they end when one is cancelled, and at the shutdown, and no group ends before its children.

use super::structured::Random;
use super::*;
use crate::support::forever_from;
use futures::future::{BoxFuture, join, select};
use runtime::{ReturnWhen, TaskRef, as_completed, race, try_gather, wait, wait_for};

type Boxed = BoxFuture<'static, ()>;

/// Counts when it is dropped before the task has ended.
struct Within(TaskRef, Count);

impl Drop for Within {
    fn drop(&mut self) {
        if !self.0.done() {
            self.1.add();
        }
    }
}

/// A way to wait for a task; the count is of those groups that have ended before a child, and of those awaits that have ended before their task.
type Edge = fn(Task<()>, Early) -> Boxed;

#[derive(Clone, Default)]
struct Early {
    groups: Count,
    awaits: Count,
}

fn awaits(task: Task<()>, early: Early) -> Boxed {
    Box::pin(async move {
        let within = Within(task.task_ref(), early.awaits);
        let _ = task.await;
        drop(within);
    })
}

// What runs beside an await here ends by itself: where a child had not begun, a request does not come to all there is.

fn in_timeout(task: Task<()>, early: Early) -> Boxed {
    Box::pin(async move { _ = timeout(Duration::from_secs(3600), awaits(task, early)).await })
}

fn in_wait_for(task: Task<()>, _early: Early) -> Boxed {
    Box::pin(async move { drop(wait_for(task, Duration::from_secs(3600)).await) })
}

fn joined(task: Task<()>, early: Early) -> Boxed {
    Box::pin(async move { _ = join(awaits(task, early), passes(50)).await })
}

fn raced(task: Task<()>, early: Early) -> Boxed {
    Box::pin(async move { _ = race([awaits(task, early), Box::pin(forever())]).await })
}

fn gathered(task: Task<()>, _early: Early) -> Boxed {
    Box::pin(async move { drop(gather([task]).await) })
}

fn gathered_beside(task: Task<()>, early: Early) -> Boxed {
    Box::pin(async move { _ = gather((passes(50), awaits(task, early))).await })
}

fn gathered_outcomes(task: Task<()>, early: Early) -> Boxed {
    let others = (0..3).map(|_| Box::pin(passes(50)) as Boxed);
    let all: Vec<Boxed> = others.chain([awaits(task, early)]).collect();
    Box::pin(async move { drop(gather(all).return_exceptions().await) })
}

fn tried(task: Task<()>, _early: Early) -> Boxed {
    Box::pin(async move { drop(try_gather((task, create_task(passes(50)))).await) })
}

fn shielded(task: Task<()>, _early: Early) -> Boxed {
    Box::pin(async move { drop(shield(task).await) })
}

fn waited(task: Task<()>, _early: Early) -> Boxed {
    Box::pin(async move { drop(wait([task]).return_when(ReturnWhen::FirstCompleted).await) })
}

fn completed(task: Task<()>, _early: Early) -> Boxed {
    Box::pin(async move { drop(as_completed([task]).next().await) })
}

/// The child of a group is what waits.
fn grouped(task: Task<()>, early: Early) -> Boxed {
    Box::pin(group_of([(awaits as Edge, Some(task))], early))
}

fn grouped_beside(task: Task<()>, early: Early) -> Boxed {
    Box::pin(group_of([(awaits, None), (awaits, Some(task)), (awaits, None)], early))
}

fn grouped_twice(task: Task<()>, early: Early) -> Boxed {
    Box::pin(group_of([(grouped as Edge, Some(task))], early))
}

fn gathered_in_a_group(task: Task<()>, early: Early) -> Boxed {
    Box::pin(group_of([(gathered_beside as Edge, Some(task))], early))
}

fn grouped_in_a_gather(task: Task<()>, early: Early) -> Boxed {
    Box::pin(async move { _ = gather((passes(50), grouped(task, early))).await })
}

async fn group_of<const N: usize>(children: [(Edge, Option<Task<()>>); N], early: Early) {
    let mut within = Vec::new();
    let result = TaskGroup::<()>::scope(async |group| {
        for (edge, task) in children {
            let child = match task {
                Some(task) => group.create_task(edge(task, early.clone())),
                None => group.create_task(passes(50)),
            };
            within.push(Within(child.task_ref(), early.groups.clone()));
        }
        Ok(())
    });
    let _ = result.await;
    drop(within);
}

/// A child is awaited by its sibling, which has its handle.
fn awaited_by_a_sibling(task: Task<()>, early: Early) -> Boxed {
    Box::pin(awaited_in_its_group(task, early, false))
}

/// And by the group's body.
fn awaited_by_the_body(task: Task<()>, early: Early) -> Boxed {
    Box::pin(awaited_in_its_group(task, early, true))
}

async fn awaited_in_its_group(task: Task<()>, early: Early, by_the_body: bool) {
    let mut within = Vec::new();
    let result = TaskGroup::<()>::scope(async |group| {
        let child = group.create_task(awaits(task, early.clone()));
        within.push(Within(child.task_ref(), early.groups.clone()));
        let awaits_child = awaits(child.into_task(), early.clone());
        if by_the_body {
            awaits_child.await;
        } else {
            let sibling = group.create_task(awaits_child);
            within.push(Within(sibling.task_ref(), early.groups.clone()));
        }
        Ok(())
    });
    let _ = result.await;
    drop(within);
}

/// A child is awaited by somebody outside of the ring, who is cancelled with the group, and leaves after a while.
fn awaited_from_outside(task: Task<()>, early: Early) -> Boxed {
    Box::pin(async move {
        let mut within = Vec::new();
        let result = TaskGroup::<()>::scope(async |group| {
            let child = group.create_task(awaits(task, early.clone()));
            within.push(Within(child.task_ref(), early.groups.clone()));
            let (tell, told) = signal();
            let child = child.into_task();
            let outsider = create_task(async move {
                let leaves = async {
                    received(told).await;
                    passes(9).await;
                };
                _ = select(child, Box::pin(leaves)).await;
            });
            if let Err(request) = catch_cancelled(forever()).await {
                outsider.cancel();
                send(tell);
                request.reraise().await;
            }
            Ok(())
        });
        let _ = result.await;
        drop(within);
    })
}

/// Those that can close a ring of one.
const ALONE: &[Edge] = &[
    gathered,
    gathered_beside,
    gathered_outcomes,
    tried,
    grouped,
    grouped_beside,
    grouped_twice,
    gathered_in_a_group,
    grouped_in_a_gather,
    awaited_by_a_sibling,
    awaited_by_the_body,
    awaited_from_outside,
];

/// Those that wait in the task itself.
const WITHIN: &[Edge] = &[awaits, in_timeout, in_wait_for, joined, raced];

/// Those that a request ends, and that pass none on.
const CUT: &[Edge] = &[shielded, waited, completed];

/// Tasks of which each waits for the next one in its way, and the last for the first. All have begun, and so has what they made, where there is one worker.
async fn ring(edges: &[Edge], early: &Early) -> Vec<TaskRef> {
    chain(edges, early, None).await
}

/// As `ring`, but the last one waits for the one that is given, if there is one.
async fn chain(edges: &[Edge], early: &Early, end: Option<Task<()>>) -> Vec<TaskRef> {
    let (mut tasks, mut closes) = (Vec::new(), Vec::new());
    let begun = Count::default();
    for edge in edges.iter().copied() {
        let (close, closed) = Promise::<Task<()>>::new();
        let (begun, early) = (begun.clone(), early.clone());
        closes.push(close);
        tasks.push(create_task(async move {
            let next = closed.await.unwrap();
            begun.add();
            edge(next, early).await;
        }));
    }
    let refs = tasks.iter().map(|task| task.task_ref()).collect();
    tasks.rotate_left(1);
    if let (Some(end), Some(last)) = (end, tasks.last_mut()) {
        drop(std::mem::replace(last, end));
    }
    for (close, next) in closes.into_iter().zip(tasks) {
        close.set_result(next).ok().unwrap();
    }
    while begun.get() < edges.len() {
        yield_now().await;
    }
    passes(6).await;
    refs
}

async fn ends_wherever_it_is_cancelled(edges: &[Edge]) {
    for first in 0..edges.len() {
        let early = Early::default();
        let ring = ring(edges, &early).await;
        ring[first].cancel();
        for task in &ring {
            task.wait().await;
        }
        assert_eq!(early.groups.get(), 0, "a group has ended before its child");
        all_there_is_ends().await;
    }
}

#[test]
fn t_12_a_group_or_a_gather_whose_child_awaits_its_own_task_is_cancelled() {
    everywhere(async || {
        for edge in ALONE {
            ends_wherever_it_is_cancelled(&[*edge]).await;
        }
    });
}

#[test]
fn t_12_a_ring_through_anything_that_waits_is_cancelled_anywhere() {
    everywhere(async || {
        for edge in ALONE.iter().chain(WITHIN).chain(CUT) {
            ends_wherever_it_is_cancelled(&[*edge, awaits]).await;
            ends_wherever_it_is_cancelled(&[*edge, awaits, grouped]).await;
            ends_wherever_it_is_cancelled(&[*edge, *edge, gathered]).await;
        }
    });
}

#[test]
fn t_12_a_ring_through_anything_that_waits_is_shut_down() {
    let groups = Count::default();
    everywhere(async || {
        for edge in ALONE.iter().chain(WITHIN).chain(CUT) {
            let early = Early { groups: groups.clone(), ..Early::default() };
            ring(&[*edge, awaits], &early).await;
            ring(&[gathered, *edge, grouped], &early).await;
        }
        for edge in ALONE {
            ring(&[*edge], &Early { groups: groups.clone(), ..Early::default() }).await;
        }
    });
    assert_eq!(groups.get(), 0);
}

/// Awaits a task until it is told not to any more.
fn until_told(task: Task<()>) -> (Task<()>, Promise<()>) {
    let (tell, told) = signal();
    let outsider = create_task(async move { _ = select(task, Box::pin(received(told))).await });
    (outsider, tell)
}

/// A ring of two: a task, and a group in another one whose child, made of the first one's handle, awaits that. Gives the first one, and the child's handle.
async fn ring_with_a_handle_outside(child: impl FnOnce(Task<()>) -> Boxed + Send + 'static) -> (TaskRef, Task<()>) {
    let (close, closed) = Promise::<Task<()>>::new();
    let (give, given) = Promise::<Task<()>>::new();
    let grouped = create_task(async move {
        let first = closed.await.unwrap();
        let result = TaskGroup::<()>::scope(async |group| {
            give.set_result(group.create_task(child(first)).into_task()).ok().unwrap();
            Ok(())
        });
        let _ = result.await;
    });
    let first = create_task(async move { _ = grouped.await });
    let first_ref = first.task_ref();
    close.set_result(first).ok().unwrap();
    (first_ref, given.await.unwrap())
}

async fn all_there_is_ends() {
    while all_tasks().len() > 1 {
        yield_now().await;
    }
}

#[test]
fn t_12_a_ring_is_found_that_begins_when_who_was_cancelled_in_an_await_of_a_child_in_it_has_left() {
    everywhere(async || {
        let (here, begun) = signal();
        let (send_caught, caught) = signal();
        let child = |first: Task<()>| {
            let waits = async move {
                // That of the one outside.
                catch_cancelled(forever_from(here)).await.unwrap_err();
                send(send_caught);
                let _ = first.await;
            };
            waits.boxed()
        };
        let (first, handle) = ring_with_a_handle_outside(child).await;
        received(begun).await;
        let (outsider, tell) = until_told(handle);
        passes(5).await;
        outsider.cancel();
        received(caught).await;
        send(tell);
        outsider.task_ref().wait().await;
        first.cancel();
        all_there_is_ends().await;
    });
}

#[test]
fn t_12_a_ring_is_found_once_who_was_cancelled_in_an_await_of_a_child_in_it_has_left() {
    everywhere(async || {
        for edge in [awaits as Edge, grouped, grouped_twice, gathered_beside] {
            let (first, handle) = ring_with_a_handle_outside(move |first| edge(first, Early::default())).await;
            let (outsider, tell) = until_told(handle);
            passes(10).await;
            outsider.cancel();
            passes(10).await;
            first.cancel();
            passes(10).await;
            send(tell);
            all_there_is_ends().await;
        }
    });
}

/// Some of these in a row, with requests to some of them at some time.
async fn random_requests(random: &mut Random, tasks: &[TaskRef]) {
    let shared = CancelledError::without_message().identified();
    for _ in 0..1 + random.below(3) {
        let task = &tasks[random.below(tasks.len() as u64) as usize];
        match random.below(3) {
            0 => task.cancel(),
            1 => task.cancel_with("a message"),
            _ => task.cancel_by(&shared),
        };
        passes(random.below(12) as usize).await;
    }
}

/// All end: also those that no request has come to, because what was to pass it on had not begun.
async fn all_end(tasks: &[TaskRef]) {
    for task in tasks {
        task.cancel();
    }
    for task in tasks {
        task.wait().await;
    }
}

fn random_edges(random: &mut Random, from: &[&[Edge]]) -> Vec<Edge> {
    let from = from.concat();
    (0..1 + random.below(4)).map(|_| from[random.below(from.len() as u64) as usize]).collect()
}

async fn a_random_ring(seed: u64) {
    let (mut random, early) = (Random::of(seed), Early::default());
    let mut edges = random_edges(&mut random, &[ALONE, WITHIN, CUT]);
    // Of a task that awaits itself nothing is to be seen but a panic.
    edges.push(ALONE[random.below(ALONE.len() as u64) as usize]);
    let ring = ring(&edges, &early).await;
    random_requests(&mut random, &ring).await;
    if random.below(3) > 0 {
        all_end(&ring).await;
    }
    assert_eq!(early.groups.get(), 0, "seed {seed}");
}

async fn a_random_chain(seed: u64) {
    let (mut random, early) = (Random::of(seed), Early::default());
    let edges = random_edges(&mut random, &[ALONE, WITHIN]);
    let (tell, told) = signal();
    let end = create_task(async move {
        let caught = catch_cancelled(forever()).await;
        let mut told = Box::pin(received(told));
        while catch_cancelled(&mut told).await.is_err() {}
        caught
    });
    let end_ref = end.task_ref();
    let last = create_task(async move { drop(end.await) });
    let chain = chain(&edges, &early, Some(last)).await;
    random_requests(&mut random, &chain).await;
    passes(random.below(60) as usize).await;
    assert_eq!((early.awaits.get(), early.groups.get()), (0, 0), "seed {seed}");
    // What had not begun has let it go.
    end_ref.cancel();
    send(tell);
    all_end(&chain).await;
    assert_eq!(early.groups.get(), 0, "seed {seed}");
}

#[test]
fn t_12_random_rings_end_and_in_random_chains_nobody_gives_up() {
    let number = |name, or| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (from, seeds) = (number("RINGS_FROM", 1), number("RINGS", 100));
    for seed in from..from + seeds {
        for workers in [1, 2, 8] {
            for body in [a_random_ring(seed).boxed(), a_random_chain(seed).boxed()] {
                let runner = runtime::Runner::builder().workers(workers).build().unwrap();
                runner.run(body).unwrap();
                runner.close();
            }
        }
    }
}
