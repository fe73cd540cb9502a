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
        timeout(Duration::from_secs(60), add()).await.unwrap();
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
        let two = timeout(Duration::from_secs(60), async { 2 }).await?;
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
