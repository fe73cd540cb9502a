struct Service;

impl Service {
    #[runtime::main]
    async fn start(&self) {}
}

fn main() {
    Service.start();
}
