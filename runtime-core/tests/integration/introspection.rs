//! Area I, as far as it has come: who runs, who is there, what they say of themselves.

use crate::support::*;
use runtime_core::*;
use std::future::pending;

everywhere! {
    async fn i_01_the_current_task_in_every_step_and_depth() {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                create_task(async {
                    let me = current_task().unwrap();
                    for _ in 0..20 {
                        yield_now().await;
                        assert_eq!(async { async { current_task().unwrap() }.await }.await, me);
                    }
                    me.id()
                })
            })
            .collect();
        for task in tasks {
            let id = task.id();
            assert_eq!(task.await.unwrap(), id);
        }
    }

    async fn i_02_no_task_in_callbacks_nor_outside() {
        let (said, seen) = Promise::<bool>::new();
        Handle::current().call_soon(move || said.set_result(current_task().is_none()).unwrap());
        assert!(seen.await.unwrap());
        let (said, seen) = Promise::<bool>::new();
        let task = create_task(async {});
        task.add_done_callback(move |_| said.set_result(current_task().is_none()).unwrap());
        assert!(seen.await.unwrap());
        assert!(std::thread::spawn(|| current_task().is_none() && all_tasks().is_empty()).join().unwrap());
        task.await.unwrap();
    }

    async fn i_03_all_unfinished_tasks_and_no_others() {
        let me = current_task().unwrap();
        assert_eq!(all_tasks(), std::slice::from_ref(&me));
        let tasks: Vec<_> = (0..100).map(|_| create_task(pending::<()>())).collect();
        let (_promise, promised) = Promise::<()>::new();
        let listed = all_tasks();
        assert_eq!(listed.len(), 101, "no promises, no callbacks");
        assert!(tasks.iter().all(|task| listed.contains(&task.task_ref())));
        assert!(listed.contains(&me) && !listed.contains(&promised.task_ref()));
        for task in &tasks {
            task.cancel();
        }
        for task in tasks {
            task.wait().await;
        }
        assert_eq!(all_tasks(), [me]);
    }

    async fn i_04_from_another_thread_while_tasks_come_and_go() {
        let handle = Handle::current();
        let stays = create_task(pending::<()>());
        let stays_ref = stays.task_ref();
        let over = Count::default();
        let is_over = over.clone();
        let looker = std::thread::spawn(move || {
            let mut looks = 0;
            while is_over.get() == 0 || looks == 0 {
                assert!(handle.all_tasks().contains(&stays_ref));
                looks += 1;
            }
        });
        for _ in 0..50 {
            let tasks: Vec<_> = (0..50).map(|_| create_task(yield_now())).collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
        over.up();
        looker.join().unwrap();
        stays.cancel();
        stays.wait().await;
    }

    async fn i_06_the_text_form() {
        let pending_task = create_task(pending::<()>());
        assert!(format!("{pending_task:?}").starts_with("<Task pending id="));
        assert!(format!("{pending_task:?}").contains("introspection.rs"));
        let (promise, waits) = Promise::<()>::new();
        let (begun, has_begun) = event();
        let cancelling = create_task(async move {
            begun.happen();
            catch_cancelled(pending::<()>()).await.unwrap_err();
            waits.await.unwrap();
        });
        has_begun.wait().await;
        cancelling.cancel();
        assert!(format!("{cancelling:?}").contains("cancelling"));
        promise.set_result(()).unwrap();
        cancelling.wait().await;
        assert!(format!("{cancelling:?}").contains("finished"), "{cancelling:?}");
        pending_task.cancel();
        pending_task.wait().await;
        assert!(format!("{pending_task:?}").contains("cancelled"));
        let failed = create_task(async { panic!("x") });
        failed.wait().await;
        assert!(format!("{failed:?}").contains("panicked"));
    }

    async fn ids_are_unique_also_across_threads() {
        let handle = Handle::current();
        let mut ids: Vec<TaskId> = (0..500).map(|_| create_task(async {}).id()).collect();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let handle = handle.clone();
                std::thread::spawn(move || (0..500).map(|_| handle.create_task(async {}).id()).collect::<Vec<_>>())
            })
            .collect();
        ids.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
        ids.extend((0..100).map(|_| Promise::<()>::new().1.id()));
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
