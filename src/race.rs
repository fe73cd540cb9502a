//! `race` and `staggered_race`: the first one wins, and the losers clean up before it is over.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runtime_core::{
    CancelScope, CancelWhen, CancelledError, CatchCancelled, Scoped, Sleep, catch_cancelled, current_task, sleep,
};
use std::future::{Future, IntoFuture, Pending, pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Runs futures inside of this task until one has ended, cancels the others, waits until they have ended too, and gives the value of
/// the first.
///
/// Unlike `select!`, which drops the losers, here they are cancelled and may clean up with awaits. No tasks are made: the futures may borrow, and share
/// this task's core. What a loser yields is dropped.
///
/// Gives `None` when there are no futures.
///
/// # Panics
///
/// With the panic of a contender, at once: the others are dropped.
///
/// # Cancellation
///
/// A request is delivered to all contenders. When one of them lets it go on, the others are waited for, and then it goes on from here, whatever they
/// yielded. If they catch it and [take it back](crate::TaskRef::uncancel), the race goes on. A plain drop drops all, and so does a cancellation that unwinds in another
/// branch of a `join!`, but for what contenders wait for in tasks and groups.
///
/// # Examples
///
/// ```
/// use runtime::{catch_cancelled, race, sleep};
/// use std::cell::Cell;
/// use std::time::Duration;
///
/// runtime::run(async {
///     let cleaned_up = Cell::new(false);
///     let contender = async |ms: u64| {
///         if catch_cancelled(sleep(Duration::from_millis(ms))).await.is_err() {
///             sleep(Duration::from_millis(1)).await;
///             cleaned_up.set(true);
///         }
///         ms
///     };
///     assert_eq!(race([contender(1), contender(100_000)]).await, Some(1));
///     assert!(cleaned_up.get());
/// });
/// ```
pub async fn race<I>(futures: I) -> Option<<I::Item as IntoFuture>::Output>
where
    I: IntoIterator,
    I::Item: IntoFuture,
{
    let mut contenders = Contenders::new();
    for future in futures {
        contenders.start(future);
    }
    let mut winner = None;
    while let Some(ended) = contenders.running.next().await {
        if let Some(value) = contenders.judge(ended)
            && winner.is_none()
        {
            winner = Some(value);
            contenders.scope.cancel();
        }
    }
    contenders.reraise().await;
    winner
}

/// Runs futures one after the other until one succeeds, starting the next when the one before has failed **or** has not ended after
/// `delay`: what connecting to one of several addresses needs ("happy eyeballs", RFC 8305).
///
/// The first success wins; all others are cancelled and waited for, as in [`race`].
///
/// # Errors
///
/// All errors in the order in which they came, when no candidate succeeded.
///
/// # Panics
///
/// As for [`race`].
///
/// # Cancellation
///
/// As for [`race`]. Once a request has come no other candidate is started, unless one that runs takes it back ([`uncancel`](crate::TaskRef::uncancel)): if they
/// all fail instead of letting it go on, their errors are the result.
///
/// # Examples
///
/// ```
/// use runtime::{sleep, staggered_race};
/// use std::time::Duration;
///
/// runtime::run(async {
///     let connect = async |address: &'static str| match address {
///         "dead" => Err("refused"),
///         "slow" => Ok(sleep(Duration::MAX).await).map(|()| address),
///         _ => Ok(address),
///     };
///     let candidates = ["dead", "slow", "good"].map(connect);
///     assert_eq!(staggered_race(candidates, Duration::from_millis(2)).await, Ok("good"));
/// });
/// ```
pub async fn staggered_race<I, T, E>(candidates: I, delay: Duration) -> Result<T, Vec<E>>
where
    I: IntoIterator,
    I::Item: IntoFuture<Output = Result<T, E>>,
{
    let mut candidates = candidates.into_iter();
    let mut contenders = Contenders::new();
    let mut notice = Notice::new();
    let mut errors = Vec::new();
    let mut winner = None;
    // The wait for the next start; without one the next candidate starts now.
    let mut next_start = None;
    loop {
        if winner.is_none() && next_start.is_none() && contenders.cancelled.is_none() {
            // One that was started after a request had been delivered would not get it.
            if !notice.stands()
                && let Some(candidate) = candidates.next()
            {
                contenders.start(candidate);
                next_start = Some(sleep(delay));
            } else if contenders.running.is_empty() {
                break;
            }
        }
        match contenders.next_event(&mut next_start, &mut notice).await {
            Event::Due => next_start = None,
            Event::Ended(Some(Ok(value))) if winner.is_none() => {
                winner = Some(value);
                next_start = None;
                contenders.scope.cancel();
            }
            Event::Ended(Some(Err(error))) => {
                errors.push(error);
                next_start = None;
            }
            Event::Ended(_) => {}
            Event::NoneLeft if winner.is_some() || contenders.cancelled.is_some() => break,
            Event::NoneLeft => next_start = None,
        }
    }
    contenders.reraise().await;
    winner.ok_or(errors)
}

/// Futures that run inside of one task, and can be cancelled together.
struct Contenders<F: Future> {
    running: FuturesUnordered<CatchCancelled<CancelWhen<F, Scoped>>>,
    /// That of all of them.
    scope: CancelScope,
    /// A request from outside, when a contender has let it go on.
    cancelled: Option<CancelledError>,
}

/// How a contender ended: with a value, cancelled by its scope, or, outermost, by a request from outside.
type Ended<T> = Result<Result<T, CancelledError>, CancelledError>;

enum Event<T> {
    /// A contender has ended; `None` when it was cancelled.
    Ended(Option<T>),
    NoneLeft,
    /// The next one is to be started.
    Due,
}

impl<F: Future> Contenders<F> {
    fn new() -> Self {
        Self { running: FuturesUnordered::new(), scope: CancelScope::new(), cancelled: None }
    }

    fn start(&mut self, future: impl IntoFuture<IntoFuture = F, Output = F::Output>) {
        self.running.push(catch_cancelled(self.scope.run(future)));
    }

    /// The value of a contender that has ended, if it has one. All others have got a request from outside as well: that waits for them.
    fn judge(&mut self, ended: Ended<F::Output>) -> Option<F::Output> {
        match ended {
            Ok(ended) => ended.ok(),
            Err(from_outside) => {
                self.cancelled.get_or_insert(from_outside);
                None
            }
        }
    }

    /// All have ended: a request from outside goes on.
    async fn reraise(&mut self) {
        if let Some(error) = self.cancelled.take() {
            error.reraise().await;
        }
    }

    async fn next_event(&mut self, start: &mut Option<Sleep>, notice: &mut Notice) -> Event<F::Output> {
        poll_fn(|cx| {
            if let Some(request) = notice.poll(cx)
                && self.running.is_empty()
            {
                self.cancelled.get_or_insert(request);
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(ended)) => Poll::Ready(Event::Ended(self.judge(ended))),
                Poll::Ready(None) => Poll::Ready(Event::NoneLeft),
                Poll::Pending => match start {
                    Some(start) => Pin::new(start).poll(cx).map(|()| Event::Due),
                    None => Poll::Pending,
                },
            }
        })
        .await
    }
}

/// Notices requests from outside, which come to it as they come to the contenders.
struct Notice {
    catcher: CatchCancelled<Pending<()>>,
    /// How many the task had when the last one came.
    requests: Option<u32>,
}

impl Notice {
    fn new() -> Self {
        Self { catcher: catch_cancelled(pending()), requests: None }
    }

    /// A request that has just come. To be asked before the contenders are polled: what they do about it may end one of them.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<CancelledError> {
        let Poll::Ready(Err(request)) = Pin::new(&mut self.catcher).poll(cx) else { return None };
        *self = Self { requests: Some(requests()), ..Self::new() };
        Some(request)
    }

    /// Whether one has come that was not taken back.
    fn stands(&self) -> bool {
        self.requests.is_some_and(|then| requests() >= then)
    }
}

/// How many requests the running task has, those of the scopes around included.
fn requests() -> u32 {
    current_task().map_or(0, |task| task.cancelling())
}
