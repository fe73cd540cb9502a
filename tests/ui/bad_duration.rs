#[runtime::main(shutdown_grace = "2 seconds", blocking_keep_alive = 10)]
async fn main() {}
