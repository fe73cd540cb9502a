//! The programs: each uses one piece of the vocabulary, with choices of its own, and leaves nothing behind but what is counted.

use crate::foreign::WakerBox;
use crate::ledger::{LEDGER, Value, fail};
use crate::random::Random;
use futures::FutureExt;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use runtime::{
    CancelScope, CancelledError, Context, Handle, Promise, ReturnWhen, Runner, Task, TaskBuilder, TaskGroup, TaskRef,
    as_completed, catch_cancelled, context_var, create_task, gather, race, shield, sleep, staggered_race, timeout,
    to_thread, try_gather, wait, wait_for, yield_now,
};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

/// The name of tasks that a stranger may cancel.
pub(crate) const MAY_BE_CANCELLED: &str = "may be cancelled";

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that is counted while it runs, with a value in it.
pub(crate) async fn tracked<F: Future>(future: F) -> F::Output {
    let (body, value) = (Value::body(), Value::new());
    let output = future.await;
    body.check();
    value.check();
    output
}

/// A task made in one of the ways there are, whose end is counted.
fn task<F>(random: &mut Random, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let future = tracked(future);
    let mut builder = TaskBuilder::new().eager_start(random.one_in(4));
    if random.one_in(4) {
        builder = builder.name(MAY_BE_CANCELLED);
    }
    if random.one_in(16) {
        builder = builder.context(Context::new());
    }
    match random.index(3) {
        0 => create_task(future),
        1 => builder.create_task(future),
        _ => {
            LEDGER.tasks.begin();
            let ended = |task: &TaskRef| {
                assert!(task.done());
                LEDGER.tasks.end();
            };
            builder.create_task_and_tell(future, |task| assert!(!task.done()), ended)
        }
    }
}

/// Programs one after the other, some at once, until it is time.
pub(crate) async fn several(mut random: Random, breadth: usize, wakers: Arc<WakerBox>, until: Instant) {
    let rounds = 1 + random.index(20);
    for _ in 0..rounds {
        if Instant::now() >= until {
            return;
        }
        let tasks: Vec<_> = (0..breadth)
            .map(|_| {
                let program = one(random.split(), Arc::clone(&wakers), 0);
                task(&mut random, program)
            })
            .collect();
        for task in tasks {
            match random.index(8) {
                0 => drop(task),
                1 => {
                    task.cancel();
                    let _ = task.await;
                }
                _ => {
                    let _ = task.await;
                }
            }
        }
    }
}

/// One program. `depth` says how many programs are around it.
pub(crate) fn one(mut random: Random, wakers: Arc<WakerBox>, depth: usize) -> Boxed {
    let kinds = if depth < 3 { 20 } else { 17 };
    match random.index(kinds) {
        0 => storm(random).boxed(),
        1 => cancels(random).boxed(),
        2 => groups(random, 0),
        3 => timeouts(random).boxed(),
        4 => gathers(random).boxed(),
        5 => shields(random).boxed(),
        6 => races(random).boxed(),
        7 => waits(random).boxed(),
        8 => timers(random).boxed(),
        9 => threads(random).boxed(),
        10 => promises(random).boxed(),
        11 => kicked(random, wakers).boxed(),
        12 => contexts(random).boxed(),
        13 => callbacks(random).boxed(),
        14 => panics(random).boxed(),
        15 => channels(random).boxed(),
        16 => branches(random).boxed(),
        17 => another_runtime(random).boxed(),
        18 => inside_of_a_timeout(random, wakers, depth).boxed(),
        _ => inside_of_a_group(random, wakers, depth).boxed(),
    }
}

async fn pause(random: &mut Random) {
    match random.index(4) {
        0 => {}
        1 => yield_now().await,
        2 => sleep(Duration::from_micros(random.below(300))).await,
        _ => {
            for _ in 0..random.below(5) {
                yield_now().await;
            }
        }
    }
}

async fn steps(mut random: Random) -> Value {
    pause(&mut random).await;
    Value::new()
}

async fn forever() {
    let value = Value::new();
    sleep(Duration::MAX).await;
    value.check();
}

