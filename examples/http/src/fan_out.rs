//! One question to many, with a deadline, and with answers although some fail.

use crate::settings::Settings;
use crate::{Body, client, text};
use hyper::{Response, StatusCode};
use runtime::{gather, timeout};
use std::fmt::Write as _;

/// Asks all upstreams for `path`: a line for each, in their order. It is a failure only when none has answered.
pub(crate) async fn all(settings: &Settings, path: &str) -> Response<Body> {
    let deadline = settings.deadline;
    let questions = settings.upstreams.iter().cloned().map(|upstream| {
        let path = path.to_owned();
        async move {
            let answer = timeout(deadline, client::get(&upstream, &path)).await;
            let answer =
                answer.map_err(|_| String::from("too slow")).and_then(|answer| answer.map_err(|e| e.to_string()));
            (upstream, answer)
        }
    });
    // All at once, as children of this handler: if the client goes, so do they.
    let answers = gather(questions).await;
    let mut lines = String::new();
    let mut any = answers.is_empty();
    for (upstream, answer) in answers {
        let _infallible = match answer {
            Ok((status, body)) => {
                any |= status.is_success();
                let body = String::from_utf8_lossy(&body);
                writeln!(lines, "{upstream}: {} {}", status.as_u16(), body.lines().next().unwrap_or_default())
            }
            Err(error) => writeln!(lines, "{upstream}: failed: {error}"),
        };
    }
    text(if any { StatusCode::OK } else { StatusCode::BAD_GATEWAY }, lines)
}
