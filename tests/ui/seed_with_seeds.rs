#[runtime::test(seed = 7, seeds = 10)]
async fn works() {}

fn main() {}
