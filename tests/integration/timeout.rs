//! Rows TO: `timeout`, `timeout_at`, and the scope whose deadline can be moved.

use crate::support::{
    Count, Log, OnDrop, begun, cancellation, everywhere, exact, forever, let_go, ms, passes, under_load,
};
use futures::FutureExt;
use runtime::{
    CancelledError, Handle, Promise, TaskGroup, TimeoutError, TimeoutScope, catch_cancelled, create_task, current_task,
    sleep, timeout, timeout_at, yield_now,
};
use std::time::{Duration, Instant};

fn now() -> Instant {
    Handle::current().time()
}

fn count() -> u32 {
    current_task().unwrap().cancelling()
}

/// Waits for ever; after a request, cleans up for so long and lets it go on.
async fn cleans_up_for(duration: Duration) {
    if let Err(error) = catch_cancelled(forever()).await {
        sleep(duration).await;
        error.reraise().await
    }
}

/// Waits for ever; after a request, cleans up for so long and swallows it.
async fn swallows_after(duration: Duration) -> &'static str {
    assert!(catch_cancelled(forever()).await.is_err());
    sleep(duration).await;
    "swallowed"
}

#[test]
fn to_01_the_deadline_cancels_the_body_and_the_count_is_as_at_entry() {
    everywhere(async || {
        let start = now();
        let scope = TimeoutScope::after(ms(10));
        let body = async {
            let error = catch_cancelled(forever()).await.unwrap_err();
            assert!(scope.expired());
            assert_eq!((count(), error.message()), (1, None));
            error.reraise().await
        };
        let result: Result<(), TimeoutError> = scope.run(body).await;
        assert!(result.is_err());
        assert!(now() - start >= ms(10));
        assert_eq!(count(), 0);
        assert!(scope.expired());
        yield_now().await;
    });
    exact(async || {
        let start = now();
        assert!(timeout(ms(10), forever()).await.is_err());
        assert_eq!(now() - start, ms(10));
        assert!(timeout_at(start + ms(25), forever()).await.is_err());
        assert_eq!(now() - start, ms(25));
    });
}

