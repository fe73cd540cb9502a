//! `gather` and `try_gather`: several futures at once, as tasks, and all their results.

use crate::child::create_child;
use crate::task_set::TaskSet;
use pin_project_lite::pin_project;
use runtime_core::{
    CancelledError, Intercept, Intercepted, RingProbe, Task, TaskError, TaskRef, awaiting_via, intercept,
};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs futures at the same time, as tasks begun by this call, and gives all their values in the order of the arguments.
///
/// Takes anything that iterates over futures, or a tuple of up to 12 futures of different types. For futures that return
/// results and are to fail together, use [`try_gather`]; to have every outcome, whatever it is,
/// [`return_exceptions`](Gather::return_exceptions). To run futures inside of this task, without tasks of their own, use
/// `futures::future::join_all`: cheaper for a few small ones, but on one core, and cancelled by dropping.
///
/// When a child panics, the panic goes on here at once; when one is cancelled by somebody, it is as if the one who waits were cancelled here.
/// The other children go on in both cases.
///
/// # Panics
///
/// When called outside of a runtime; and with the panic of a child.
///
/// # Cancellation
///
/// A request is passed to all children that have not ended, and **all** are waited for; then a child's panic wins, else
/// the cancellation goes on, also if the children caught it. A plain drop cancels the children and does not wait.
///
/// # Examples
///
/// ```
/// use runtime::gather;
///
/// async fn double(n: u32) -> u32 {
///     n * 2
/// }
///
/// runtime::run(async {
///     assert_eq!(gather((1..4).map(double)).await, [2, 4, 6]);
///     assert_eq!(gather((double(1), async { "two" })).await, (2, "two"));
/// });
/// ```
#[track_caller]
pub fn gather<K, G: IntoChildren<K>>(futures: G) -> Gather<G::Children> {
    Gather { wait: wait_for_ends(futures.into_children(), |children, place| children.failed(place)), failed: None }
}

/// Runs futures of results at the same time, as tasks begun by this call: all their values in the order of the arguments, or the
/// first error, at once.
///
/// As [`gather`], but an `Err` of a child is a failure. The other children are neither cancelled nor waited for then: they go on. For
/// children that end together use a [`TaskGroup`](crate::TaskGroup). Tasks are futures of results too: an iterator of
/// `Task<T>` gives `Result<Vec<T>, TaskError>`.
///
/// # Errors
///
/// The error of the child that failed first in time.
///
/// # Panics
///
/// As [`gather`].
///
/// # Cancellation
///
/// As [`gather`]; an error of a child wins over the cancellation.
///
/// # Examples
///
/// ```
/// use runtime::{create_task, try_gather};
///
/// runtime::run(async {
///     let parse = |text: &'static str| async move { text.parse::<u32>() };
///     assert_eq!(try_gather(["1", "2"].map(parse)).await, Ok(vec![1, 2]));
///     assert!(try_gather((parse("1"), parse("x"))).await.is_err());
///
///     let tasks = [1, 2].map(|n| create_task(async move { n }));
///     assert_eq!(try_gather(tasks).await.unwrap(), [1, 2]);
/// });
/// ```
#[track_caller]
pub fn try_gather<K, G>(futures: G) -> TryGather<G::Children>
where
    G: IntoChildren<K>,
    G::Children: TryChildren,
{
    let failed = |children: &mut G::Children, place| children.failed(place) || children.is_err(place);
    TryGather { wait: wait_for_ends(futures.into_children(), failed), failed: None }
}

/// What [`gather`] takes: an iterable of futures, or a tuple of them. `K` is found by the compiler.
///
/// # Examples
///
/// ```
/// use runtime::gather;
///
/// runtime::run(async {
///     assert_eq!(gather(vec![async { 1 }]).await, [1]);
///     assert_eq!(gather((async { 1 }, async { "two" })).await, (1, "two"));
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`gather` takes an iterable of futures, or a tuple of at most 12 futures, not `{Self}`",
    note = "each becomes a task: the futures and their values have to be `Send` and `'static`"
)]
pub trait IntoChildren<K> {
    /// The tasks made of them.
    type Children: Children;

    /// Makes a task of each.
    #[track_caller]
    fn into_children(self) -> Self::Children;
}

