//! Runs the same workloads on this project's runtime, its rivals and a floor.
//!
//! See README.md beside this package for how to use it and what it is not good for.

mod alloc;
mod cli;
mod countdown;
mod floor;
mod measure;
mod report;
mod rt;
mod who;
mod workloads;

use std::process::ExitCode;

use cli::Command;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match cli::parse(&arguments) {
        Ok(Command::List) => list(),
        Ok(Command::One(row, who, config)) => one(row, who, &config),
        Ok(Command::Run(plan)) => report::run(&plan),
        Ok(Command::Show(file, svg)) => report::show(&file, svg.as_deref()),
        Err(message) => Err(format!("{message}\n\n{}", cli::USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<(), String> {
    for row in workloads::all() {
        println!("{:<32}{}\n{:<32}floor: {}", row.id, row.about, "", row.floor);
    }
    Ok(())
}

/// Measures here and prints a line of JSON.
fn one(row: &workloads::Row, who: who::Who, config: &measure::Config) -> Result<(), String> {
    let outcome = (row.run)(who, config);
    let metrics: serde_json::Map<_, _> =
        outcome.metrics.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let line = serde_json::json!({
        "workload": row.id,
        "who": who.name(),
        "workers": config.workers,
        "size_factor": config.size_factor,
        "metrics": metrics,
    });
    println!("{line}");
    Ok(())
}
