//! The examples, run as processes: what they print, and how they end. They are built first.

#[cfg(unix)]
mod hangs;
mod metrics;
mod tour;
#[cfg(unix)]
mod treesum;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// An example, built as this test was: `target/debug/examples/tour` for `target/debug/deps/examples-0123`.
fn example(name: &'static str) -> PathBuf {
    static BUILT: Mutex<Option<HashSet<&str>>> = Mutex::new(None);
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let target = profile.parent().unwrap();
    // Held while it is built: the other tests wait for it.
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let first = built.get_or_insert_default().insert(name);
    // Not for a build of another target, whose options are unknown here: `cargo test` without `--test` has built all examples anyway.
    if first && target.join("CACHEDIR.TAG").exists() {
        build(name, target, profile.ends_with("release"));
    }
    profile.join("examples").join(name)
}

fn build(name: &str, target: &Path, release: bool) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", name, "--target-dir"]).arg(target);
    cargo.args(release.then_some("--release")).current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(cargo.status().unwrap().success());
}
