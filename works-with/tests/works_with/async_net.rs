//! `async-net`: TCP with names of hosts, on `async-io`.

use crate::support::{Count, LONG, ms};
use async_net::{TcpListener, TcpStream};
use futures::{AsyncReadExt, AsyncWriteExt};
use runtime::{TaskGroup, catch_cancelled, create_task, gather, timeout};
use std::io;
use std::net::SocketAddr;

const CONNECTIONS: usize = 1000;

/// Echoes until the client is done.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            length => stream.write_all(&bytes[..length]).await?,
        }
    }
}

/// Serves every connection in a task of the group; ends when it is cancelled.
async fn serve(listener: TcpListener, opened: Count) -> Result<(), io::Error> {
    let served = TaskGroup::scope(async move |group| {
        loop {
            let (stream, _) = listener.accept().await?;
            opened.up();
            group.create_task(echo(stream));
        }
    });
    served.await.map_err(|group| group.into_errors().next().unwrap())
}

async fn client(address: SocketAddr, number: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for round in 0..3 {
        let sent = format!("{number:>6} {round}");
        stream.write_all(sent.as_bytes()).await?;
        let mut answer = vec![0; sent.len()];
        stream.read_exact(&mut answer).await?;
        assert_eq!(answer, sent.as_bytes());
    }
    Ok(())
}

#[runtime::test(workers = 4)]
async fn a_thousand_connections_are_echoed() {
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let opened = Count::default();
    let server = create_task(serve(listener, opened.clone()));
    let clients = gather((0..CONNECTIONS).map(|number| client(address, number)));
    for ended in timeout(LONG, clients).await.unwrap() {
        ended.unwrap();
    }
    assert_eq!(opened.get(), CONNECTIONS);
    server.cancel();
    assert!(server.await.unwrap_err().is_cancelled());
}

#[runtime::test(workers = 2)]
async fn a_cancelled_server_closes_its_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = create_task(serve(listener, Count::default()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    server.cancel();
    let _ = server.await;
    assert_eq!(timeout(LONG, stream.read(&mut [0])).await.unwrap().unwrap(), 0, "the end of the stream");
}

#[runtime::test]
async fn a_silent_client_is_told_that_it_was_too_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = create_task(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        timeout(ms(1), async {
            if let Err(cancelled) = catch_cancelled(stream.read(&mut [0; 8])).await {
                stream.write_all(b"too slow").await.unwrap();
                cancelled.reraise().await
            }
        })
        .await
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "too slow");
    assert!(server.await.unwrap().is_err());
}