/// Tasks that are waited for together.
///
/// # Examples
///
/// ```
/// use runtime::{Children, IntoChildren, gather};
///
/// /// Gathers, and says so.
/// async fn told<K, G: IntoChildren<K>>(futures: G) -> <G::Children as Children>::Output {
///     println!("gathering");
///     gather(futures).await
/// }
///
/// runtime::run(async { assert_eq!(told((1..=2).map(|n| async move { n })).await, [1, 2]) });
/// ```
pub trait Children: Unpin {
    /// All values.
    type Output;
    /// All outcomes.
    type Outcomes;

    /// The next child that has ended; `None` when all have been given.
    fn poll_next_done(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>>;
    /// Whether a child that has ended panicked or was cancelled.
    fn failed(&mut self, place: usize) -> bool;
    /// Whether a child that has ended was cancelled.
    fn cancelled(&mut self, place: usize) -> bool;
    /// Takes the failure of a child for which `failed` is true.
    fn take_failure(&mut self, place: usize) -> TaskError;
    /// Passes a request on to those that have not ended.
    fn cancel(&mut self, request: &CancelledError);
    /// Those that have not ended.
    fn running(&mut self) -> Vec<TaskRef>;
    /// Lets all go on by themselves; their failures are of no interest any more.
    fn let_go(self);
    /// Takes all outcomes; all have ended.
    fn take_outcomes(&mut self) -> Self::Outcomes;
    /// The values; none has failed.
    fn into_output(outcomes: Self::Outcomes) -> Self::Output;
}

/// [`Children`] whose values are results.
///
/// # Examples
///
/// ```
/// use runtime::try_gather;
///
/// runtime::run(async {
///     let both = try_gather((async { Ok::<_, &str>(1) }, async { Ok("two") }));
///     assert_eq!(both.await, Ok((1, "two")));
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`try_gather` takes futures of results that all have the same error type",
    note = "for futures that yield plain values there is `gather`"
)]
pub trait TryChildren: Children {
    /// All values, without the results around them.
    type Values;
    /// The error that all have.
    type Error;

    /// Whether the value of a child that has ended is an error.
    fn is_err(&mut self, place: usize) -> bool;
    /// Takes the error of a child for which `is_err` is true.
    fn take_err(&mut self, place: usize) -> Self::Error;
    /// The values; none is an error.
    fn into_values(output: Self::Output) -> Self::Values;
}

// Waiting.

/// Ends when all children have ended, or one has failed; after a request only when all have ended. Gives the child that failed first.
pub(crate) struct Ends<C: Children> {
    children: Option<C>,
    failed: fn(&mut C, usize) -> bool,
    /// The first that has failed; those that a request has ended do not count.
    first: Option<usize>,
    /// A request was passed on: all are waited for.
    cancelled: bool,
    /// They may await the task that waits here (T-12).
    ring: RingProbe,
}

/// Passes a request on to the children.
pub(crate) type Handler<C> = fn(Pin<&mut Ends<C>>, &CancelledError);

fn wait_for_ends<C: Children>(children: C, failed: fn(&mut C, usize) -> bool) -> Intercept<Ends<C>, Handler<C>> {
    let ends = Ends { children: Some(children), failed, first: None, cancelled: false, ring: RingProbe::default() };
    let handler: Handler<C> = |mut ends, request| {
        ends.cancelled = true;
        if let Some(children) = &mut ends.children {
            children.cancel(request);
        }
    };
    intercept(ends, handler)
}

impl<C: Children> Future for Ends<C> {
    type Output = (C, Option<usize>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let children = this.children.as_mut().expect("polled after completion");
        if this.cancelled {
            this.ring.pass_on(|| children.running());
        }
        loop {
            match awaiting_via(cx, "gather", |cx| children.poll_next_done(cx)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => break,
                Poll::Ready(Some(place)) => {
                    let by_request = this.cancelled && children.cancelled(place);
                    if this.first.is_none() && !by_request && (this.failed)(children, place) {
                        this.first = Some(place);
                    }
                    if this.first.is_some() && !this.cancelled {
                        break;
                    }
                }
            }
        }
        let children = this.children.take().expect("there a moment ago");
        Poll::Ready((children, this.first))
    }
}

impl<C: Children> Drop for Ends<C> {
    fn drop(&mut self) {
        // Rule 10: dropped while children run, it cancels them. (`Ends` of a gather that is over has no children any more.)
        if let Some(children) = &mut self.children {
            children.cancel(&CancelledError::without_message());
        }
    }
}

pin_project! {
    /// The future of [`gather`].
    #[must_use = "the children run, but nobody waits for them: await this"]
    pub struct Gather<C: Children> {
        #[pin]
        wait: Intercept<Ends<C>, Handler<C>>,
        // A cancellation that goes on from here.
        failed: Option<CancelledError>,
    }
}

