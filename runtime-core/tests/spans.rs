//! The spans of tasks and the events of their wakers, as a subscriber gets them. A binary of its own: the subscriber is the process's.

use runtime_core::*;
use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, Once};
use std::task::Poll;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps the spans of tasks, with what has happened to each.
#[derive(Default)]
struct Keeper {
    next: AtomicU64,
    spans: Mutex<HashMap<u64, Kept>>,
}

#[derive(Default, Clone)]
struct Kept {
    target: String,
    name: String,
    fields: Fields,
    log: Vec<&'static str>,
    handles: usize,
}

#[derive(Default, Clone)]
struct Fields(HashMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").unwrap();
        self.0.insert(field.name(), text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Keeper {
    fn note(&self, id: u64, what: &'static str) {
        if let Some(kept) = self.spans.lock().unwrap().get_mut(&id) {
            kept.log.push(what);
        }
    }
}

static KEEPER: std::sync::LazyLock<Keeper> = std::sync::LazyLock::new(Keeper::default);

struct ToKeeper;

impl Subscriber for ToKeeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("runtime::")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        assert!(attributes.is_root(), "no span of a caller's is its parent");
        let id = KEEPER.next.fetch_add(1, Relaxed) + 1;
        let metadata = attributes.metadata();
        let (target, name) = (metadata.target().to_owned(), metadata.name().to_owned());
        let mut kept = Kept { target, name, handles: 1, ..Kept::default() };
        attributes.record(&mut kept.fields);
        KEEPER.spans.lock().unwrap().insert(id, kept);
        Id::from_u64(id)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_eq!(event.metadata().target(), "runtime::waker");
        let mut fields = Fields::default();
        event.record(&mut fields);
        let what = match fields.0["op"].as_str() {
            "waker.clone" => "clone",
            "waker.wake" => "wake",
            "waker.wake_by_ref" => "wake_by_ref",
            "waker.drop" => "drop",
            other => panic!("{other}"),
        };
        KEEPER.note(fields.0["task.id"].parse().unwrap(), what);
    }

    fn enter(&self, span: &Id) {
        KEEPER.note(span.into_u64(), "enter");
    }

    fn exit(&self, span: &Id) {
        KEEPER.note(span.into_u64(), "exit");
    }

    fn clone_span(&self, span: &Id) -> Id {
        KEEPER.spans.lock().unwrap().get_mut(&span.into_u64()).unwrap().handles += 1;
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let mut spans = KEEPER.spans.lock().unwrap();
        let kept = spans.get_mut(&span.into_u64()).unwrap();
        kept.handles -= 1;
        if kept.handles == 0 {
            kept.log.push("close");
        }
        kept.handles == 0
    }
}

/// Runs main on one worker.
fn traced<T>(main: impl Future<Output = T>) -> T {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(ToKeeper).unwrap());
    let engine = Engine::new(Config { workers: 1, ..Config::default() }).unwrap();
    let output = engine.run(main).unwrap();
    engine.close();
    output
}

fn named(name: &str) -> TaskBuilder {
    TaskBuilder::new().name(name)
}

/// The span of the task with this name.
fn kept(name: &str) -> Kept {
    let spans = KEEPER.spans.lock().unwrap();
    let of_name = |kept: &&Kept| kept.fields.0.get("task.name").is_some_and(|field| field == name);
    spans.values().find(of_name).unwrap_or_else(|| panic!("no span of {name}")).clone()
}

fn log(name: &str) -> String {
    kept(name).log.join(" ")
}

#[test]
fn a_span_has_the_names_and_fields_that_the_console_reads() {
    let line = line!() + 1;
    let id = traced(async { named("fields").create_task(async { [0u64; 4] }).id() });
    let kept = kept("fields");
    assert_eq!((kept.target.as_str(), kept.name.as_str()), ("runtime::task", "runtime.spawn"));
    let fields = &kept.fields.0;
    assert_eq!((fields["kind"].as_str(), fields["task.id"].clone()), ("task", id.to_string()));
    assert_eq!((fields["loc.file"].as_str(), fields["loc.line"].clone()), (file!(), line.to_string()));
    assert!(fields.contains_key("loc.col"));
    assert_eq!(fields["size.bytes"], "1", "an async block that keeps nothing");
}

