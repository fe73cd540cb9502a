//! `tour`: prints what the chapter prints.

use crate::example;
use std::process::Command;

#[test]
fn tour_prints_what_the_chapter_prints() {
    let output = Command::new(example("tour")).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, include_str!("../../examples/tour.expected"));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
