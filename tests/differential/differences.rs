//! The rows of the catalogue in which the runtime differs from CPython on purpose, as far as a random
//! program could show them, and the places where CPython itself promises nothing.
//!
//! Most are found while CPython runs the program: interpret.py raises the flag of that name, and the
//! trace is not compared. The others never get so far, because the language or its translation leaves
//! them out.

use crate::trace::Trace;

/// How a difference is kept out of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// interpret.py flags the programs that show it; they are passed over.
    Flag(&'static str),
    /// interpret.py flags the programs that show it; the messages of their cancellations are not compared.
    Messages(&'static str),
    /// interpret.py flags the programs that show it; counts of requests are not compared.
    Counts(&'static str),
    /// Both interpreters translate it so that it cannot be seen.
    Translated,
    /// No program says it.
    NotSaid,
}

/// One difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    /// The row of the catalogue, or the rule of the design.
    pub(crate) row: &'static str,
    pub(crate) treatment: Treatment,
    pub(crate) why: &'static str,
}

impl Difference {
    /// The flag that interpret.py raises for it.
    pub(crate) fn flag(&self) -> Option<&'static str> {
        match self.treatment {
            Flag(name) | Messages(name) | Counts(name) => Some(name),
            Translated | NotSaid => None,
        }
    }
}

const fn differs(row: &'static str, treatment: Treatment, why: &'static str) -> Difference {
    Difference { row, treatment, why }
}

use Treatment::{Counts, Flag, Messages, NotSaid, Translated};