#[test]
fn a_poll_is_inside_of_the_span_and_the_end_of_the_future_closes_it() {
    traced(async {
        let task = named("polls").create_task(async {
            yield_now().await;
            yield_now().await;
        });
        let same = task.task_ref();
        task.await.unwrap();
        assert_eq!(
            log("polls"),
            "enter wake_by_ref exit enter wake_by_ref exit enter exit close",
            "with {same:?} there"
        );
    });
}

#[test]
fn wakers_tell_what_is_done_with_them() {
    traced(async {
        let task = named("wakers").create_task(poll_fn(|cx| {
            let (first, second) = (cx.waker().clone(), cx.waker().clone());
            cx.waker().wake_by_ref();
            first.wake();
            drop(second);
            Poll::Ready(())
        }));
        task.await.unwrap();
        assert_eq!(log("wakers"), "enter clone clone wake_by_ref wake drop exit close");
    });
}

#[test]
fn whoever_is_awaited_wakes_and_every_waker_is_accounted_for() {
    traced(async {
        let inner = create_task(yield_now());
        let outer = named("awaits").create_task(inner);
        outer.await.unwrap().unwrap();
        assert_eq!(log("awaits"), "enter clone exit wake enter exit close");

        let sleeper = named("sleeps").create_task(sleep(std::time::Duration::from_millis(1)));
        sleeper.await.unwrap();
        assert_eq!(log("sleeps"), "enter clone exit wake enter exit close");
    });
}

#[test]
fn cancelled_panicked_and_unpolled_tasks_close_theirs() {
    traced(async {
        let task = named("cancelled").create_task(std::future::pending::<()>());
        yield_now().await;
        task.cancel();
        assert!(task.await.is_err());
        assert_eq!(log("cancelled"), "enter exit enter exit close", "dropped inside of the span too");

        let task = named("panicked").create_task(async { panic!("as it should") });
        assert!(task.await.is_err());
        assert_eq!(log("panicked"), "enter exit enter exit close");

        let task = named("unpolled").create_task(std::future::pending::<()>());
        task.cancel();
        assert!(task.await.is_err());
        assert_eq!(log("unpolled"), "enter exit close");
    });
}

#[test]
fn a_waker_that_outlives_the_future_says_nothing() {
    traced(async {
        let task = named("outlived").create_task(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
        let waker = task.await.unwrap();
        waker.wake_by_ref();
        drop(waker);
        assert_eq!(log("outlived"), "enter clone exit close");
    });
}

#[test]
fn an_eager_step_is_inside_of_both_spans() {
    traced(async {
        current_task().unwrap().set_name("not read: the span is older");
        let outer = named("outer").create_task(async {
            named("inner").eager_start(true).create_task(yield_now()).await.unwrap();
        });
        outer.await.unwrap();
        assert_eq!(log("inner"), "enter wake_by_ref exit enter exit close");
        assert_eq!(log("outer"), "enter clone exit wake enter exit close");
    });
}

#[test]
fn combinators_and_cancellation_work_under_traced_wakers() {
    traced(async {
        let task = named("catches").create_task(async {
            let caught = catch_cancelled(std::future::pending::<()>()).await;
            yield_now().await;
            caught.is_err()
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap());
    });
}

#[test]
fn main_has_a_span_and_callbacks_and_promises_have_none() {
    let id = traced(async {
        Handle::current().call_soon(|| {});
        let (promise, task) = Promise::new();
        promise.set_result(1).unwrap();
        assert_eq!(task.await.unwrap(), 1);
        current_task().unwrap().id().to_string()
    });
    let spans = KEEPER.spans.lock().unwrap();
    let main = spans.values().find(|kept| kept.fields.0["task.id"] == id).unwrap();
    assert_eq!(main.fields.0["kind"], "main");
    assert!(!main.fields.0.contains_key("size.bytes"));
    assert!(spans.values().all(|kept| ["task", "main"].contains(&kept.fields.0["kind"].as_str())));
}
