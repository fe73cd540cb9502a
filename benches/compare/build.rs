//! Tells the program which compiler built it.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    println!("cargo::rustc-env=COMPARE_RUSTC={}", version.unwrap_or_default());
    let profile = std::env::var("PROFILE").unwrap_or_default();
    println!("cargo::rustc-env=COMPARE_PROFILE={profile}");
    println!("cargo::rerun-if-changed=build.rs");
}
