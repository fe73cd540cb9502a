//! Rows W: `wait`.

use crate::support::{
    begun, cancellation, everywhere, exact, forever, ms, passes, received, reports, send, signal, under_load,
};
use futures::FutureExt;
use runtime::{Handle, ReturnWhen, Task, TaskRef, create_task, sleep, wait, yield_now};
use std::time::Duration;

fn ids<T>(tasks: &[Task<T>]) -> Vec<runtime::TaskId> {
    tasks.iter().map(|task| task.id()).collect()
}

#[test]
fn w_01_it_gives_both_lists_and_touches_no_member() {
    everywhere(async || {
        let tasks: [fn() -> u32; 2] = [|| 1, || panic!("a member")];
        let (mut done, pending) = wait(tasks.map(|f| create_task(async move { f() }))).await;
        assert_eq!((done.len(), pending.len()), (2, 0));
        assert_eq!(done[0].result().unwrap().unwrap(), 1);
        assert!(done[1].result().unwrap().unwrap_err().is_panicked());
    });
}

#[test]
fn w_01_tasks_may_be_borrowed() {
    everywhere(async || {
        let mut tasks = [1, 2].map(|n| create_task(async move { n }));
        let (done, pending) = wait(&mut tasks).await;
        assert_eq!((done.len(), pending.len()), (2, 0));
        for (n, task) in (1..).zip(tasks) {
            assert_eq!(task.await.unwrap(), n);
        }
    });
}

#[test]
fn w_02_without_tasks_it_is_over_at_once() {
    exact(async || {
        for when in [ReturnWhen::AllCompleted, ReturnWhen::FirstCompleted, ReturnWhen::FirstException] {
            let nothing: Vec<Task<()>> = Vec::new();
            let (done, pending) = wait(nothing).return_when(when).now_or_never().unwrap();
            assert!(done.is_empty() && pending.is_empty());
        }
    });
}

#[test]
fn w_03_any_iterator_of_tasks_will_do() {
    everywhere(async || {
        let (done, _) = wait((0..5).map(|n| create_task(passes(n)))).await;
        assert_eq!(done.len(), 5);
    });
}

#[test]
fn w_04_a_timeout_leaves_the_unfinished_ones_running() {
    everywhere(async || {
        let fast = create_task(async {});
        let (go, wait_) = signal();
        let slow = create_task(received(wait_));
        let expected = (vec![fast.id()], vec![slow.id()]);
        fast.task_ref().wait().await;
        let (done, pending) = wait([fast, slow]).timeout(ms(50)).await;
        assert_eq!((ids(&done), ids(&pending)), expected);
        assert_eq!(pending[0].cancelling(), 0);
        send(go);
        let (done, pending) = wait(pending).await;
        assert_eq!((done.len(), pending.len()), (1, 0));
    });
    exact(async || {
        let start = Handle::current().time();
        let (done, pending) = wait([create_task(forever())]).timeout(ms(50)).await;
        assert_eq!((done.len(), pending.len(), Handle::current().time() - start), (0, 1, ms(50)));
    });
}

#[test]
fn w_05_a_timeout_of_zero_gives_one_pass() {
    exact(async || {
        let (done, pending) = wait([create_task(passes(0)), create_task(passes(3))]).timeout(Duration::ZERO).await;
        assert_eq!((done.len(), pending.len()), (1, 1));
    });
}

#[test]
fn w_06_first_completed_gives_all_that_had_ended_when_the_waiter_resumed() {
    exact(async || {
        let tasks = [create_task(passes(1)), create_task(passes(1)), create_task(forever())];
        let (done, pending) = wait(tasks).return_when(ReturnWhen::FirstCompleted).await;
        assert_eq!((done.len(), pending.len()), (2, 1));
    });
    everywhere(async || {
        let cancelled = create_task(forever());
        cancelled.cancel();
        let (done, pending) = wait([create_task(forever()), cancelled]).return_when(ReturnWhen::FirstCompleted).await;
        assert!(done[0].cancelled(), "a cancellation counts");
        assert!(!pending[0].done());
    });
}

