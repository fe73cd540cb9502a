//! `async-io`: sockets and timers on a reactor thread of its own.

use crate::support::{LONG, ms};
use async_io::{Async, Timer};
use futures::{AsyncReadExt, AsyncWriteExt};
use runtime::{catch_cancelled, create_task, gather, timeout};
use std::net::{TcpListener, TcpStream, UdpSocket};

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

#[runtime::test(workers = 2)]
async fn a_stream_carries_bytes_both_ways() {
    let listener = Async::<TcpListener>::bind(ANY).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let server = create_task(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes.reverse();
        stream.write_all(&bytes).await.unwrap();
    });
    let mut stream = Async::<TcpStream>::connect(address).await.unwrap();
    stream.write_all(b"1234").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"4321");
    server.await.unwrap();
}

#[runtime::test]
async fn a_read_that_timed_out_has_read_nothing() {
    let (one, two) = (Async::<UdpSocket>::bind(ANY).unwrap(), Async::<UdpSocket>::bind(ANY).unwrap());
    let address = one.get_ref().local_addr().unwrap();
    let mut bytes = [0; 8];
    assert!(timeout(ms(1), one.recv(&mut bytes)).await.is_err());
    two.send_to(b"late", address).await.unwrap();
    let length = one.recv(&mut bytes).await.unwrap();
    assert_eq!(&bytes[..length], b"late");
}

#[runtime::test]
async fn a_wait_for_a_socket_can_be_cancelled_and_cleaned_up_after() {
    let listener = Async::<TcpListener>::bind(ANY).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let server = create_task(async move {
        let ended = catch_cancelled(listener.accept()).await;
        assert!(ended.is_err());
        // The listener is still ours: it serves the one that has come meanwhile.
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"closing").await.unwrap();
    });
    runtime::yield_now().await;
    server.cancel();
    let mut stream = Async::<TcpStream>::connect(address).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "closing");
    server.await.unwrap();
}

/// They work, but in real time only: [`runtime::sleep`] costs less, and follows a virtual clock.
#[runtime::test]
async fn its_timers_work_beside_ours() {
    let (theirs, ours) = gather((async { Timer::after(ms(1)).await }, runtime::sleep(ms(1)))).await;
    assert!(theirs.elapsed() < LONG);
    let () = ours;
}
