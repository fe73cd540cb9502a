//! Futures are `Send` when their parts are, and the types of the vocabulary say what is expected of them.

use runtime::{
    CancelScope, CancelledError, Context, ExceptionGroup, GroupClosed, GroupTask, Handle, PanicError, Promise, Task,
    TaskError, TaskGroup, TaskRef, TimeoutError, TimeoutScope, as_completed, cancel_when, catch_cancelled, create_task,
    gather, intercept, race, run, shield, sleep, staggered_race, timeout, timeout_at, try_gather, wait, wait_for,
    yield_now,
};
use std::rc::Rc;
use std::time::Duration;

fn is_send<T: Send>(_: &T) {}
fn is_send_and_sync<T: Send + Sync>() {}
fn is_unpin<T: Unpin>(_: &T) {}

/// Tells whether a type has a trait: the inherent constant is there only if it has, and goes before the trait's.
macro_rules! has {
    ($type:ty: $trait:path) => {{
        #[allow(dead_code, reason = "used where the bound does not hold")]
        trait Fallback {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Fallback for T {}
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "the fallback's is used where the bound does not hold")]
        impl<T: ?Sized + $trait> Probe<T> {
            const HAS: bool = true;
        }
        <Probe<$type>>::HAS
    }};
}

/// The types whose promises are not those of the table.
macro_rules! differing {
    ($($type:ty: $send:literal $sync:literal $unpin:literal $unwind:literal;)*) => {{
        let mut differing: Vec<String> = Vec::new();
        $(
            let has = [has!($type: Send), has!($type: Sync), has!($type: Unpin), has!($type: std::panic::UnwindSafe)];
            if has != [$send, $sync, $unpin, $unwind] {
                let name = stringify!($type);
                differing.push(format!("{name}: {} {} {} {};", has[0], has[1], has[2], has[3]));
            }
        )*
        differing
    }};
}