#[test]
fn to_01_destructors_have_run_when_the_error_is_there() {
    everywhere(async || {
        let dropped = Count::default();
        let guard = OnDrop(dropped.clone());
        let body = async move {
            let _guard = guard;
            forever().await;
        };
        assert!(timeout(ms(1), body).await.is_err());
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn to_02_a_body_that_ends_in_time_disarms_the_timer() {
    exact(async || {
        let start = now();
        let scope = TimeoutScope::after(ms(10));
        assert_eq!(scope.run(sleep(ms(5)).map(|()| 1)).await, Ok(1));
        assert!(!scope.expired());
        assert_eq!(timeout(ms(10), async { 2 }).await, Ok(2));
        sleep(ms(20)).await;
        assert_eq!(now() - start, ms(25));
        assert_eq!(count(), 0);
    });
}

#[test]
fn to_03_without_a_deadline_it_never_fires_and_may_be_given_one() {
    exact(async || {
        let scope = TimeoutScope::never();
        assert_eq!(scope.when(), None);
        scope.run(sleep(Duration::from_secs(1_000_000))).await.unwrap();
        assert!(!scope.expired());

        let scope = TimeoutScope::never();
        let start = now();
        let result = scope
            .run(async {
                sleep(ms(5)).await;
                scope.reschedule(Some(now() + ms(5))).unwrap();
                assert_eq!(scope.when(), Some(start + ms(10)));
                forever().await;
            })
            .await;
        assert_eq!((result.is_err(), now() - start), (true, ms(10)));
        timeout(Duration::MAX, sleep(Duration::from_secs(1_000_000))).await.unwrap();
    });
}

#[test]
fn to_04_a_deadline_that_has_passed_interrupts_the_first_suspension() {
    everywhere(async || {
        for duration in [Duration::ZERO, Duration::from_nanos(1)] {
            let log = Log::default();
            let body = async {
                log.add("before");
                if duration.is_zero() {
                    yield_now().await
                } else {
                    forever().await
                }
                log.add("after");
            };
            assert!(timeout(duration, body).await.is_err());
            assert_eq!(log.take(), ["before"]);
        }
        assert!(timeout_at(now() - ms(5), yield_now()).await.is_err());
        assert!(timeout_at(now(), sleep(Duration::ZERO)).await.is_err());
        assert!(TimeoutScope::at(now() - ms(5)).run(yield_now()).await.is_err());
        assert!(TimeoutScope::after(Duration::ZERO).run(yield_now()).await.is_err());
    });
}

#[test]
fn to_05_a_body_that_does_not_suspend_is_not_interrupted() {
    everywhere(async || {
        assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1));
        let scope = TimeoutScope::at(now() - ms(5));
        assert_eq!(scope.run(async { 1 }).await, Ok(1));
        assert!(!scope.expired());
        assert_eq!(count(), 0);
        yield_now().await;
    });
}

#[test]
fn to_06_a_body_that_swallows_it_ends_normally() {
    everywhere(async || {
        let scope = TimeoutScope::after(ms(1));
        assert_eq!(scope.run(swallows_after(ms(1))).await, Ok("swallowed"));
        assert!(scope.expired());
        assert_eq!(count(), 0);
        passes(2).await;
    });
}

#[test]
fn to_07_an_error_of_the_body_in_answer_leaves_instead() {
    everywhere(async || {
        let scope = TimeoutScope::after(ms(1));
        let body = async {
            assert!(catch_cancelled(forever()).await.is_err());
            Err::<(), _>("answer")
        };
        assert_eq!(scope.run(body).await, Ok(Err("answer")));
        assert!(scope.expired());
        passes(2).await;
    });
}

#[test]
fn to_08_an_error_before_the_deadline_leaves_unchanged() {
    everywhere(async || {
        let scope = TimeoutScope::after(Duration::from_secs(3600));
        let own = timeout(Duration::ZERO, yield_now()).await;
        assert_eq!(scope.run(async move { own }).await, Ok(own));
        assert!(!scope.expired());
    });
}

#[test]
fn to_09_a_request_from_outside_before_the_deadline_passes_through() {
    everywhere(async || {
        let scope = TimeoutScope::after(Duration::from_secs(3600));
        let same = scope.clone();
        let task = begun(async move { same.run(forever()).await }).await;
        task.cancel_with("outside");
        let asked = task.task_ref();
        assert_eq!(cancellation(task.await).message(), Some("outside"));
        assert!(!scope.expired());
        assert_eq!(asked.cancelling(), 1);
    });
}

#[test]
fn to_10_a_deadline_during_the_clean_up_after_a_request_interrupts_it_and_the_request_wins() {
    exact(async || {
        let log = Log::default();
        let told = log.clone();
        let scope = TimeoutScope::after(ms(10));
        let same = scope.clone();
        let task = begun(async move {
            let body = async {
                let first = catch_cancelled(forever()).await.unwrap_err();
                told.add(format!("first {:?} {}", first.message(), count()));
                let second = catch_cancelled(sleep(ms(100))).await.unwrap_err();
                told.add(format!("second {:?} {}", second.message(), count()));
                second.reraise().await
            };
            let _: Result<(), TimeoutError> = same.run(body).await;
            told.add("not reached");
        })
        .await;
        let start = now();
        sleep(ms(5)).await;
        task.cancel_with("outside");
        let asked = task.task_ref();
        cancellation(task.await);
        assert_eq!(now() - start, ms(10));
        assert_eq!(log.take(), ["first Some(\"outside\") 1", "second None 2"]);
        assert!(scope.expired());
        assert_eq!(asked.cancelling(), 1);
    });
}

#[test]
fn to_11_a_request_during_the_clean_up_after_the_deadline_wins() {
    exact(async || {
        let scope = TimeoutScope::after(ms(5));
        let same = scope.clone();
        let task = begun(async move { same.run(cleans_up_for(ms(100))).await }).await;
        let start = now();
        sleep(ms(10)).await;
        task.cancel_with("outside");
        let asked = task.task_ref();
        assert_eq!(cancellation(task.await).message(), Some("outside"));
        assert_eq!(now() - start, ms(10));
        assert!(scope.expired());
        assert_eq!(asked.cancelling(), 1);
    });
}

#[test]
fn to_12_a_request_in_the_same_pass_as_the_deadline_wins() {
    exact(async || {
        for first in [true, false] {
            let scope = TimeoutScope::after(ms(5));
            let same = scope.clone();
            // Both timers are due in one pass, in either order.
            let canceller = |task: runtime::TaskRef| {
                Handle::current().call_later(ms(5), move || assert!(task.cancel_with("outside")))
            };
            let (promise, me) = Promise::new();
            let task = create_task(async move {
                promise.set_result(current_task().unwrap()).unwrap();
                if first {
                    canceller(current_task().unwrap());
                }
                same.run(forever()).await
            });
            let me = me.await.unwrap();
            if !first {
                canceller(me.clone());
            }
            assert_eq!(cancellation(task.await).message(), Some("outside"));
            assert_eq!(me.cancelling(), 1);
        }
    });
}

#[test]
fn to_12_a_request_is_never_lost_against_a_deadline_under_load() {
    under_load(300, async |round| {
        let delay = Duration::from_micros(round as u64 % 50 * 10);
        let task = begun(async move { timeout(Duration::from_micros(200), forever()).await }).await;
        sleep(delay).await;
        let accepted = task.cancel();
        match task.await {
            Ok(result) => assert!(!accepted && result.is_err()),
            Err(error) => assert!(accepted && error.is_cancelled()),
        }
    });
}

#[test]
fn to_13_a_deadline_in_the_same_pass_as_the_result_wins() {
    exact(async || {
        for result_first in [true, false] {
            let (promise, mut value) = Promise::new();
            let set = move || promise.set_result(7).unwrap();
            if result_first {
                Handle::current().call_later(ms(5), set);
                assert!(timeout(ms(5), &mut value).await.is_err());
            } else {
                let body = async {
                    Handle::current().call_later(ms(5), set);
                    (&mut value).await
                };
                assert!(timeout(ms(5), body).await.is_err());
            }
            passes(2).await;
            assert!(value.done());
        }
    });
}

#[test]
fn to_14_of_two_nested_scopes_with_one_deadline_the_outer_one_times_out() {
    exact(async || {
        let when = now() + ms(10);
        let (outer, inner) = (TimeoutScope::at(when), TimeoutScope::at(when));
        let body = async {
            let _: Result<(), TimeoutError> = inner.run(forever()).await;
            unreachable!("the inner one lets it pass");
        };
        let result: Result<(), TimeoutError> = outer.run(body).await;
        assert!(result.is_err());
        assert!(inner.expired() && outer.expired());
        assert_eq!(count(), 0);
        yield_now().await;
    });
}

#[test]
fn to_15_an_inner_scope_may_time_out_alone_and_the_outer_one_can_still_fire() {
    exact(async || {
        let log = Log::default();
        let body = async {
            assert!(timeout(ms(5), forever()).await.is_err());
            log.add("goes on");
            forever().await;
        };
        let start = now();
        assert!(timeout(ms(10), body).await.is_err());
        assert_eq!((now() - start, log.take().len()), (ms(10), 1));
    });
}

#[test]
fn to_16_an_outer_deadline_passes_the_inner_scope() {
    exact(async || {
        let inner = TimeoutScope::after(ms(20));
        let body = async {
            let _ = inner.run(forever()).await;
            unreachable!("the inner one lets it pass");
        };
        let result: Result<(), TimeoutError> = timeout(ms(10), body).await;
        assert!(result.is_err());
        assert!(!inner.expired());
    });
}

#[test]
fn to_17_an_outer_deadline_during_the_clean_up_after_the_inner_one_interrupts_it() {
    exact(async || {
        let (inner, outer) = (TimeoutScope::after(ms(5)), TimeoutScope::after(ms(10)));
        let start = now();
        let body = async {
            let _ = inner.run(cleans_up_for(ms(100))).await;
            unreachable!("the inner one lets it pass");
        };
        let result: Result<(), TimeoutError> = outer.run(body).await;
        assert_eq!((result.is_err(), now() - start), (true, ms(10)));
        assert!(inner.expired() && outer.expired());
        assert_eq!(count(), 0);
    });
}

#[test]
fn to_18_a_scope_in_the_clean_up_after_the_outer_one_fired_works() {
    exact(async || {
        let start = now();
        let body = async {
            let error = catch_cancelled(forever()).await.unwrap_err();
            assert!(timeout(ms(7), forever()).await.is_err());
            assert_eq!(timeout(ms(7), async { 1 }).await, Ok(1));
            error.reraise().await
        };
        let result: Result<(), TimeoutError> = timeout(ms(5), body).await;
        assert_eq!((result.is_err(), now() - start), (true, ms(12)));
    });
}

#[test]
fn to_19_with_a_count_from_before_a_scope_works_and_the_count_goes_back() {
    everywhere(async || {
        let task = create_task(async {
            let me = current_task().unwrap();
            me.cancel();
            assert!(catch_cancelled(forever()).await.is_err());
            assert_eq!(count(), 1);
            assert!(timeout(ms(1), forever()).await.is_err());
            assert_eq!(count(), 1);
            assert!(timeout(Duration::ZERO, yield_now()).await.is_err());
            me.uncancel()
        });
        assert_eq!(task.await.unwrap(), 0);
    });
}

#[test]
fn to_20_a_request_that_is_pending_at_entry_cancels_the_first_suspension() {
    everywhere(async || {
        let scope = TimeoutScope::after(Duration::from_secs(3600));
        let same = scope.clone();
        let task = create_task(async move {
            current_task().unwrap().cancel_with("before");
            same.run(forever()).await
        });
        assert_eq!(cancellation(task.await).message(), Some("before"));
        assert!(!scope.expired());
    });
}

#[test]
fn to_21_a_timeout_of_zero_does_not_eat_a_pending_request() {
    everywhere(async || {
        let task = create_task(async {
            current_task().unwrap().cancel_with("before");
            timeout(Duration::ZERO, forever()).await
        });
        assert_eq!(cancellation(task.await).message(), Some("before"));
        // Also when it was made elsewhere, between the first step and the second.
        let task = begun(async {
            let result = timeout(Duration::ZERO, forever()).await;
            (result, catch_cancelled(forever()).await.is_err())
        })
        .await;
        task.cancel();
        if let Ok((result, cancelled_later)) = task.await {
            assert!(result.is_err() && cancelled_later, "the timeout came first, and the request was not lost");
        }
    });
}

#[test]
fn to_22_a_deadline_can_be_moved_from_any_task() {
    exact(async || {
        let cases: [(u64, Option<u64>, Option<u64>); 5] = [
            (10, Some(20), Some(20)),
            (20, Some(10), Some(10)),
            (10, None, None),
            (20, Some(0), Some(5)),
            (20, Some(5), Some(5)),
        ];
        for (from, to, expires) in cases {
            let start = now();
            let scope = TimeoutScope::at(start + ms(from));
            let other = scope.clone();
            let mover = create_task(async move {
                sleep(ms(5)).await;
                other.reschedule(to.map(|to| start + ms(to))).unwrap();
            });
            let result = scope.run(sleep(ms(1000))).await;
            assert_eq!(result.is_err(), expires.is_some());
            assert_eq!(now() - start, ms(expires.unwrap_or(1000)));
            mover.await.unwrap();
        }
    });
}

#[test]
fn to_22_a_deadline_can_be_moved_under_load() {
    under_load(100, async |round| {
        let scope = TimeoutScope::never();
        let other = scope.clone();
        let task = begun(async move { scope.run(forever()).await }).await;
        passes(round % 5).await;
        // In the first step of the task it may not be entered yet.
        while other.reschedule(Some(now())).is_err() {
            yield_now().await;
        }
        assert!(task.await.unwrap().is_err());
        assert!(other.expired());
    });
}

#[test]
fn to_23_a_scope_cannot_be_moved_before_entry_after_the_end_and_once_it_has_expired() {
    everywhere(async || {
        let scope = TimeoutScope::after(ms(1));
        let not_entered = scope.reschedule(None).unwrap_err();
        let body = async {
            let error = catch_cancelled(forever()).await.unwrap_err();
            let expired = scope.reschedule(None).unwrap_err();
            assert_ne!(expired, not_entered);
            error.reraise().await
        };
        let result: Result<(), TimeoutError> = scope.run(body).await;
        assert!(result.is_err());
        assert_ne!(scope.reschedule(None).unwrap_err(), not_entered);

        let scope = TimeoutScope::never();
        scope.run(async {}).await.unwrap();
        assert!(scope.reschedule(Some(now())).is_err());
        let scope = TimeoutScope::never();
        assert!(scope.run(forever()).now_or_never().is_none());
        assert!(scope.reschedule(Some(now())).is_err(), "a dropped one is over");
    });
}

#[test]
fn to_24_entering_twice_panics_with_advice() {
    everywhere(async || {
        let scope = TimeoutScope::never();
        scope.run(async {}).await.unwrap();
        let again = create_task(async move { scope.run(async {}).await });
        let error = again.await.unwrap_err();
        assert!(error.is_panicked() && error.to_string().contains("make another one"), "{error}");
    });
}

#[test]
fn to_25_an_awaited_task_is_cancelled_and_waited_for_without_bound() {
    exact(async || {
        let start = now();
        let task = create_task(cleans_up_for(ms(500)));
        let same = task.task_ref();
        assert!(timeout(ms(5), task).await.is_err());
        assert_eq!(now() - start, ms(505));
        assert!(same.cancelled());

        let task = create_task(swallows_after(ms(500)));
        let body = async { (task.await.unwrap(), sleep(ms(100)).await) };
        assert_eq!(timeout(ms(5), body).await, Ok(("swallowed", ())), "the body goes on with the value");
        assert_eq!(now() - start, ms(1110));
    });
}

#[test]
fn to_26_durations_beyond_all_time_never_fire() {
    exact(async || {
        timeout(Duration::MAX, sleep(Duration::from_secs(1 << 30))).await.unwrap();
        TimeoutScope::after(Duration::MAX).run(sleep(Duration::from_secs(3))).await.unwrap();
    });
}

#[test]
fn to_27_around_a_group_the_children_end_before_the_error_is_there() {
    exact(async || {
        let cleaned_up = Count::default();
        let start = now();
        let group = TaskGroup::<()>::scope(async |group| {
            for _ in 0..3 {
                let told = cleaned_up.clone();
                group.create_task(async move {
                    let error = catch_cancelled(forever()).await.unwrap_err();
                    sleep(ms(100)).await;
                    told.add();
                    let_go(error).await
                });
            }
            Ok(())
        });
        assert!(timeout(ms(5), group).await.is_err());
        assert_eq!((cleaned_up.get(), now() - start), (3, ms(105)));
        assert_eq!(count(), 0);
    });
}

#[test]
fn to_27_in_a_child_of_a_group_the_error_fails_the_group() {
    exact(async || {
        let result = TaskGroup::scope(async |group| {
            group.create_task(timeout(ms(5), forever()));
            forever().await;
            Ok(())
        })
        .await;
        let errors: Vec<TimeoutError> = result.unwrap_err().into_errors().collect();
        assert_eq!(errors.len(), 1);
    });
}

#[test]
fn to_25_a_timeout_around_clean_up_of_a_body_runs_it_to_its_end() {
    exact(async || {
        let start = now();
        let body = async {
            let error = catch_cancelled(forever()).await.unwrap_err();
            for _ in 0..10 {
                sleep(ms(10)).await;
            }
            error.reraise().await
        };
        let result: Result<(), TimeoutError> = timeout(ms(1), body).await;
        assert_eq!((result.is_err(), now() - start), (true, ms(101)));
    });
}

#[test]
fn c_31_taking_back_an_older_request_inside_does_not_make_a_scope_claim_a_new_one() {
    exact(async || {
        let task = begun(async {
            let me = current_task().unwrap();
            me.cancel();
            assert!(catch_cancelled(forever()).await.is_err());
            assert_eq!(me.cancelling(), 1);
            // At entry the count is 1; inside it goes to 0, and up again by somebody else.
            timeout(ms(10), async {
                me.uncancel();
                cleans_up_for(ms(100)).await;
            })
            .await
        })
        .await;
        sleep(ms(20)).await;
        task.cancel_with("new");
        assert_eq!(cancellation(task.await).message(), Some("new"));
    });
}

#[test]
fn a_user_s_scope_gives_back_what_it_raises_itself_only_to_catchers_further_out() {
    everywhere(async || {
        let raised = catch_cancelled(timeout(Duration::from_secs(3600), async {
            CancelledError::new("mine").reraise().await;
        }));
        assert_eq!(raised.await.unwrap_err().message(), Some("mine"));
    });
}
