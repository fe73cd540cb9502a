//! Bars: who takes how much, a block per number.

use std::fmt::Write as _;

use crate::report::columns;
use crate::report::results::{Place, Results};
use crate::report::svg::{WIDTH, colour, document, settings, text};
use crate::report::table::{goal, number};
use crate::who::Who;
use crate::workloads::{self, Metric, Row, Rule};

/// Where the bars begin.
const LEFT: usize = 130;
/// Room for the number behind the longest bar.
const NUMBER: usize = 90;
/// From one bar to the next.
const STEP: usize = 16;

/// Name and text of a chart per number of workers and size.
pub fn charts(results: &Results, group: &str) -> Vec<(String, String)> {
    let chart = |(workers, size)| {
        let name = format!("{group}-{workers}-workers-x{size}");
        (name, chart(results, group, workers, size))
    };
    settings(results, group).into_iter().map(chart).collect()
}

fn chart(results: &Results, group: &str, workers: usize, size: f64) -> String {
    let mut body = String::new();
    let mut y = 34;
    for row in workloads::all().filter(|row| row.group() == group) {
        let place = Place { row: row.id, workers, size };
        for metric in drawn(row) {
            y = block(&mut body, results, place, metric, y);
        }
    }
    let title = format!("{group}: {workers} workers, size x{size}. Each block has its own scale");
    document(&title, y, &body)
}

/// The metrics without those that only hold the same number against another row.
fn drawn(row: &Row) -> impl Iterator<Item = &Metric> {
    row.metrics.iter().filter(|metric| !matches!(metric.rule, Rule::OtherRow(..)))
}

/// A heading and a bar per column from zero; where the next block begins.
fn block(body: &mut String, results: &Results, place: Place, metric: &Metric, top: usize) -> usize {
    let value = |who: Who| results.median(place, who, metric.name).map(|value| (who, value));
    let values: Vec<_> = columns(results).into_iter().filter_map(value).collect();
    if values.is_empty() {
        return top;
    }
    let longest = values.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let asked = match metric.rule {
        Rule::Shown => String::new(),
        rule => format!(" (goal {})", goal(rule)),
    };
    let heading = format!("{}: {}{asked}", place.row, metric.name);
    text(body, 8, top + 14, r#"font-weight="bold""#, &heading);
    let mut y = top + 22;
    for (who, value) in values {
        bar(body, who, value, longest, y);
        y += STEP;
    }
    y + 10
}

fn bar(body: &mut String, who: Who, value: f64, longest: f64, y: usize) {
    let length = ((WIDTH - LEFT - NUMBER) as f64 * value / longest).max(1.0);
    text(body, 16, y + 11, "", who.name());
    let (height, fill) = (STEP - 3, colour(who));
    let _ = writeln!(body, r#"<rect x="{LEFT}" y="{y}" width="{length:.1}" height="{height}" fill="{fill}"/>"#);
    text(body, LEFT + length as usize + 6, y + 11, "", &number(value));
}
