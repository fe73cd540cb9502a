//! The end of a program in the words of the vocabulary: rows SD, and some of R.

use crate::support::{Count, Log, forever, let_go, passes, received, send, signal};
use runtime::{Runner, TaskGroup, catch_cancelled, create_task, gather, sleep, timeout, yield_now};
use std::time::Duration;

fn on_each(body: impl Fn(usize, Runner)) {
    for workers in [1, 2, 8] {
        body(workers, Runner::builder().workers(workers).build().unwrap());
    }
}

#[test]
fn sd_01_leftover_groups_gathers_and_timeouts_clean_up_with_awaits() {
    on_each(|workers, runner| {
        let (started, cleaned_up) = (Count::default(), Count::default());
        let main = async {
            let child = {
                let (started, cleaned_up) = (started.clone(), cleaned_up.clone());
                move || {
                    let (started, cleaned_up) = (started.clone(), cleaned_up.clone());
                    async move {
                        started.add();
                        let error = catch_cancelled(forever()).await.unwrap_err();
                        sleep(Duration::from_millis(1)).await;
                        passes(3).await;
                        cleaned_up.add();
                        let_go(error).await
                    }
                }
            };
            let (one, two, three) = (child.clone(), child.clone(), child.clone());
            drop(create_task(async move {
                let group = TaskGroup::<()>::scope(async |group| {
                    (0..5).for_each(|_| drop(group.create_task(one())));
                    Ok(())
                });
                group.await.unwrap();
            }));
            drop(create_task(async move { drop::<Vec<()>>(gather((0..5).map(|_| two())).await) }));
            drop(create_task(async move {
                timeout(Duration::from_secs(3600), three()).await.unwrap();
            }));
            while started.get() < 11 {
                yield_now().await;
            }
        };
        runner.run(main).unwrap();
        runner.close();
        assert_eq!(cleaned_up.get(), 11, "{workers} workers");
    });
}

#[test]
fn sd_06_leftovers_that_await_each_other_end() {
    on_each(|_, runner| {
        let log = Log::default();
        let told = log.clone();
        runner
            .run(async {
                let (sent, started) = signal();
                let inner = create_task(async move {
                    send(sent);
                    let mut requests = 0;
                    while requests < 1 {
                        requests += usize::from(catch_cancelled(forever()).await.is_err());
                    }
                    // A second request may come, through the one who awaits this.
                    drop(catch_cancelled(passes(10)).await);
                    told.add("ended");
                });
                drop(create_task(async { drop(inner.await) }));
                received(started).await;
                passes(3).await;
            })
            .unwrap();
        runner.close();
        assert_eq!(log.take(), ["ended"]);
    });
}

#[test]
fn sd_05_after_the_end_words_give_cancelled_tasks_and_nothing_runs() {
    on_each(|_, runner| {
        let ran = Count::default();
        let group = runner.run(async { TaskGroup::<()>::scope(async |group| Ok(group)).await.unwrap() }).unwrap();
        let handle = runner.handle();
        runner.close();
        let told = ran.clone();
        assert!(handle.create_task(async move { told.add() }).cancelled());
        let other = Runner::builder().workers(1).build().unwrap();
        other.run(async move { assert!(group.create_task(async {}).cancelled()) }).unwrap();
        assert_eq!(ran.get(), 0);
    });
}

#[test]
fn sd_01_a_group_dropped_with_main_is_swept() {
    on_each(|_, runner| {
        let cleaned_up = Count::default();
        let told = cleaned_up.clone();
        let main = async {
            let (sent, started) = signal();
            let group = TaskGroup::<()>::scope(async move |group| {
                group.create_task(async move {
                    send(sent);
                    assert!(catch_cancelled(forever()).await.is_err());
                    // Without an await: the sweep's request may come after that of the group, and would interrupt it (SD-06).
                    told.add();
                });
                Ok(forever().await)
            });
            let mut group = Box::pin(group);
            assert!(futures::poll!(&mut group).is_pending());
            received(started).await;
        };
        runner.run(main).unwrap();
        runner.close();
        assert_eq!(cleaned_up.get(), 1);
    });
}
