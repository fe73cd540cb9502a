#[runtime::main(workers)]
async fn main() {}
