//! Rings of awaits are broken (T-12), and an await that is not part of one waits for its task, whatever numbers come by.

use crate::support::*;
use futures::future::{BoxFuture, Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use runtime_core::*;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A task that cleans up, once it is cancelled, until `told`, whoever else asks.
fn slow(told: Awaited) -> Task<()> {
    create_task(async move {
        let caught = catch_cancelled(pending::<()>()).await;
        until(told).await;
        if let Err(error) = caught {
            error.reraise().await
        }
    })
}

async fn until(told: Awaited) {
    let mut told = Box::pin(told.wait());
    while catch_cancelled(&mut told).await.is_err() {}
}

async fn some_passes() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// Awaits `task` for some passes, in a scope of its own that is cancelled; then leaves it alone.
async fn await_for_a_while(task: &mut Task<()>) {
    let scope = CancelScope::new();
    let mut awaits = Box::pin(scope.run(task));
    for pass in 0..20 {
        assert!(futures::poll!(awaits.as_mut()).is_pending());
        if pass == 5 {
            scope.cancel();
        }
        yield_now().await;
    }
}

#[test]
fn who_is_asked_again_and_again_through_one_handle_is_not_part_of_a_ring() {
    in_order(async {
        let (tell, told) = event();
        let inner = slow(told);
        let inner_ref = inner.task_ref();
        let mut middle = create_task(async move { inner.await.unwrap() });
        some_passes().await;
        let middle_ref = middle.task_ref();
        let outer = create_task(async move {
            for _ in 0..4 {
                await_for_a_while(&mut middle).await;
            }
        });
        outer.await.unwrap();
        assert!(!middle_ref.done(), "it awaits what cleans up");
        tell.happen();
        middle_ref.wait().await;
        assert!(inner_ref.cancelled() && middle_ref.cancelled());
    });
}

#[test]
fn a_branch_beside_one_that_is_part_of_a_ring_waits_for_its_task() {
    in_order(async {
        for before in [false, true] {
            let (tell, told) = event();
            let beside = slow(told);
            some_passes().await;
            let (close, closed) = Promise::<Task<()>>::new();
            let first = create_task(async move {
                let next = closed.await.unwrap();
                let _ = match before {
                    true => futures::join!(next, beside),
                    false => futures::join!(beside, next),
                };
            });
            let first_ref = first.task_ref();
            let second = create_task(async move { first.await.unwrap() });
            close.set_result(second).ok().unwrap();
            some_passes().await;
            first_ref.cancel();
            some_passes().await;
            assert!(!first_ref.done(), "beside");
            tell.happen();
            first_ref.wait().await;
            assert!(first_ref.cancelled());
        }
    });
}

#[test]
fn who_has_left_an_await_alone_breaks_no_ring() {
    in_order(async {
        // first awaits second; second has awaited third for a while; third awaits first only then.
        let (tell, told) = event();
        let (close, closed) = Promise::<Task<()>>::new();
        let (go, gone) = event();
        let mut third = create_task(async move {
            let _ = catch_cancelled(pending::<()>()).await;
            gone.wait().await;
            let first: Task<()> = closed.await.unwrap();
            let _ = first.await;
        });
        let third_ref = third.task_ref();
        let (left, leaves) = event();
        let second = create_task(async move {
            let awaits = catch_cancelled(async { (&mut third).await });
            let _ = futures::future::select(Box::pin(awaits), Box::pin(leaves.wait())).await;
            until(told).await;
        });
        let second_ref = second.task_ref();
        let first = create_task(async move { second.await.unwrap() });
        let first_ref = first.task_ref();
        some_passes().await;
        first_ref.cancel();
        some_passes().await;
        left.happen();
        some_passes().await;
        close.set_result(first).ok().unwrap();
        go.happen();
        some_passes().await;
        third_ref.cancel();
        some_passes().await;
        assert!(!first_ref.done() && !second_ref.done(), "second is on its own");
        tell.happen();
        third_ref.wait().await;
        assert!(second_ref.done() && first_ref.done());
    });
}

everywhere! {
    async fn a_ring_through_sets_in_scopes_is_broken() {
        for length in [2, 3, 5] {
            for depth in 0..3 {
                let ring = ring_of(length, depth).await;
                ring[0].cancel();
                for task in &ring {
                    task.wait().await;
                }
            }
        }
    }
}

/// A ring of tasks, each awaiting the next in `depth` sets in scopes.
async fn ring_of(length: usize, depth: usize) -> Vec<TaskRef> {
    let mut refs = Vec::new();
    let mut closes = Vec::new();
    let mut tasks = Vec::new();
    let begun = Count::default();
    for _ in 0..length {
        let (close, closed) = Promise::<Task<()>>::new();
        let begun = begun.clone();
        let task = create_task(async move {
            let next = closed.await.unwrap();
            begun.up();
            nested(next, depth).await;
            pending().await
        });
        refs.push(task.task_ref());
        closes.push(close);
        tasks.push(task);
    }
    tasks.rotate_left(1);
    for (close, next) in closes.into_iter().zip(tasks) {
        close.set_result(next).ok().unwrap();
    }
    // One that has not begun would be dropped by its cancel, and would let the next one go.
    while begun.get() < length {
        yield_now().await;
    }
    refs
}

fn nested(next: Task<()>, depth: usize) -> futures::future::BoxFuture<'static, ()> {
    Box::pin(async move {
        if depth == 0 {
            let _ = next.await;
            return;
        }
        let set = async {
            let mut set: FuturesUnordered<_> = [nested(next, depth - 1)].into_iter().collect();
            while set.next().await.is_some() {}
        };
        let _ = CancelScope::new().run(set).await;
    })
}

