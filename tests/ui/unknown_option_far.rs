#[runtime::main(color = "blue")]
async fn main() {}
