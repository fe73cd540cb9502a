//! Rows of area C that combine several words.

use super::*;

#[test]
fn c_08_cancelling_one_of_several_waiters_cancels_what_they_share() {
    everywhere(async || {
        let shared = create_task(forever());
        let same = shared.task_ref();
        let other = begun({
            let same = same.clone();
            async move {
                same.wait().await;
                (same.cancelled(), count())
            }
        })
        .await;
        let one = begun(async { drop(shared.await) }).await;
        one.cancel();
        assert!(one.await.unwrap_err().is_cancelled());
        assert_eq!(other.await.unwrap(), (true, 0));
    });
}

#[test]
fn c_11_a_task_that_cancels_itself_is_cancelled_at_the_first_suspension_of_any_word() {
    everywhere(async || {
        for word in 0..6 {
            let task = create_task(async move {
                current_task().unwrap().cancel_with("own");
                match word {
                    0 => drop(timeout(Duration::from_secs(3600), forever()).await),
                    1 => drop(gather([forever()]).await),
                    2 => drop(create_task(forever()).await),
                    3 => drop(TaskGroup::<()>::scope(async |_| Ok(forever().await)).await),
                    4 => drop(runtime::wait([create_task(forever())]).await),
                    _ => drop(runtime::race([forever()]).await),
                }
            });
            assert_eq!(cancellation(task.await).message(), Some("own"), "word {word}");
        }
    });
}

#[test]
fn c_20_a_second_request_during_clean_up_interrupts_it() {
    everywhere(async || {
        let (cleaning, cleans) = signal();
        let task = begun(async {
            let first = catch_cancelled(forever()).await.unwrap_err();
            send(cleaning);
            let second = catch_cancelled(forever()).await.unwrap_err();
            (first.message().map(String::from), second.message().map(String::from), count())
        })
        .await;
        task.cancel_with("first");
        received(cleans).await;
        task.cancel_with("second");
        assert_eq!(task.await.unwrap(), (Some("first".into()), Some("second".into()), 2));
    });
}

#[test]
fn c_22_the_message_goes_along_a_chain_of_words() {
    everywhere(async || {
        let (told, message) = Promise::new();
        let (sent, started) = signal();
        let leaf = async {
            send(sent);
            let error = catch_cancelled(forever()).await.unwrap_err();
            told.set_result(error.message().map(String::from)).unwrap();
            error.reraise().await
        };
        let task = create_task(async {
            let group = TaskGroup::<()>::scope(async |group| {
                group.create_task(async {
                    // Made by the child of the gather, so that it awaits the leaf when the leaf has begun.
                    let child = async { drop(create_task(leaf).await) };
                    drop(timeout(Duration::from_secs(3600), gather([child])).await)
                });
                Ok(())
            });
            group.await.unwrap();
        });
        received(started).await;
        task.cancel_with("why");
        assert_eq!(cancellation(task.await).message(), Some("why"));
        assert_eq!(message.await.unwrap().as_deref(), Some("why"));
    });
}

#[test]
fn c_34_requests_from_foreign_threads_under_load() {
    under_load(60, async |round| {
        let task = begun(async {
            let caught = catch_cancelled(forever()).await.unwrap_err();
            passes(2).await;
            caught.message().map(String::from)
        })
        .await;
        let same = task.task_ref();
        let threads: Vec<_> = (0..2)
            .map(|n| {
                let same = same.clone();
                std::thread::spawn(move || {
                    for _ in 0..round % 10 {
                        std::hint::spin_loop();
                    }
                    same.cancel_with(format!("thread {n}"))
                })
            })
            .collect();
        let outcome = task.await;
        let accepted = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|yes| *yes).count();
        assert_eq!(same.cancelling() as usize, accepted);
        match outcome {
            Ok(message) => assert!(message.unwrap().starts_with("thread")),
            // The second request arrived during the clean-up.
            Err(error) => assert!(error.is_cancelled() && accepted == 2),
        }
    });
}
