//! Area C: requests, their delivery, catching, counting.

use crate::support::*;
use futures::channel::oneshot;
use runtime_core::*;
use std::future::pending;
use std::time::Duration;

/// A task that waits for ever and says when it has begun.
pub(crate) fn waiting() -> (Task<()>, Awaited) {
    let (begun, has_begun) = event();
    let task = create_task(async move {
        begun.happen();
        pending::<()>().await;
    });
    (task, has_begun)
}

/// A task that has begun to await another one.
async fn awaits<T: Send + 'static>(inner: Task<T>) -> Task<Result<T, TaskError>> {
    let (begun, has_begun) = event();
    let task = create_task(async move {
        begun.happen();
        inner.await
    });
    has_begun.wait().await;
    task
}

pub(crate) fn message(error: &TaskError) -> Option<&str> {
    match error {
        TaskError::Cancelled(error) => error.message(),
        TaskError::Panicked(_) => panic!("{error}"),
    }
}

#[test]
fn c_01_a_task_cancelled_before_its_first_step_never_runs() {
    in_order(async {
        let trace = Trace::default();
        let (inside, held) = (trace.clone(), trace.on_drop("dropped"));
        let task = create_task(async move {
            let _held = held;
            inside.add("entered");
        });
        assert!(task.cancel_with("early"));
        assert_eq!(task.cancelling(), 1);
        assert!(!task.done() && trace.take().is_empty(), "nothing of it runs in the call");
        let error = task.await.unwrap_err();
        assert_eq!(message(&error), Some("early"));
        assert_eq!(trace.take(), "dropped");
    });
}

#[test]
fn c_02_the_task_stays_pending_until_its_next_poll() {
    in_order(async {
        let trace = Trace::default();
        let held = trace.on_drop("unwound");
        let mut task = create_task(async move {
            let _held = held;
            sleep(Duration::MAX).await;
        });
        yield_now().await;
        assert!(task.cancel());
        assert!(!task.done() && !task.cancelled() && trace.take().is_empty());
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.done() && task.cancelled());
        assert_eq!(trace.take(), "unwound");
    });
}

