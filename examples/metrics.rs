//! The counters of a runtime as Prometheus text, through the `metrics` crate.
//!
//! ```text
//! cargo run --example metrics
//! ```
//!
//! A service would call [`Exporter::publish`] whenever it is scraped, and answer with what `PrometheusHandle::render` gives. Here some work is done, and the
//! text is printed.

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use runtime::{BlockingMetrics, Handle, Metrics, PollTimes, Runner, gather, sleep, to_thread, yield_now};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runner = Runner::builder().workers(2).poll_times(true).build()?;
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("runtime_poll_seconds".into()), &poll_steps(&runner.handle()))?
        .build_recorder();
    let page = recorder.handle();
    metrics::set_global_recorder(recorder)?;

    let mut exporter = Exporter::new(runner.handle());
    runner.run(work())?;
    exporter.publish();
    runner.run(work())?;
    // Closed, so that nothing moves any more; a handle can still be asked.
    runner.close();
    exporter.publish();
    print!("{}", page.render());
    Ok(())
}

/// A hundred tasks, a timer, a function on a thread.
async fn work() {
    let tasks = gather((0..100).map(|_| yield_now()));
    let (_, _, blocked) = gather((tasks, sleep(Duration::from_millis(1)), to_thread(|| 7))).await;
    assert_eq!(blocked.expect("it does not panic"), 7);
}

/// Hands the counters of a runtime to the recorder of the `metrics` crate.
struct Exporter {
    /// Whose counters.
    handle: Handle,
    /// The histogram at the last visit: what has come since then is recorded.
    poll_times: Option<PollTimes>,
}

impl Exporter {
    fn new(handle: Handle) -> Self {
        Self { handle, poll_times: None }
    }

    fn publish(&mut self) {
        let metrics = self.handle.metrics();
        publish_tasks(&metrics);
        publish_workers(&metrics);
        publish_blocking(metrics.blocking);
        if let Some(now) = metrics.poll_times {
            publish_poll_times(&now, self.poll_times.as_ref());
            self.poll_times = Some(now);
        }
    }
}

fn publish_tasks(metrics: &Metrics) {
    gauge!("runtime_tasks_alive").set(metrics.tasks_alive as f64);
    gauge!("runtime_tasks_ready").set(metrics.ready as f64);
    counter!("runtime_tasks_created_total").absolute(metrics.tasks_created);
    counter!("runtime_injected_total").absolute(metrics.injected);
    gauge!("runtime_timers_pending").set(metrics.timers.pending() as f64);
    counter!("runtime_timers_fired_total").absolute(metrics.timers.fired);
}

fn publish_workers(metrics: &Metrics) {
    for (index, worker) in metrics.workers.iter().enumerate() {
        let count = |name: &'static str, value| counter!(name, "worker" => index.to_string()).absolute(value);
        count("runtime_polls_total", worker.polls);
        count("runtime_local_pushes_total", worker.local_pushes);
        count("runtime_steals_total", worker.steals);
        count("runtime_parks_total", worker.parks);
        gauge!("runtime_busy_seconds", "worker" => index.to_string()).set(worker.busy.as_secs_f64());
    }
}

fn publish_blocking(blocking: BlockingMetrics) {
    gauge!("runtime_blocking_threads").set(blocking.threads as f64);
    gauge!("runtime_blocking_queued").set(blocking.queued as f64);
    counter!("runtime_blocking_finished_total").absolute(blocking.finished);
}

/// The runtime counts by steps; each poll goes into the histogram as if it had taken as long as its step allows, which is the same step there.
fn publish_poll_times(now: &PollTimes, before: Option<&PollTimes>) {
    let times = histogram!("runtime_poll_seconds");
    for (index, (step, count)) in now.buckets().enumerate() {
        let counted = before.and_then(|before| before.buckets().nth(index)).map_or(0, |(_, count)| count);
        let longest = if step.end == Duration::MAX { step.start } else { step.end };
        times.record_many(longest.as_secs_f64(), usize::try_from(count - counted).unwrap_or(usize::MAX));
    }
}

/// Where the steps of a runtime's histogram end, in seconds.
fn poll_steps(handle: &Handle) -> Vec<f64> {
    let times = handle.metrics().poll_times.expect("the runtime was built to measure them");
    times.buckets().filter(|(step, _)| step.end != Duration::MAX).map(|(step, _)| step.end.as_secs_f64()).collect()
}
