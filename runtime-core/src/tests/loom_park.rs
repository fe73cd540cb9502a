//! Parking: no `unpark` is lost, whatever else uses the thread's own token.

use super::support::model;
use crate::loom::atomic::AtomicUsize;
use crate::loom::thread;
use crate::scheduler::park::Parker;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Sleeps until the number is reached. It is read relaxed: whoever misses the number has missed the `unpark` after it.
fn sleep_until(parker: &Parker, number: &AtomicUsize, wanted: usize) {
    while number.load(Relaxed) < wanted {
        parker.park_timeout(None);
    }
}

/// Two threads end the sleep of a third, which may begin before it has said which thread it is.
///
/// *Found by hand:* `unpark` with a load and a store in place of the swap; `park_timeout` that begins with a swap to `PARKED`; `unpark` that is no
/// `Release`.
#[test]
fn an_unpark_ends_a_sleep() {
    model(|| {
        let parker = Arc::new(Parker::new());
        let number = Arc::new(AtomicUsize::new(0));
        let unparkers = [(); 2].map(|()| {
            let (parker, number) = (Arc::clone(&parker), Arc::clone(&number));
            thread::spawn(move || {
                number.fetch_add(1, Relaxed);
                parker.unpark();
            })
        });
        parker.adopt_thread();
        sleep_until(&parker, &number, 2);
        for unparker in unparkers {
            unparker.join().unwrap();
        }
        parker.release_thread();
    });
}

/// The code that runs between two sleeps parks the thread for reasons of its own, and somebody else unparks it for those.
///
/// *Found by hand:* the same.
#[test]
fn code_between_two_sleeps_may_park_the_thread() {
    model(|| {
        let parker = Arc::new(Parker::new());
        let (number, users) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        parker.adopt_thread();
        let runtime = thread::spawn({
            let (parker, number) = (Arc::clone(&parker), Arc::clone(&number));
            move || {
                for _ in 0..2 {
                    number.fetch_add(1, Relaxed);
                    parker.unpark();
                }
            }
        });
        let user = thread::spawn({
            let (users, sleeper) = (Arc::clone(&users), thread::current());
            move || {
                users.fetch_add(1, Relaxed);
                sleeper.unpark();
            }
        });
        sleep_until(&parker, &number, 1);
        while users.load(Relaxed) == 0 {
            thread::park();
        }
        sleep_until(&parker, &number, 2);
        runtime.join().unwrap();
        user.join().unwrap();
    });
}
