//! `?` in main.

use std::error::Error;

#[runtime::main(workers = 2, thread_name = "io", shutdown_grace = "1s")]
async fn main() -> Result<(), Box<dyn Error>> {
    let number: u8 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}
