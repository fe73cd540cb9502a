//! The task's state word against a model, under many random byte strings; `ci/fuzz.sh` looks for more of them.

#[allow(dead_code, unreachable_pub, reason = "a file of the engine, of which the rest is not here")]
#[path = "../src/task/state.rs"]
mod state;

#[path = "state/drive.rs"]
mod drive;

/// What the engine's file takes its atomics from.
mod loom {
    pub(crate) use std::sync::atomic;
}

#[test]
fn the_word_says_what_the_model_says() {
    let mut random = 1_u64;
    let mut byte = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 32) as u8
    };
    for length in 0..20_000 {
        let bytes: Vec<u8> = (0..length % 200).map(|_| byte()).collect();
        drive::drive(&bytes);
    }
}
