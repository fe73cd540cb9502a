#[runtime::main(workers = 4, debug, workers = 2)]
async fn main() {}
