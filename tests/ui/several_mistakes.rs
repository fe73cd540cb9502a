#[runtime::main(wrokers = 4, debug = 1, seed = "x")]
fn main(argument: u8) {
    let _ = argument;
}
