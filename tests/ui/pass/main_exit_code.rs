//! The program's own exit code.

use std::process::ExitCode;

#[runtime::main(virtual_time, seed = 7)]
async fn main() -> ExitCode {
    ExitCode::SUCCESS
}
