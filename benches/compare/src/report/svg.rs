//! Charts: bars per group, and curves over workers and sizes. Plain SVG text.

use std::fmt::Write as _;
use std::path::Path;

use crate::report::columns;
use crate::report::results::{Place, Results};
use crate::report::table::{goal, number};
use crate::who::Who;
use crate::workloads::{self, Metric, Row};

const WIDTH: usize = 860;
const LABEL: usize = 130;
const BAR: usize = 16;
const NUMBER: usize = 90;

/// Draws every group into `directory`.
pub fn draw(results: &Results, directory: &Path) -> Result<(), String> {
    let write = |name: &str, text: String| {
        let path = directory.join(format!("{name}.svg"));
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    let mut groups: Vec<&str> = workloads::all().map(Row::group).collect();
    groups.dedup();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        for (workers, size) in settings(results, group) {
            let name = format!("{group}-{workers}-workers-x{size}");
            write(&name, bars(results, group, workers, size))?;
        }
    }
    Ok(())
}

/// Workers and sizes for which the group has results.
fn settings(results: &Results, group: &str) -> Vec<(usize, f64)> {
    let rows = workloads::all().filter(|row| row.group() == group);
    let mut settings = Vec::new();
    for place in rows.flat_map(|row| results.places(row)) {
        if !settings.contains(&(place.workers, place.size)) {
            settings.push((place.workers, place.size));
        }
    }
    settings
}

fn colour(who: Who) -> &'static str {
    match who {
        Who::Ours => "#1b6ca8",
        Who::Tokio => "#e07b39",
        Who::Executor => "#6a994e",
        Who::StaticExecutor => "#a7c957",
        Who::Floor => "#b8b8b8",
    }
}

/// A block of bars per row and metric, each on its own scale from zero.
fn bars(results: &Results, group: &str, workers: usize, size: f64) -> String {
    let columns = columns(results);
    let mut body = String::new();
    let mut y = 34;
    for row in workloads::all().filter(|row| row.group() == group) {
        let place = Place {
            row: row.id,
            workers,
            size,
        };
        let mut shown: Vec<&str> = Vec::new();
        for metric in row.metrics {
            if !shown.contains(&metric.name) {
                shown.push(metric.name);
                y = block(&mut body, results, &columns, place, metric, y);
            }
        }
    }
    let title = format!("{group}: {workers} workers, size x{size}; shorter bars are better");
    document(&title, y, &body)
}

fn block(
    body: &mut String,
    results: &Results,
    columns: &[Who],
    place: Place,
    metric: &Metric,
    top: usize,
) -> usize {
    let value = |who: &Who| {
        results
            .median(place, *who, metric.name)
            .map(|value| (*who, value))
    };
    let values: Vec<_> = columns.iter().filter_map(value).collect();
    let longest = values
        .iter()
        .map(|(_, value)| *value)
        .fold(f64::MIN_POSITIVE, f64::max);
    if values.is_empty() {
        return top;
    }
    let heading = format!("{}, {}: goal {}", place.row, metric.name, goal(metric.rule));
    text(body, 8, top + 14, "font-weight=\"bold\"", &heading);
    let mut y = top + 22;
    for (who, value) in values {
        let room = (WIDTH - LABEL - NUMBER) as f64;
        let length = (room * value / longest).max(1.0);
        text(body, 16, y + 12, "", who.name());
        let fill = colour(who);
        let _ = writeln!(
            body,
            r#"<rect x="{LABEL}" y="{y}" width="{length:.1}" height="{}" fill="{fill}"/>"#,
            BAR - 3
        );
        text(
            body,
            LABEL + length as usize + 6,
            y + 12,
            "",
            &number(value),
        );
        y += BAR;
    }
    y + 10
}

fn text(body: &mut String, x: usize, y: usize, style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(body, r#"<text x="{x}" y="{y}" {style}>{words}</text>"#);
}

fn document(title: &str, height: usize, body: &str) -> String {
    let mut heading = String::new();
    text(
        &mut heading,
        8,
        20,
        "font-size=\"15\" font-weight=\"bold\"",
        title,
    );
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n{heading}{body}</svg>\n"
    )
}