/// Many tasks at once, awaited, dropped, cancelled.
async fn storm(mut random: Random) {
    let count = 1 << random.below(11);
    let mut tasks: Vec<_> = (0..count)
        .map(|_| {
            let body = steps(random.split());
            task(&mut random, body)
        })
        .collect();
    while !tasks.is_empty() {
        let task = tasks.swap_remove(random.index(tasks.len()));
        match random.index(4) {
            0 => drop(task),
            1 => drop(task.cancel()),
            _ => {
                if let Ok(value) = task.await {
                    value.check();
                }
            }
        }
    }
}

/// Requests to tasks that take them in all ways.
async fn cancels(mut random: Random) {
    let tasks: Vec<_> = (0..random.below(20))
        .map(|_| {
            let body = catching(random.split());
            task(&mut random, body)
        })
        .collect();
    for task in &tasks {
        for _ in 0..random.below(3) {
            pause(&mut random).await;
            task.cancel_with("from beside");
        }
    }
    for task in tasks {
        task.cancel();
        let _ = task.await;
    }
}

/// Takes one request, and comes to its end then: the shutdown makes no other.
async fn catching(mut random: Random) {
    let Err(error) = catch_cancelled(tracked(forever())).await else { unreachable!("it never ends") };
    // The clean-up takes its time, and may be cancelled itself.
    let clean_up = steps(random.split());
    match random.index(4) {
        0 => error.reraise().await,
        1 => drop(clean_up.await),
        2 => {
            runtime::current_task().expect("runs in one").uncancel();
            clean_up.await.check();
        }
        _ => {
            let _ = catch_cancelled(clean_up).await;
            steps(random).await.check();
        }
    }
}

/// Groups in groups, with failures and cancellations.
fn groups(mut random: Random, depth: usize) -> Boxed {
    async move {
        let children = random.index(8);
        let result = TaskGroup::<Value>::scope(async move |group| {
            for _ in 0..children {
                let inner = random.split();
                match random.index(5) {
                    0 => drop(group.create_task(tracked(async { Err::<(), _>(Value::new()) }))),
                    1 => drop(group.create_task(tracked(forever()))),
                    2 if depth < 3 => drop(group.create_task(groups(inner, depth + 1))),
                    _ => drop(group.create_task(tracked(async move {
                        steps(inner).await;
                    }))),
                }
                pause(&mut random).await;
            }
            match random.index(4) {
                0 => Err(Value::new()),
                1 => {
                    group.cancel();
                    forever().await;
                    Ok(Value::new())
                }
                _ => {
                    pause(&mut random).await;
                    group.cancel();
                    Ok(Value::new())
                }
            }
        });
        match result.await {
            Ok(value) => value.check(),
            Err(failures) => failures.errors().for_each(Value::check),
        }
    }
    .boxed()
}

/// Limits in limits, moved and kept, with clean-up inside.
async fn timeouts(mut random: Random) {
    for _ in 0..random.below(10) {
        let (outer, inner) = (Duration::from_micros(random.below(500)), Duration::from_micros(random.below(500)));
        let body = tracked(steps(random.split()));
        let clean_up = steps(random.split());
        let result = timeout(outer, async move {
            let inner = wait_for(create_task(tracked(forever())), inner);
            match catch_cancelled(inner).await {
                Ok(Err(_too_late)) => body.await,
                // A stranger has met the inner task.
                Ok(Ok(ended)) => {
                    assert!(ended.unwrap_err().is_cancelled());
                    body.await
                }
                Err(error) => {
                    clean_up.await;
                    error.reraise().await
                }
            }
        });
        if let Ok(value) = result.await {
            value.check();
        }
    }
    let scope = runtime::TimeoutScope::after(Duration::from_secs(60));
    let when = Instant::now() + Duration::from_micros(random.below(200));
    let _ = scope
        .run(async {
            scope.reschedule(Some(when)).unwrap();
            forever().await;
        })
        .await;
}

