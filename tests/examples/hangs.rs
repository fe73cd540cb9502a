//! The programs of `examples/hangs`: each is started, asked from outside, and killed. What is found has to name the right place.

use super::example;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;

/// A program that hangs; killed at the end.
struct Hanging {
    name: &'static str,
    child: Child,
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // It may have ended by itself, which is another test's business.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Hanging {
    /// Starts an example, and waits for its first line.
    fn start(name: &'static str) -> Self {
        let mut child = Command::new(example(name))
            .env("RUNTIME_INSPECT", "signal,socket")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("waiting"), "{line}");
        Self { name, child }
    }

    fn ask(&self, question: &str) -> Output {
        Command::new(inspector()).args([question, &self.child.id().to_string()]).output().unwrap()
    }

    /// Asks until the answer has all of this: the program may still be on its way to where it hangs.
    fn ask_until(&self, question: &str, wanted: &[&str]) -> (String, Option<i32>) {
        loop {
            let output = self.ask(question);
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.starts_with("runtime "), "{text}{}", String::from_utf8_lossy(&output.stderr));
            if wanted.iter().all(|wanted| text.contains(wanted)) {
                return (text, output.status.code());
            }
        }
    }

    /// `file:line` of the line of the program that has this comment.
    fn place(&self, comment: &str) -> String {
        let file = format!("examples/hangs/{}.rs", self.name.strip_prefix("hangs_").unwrap());
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(&file);
        let source = std::fs::read_to_string(path).unwrap();
        let line = source.lines().position(|line| line.ends_with(&format!("// here {comment}"))).unwrap() + 1;
        format!("{file}:{line}")
    }
}

/// The command, built as this test was.
fn inspector() -> PathBuf {
    static BUILT: Once = Once::new();
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap().to_path_buf();
    BUILT.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "runtime-inspect", "--target-dir"]).arg(profile.parent().unwrap());
        cargo.args(profile.ends_with("release").then_some("--release")).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().unwrap().success());
    });
    profile.join("runtime-inspect")
}

#[test]
fn i_13_a_cycle_of_tasks_is_named_and_both_places_are_shown() {
    let program = Hanging::start("hangs_cycle");
    let places = [program.place("the prices wait for the rates"), program.place("the rates wait for the prices")];
    let (text, status) = program.ask_until("pstree", &["cycle: ", &places[0], &places[1]]);
    let cycle = text.lines().find(|line| line.starts_with("cycle: ")).unwrap();
    assert!(cycle.contains("'rates' awaits ") && cycle.contains("'prices' awaits "), "{text}");
    // In a release build, too, there is nothing but the program: its three tasks, each with its function and what that awaits.
    assert!(text.lines().count() <= 3 + 3 * 3 + 1, "{text}");
    assert_eq!(status, Some(1));
}

#[test]
fn i_12_and_i_13_a_lost_promise_is_shown_with_the_place_where_it_was_made() {
    let program = Hanging::start("hangs_lost_promise");
    let (made, awaited) = (program.place("the promise is made"), program.place("it is waited for"));
    let promise = format!("made at {made}");
    let (_, status) = program.ask_until("pstree", &["'request 7'", &awaited, &promise]);
    assert_eq!(status, Some(0));
    let (table, status) = program.ask_until("ps", &["promise of"]);
    let row = table.lines().find(|row| row.split_whitespace().nth(1) == Some("request")).unwrap();
    assert!(row.contains(&format!("promise of {made}")), "{table}");
    assert_eq!(status, Some(0));
}

#[test]
fn a_lock_held_over_an_await_is_shown_with_who_holds_it_and_who_waits() {
    let program = Hanging::start("hangs_lock_over_await");
    let places = [program.place("the lock is held"), program.place("the lock is waited for")];
    program.ask_until("pstree", &["'transfer'", "'audit'", &places[0], &places[1]]);
}

#[test]
fn a_blocked_worker_is_named_while_no_worker_can_answer() {
    let program = Hanging::start("hangs_blocked_worker");
    let created = format!("created at {}", program.place("the task is created"));
    let (text, _) = program.ask_until("pstree", &["'log writer': running", "worker 0 is stuck in one poll", &created]);
    let line = text.lines().find(|line| line.contains("'log writer'")).unwrap();
    assert!(line.contains(&created), "{text}");
    assert_eq!(text.matches(": running").count(), 1, "main waits for its turn: {text}");
    assert!(String::from_utf8(program.ask("stats").stdout).unwrap().contains("tasks alive: 2"));
}

#[test]
fn the_picture_comes_on_a_signal_too() {
    let mut program = Hanging::start("hangs_lost_promise");
    // So that it is where it hangs.
    program.ask_until("pstree", &["awaits the promise"]);
    let killed = Command::new("kill").args(["-QUIT", &program.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let place = program.place("it is waited for");
    let stderr = BufReader::new(program.child.stderr.take().unwrap());
    let found = stderr.lines().map(Result::unwrap).find(|line| line.contains(&place));
    assert!(found.is_some(), "the program goes on, and has shown where it is");
    assert!(program.child.try_wait().unwrap().is_none());
}

#[test]
fn i_12_who_was_not_told_to_answer_does_not() {
    let mut child = Command::new(example("hangs_lost_promise"))
        .env_remove("RUNTIME_INSPECT")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut byte = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    let output = Command::new(inspector()).args(["ps", &child.id().to_string()]).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("RUNTIME_INSPECT=socket"));
}
