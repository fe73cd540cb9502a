//! What the wheel's types are is decided by what they hold.

use runtime_timers::{Drain, Expired, Key, Wheel};
use std::panic::{RefUnwindSafe, UnwindSafe};

fn is_all<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
fn is_send<T: Send>() {}
fn is_unpin<T: Unpin>() {}

#[test]
fn types_of_plain_values_go_anywhere() {
    is_all::<Wheel<u8>>();
    is_all::<Drain<u8>>();
    is_all::<Expired<u8>>();
    is_all::<Key>();
}

#[test]
fn a_wheel_goes_where_its_values_may_go() {
    is_send::<Wheel<std::cell::Cell<u8>>>();
    is_send::<Drain<std::cell::Cell<u8>>>();
    is_unpin::<Wheel<std::rc::Rc<u8>>>();
}
