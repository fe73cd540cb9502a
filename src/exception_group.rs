//! `ExceptionGroup`: the failures of a task group, together.

use runtime_core::PanicError;
use std::error::Error;
use std::fmt;

/// Why one child of a [`TaskGroup`](crate::TaskGroup), or its body, failed.
///
/// # Examples
///
/// ```
/// use runtime::{Failure, TaskGroup};
///
/// runtime::run(async {
///     let result = TaskGroup::scope(async |group| {
///         group.create_task(async { Err::<(), _>("broken") });
///         Ok(())
///     });
///     let failure = result.await.unwrap_err().into_failures().remove(0);
///     assert_eq!(failure.error(), Some(&"broken"));
///     assert!(!failure.is_panicked());
///     assert_eq!(failure.into_error(), Some("broken"));
/// });
/// ```
#[derive(Debug, Clone)]
pub enum Failure<E> {
    /// It returned this error.
    Error(E),
    /// It panicked.
    Panicked(PanicError),
}

impl<E> Failure<E> {
    /// The error, if it was one.
    pub fn error(&self) -> Option<&E> {
        match self {
            Self::Error(error) => Some(error),
            Self::Panicked(_) => None,
        }
    }

    /// The error, if it was one, by value.
    pub fn into_error(self) -> Option<E> {
        match self {
            Self::Error(error) => Some(error),
            Self::Panicked(_) => None,
        }
    }

    /// Whether it was a panic.
    pub fn is_panicked(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panicked(panic) => panic.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for Failure<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Error(error) => Some(error),
            Self::Panicked(panic) => Some(panic),
        }
    }
}

/// All failures of a [`TaskGroup`](crate::TaskGroup): those of the children in the order in which they failed, that of the body last.
///
/// Empty only when the group was ended by [`TaskGroup::cancel`](crate::TaskGroup::cancel) before its body had a value.
///
/// # Examples
///
/// ```
/// use runtime::TaskGroup;
///
/// runtime::run(async {
///     let result = TaskGroup::scope(async |group| {
///         group.create_task(async { Err::<(), _>("broken") });
///         Ok(())
///     })
///     .await;
///     let group = result.unwrap_err();
///     assert_eq!(group.errors().collect::<Vec<_>>(), [&"broken"]);
///     assert_eq!(group.to_string(), "1 failure in a task group: broken");
/// });
/// ```
///
/// # Example: errors and panics apart
///
/// ```
/// use runtime::{Failure, TaskGroup, catch_cancelled, yield_now};
/// use std::panic::{AssertUnwindSafe, catch_unwind};
///
/// # let runner = runtime::Runner::builder().workers(1).build()?;
/// # runner.run(async {
/// let result = TaskGroup::<u32>::scope(async |group| {
///     group.create_task(async {
///         let _ = catch_cancelled(std::future::pending::<()>()).await;
///         Err::<(), _>(404) // its answer to the cancellation
///     });
///     group.create_task(async { panic!("a bug") });
///     yield_now().await;
///     Ok(())
/// });
/// let group = result.await.unwrap_err();
/// assert_eq!((group.len(), group.is_empty()), (2, false));
/// assert!(group.failures()[0].is_panicked(), "the first");
///
/// let (errors, panics) = group.split(|failure| matches!(failure, Failure::Error(_)));
/// assert_eq!(errors.unwrap().into_errors().collect::<Vec<_>>(), [404]);
/// assert!(catch_unwind(AssertUnwindSafe(|| panics.unwrap().resume_panic())).is_err());
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExceptionGroup<E> {
    failures: Vec<Failure<E>>,
}

impl<E> ExceptionGroup<E> {
    pub(crate) fn new(failures: Vec<Failure<E>>) -> Self {
        Self { failures }
    }

    /// All failures.
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// All failures, by value.
    pub fn into_failures(self) -> Vec<Failure<E>> {
        self.failures
    }

    /// Those that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &E> {
        self.failures.iter().filter_map(Failure::error)
    }

    /// Those that are errors, by value; panics are left out.
    pub fn into_errors(self) -> impl Iterator<Item = E> {
        self.failures.into_iter().filter_map(Failure::into_error)
    }

    /// How many failures there are.
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// Whether nothing failed: the group was cancelled by its own [`cancel`](crate::TaskGroup::cancel).
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }

    /// Goes on with the first panic if there is one; else gives the group back. For those to whom a panic of a child is
    /// a panic of theirs.
    ///
    /// # Panics
    ///
    /// With the panic of a child or of the body.
    pub fn resume_panic(self) -> Self {
        let panic = self.failures.iter().find_map(|failure| match failure {
            Failure::Panicked(panic) => Some(panic.clone()),
            Failure::Error(_) => None,
        });
        match panic {
            Some(panic) => panic.resume(),
            None => self,
        }
    }

    /// Divides into the failures for which `matches` is true and the others, each `None` when empty: what `except*` does.
    pub fn split(self, matches: impl FnMut(&Failure<E>) -> bool) -> (Option<Self>, Option<Self>) {
        let (yes, no): (Vec<_>, Vec<_>) = self.failures.into_iter().partition(matches);
        let group = |failures: Vec<_>| if failures.is_empty() { None } else { Some(Self { failures }) };
        (group(yes), group(no))
    }
}

impl<E> IntoIterator for ExceptionGroup<E> {
    type Item = Failure<E>;
    type IntoIter = std::vec::IntoIter<Failure<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.failures.into_iter()
    }
}

impl<E: fmt::Display> fmt::Display for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failures.as_slice() {
            [] => f.write_str("the task group was cancelled"),
            [one] => write!(f, "1 failure in a task group: {one}"),
            [first, others @ ..] => {
                write!(f, "{} failures in a task group: {first}", others.len() + 1)?;
                others.iter().try_for_each(|other| write!(f, "; {other}"))
            }
        }
    }
}

impl<E: Error + 'static> Error for ExceptionGroup<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failures.first().map(|failure| failure as _)
    }
}
