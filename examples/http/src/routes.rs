//! Which handler answers.

use crate::settings::Settings;
use crate::stats::Stats;
use crate::{Body, events, fan_out, files, text};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use runtime::{TaskError, catch_cancelled, gather, sleep};
use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const ROUTES: &str = "\
/files/PATH\n\
/all?path=PATH\n\
/events?count=N&every=MS\n\
/work?ms=N\n\
/stats\n";

/// What all handlers share.
#[derive(Debug)]
pub struct App {
    /// How the service was started.
    settings: Settings,
    /// What has happened.
    stats: Stats,
    /// Becomes true when the service stops.
    stopping: watch::Sender<bool>,
}

impl App {
    /// A service that has not served anything.
    pub fn new(settings: Settings) -> Self {
        Self { settings, stats: Stats::default(), stopping: watch::Sender::new(false) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Tells the connections and the endless answers that the service stops.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Changes when the service stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Answers a request, whatever becomes of its handler.
    ///
    /// When the client goes away hyper drops this future. The gather then cancels the handler, which cleans up in its own time.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let app = self.clone();
        let handler = async move {
            match catch_cancelled(app.route(request)).await {
                Ok(response) => response,
                Err(cancelled) => {
                    app.stats.cancelled.up();
                    cancelled.reraise().await
                }
            }
        };
        let mut ended = gather([handler]).return_exceptions().await;
        let response = match ended.remove(0) {
            Ok(response) => response,
            // A bug in one handler is the failure of one request.
            Err(TaskError::Panicked(panic)) => {
                eprintln!("a handler panicked: {}", panic.message().unwrap_or("?"));
                text(StatusCode::INTERNAL_SERVER_ERROR, "something is wrong here\n")
            }
            Err(TaskError::Cancelled(_)) => text(StatusCode::SERVICE_UNAVAILABLE, "the service stops\n"),
        };
        self.stats.answered.up();
        Ok(response)
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        let query = Query(request.uri().query().unwrap_or_default());
        match request.uri().path() {
            "/" => text(StatusCode::OK, ROUTES),
            "/stats" => text(StatusCode::OK, self.stats.to_string()),
            "/work" => self.work(query.get("ms").unwrap_or(100)).await,
            "/all" => fan_out::all(&self.settings, &query.get("path").unwrap_or_else(|| String::from("/"))).await,
            "/events" => {
                let every = Duration::from_millis(query.get("every").unwrap_or(1000));
                events::events(query.get("count"), every, self.stopping())
            }
            path => match path.strip_prefix("/files/") {
                Some(file) => files::file(&self.settings.files, file).await,
                None => text(StatusCode::NOT_FOUND, "no such route\n"),
            },
        }
    }

    /// Takes its time. Cancelled, it takes a little more, to put things right.
    async fn work(&self, ms: u64) -> Response<Body> {
        self.stats.begun.up();
        if let Err(cancelled) = catch_cancelled(sleep(Duration::from_millis(ms))).await {
            sleep(Duration::from_millis(1)).await;
            self.stats.cleaned_up.up();
            cancelled.reraise().await
        }
        text(StatusCode::OK, format!("worked for {ms} ms\n"))
    }
}

/// The part of an address after the question mark.
struct Query<'a>(&'a str);

impl Query<'_> {
    /// The value for a key, if it is there and can be understood.
    fn get<T: FromStr>(&self, key: &str) -> Option<T> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key)?.1.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn a_query_gives_what_can_be_understood() {
        let query = Query("ms=12&path=/x&bad=y");
        assert_eq!(query.get("ms"), Some(12));
        assert_eq!(query.get::<String>("path").as_deref(), Some("/x"));
        assert_eq!(query.get::<u32>("bad"), None);
        assert_eq!(query.get::<u32>("none"), None);
    }
}
