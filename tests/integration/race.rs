//! Row A-06: `race` and `staggered_race`.

use crate::support::{Count, Log, begun, cancellation, everywhere, exact, forever, ms, passes, received, send, signal};
use futures::FutureExt;
use runtime::{
    CancelledError, Handle, catch_cancelled, create_task, current_task, race, sleep, staggered_race, timeout,
};
use std::future::{Ready, ready};
use std::pin::Pin;
use std::time::Duration;

type Outcome = Result<&'static str, &'static str>;

async fn connects(log: Log, after: u64, outcome: Outcome) -> Outcome {
    log.add(format!("start at {after}"));
    if let Err(error) = catch_cancelled(sleep(ms(after))).await {
        sleep(ms(1)).await;
        log.add(format!("cleaned up {after}"));
        error.reraise().await
    }
    outcome
}

#[test]
fn a_06_the_next_candidate_starts_after_a_failure() {
    exact(async || {
        let log = Log::default();
        let start = Handle::current().time();
        let candidates = [(5, Err("refused")), (10, Ok("second")), (1, Ok("never started"))];
        let winner =
            staggered_race(candidates.map(|(after, outcome)| connects(log.clone(), after, outcome)), ms(100)).await;
        assert_eq!((winner, Handle::current().time() - start), (Ok("second"), ms(15)));
        assert_eq!(log.take(), ["start at 5", "start at 10"]);
    });
}

#[test]
fn a_06_the_next_candidate_starts_after_the_delay_and_losers_clean_up_first() {
    exact(async || {
        let log = Log::default();
        let start = Handle::current().time();
        let candidates = [(1000, Ok("slow")), (50, Ok("quick"))];
        let winner =
            staggered_race(candidates.map(|(after, outcome)| connects(log.clone(), after, outcome)), ms(10)).await;
        assert_eq!((winner, Handle::current().time() - start), (Ok("quick"), ms(61)));
        assert_eq!(log.take(), ["start at 1000", "start at 50", "cleaned up 1000"]);
        assert_eq!(current_task().unwrap().cancelling(), 0);
    });
}

#[test]
fn a_06_without_a_success_all_errors_come_in_order() {
    everywhere(async || {
        let candidates = ["a", "b", "c"].map(|error| ready(Err::<(), _>(error)));
        assert_eq!(staggered_race(candidates, Duration::from_secs(3600)).await, Err(vec!["a", "b", "c"]));
        let nothing: [Ready<Outcome>; 0] = [];
        assert_eq!(staggered_race(nothing, ms(1)).now_or_never(), Some(Err(vec![])));
    });
}

#[test]
fn a_06_of_several_winners_the_first_counts() {
    exact(async || {
        let log = Log::default();
        let candidates = [(20, Ok("first")), (10, Ok("second"))];
        // Both end at the same moment.
        let winner =
            staggered_race(candidates.map(|(after, outcome)| connects(log.clone(), after, outcome)), ms(10)).await;
        assert!(winner.is_ok());
    });
}

/// Waits for ever; after a request it cleans up for some passes, and lets the request go on.
async fn loses(cleaned_up: Count, steps: usize) {
    let error = catch_cancelled(forever()).await.unwrap_err();
    passes(steps).await;
    cleaned_up.add();
    error.reraise().await
}

#[test]
fn a_06_a_request_from_outside_is_passed_on_and_goes_on_after_all_have_ended() {
    everywhere(async || {
        for staggered in [false, true] {
            let cleaned_up = Count::default();
            let told = cleaned_up.clone();
            let task = begun(async move {
                let losers = [1, 20, 5].map(|steps| loses(told.clone(), steps));
                if staggered {
                    let losers = losers.map(|loser| loser.map(Err::<(), _>));
                    drop(staggered_race(losers, Duration::ZERO).await);
                } else {
                    race(losers).await;
                }
            })
            .await;
            passes(10).await;
            task.cancel_with("why");
            assert_eq!(cancellation(task.await).message(), Some("why"));
            assert!(!staggered || cleaned_up.get() > 0);
            assert!(staggered || cleaned_up.get() == 3);
        }
    });
}

#[test]
fn a_06_no_candidate_is_started_after_a_request_from_outside() {
    exact(async || {
        for by_timeout in [false, true] {
            let (log, start) = (Log::default(), Handle::current().time());
            let cleans_up = async {
                let error = catch_cancelled(forever()).await.unwrap_err();
                sleep(ms(50)).await;
                log.add("cleaned up");
                error.reraise().await
            };
            let waits = async {
                log.add("started");
                forever().await;
                Ok::<_, ()>(())
            };
            // Ends what would wait for ever, at another time than the one below.
            let race = timeout(ms(1000), staggered_race([cleans_up.left_future(), waits.right_future()], ms(10)));
            if by_timeout {
                assert!(timeout(ms(5), race).await.is_err());
            } else {
                let canceller = current_task().unwrap();
                let cancels = create_task(async move {
                    sleep(ms(5)).await;
                    canceller.cancel();
                });
                assert!(catch_cancelled(race).await.is_err());
                current_task().unwrap().uncancel();
                cancels.await.unwrap();
            }
            assert_eq!(Handle::current().time() - start, ms(55));
            assert_eq!(log.take(), ["cleaned up"]);
        }
    });
}

