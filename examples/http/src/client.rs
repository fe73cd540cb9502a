//! A small client.

use async_net::TcpStream;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use runtime::hyper::Io;
use std::error::Error;

/// The largest answer that is read.
const LARGEST: usize = 1 << 20;

/// Gets `path` from `host:port`, over a connection of its own.
///
/// # Errors
///
/// If nobody is there, or speaks HTTP, or if the answer is too long.
///
/// # Cancellation
///
/// A request, or a plain drop, closes the connection.
pub async fn get(host: &str, path: &str) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(host).await?;
    let (mut sender, connection) = http1::handshake(Io::new(stream)).await?;
    let request = Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
        drop(sender);
        Ok((head.status, body))
    };
    // Both in this task: no task is left behind when the answer is not wanted any more.
    let (answer, _closed) = futures::join!(answer, connection);
    answer
}