async fn gathers(mut random: Random) {
    let count = random.below(30);
    let bodies: Vec<_> = (0..count).map(|_| tracked(steps(random.split()))).collect();
    match random.index(3) {
        0 => assert_eq!(gather(bodies).await.into_iter().inspect(Value::check).count() as u64, count),
        1 => {
            for outcome in gather(bodies).return_exceptions().await {
                // The shutdown may have come to a child first.
                assert!(outcome.map_or_else(
                    |error| error.is_cancelled(),
                    |value| {
                        value.check();
                        true
                    }
                ));
            }
        }
        _ => {
            let fails = random.index(4);
            let bodies = bodies.into_iter().enumerate().map(move |(place, body)| async move {
                let value = body.await;
                if place == fails { Err(value) } else { Ok(value) }
            });
            match try_gather(bodies).await {
                Ok(values) => values.iter().for_each(Value::check),
                Err(value) => value.check(),
            }
        }
    }
}

/// Shields whose outer side goes first.
async fn shields(mut random: Random) {
    for _ in 0..random.below(10) {
        let body = steps(random.split());
        let inner = task(&mut random, body);
        let reference = inner.task_ref();
        let outer = task(&mut random, async move { shield(inner).await });
        pause(&mut random).await;
        if random.one_in(2) {
            outer.cancel();
        }
        let _ = outer.await;
        reference.wait().await;
        assert!(reference.done());
    }
}

async fn races(mut random: Random) {
    for _ in 0..random.below(6) {
        let runners: Vec<_> = (0..1 + random.below(6)).map(|_| tracked(steps(random.split()))).collect();
        race(runners).await.unwrap().check();
        let runners: Vec<_> = (0..3)
            .map(|_| {
                let (body, fails) = (tracked(steps(random.split())), random.one_in(2));
                async move { if fails { Err(body.await) } else { Ok(body.await) } }
            })
            .collect();
        let _ = staggered_race(runners, Duration::from_micros(random.below(100))).await;
    }
}

async fn waits(mut random: Random) {
    let mut tasks: Vec<_> = (0..1 + random.below(12))
        .map(|_| {
            let body = steps(random.split());
            task(&mut random, body)
        })
        .collect();
    let when = if random.one_in(2) { ReturnWhen::FirstCompleted } else { ReturnWhen::AllCompleted };
    let limit = Duration::from_micros(random.below(200));
    let count = tasks.len();
    let (done, pending) = wait(&mut tasks).return_when(when).timeout(limit).await;
    assert_eq!(done.len() + pending.len(), count);
    drop((done, pending));
    let mut ended = as_completed(tasks);
    let mut seen = 0;
    while let Some((_place, mut task)) = ended.next().await {
        let _ = task.result().expect("it has ended");
        seen += 1;
    }
    assert_eq!(seen, count);
}

/// Sleeps that end, that are dropped, that are begun again; calls for later.
async fn timers(mut random: Random) {
    let sleeps = (0..random.below(200)).map(|_| sleep(Duration::from_micros(random.below(3_000))));
    let mut sleeps: Vec<_> = sleeps.collect();
    for sleep in &mut sleeps {
        let _ = futures::poll!(sleep);
    }
    while let Some(mut sleep) = sleeps.pop() {
        match random.index(3) {
            0 => drop(sleep),
            1 => sleep.start(),
            _ => {
                let when = Instant::now();
                sleep.await;
                assert!(when.elapsed() < Duration::from_secs(60));
            }
        }
        if random.one_in(20) {
            pause(&mut random).await;
        }
    }
    for _ in 0..random.below(20) {
        let call = Value::call();
        let delay = Duration::from_micros(random.below(2_000));
        let handle = Handle::current().call_later(delay, move || call.check());
        if random.one_in(2) {
            handle.cancel();
        }
    }
}

async fn threads(mut random: Random) {
    let tasks: Vec<_> = (0..random.below(12))
        .map(|_| {
            let (call, what) = (Value::call(), random.index(8));
            to_thread(move || {
                call.check();
                match what {
                    0 => fail(),
                    1 => std::thread::sleep(Duration::from_micros(100)),
                    _ => {}
                }
                Value::new()
            })
        })
        .collect();
    for task in tasks {
        match random.index(4) {
            0 => drop(task),
            1 => drop(task.cancel()),
            _ => {
                let _ = task.await;
            }
        }
    }
}