#[test]
fn c_03_a_request_beats_a_zero_sleep_that_is_ready() {
    in_order(async {
        let trace = Trace::default();
        let inside = trace.clone();
        let task = create_task(async move {
            inside.add("before");
            sleep(Duration::ZERO).await;
            inside.add("after");
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(trace.take(), "before");
    });
}

everywhere! {
    async fn c_04_a_request_is_passed_to_the_awaited_task() {
        let trace = Trace::default();
        let (begun, has_begun) = event();
        let (inner_trace, outer_trace) = (trace.clone(), trace.clone());
        let inner = create_task(async move {
            begun.happen();
            let caught = catch_cancelled(pending::<()>()).await.unwrap_err();
            inner_trace.add("inner cleans up");
            yield_now().await;
            inner_trace.add("inner ends");
            caught.reraise().await
        });
        let inner_ref = inner.task_ref();
        let (awaiting, is_awaiting) = event();
        let outer = create_task(async move {
            let _dropped = outer_trace.on_drop("outer unwinds");
            awaiting.happen();
            let _: Result<(), _> = inner.await;
            outer_trace.add("outer went on");
        });
        has_begun.wait().await;
        is_awaiting.wait().await;
        outer.cancel_with("through");
        let outer_ref = outer.task_ref();
        let error = outer.await.unwrap_err();
        assert_eq!(message(&error), Some("through"));
        assert_eq!((outer_ref.cancelling(), inner_ref.cancelling()), (1, 1));
        assert!(inner_ref.cancelled());
        assert_eq!(trace.take(), "inner cleans up inner ends outer unwinds");
    }

    async fn c_05_inner_swallows_and_returns() {
        let (begun, has_begun) = event();
        let inner = create_task(async move {
            begun.happen();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            7
        });
        let outer = awaits(inner).await;
        has_begun.wait().await;
        outer.cancel();
        let outer_ref = outer.task_ref();
        assert_eq!(outer.await.unwrap().unwrap(), 7);
        assert!(!outer_ref.cancelled());
        assert_eq!(outer_ref.cancelling(), 1);
    }

    async fn c_06_inner_answers_with_a_failure() {
        let (begun, has_begun) = event();
        let inner = create_task(async move {
            begun.happen();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            Err::<(), _>("inner's own")
        });
        let outer = awaits(inner).await;
        has_begun.wait().await;
        outer.cancel();
        let outer_ref = outer.task_ref();
        assert_eq!(outer.await.unwrap().unwrap(), Err("inner's own"));
        assert_eq!(outer_ref.cancelling(), 1);
    }

    async fn c_06_inner_answers_with_a_panic() {
        let (begun, has_begun) = event();
        let inner = create_task(async move {
            begun.happen();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            panic!("inner's own");
        });
        let outer = awaits(inner).await;
        has_begun.wait().await;
        outer.cancel();
        let outcome: Result<(), _> = outer.await.unwrap();
        assert_eq!(outcome.unwrap_err().to_string(), "panicked: inner's own");
    }

    async fn c_07_a_second_request_is_passed_as_well() {
        let (begun, has_begun) = event();
        let (cleaning, is_cleaning) = event();
        let inner = create_task(async move {
            begun.happen();
            let first = catch_cancelled(pending::<()>()).await.unwrap_err();
            assert_eq!(first.message(), Some("one"));
            cleaning.happen();
            let second = catch_cancelled(pending::<()>()).await.unwrap_err();
            second.reraise().await
        });
        let inner_ref = inner.task_ref();
        let outer = awaits::<()>(inner).await;
        let outer_ref = outer.task_ref();
        has_begun.wait().await;
        outer.cancel_with("one");
        is_cleaning.wait().await;
        outer.cancel_with("two");
        assert_eq!(message(&outer.await.map(|_| ()).unwrap_err()), Some("two"));
        assert_eq!((outer_ref.cancelling(), inner_ref.cancelling()), (2, 2));
    }

    async fn c_09_an_awaited_task_cancelled_by_a_third_party_is_a_failure_of_the_await() {
        let (inner, has_begun) = waiting();
        let inner_ref = inner.task_ref();
        let outer = awaits(inner).await;
        has_begun.wait().await;
        inner_ref.cancel_with("by a third");
        let outer_ref = outer.task_ref();
        let error = outer.await.unwrap().unwrap_err();
        assert_eq!(message(&error), Some("by a third"));
        assert_eq!(outer_ref.cancelling(), 0);
    }

    async fn c_15_a_child_cancels_the_task_that_awaits_it() {
        let (send_parent, parent_of_child) = oneshot::channel::<TaskRef>();
        let child = create_task(async move {
            let parent = parent_of_child.await.unwrap();
            parent.cancel_with("back to you");
            let error = catch_cancelled(pending::<()>()).await.unwrap_err();
            let me = current_task().unwrap();
            (error.message().map(String::from), me.cancelling())
        });
        let parent = awaits(child).await;
        send_parent.send(parent.task_ref()).unwrap();
        let (text, count) = parent.await.unwrap().unwrap();
        assert_eq!((text.as_deref(), count), (Some("back to you"), 1));
    }

    async fn c_16_swallowed_and_returned() {
        let (begun, has_begun) = event();
        let task = create_task(async move {
            begun.happen();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            "value"
        });
        has_begun.wait().await;
        assert!(task.cancel());
        let task_ref = task.task_ref();
        assert_eq!(task.await.unwrap(), "value");
        assert!(!task_ref.cancelled());
        assert_eq!(task_ref.cancelling(), 1, "stays up for ever");
    }

    async fn c_17_swallowed_and_awaiting_on() {
        let (begun, has_begun) = event();
        let task = create_task(async move {
            begun.happen();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            let me = current_task().unwrap();
            for _ in 0..100 {
                yield_now().await;
                assert_eq!(me.cancelling(), 1);
            }
            sleep(Duration::from_micros(50)).await;
            me.uncancel()
        });
        has_begun.wait().await;
        task.cancel();
        assert_eq!(task.await.unwrap(), 0);
    }

    async fn c_18_caught_and_panicked() {
        let (begun, has_begun) = event();
        let task = create_task(async move {
            begun.happen();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            panic!("instead");
        });
        has_begun.wait().await;
        task.cancel();
        let task_ref = task.task_ref();
        let error: TaskError = task.await.unwrap_err();
        assert!(error.is_panicked() && !task_ref.cancelled());
    }

    async fn c_19_c_20_clean_up_awaits_and_can_be_cancelled_again() {
        let (begun, has_begun) = event();
        let (cleaning, is_cleaning) = event();
        let task = create_task(async move {
            begun.happen();
            let error = catch_cancelled(pending::<()>()).await.unwrap_err();
            yield_now().await;
            sleep(Duration::from_micros(10)).await;
            create_task(async {}).await.unwrap();
            cleaning.happen();
            let again = catch_cancelled(pending::<()>()).await.unwrap_err();
            let me = current_task().unwrap();
            (error.message().map(String::from), again.message().map(String::from), me.cancelling())
        });
        has_begun.wait().await;
        task.cancel_with("a");
        is_cleaning.wait().await;
        task.cancel_with("b");
        assert_eq!(task.await.unwrap(), (Some("a".into()), Some("b".into()), 2));
    }

    async fn c_22_a_message_goes_along_a_chain() {
        let (inner, has_begun) = waiting();
        has_begun.wait().await;
        let mut task = awaits(inner).await;
        let mut all = vec![task.task_ref()];
        for _ in 0..5 {
            let below = task;
            let (begun, has_begun) = event();
            task = create_task(async move {
                begun.happen();
                below.await.unwrap()
            });
            all.push(task.task_ref());
            has_begun.wait().await;
        }
        task.cancel_with("down and up");
        assert_eq!(message(&task.await.map(|_| ()).unwrap_err()), Some("down and up"));
        assert!(all.iter().all(|task| task.cancelled() && task.cancelling() == 1));
    }

    async fn c_24_the_message_is_kept_for_every_reader() {
        let (task, has_begun) = waiting();
        has_begun.wait().await;
        task.cancel_with("kept");
        task.wait().await;
        for _ in 0..3 {
            assert_eq!(message(&task.exception().unwrap().unwrap()), Some("kept"));
        }
        assert_eq!(message(&task.await.unwrap_err()), Some("kept"));
    }

    async fn c_25_cancelling_a_finished_task_does_nothing() {
        let mut task = create_task(async { 1 });
        task.wait().await;
        assert!(!task.cancel() && !task.cancel_with("late"));
        assert_eq!(task.cancelling(), 0);
        assert_eq!(task.result().unwrap().unwrap(), 1);
        let failed = create_task(async { panic!("x") });
        failed.wait().await;
        assert!(!failed.cancel() && !failed.cancelled());
        let cancelled = create_task(pending::<()>());
        cancelled.cancel();
        cancelled.wait().await;
        assert!(!cancelled.cancel());
        assert_eq!(cancelled.cancelling(), 1);
    }

    async fn c_34_cancel_is_safe_from_any_thread() {
        for round in 0..50 {
            let (sender, receiver) = oneshot::channel();
            let task = create_task(async move { receiver.await.unwrap() });
            let task_ref = task.task_ref();
            let canceller = std::thread::spawn(move || task_ref.cancel());
            sender.send(round).ok();
            let outcome = task.await;
            // One transition decides: exactly one of the two outcomes is seen.
            let cancelled = canceller.join().unwrap();
            match outcome {
                Ok(value) => assert_eq!(value, round),
                Err(error) => assert!(error.is_cancelled() && cancelled),
            }
        }
    }

    async fn c_35_a_producer_finds_the_promise_cancelled() {
        let (promise, task) = Promise::<u8>::new();
        assert!(!promise.is_cancelled());
        assert!(task.cancel_with("not wanted"));
        assert!(promise.is_cancelled());
        assert_eq!(promise.set_result(3), Err(3));
        assert_eq!(message(&task.await.unwrap_err()), Some("not wanted"));
    }
}

#[test]
fn c_27_c_28_counting() {
    in_order(async {
        let (task, has_begun) = waiting();
        has_begun.wait().await;
        assert_eq!(task.uncancel(), 0, "never below zero");
        task.cancel();
        task.cancel();
        assert_eq!(task.cancelling(), 2);
        task.wait().await;
        assert_eq!(task.cancelling(), 2, "not changed by the end");
        assert_eq!((task.uncancel(), task.uncancel(), task.uncancel()), (1, 0, 0));
        assert!(task.cancelled(), "on a finished task only the number changes");
    });
}

#[test]
fn c_08_cancelling_one_of_several_awaiters_cancels_what_they_share() {
    in_order(async {
        let (shared, has_begun) = waiting();
        let shared_ref = shared.task_ref();
        let watch = |task: TaskRef| {
            create_task(async move {
                task.wait().await;
                (task.cancelled(), current_task().unwrap().cancelling())
            })
        };
        let others = [watch(shared_ref.clone()), watch(shared_ref.clone())];
        let one = create_task(shared);
        has_begun.wait().await;
        yield_now().await;
        one.cancel();
        assert!(one.await.unwrap_err().is_cancelled());
        for other in others {
            assert_eq!(other.await.unwrap(), (true, 0));
        }
    });
}

#[test]
fn c_10_a_request_wins_over_an_awaited_thing_that_is_done() {
    in_order(async {
        let (promise, task) = Promise::<&str>::new();
        let held = std::sync::Arc::new(std::sync::Mutex::new(Some(task)));
        let theirs = std::sync::Arc::clone(&held);
        let awaiter = create_task(async move {
            let mut task = theirs.lock().unwrap().take().unwrap();
            let seen = catch_cancelled(&mut task).await;
            let cancelled = seen.is_err();
            // The value stays on what was awaited.
            (cancelled, task.result().map(Result::unwrap))
        });
        yield_now().await;
        promise.set_result("value").unwrap();
        assert!(awaiter.cancel(), "not resumed yet");
        assert_eq!(awaiter.await.unwrap(), (true, Ok("value")));
        drop(held);
    });
}

#[test]
fn c_11_a_task_that_cancels_itself_is_cancelled_at_its_first_suspension() {
    in_order(async {
        let trace = Trace::default();
        let inside = trace.clone();
        let inner_trace = trace.clone();
        let task = create_task(async move {
            current_task().unwrap().cancel();
            inside.add("still running");
            let inner = create_task(async move {
                inner_trace.add("inner entered");
                pending::<()>().await;
            });
            inner.await.ok();
            inside.add("not reached");
        });
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(trace.take(), "still running inner entered");
    });
}

#[test]
fn c_12_nothing_is_delivered_at_an_await_of_something_done() {
    in_order(async {
        let trace = Trace::default();
        let inside = trace.clone();
        let done = create_task(async {});
        done.wait().await;
        let task = create_task(async move {
            current_task().unwrap().cancel();
            done.await.unwrap();
            futures::future::ready(()).await;
            inside.add("passed");
            yield_now().await;
            inside.add("not reached");
        });
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(trace.take(), "passed");
    });
}

everywhere! {
    async fn c_13_a_self_cancel_before_the_return_discards_the_value() {
        let dropped = Count::default();
        let value = dropped.value();
        let task = create_task(async move {
            current_task().unwrap().cancel_with("at the end");
            value
        });
        assert_eq!(message(&task.await.map(drop).unwrap_err()), Some("at the end"));
        assert_eq!(dropped.get(), 1);
    }

    async fn c_14_a_self_cancel_before_a_failure_changes_nothing() {
        let task = create_task(async {
            current_task().unwrap().cancel();
            panic!("mine");
        });
        let task_ref = task.task_ref();
        let outcome: Result<(), _> = task.await;
        assert!(outcome.unwrap_err().is_panicked());
        assert!(!task_ref.cancelled());
        assert_eq!(task_ref.cancelling(), 1);
    }
}

#[test]
fn c_21_two_requests_before_delivery_are_one_cancellation() {
    in_order(async {
        let trace = Trace::default();
        let inside = trace.clone();
        let task = create_task(async move {
            let first = catch_cancelled(pending::<()>()).await.unwrap_err();
            inside.add(first.message().unwrap());
            for _ in 0..5 {
                catch_cancelled(yield_now()).await.unwrap();
            }
            current_task().unwrap().cancelling()
        });
        yield_now().await;
        assert!(task.cancel_with("one") && task.cancel_with("two"));
        assert_eq!(task.await.unwrap(), 2);
        assert_eq!(trace.take(), "one");
    });
}

#[test]
fn c_21_a_task_and_what_it_awaits_both_cancelled() {
    in_order(async {
        let (inner, has_begun) = waiting();
        let inner_ref = inner.task_ref();
        let outer = create_task(async move { inner.await.map_err(|error| message(&error).map(String::from)) });
        has_begun.wait().await;
        yield_now().await;
        assert!(inner_ref.cancel_with("inner") && outer.cancel_with("outer"));
        let outcome = outer.await;
        assert!(outcome.unwrap_err().is_cancelled(), "rule 6: it ended cancelled, so the cancellation goes on");
    });
}

#[test]
fn c_23_the_first_undelivered_message_wins() {
    in_order(async {
        let unstarted = create_task(pending::<()>());
        unstarted.cancel_with("first");
        unstarted.cancel_with("second");
        assert_eq!(message(&unstarted.await.unwrap_err()), Some("first"));

        let plain_first = create_task(pending::<()>());
        plain_first.cancel();
        plain_first.cancel_with("second");
        assert_eq!(message(&plain_first.await.unwrap_err()), None);
    });
}

#[test]
fn c_27_more_requests_than_can_be_counted() {
    in_order(async {
        let (task, has_begun) = waiting();
        has_begun.wait().await;
        for _ in 0..70_000 {
            assert!(task.cancel());
        }
        assert_eq!(task.cancelling(), 65_535, "documented: the count stays there");
        assert_eq!(task.uncancel(), 65_534);
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn c_22_a_message_is_not_delivered_with_the_next_request() {
    in_order(async {
        let task = create_task(async {
            let first = catch_cancelled(pending::<()>()).await.unwrap_err();
            let second = catch_cancelled(pending::<()>()).await.unwrap_err();
            [first, second].map(|error| error.message().map(String::from))
        });
        yield_now().await;
        task.cancel_with("one");
        yield_now().await;
        task.cancel();
        assert_eq!(task.await.unwrap(), [Some(String::from("one")), None]);
    });
}

#[test]
fn c_29_uncancel_to_zero_withdraws_what_is_undelivered() {
    in_order(async {
        let task = create_task(async {
            yield_now().await;
            1
        });
        task.cancel();
        task.cancel();
        assert_eq!(task.uncancel(), 1, "withdraws nothing yet");
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.await.unwrap(), 1);

        let task = create_task(async {
            yield_now().await;
            2
        });
        task.cancel();
        task.cancel();
        assert_eq!(task.uncancel(), 1);
        assert!(task.await.unwrap_err().is_cancelled());

        let (promise, waits) = Promise::new();
        let task = create_task(async move { waits.await.unwrap() });
        yield_now().await;
        promise.set_result(3).unwrap();
        task.cancel();
        task.uncancel();
        assert_eq!(task.await.unwrap(), 3, "its awaited thing was already done");
    });
}

#[test]
fn c_29_a_withdrawn_message_does_not_come_back() {
    in_order(async {
        let task = create_task(pending::<()>());
        yield_now().await;
        task.cancel_with("withdrawn");
        assert_eq!(task.uncancel(), 0);
        yield_now().await;
        task.cancel();
        assert_eq!(message(&task.await.unwrap_err()), None);

        let task = create_task(pending::<()>());
        task.cancel_with("withdrawn");
        task.uncancel();
        task.cancel_with("second");
        assert_eq!(message(&task.await.unwrap_err()), Some("second"));
    });
}

#[test]
fn c_31_a_scope_of_ones_own_by_counting() {
    in_order(async {
        let task = create_task(async {
            let me = current_task().unwrap();
            let before = me.cancelling();
            me.cancel();
            let caught = catch_cancelled(pending::<()>()).await.unwrap_err();
            let left = me.uncancel();
            if left > before { caught.reraise().await } else { "mine" }
        });
        assert_eq!(task.await.unwrap(), "mine");

        let task = create_task(async {
            let me = current_task().unwrap();
            me.cancel();
            let caught = catch_cancelled(async {
                me.cancel_with("a second party");
                pending::<()>().await
            })
            .await
            .unwrap_err();
            if me.uncancel() > 0 { caught.reraise().await } else { "mine" }
        });
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn c_33_a_plain_drop_is_no_cancellation() {
    in_order(async {
        let trace = Trace::default();
        let inside = trace.clone();
        let task = create_task(async move {
            let dropped = inside.on_drop("dropped");
            let lost = async {
                let _dropped = dropped;
                let _ = catch_cancelled(pending::<()>()).await;
                inside.add("handler ran");
            };
            futures::pin_mut!(lost);
            futures::future::select(lost, futures::future::ready(())).await;
            current_task().unwrap().cancelling()
        });
        assert_eq!(task.await.unwrap(), 0);
        assert_eq!(trace.take(), "dropped");
    });
}

everywhere! {
    async fn tg_24_a_cancellation_made_pending_again_leaves_the_value_of_a_task_that_ends_first() {
        let (begun, begins) = Promise::<()>::new();
        let task = create_task(async {
            begun.set_result(()).unwrap();
            let error = catch_cancelled(pending::<()>()).await.unwrap_err();
            error.redeliver();
            "more urgent"
        });
        begins.await.unwrap();
        task.cancel();
        let same = task.task_ref();
        assert_eq!(task.await.unwrap(), "more urgent");
        assert_eq!((same.cancelled(), same.cancelling()), (false, 1));
    }

    async fn c_13_a_new_request_beside_one_made_pending_again_replaces_the_value() {
        for new_comes_first in [true, false] {
            let task = create_task(async move {
                let me = current_task().unwrap();
                let again = CancelledError::new("again");
                if new_comes_first {
                    me.cancel_with("new");
                    again.redeliver();
                } else {
                    again.redeliver();
                    me.cancel_with("new");
                }
            });
            let error = task.await.unwrap_err();
            // C-23: the message of the first that was not delivered.
            assert_eq!(message(&error), Some(if new_comes_first { "new" } else { "again" }));
        }
    }

    async fn c_29_taking_back_the_request_withdraws_what_was_made_pending_again() {
        let task = create_task(async {
            let me = current_task().unwrap();
            me.cancel();
            let error = catch_cancelled(yield_now()).await.unwrap_err();
            error.redeliver();
            assert_eq!(me.uncancel(), 0);
            yield_now().await;
            me.cancel();
        });
        assert!(task.await.unwrap_err().is_cancelled(), "by the one that came after it");
    }

    async fn c_29_it_is_withdrawn_in_the_catchers_around_too() {
        let task = create_task(async {
            let me = current_task().unwrap();
            me.cancel();
            let inner = async {
                let error = catch_cancelled(yield_now()).await.unwrap_err();
                error.redeliver();
                assert_eq!(catch_cancelled(async { me.uncancel() }).await.unwrap(), 0);
                yield_now().await;
            };
            assert!(catch_cancelled(catch_cancelled(inner)).await.unwrap().is_ok());
            yield_now().await;
            4
        });
        assert_eq!(task.await.unwrap(), 4);
    }

    async fn c_29_one_of_two_taken_back_withdraws_nothing_that_was_made_pending_again() {
        let task = create_task(async {
            let me = current_task().unwrap();
            me.cancel();
            me.cancel();
            let inner = async {
                let error = catch_cancelled(yield_now()).await.unwrap_err();
                error.redeliver();
                assert_eq!(me.uncancel(), 1);
                yield_now().await;
            };
            assert!(catch_cancelled(inner).await.is_err());
        });
        task.await.unwrap();
    }
}
