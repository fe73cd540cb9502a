//! A task's state word driven by a byte string, beside a model that says in plain fields what it must be.
//!
//! Included by the test around it and by `fuzz/fuzz_targets/state.rs`. One thread: what the transitions mean, not how they race (see `src/tests/loom_task/mod.rs`).

use crate::state::{
    AGAIN, CANCEL, COMPLETE, Claim, Complete, DropJoin, EndPoll, JOIN_INTEREST, JOIN_WAKER, JoinWaker, LISTENERS,
    MESSAGE, NOTIFIED, Path, RUNNING, Request, STARTED, SWEPT, State, Wake,
};

/// What the word must say, and what is owed outside of it.
struct Model {
    /// What belongs to the poller: the references that a poll has in advance.
    path: Path,
    running: bool,
    notified: bool,
    complete: bool,
    cancel: bool,
    /// The pending request has been delivered before.
    again: bool,
    interest: bool,
    waker: bool,
    started: bool,
    listeners: bool,
    /// The shutdown has made its request.
    swept: bool,
    /// A request with a message was made.
    message: bool,
    requests: u32,
    /// Wakers and untyped references, besides the runtime's and the handle's.
    extra: u64,
    /// The task is in a queue: a push was owed and has been made.
    queued: bool,
    /// It is in a poll.
    polling: bool,
    /// The handle has given its reference back.
    handle_gone: bool,
}

impl Model {
    fn refs(&self) -> u64 {
        u64::from(!self.complete) + u64::from(!self.handle_gone) + self.extra + u64::from(self.path.spare())
    }

    #[track_caller]
    fn check(&self, state: &State) {
        let seen = state.load();
        let bits = [
            (RUNNING, self.running, "running"),
            (COMPLETE, self.complete, "complete"),
            (CANCEL, self.cancel, "cancel"),
            (AGAIN, self.again, "again"),
            (JOIN_INTEREST, self.interest, "interest"),
            (JOIN_WAKER, self.waker, "waker"),
            (STARTED, self.started, "started"),
            (LISTENERS, self.listeners, "listeners"),
            (SWEPT, self.swept, "swept"),
            (MESSAGE, self.message, "message"),
        ];
        for (bit, expected, name) in bits {
            assert_eq!(seen.has(bit), expected, "{name}: {seen:?}");
        }
        if !self.complete {
            assert_eq!(seen.has(NOTIFIED), self.notified, "notified: {seen:?}");
        }
        assert_eq!((seen.requests(), seen.refs()), (self.requests, self.refs()), "{seen:?}");
        assert!(!(self.running && self.complete));
        assert!(self.complete || !self.notified || self.queued || self.polling, "a push was forgotten: {seen:?}");
    }

    /// A wake, by whatever means: who must push?
    #[track_caller]
    fn woken(&mut self, wake: Wake) {
        let owed = !self.notified && !self.running && !self.complete;
        assert_eq!(wake, if owed { Wake::Submit } else { Wake::Nothing });
        self.notified |= !self.complete;
        if owed {
            assert!(!self.queued, "queued twice");
            self.queued = true;
        }
    }

    fn ended(&mut self) {
        (self.complete, self.running, self.notified, self.polling, self.queued) = (true, false, false, false, false);
    }
}

/// Does what the bytes say, as far as it is allowed at the moment; panics where the word and the model differ.
pub(crate) fn drive(bytes: &[u8]) {
    let eager = bytes.first().is_some_and(|byte| byte % 4 == 0);
    let state = if eager { State::new_running() } else { State::new_notified() };
    let mut model = Model {
        path: Path::new(),
        running: eager,
        notified: !eager,
        complete: false,
        cancel: false,
        again: false,
        interest: true,
        waker: false,
        started: eager,
        listeners: false,
        swept: false,
        message: false,
        requests: 0,
        extra: 0,
        queued: !eager,
        polling: eager,
        handle_gone: false,
    };
    model.check(&state);
    for byte in bytes.iter().skip(1) {
        step(&state, &mut model, *byte);
        if model.refs() == 0 {
            // Freed: there is no word any more.
            return;
        }
        model.check(&state);
    }
}

