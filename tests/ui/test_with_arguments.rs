#[runtime::test]
async fn works(seed: u64) {
    assert_eq!(seed, 0);
}

fn main() {}