/// Promises that are kept, dropped, and cancelled by the other side.
async fn promises(mut random: Random) {
    for _ in 0..random.below(20) {
        let (promise, promised) = Promise::new();
        let writer = random.index(3);
        let set = move || drop(promise.set_result(Value::new()));
        match writer {
            0 => drop(to_thread(set)),
            1 => drop(task(&mut random, async move { set() })),
            _ => set(),
        }
        match random.index(4) {
            0 => drop(promised),
            1 => drop(promised.cancel()),
            _ => {
                let _ = promised.await;
            }
        }
    }
}

/// Futures that wait for strangers, who use and keep their wakers.
async fn kicked(mut random: Random, wakers: Arc<WakerBox>) {
    let tasks: Vec<_> = (0..random.below(16))
        .map(|_| {
            let (wakers, mut times) = (Arc::clone(&wakers), random.below(4));
            let body = std::future::poll_fn(move |cx| {
                if times == 0 {
                    return Poll::Ready(Value::new());
                }
                times -= 1;
                wakers.put(cx.waker().clone());
                Poll::Pending
            });
            task(&mut random, body)
        })
        .collect();
    for task in tasks {
        match random.index(4) {
            0 => drop(task),
            1 => {
                task.cancel();
                let _ = task.await;
            }
            _ => {
                let _ = task.await;
            }
        }
    }
}

context_var! { static NUMBER: u64 = 0; }

async fn contexts(mut random: Random) {
    let number = random.next();
    let token = NUMBER.set(number);
    let children = (0..random.below(8)).map(|_| {
        let mut random = random.split();
        async move {
            assert_eq!(NUMBER.get(), number);
            NUMBER.set(random.next());
            let mine = NUMBER.get();
            pause(&mut random).await;
            assert_eq!(NUMBER.get(), mine);
        }
    });
    gather(children.collect::<Vec<_>>()).await;
    assert_eq!(NUMBER.get(), number);
    NUMBER.reset(token);
}

async fn callbacks(mut random: Random) {
    for _ in 0..random.below(10) {
        let body = steps(random.split());
        let task = task(&mut random, body);
        let told = Arc::new(AtomicUsize::new(0));
        let ids: Vec<_> = (0..random.index(4))
            .map(|_| {
                let (told, call) = (Arc::clone(&told), Value::call());
                task.add_done_callback(move |task| {
                    call.check();
                    assert!(task.done());
                    told.fetch_add(1, Relaxed);
                })
            })
            .collect();
        let left = ids.len();
        let removed = ids.into_iter().filter(|_| random.one_in(3)).filter(|id| task.remove_done_callback(*id)).count();
        let _ = task.await;
        assert!(told.load(Relaxed) <= left - removed);
    }
}

/// A value whose drop panics, unless a panic is under way.
struct Thorn(#[expect(dead_code, reason = "counts its drop")] Value);

impl Drop for Thorn {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fail();
        }
    }
}

/// Panics of bodies, and of the destructors of futures and outputs.
async fn panics(mut random: Random) {
    for _ in 0..random.below(10) {
        let mut inner = random.split();
        let what = random.index(4);
        let body = async move {
            let _thorn = (what == 1).then(|| Thorn(Value::new()));
            pause(&mut inner).await;
            if what == 0 {
                fail();
            }
            (what == 2).then(|| Thorn(Value::new()))
        };
        let task = task(&mut random, body);
        if random.one_in(3) {
            task.cancel();
        }
        match random.index(3) {
            0 => drop(task),
            _ => {
                let outcome = task.await;
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(outcome)));
            }
        }
    }
}

/// Other people's channels and locks.
async fn channels(mut random: Random) {
    let (sender, receiver) = async_channel::bounded(1 + random.index(4));
    let (lock, count) = (Arc::new(async_lock::Mutex::new(0)), random.below(200));
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let (sender, lock) = (sender.clone(), Arc::clone(&lock));
            create_task(tracked(async move {
                for _ in 0..count {
                    *lock.lock().await += 1;
                    if sender.send(Value::new()).await.is_err() {
                        return;
                    }
                }
            }))
        })
        .collect();
    drop(sender);
    let stop = random.one_in(3).then(|| random.below(50));
    let mut received = 0;
    while let Ok(value) = receiver.recv().await {
        value.check();
        received += 1;
        if Some(received) == stop {
            break;
        }
    }
    drop(receiver);
    // The shutdown may have come to the producers first.
    let mut all = true;
    for producer in producers {
        all &= producer.await.is_ok();
    }
    assert!(stop.is_some() || !all || received == 4 * count);
}