fn step(state: &State, model: &mut Model, byte: u8) {
    match byte % 20 {
        0 if model.extra > 0 => model.woken(state.wake()),
        1 if model.queued => {
            let is_plain = (byte / 20).is_multiple_of(2);
            let begin = state.begin_poll(&model.path, || is_plain);
            assert_eq!((begin.attention, begin.first), (model.cancel, !model.started));
            assert_eq!(begin.took_request, model.cancel && !model.again && is_plain);
            model.cancel &= !begin.took_request;
            (model.queued, model.polling, model.running, model.notified, model.started) =
                (false, true, true, false, true);
        }
        2 if model.polling => {
            let again = state.end_poll(&model.path);
            assert_eq!(model.path.spare(), 0, "a task that nobody polls holds no references of a poll");
            assert_eq!(again, if model.notified { EndPoll::Submit } else { EndPoll::Idle });
            (model.polling, model.running, model.queued) = (false, false, model.notified);
        }
        // It has yielded: queued with the right to the future.
        3 if model.polling => (model.polling, model.queued) = (false, true),
        4 | 5 if model.polling => {
            let is_value = byte % 20 == 4;
            match state.complete(is_value, &model.path) {
                Complete::CancelPending => assert!(is_value && model.cancel && !model.again),
                Complete::Done(before) => {
                    assert!(!(is_value && model.cancel && !model.again));
                    assert_eq!(before.has(JOIN_WAKER), model.waker);
                    model.ended();
                    assert_eq!(state.ref_dec(), model.refs() == 0);
                }
            }
        }
        6 if model.extra > 0 || !model.handle_gone => request(state, model, byte / 20),
        19 => {
            let is_idle = !(model.running || model.notified || model.complete);
            let is_plain = (byte / 20).is_multiple_of(2);
            let swept = is_idle && model.started && !model.cancel && !model.swept && is_plain;
            assert_eq!(state.sweep_idle(|| is_plain), swept);
            if swept {
                (model.swept, model.cancel, model.notified, model.queued) = (true, true, true, true);
                model.requests += 1;
            }
        }
        7 => {
            model.requests = model.requests.saturating_sub(1);
            model.cancel &= model.requests > 0;
            model.again &= model.cancel;
            assert_eq!(state.unrequest(), model.requests);
        }
        8 if model.polling => {
            assert_eq!(state.take_request().is_some(), model.cancel);
            (model.cancel, model.again) = (false, false);
        }
        9 if model.refs() > 0 && model.extra < 1_000 => {
            state.ref_inc();
            model.extra += 1;
        }
        10 if model.extra > 0 && model.refs() > 1 => {
            model.extra -= 1;
            assert!(!state.ref_dec());
        }
        11 if model.interest && !model.handle_gone => {
            let changed = if model.waker { state.unset_join_waker() } else { state.set_join_waker() };
            assert_eq!(changed, if model.complete { JoinWaker::Complete } else { JoinWaker::Changed });
            model.waker ^= !model.complete;
        }
        12 if model.interest && !model.handle_gone && model.refs() > 1 => drop_join(state, model),
        13 if model.extra > 0 => match state.wake_by_value() {
            None => assert!(model.complete),
            Some(wake) => {
                model.woken(wake);
                model.extra -= 1;
            }
        },
        14 => {
            let expected = match (model.running || model.complete, model.notified) {
                (true, _) => Claim::Busy,
                (_, true) => Claim::Queued,
                _ => Claim::Claimed,
            };
            assert_eq!(state.claim_idle(), expected);
            if expected == Claim::Claimed {
                (model.running, model.polling) = (true, true);
            }
        }
        15 if model.polling => {
            assert_eq!(state.request_again(), model.cancel);
            if !model.cancel {
                (model.cancel, model.again, model.notified) = (true, true, true);
            }
        }
        16 => {
            assert_eq!(state.set(LISTENERS).has(LISTENERS), model.listeners);
            model.listeners = true;
            assert_eq!(state.has_started(), model.started);
        }
        // Wakers that the poll clones and drops, with and without a write to the word.
        17 if model.polling && model.path.take_one() => model.extra += 1,
        18 if model.polling && model.extra > 0 && model.path.keep_one() => model.extra -= 1,
        _ => {}
    }
}

/// A request: with a message, without one, or the sweep's that another task passes on.
fn request(state: &State, model: &mut Model, kind: u8) {
    let (request, has_message) = match kind % 3 {
        0 => (state.request(true), true),
        1 => (state.request(false), false),
        _ => (state.request_before_sweep(), true),
    };
    match request {
        Request::TooLate => assert!(model.complete),
        Request::LeftToSweep => assert!(kind % 3 == 2 && model.swept && !model.complete),
        Request::Recorded { first, wake } => {
            assert!(!(model.complete || kind % 3 == 2 && model.swept));
            assert_eq!(first, !model.cancel);
            model.woken(wake);
            (model.cancel, model.again) = (true, false);
            model.message |= has_message;
            model.requests += 1;
        }
    }
}

/// The typed handle goes.
fn drop_join(state: &State, model: &mut Model) {
    match state.drop_join_interest() {
        DropJoin::Complete => {
            assert!(model.complete);
            // Its bit stays: nobody looks at it any more.
            model.handle_gone = true;
            assert!(!state.ref_dec());
        }
        DropJoin::Waker => {
            assert!(model.waker && !model.complete);
            (model.waker, model.interest) = (false, false);
            model.check(state);
            model.handle_gone = true;
            assert!(!state.ref_dec());
        }
        DropJoin::Gone => {
            assert!(!model.waker && !model.complete);
            (model.interest, model.handle_gone) = (false, true);
        }
    }
}
