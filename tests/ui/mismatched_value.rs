#[runtime::main]
async fn main() -> Result<(), String> {
    if std::env::args().len() > 9 {
        return Err(9);
    }
    Ok(())
}
