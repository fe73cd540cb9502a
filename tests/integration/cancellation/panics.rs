//! Rules 11 and 12: panics; and what has no catcher.

use super::*;

#[test]
fn rule_11_a_panic_is_the_task_s_failure_whoever_waits() {
    everywhere(async || {
        let panics = || create_task(async { panic!("boo") });
        assert!(panics().await.unwrap_err().is_panicked());
        assert!(timeout(Duration::from_secs(3600), panics()).await.unwrap().unwrap_err().is_panicked());
        assert!(catch_cancelled(panics()).await.unwrap().unwrap_err().is_panicked());
        assert!(shield(panics()).await.unwrap_err().is_panicked());
        let in_body = create_task(timeout(Duration::from_secs(3600), async { panic!("in the body") }).map(|_| ()));
        assert!(in_body.await.unwrap_err().is_panicked());
    });
}

#[test]
fn rule_11_a_panic_in_a_destructor_while_a_cancellation_unwinds_is_the_task_s_panic() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    everywhere(async || {
        let bare = begun(async {
            let _bomb = Bomb;
            forever().await;
        })
        .await;
        bare.cancel();
        assert!(bare.await.unwrap_err().is_panicked());
        let caught = begun(async {
            let bomb = Bomb;
            drop(
                catch_cancelled(async move {
                    let _bomb = bomb;
                    forever().await;
                })
                .await,
            );
        })
        .await;
        caught.cancel();
        assert!(caught.await.unwrap_err().is_panicked());
        let timed_out = create_task(timeout(ms(1), async {
            let _bomb = Bomb;
            forever().await;
        }));
        assert!(timed_out.await.unwrap_err().is_panicked());
        // The worker is unharmed.
        passes(5).await;
        assert!(catch_cancelled(passes(2)).await.is_ok());
    });
}

#[test]
fn rule_12_a_task_with_many_awaits_and_no_catcher_is_still_cancelled_at_the_first() {
    everywhere(async || {
        let steps = Count::default();
        let told = steps.clone();
        let task = begun(async move {
            loop {
                yield_now().await;
                told.add();
            }
        })
        .await;
        task.cancel();
        let error: Result<(), _> = task.await;
        assert!(error.unwrap_err().is_cancelled());
        let before = steps.get();
        passes(5).await;
        assert_eq!(steps.get(), before);
    });
}
