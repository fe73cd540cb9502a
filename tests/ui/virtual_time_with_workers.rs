#[runtime::main(workers = 2, virtual_time)]
async fn main() {}
