#[runtime::main]
async fn main() -> Nowhere {
    unreachable!()
}
