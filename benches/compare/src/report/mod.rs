//! Measures in many processes, and shows what they said.

mod bars;
mod curves;
mod machine;
mod results;
mod svg;
mod table;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::cli::Plan;
use crate::who::Who;
use crate::workloads::Row;
use results::{Point, Results};

/// Runs a plan: measures, prints the table, writes JSON and charts.
pub fn run(plan: &Plan) -> Result<(), String> {
    let before = machine::describe();
    let results = measure_all(plan)?;
    let document = json!({
        "machine": before,
        "load_after": machine::load(),
        "quick": plan.quick,
        "rounds": plan.rounds,
        "others_pct": results.others(),
        "measurements": results.to_json(),
    });
    if let Some(path) = &plan.json {
        let text = serde_json::to_string_pretty(&document).expect("a Value can be written");
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    report(&document, &results, plan.svg.as_deref())
}

/// Prints the table of a file that [`run`] wrote, and draws its charts.
pub fn show(file: &Path, svg: Option<&Path>) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let document: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let results = Results::from_json(&document["measurements"])?;
    report(&document, &results, svg)
}

fn report(document: &Value, results: &Results, svg: Option<&Path>) -> Result<(), String> {
    println!("{}", machine::heading(document));
    table::print(results);
    match svg {
        Some(directory) => svg::draw(results, directory),
        None => Ok(()),
    }
}

/// One process after another; inside a round all of a row are neighbours, and
/// who begins changes from round to round.
fn measure_all(plan: &Plan) -> Result<Results, String> {
    let mut results = Results::default();
    for round in 0..plan.rounds {
        for row in &plan.rows {
            for (workers, size) in points(plan, row) {
                eprintln!("round {} of {}: {} x{workers}", round + 1, plan.rounds, row.id);
                for turn in 0..plan.who.len() {
                    let who = plan.who[(turn + round) % plan.who.len()];
                    let point = Point { row, who, workers, size };
                    measure_calmly(plan, point, round, &mut results)?;
                }
            }
        }
    }
    Ok(results)
}

/// Workers and sizes at which the row makes sense.
fn points<'a>(plan: &'a Plan, row: &'a Row) -> impl Iterator<Item = (usize, f64)> + 'a {
    let workers = plan.workers.iter().filter(|workers| **workers >= row.min_workers);
    workers.flat_map(|workers| plan.sizes.iter().map(|size| (*workers, *size)))
}

/// Attempts at one measurement when others keep the machine busy.
const ATTEMPTS: usize = 6;

/// Measures again while others use more of the machine than the plan allows, and
/// keeps the calmest. What decides is not what was measured, so nobody gains by it.
fn measure_calmly(plan: &Plan, point: Point, round: usize, results: &mut Results) -> Result<(), String> {
    let mut calmest = (f64::INFINITY, Value::Null);
    for _ in 0..ATTEMPTS {
        let before = machine::Usage::now();
        let metrics = measure_one(&point, plan.quick)?;
        let others = before.others_pct();
        if others < calmest.0 {
            calmest = (others, metrics);
        }
        if calmest.0 <= plan.calm {
            break;
        }
    }
    results.add(point, round, calmest.0, &calmest.1);
    Ok(())
}

fn measure_one(point: &Point, quick: bool) -> Result<Value, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["one", point.row.id, point.who.name()]);
    command.args(["--workers", &point.workers.to_string()]);
    command.args(["--size-factor", &point.size.to_string()]);
    if quick {
        command.arg("--quick");
    }
    let output = command.output().map_err(|error| error.to_string())?;
    let failed = |what: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("{} {}: {what}\n{said}", point.row.id, point.who.name())
    };
    if !output.status.success() {
        return Err(failed(&output.status.to_string()));
    }
    let line: Value = serde_json::from_slice(&output.stdout).map_err(|error| failed(&error.to_string()))?;
    Ok(line["metrics"].clone())
}

/// The columns for which there are results, in the usual order.
fn columns(results: &Results) -> Vec<Who> {
    Who::ALL.into_iter().filter(|who| results.has(*who)).collect()
}