impl<C: Children> Gather<C> {
    /// Waits for all children and gives every outcome: a failure of one does not end it.
    ///
    /// # Cancellation
    ///
    /// As [`gather`]; after all have ended the cancellation goes on, whatever they answered.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::gather;
    ///
    /// runtime::run(async {
    ///     let children: [fn() -> u32; 2] = [|| 1, || panic!("two")];
    ///     let outcomes = gather(children.map(|f| async move { f() })).return_exceptions().await;
    ///     assert_eq!(*outcomes[0].as_ref().unwrap(), 1);
    ///     assert!(outcomes[1].as_ref().unwrap_err().is_panicked());
    /// });
    /// ```
    pub fn return_exceptions(mut self) -> GatherOutcomes<C> {
        if let Some(ends) = self.wait.get_mut() {
            // No failure ends the wait.
            ends.failed = |_children, _place| false;
        }
        GatherOutcomes { wait: self.wait, failed: None }
    }
}

/// What came of waiting.
enum Ended<C> {
    All(C),
    Failed(C, usize),
    Cancelled(CancelledError),
}

/// Decides between failures and a request, in default mode: an error wins over the request, and a gather that was cancelled does not succeed.
fn judge<C: Children>(told: Intercepted<(C, Option<usize>)>) -> Ended<C> {
    let (children, first) = told.output;
    match (first, told.cancelled) {
        (Some(place), _) => Ended::Failed(children, place),
        (None, Some(request)) => Ended::Cancelled(request),
        (None, None) => Ended::All(children),
    }
}

/// The panic of a child goes on here; a cancellation is given, to be raised. The other children go on.
fn give_failure<C: Children>(mut children: C, place: usize) -> CancelledError {
    let failure = children.take_failure(place);
    children.let_go();
    match failure {
        TaskError::Cancelled(error) => error,
        TaskError::Panicked(panic) => panic.resume(),
    }
}

impl<C: Children> Future for Gather<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let mut this = self.project();
        if this.failed.is_none() {
            let error = match judge(std::task::ready!(this.wait.as_mut().poll(cx))) {
                Ended::All(mut children) => return Poll::Ready(C::into_output(children.take_outcomes())),
                Ended::Failed(children, place) => give_failure(children, place),
                Ended::Cancelled(error) => error,
            };
            *this.failed = Some(error);
        }
        raise(this.failed)
    }
}

fn raise<T>(error: &Option<CancelledError>) -> Poll<T> {
    error.clone().unwrap_or_default().poll_reraise().map(|never| match never {})
}

pin_project! {
    /// The future of [`Gather::return_exceptions`].
    #[must_use = "the children run, but nobody waits for them: await this"]
    pub struct GatherOutcomes<C: Children> {
        #[pin]
        wait: Intercept<Ends<C>, Handler<C>>,
        failed: Option<CancelledError>,
    }
}

impl<C: Children> Future for GatherOutcomes<C> {
    type Output = C::Outcomes;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Outcomes> {
        let this = self.project();
        if this.failed.is_none() {
            let told = std::task::ready!(this.wait.poll(cx));
            let (mut children, _) = told.output;
            match told.cancelled {
                None => return Poll::Ready(children.take_outcomes()),
                request => *this.failed = request,
            }
        }
        raise(this.failed)
    }
}

pin_project! {
    /// The future of [`try_gather`].
    #[must_use = "the children run, but nobody waits for them: await this"]
    pub struct TryGather<C: TryChildren> {
        #[pin]
        wait: Intercept<Ends<C>, Handler<C>>,
        failed: Option<CancelledError>,
    }
}

impl<C: TryChildren> Future for TryGather<C> {
    type Output = Result<C::Values, C::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.failed.is_none() {
            let error = match judge(std::task::ready!(this.wait.as_mut().poll(cx))) {
                Ended::All(mut children) => {
                    return Poll::Ready(Ok(C::into_values(C::into_output(children.take_outcomes()))));
                }
                Ended::Failed(mut children, place) => {
                    if !children.failed(place) {
                        let error = children.take_err(place);
                        children.let_go();
                        return Poll::Ready(Err(error));
                    }
                    give_failure(children, place)
                }
                Ended::Cancelled(error) => error,
            };
            *this.failed = Some(error);
        }
        raise(this.failed)
    }
}

// An iterable of futures.

/// Marks what [`gather`] takes as an iterable.
#[derive(Debug)]
pub enum Iterable {}

