//! The table on the terminal.

use crate::report::columns;
use crate::report::results::{Place, Results, Verdict};
use crate::who::Who;
use crate::workloads::{self, Metric, Rule};

/// Prints a line per row, place and metric.
pub fn print(results: &Results) {
    let columns = columns(results);
    print!("{:<40}{:<16}", "workload (workers, size)", "metric");
    columns.iter().for_each(|who| print!("{:>16}", who.name()));
    println!("{:>12}  goal", "ours is");
    for row in workloads::all() {
        for place in results.places(row) {
            for metric in row.metrics {
                print_line(results, &columns, place, metric);
            }
        }
    }
}

fn print_line(results: &Results, columns: &[Who], place: Place, metric: &Metric) {
    let name = format!("{} ({}, x{})", place.row, place.workers, place.size);
    print!("{name:<40}{:<16}", metric.name);
    for who in columns {
        let value = results.median(place, *who, metric.name);
        print!("{:>16}", value.map_or("-".into(), number));
    }
    let verdict = results.verdict(place, metric);
    let value = verdict.as_ref().map_or("-".into(), |verdict| format!("{:.2}", verdict.value));
    println!("{value:>12}  {}{}", goal(metric.rule), word(verdict.as_ref()));
}

/// What is asked, in words.
pub fn goal(rule: Rule) -> String {
    match rule {
        Rule::BestPeer(bound) => format!("<= {bound} x best peer"),
        Rule::Floor(bound) => format!("<= {bound} x floor"),
        Rule::AtMost(bound) => format!("<= {bound}"),
        Rule::AtLeastFloor => ">= floor".into(),
        Rule::OtherRow(bound, row) => format!("<= {bound} x {row}"),
        Rule::Shown => "(x best peer)".into(),
    }
}

fn word(verdict: Option<&Verdict>) -> &'static str {
    match verdict.and_then(|verdict| verdict.met) {
        Some(true) => "  met",
        Some(false) => "  NOT MET",
        None => "",
    }
}

/// A number with three digits that count.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
