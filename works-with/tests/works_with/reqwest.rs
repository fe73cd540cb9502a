//! `reqwest`, through `async-compat`: it needs a Tokio around it.

use crate::hyper::{serve_http1, serve_nothing, text};
use crate::support::{LONG, ms};
use async_compat::CompatExt;
use hyper::Request;
use hyper::body::Incoming;
use runtime::{create_task, timeout, try_gather};

#[runtime::test(workers = 2)]
async fn requests_in_compat_are_answered() {
    let (address, server) = serve_http1(async |request: Request<Incoming>| text(request.uri().path().to_owned())).await;
    let client = reqwest::Client::new();
    let pages = try_gather((0..20).map(|n| {
        let page = client.get(format!("http://{address}/{n}")).send();
        async move { page.await?.text().await }.compat()
    }));
    let pages = timeout(LONG, pages).await.unwrap().unwrap();
    assert!(pages.iter().enumerate().all(|(n, page)| *page == format!("/{n}")));
    server.cancel();
}

/// A timeout of ours drops the request; reqwest closes the connection, and the server's handler is gone.
#[runtime::test(workers = 2)]
async fn a_timeout_of_ours_ends_the_request_at_the_server_too() {
    let (address, server, drops) = serve_nothing().await;
    let page = async move { reqwest::get(format!("http://{address}/")).await };
    assert!(timeout(ms(20), page.compat()).await.is_err());
    server.cancel();
    assert!(timeout(LONG, drops.recv()).await.unwrap().is_err());
}

#[runtime::test]
async fn without_compat_it_says_what_is_missing() {
    let page = create_task(async { reqwest::get("http://127.0.0.1:9/").await });
    assert!(page.await.unwrap_err().is_panicked());
}
