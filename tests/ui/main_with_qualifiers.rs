#[runtime::main]
async unsafe extern "C" fn main() {}
