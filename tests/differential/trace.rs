//! What a run of a program showed, and the comparison of two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::program::Sexp;

/// What one task did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskTrace {
    /// The virtual millisecond of its end; 0 when it did not end.
    pub(crate) end: u64,
    /// `(value N)`, `(error TEXT)`, `(cancelled)` or `(pending)`.
    pub(crate) outcome: String,
    /// `cancelling()` at the end of the run.
    pub(crate) count: u64,
    /// What happened in it: virtual millisecond and text.
    pub(crate) events: Vec<(u64, String)>,
}

/// What a whole run showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Why the run may not be comparable; only CPython's traces have flags.
    pub(crate) flags: BTreeSet<String>,
    /// The tasks by name.
    pub(crate) tasks: BTreeMap<String, TaskTrace>,
    /// The names of the tasks in the order of all events.
    pub(crate) order: Vec<String>,
}

/// How exactly two traces must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exactness {
    /// Times, events and outcomes of each task for itself.
    PerTask,
    /// The order of events between tasks as well.
    Order,
}

/// What is compared of the events and ends.
#[derive(Clone, Copy)]
struct Exact {
    messages: bool,
    counts: bool,
}

impl Trace {
    /// Reads what interpret.py answers.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let form = Sexp::parse(text)?;
        let [head, parts @ ..] = form.list()? else {
            return Err("an empty answer".to_owned());
        };
        if !head.is("result") {
            return Err(format!("the interpreter answered {text}"));
        }
        let mut trace = Self::default();
        for part in parts {
            trace.read_part(part.list()?)?;
        }
        Ok(trace)
    }

    fn read_part(&mut self, part: &[Sexp]) -> Result<(), String> {
        let words = |forms: &[Sexp]| forms.iter().map(ToString::to_string).collect::<Vec<_>>();
        match part {
            [head, flags @ ..] if head.is("flags") => self.flags.extend(words(flags)),
            [head, order @ ..] if head.is("order") => self.order = words(order),
            [head, name, end, count, events @ ..] if head.is("task") => {
                let task = TaskTrace::read(end.list()?, count.list()?, events)?;
                self.tasks.insert(name.word()?.to_owned(), task);
            }
            _ => return Err("an unknown part of an answer".to_owned()),
        }
        Ok(())
    }

    /// What is different in `other`, one line each; empty when the two agree.
    pub(crate) fn differences(&self, other: &Self, exactness: Exactness) -> Vec<String> {
        let exact = Exact { messages: !self.flags.contains("messages"), counts: !self.flags.contains("counts") };
        let mut found = Vec::new();
        let names: BTreeSet<_> = self.tasks.keys().chain(other.tasks.keys()).collect();
        for name in names {
            match (self.tasks.get(name), other.tasks.get(name)) {
                (Some(ours), Some(theirs)) => ours.compare(theirs, name, exact, &mut found),
                (Some(_), None) => found.push(format!("{name}: only the first has it")),
                (None, _) => found.push(format!("{name}: only the second has it")),
            }
        }
        if exactness == Exactness::Order && found.is_empty() && self.order != other.order {
            found.push(format!("order: {:?}, {:?}", self.order, other.order));
        }
        found
    }
}

impl TaskTrace {
    fn read(end: &[Sexp], count: &[Sexp], events: &[Sexp]) -> Result<Self, String> {
        let ([_, end, outcome], [_, count]) = (end, count) else {
            return Err("a task without end or count".to_owned());
        };
        Ok(Self {
            end: end.number()?,
            outcome: outcome.to_string(),
            count: count.number()?,
            events: events.iter().map(read_event).collect::<Result<_, _>>()?,
        })
    }

    fn compare(&self, other: &Self, name: &str, exact: Exact, found: &mut Vec<String>) {
        let longest = self.events.len().max(other.events.len());
        for i in 0..longest {
            let (a, b) = (self.events.get(i), other.events.get(i));
            if !same_event(a, b, exact) {
                found.push(format!("{name}, event {i}: {}, {}", show(a), show(b)));
                return;
            }
        }
        let ends = (self.end, &self.outcome);
        if ends != (other.end, &other.outcome) {
            let (a, b) = (&self.outcome, &other.outcome);
            found.push(format!("{name}: ends at {} {a}, {} {b}", self.end, other.end));
        } else if exact.counts && self.count != other.count {
            found.push(format!("{name}: count {}, {}", self.count, other.count));
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, task) in &self.tasks {
            let (end, outcome, count) = (task.end, &task.outcome, task.count);
            writeln!(f, "  {name}: ends at {end} {outcome}, count {count}")?;
            for (time, text) in &task.events {
                writeln!(f, "    {time:>6} {text}")?;
            }
        }
        Ok(())
    }
}

fn read_event(form: &Sexp) -> Result<(u64, String), String> {
    let (time, words) = form.list()?.split_first().ok_or("an empty event")?;
    let words: Vec<_> = words.iter().map(ToString::to_string).collect();
    Ok((time.number()?, words.join(" ")))
}

/// Whether two events agree. CPython loses messages here and there and ours never does (C-24): its
/// `caught -` agrees with any message.
fn same_event(a: Option<&(u64, String)>, b: Option<&(u64, String)>, exact: Exact) -> bool {
    let (Some((time_a, a)), Some((time_b, b))) = (a, b) else {
        return false;
    };
    let both = |word: &str| a.starts_with(word) && b.starts_with(word);
    let message = both("caught ") && (!exact.messages || a == "caught -");
    let count = !exact.counts && (both("count ") || both("uncancel "));
    time_a == time_b && (a == b || message || count)
}

fn show(event: Option<&(u64, String)>) -> String {
    event.map_or("nothing".to_owned(), |(time, text)| format!("{time} {text}"))
}
