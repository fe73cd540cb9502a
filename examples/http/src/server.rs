//! Connections: taken in, served, and brought to an end.

use crate::routes::App;
use async_net::{TcpListener, TcpStream};
use futures::future::{Either, select};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use runtime::hyper::{Io, Timer};
use runtime::{CancelledError, Handle, TaskGroup, TimeoutScope, cancel_when, sleep};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How long a client may take to send the head of a request, and may be silent between two.
const HEAD: Duration = Duration::from_secs(30);

/// How the service has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All requests were answered.
    All,
    /// The grace period was over before; what was left was cancelled.
    Cut,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all requests were answered",
            Self::Cut => "the grace period was over: requests were cancelled",
        })
    }
}

/// Serves until `stop` is over, then answers what is in flight, for as long as the grace period allows.
///
/// # Cancellation
///
/// A request cancels all connections with their handlers, and waits for their clean-up. A plain drop does not wait.
pub async fn serve(listener: TcpListener, app: App, stop: impl Future<Output = ()>) -> Drained {
    let app = Arc::new(app);
    let grace = app.settings().grace;
    // Around the whole group, so that it ends the connections too. It gets its deadline when the service stops.
    let limit = TimeoutScope::never();
    let served = limit.run(TaskGroup::run(async |connections| {
        let stopped = async {
            stop.await;
            CancelledError::new("the service stops")
        };
        let accepting = accept(&listener, &connections, &app);
        let _ended = cancel_when(accepting, pin!(stopped)).await;
        // From here on, new connections are refused.
        drop(listener);
        app.stop();
        let _over = limit.reschedule(Some(Handle::current().time() + grace));
    }));
    if served.await.is_ok() { Drained::All } else { Drained::Cut }
}

/// Takes connections in for ever, no more at a time than there are places.
async fn accept(listener: &TcpListener, connections: &TaskGroup<Infallible>, app: &Arc<App>) {
    let places = Arc::new(Semaphore::new(app.settings().connections));
    loop {
        let place = places.clone().acquire_owned().await.expect("never closed");
        match listener.accept().await {
            Ok((stream, _address)) => {
                let served = connection(stream, app.clone(), app.stopping());
                connections.create_task(async {
                    served.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, perhaps: some come back when connections end.
                eprintln!("no connection could be accepted: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves one connection until the client closes it, or until the request that it is at when the service stops.
async fn connection(stream: TcpStream, app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let service = service_fn(|request| app.clone().answer(request));
    let mut http = http1::Builder::new();
    let http = http.timer(Timer).header_read_timeout(HEAD).serve_connection(Io::new(stream), service);
    let mut http = pin!(http);
    // An error is the client's: it has gone, or does not speak HTTP. Nobody is left to tell.
    if let Either::Right(_stop) = select(http.as_mut(), pin!(stopping.changed())).await {
        http.as_mut().graceful_shutdown();
        let _ended = http.await;
    }
}
