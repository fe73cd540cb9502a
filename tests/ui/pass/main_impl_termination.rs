//! A return type without a name, and one of the user's own.

use std::process::{ExitCode, Termination};

struct Outcome;

impl Termination for Outcome {
    fn report(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

#[runtime::main]
async fn other() -> Outcome {
    Outcome
}

#[runtime::main]
async fn main() -> impl Termination {
    std::future::ready(()).await;
    Outcome
}

#[allow(dead_code)]
fn also_compiles() -> Outcome {
    other()
}
