#[runtime::test(seed = 7, workers = 2)]
async fn works() {}

fn main() {}
