//! Hashing one file, on a thread that may block.

use crate::progress::Progress;
use runtime::thread_cancelled;
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// What a file comes to.
pub(crate) type Digest = [u8; 32];

/// How much is read at once: enough that the calls do not count, and it stays in a core's own cache.
const BUFFER: usize = 128 * 1024;

thread_local! {
    /// One buffer per thread, however many files there are.
    static BUFFER_OF_THREAD: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// The SHA-256 of a file. Gives up when nobody waits for it any more.
pub(crate) fn sha256(path: &Path, progress: &Progress) -> io::Result<Digest> {
    let mut file = open(path)?;
    let mut hasher = Sha256::new();
    BUFFER_OF_THREAD.with_borrow_mut(|buffer| {
        loop {
            match file.read(buffer) {
                Ok(0) => return Ok(hasher.finalize().into()),
                Ok(length) => {
                    hasher.update(&buffer[..length]);
                    progress.add_bytes(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if thread_cancelled() {
                return Err(io::Error::other("not wanted any more"));
            }
        }
    })
}

/// Opens what was a regular file when its directory was read; a link that has taken its place is not followed.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
    options.read(true).open(path)
}
