//! `treesum`: what it prints, `sha256sum -c` of that, its failures, Ctrl-C.

use crate::example;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A directory of a test's own, gone with the value.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("treesum-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        Self(place)
    }

    fn write(&self, name: impl AsRef<OsStr>, contents: &[u8]) {
        let path = self.0.join(name.as_ref());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// A file that takes longer than any test to hash, and no room.
    fn write_endless(&self, name: &str) {
        File::create(self.0.join(name)).unwrap().set_len(1 << 42).unwrap();
    }

    fn treesum<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        self.command(args).output().unwrap()
    }

    fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(example("treesum"));
        command.args(args).current_dir(&self.0);
        // Whoever runs the tests in the background of a shell lets them ignore Ctrl-C, and a program that was told to ignore it does.
        // SAFETY: `signal` may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            })
        };
        command
    }

    /// What `sha256sum -c` says about such lines.
    fn check(&self, lines: &[u8]) -> Output {
        let mut command = Command::new("sha256sum");
        command.args(["-c", "--strict"]).current_dir(&self.0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines).unwrap();
        child.wait_with_output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn odd_names_come_out_sorted_and_check() {
    let place = Place::new("odd");
    let odd: &[&[u8]] = &[
        b"tree/plain",
        b"tree/ two  spaces ",
        b"tree/*star",
        b"tree/-dash",
        b"tree/new\nline",
        b"tree/back\\slash",
        b"tree/carriage\rreturn",
        b"tree/bytes\xff\xfe",
        b"tree/\xc3\xa4",
        b"tree/a/x",
        b"tree/a.b/x",
        b"tree/a-b",
        b"tree/a0",
        b"tree/deep/er/and/\\deeper\n/x",
    ];
    for name in odd {
        place.write(OsStr::from_bytes(name), name);
    }
    place.write("tree/empty", b"");
    fs::create_dir(place.0.join("tree/nothing")).unwrap();
    symlink("plain", place.0.join("tree/link")).unwrap();
    symlink("a", place.0.join("tree/link-to-directory")).unwrap();
    let output = place.treesum(["tree"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let paths = paths_of(&output.stdout);
    let mut expected: Vec<OsString> = odd.iter().map(|name| OsString::from_vec(name.to_vec())).collect();
    expected.push("tree/empty".into());
    expected.sort();
    assert_eq!(paths, expected);
    assert!(text(&output.stdout).contains(&format!("{EMPTY}  tree/empty\n")));
    let checked = place.check(&output.stdout);
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
}

/// The paths in lines of `sha256sum`, without their escapes.
fn paths_of(lines: &[u8]) -> Vec<OsString> {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| match line.strip_prefix(b"\\") {
            None => OsString::from_vec(line[66..].to_vec()),
            Some(line) => OsString::from_vec(unescape(&line[66..])),
        })
        .collect()
}

fn unescape(name: &[u8]) -> Vec<u8> {
    let mut bytes = name.iter();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'\\') => b'\\',
                other => panic!("an unknown escape: {other:?}"),
            },
            byte => *byte,
        });
    }
    plain
}

