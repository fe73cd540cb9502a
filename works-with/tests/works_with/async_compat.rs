//! `async-compat`: Tokio's own I/O and timers, in tasks of ours.

use crate::support::{Count, LONG, ms};
use async_compat::{Compat, CompatExt};
use runtime::{catch_cancelled, create_task, gather, timeout};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[runtime::test(workers = 4)]
async fn tokios_sockets_work_in_our_tasks() {
    let server = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = create_task(
            async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let echo = async move {
                        let (mut from, mut to) = stream.split();
                        tokio::io::copy(&mut from, &mut to).await
                    };
                    drop(create_task(echo.compat()));
                }
            }
            .compat(),
        );
        (address, task)
    };
    let (address, server) = server.compat().await;
    let client = |n: u32| {
        let talk = async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&n.to_be_bytes()).await.unwrap();
            stream.read_u32().await.unwrap()
        };
        talk.compat()
    };
    let answers = timeout(LONG, gather((0..100).map(client))).await.unwrap();
    assert!(answers.into_iter().eq(0..100));
    server.cancel();
    assert!(server.await.unwrap_err().is_cancelled());
}

/// A request goes through `Compat` to the catcher inside of it.
#[runtime::test]
async fn a_timeout_of_ours_goes_through_compat() {
    let cleaned_up = Count::default();
    let body = async {
        if let Err(cancelled) = catch_cancelled(tokio::time::sleep(LONG)).await {
            tokio::time::sleep(ms(1)).await; // the clean-up has Tokio's timer too
            cleaned_up.up();
            cancelled.reraise().await
        }
    };
    assert!(timeout(ms(5), Compat::new(body)).await.is_err());
    assert_eq!(cleaned_up.get(), 1);
}

/// `tokio::spawn` inside of it works as well, but makes a task of Tokio's: no request reaches it.
#[runtime::test]
async fn what_tokio_spawns_is_tokios() {
    let tokios = async { tokio::spawn(async { runtime::current_task().is_none() }).await.unwrap() };
    assert!(tokios.compat().await);
}
