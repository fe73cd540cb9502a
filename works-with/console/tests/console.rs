//! What console-subscriber makes of our tasks, as its client tokio-console gets it.

use console_api::instrument::{InstrumentRequest, Update, instrument_client::InstrumentClient};
use console_api::tasks::Stats;
use console_api::{Field, Location, field};
use console_subscriber::ConsoleLayer;
use runtime::{TaskBuilder, create_task, sleep, to_thread, yield_now};
use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};
use tracing_subscriber::prelude::*;

const COMPUTES: Duration = Duration::from_millis(20);

/// Tasks of which it is known what they do.
async fn program() -> u32 {
    let named = |name: &str| TaskBuilder::new().name(name);
    drop(named("yields").create_task(async {
        for _ in 0..5 {
            yield_now().await;
        }
    }));
    drop(named("awaits").create_task(create_task(yield_now())));
    drop(named("sleeps").create_task(sleep(Duration::from_millis(1))));
    let computes = async {
        let start = Instant::now();
        while start.elapsed() < COMPUTES {
            std::hint::spin_loop();
        }
    };
    let line = line!() + 1;
    drop(named("computes").create_task(computes));
    to_thread(|| std::thread::sleep(COMPUTES)).await.unwrap();
    drop(named("cancelled").create_task(std::future::pending::<()>()));
    for task in runtime::all_tasks() {
        let wait = task.get_name() != "cancelled" && Some(&task) != runtime::current_task().as_ref();
        if wait {
            task.wait().await;
        }
    }
    line
}

/// What the console knows of a task.
#[derive(Debug, Default, Clone)]
struct Seen {
    fields: HashMap<String, String>,
    location: Option<Location>,
    stats: Stats,
}

#[derive(Default)]
struct Console(HashMap<u64, Seen>);

impl Console {
    fn update(&mut self, update: Update) {
        let Some(tasks) = update.task_update else { return };
        assert_eq!(tasks.dropped_events, 0);
        for task in tasks.new_tasks {
            let seen = self.0.entry(task.id.unwrap().id).or_default();
            seen.fields = task.fields.iter().map(text).collect();
            seen.location = task.location;
        }
        for (id, stats) in tasks.stats_update {
            self.0.entry(id).or_default().stats = stats;
        }
    }

    fn task(&self, name: &str) -> Option<&Seen> {
        self.with("task.name", name)
    }

    fn with(&self, field: &str, value: &str) -> Option<&Seen> {
        self.0.values().find(|seen| seen.fields.get(field).is_some_and(|found| found == value))
    }

    fn all_are_dropped(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.task(name).is_some_and(|seen| seen.stats.dropped_at.is_some()))
    }
}

fn text(field: &Field) -> (String, String) {
    let Some(field::Name::StrName(name)) = &field.name else { panic!("{field:?}") };
    let value = match field.value.as_ref().unwrap() {
        field::Value::DebugVal(value) | field::Value::StrVal(value) => value.clone(),
        field::Value::U64Val(value) => value.to_string(),
        field::Value::I64Val(value) => value.to_string(),
        field::Value::BoolVal(value) => value.to_string(),
    };
    (name.clone(), value)
}

fn polls(seen: &Seen) -> u64 {
    seen.stats.poll_stats.as_ref().unwrap().polls
}

fn busy(seen: &Seen) -> Duration {
    seen.stats.poll_stats.as_ref().unwrap().busy_time.unwrap().try_into().unwrap()
}

/// Asks until all is known of the tasks with these names.
async fn watch(port: u16, names: &[&str]) -> Console {
    let address = format!("http://127.0.0.1:{port}");
    let mut client = loop {
        // The server is about to come.
        match InstrumentClient::connect(address.clone()).await {
            Ok(client) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let mut updates = client.watch_updates(InstrumentRequest {}).await.unwrap().into_inner();
    let mut console = Console::default();
    while !console.all_are_dropped(names) {
        console.update(updates.message().await.unwrap().expect("it goes on"));
    }
    console
}

#[test]
fn tasks_names_polls_wakes_and_busy_times_are_right() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let layer = ConsoleLayer::builder()
        .server_addr((Ipv4Addr::LOCALHOST, port))
        .publish_interval(Duration::from_millis(20))
        .spawn();
    tracing_subscriber::registry().with(layer).init();

    let runner = runtime::Runner::builder().workers(2).build().unwrap();
    let line = runner.run(program()).unwrap();
    runner.close();
    let names = ["yields", "awaits", "sleeps", "computes", "cancelled"];
    let console =
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(watch(port, &names));

    let task = |name| console.task(name).unwrap();
    let wakes = |name| (task(name).stats.wakes, task(name).stats.self_wakes);
    assert_eq!((polls(task("yields")), wakes("yields")), (6, (5, 5)));
    // With two workers the inner one may be done by the time that it is awaited.
    assert!((1..=2).contains(&polls(task("awaits"))));
    assert_eq!(wakes("awaits"), (polls(task("awaits")) - 1, 0));
    // It may be over by its first poll.
    assert!((1..=2).contains(&polls(task("sleeps"))));
    assert_eq!(wakes("sleeps"), (polls(task("sleeps")) - 1, 0));
    assert_eq!((polls(task("computes")), wakes("computes")), (1, (0, 0)));
    assert_eq!(wakes("cancelled"), (0, 0), "a request is no wake");
    for name in names {
        let stats = &task(name).stats;
        assert_eq!(stats.waker_clones, stats.waker_drops, "{name}");
    }

    let total = |seen: &Seen| {
        let moment =
            |at: Option<prost_types::Timestamp>| Duration::new(at.unwrap().seconds as u64, at.unwrap().nanos as u32);
        moment(seen.stats.dropped_at) - moment(seen.stats.created_at)
    };
    let computes = task("computes");
    assert!(busy(computes) >= COMPUTES && total(computes) >= busy(computes));
    let sleeps = task("sleeps");
    assert!(total(sleeps) >= Duration::from_millis(1) && busy(sleeps) < total(sleeps));

    let place = computes.location.as_ref().unwrap();
    assert!(place.file.as_ref().unwrap().ends_with("tests/console.rs"));
    assert_eq!(place.line, Some(line));
    assert_eq!(computes.fields["kind"], "task");
    assert!(computes.fields["task.id"].parse::<u64>().unwrap() > 0);
    assert!(console.with("kind", "main").is_some());
    let thread = console.with("kind", "blocking").unwrap();
    assert_eq!(thread.location.as_ref().unwrap().line, Some(line + 1));
    assert!(polls(thread) >= 1 && busy(thread) >= COMPUTES);
}
