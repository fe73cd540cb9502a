//! What scopes cost in allocations: counted, on one worker. A process of its own, for the allocator is the process's.

use runtime::{Runner, catch_cancelled, create_task, sleep, timeout, yield_now};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; counting touches a plain cell without a destructor, and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the callee's demand.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const HOUR: Duration = Duration::from_secs(3600);

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn run<T>(body: impl Future<Output = T>) -> T {
    let runner = Runner::builder().workers(1).build().unwrap();
    runner.run(body).unwrap()
}

/// What a thousand polls of this body allocate, once it has been polled a few times.
async fn polls() -> u64 {
    for _ in 0..10 {
        yield_now().await;
    }
    let before = allocations();
    for _ in 0..1000 {
        yield_now().await;
    }
    allocations() - before
}

#[test]
fn scopes_and_catchers_allocate_nothing_per_poll() {
    run(async {
        assert_eq!(polls().await, 0, "nothing around it");
        assert_eq!(timeout(HOUR, polls()).await, Ok(0));
        assert_eq!(catch_cancelled(polls()).await.unwrap(), 0);
        let nested = timeout(HOUR, catch_cancelled(timeout(HOUR, catch_cancelled(polls()))));
        assert_eq!(nested.await.unwrap().unwrap().unwrap().unwrap(), 0);
        let (one, two) = futures::join!(timeout(HOUR, polls()), catch_cancelled(polls()));
        assert_eq!((one, two.unwrap()), (Ok(0), 0));
        // With wakers of their own: a list for each scope around them, made once.
        let set: futures::stream::FuturesUnordered<_> = (0..3).map(|_| catch_cancelled(polls())).collect();
        let counts: Vec<_> = futures::StreamExt::collect(set).await;
        // Those that end later see the ends of the others: their places in the list, and in the vector.
        assert!(counts.iter().all(|count| *count.as_ref().unwrap() <= 4), "{counts:?}");
    });
}

/// What so many tasks allocate until all of them wait.
fn tasks<F>(future: impl Fn() -> F) -> u64
where
    F: Future<Output = ()> + Send + 'static,
{
    run(async {
        let before = allocations();
        for _ in 0..100_000 {
            drop(create_task(future()));
        }
        for _ in 0..3 {
            yield_now().await;
        }
        allocations() - before
    })
}

#[test]
fn timeouts_that_never_fire_allocate_what_as_many_timers_do() {
    let timers = tasks(|| sleep(HOUR));
    let timeouts = tasks(|| async { timeout(HOUR, std::future::pending::<()>()).await.unwrap_or_default() });
    assert!(timeouts <= timers, "{timeouts} allocations of timeouts, {timers} of timers");
}
