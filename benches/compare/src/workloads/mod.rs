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

use crate::measure::{Config, Outcome};
use crate::rt::Tasks;
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
        self.id
            .split('/')
            .next()
            .expect("split yields at least one part")
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
            $crate::workloads::Metric {
                name: "wall_ns",
                rule: $crate::workloads::Rule::BestPeer($factor),
            },
            $crate::workloads::Metric {
                name: "cpu_ns",
                rule: $crate::workloads::Rule::BestPeer($factor),
            },
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
