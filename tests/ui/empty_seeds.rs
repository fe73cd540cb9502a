#[runtime::test(seeds = 10..10)]
async fn works() {}

fn main() {}
