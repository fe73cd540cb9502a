//! The lines on standard output.

use crate::hash::Digest;
use runtime::to_thread;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::mem;

/// As much is collected before it is written.
const FULL: usize = 64 * 1024;

/// Lines on their way.
#[derive(Default)]
pub(crate) struct Output {
    lines: Vec<u8>,
}

impl Output {
    /// Adds a line as `sha256sum` would write it.
    pub(crate) fn add(&mut self, path: &OsStr, digest: &Digest) {
        let path = path.as_encoded_bytes();
        let escaped = path.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
        if escaped {
            self.lines.push(b'\\');
        }
        let mut hex = String::with_capacity(2 * digest.len());
        for byte in digest {
            let _ = write!(hex, "{byte:02x}");
        }
        self.lines.extend_from_slice(hex.as_bytes());
        self.lines.extend_from_slice(b"  ");
        if escaped {
            self.add_escaped(path);
        } else {
            self.lines.extend_from_slice(path);
        }
        self.lines.push(b'\n');
    }

    fn add_escaped(&mut self, path: &[u8]) {
        for byte in path {
            match byte {
                b'\\' => self.lines.extend_from_slice(b"\\\\"),
                b'\n' => self.lines.extend_from_slice(b"\\n"),
                b'\r' => self.lines.extend_from_slice(b"\\r"),
                byte => self.lines.push(*byte),
            }
        }
    }

    pub(crate) async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.lines.len() < FULL { Ok(()) } else { self.flush().await }
    }

    /// Writes all lines. The reader may be slow: it is waited for on a thread.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let lines = mem::take(&mut self.lines);
        if lines.is_empty() {
            return Ok(());
        }
        let written = to_thread(move || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&lines).and_then(|()| stdout.flush())
        });
        written.await.map_err(io::Error::other)?
    }
}
