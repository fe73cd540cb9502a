//! The spans of functions on threads, as a subscriber gets them. A binary of its own: tracing's level is the process's.

use runtime_bridge::to_thread;
use runtime_core::testing;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What happened to spans of blocking functions, in this order, and on which thread.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Vec<(String, ThreadId)>>>);

impl Keeper {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push((what, thread::current().id()));
    }
}

struct Fields(Vec<String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push(format!("{}={value:?}", field.name()));
    }
}

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name() == "runtime.spawn" && metadata.file().is_some_and(|file| file.ends_with("to_thread.rs"))
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields(vec![]);
        attributes.record(&mut fields);
        self.note(format!("new {} {}", attributes.metadata().target(), fields.0.join(" ")));
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {}

    fn enter(&self, _span: &Id) {
        self.note(String::from("enter"));
    }

    fn exit(&self, _span: &Id) {
        self.note(String::from("exit"));
    }

    fn try_close(&self, _span: Id) -> bool {
        self.note(String::from("close"));
        true
    }
}

#[test]
fn a_function_on_a_thread_has_the_span_that_the_console_reads() {
    let keeper = Keeper::default();
    let line = line!() + 4;
    let (id, there) = tracing::subscriber::with_default(keeper.clone(), || {
        testing::block_on(async {
            let bytes = [0_u8; 5];
            let task = to_thread(move || (thread::current().id(), bytes));
            (task.id(), task.await.unwrap().0)
        })
    });
    // The span may be closed a little after the result is there.
    while keeper.0.lock().unwrap().len() < 4 {
        thread::yield_now();
    }
    let noted = keeper.0.lock().unwrap();
    let new = format!(
        "new runtime::task kind=\"blocking\" task.id={id} size.bytes=5 loc.file={:?} loc.line={line} loc.col=24",
        file!()
    );
    let here = thread::current().id();
    let expected = [(new.as_str(), here), ("enter", there), ("exit", there), ("close", there)];
    assert!(noted.iter().map(|(what, on)| (what.as_str(), *on)).eq(expected), "{noted:?}");
}
