#[runtime::main(workers = -1)]
async fn main() {}
