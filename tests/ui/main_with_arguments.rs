#[runtime::main]
async fn main(arguments: Vec<String>, count: usize) {
    assert_eq!(arguments.len(), count);
}
