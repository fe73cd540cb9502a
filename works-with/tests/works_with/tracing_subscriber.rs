//! `tracing` and `tracing-subscriber`: spans of the program's own follow its tasks from worker to worker.

use runtime::{gather, yield_now};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing::{Instrument, info, info_span, instrument};
use tracing_subscriber::fmt;

/// What was written, in one piece per line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[instrument]
async fn job(number: u32) {
    yield_now().await;
    info!("worked");
}

/// On one worker, since the subscriber is this thread's only; elsewhere it would be everybody's.
#[runtime::test]
async fn events_know_their_spans_after_a_suspension() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = fmt().with_writer(move || writer.clone()).without_time().with_ansi(false).finish();
    let _default = tracing::subscriber::set_default(subscriber);
    gather((0..3).map(job)).await;
    async { info!("alone") }.instrument(info_span!("outer", user = "me")).await;

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for number in 0..3 {
        assert!(text.lines().any(|line| line.contains(&format!("job{{number={number}}}")) && line.ends_with("worked")));
    }
    assert!(text.lines().any(|line| line.contains("outer{user=\"me\"}") && line.ends_with("alone")), "{text}");
}
