use runtime_core::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn on<T>(workers: usize, f: impl Future<Output = T>) -> T {
    let engine = Engine::new(Config { workers, ..Config::default() }).unwrap();
    let out = engine.run(f).unwrap();
    engine.close();
    out
}

#[test]
fn spawn_many() {
    for workers in [1, 2, 8] {
        let n = on(workers, async {
            let tasks: Vec<_> = (0..10_000)
                .map(|i| {
                    create_task(async move {
                        yield_now().await;
                        i
                    })
                })
                .collect();
            let mut sum = 0usize;
            for t in tasks {
                sum += t.await.unwrap();
            }
            sum
        });
        assert_eq!(n, 10_000 * 9_999 / 2);
    }
}

#[test]
fn sleeps_and_threads() {
    for workers in [1, 2, 4] {
        on(workers, async {
            let count = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..1000)
                .map(|i| {
                    let count = count.clone();
                    create_task(async move {
                        sleep(Duration::from_micros(i * 13 % 5000)).await;
                        count.fetch_add(1, Ordering::Relaxed);
                    })
                })
                .collect();
            for t in tasks {
                t.await.unwrap();
            }
            assert_eq!(count.load(Ordering::Relaxed), 1000);
            let h = Handle::current();
            let t = std::thread::spawn(move || (0..1000).map(|i| h.create_task(async move { i })).collect::<Vec<_>>());
            let (p, task) = Promise::new();
            std::thread::spawn(move || p.set_result(t.join().unwrap()).ok().unwrap());
            let ts: Vec<Task<i32>> = task.await.unwrap();
            for (i, t) in ts.into_iter().enumerate() {
                assert_eq!(t.await.unwrap(), i as i32);
            }
        });
    }
}

#[test]
fn virtual_time_jumps() {
    let engine = Engine::new(Config { workers: 1, virtual_time: true, ..Config::default() }).unwrap();
    let start = std::time::Instant::now();
    engine
        .run(async {
            let a = Handle::current().time();
            sleep(Duration::from_secs(3600)).await;
            assert_eq!(Handle::current().time() - a, Duration::from_secs(3600));
        })
        .unwrap();
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn cancel_shapes() {
    for workers in [1, 2, 8] {
        on(workers, async {
            // chain
            let inner = create_task(async {
                match catch_cancelled(sleep(Duration::MAX)).await {
                    Err(e) => {
                        yield_now().await;
                        e.reraise().await
                    }
                    Ok(()) => 1,
                }
            });
            let outer = create_task(async move { inner.await.unwrap() });
            sleep(Duration::from_millis(5)).await;
            outer.cancel_with("x");
            let e = outer.await.unwrap_err();
            assert!(matches!(&e, TaskError::Cancelled(c) if c.message() == Some("x")), "{e:?}");
            // cycle
            let (p, t) = Promise::<Task<()>>::new();
            let a = create_task(async move {
                let b = t.await.unwrap();
                b.await.unwrap();
            });
            let ar = a.task_ref();
            let b = create_task(async move {
                a.await.unwrap();
            });
            p.set_result(b).ok().unwrap();
            sleep(Duration::from_millis(5)).await;
            ar.cancel();
            ar.wait().await;
            assert!(ar.cancelled());
        });
    }
}

#[test]
fn leftovers_are_cancelled_and_panics_stay() {
    for workers in [1, 2, 8] {
        let done = Arc::new(AtomicUsize::new(0));
        let d = done.clone();
        on(workers, async move {
            for _ in 0..100 {
                let d = d.clone();
                drop(create_task(async move {
                    let r = catch_cancelled(sleep(Duration::MAX)).await;
                    assert!(r.is_err());
                    sleep(Duration::from_millis(2)).await;
                    d.fetch_add(1, Ordering::SeqCst);
                }));
            }
            let t = create_task(async { panic!("boo") });
            let e = t.await.unwrap_err();
            assert!(e.is_panicked());
        });
        assert_eq!(done.load(Ordering::SeqCst), 100);
    }
}
