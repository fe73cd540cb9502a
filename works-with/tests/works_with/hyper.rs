//! `hyper` 1, as server and as client, over `async-net`, with the adapters of feature `hyper`.

use crate::support::{Count, LONG, ms, until_cancelled};
use async_net::{TcpListener, TcpStream};
use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use runtime::hyper::{Executor, Io, Timer};
use runtime::{Task, create_task, gather, timeout};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

type Answer = Response<Full<Bytes>>;

/// Answers requests; `handler` gives the answers.
pub(crate) async fn serve_http1<H, F>(handler: H) -> (SocketAddr, Task<()>)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    serve_http1_within(LONG, handler).await
}

/// As `serve_http1`, for clients that ask within this time.
async fn serve_http1_within<H, F>(limit: Duration, handler: H) -> (SocketAddr, Task<()>)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = create_task(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let mut http = server::conn::http1::Builder::new();
            http.timer(Timer).header_read_timeout(limit);
            // A client that goes away is an error of its connection, and nobody's business here.
            drop(create_task(http.serve_connection(Io::new(stream), service)));
        }
    });
    (address, server)
}

/// A server whose handler never answers, and what ends with an error once no handler and no server is left.
pub(crate) async fn serve_nothing() -> (SocketAddr, Task<()>, async_channel::Receiver<()>) {
    let (dropped, drops) = async_channel::bounded(1);
    let (address, server) = serve_http1(move |_| {
        let dropped = dropped.clone();
        async move {
            let _dropped = dropped;
            std::future::pending().await
        }
    })
    .await;
    (address, server, drops)
}

pub(crate) fn text(text: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(text.into()))
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> (StatusCode, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = client::conn::http1::handshake(Io::new(stream)).await.unwrap();
    let connection = create_task(connection);
    let request = Request::get(path).header("host", "test").body(Full::<Bytes>::default()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    connection.await.unwrap().unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[runtime::test(workers = 4)]
async fn requests_are_answered_over_http1() {
    let (address, server) = serve_http1(async |request: Request<Incoming>| text(request.uri().path().to_owned())).await;
    let answers = gather((0..50).map(|n| async move { get(address, &format!("/{n}")).await.1 })).await;
    assert!(answers.iter().enumerate().all(|(n, answer)| *answer == format!("/{n}")));
    server.cancel();
}

/// The streams of HTTP/2 run on our executor, and its pings on our timer.
#[runtime::test(workers = 4)]
async fn requests_share_one_connection_over_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = create_task(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = service_fn(async |request: Request<Incoming>| {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(text(body))
        });
        let mut http = server::conn::http2::Builder::new(Executor);
        http.timer(Timer).keep_alive_interval(LONG);
        http.serve_connection(Io::new(stream), answer).await
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = client::conn::http2::handshake(Executor, Io::new(stream)).await.unwrap();
    let connection = create_task(connection);
    let answers = gather((0..50).map(|n| {
        let mut sender = sender.clone();
        async move {
            let body = Full::new(Bytes::from(format!("number {n}")));
            let response = sender.send_request(Request::post("http://test/").body(body).unwrap()).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        }
    }));
    assert!(answers.await.iter().enumerate().all(|(n, answer)| *answer == format!("number {n}")));
    drop(sender);
    timeout(LONG, connection).await.unwrap().unwrap().unwrap();
    timeout(LONG, server).await.unwrap().unwrap().unwrap();
}

/// hyper's own time limit, on our timer.
#[runtime::test]
async fn a_client_that_does_not_ask_is_sent_away() {
    let (address, server) = serve_http1_within(ms(20), async |_| text("never")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HT").await.unwrap();
    let mut said = String::new();
    timeout(LONG, stream.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said:?}");
    server.cancel();
}

/// Sends a request by hand and closes the connection when the handler has begun.
async fn goes_away(address: SocketAddr, begun: async_channel::Receiver<()>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    begun.recv().await.unwrap();
}

/// hyper drops the handler: what it only catches is not run.
#[runtime::test(workers = 2)]
async fn a_handler_is_dropped_when_its_client_goes() {
    let (begin, begun) = async_channel::bounded(1);
    let (dropped, drops) = async_channel::bounded::<()>(1);
    let cleaned_up = Count::default();
    let counted = cleaned_up.clone();
    let (address, server) = serve_http1(move |_| {
        let (begin, dropped, counted) = (begin.clone(), dropped.clone(), counted.clone());
        async move {
            let _dropped = dropped;
            begin.send(()).await.unwrap();
            until_cancelled(counted).await;
            text("never")
        }
    })
    .await;
    goes_away(address, begun).await;
    // Ends when all senders are gone: the handler's, and that of the server.
    server.cancel();
    assert!(timeout(LONG, drops.recv()).await.unwrap().is_err());
    assert_eq!(cleaned_up.get(), 0);
}

/// As a child of a gather it is cancelled by the drop, and cleans up.
#[runtime::test(workers = 2)]
async fn a_handler_in_a_gather_is_cancelled_when_its_client_goes() {
    let (begin, begun) = async_channel::bounded(1);
    let (clean, cleaned_up) = async_channel::bounded(1);
    let (address, server) = serve_http1(move |_| {
        let (begin, clean) = (begin.clone(), clean.clone());
        let handler = async move {
            begin.send(()).await.unwrap();
            let count = Count::default();
            let ended = runtime::catch_cancelled(until_cancelled(count)).await;
            clean.send(ended.is_err()).await.unwrap();
            text("never")
        };
        async move { gather([handler]).await.remove(0) }
    })
    .await;
    goes_away(address, begun).await;
    assert_eq!(timeout(LONG, cleaned_up.recv()).await.unwrap(), Ok(true));
    server.cancel();
}

/// A timeout around a request drops its connection, and the server hears of it.
#[runtime::test(workers = 2)]
async fn a_timeout_of_the_client_reaches_the_server() {
    let (address, server, drops) = serve_nothing().await;
    assert!(timeout(ms(20), get(address, "/")).await.is_err());
    server.cancel();
    assert!(timeout(LONG, drops.recv()).await.unwrap().is_err());
}
