//! A stream of server-sent events.

use crate::{Body, stream};
use futures::StreamExt;
use futures::stream::unfold;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use runtime::sleep;
use std::time::Duration;
use tokio::sync::watch;

/// So many events, or without end; the last one is said when the service stops.
///
/// The stream lives in the answer's body: when the client goes, hyper drops it.
pub(crate) fn events(count: Option<u64>, every: Duration, mut stopping: watch::Receiver<bool>) -> Response<Body> {
    let ticks = unfold(0, move |number| async move {
        if number > 0 {
            sleep(every).await;
        }
        Some((Bytes::from(format!("id: {number}\ndata: tick {number}\n\n")), number + 1))
    });
    let ticks = ticks.take(count.map_or(usize::MAX, |count| count.try_into().unwrap_or(usize::MAX)));
    let until = async move { drop(stopping.changed().await) };
    let last = futures::stream::once(async { Bytes::from_static(b"event: end\ndata: good-bye\n\n") });
    let mut response = stream(ticks.take_until(until).chain(last).map(Ok).boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response
}
