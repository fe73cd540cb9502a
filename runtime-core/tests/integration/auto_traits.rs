//! Which public types are `Send`, `Sync`, `Unpin`, `UnwindSafe`: cheap promises, easily broken.

use runtime_core::*;
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::UnwindSafe;
use std::rc::Rc;

/// Tells whether a type has a trait: the inherent constant is there only if it has, and goes before the trait's.
macro_rules! has {
    ($type:ty: $trait:path) => {{
        #[allow(dead_code, reason = "used where the bound does not hold")]
        trait Fallback {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Fallback for T {}
        struct Probe<T: ?Sized>(PhantomData<T>);
        #[allow(dead_code, reason = "the fallback's is used where the bound does not hold")]
        impl<T: ?Sized + $trait> Probe<T> {
            const HAS: bool = true;
        }
        <Probe<$type>>::HAS
    }};
}

macro_rules! table {
    ($($type:ty: $send:literal $sync:literal $unpin:literal $unwind:literal;)*) => {$(
        let has = [
            has!($type: Send), has!($type: Sync), has!($type: Unpin), has!($type: UnwindSafe),
        ];
        assert_eq!(has, [$send, $sync, $unpin, $unwind], "{}", stringify!($type));
    )*};
}

#[test]
fn auto_traits() {
    table! {
        // type: Send Sync Unpin UnwindSafe
        Task<u8>: true true true true;
        Task<Cell<u8>>: true true true true;
        Task<Rc<u8>>: false false true true;
        TaskRef: true true true false;
        Promise<u8>: true true true true;
        Promise<Rc<u8>>: false false true true;
        TaskError: true true true false;
        CancelledError: true true true true;
        PanicError: true true true false;
        InvalidStateError: true true true true;
        TaskId: true true true true;
        CallbackId: true true true true;
        TaskBuilder: true true true false;
        Handle: true true true false;
        Engine: true true true false;
        Config: true true true true;
        Metrics: true true true true;
        PollTimes: true true true true;
        CallHandle: true true true false;
        OutsideWork: true true true false;
        OutsidePause: true true true false;
        CancelScope: true true true false;
        Context: true true true false;
        ContextVar<u8>: true true true true;
        ExceptionContext: true true true false;
        YieldNow: true true true true;
    }
    assert!(has!(Sleep: Send) && has!(Sleep: Sync) && has!(Sleep: Unpin));
    assert!(has!(Wait: Send) && has!(Wait: Unpin));
    assert!(has!(CatchCancelled<Sleep>: Send));
    assert!(has!(CancelWhen<Sleep, Scoped>: Send));
    assert!(!has!(CatchCancelled<std::future::Pending<Rc<u8>>>: Send) || has!(std::future::Pending<Rc<u8>>: Send));
}
