#[runtime::main(thread_name = 3)]
async fn main() {}