#[test]
fn agrees_with_sha256sum_on_a_source_tree() {
    let place = Place::new("source");
    symlink(env!("CARGO_MANIFEST_DIR"), place.0.join("root")).unwrap();
    for jobs in ["1", "3", "64"] {
        let output = place.treesum(["--jobs", jobs, "root/src", "root/runtime-core/src"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(place.check(&output.stdout).status.success());
        let paths = paths_of(&output.stdout);
        assert!(paths.len() > 20 && paths.is_sorted());
        assert!(paths.contains(&OsString::from("root/src/lib.rs")));
    }
}

#[test]
fn paths_that_overlap_are_told_once() {
    let place = Place::new("overlap");
    place.write("a/b/x", b"1");
    place.write("a.txt", b"2");
    let output = place.treesum(["a/", "a.txt", "a/b", "a", "a/b/x", "a//b/"]);
    assert_eq!(paths_of(&output.stdout), ["a.txt", "a/b/x"]);
    let here = place.treesum(["."]);
    assert_eq!(paths_of(&here.stdout), ["./a.txt", "./a/b/x"]);
}

#[test]
fn a_path_that_does_not_exist_is_an_error_before_any_work() {
    let place = Place::new("missing");
    place.write("there", b"1");
    let output = place.treesum(["there", "missing"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert_eq!(text(&output.stderr), "treesum: missing: No such file or directory (os error 2)\n");
    symlink("there", place.0.join("link")).unwrap();
    let output = place.treesum(["link"]);
    assert_eq!(text(&output.stderr), "treesum: link: neither a regular file nor a directory\n");
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_goes_on() {
    let place = Place::new("unreadable");
    place.write("tree/a", b"1");
    place.write("tree/z", b"2");
    place.write_endless("tree/m");
    // A limit of time makes it unreadable for root, too.
    let output = place.treesum(["--timeout", "2", "tree"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(paths_of(&output.stdout), ["tree/a", "tree/z"]);
    assert_eq!(text(&output.stderr), "treesum: tree/m: not read within 2s\n");
    assert!(place.check(&output.stdout).status.success());
}

#[test]
fn a_name_too_long_to_be_reached_is_reported() {
    let place = Place::new("long");
    place.write("a", b"1");
    // Two trees that can be reached, one hung below the other: no path may be as long as that.
    let deep: PathBuf = std::iter::repeat_n("n".repeat(250), 9).collect();
    fs::create_dir_all(place.0.join("one").join(&deep)).unwrap();
    place.write(Path::new("two").join(&deep).join("file"), b"2");
    fs::rename(place.0.join("two"), place.0.join("one").join(&deep).join("two")).unwrap();
    let output = place.treesum(["."]);
    assert_eq!((output.status.code(), paths_of(&output.stdout)), (Some(1), vec![OsString::from("./a")]));
    assert!(text(&output.stderr).contains("File name too long"), "{}", text(&output.stderr));
}

#[test]
fn wrong_use_says_what_is_accepted() {
    let place = Place::new("use");
    for (args, message) in [
        (&[][..], "a path is missing"),
        (&["--jobs", "0", "."], "--jobs takes a number from 1 to 4096, not \"0\""),
        (&["--timeout", "soon", "."], "--timeout takes a number of seconds above 0, not \"soon\""),
        (&["--fast", "."], "there is no option --fast"),
    ] {
        let output = place.treesum(args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        assert!(text(&output.stderr).starts_with(&format!("treesum: {message}\n")), "{}", text(&output.stderr));
    }
    assert_eq!(place.treesum(["--help"]).status.code(), Some(0));
    place.write("--help", b"1");
    assert_eq!(paths_of(&place.treesum(["--", "--help"]).stdout), ["--help"]);
}

#[test]
fn ctrl_c_stops_it_half_way_and_the_shell_sees_it() {
    let place = Place::new("interrupt");
    // More than a buffer of lines comes before the file that does not end, so that some are seen to be written.
    for i in 0..2_000 {
        place.write(format!("tree/{i:04}"), b"");
    }
    place.write_endless("tree/endless");
    let mut command = place.command(["tree"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert_eq!(first, format!("{EMPTY}  tree/0000\n"));
    interrupt(&child);
    let mut rest = Vec::new();
    std::io::copy(&mut lines, &mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGINT), "a shell makes 130 of it");
    let told = text(&output.stderr);
    assert!(
        told.starts_with("treesum: interrupted: ") && told.contains("of 2001 files found so far are hashed"),
        "{told}"
    );
    assert!(!told.contains("panic"), "{told}");
    assert!(rest.is_empty() || rest.ends_with(b"\n"), "whole lines only");
    assert!(place.check(&rest).status.success() || rest.is_empty());
}

fn interrupt(child: &Child) {
    let id = libc::pid_t::try_from(child.id()).unwrap();
    // SAFETY: takes two numbers; the process is a child that was not waited for, so that the number is still its own.
    assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
}
