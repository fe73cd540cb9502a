//! `async-process`: asyncio's `create_subprocess_exec`.

use crate::support::ms;
use async_process::{Command, Stdio};
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt, io::BufReader};
use runtime::{catch_cancelled, timeout};

#[runtime::test]
async fn lines_go_in_and_come_out() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").await.unwrap();
    drop(stdin);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.map(Result::unwrap).collect::<Vec<_>>().await, ["one", "two"]);
    assert!(child.status().await.unwrap().success());
}

/// Cancelled, it asks the process to end, and waits for that.
#[runtime::test]
async fn a_process_that_takes_too_long_is_ended_and_waited_for() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let _open = child.stdin.take();
    let run = timeout(ms(1), async {
        match catch_cancelled(child.status()).await {
            Ok(status) => status.unwrap(),
            Err(_timed_out) => {
                child.kill().unwrap();
                child.status().await.unwrap()
            }
        }
    });
    let status = run.await.expect("the clean-up has given a status");
    assert!(!status.success());
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "");
}
