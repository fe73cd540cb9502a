//! Curves: how the first number of a row grows with workers and with size.

use std::fmt::Write as _;

use crate::report::columns;
use crate::report::results::{Place, Results};
use crate::report::svg::{colour, document, settings, text};
use crate::report::table::number;
use crate::who::Who;
use crate::workloads::{self, Row};

/// Size of a panel's plot.
const PLOT: (usize, usize) = (330, 130);
/// From one panel to the next.
const STEP: (usize, usize) = (425, 200);
/// Corner of the first plot.
const CORNER: (usize, usize) = (64, 86);

/// What changes along the axis.
#[derive(Clone, Copy)]
enum Axis {
    /// Number of workers.
    Workers,
    /// Size factor.
    Size,
}

/// Name and text of a chart per axis along which there is more than one setting.
pub fn charts(results: &Results, group: &str) -> Vec<(String, String)> {
    let settings = settings(results, group);
    let Some(first) = settings.first().copied() else {
        return Vec::new();
    };
    let along_workers: Vec<_> = settings.iter().filter(|at| at.1 == first.1).copied().collect();
    let along_size: Vec<_> = settings.iter().filter(|at| at.0 == first.0).copied().collect();
    let mut charts = Vec::new();
    if along_workers.len() > 1 {
        let title = format!("{group}: by number of workers (size x{})", first.1);
        let text = chart(results, group, &along_workers, Axis::Workers, &title);
        charts.push((format!("{group}-by-workers"), text));
    }
    if along_size.len() > 1 {
        let title = format!("{group}: by size factor ({} workers)", first.0);
        let text = chart(results, group, &along_size, Axis::Size, &title);
        charts.push((format!("{group}-by-size"), text));
    }
    charts
}

fn chart(results: &Results, group: &str, along: &[(usize, f64)], axis: Axis, title: &str) -> String {
    let mut body = String::new();
    legend(&mut body, results);
    let rows: Vec<&Row> = workloads::all().filter(|row| row.group() == group).collect();
    for (index, row) in rows.iter().enumerate() {
        let corner = (CORNER.0 + index % 2 * STEP.0, CORNER.1 + index / 2 * STEP.1);
        panel(&mut body, results, row, along, axis, corner);
    }
    document(title, CORNER.1 + rows.len().div_ceil(2) * STEP.1 - 30, &body)
}

fn legend(body: &mut String, results: &Results) {
    for (index, who) in columns(results).into_iter().enumerate() {
        let x = 8 + index * 130;
        let fill = colour(who);
        let _ = writeln!(body, r#"<rect x="{x}" y="34" width="12" height="12" fill="{fill}"/>"#);
        text(body, x + 17, 45, "", who.name());
    }
}

/// A row: linear from zero upwards, settings at equal distances.
fn panel(
    body: &mut String,
    results: &Results,
    row: &'static Row,
    along: &[(usize, f64)],
    axis: Axis,
    corner: (usize, usize),
) {
    let metric = row.metrics[0].name;
    let value =
        |who: Who, at: (usize, f64)| results.median(Place { row: row.id, workers: at.0, size: at.1 }, who, metric);
    let curve = |who: Who| along.iter().map(move |at| value(who, *at)).collect::<Vec<_>>();
    let curves: Vec<_> = columns(results).into_iter().map(|who| (who, curve(who))).collect();
    let all = curves.iter().flat_map(|(_, values)| values.iter().flatten());
    let highest = all.copied().fold(f64::MIN_POSITIVE, f64::max);
    frame(body, row, metric, along, axis, corner, highest);
    for (who, values) in curves {
        line(body, &values, colour(who), corner, highest);
    }
}

/// Horizontal place of a setting.
fn across(index: usize, count: usize) -> usize {
    10 + index * (PLOT.0 - 20) / (count - 1).max(1)
}

fn frame(
    body: &mut String,
    row: &Row,
    metric: &str,
    along: &[(usize, f64)],
    axis: Axis,
    (left, top): (usize, usize),
    highest: f64,
) {
    let (width, height) = PLOT;
    text(body, left, top - 8, r#"font-weight="bold""#, &format!("{}: {metric}", row.id));
    let _ =
        writeln!(body, r##"<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#ccc"/>"##);
    text(body, left - 6, top + 10, r#"text-anchor="end""#, &number(highest));
    text(body, left - 6, top + height, r#"text-anchor="end""#, "0");
    for (index, at) in along.iter().enumerate() {
        let label = match axis {
            Axis::Workers => at.0.to_string(),
            Axis::Size => format!("x{}", at.1),
        };
        let x = left + across(index, along.len());
        text(body, x, top + height + 16, r#"text-anchor="middle""#, &label);
    }
}

fn line(body: &mut String, values: &[Option<f64>], colour: &str, (left, top): (usize, usize), highest: f64) {
    let mut points = String::new();
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        let x = left + across(index, values.len());
        let y = (top + PLOT.1) as f64 - value / highest * (PLOT.1 as f64 - 6.0);
        let _ = write!(points, "{x},{y:.1} ");
        let _ = writeln!(body, r#"<circle cx="{x}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
    }
    let _ = writeln!(body, r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>"#);
}
