//! The service as a program.

use async_net::TcpListener;
use async_signal::{Signal, Signals};
use futures::StreamExt;
use http_service::{App, Drained, Settings, serve};
use std::io;
use std::process::ExitCode;

/// Ctrl-C cancels all of this at once, which is what one wants at a terminal. `SIGTERM` is the polite way.
#[runtime::main]
async fn main() -> io::Result<ExitCode> {
    let settings = match Settings::parse(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(message) => {
            eprintln!("{message}\n\n{}", Settings::USAGE);
            return Ok(ExitCode::from(2));
        }
    };
    let mut terminate = Signals::new([Signal::Term])?;
    let listener = TcpListener::bind(settings.address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async move {
        terminate.next().await;
        println!("stopping");
    };
    let drained = serve(listener, App::new(settings), stop).await;
    println!("{drained}");
    Ok(if drained == Drained::All { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
