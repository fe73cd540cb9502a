//! The list of the catchers that wait on wakers of their own: used by the task that polls a scope and by whoever drops one of its futures.

use super::support::model;
use crate::loom::thread;
use crate::scope::{Delivery, Mark, WakeList, path};
use crate::task::CancelledError;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Wake, Waker};

/// Counts its wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Wakes {
    fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

fn register(place: &mut Mark, list: &Arc<WakeList>, waker: &Waker, bits: u8) {
    place.register(Arc::clone(list), waker, bits);
}

/// One catcher leaves on a thread of its own and another comes, while all are woken for a request: who stays is woken, once, and what leaves takes
/// its waker and its hold along.
///
/// *Found by hand:* `remove` that does not take the hold back; `insert` that takes a free place without filling it; `stir` that drops the entries
/// with their wakers.
#[test]
fn a_place_is_woken_or_gone() {
    model(|| {
        let list = Arc::new(WakeList::default());
        let ((leaves, leaving), (stays, staying), (comes, coming)) = (Wakes::new(), Wakes::new(), Wakes::new());
        let (mut one, mut two, mut three) = (Mark::default(), Mark::default(), Mark::default());
        register(&mut one, &list, &leaving, path::CATCHER | path::HOLDING);
        register(&mut two, &list, &staying, path::CATCHER);
        drop((leaving, staying));
        let leaver = thread::spawn(move || drop(one));
        let waker = thread::spawn({
            let list = Arc::clone(&list);
            move || list.wake_all(&Delivery::new(CancelledError::default()))
        });
        register(&mut three, &list, &coming, path::CATCHER);
        leaver.join().unwrap();
        waker.join().unwrap();
        assert!(leaves.count() <= 1 && comes.count() <= 1);
        assert_eq!(stays.count(), 1);
        assert_eq!(Arc::strong_count(&leaves), 1, "its waker went with it");
        assert_eq!(list.path(), path::CATCHER | path::UNREACHED, "the hold went with its place");
        list.stir();
        assert_eq!(stays.count(), 1, "not again before it registers again");
        assert_eq!(comes.count(), 1);
        drop((two, three));
        assert_eq!(list.path(), 0);
    });
}

/// A place is renewed by its task while it is woken by the scope: the waker that is there afterwards is the new one, or it was woken.
///
/// *Found by hand:* `register` that drops the new waker when the old one has been taken; `remove` that does not take the hold back.
#[test]
fn a_place_that_is_renewed_stays_awake() {
    model(|| {
        let list = Arc::new(WakeList::default());
        let ((old, old_waker), (new, new_waker)) = (Wakes::new(), Wakes::new());
        let mut place = Mark::default();
        register(&mut place, &list, &old_waker, path::CATCHER);
        let waker = thread::spawn({
            let list = Arc::clone(&list);
            move || list.stir()
        });
        register(&mut place, &list, &new_waker, path::CATCHER | path::HOLDING);
        waker.join().unwrap();
        assert_eq!(old.count() + new.count(), 1, "one of the two");
        list.stir();
        assert_eq!(new.count(), 1);
        assert_eq!(list.path(), path::CATCHER | path::HOLDING);
        drop(place);
        assert_eq!(list.path(), 0);
    });
}
