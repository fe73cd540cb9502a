//! Charts as plain SVG text: what bars and curves share.

use std::fmt::Write as _;
use std::path::Path;

use crate::report::results::Results;
use crate::report::{bars, curves};
use crate::who::Who;
use crate::workloads::{self, Row};

/// Width of every chart.
pub const WIDTH: usize = 860;

/// Draws every group into `directory`.
pub fn draw(results: &Results, directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    let mut groups: Vec<&str> = workloads::all().map(Row::group).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        let charts = bars::charts(results, group);
        for (name, text) in charts.into_iter().chain(curves::charts(results, group)) {
            let path = directory.join(format!("{name}.svg"));
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// Workers and size factors for which the group has results.
pub fn settings(results: &Results, group: &str) -> Vec<(usize, f64)> {
    let rows = workloads::all().filter(|row| row.group() == group);
    let mut settings = Vec::new();
    for place in rows.flat_map(|row| results.places(row)) {
        if !settings.contains(&(place.workers, place.size)) {
            settings.push((place.workers, place.size));
        }
    }
    settings
}

/// The colour of a column.
pub fn colour(who: Who) -> &'static str {
    match who {
        Who::Ours => "#1b6ca8",
        Who::Tokio => "#e07b39",
        Who::Executor => "#4f772d",
        Who::StaticExecutor => "#a7c957",
        Who::Floor => "#b8b8b8",
    }
}

/// Appends words at a place; `style` are more attributes.
pub fn text(body: &mut String, x: usize, y: usize, style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(body, r#"<text x="{x}" y="{y}" {style}>{words}</text>"#);
}

/// A whole file around what `body` draws below 34.
pub fn document(title: &str, height: usize, body: &str) -> String {
    let mut heading = String::new();
    text(&mut heading, 8, 20, r#"font-size="15" font-weight="bold""#, title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n{heading}{body}</svg>\n"
    )
}
