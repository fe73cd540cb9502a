#[runtime::main(debug = "yes")]
async fn main() {}