#[test]
fn a_06_the_next_candidate_is_started_when_a_request_was_taken_back() {
    exact(async || {
        let swallows = async {
            drop(catch_cancelled(forever()).await);
            sleep(ms(50)).await;
            current_task().unwrap().uncancel();
            Err("swallowed")
        };
        let candidates = [swallows.left_future(), ready(Ok("next")).right_future()];
        let task = begun(staggered_race(candidates, ms(10))).await;
        task.cancel();
        assert_eq!(task.await.unwrap(), Ok("next"));
    });
}

#[test]
fn a_06_a_request_from_outside_wins_over_a_value_that_comes_after_it() {
    everywhere(async || {
        let cleaned_up = Count::default();
        let told = cleaned_up.clone();
        let task = begun(async move {
            let swallows = async {
                drop(catch_cancelled(forever()).await);
                passes(3).await;
            };
            race([swallows.left_future(), loses(told, 1).right_future()]).await
        })
        .await;
        task.cancel();
        cancellation(task.await);
        assert_eq!(cleaned_up.get(), 1);
    });
}

#[test]
fn a_06_a_request_that_the_contenders_catch_and_take_back_ends_no_race() {
    everywhere(async || {
        let task = begun(async {
            let swallows = async |steps| {
                drop(catch_cancelled(forever()).await);
                current_task().unwrap().uncancel();
                passes(steps).await;
                steps
            };
            race([swallows(30), swallows(2)]).await
        })
        .await;
        task.cancel();
        assert!(task.await.unwrap().is_some());
    });
}

#[test]
fn a_06_losers_of_a_race_clean_up_before_it_is_over() {
    everywhere(async || {
        let cleaned_up = Count::default();
        let contender = |wins: bool| {
            let told = cleaned_up.clone();
            async move {
                if wins {
                    passes(3).await;
                    return 1;
                }
                assert!(catch_cancelled(forever()).await.is_err());
                passes(5).await;
                told.add();
                0
            }
        };
        assert_eq!(race([contender(false), contender(true), contender(false)]).await, Some(1));
        assert_eq!(cleaned_up.get(), 2);
        assert_eq!(current_task().unwrap().cancelling(), 0);
        assert!(catch_cancelled(passes(3)).await.is_ok());
    });
}

#[test]
fn a_06_a_race_of_nobody_and_of_tasks() {
    everywhere(async || {
        let nobody: [Ready<()>; 0] = [];
        assert_eq!(race(nobody).await, None);
        let slow = create_task(forever().map(|()| 0));
        let same = slow.task_ref();
        let quick = create_task(async { 1 });
        assert_eq!(race([slow, quick]).await.unwrap().unwrap(), 1);
        assert!(same.cancelled(), "a loser is waited for");
    });
}

#[test]
fn a_06_a_contender_that_panics_takes_the_race_along_and_the_others_are_dropped() {
    everywhere(async || {
        let racing = create_task(async {
            let contenders: [futures::future::BoxFuture<'static, ()>; 2] =
                [Box::pin(forever()), Box::pin(async { panic!("a contender") })];
            race(contenders).await
        });
        assert!(racing.await.unwrap_err().is_panicked());
    });
}

#[test]
fn rule_8_what_unwinds_beside_a_race_drops_the_contenders_but_for_the_tasks_they_wait_for() {
    everywhere(async || {
        let [handled, ended] = [Count::default(), Count::default()];
        let (inside, cleaned) = (handled.clone(), ended.clone());
        let cancelled = create_task(async move {
            let (begins, has_begun) = signal();
            let waits = async {
                create_task(async move {
                    send(begins);
                    let error = catch_cancelled(forever()).await.unwrap_err();
                    passes(3).await;
                    cleaned.add();
                    error.reraise().await
                })
                .await
                .is_ok()
            };
            let handles = async {
                let error = catch_cancelled(forever()).await.unwrap_err();
                inside.add();
                error.reraise().await
            };
            let unwinds = async {
                received(has_begun).await;
                CancelledError::new("over").reraise().await
            };
            let contenders: [Pin<Box<dyn Future<Output = bool> + Send>>; 2] = [Box::pin(waits), Box::pin(handles)];
            futures::join!(race(contenders), unwinds)
        });
        assert_eq!(cancelled.await.unwrap_err().to_string(), "cancelled: over");
        assert_eq!((handled.get(), ended.get()), (0, 1));
    });
}