/// Scopes and catchers in the branches of plain combinators.
async fn branches(mut random: Random) {
    let branch = |random: &mut Random| {
        let limit = Duration::from_micros(random.below(200));
        let body = tracked(steps(random.split()));
        let tail = tracked(steps(random.split()));
        async move {
            let _ = timeout(limit, catch_cancelled(forever())).await;
            let _ = catch_cancelled(timeout(limit, body)).await;
            tail.await.check();
        }
    };
    match random.index(3) {
        0 => drop(join_all((0..4).map(|_| branch(&mut random)).collect::<Vec<_>>()).await),
        1 => {
            let mut all: FuturesUnordered<_> = (0..40).map(|_| branch(&mut random)).collect();
            let leave = random.below(60);
            for _ in 0..leave {
                if all.next().await.is_none() {
                    break;
                }
            }
        }
        _ => {
            let scope = CancelScope::new();
            let other = scope.clone();
            let (one, two) = (branch(&mut random), branch(&mut random));
            let both = futures::future::join(scope.run(one), async {
                two.await;
                other.cancel();
            });
            drop(both.await);
        }
    }
}

/// A runtime inside of a thread of this one.
async fn another_runtime(mut random: Random) {
    let (workers, mut inner) = (1 + random.index(3), random.split());
    let result = to_thread(move || {
        let runner = Runner::builder().workers(workers).thread_name("inner").build().unwrap();
        LEDGER.runtimes.begin();
        let main = async move {
            let bodies: Vec<_> = (0..10).map(|_| tracked(steps(inner.split()))).collect();
            gather(bodies).await
        };
        let values = runner.run(main).unwrap();
        values.iter().for_each(Value::check);
        runner.close();
        LEDGER.runtimes.end();
    });
    if let Err(error) = result.await {
        assert!(error.is_cancelled(), "{error}");
    }
}

async fn inside_of_a_timeout(mut random: Random, wakers: Arc<WakerBox>, depth: usize) {
    let limit = Duration::from_micros(random.below(2_000));
    let _ = timeout(limit, one(random.split(), wakers, depth + 1)).await;
}

async fn inside_of_a_group(mut random: Random, wakers: Arc<WakerBox>, depth: usize) {
    let limit = random.one_in(2).then(|| Duration::from_micros(random.below(2_000)));
    let _ = TaskGroup::<()>::scope(async move |group| {
        for _ in 0..3 {
            group.create_task(one(random.split(), Arc::clone(&wakers), depth + 1));
        }
        if let Some(limit) = limit {
            sleep(limit).await;
            group.cancel();
        }
        Ok(())
    })
    .await;
}

/// What a runtime is closed with: tasks that sleep, clean up, wait for strangers, and make others while they end.
pub(crate) async fn leave_behind(mut random: Random, wakers: Arc<WakerBox>) {
    for _ in 0..random.below(8) {
        let program = one(random.split(), Arc::clone(&wakers), 0);
        drop(task(&mut random, program));
    }
    leave_small(random).await;
}

pub(crate) async fn leave_small(mut random: Random) {
    for _ in 0..random.below(20) {
        let mut inner = random.split();
        let body = async move {
            let Err(error) = catch_cancelled(forever()).await else { unreachable!("it never ends") };
            pause(&mut inner).await;
            if inner.one_in(3) {
                drop(create_task(tracked(forever())));
                drop(to_thread(|| ()));
            }
            CancelledError::reraise(error).await
        };
        drop(task(&mut random, body));
        let call = Value::call();
        Handle::current().call_later(Duration::from_secs(3600), move || call.check());
    }
    pause(&mut random).await;
}