/// All of them.
pub(crate) const DIFFERENCES: &[Difference] = &[
    // What our runtime does otherwise.
    differs(
        "G-11",
        Flag("G-11"),
        "a cancelled gather waits for all children; then an error among them wins, whichever ended first",
    ),
    differs("TG-29", Flag("TG-29"), "a group compares counts with those at its entry, CPython with 0"),
    differs("TO-21", Flag("TO-21"), "a timeout of 0 does not take an older request for its own"),
    differs(
        "C-31",
        Flag("uncancel-in-scope"),
        "requests are told apart: taking one back inside a timeout or group cannot make the scope claim another",
    ),
    differs("W-08", Flag("W-08"), "a wait for finished tasks does not suspend, so an undelivered request goes past it"),
    differs(
        "AC-01",
        Flag("AC-01"),
        "members that had ended before the call come in no defined order, and with us without a suspension",
    ),
    differs(
        "R-10",
        Flag("R-10"),
        "the sweep at the end repeats until no task is left, also for tasks created meanwhile",
    ),
    differs("C-23", Messages("messages"), "of several undelivered requests the first one's message is delivered"),
    differs("C-24", Translated, "the message is always kept: where CPython has none, any is accepted"),
    differs(
        "TG-10",
        Translated,
        "a group aborts in the step in which a child fails, CPython one pass later; programs that can tell are `unstable`",
    ),
    differs(
        "TG-05",
        Translated,
        "a task created in a group that is over or shutting down is born cancelled (count 1), where CPython raises",
    ),
    differs("T-06", Translated, "a result is taken once: both interpreters give it to the first statement that asks"),
    differs("T-12", Flag("T-12"), "cycles of tasks awaiting each other end; CPython exhausts its stack"),
    differs(
        "TO-07",
        Translated,
        "an error that leaves an expired timeout carries no TimeoutError; its context is not shown",
    ),
    differs("G-15", Translated, "a cancelled gather counts as cancelled; the future of a gather is not looked at"),
    differs("AC-09", Translated, "a cancelled `next` loses nothing; no program goes on with the same iterator"),
    differs("AC-02", Translated, "items are the finished tasks themselves"),
    differs("C-26", NotSaid, "reports of unread failures are not compared"),
    differs("SH-07", NotSaid, "reports of unread failures are not compared"),
    differs("E-12", NotSaid, "eager tasks are not said: a group's extra pass could be seen"),
    differs("TG-33", NotSaid, "a group's own cancel is in no released CPython this runs on"),
    differs("C-30", NotSaid, "taking back requests of another task: uncancel is said of the running task only"),
    differs("D-03", NotSaid, "no order between done callbacks and awaiters"),
    differs("T-13", NotSaid, "names given automatically are not compared"),
    differs(
        "C-14",
        Flag("C-14"),
        "an Err is a value: like every value it is replaced by a request that came before the end",
    ),
    differs(
        "C-13",
        Flag("C-13"),
        "a request that a failed group has made pending again replaces no value: it has been delivered before, and the value may be the errors",
    ),
    differs(
        "C-15",
        Flag("C-15"),
        "a request travels from task to task when these are polled, so it comes back to its maker after the step",
    ),
    differs(
        "W-07",
        Flag("W-07"),
        "a child that fails ends cancelled, for its group has the error: a wait for errors does not see one",
    ),
    differs(
        "WF-07",
        Translated,
        "wait_for is timeout, also with 0, which interrupts the first suspension; CPython cancels at once there",
    ),
    differs(
        "C-11",
        Flag("C-11"),
        "a request is passed on at the next poll of the task that awaits: what is awaited may take a step before",
    ),
    differs(
        "C-21",
        Counts("counts"),
        "a request that is passed on comes later, and is not counted by a task that has ended",
    ),
    differs(
        "TG-16",
        Flag("TG-16"),
        "a child that fails ends cancelled: if a request was passed on to it, that goes on in the one that awaits",
    ),
    differs(
        "C-07",
        Counts("counts"),
        "two requests that are passed on to a task in one instant arrive one after the other, and the second is delivered to the clean-up that the first \
         began; CPython passes both on before either is delivered, and merges them",
    ),
    differs(
        "TO-12",
        Flag("TO-12"),
        "a request that is passed on comes after a deadline, or a group's failure, of the same instant",
    ),
    differs(
        "G-18",
        Flag("G-18"),
        "a gather of tasks that have ended, or one of which has failed, is over at once; the translation's is a pass later, for it wraps tasks",
    ),
    differs(
        "SD-06",
        Flag("SD-06"),
        "what is passed on while the runtime shuts down counts as the sweep's request, of which a task is told once",
    ),
    differs(
        "SH-11",
        Flag("SH-11"),
        "a shield or gather of tasks awaits in tasks of its own: the sweep cancels them, and so a promise behind them",
    ),
    // Where nothing is promised.
    differs("SL-05", Flag("collision"), "timers of different tasks due at one instant fire in no defined order"),
    differs("section 5", Flag("unstable"), "the program depends on the order of tasks that are ready at one instant"),
    differs("R-08", Flag("stuck"), "a program whose tasks can not even be cancelled"),
    differs("T-15", Flag("deadlock"), "a program whose tasks wait for ever has no end to compare"),
    // What older CPythons do otherwise.
    differs("C-29", Flag("old:C-29"), "before 3.13 an undelivered request could not be taken back"),
    differs(
        "TG-24",
        Flag("old:TG-24"),
        "before 3.13 a failing group lost a request from outside, or left the count too high",
    ),
    differs("AC-03", Flag("old:AC-03"), "before 3.13 as_completed did not give the tasks themselves"),
    differs("WF-02", Flag("old:WF-02"), "before 3.12 wait_for was not a timeout scope"),
    differs("G-18", Flag("old:G-18"), "before 3.12 a gather of finished tasks took a pass"),
];

/// The first reason why this trace of CPython's is not to be compared.
///
/// # Panics
///
/// When a flag is not in the list: interpret.py and this file must agree.
pub(crate) fn reason_to_skip(trace: &Trace) -> Option<&'static Difference> {
    for flag in &trace.flags {
        let difference = DIFFERENCES.iter().find(|known| known.flag() == Some(flag));
        let difference = difference.unwrap_or_else(|| panic!("the flag {flag} is not explained"));
        if matches!(difference.treatment, Flag(_)) {
            return Some(difference);
        }
    }
    None
}