#[test]
fn auto_traits_of_all_public_types() {
    use runtime::*;
    type Ready = std::future::Ready<u8>;
    type Local = std::future::Ready<Rc<u8>>;
    type Pinned = std::marker::PhantomPinned;
    let differing = differing! {
        // type: Send Sync Unpin UnwindSafe
        AsCompleted<Task<u8>>: true true true false;
        AsCompletedWithin<Task<u8>>: true true true false;
        Await: true true true true;
        Awaits: true true true true;
        BlockingConfig: true true true true;
        BlockingMetrics: true true true true;
        BlockingTimeout: true true true true;
        CallGraph: true true true true;
        CallHandle: true true true false;
        CallbackId: true true true true;
        CancelScope: true true true false;
        CancelWhen<Ready, Scoped>: true true true false;
        CancelledError: true true true true;
        CatchCancelled<Ready>: true true true false;
        CatchCancelled<Local>: false false true false;
        Config: true true true true;
        Context: true true true false;
        ContextVar<u8>: true true true true;
        Engine: true true true false;
        ExceptionContext: true true true false;
        ExceptionGroup<u8>: true true true false;
        ExceptionGroup<Rc<u8>>: false false true false;
        Failure<u8>: true true true false;
        GroupClosed<u8>: true true true true;
        GroupClosed<Pinned>: true true false true;
        GroupTask<u8>: true true true true;
        Handle: true true true false;
        Intercept<Ready, ()>: true true true false;
        Intercepted<u8>: true true true true;
        InvalidStateError: true true true true;
        Metrics: true true true true;
        OutsidePause: true true true false;
        OutsideWork: true true true false;
        PanicError: true true true false;
        PollTimes: true true true true;
        Promise<u8>: true true true true;
        Promise<Rc<u8>>: false false true true;
        ReturnWhen: true true true true;
        RingProbe: true true true true;
        Runner: true true true false;
        RunnerBuilder: true true true true;
        Scoped: true true true false;
        Shield<u8>: true true true true;
        Sleep: true true true true;
        StackFrame: true true true true;
        Task<u8>: true true true true;
        Task<std::cell::Cell<u8>>: true true true true;
        Task<Rc<u8>>: false false true true;
        TaskBuilder: true true true false;
        TaskError: true true true false;
        TaskGroup<u8>: true true true false;
        TaskGroup<Rc<u8>>: false false true false;
        TaskId: true true true true;
        TaskRef: true true true false;
        TaskReport: true true true true;
        TaskStack: true true true true;
        TaskState: true true true true;
        Timeout<Ready>: true true true false;
        Timeout<Local>: false false true false;
        TimeoutError: true true true true;
        TimeoutScope: true true true false;
        TimeoutStateError: true true true true;
        TimerMetrics: true true true true;
        Token<u8>: true true true false;
        Wait: true true true false;
        WaitMany<Task<u8>>: true true true false;
        WorkerMetrics: true true true true;
        WorkerReport: true true true true;
        YieldNow: true true true true;
    };
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn every_public_type_is_in_the_table() {
    // The parameters of these have no names; they stand among the futures below.
    const UNNAMED: [&str; 3] = ["Gather", "GatherOutcomes", "TryGather"];
    let table = include_str!("auto_traits.rs");
    let types = include_str!("../../docs/api.txt").lines().filter_map(|line| {
        let (path, what) = line.split_once(": ")?;
        let (module, name) = path.rsplit_once("::")?;
        let is_type = what.starts_with("struct") || what.starts_with("enum");
        // The wheel is no part of the facade; its own tests have its types.
        (is_type && module != "runtime_timers").then_some(name)
    });
    let has_row = |name: &str| [":", "<"].iter().any(|end| table.contains(&format!("        {name}{end}")));
    let missing: Vec<_> = types.filter(|name| !has_row(name) && !UNNAMED.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn futures_are_send_when_their_parts_are() {
    let _never_polled = || {
        let second = Duration::from_secs(1);
        is_send(&sleep(second));
        is_send(&yield_now());
        is_send(&timeout(second, async {}));
        is_send(&timeout_at(std::time::Instant::now(), async {}));
        is_send(&wait_for(create_task(async {}), second));
        is_send(&catch_cancelled(async {}));
        is_send(&intercept(async {}, |_, _| {}));
        is_send(&cancel_when(async {}, async { CancelledError::default() }));
        is_send(&CancelScope::new().run(async {}));
        is_send(&gather([async {}]));
        is_send(&gather((async {}, async { 1 })));
        is_send(&gather([async {}]).return_exceptions());
        is_send(&try_gather([async { Ok::<_, String>(1) }]));
        is_send(&shield(async {}));
        is_send(&wait([create_task(async {})]).timeout(second));
        is_send(&wait(&mut [create_task(async {})]));
        is_send(&as_completed([create_task(async {})]));
        is_send(&as_completed([create_task(async {})]).timeout(second));
        is_send(&race([async {}]));
        is_send(&staggered_race([async { Ok::<_, String>(()) }], second));
        is_send(&TimeoutScope::never().run(async {}));
        is_send(&CancelledError::default().reraise());
        is_send(&create_task(async {}).wait());
        is_send(&TaskGroup::<String>::scope(async |group| {
            group.create_task(async {});
            Ok(())
        }));
    };
}

#[test]
fn futures_that_are_not_send_run_in_words_that_make_no_tasks() {
    let count = Rc::new(std::cell::Cell::new(0));
    run(async {
        let add = || async { count.set(count.get() + 1) };
        timeout(Duration::from_secs(3600), add()).await.unwrap();
        catch_cancelled(add()).await.unwrap();
        race([add()]).await.unwrap();
        TaskGroup::<()>::scope(async |_group| Ok(add().await)).await.unwrap();
        TimeoutScope::never().run(add()).await.unwrap();
    });
    assert_eq!(count.get(), 5);
}

#[test]
fn handles_and_errors_go_anywhere() {
    is_send_and_sync::<Task<u8>>();
    is_send_and_sync::<TaskRef>();
    is_send_and_sync::<Promise<u8>>();
    is_send_and_sync::<Handle>();
    is_send_and_sync::<TaskGroup<u8>>();
    is_send_and_sync::<GroupTask<u8>>();
    is_send_and_sync::<TimeoutScope>();
    is_send_and_sync::<CancelScope>();
    is_send_and_sync::<Context>();
    is_send_and_sync::<ExceptionGroup<String>>();
    is_send_and_sync::<TaskError>();
    is_send_and_sync::<CancelledError>();
    is_send_and_sync::<PanicError>();
    is_send_and_sync::<TimeoutError>();
    is_send_and_sync::<GroupClosed<u8>>();
    is_unpin(&Promise::<u8>::new().1);
}

#[test]
fn errors_work_with_the_question_mark() {
    async fn all_kinds() -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
        let one = create_task(async { 1 }).await?;
        let two = timeout(Duration::from_secs(3600), async { 2 }).await?;
        let three = catch_cancelled(async { 3 }).await?;
        let [four] = try_gather([async { "4".parse::<u32>() }]).await?[..] else { unreachable!() };
        let five = TaskGroup::scope(async |group| {
            let child = group.create_task(async { "5".parse::<u32>() });
            Ok(child.await.unwrap())
        })
        .await?;
        Ok(one + two + three + four + five)
    }
    assert_eq!(run(all_kinds()).unwrap(), 15);
}
