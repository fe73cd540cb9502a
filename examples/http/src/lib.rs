//! An HTTP service on `runtime`: hyper speaks HTTP, async-net has the sockets.
//!
//! | route | shows |
//! |---|---|
//! | `/` | this table |
//! | `/files/PATH` | a file, read by a thread (`to_thread`), in pieces, never from outside of the served directory |
//! | `/all?path=PATH` | asks all upstreams at once, each with a deadline; what failed is said beside what came |
//! | `/events?count=N&every=MS` | a stream of server-sent events |
//! | `/work?ms=N` | takes so long; cancelled, it cleans up |
//! | `/stats` | how many requests were answered, cancelled, cleaned up after |
//!
//! On `SIGTERM` it takes no more connections, answers the requests that it has, and ends; what is not answered within the grace period is
//! cancelled, may clean up, and is waited for.

mod client;
mod events;
mod fan_out;
mod files;
mod routes;
mod server;
mod settings;
mod stats;

pub use client::get;
pub use routes::App;
pub use server::{Drained, serve};
pub use settings::Settings;

use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::{Response, StatusCode};
use std::io;

/// The body of an answer: whole, or piece by piece.
pub(crate) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

/// A whole answer.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(text.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// An answer whose body comes piece by piece.
pub(crate) fn stream(pieces: BoxStream<'static, io::Result<Bytes>>) -> Response<Body> {
    Response::new(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync())
}