#[test]
fn w_07_first_exception_waits_for_an_error_or_for_all() {
    everywhere(async || {
        let member = |n: i32| create_task(async move { if n < 0 { Err(n) } else { Ok(forever().await) } });
        let cancelled = member(1);
        cancelled.cancel();
        cancelled.task_ref().wait().await;
        let (done, pending) = wait([cancelled, member(2), member(-1)])
            .return_when(ReturnWhen::FirstException)
            .failed_if(Result::is_err)
            .await;
        assert_eq!((done.len(), pending.len()), (2, 1), "the cancelled one alone did not end it");

        let panics = create_task(async { panic!("a member") });
        let (done, _) = wait([create_task(forever()), panics]).return_when(ReturnWhen::FirstException).await;
        assert!(done[0].exception().unwrap().unwrap().is_panicked());

        let (done, pending) =
            wait([1, 2].map(|n| create_task(passes(n)))).return_when(ReturnWhen::FirstException).await;
        assert_eq!((done.len(), pending.len()), (2, 0));
        let cancelled = create_task(forever());
        cancelled.cancel();
        let (done, _) = wait([cancelled]).return_when(ReturnWhen::FirstException).await;
        assert!(done[0].cancelled());
    });
}

#[test]
fn w_08_with_all_done_it_does_not_suspend() {
    exact(async || {
        let task = create_task(async {});
        yield_now().await;
        assert!(wait([task]).now_or_never().is_some());
    });
}

#[test]
fn w_09_a_cancelled_waiter_leaves_the_members_alone() {
    everywhere(async || {
        let (go, wait_) = signal();
        let member = create_task(received(wait_));
        let same = member.task_ref();
        let waiter = begun(async { wait([member]).await }).await;
        passes(2).await;
        waiter.cancel_with("stop");
        assert_eq!(cancellation(waiter.await).message(), Some("stop"));
        assert_eq!((same.done(), same.cancelling()), (false, 0));
        send(go);
        same.wait().await;
        assert!(!same.cancelled());
    });
}

#[test]
fn w_09_a_request_in_the_pass_in_which_the_condition_is_met_wins() {
    exact(async || {
        let mut member = create_task(passes(4));
        let same: TaskRef = member.task_ref();
        let waiter = begun(async move { wait([&mut member]).await.0.len() }).await;
        while !same.done() {
            yield_now().await;
        }
        assert!(!waiter.done());
        assert!(waiter.cancel());
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert!(!same.cancelled());
    });
    under_load(300, async |round| {
        let member = create_task(passes(round % 5));
        let waiter = begun(async { wait([member]).await.0.len() }).await;
        passes(round % 4).await;
        let accepted = waiter.cancel();
        match waiter.await {
            Ok(done) => assert_eq!((accepted, done), (false, 1)),
            Err(error) => assert!(accepted && error.is_cancelled()),
        }
    });
}

#[test]
fn w_10_a_failure_that_only_wait_has_seen_is_reported_later() {
    everywhere(async || {
        for (when, expected) in [(ReturnWhen::AllCompleted, 1), (ReturnWhen::FirstException, 0)] {
            let reports = reports();
            let (done, pending) = wait([create_task(async { panic!("a member") })]).return_when(when).await;
            drop((done, pending));
            passes(10).await;
            assert_eq!(reports.take().len(), expected);
        }
    });
}

#[test]
fn w_04_the_wait_of_ten_thousand_is_not_slow() {
    everywhere(async || {
        let tasks = (0..10_000).map(|n| {
            create_task(async move {
                if n % 2 == 0 {
                    forever().await
                }
            })
        });
        let mut tasks: Vec<_> = tasks.collect();
        let (done, _) = wait(tasks.iter_mut().skip(1).step_by(2)).await;
        assert_eq!(done.len(), 5000);
        let (done, pending) = wait(tasks).timeout(ms(1)).await;
        assert_eq!((done.len(), pending.len()), (5000, 5000));
        sleep(Duration::ZERO).await;
    });
}
