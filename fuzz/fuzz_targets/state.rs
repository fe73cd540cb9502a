//! The task's state word driven by a byte string, beside a model; the driver is the one of `runtime-core/tests/state_machine.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../runtime-core/src/task/state.rs"]
mod state;

#[path = "../../runtime-core/tests/state/drive.rs"]
mod drive;

mod loom {
    pub(crate) use std::sync::atomic;
}

fuzz_target!(|data: &[u8]| drive::drive(data));
