#[runtime::main(max_blocking_threads = "64")]
async fn main() {}
