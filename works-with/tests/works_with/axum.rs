//! `axum` without Tokio: its `Router` is a tower service, and hyper serves it.

use crate::support::{Count, LONG, ms, until_cancelled};
use async_net::{TcpListener, TcpStream};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::service::TowerToHyperService;
use runtime::hyper::{Io, Timer};
use runtime::{Task, create_task, timeout};
use std::collections::HashMap;
use std::net::SocketAddr;

async fn serve(app: Router) -> (SocketAddr, Task<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = create_task(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(app.clone());
            let mut http = http1::Builder::new();
            drop(create_task(http.timer(Timer).serve_connection(Io::new(stream), service)));
        }
    });
    (address, server)
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Sum {
    numbers: Vec<u32>,
}

fn app(asked: Count) -> Router {
    Router::new()
        .route("/hello/{name}", get(async |Path(name): Path<String>| format!("hello {name}")))
        .route("/search", get(async |Query(query): Query<HashMap<String, String>>| query["q"].clone()))
        .route("/sum", post(async |Json(sum): Json<Sum>| Json(sum.numbers.iter().sum::<u32>())))
        .route("/asked", get(async |State(asked): State<Count>| asked.up().to_string()))
        .with_state(asked)
}

#[runtime::test(workers = 2)]
async fn routes_extractors_and_state_work() {
    let (address, server) = serve(app(Count::default())).await;
    assert_eq!(get_at(address, "/hello/you").await, (StatusCode::OK, "hello you".into()));
    assert_eq!(get_at(address, "/search?q=it").await, (StatusCode::OK, "it".into()));
    assert_eq!(get_at(address, "/asked").await.1, "1");
    assert_eq!(get_at(address, "/asked").await.1, "2");
    assert_eq!(get_at(address, "/nothing").await.0, StatusCode::NOT_FOUND);
    let json = post_json(address, "/sum", r#"{"numbers":[1,2,3]}"#).await;
    assert!(json.ends_with("6"), "{json}");
    server.cancel();
}

async fn get_at(address: SocketAddr, path: &str) -> (StatusCode, String) {
    timeout(LONG, crate::hyper::get(address, path)).await.unwrap()
}

async fn post_json(address: SocketAddr, path: &str, json: &str) -> String {
    use futures::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{json}",
        json.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A middleware with a timeout of ours: the handler is cancelled, cleans up, and the client gets 504.
async fn limited(request: Request, next: Next) -> Response {
    match timeout(ms(10), next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

#[runtime::test(workers = 2)]
async fn a_timeout_in_a_middleware_cancels_the_handler() {
    let cleaned_up = Count::default();
    let slow = async |State(cleaned_up): State<Count>| until_cancelled(cleaned_up).await;
    let app = Router::new().route("/slow", get(slow)).layer(from_fn(limited)).with_state(cleaned_up.clone());
    let (address, server) = serve(app).await;
    assert_eq!(get_at(address, "/slow").await.0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(cleaned_up.get(), 1);
    server.cancel();
}
