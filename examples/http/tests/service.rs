//! The program itself, in a process of its own, asked over sockets.

use async_net::TcpStream;
use futures::io::{BufReader, Lines};
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt};
use hyper::StatusCode;
use runtime::{create_task, gather, sleep, timeout, to_thread};
use std::io::{BufRead, BufReader as StdBufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(600);

/// A running service; killed when it is dropped.
struct Service {
    process: Child,
    output: StdBufReader<ChildStdout>,
    address: String,
}

impl Service {
    fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_http-service"))
            .args(["--address", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = StdBufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Self { process, output, address }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let (status, body) = timeout(LONG, http_service::get(&self.address, path)).await.unwrap().unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Sends a request without reading the answer.
    async fn ask(&self, path: &str) -> TcpStream {
        ask(&self.address, path).await
    }

    fn terminate(&self) {
        let pid = self.process.id().try_into().unwrap();
        // SAFETY: a call without memory; the process is ours, and not waited for yet.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    }

    /// Waits for the line that says that it has stopped accepting.
    fn wait_for_stopping(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "stopping\n");
    }

    /// Waits for its end: what it has still said, and whether it succeeded.
    fn wait(mut self) -> (String, bool) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (rest, self.process.wait().unwrap().success())
    }

    /// Asks for the statistics until they say so.
    async fn wait_for_stats(&self, line: &str) {
        let ask = async {
            while !self.get("/stats").await.1.lines().any(|said| said == line) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, ask).await.unwrap_or_else(|_| panic!("the statistics never say {line:?}"));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a request without reading the answer.
async fn ask(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("http-service-{}-{name}", std::process::id()));
        std::fs::create_dir_all(path.join("public/sub")).unwrap();
        Self(path)
    }

    fn public(&self) -> String {
        self.0.join("public").to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn lines(stream: TcpStream) -> Lines<BufReader<TcpStream>> {
    BufReader::new(stream).lines()
}

/// Reads until a line says this.
async fn wait_for_line(lines: &mut Lines<BufReader<TcpStream>>, wanted: &str) {
    let read = async { while lines.next().await.expect("the stream goes on").unwrap() != wanted {} };
    timeout(LONG, read).await.unwrap_or_else(|_| panic!("no line {wanted:?}"));
}

#[runtime::test]
async fn routes_answer() {
    let service = Service::start(&[]);
    assert!(service.get("/").await.1.contains("/files/PATH"));
    assert_eq!(service.get("/nothing").await.0, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/work?ms=1").await, (StatusCode::OK, "worked for 1 ms\n".into()));
    assert!(service.get("/stats").await.1.starts_with("answered 3\n"));
}

#[runtime::test]
async fn files_come_whole_and_only_from_their_directory() {
    let directory = Directory::new("files");
    let large = "0123456789abcdef".repeat(50_000);
    std::fs::write(directory.0.join("public/large"), &large).unwrap();
    std::fs::write(directory.0.join("public/sub/a b"), "small").unwrap();
    std::fs::write(directory.0.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(directory.0.join("secret"), directory.0.join("public/link")).unwrap();
    let service = Service::start(&["--files", &directory.public()]);
    assert_eq!(service.get("/files/large").await, (StatusCode::OK, large));
    assert_eq!(service.get("/files/sub/a%20b").await, (StatusCode::OK, "small".into()));
    assert_eq!(service.get("/files/sub").await.0, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/files/none").await.0, StatusCode::NOT_FOUND);
    for outside in ["../secret", "%2e%2e/secret", "sub/..%2f..%2fsecret", "/etc/passwd", "link", "a%00"] {
        let (status, body) = service.get(&format!("/files/{outside}")).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{outside}: {body}");
    }
}

/// A client that is independent of all this.
#[runtime::test]
async fn curl_gets_a_file() {
    let directory = Directory::new("curl");
    std::fs::write(directory.0.join("public/page"), "for curl").unwrap();
    let service = Service::start(&["--files", &directory.public()]);
    let address = format!("http://{}/files/page", service.address);
    let run = move || Command::new("curl").args(["--silent", "--fail", &address]).output();
    match to_thread(run).await.unwrap() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "for curl"),
        Err(error) => eprintln!("not tried: {error}"),
    }
}

#[runtime::test(workers = 2)]
async fn a_fan_out_says_what_came_and_what_did_not() {
    let good = Service::start(&[]);
    let other = Service::start(&[]);
    let options =
        ["--upstream", &good.address, "--upstream", &other.address, "--upstream", "127.0.0.1:1", "--deadline", "20000"];
    let service = Service::start(&options);
    let (status, body) = service.get("/all?path=/work").await;
    assert_eq!(status, StatusCode::OK);
    let lines: Vec<_> = body.lines().collect();
    assert_eq!(lines[0], format!("{}: 200 worked for 100 ms", good.address));
    assert_eq!(lines[1], format!("{}: 200 worked for 100 ms", other.address));
    assert!(lines[2].starts_with("127.0.0.1:1: failed: "), "{body}");
}

#[runtime::test(workers = 2)]
async fn an_upstream_that_is_too_slow_is_left_and_told() {
    let upstream = Service::start(&[]);
    // Long enough for the question to arrive.
    let service = Service::start(&["--upstream", &upstream.address, "--deadline", "2000"]);
    let begun = Instant::now();
    // The upstream's handler would take an hour.
    let (status, body) = service.get("/all?path=/work?ms=3600000").await;
    assert!(begun.elapsed() < LONG);
    assert_eq!((status, body), (StatusCode::BAD_GATEWAY, format!("{}: failed: too slow\n", upstream.address)));
    upstream.wait_for_stats("cleaned up 1").await;
}

#[runtime::test]
async fn events_come_one_by_one() {
    let service = Service::start(&[]);
    let (status, body) = service.get("/events?count=3&every=1").await;
    assert_eq!(status, StatusCode::OK);
    let ticks: String = (0..3).map(|n| format!("id: {n}\ndata: tick {n}\n\n")).collect();
    assert_eq!(body, ticks + "event: end\ndata: good-bye\n\n");
    // The first is there although the second will not come for an hour.
    let mut lines = lines(service.ask("/events?every=3600000").await).await;
    wait_for_line(&mut lines, "data: tick 0").await;
}

#[runtime::test]
async fn a_client_that_goes_away_cancels_its_handler() {
    let service = Service::start(&[]);
    let stream = service.ask("/work?ms=3600000").await;
    service.wait_for_stats("begun 1").await;
    drop(stream);
    service.wait_for_stats("cleaned up 1").await;
    service.wait_for_stats("cancelled 1").await;
}

#[runtime::test(workers = 2)]
async fn sigterm_answers_what_is_in_flight_and_refuses_what_is_new() {
    let mut service = Service::start(&[]);
    // A request that is being worked on, a connection that waits between two requests, and a stream.
    let mut working = service.ask("/work?ms=300").await;
    service.wait_for_stats("begun 1").await;
    let mut idle = service.ask("/").await;
    idle.read_exact(&mut [0; 15]).await.unwrap();
    let mut events = lines(service.ask("/events?every=3600000").await).await;
    wait_for_line(&mut events, "data: tick 0").await;

    service.terminate();
    service.wait_for_stopping();
    wait_for_line(&mut events, "data: good-bye").await;
    let mut answer = String::new();
    timeout(LONG, working.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("worked for 300 ms\n"), "{answer}");
    let mut rest = Vec::new();
    timeout(LONG, idle.read_to_end(&mut rest)).await.unwrap().unwrap(); // closed
    assert!(TcpStream::connect(&service.address).await.is_err(), "refused");
    assert_eq!(service.wait(), ("all requests were answered\n".into(), true));
}

/// Asks one time after the other until nobody takes it any more. Each answer is whole, or there is none at all.
async fn asks_until_refused(address: String) -> usize {
    for answered in 0.. {
        let mut answer = Vec::new();
        let whole: std::io::Result<usize> = async {
            let mut stream = TcpStream::connect(&address).await?;
            stream.write_all(b"GET /work?ms=1 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await?;
            stream.read_to_end(&mut answer).await
        }
        .await;
        if whole.is_err() || answer.is_empty() {
            assert!(answer.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&answer));
            return answered;
        }
        assert!(answer.ends_with(b"worked for 1 ms\n"), "{:?}", String::from_utf8_lossy(&answer));
    }
    unreachable!("it is refused in the end")
}

#[runtime::test(workers = 2)]
async fn sigterm_under_load_loses_no_request_that_was_taken() {
    const IN_FLIGHT: usize = 400;
    let mut service = Service::start(&["--grace", "120000"]);
    let streams = gather((0..IN_FLIGHT).map(|_| {
        let address = service.address.clone();
        async move { ask(&address, "/work?ms=500").await }
    }))
    .await;
    let others: Vec<_> = (0..20).map(|_| create_task(asks_until_refused(service.address.clone()))).collect();
    // Those of the others come on top.
    let all_are_in = async {
        let begun = |stats: &str| stats.lines().find_map(|line| line.strip_prefix("begun ")?.parse::<usize>().ok());
        while begun(&service.get("/stats").await.1) < Some(2 * IN_FLIGHT) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, all_are_in).await.unwrap();
    service.terminate();
    service.wait_for_stopping();
    let answers = gather(streams.into_iter().map(|mut stream| async move {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }));
    for answer in timeout(LONG, answers).await.unwrap() {
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("worked for 500 ms\n"), "{answer}");
    }
    let others: usize = gather(others).await.into_iter().map(|answered| answered.unwrap()).sum();
    assert!(others > 0);
    assert_eq!(service.wait(), ("all requests were answered\n".into(), true));
}

#[runtime::test]
async fn what_is_not_answered_within_the_grace_period_is_cancelled() {
    let mut service = Service::start(&["--grace", "20"]);
    let mut working = service.ask("/work?ms=3600000").await;
    service.wait_for_stats("begun 1").await;
    service.terminate();
    service.wait_for_stopping();
    let mut answer = String::new();
    timeout(LONG, working.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (said, success) = service.wait();
    assert!(!success);
    assert_eq!(said, "the grace period was over: requests were cancelled\n");
    assert_eq!(answer, "", "its connection was cancelled with it");
}

#[runtime::test(workers = 2)]
async fn more_clients_than_places_are_all_served() {
    let service = Service::start(&["--connections", "2"]);
    let address = service.address.clone();
    let clients = gather((0..20).map(move |_| {
        let address = address.clone();
        async move { http_service::get(&address, "/work?ms=1").await.unwrap().0 }
    }));
    let all = timeout(LONG, clients).await.unwrap();
    assert!(all.into_iter().all(|status| status == StatusCode::OK));
}

#[runtime::test(workers = 2)]
async fn many_clients_that_go_away_leave_nothing_behind() {
    let service = Service::start(&[]);
    let clients: Vec<_> = (0..50).map(|_| service.ask("/work?ms=3600000")).collect();
    let streams = futures::future::join_all(clients).await;
    service.wait_for_stats("begun 50").await;
    drop(streams);
    service.wait_for_stats("cleaned up 50").await;
    // And it still answers.
    let answer = create_task(async move { service.get("/").await.0 });
    assert_eq!(answer.await.unwrap(), StatusCode::OK);
}
