//! `futures`: combinators inside of one task.

use crate::support::{Count, Dropped, ms, until_cancelled};
use futures::future::{AbortHandle, Aborted, FutureExt, abortable};
use futures::stream::{self, FuturesUnordered, StreamExt};
use runtime::{Handle, catch_cancelled, create_task, sleep, timeout, yield_now};
use std::time::Duration;

async fn after(delay: u64) -> u64 {
    sleep(ms(delay)).await;
    delay
}

#[runtime::test(virtual_time)]
async fn join_takes_as_long_as_the_longest() {
    let start = Handle::current().time();
    assert_eq!(futures::join!(after(10), after(30), after(20)), (10, 30, 20));
    assert_eq!(Handle::current().time() - start, ms(30));
}

#[runtime::test(virtual_time)]
async fn join_brings_a_request_to_every_branch() {
    let count = Count::default();
    let branches = count.clone();
    let task = create_task(async move {
        let branch = || catch_cancelled(std::future::pending::<()>()).map(|ended| ended.is_err());
        let caught = futures::join!(branch(), branch(), branch());
        assert_eq!(caught, (true, true, true));
        branches.up();
    });
    yield_now().await;
    task.cancel();
    task.await.unwrap();
    assert_eq!(count.get(), 1);
}

#[runtime::test(virtual_time)]
async fn select_drops_the_loser() {
    let dropped = Count::default();
    let loser = async {
        let _guard = Dropped(dropped.clone());
        sleep(Duration::MAX).await;
    };
    futures::select! {
        () = loser.boxed().fuse() => unreachable!(),
        winner = after(5).boxed().fuse() => assert_eq!(winner, 5),
    }
    assert_eq!(dropped.get(), 1);
}

#[runtime::test(virtual_time)]
async fn futures_unordered_gives_them_as_they_end() {
    let running: FuturesUnordered<_> = [30, 10, 20].map(after).into_iter().collect();
    assert_eq!(running.collect::<Vec<_>>().await, [10, 20, 30]);
}

#[runtime::test(virtual_time)]
async fn buffer_unordered_keeps_its_bound() {
    let (inside, most) = (Count::default(), std::cell::Cell::new(0));
    let job = async |delay| {
        most.set(most.get().max(inside.up()));
        sleep(ms(delay)).await;
        inside.down();
    };
    stream::iter(1..=20).map(job).buffer_unordered(3).collect::<Vec<()>>().await;
    assert_eq!(most.get(), 3);
}

/// They are branches of one task: the first whose clean-up is over takes the others along, as in `join!`.
#[runtime::test(virtual_time)]
async fn a_timeout_cancels_what_is_in_a_buffer() {
    let (told, cleaned_up) = (Count::default(), Count::default());
    let job = async |clean_up: u64| {
        if let Err(cancelled) = catch_cancelled(std::future::pending::<()>()).await {
            told.up();
            sleep(ms(clean_up)).await;
            cleaned_up.up();
            cancelled.reraise().await
        }
    };
    let jobs = stream::iter([30, 10, 20, 1]).map(job).buffer_unordered(3);
    assert!(timeout(ms(10), jobs.collect::<Vec<()>>()).await.is_err());
    assert_eq!((told.get(), cleaned_up.get()), (3, 1));
}

/// Tasks are awaited, and a request waits for them.
#[runtime::test(virtual_time)]
async fn a_timeout_waits_for_tasks_in_a_buffer() {
    let cleaned_up = Count::default();
    let jobs = stream::iter(0..5).map(|_| create_task(until_cancelled(cleaned_up.clone()))).buffer_unordered(3);
    assert!(timeout(ms(10), jobs.collect::<Vec<_>>()).await.is_err());
    assert_eq!(cleaned_up.get(), 3);
}

#[runtime::test(virtual_time)]
async fn shared_goes_on_when_one_of_its_waiters_is_cancelled() {
    let runs = Count::default();
    let counted = runs.clone();
    let shared = async move {
        counted.up();
        after(10).await
    };
    let shared = shared.boxed().shared();
    let [one, two] = [(); 2].map(|()| create_task(shared.clone()));
    sleep(ms(5)).await;
    one.cancel();
    assert!(one.await.unwrap_err().is_cancelled());
    assert_eq!(two.await.unwrap(), 10);
    assert_eq!(runs.get(), 1);
}

#[runtime::test(virtual_time)]
async fn abortable_drops_without_a_request() {
    let cleaned_up = Count::default();
    let (work, handle): (_, AbortHandle) = abortable(until_cancelled(cleaned_up.clone()));
    let task = create_task(work);
    yield_now().await;
    handle.abort();
    assert_eq!(task.await.unwrap(), Err(Aborted));
    assert_eq!(cleaned_up.get(), 0, "dropped, not cancelled: nothing was caught");
}
