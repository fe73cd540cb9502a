//! Random programs of everything that waits for others, cancelled at a random moment, once or twice: whatever ends, its children have ended before (rules 6, 8, 9).

use super::*;
use futures::future::BoxFuture;
use runtime::TaskBuilder;

/// Numbers of a seed: xorshift.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        (0..4).for_each(|_| _ = random.below(2));
        random
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

type Program = BoxFuture<'static, ()>;

/// How many children of something are alive.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

/// Counts as long as it lives.
struct OneAlive(Alive);

impl Alive {
    fn count(&self, child: Program) -> Program {
        self.0.fetch_add(1, SeqCst);
        let one = OneAlive(self.clone());
        async move {
            let _one = one;
            child.await;
        }
        .boxed()
    }
}

impl Drop for OneAlive {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// Goes when that ends which waits for the children, in whatever way.
struct AllHaveEnded {
    what: &'static str,
    alive: Alive,
    /// How often they had not, in the whole program.
    left: Count,
}

impl Drop for AllHaveEnded {
    fn drop(&mut self) {
        if self.alive.0.load(SeqCst) > 0 {
            eprintln!("a {} has left children behind", self.what);
            self.left.add();
        }
    }
}

/// Makes programs.
struct Maker {
    random: Random,
    left: Count,
}

impl Maker {
    fn program(&mut self, depth: u32) -> Program {
        if depth == 0 {
            return self.leaf();
        }
        match self.random.below(8) {
            0 | 1 => self.group(depth),
            2 => self.gather(depth),
            3 => self.awaited(depth),
            4 | 5 => {
                let (one, other) = (self.branch(depth - 1), self.branch(depth - 1));
                async { _ = futures::join!(one, other) }.boxed()
            }
            6 => {
                let inner = self.branch(depth - 1);
                let after = Duration::from_micros(self.random.below(500));
                async move { _ = timeout(after, inner).await }.boxed()
            }
            _ => {
                let set: FuturesUnordered<_> = (0..3).map(|_| self.branch(depth - 1)).collect();
                set.for_each(async |()| ()).boxed()
            }
        }
    }

    /// Waits for something, and cleans up over some passes when it is cancelled.
    fn leaf(&mut self) -> Program {
        let (waits_for, clean_up) = (self.random.below(12), self.random.below(10) as usize);
        async move {
            let waiting = async {
                match waits_for {
                    0 => forever().await,
                    1..4 => sleep(Duration::from_micros(waits_for * 50)).await,
                    _ => passes(waits_for as usize * 3).await,
                }
            };
            if let Err(error) = catch_cancelled(waiting).await {
                // A second request ends that early.
                let _ = catch_cancelled(passes(clean_up)).await;
                let_go(error).await;
            }
        }
        .boxed()
    }

    /// What may stand in a body or in a branch, where a handler would be dropped with it.
    fn branch(&mut self, depth: u32) -> Program {
        match depth {
            0 => passes(self.random.below(10) as usize).boxed(),
            _ => self.program(depth),
        }
    }

    fn children(&mut self, depth: u32, alive: &Alive) -> Vec<Program> {
        let count = self.random.below(4) + 1;
        let child = |maker: &mut Self| match maker.random.below(3) {
            0 => maker.leaf(),
            _ => maker.program(depth - 1),
        };
        (0..count).map(|_| alive.count(child(self))).collect()
    }

    /// To be called when it begins: what is dropped before never had any.
    fn begins(&self, what: &'static str, alive: Alive) -> impl FnOnce() -> AllHaveEnded + use<> {
        let left = self.left.clone();
        move || AllHaveEnded { what, alive, left }
    }

    fn group(&mut self, depth: u32) -> Program {
        let alive = Alive::default();
        let children = self.children(depth, &alive);
        let body = self.branch(depth - 1);
        let (then, eager) = (self.random.below(4), self.random.below(2) == 0);
        let begins = self.begins("group", alive);
        async move {
            let _ended = begins();
            let _ = TaskGroup::run(async |group| {
                let mut last = None;
                for child in children {
                    last = Some(group.create_task_with(TaskBuilder::new().eager_start(eager), child));
                }
                match then {
                    0 => body.await,
                    1 => _ = last.expect("there is one").await,
                    2 => {
                        passes(3).await;
                        group.cancel();
                        body.await;
                    }
                    _ => {}
                }
            })
            .await;
        }
        .boxed()
    }

    fn gather(&mut self, depth: u32) -> Program {
        let alive = Alive::default();
        let children = self.children(depth, &alive);
        let begins = self.begins("gather", alive);
        async move {
            let _ended = begins();
            gather(children).return_exceptions().await;
        }
        .boxed()
    }

    fn awaited(&mut self, depth: u32) -> Program {
        let alive = Alive::default();
        let child = alive.count(self.program(depth - 1));
        let begins = self.begins("task that awaits another", alive);
        async move {
            let _ended = begins();
            _ = create_task(child).await;
        }
        .boxed()
    }
}

#[test]
fn rule_9_in_random_programs_nothing_ends_before_its_children() {
    for seed in 0..400 {
        exact(async || {
            let left = Count::default();
            let mut maker = Maker { random: Random::of(seed), left: left.clone() };
            let task = create_task(maker.program(4));
            let mut random = maker.random;
            for _ in 0..=random.below(2) {
                passes(random.below(40) as usize).await;
                task.cancel();
            }
            while !task.done() {
                // Some leaves wait for ever, and some have been left by a request that came too early for them.
                sleep(ms(1)).await;
                task.cancel();
            }
            assert_eq!(left.get(), 0, "seed {seed}");
        });
    }
}
