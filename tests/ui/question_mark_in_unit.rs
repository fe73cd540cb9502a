#[runtime::main]
async fn main() {
    let _number: u8 = "7".parse()?;
}