/// Children of one type.
pub struct TaskVec<T> {
    tasks: TaskSet<Task<T>>,
}

/// Children of a gather that is being made. If the iterator panics, they are cancelled as those of one that is dropped (rule 10).
struct Begun<T>(Vec<Task<T>>);

impl<T> Drop for Begun<T> {
    fn drop(&mut self) {
        for task in &self.0 {
            task.cancel();
        }
    }
}

impl<I> IntoChildren<Iterable> for I
where
    I: IntoIterator,
    I::Item: Future + Send + 'static,
    <I::Item as Future>::Output: Send + 'static,
{
    type Children = TaskVec<<I::Item as Future>::Output>;

    #[track_caller]
    fn into_children(self) -> Self::Children {
        let mut begun = Begun(Vec::new());
        // Not `map`: a closure would be the creation place instead of the caller.
        for future in self {
            begun.0.push(create_child(future));
        }
        TaskVec { tasks: TaskSet::new("gather", std::mem::take(&mut begun.0)) }
    }
}

impl<T> Children for TaskVec<T> {
    type Output = Vec<T>;
    type Outcomes = Vec<Result<T, TaskError>>;

    fn poll_next_done(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.tasks.poll_next_done(cx)
    }

    fn failed(&mut self, place: usize) -> bool {
        failed(self.tasks.get_mut(place))
    }

    fn cancelled(&mut self, place: usize) -> bool {
        self.tasks.get_mut(place).cancelled()
    }

    fn take_failure(&mut self, place: usize) -> TaskError {
        take_failure(self.tasks.get_mut(place))
    }

    fn cancel(&mut self, request: &CancelledError) {
        self.tasks.cancel(request);
    }

    fn running(&mut self) -> Vec<TaskRef> {
        self.tasks.running()
    }

    fn let_go(mut self) {
        let (ended, running) = self.tasks.split();
        ended.into_iter().chain(running).for_each(Task::forgive);
    }

    fn take_outcomes(&mut self) -> Self::Outcomes {
        let (ended, _none) = self.tasks.split();
        ended.into_iter().map(|mut task| take(&mut task)).collect()
    }

    fn into_output(outcomes: Self::Outcomes) -> Vec<T> {
        outcomes.into_iter().map(expect_value).collect()
    }
}

impl<T, E> TryChildren for TaskVec<Result<T, E>> {
    type Values = Vec<T>;
    type Error = E;

    fn is_err(&mut self, place: usize) -> bool {
        is_err(self.tasks.get_mut(place))
    }

    fn take_err(&mut self, place: usize) -> E {
        take_err(self.tasks.get_mut(place))
    }

    fn into_values(output: Vec<Result<T, E>>) -> Vec<T> {
        output.into_iter().map(expect_ok).collect()
    }
}

fn failed<T>(task: &mut Task<T>) -> bool {
    task.peek(|outcome| outcome.is_err()).unwrap_or(false)
}

fn is_err<T, E>(task: &mut Task<Result<T, E>>) -> bool {
    task.peek(|outcome| matches!(outcome, Ok(Err(_)))).unwrap_or(false)
}

fn take<T>(task: &mut Task<T>) -> Result<T, TaskError> {
    task.result().expect("a child that has ended, and whose outcome is taken once")
}

fn take_failure<T>(task: &mut Task<T>) -> TaskError {
    match take(task) {
        Err(error) => error,
        Ok(_) => unreachable!("only asked of children that have failed"),
    }
}

fn take_err<T, E>(task: &mut Task<Result<T, E>>) -> E {
    match take(task) {
        Ok(Err(error)) => error,
        _ => unreachable!("only asked of children whose value is an error"),
    }
}

fn expect_value<T>(outcome: Result<T, TaskError>) -> T {
    match outcome {
        Ok(value) => value,
        Err(_) => unreachable!("no child has failed"),
    }
}

fn expect_ok<T, E>(value: Result<T, E>) -> T {
    match value {
        Ok(value) => value,
        Err(_) => unreachable!("no child has failed"),
    }
}

// Tuples.

/// Marks what [`gather`] takes as a tuple.
#[derive(Debug)]
pub enum Tuple {}

/// Children of different types.
pub struct TaskTuple<S> {
    tasks: S,
    /// Which of them have been given as ended, one bit each.
    given: u16,
}

