//! Tasks that are made of what somebody gives us to wait for.

use crate::gather::{Gather, GatherOutcomes, TaskVec, TryGather};
use crate::group::GroupTask;
use runtime_core::{Task, TaskBuilder, create_task};
use std::any::type_name;
use std::future::Future;
use std::sync::LazyLock;

/// Makes a task of a future that is to be waited for.
///
/// Of a future that itself only waits (a [`Task`], a gather) the first step is made at once: there is no code of a user's in it. So a task that has
/// ended is known to have ended right away (G-18, SH-01); and a request that comes before the first step is not lost by dropping the
/// wait unpolled, but passed on to what is waited for, as if there were no task in between (G-10).
#[track_caller]
pub(crate) fn create_child<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    if only_waits::<F>() { TaskBuilder::new().eager_start(true).create_task(future) } else { create_task(future) }
}

/// Whether a future is one of those here that only wait.
///
/// There is no way to ask for "a `Task` of anything" but the name of the type. Should that be written otherwise one day, such tasks begin
/// like all others.
fn only_waits<F>() -> bool {
    /// The name up to the parameters, with the bracket.
    fn generic<K>() -> &'static str {
        let name = type_name::<K>();
        name.find('<').map_or("", |bracket| &name[..=bracket])
    }

    // Asked for each child: looking through the names each time was a third of what a gather costs.
    static GENERICS: LazyLock<[&str; 5]> = LazyLock::new(|| {
        [
            generic::<Task<()>>(),
            generic::<GroupTask<()>>(),
            generic::<Gather<TaskVec<()>>>(),
            generic::<GatherOutcomes<TaskVec<()>>>(),
            generic::<TryGather<TaskVec<Result<(), ()>>>>(),
        ]
    });
    GENERICS.iter().any(|generic| !generic.is_empty() && type_name::<F>().starts_with(generic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shield::Shield;

    #[test]
    fn what_only_waits_is_known_by_its_name() {
        assert!(only_waits::<Task<Vec<Option<String>>>>());
        assert!(only_waits::<GroupTask<u8>>());
        assert!(only_waits::<Gather<TaskVec<u8>>>());
        assert!(only_waits::<GatherOutcomes<TaskVec<u8>>>());
        assert!(only_waits::<TryGather<TaskVec<Result<u8, ()>>>>());
        assert!(!only_waits::<std::future::Ready<Task<u8>>>());
        assert!(!only_waits::<Shield<u8>>());
        assert!(!only_waits::<futures_util::future::Map<Task<u8>, fn(u8)>>());
    }
}
