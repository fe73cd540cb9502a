//! What a runtime takes when it has nothing to do.

use std::time::Duration;

use crate::measure::{Config, Outcome, process_cpu};
use crate::rt::Rt;
use crate::workloads::{Metric, Row, Rule, drive, runs};

pub const ROWS: &[Row] = &[Row {
    id: "idle/cpu",
    about: "one task sleeps for a second: CPU of the process meanwhile",
    floor: "as many parked threads as workers; the main thread sleeps",
    metrics: &[Metric {
        name: "cpu_us_per_s",
        rule: Rule::Floor(1.1),
    }],
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

fn idle<R: Rt>(config: &Config) -> Outcome {
    drive::<R, _>(config, async {
        let tasks: Vec<_> = (0..1000).map(|_| R::spawn(R::yield_now())).collect();
        for task in tasks {
            R::join(task).await;
        }
        R::sleep(SETTLE).await;
        let start = process_cpu();
        R::sleep(SPAN).await;
        cpu_since(start)
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
    std::thread::sleep(SETTLE);
    let start = process_cpu();
    std::thread::sleep(SPAN);
    cpu_since(start)
}
