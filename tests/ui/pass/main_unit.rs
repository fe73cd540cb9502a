//! Nothing comes back, and the body is not `Send`.

/// Documentation stays.
#[runtime::main]
pub(crate) async fn main() {
    let shared = std::rc::Rc::new(7);
    std::future::ready(()).await;
    assert_eq!(*shared, 7);
}
