//! Waking tasks: by themselves and by messages over `tokio::sync` channels.

use tokio::sync::{mpsc, oneshot};

use crate::floor::mini::Mini;
use crate::measure::{Config, Outcome, repeat};
use crate::rt::Tasks;
use crate::workloads::{Row, drive, in_parallel, runs, times};

const FLOOR: &str = "the same, the same channels, on one thread: Rc tasks in a VecDeque";
const SPLIT: &str = "a share of it, the same channels, on a thread per core: Rc tasks in a VecDeque";

pub const ROWS: &[Row] = &[
    Row {
        id: "yield/200x1000",
        about: "200 tasks yield 1,000 times each; per yield",
        floor: "a share of it on a thread per core: Rc tasks in a VecDeque, no atomics",
        metrics: times!(0.6),
        min_workers: 1,
        run: runs!(yields, |config| in_parallel(config, yields::<Mini>)),
    },
    Row {
        id: "channel/oneshot_pairs",
        about: "1,000 pairs of tasks, 100 round trips, a new oneshot per message; per round trip",
        floor: SPLIT,
        metrics: times!(0.9),
        min_workers: 1,
        run: runs!(oneshot_pairs, |config| in_parallel(config, oneshot_pairs::<Mini>)),
    },
    Row {
        id: "channel/mpsc_pairs",
        about: "1,000 pairs of tasks, 100 round trips over two mpsc of 1; per round trip",
        floor: SPLIT,
        metrics: times!(0.9),
        min_workers: 1,
        run: runs!(mpsc_pairs, |config| in_parallel(config, mpsc_pairs::<Mini>)),
    },
    Row {
        id: "channel/bounded_8p",
        about: "8 producers into one mpsc of 100, 100k messages; per message",
        floor: FLOOR,
        metrics: times!(0.8),
        min_workers: 1,
        run: runs!(bounded, bounded::<Mini>),
    },
];

/// Round trips of a pair.
const TRIPS: usize = 100;
/// Tasks that send into one channel.
const PRODUCERS: usize = 8;

async fn join_all<R: Tasks>(tasks: Vec<R::Task<usize>>) -> usize {
    let mut sum = 0;
    for task in tasks {
        sum += R::join(task).await;
    }
    sum
}

fn yields<R: Tasks>(config: &Config) -> Outcome {
    let tasks = config.size(200);
    let once = move || async move {
        let spawned = (0..tasks).map(|_| R::spawn(yield_often::<R>(1000))).collect();
        assert_eq!(join_all::<R>(spawned).await, tasks * 1000);
    };
    drive::<R, _>(config, repeat(config.reps(12), tasks * 1000, once))
}

async fn yield_often<R: Tasks>(times: usize) -> usize {
    for _ in 0..times {
        R::yield_now().await;
    }
    times
}

/// A request; the reply goes back over the sender.
struct Request(oneshot::Sender<Reply>);
/// A reply; the next request comes over the sender.
struct Reply(oneshot::Sender<Request>);

fn oneshot_pairs<R: Tasks>(config: &Config) -> Outcome {
    let pairs = config.size(1000);
    let once = move || async move {
        let spawned = (0..pairs).flat_map(|_| spawn_oneshot_pair::<R>()).collect();
        assert_eq!(join_all::<R>(spawned).await, 2 * pairs * TRIPS);
    };
    drive::<R, _>(config, repeat(config.reps(8), pairs * TRIPS, once))
}

fn spawn_oneshot_pair<R: Tasks>() -> [R::Task<usize>; 2] {
    let (request, requested) = oneshot::channel();
    [R::spawn(ask(request)), R::spawn(answer(requested))]
}

async fn ask(mut request: oneshot::Sender<Request>) -> usize {
    for _ in 0..TRIPS {
        let (reply, replied) = oneshot::channel();
        assert!(request.send(Request(reply)).is_ok(), "the other task waits");
        request = replied.await.expect("the other task replies").0;
    }
    TRIPS
}

async fn answer(mut requested: oneshot::Receiver<Request>) -> usize {
    let mut trips = 0;
    while let Ok(Request(reply)) = requested.await {
        trips += 1;
        let (next, next_requested) = oneshot::channel();
        assert!(reply.send(Reply(next)).is_ok(), "the other task waits");
        requested = next_requested;
    }
    trips
}

fn mpsc_pairs<R: Tasks>(config: &Config) -> Outcome {
    let pairs = config.size(1000);
    let once = move || async move {
        let spawned = (0..pairs).flat_map(|_| spawn_mpsc_pair::<R>()).collect();
        assert_eq!(join_all::<R>(spawned).await, 2 * pairs * TRIPS);
    };
    drive::<R, _>(config, repeat(config.reps(8), pairs * TRIPS, once))
}

fn spawn_mpsc_pair<R: Tasks>() -> [R::Task<usize>; 2] {
    let (ping, pinged) = mpsc::channel(1);
    let (pong, ponged) = mpsc::channel(1);
    [R::spawn(serve(ping, ponged)), R::spawn(bounce(pinged, pong))]
}

async fn serve(ping: mpsc::Sender<usize>, mut ponged: mpsc::Receiver<usize>) -> usize {
    for trip in 0..TRIPS {
        ping.send(trip).await.expect("the other task receives");
        assert_eq!(ponged.recv().await, Some(trip));
    }
    TRIPS
}

async fn bounce(mut pinged: mpsc::Receiver<usize>, pong: mpsc::Sender<usize>) -> usize {
    let mut trips = 0;
    while let Some(trip) = pinged.recv().await {
        pong.send(trip).await.expect("the other task receives");
        trips += 1;
    }
    trips
}

fn bounded<R: Tasks>(config: &Config) -> Outcome {
    let each = config.size(100_000).div_ceil(PRODUCERS);
    let once = move || async move {
        let (sender, mut receiver) = mpsc::channel(100);
        let producers = (0..PRODUCERS).map(|_| R::spawn(produce(sender.clone(), each))).collect();
        drop(sender);
        let mut received = 0;
        while let Some(value) = receiver.recv().await {
            received += value;
        }
        assert_eq!(received, PRODUCERS * each);
        assert_eq!(join_all::<R>(producers).await, PRODUCERS * each);
    };
    drive::<R, _>(config, repeat(config.reps(10), PRODUCERS * each, once))
}

async fn produce(sender: mpsc::Sender<usize>, messages: usize) -> usize {
    for _ in 0..messages {
        sender.send(1).await.expect("the consumer receives");
    }
    messages
}
