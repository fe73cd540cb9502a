//! Files, read by threads: there is no other way to read a file that does not block.

use crate::{Body, stream, text};
use futures::StreamExt;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use runtime::to_thread;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// The size of a piece.
const PIECE: usize = 64 * 1024;

/// Pieces that are read before the client has taken them.
const AHEAD: usize = 2;

/// Answers with a file from the directory `root`.
pub(crate) async fn file(root: &Path, path: &str) -> Response<Body> {
    let Some(path) = inside(path) else { return text(StatusCode::FORBIDDEN, "not from there\n") };
    let root = root.to_owned();
    let opened = to_thread(move || open(&root, &path)).await;
    match opened.map_err(io::Error::other).and_then(|opened| opened) {
        Ok((file, length)) => send(file, length),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
                text(StatusCode::NOT_FOUND, "no such file\n")
            }
            ErrorKind::PermissionDenied => text(StatusCode::FORBIDDEN, "not from there\n"),
            _ => text(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read\n"),
        },
    }
}

/// The path that was asked for, if it only goes down.
fn inside(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(&*percent_decode_str(path).decode_utf8().ok()?);
    let only_down = path.components().all(|part| matches!(part, Component::Normal(_)));
    (only_down && !path.as_os_str().as_encoded_bytes().contains(&0)).then_some(path)
}

/// Opens a file below `root`. A link that leads out of there is refused too.
fn open(root: &Path, path: &Path) -> io::Result<(File, u64)> {
    let root = root.canonicalize()?;
    let path = root.join(path).canonicalize()?;
    if !path.starts_with(&root) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { Err(ErrorKind::IsADirectory.into()) }
}

/// A thread reads while the client takes; when the client is gone, the channel is closed, and the thread ends.
fn send(file: File, length: u64) -> Response<Body> {
    let (pieces, body) = async_channel::bounded(AHEAD);
    drop(to_thread(move || read(file.take(length), &pieces)));
    let mut response = stream(body.boxed());
    response.headers_mut().insert("content-length", length.into());
    response
}

fn read(mut file: impl Read, pieces: &async_channel::Sender<io::Result<Bytes>>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let ended = match file.by_ref().take(PIECE as u64).read_to_end(&mut piece) {
            Ok(0) => return,
            Ok(_) => pieces.send_blocking(Ok(piece.into())),
            Err(error) => pieces.send_blocking(Err(error)),
        };
        if ended.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn only_paths_that_go_down_are_inside() {
        for path in ["a.txt", "a/b/c", "a%20b", "..a", "a..b"] {
            assert!(inside(path).is_some(), "{path}");
        }
        for path in
            ["../a", "a/../../b", "%2e%2e/a", "a/%2e%2e%2f%2e%2e/b", "/etc/passwd", "%2fetc/passwd", "a%00b", "%ff"]
        {
            assert_eq!(inside(path), None, "{path}");
        }
    }
}
