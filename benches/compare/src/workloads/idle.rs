//! What a runtime takes when it has nothing to do.

use std::time::Duration;

use crate::measure::{Config, Outcome, process_cpu};
use crate::rt::Rt;
use crate::workloads::foreign::on_foreign_thread;
use crate::workloads::{Metric, Row, Rule, runs};

pub const ROWS: &[Row] = &[Row {
    id: "idle/cpu",
    about: "all tasks wait, for a second, after some work: CPU of the process meanwhile",
    floor: "as many parked threads as workers",
    metrics: &[Metric { name: "cpu_us_per_s", rule: Rule::Floor(1.1) }],
    min_workers: 1,
    run: runs!(idle, floor_idle),
}];

/// How long it is watched.
const SPAN: Duration = Duration::from_secs(1);
/// How long it may settle before.
const SETTLE: Duration = Duration::from_millis(50);

fn cpu_since(start: Duration) -> Outcome {
    let used = (process_cpu() - start).as_nanos() as f64 / 1e3;
    Outcome::default().with("cpu_us_per_s", used / SPAN.as_secs_f64())
}

/// Watches from a thread that does the same in the floor, so that what it takes
/// to sleep and to look is in both.
fn watch() -> Outcome {
    std::thread::sleep(SETTLE);
    let start = process_cpu();
    std::thread::sleep(SPAN);
    cpu_since(start)
}

fn idle<R: Rt>(config: &Config) -> Outcome {
    on_foreign_thread::<R, _>(config, |handle| {
        for _ in 0..1000 {
            R::submit_and_block(&handle, R::yield_now());
        }
        watch()
    })
}

fn floor_idle(config: &Config) -> Outcome {
    for _ in 0..config.workers {
        std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
    watch()
}
