//! The rows of the table: a file per group.

mod blocking;
mod cancel;
mod cpu;
mod foreign;
mod idle;
mod memory;
mod spawn;
mod timer;
mod wake;
mod words;

use std::future::Future;
use std::time::Duration;

use crate::measure::{Config, Outcome};
use crate::rt::{Rt, Tasks};
use crate::who::Who;

/// A row of the table.
pub struct Row {
    /// `group/case`, unique.
    pub id: &'static str,
    /// What is done, and what an operation is.
    pub about: &'static str,
    /// What the floor does instead of a runtime.
    pub floor: &'static str,
    /// What is measured, and what we want of it.
    pub metrics: &'static [Metric],
    /// Fewer workers than that make no sense.
    pub min_workers: usize,
    /// Measures it in this process.
    pub run: fn(Who, &Config) -> Outcome,
}

impl Row {
    /// What comes before the slash.
    pub fn group(&self) -> &'static str {
        self.id.split('/').next().expect("split yields at least one part")
    }
}

/// A number of a row.
#[derive(Clone, Copy)]
pub struct Metric {
    /// Its name in JSON; the unit is its last part.
    pub name: &'static str,
    /// What ours must be.
    pub rule: Rule,
}

/// What a metric of ours must be.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// At most so many times the best (lowest) peer of the same round.
    BestPeer(f64),
    /// At most so many times the floor of the same round.
    Floor(f64),
    /// At most this.
    AtMost(f64),
    /// Not below the floor of the same round; more is better.
    AtLeastFloor,
    /// At most so many times ours in another row in the same round.
    OtherRow(f64, &'static str),
    /// Shown against the best peer, nothing asked.
    Shown,
}

/// Wall and CPU time per operation, both at most `$factor` times the best peer.
macro_rules! times {
    ($factor:expr) => {
        &[
            $crate::workloads::Metric { name: "wall_ns", rule: $crate::workloads::Rule::BestPeer($factor) },
            $crate::workloads::Metric { name: "cpu_ns", rule: $crate::workloads::Rule::BestPeer($factor) },
        ]
    };
}
use times;

/// The generic workload for each runtime, and the floor's function.
macro_rules! runs {
    ($workload:ident, $floor:expr) => {
        |who, config| match who {
            #[cfg(feature = "ours")]
            $crate::who::Who::Ours => $workload::<$crate::who::ours::Ours>(config),
            #[cfg(not(feature = "ours"))]
            $crate::who::Who::Ours => unreachable!("checked before: not in this build"),
            $crate::who::Who::Tokio => $workload::<$crate::who::tokio::Tokio>(config),
            $crate::who::Who::Executor => {
                $workload::<$crate::who::executor::Smol<$crate::who::executor::Plain>>(config)
            }
            $crate::who::Who::StaticExecutor => {
                $workload::<$crate::who::executor::Smol<$crate::who::executor::Static>>(config)
            }
            $crate::who::Who::Floor => $floor(config),
        }
    };
}
use runs;

/// All rows, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Row> {
    let groups: [&'static [Row]; 10] = [
        spawn::ROWS,
        wake::ROWS,
        foreign::ROWS,
        cpu::ROWS,
        timer::ROWS,
        memory::ROWS,
        blocking::ROWS,
        cancel::ROWS,
        idle::ROWS,
        words::ROWS,
    ];
    groups.into_iter().flatten()
}

/// Runs `body` as a task of a fresh runtime, then shuts it down.
fn drive<R: Tasks, F>(config: &Config, body: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let rt = R::start(config.workers);
    let output = rt.drive(body);
    rt.shutdown();
    output
}

/// Leaves a sleep of 20 s pending beside what is measured, and lets the runtime
/// settle with it. Every service has some timer like that. Without it Tokio
/// writes to its eventfd for most of the timers that it arms, because none is
/// earlier, and a row about arming shows mostly that, several times slower.
async fn keep_a_timer_pending<R: Rt>() {
    R::detach(R::spawn(async {
        R::sleep(Duration::from_secs(20)).await;
    }));
    R::sleep(Duration::from_millis(20)).await;
}

/// A floor on as many threads as could help, each with its share of the work and
/// an executor of its own; nothing is shared, so a workload must not use statics.
fn in_parallel(config: &Config, share: fn(&Config) -> Outcome) -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = config.workers.min(cores);
    let one = Config { size_factor: config.size_factor / threads as f64, ..*config };
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| share(&one))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|outcome| outcome.expect("a floor panicked")).collect()
    });
    // Both clocks run for all threads at once while a thread does its share only.
    let mean = |index: usize| {
        let sum: f64 = outcomes.iter().map(|outcome| outcome.metrics[index].1).sum();
        sum / (threads * threads) as f64
    };
    let names = outcomes[0].metrics.iter().enumerate();
    Outcome { metrics: names.map(|(index, (name, _))| (*name, mean(index))).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_rules_name_rows_that_exist() {
        let ids: Vec<&str> = all().map(|row| row.id).collect();
        let unique: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
        for metric in all().flat_map(|row| row.metrics) {
            if let Rule::OtherRow(_, row) = metric.rule {
                assert!(ids.contains(&row), "{row}");
            }
        }
    }

    #[test]
    fn shares_in_parallel_add_up_to_the_whole() {
        let config = Config { workers: 1, size_factor: 1.0, quick: true };
        let share = |one: &Config| Outcome::default().with("wall_ns", one.size(1000) as f64);
        assert_eq!(in_parallel(&config, share).metrics, [("wall_ns", 1000.0)]);
    }
}
