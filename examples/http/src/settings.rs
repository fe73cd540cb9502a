//! What can be set on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How the service is to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub address: SocketAddr,
    /// The directory under `/files/`.
    pub files: PathBuf,
    /// Who is asked by `/all`: `host:port`.
    pub upstreams: Vec<String>,
    /// How long an upstream may take.
    pub deadline: Duration,
    /// How long requests may take that are in flight when it stops.
    pub grace: Duration,
    /// How many connections it has at a time; further ones wait.
    pub connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: ([127, 0, 0, 1], 8080).into(),
            files: ".".into(),
            upstreams: Vec::new(),
            deadline: Duration::from_millis(300),
            grace: Duration::from_secs(10),
            connections: 10_000,
        }
    }
}

impl Settings {
    /// The command line.
    pub const USAGE: &str = "usage: http-service [--address IP:PORT] [--files DIRECTORY] [--upstream HOST:PORT]... \
                             [--deadline MS] [--grace MS] [--connections N]";

    /// Reads the command line.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut settings = Self::default();
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
            let wrong = |_| format!("{option} cannot be {value}");
            match option.as_str() {
                "--address" => settings.address = value.parse().map_err(|_| format!("no address: {value}"))?,
                "--files" => settings.files = value.into(),
                "--upstream" => settings.upstreams.push(value),
                "--deadline" => settings.deadline = Duration::from_millis(value.parse().map_err(wrong)?),
                "--grace" => settings.grace = Duration::from_millis(value.parse().map_err(wrong)?),
                "--connections" => settings.connections = value.parse().map_err(wrong)?,
                _ => return Err(format!("there is no option {option}")),
            }
        }
        Ok(settings)
    }
}