macro_rules! tuple {
    ($count:literal: $($place:tt $future:ident $value:ident),+) => {
        impl<$($future),+> IntoChildren<Tuple> for ($($future,)+)
        where
            $($future: Future + Send + 'static, $future::Output: Send + 'static,)+
        {
            type Children = TaskTuple<($(Task<$future::Output>,)+)>;

            #[track_caller]
            fn into_children(self) -> Self::Children {
                TaskTuple { tasks: ($(create_child(self.$place),)+), given: 0 }
            }
        }

        impl<$($value),+> Children for TaskTuple<($(Task<$value>,)+)> {
            type Output = ($($value,)+);
            type Outcomes = ($(Result<$value, TaskError>,)+);

            fn poll_next_done(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
                $(
                    if self.given & (1 << $place) == 0 && self.tasks.$place.poll_done(cx).is_ready() {
                        self.given |= 1 << $place;
                        return Poll::Ready(Some($place));
                    }
                )+
                if self.given.count_ones() == $count { Poll::Ready(None) } else { Poll::Pending }
            }

            fn failed(&mut self, place: usize) -> bool {
                match place {
                    $($place => failed(&mut self.tasks.$place),)+
                    _ => unreachable!("places come from `poll_next_done`"),
                }
            }

            fn cancelled(&mut self, place: usize) -> bool {
                match place {
                    $($place => self.tasks.$place.cancelled(),)+
                    _ => unreachable!("places come from `poll_next_done`"),
                }
            }

            fn take_failure(&mut self, place: usize) -> TaskError {
                match place {
                    $($place => take_failure(&mut self.tasks.$place),)+
                    _ => unreachable!("places come from `poll_next_done`"),
                }
            }

            fn cancel(&mut self, request: &CancelledError) {
                $(self.tasks.$place.cancel_by(request);)+
            }

            fn running(&mut self) -> Vec<TaskRef> {
                vec![$(self.tasks.$place.task_ref()),+]
            }

            fn let_go(self) {
                $(self.tasks.$place.forgive();)+
            }

            fn take_outcomes(&mut self) -> Self::Outcomes {
                ($(take(&mut self.tasks.$place),)+)
            }

            fn into_output(outcomes: Self::Outcomes) -> Self::Output {
                ($(expect_value(outcomes.$place),)+)
            }
        }

        impl<$($value,)+ Failure> TryChildren for TaskTuple<($(Task<Result<$value, Failure>>,)+)> {
            type Values = ($($value,)+);
            type Error = Failure;

            fn is_err(&mut self, place: usize) -> bool {
                match place {
                    $($place => is_err(&mut self.tasks.$place),)+
                    _ => unreachable!("places come from `poll_next_done`"),
                }
            }

            fn take_err(&mut self, place: usize) -> Failure {
                match place {
                    $($place => take_err(&mut self.tasks.$place),)+
                    _ => unreachable!("places come from `poll_next_done`"),
                }
            }

            fn into_values(output: Self::Output) -> Self::Values {
                ($(expect_ok(output.$place),)+)
            }
        }
    };
}

tuple!(1: 0 A TA);
tuple!(2: 0 A TA, 1 B TB);
tuple!(3: 0 A TA, 1 B TB, 2 C TC);
tuple!(4: 0 A TA, 1 B TB, 2 C TC, 3 D TD);
tuple!(5: 0 A TA, 1 B TB, 2 C TC, 3 D TD, 4 F TF);
tuple!(6: 0 A TA, 1 B TB, 2 C TC, 3 D TD, 4 F TF, 5 G TG);
tuple!(7: 0 A TA, 1 B TB, 2 C TC, 3 D TD, 4 F TF, 5 G TG, 6 H TH);
tuple!(8: 0 A TA, 1 B TB, 2 C TC, 3 D TD, 4 F TF, 5 G TG, 6 H TH, 7 I TI);
tuple!(9: 0 A TA, 1 B TB, 2 C TC, 3 D TD, 4 F TF, 5 G TG, 6 H TH, 7 I TI, 8 J TJ);
tuple!(10: 0 A TA, 1 B TB, 2 C TC, 3 D TD, 4 F TF, 5 G TG, 6 H TH, 7 I TI, 8 J TJ, 9 L TL);
tuple!(11: 0 A TA, 1 B TB, 2 C TC, 3 D TD, 4 F TF, 5 G TG, 6 H TH, 7 I TI, 8 J TJ, 9 L TL, 10 M TM);
tuple!(12: 0 A TA, 1 B TB, 2 C TC, 3 D TD, 4 F TF, 5 G TG, 6 H TH, 7 I TI, 8 J TJ, 9 L TL, 10 M TM, 11 N TN);
