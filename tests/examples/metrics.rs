//! `metrics`: the text has every family, and the numbers in it belong together.

use crate::example;
use std::process::Command;

/// The value of a line, or the sum over its labels.
fn value(text: &str, name: &str) -> f64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    let values: Vec<f64> =
        text.lines().filter(of_name).map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(!values.is_empty(), "no {name} in\n{text}");
    values.iter().sum()
}

#[test]
fn the_counters_come_out_as_prometheus_text() {
    let output = Command::new(example("metrics")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    assert!(value(&text, "runtime_tasks_created_total") >= 202.0, "{text}");
    assert_eq!(value(&text, "runtime_tasks_alive"), 0.0);
    assert_eq!(value(&text, "runtime_tasks_ready"), 0.0);
    assert_eq!(value(&text, "runtime_blocking_finished_total"), 2.0);
    assert_eq!(value(&text, "runtime_timers_fired_total"), 2.0);
    assert!(value(&text, "runtime_busy_seconds") > 0.0);

    // Cumulative steps up to all polls.
    assert_eq!(value(&text, "runtime_poll_seconds_count"), value(&text, "runtime_polls_total"));
    let steps: Vec<f64> = text
        .lines()
        .filter(|line| line.starts_with("runtime_poll_seconds_bucket"))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(steps.len(), 32);
    assert!(steps.is_sorted());
    assert_eq!(steps.last(), Some(&value(&text, "runtime_polls_total")));
}
