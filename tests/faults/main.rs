//! What goes wrong around the runtime, each case in a process of its own: threads refused, memory that ends, signals, forks, clocks, stuck workers,
//! threads that are being torn down. A case has a clear end: it goes on well, or the process ends with a code or an abort that says why.
//!
//! Started by cargo, this program starts itself for each case, told by an environment variable which part to play. Arguments filter cases by
//! name. Linux only: most of it is about limits that are set there.

#[cfg(target_os = "linux")]
mod allocator;
#[cfg(target_os = "linux")]
mod judge;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod teardown;
#[cfg(target_os = "linux")]
mod threads;
#[cfg(target_os = "linux")]
mod time;

#[cfg(target_os = "linux")]
fn main() {
    judge::main(&[threads::CASES, memory::CASES, process::CASES, teardown::CASES, time::CASES]);
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the faults are made with Linux's means; nothing is tested here");
}
