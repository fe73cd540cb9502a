use std::num::ParseIntError;

#[runtime::main]
async fn main() -> Result<(), ParseIntError> {
    let _number: u8 = "7".parse()?;
}