/// Random numbers (xorshift).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..4 {
            random.below(1);
        }
        random
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// An await that counts when it is dropped before its task has ended, though nobody has left it alone.
struct Honest<'a> {
    task: &'a mut Task<()>,
    waits: bool,
    broken: Count,
}

impl Future for Honest<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let poll = Pin::new(&mut *self.task).poll(cx);
        self.waits = poll.is_pending();
        poll.map(drop)
    }
}

impl Drop for Honest<'_> {
    fn drop(&mut self) {
        if self.waits && !self.task.done() {
            self.broken.up();
        }
    }
}

async fn passes(count: u64) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Awaits a task in one of several manners; `broken` counts awaits that end before their tasks.
async fn await_somehow(mut next: Task<()>, seed: u64, broken: Count) {
    let mut random = Random::new(seed);
    let next = &mut next;
    match random.below(6) {
        0 | 1 => Honest { task: next, waits: false, broken }.await,
        2 => nested_await(next, 1 + random.below(2), broken).await,
        3 => {
            let (tell, told) = event();
            let mut beside = slow(told);
            let in_the_end = async move {
                passes(random.below(30)).await;
                tell.happen();
            };
            let one = Honest { task: next, waits: false, broken: broken.clone() };
            let other = Honest { task: &mut beside, waits: false, broken: Count::default() };
            let _ = futures::join!(one, other, in_the_end);
        }
        4 => {
            let awaits = Honest { task: next, waits: false, broken };
            if let Err(error) = catch_cancelled(awaits).await {
                let _ = catch_cancelled(passes(random.below(10))).await;
                error.reraise().await
            }
        }
        _ => loop {
            let mut awaits = Honest { task: next, waits: false, broken: broken.clone() };
            if let Either::Left(_) = select(&mut awaits, Box::pin(passes(1 + random.below(20)))).await {
                break;
            }
            // Left alone.
            awaits.waits = false;
            drop(awaits);
            yield_now().await;
        },
    }
}

fn nested_await(next: &mut Task<()>, depth: u64, broken: Count) -> BoxFuture<'_, ()> {
    if depth == 0 {
        return Box::pin(Honest { task: next, waits: false, broken });
    }
    Box::pin(async move {
        let mut set: FuturesUnordered<_> = [nested_await(next, depth - 1, broken)].into_iter().collect();
        let _ = CancelScope::new().run(async { while set.next().await.is_some() {} }).await;
    })
}

/// A chain of tasks that await each other, somehow; the last one awaits the first, or one that cleans up.
struct Chain {
    tasks: Vec<TaskRef>,
    broken: Count,
    /// Ends the clean-up of the last one.
    tell: Option<Happened>,
}

impl Chain {
    async fn new(random: &mut Random) -> Self {
        let (begun, broken) = (Count::default(), Count::default());
        let length = 2 + random.below(5) as usize;
        let (close, closed) = Promise::<Task<()>>::new();
        let begin = |next: BoxFuture<'static, Task<()>>, seed| {
            let (begun, broken) = (begun.clone(), broken.clone());
            create_task(async move {
                let next = next.await;
                begun.up();
                await_somehow(next, seed, broken).await;
                pending().await
            })
        };
        let mut last = begin(Box::pin(async { closed.await.unwrap() }), random.below(u64::MAX));
        let mut tasks = vec![last.task_ref()];
        for _ in 1..length {
            let next = last;
            last = begin(Box::pin(async { next }), random.below(u64::MAX));
            tasks.push(last.task_ref());
        }
        let tell = match random.below(4) {
            0 => {
                drop(last);
                let (tell, told) = event();
                close.set_result(slow(told)).ok().unwrap();
                Some(tell)
            }
            _ => {
                close.set_result(last).ok().unwrap();
                None
            }
        };
        while begun.get() < length {
            yield_now().await;
        }
        passes(random.below(4)).await;
        Self { tasks, broken, tell }
    }

    fn cancel_one(&self, random: &mut Random, shared: &CancelledError) {
        let task = &self.tasks[random.below(self.tasks.len() as u64) as usize];
        match random.below(3) {
            0 => task.cancel(),
            1 => task.cancel_with("a message"),
            _ => task.cancel_by(shared),
        };
    }
}

async fn random_chains(seed: u64) {
    let mut random = Random::new(seed);
    let shared = CancelledError::without_message().identified();
    let mut chains = Vec::new();
    for _ in 0..1 + random.below(2) {
        chains.push(Chain::new(&mut random).await);
    }
    for chain in &chains {
        for _ in 0..1 + random.below(3) {
            chain.cancel_one(&mut random, &shared);
            passes(random.below(12)).await;
        }
    }
    let leaves = random.below(3) == 0;
    for chain in &mut chains {
        let is_ring = chain.tell.is_none();
        if let Some(tell) = chain.tell.take() {
            passes(random.below(60)).await;
            assert_eq!(chain.broken.get(), 0, "seed {seed}");
            tell.happen();
        } else if !leaves {
            for task in &chain.tasks {
                task.wait().await;
                assert!(task.cancelled(), "seed {seed}");
            }
        }
        assert!(chain.broken.get() <= usize::from(is_ring), "seed {seed}");
    }
}

#[test]
fn t_12_of_random_rings_one_await_is_broken_and_of_other_chains_none() {
    let number = |name, or| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (from, seeds) = (number("RINGS_FROM", 1), number("RINGS", 300));
    for seed in from..from + seeds {
        for workers in [1, 2, 8] {
            on(workers, random_chains(seed));
        }
    }
}
