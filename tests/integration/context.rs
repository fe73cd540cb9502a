//! Context variables in the words of the vocabulary: rows CV.

use crate::support::{everywhere, exact, forever, ms, passes, received, send, signal};
use runtime::{
    Context, Promise, TaskBuilder, TaskGroup, catch_cancelled, context_var, create_task, gather, race, shield, timeout,
    yield_now,
};
use std::time::Duration;

context_var! { static VALUE: u32 = 0; }

#[test]
fn cv_01_a_task_runs_in_a_copy_of_its_creators_context() {
    everywhere(async || {
        VALUE.set(1);
        let task = create_task(async {
            let seen = VALUE.get();
            VALUE.set(2);
            yield_now().await;
            (seen, VALUE.get())
        });
        VALUE.set(3);
        assert_eq!(task.await.unwrap(), (1, 2));
        assert_eq!(VALUE.get(), 3);
    });
}

#[test]
fn cv_02_every_step_of_a_task_has_its_context_through_all_words() {
    everywhere(async || {
        let tasks = (1..=20).map(|n| {
            create_task(async move {
                VALUE.set(n);
                passes(n as usize % 3).await;
                assert!(timeout(ms(1), forever()).await.is_err());
                assert_eq!(VALUE.get(), n);
                gather([passes(1), passes(2)]).await;
                assert_eq!(VALUE.get(), n);
                drop(TaskGroup::<()>::scope(async |group| Ok(drop(group.create_task(passes(1))))).await);
                VALUE.get() == n
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            assert!(task.await.unwrap());
        }
    });
}

#[test]
fn cv_03_a_given_context_is_copied() {
    everywhere(async || {
        let mut context = Context::current();
        context.run(|| VALUE.set(5));
        let task = TaskBuilder::new().context(context.clone()).create_task(async {
            let seen = VALUE.get();
            VALUE.set(6);
            seen
        });
        assert_eq!(task.await.unwrap(), 5);
        assert_eq!(context.run(|| VALUE.get()), 5);
    });
}

#[test]
fn cv_04_a_done_callback_runs_in_the_context_in_which_it_was_added() {
    everywhere(async || {
        VALUE.set(1);
        let task = create_task(async { drop(VALUE.set(2)) });
        let (promise, seen) = Promise::new();
        task.add_done_callback(move |_| promise.set_result(VALUE.get()).unwrap());
        VALUE.set(3);
        task.await.unwrap();
        assert_eq!(seen.await.unwrap(), 1);
    });
}

#[test]
fn cv_05_children_of_gather_group_and_shield_get_a_copy_at_the_call() {
    everywhere(async || {
        async fn changes() -> u32 {
            let seen = VALUE.get();
            VALUE.set(100);
            yield_now().await;
            seen
        }
        VALUE.set(1);
        let gathered = gather([changes(), changes()]);
        let shielded = shield(changes());
        VALUE.set(2);
        assert_eq!(gathered.await, [1, 1]);
        assert_eq!(shielded.await, 1);
        let of_group = TaskGroup::<()>::scope(async |group| {
            let child = group.create_task(async { Ok(changes().await) });
            VALUE.set(3);
            Ok(child.await.unwrap())
        });
        assert_eq!(of_group.await.unwrap(), 2);
        assert_eq!(VALUE.get(), 3, "the body runs in the parent's own context");
    });
}

#[test]
fn cv_05_words_that_make_no_task_share_the_context_of_their_caller() {
    everywhere(async || {
        timeout(Duration::from_secs(3600), async { VALUE.set(1) }).await.unwrap();
        assert_eq!(VALUE.get(), 1);
        catch_cancelled(async { VALUE.set(2) }).await.unwrap();
        assert_eq!(VALUE.get(), 2);
        race([async { VALUE.set(3) }]).await.unwrap();
        assert_eq!(VALUE.get(), 3);
    });
}

#[test]
fn cv_02_destructors_of_a_cancelled_task_see_its_context() {
    struct Sees(Option<Promise<u32>>);
    impl Drop for Sees {
        fn drop(&mut self) {
            self.0.take().unwrap().set_result(VALUE.get()).unwrap();
        }
    }
    everywhere(async || {
        let (promise, seen) = Promise::new();
        let (sent, started) = signal();
        let task = create_task(async {
            let _sees = Sees(Some(promise));
            VALUE.set(9);
            send(sent);
            forever().await;
        });
        received(started).await;
        task.cancel();
        task.await.unwrap_err();
        assert_eq!(seen.await.unwrap(), 9);
    });
}

#[test]
fn cv_06_the_exception_handler_runs_in_the_context_of_the_task_that_failed() {
    exact(async || {
        let (promise, seen) = Promise::new();
        let promise = std::sync::Mutex::new(Some(promise));
        runtime::Handle::current().set_exception_handler(Some(move |_: &runtime::ExceptionContext| {
            if let Some(promise) = promise.lock().unwrap().take() {
                promise.set_result(VALUE.get()).unwrap();
            }
        }));
        drop(create_task(async {
            VALUE.set(4);
            panic!("unread");
        }));
        assert_eq!(seen.await.unwrap(), 4);
    });
}
