//! Random programs, run on CPython's asyncio and compared.
//!
//! `DIFFERENTIAL_PROGRAMS` says how many programs of each profile to run (default 200),
//! `DIFFERENTIAL_SEED` at which seed to begin (default 0), `DIFFERENTIAL_PYTHON` which CPython to take.
//! `DIFFERENTIAL_SHUFFLES` is the number of shuffled schedules under which a program must do the same
//! before it is compared (default 4); with 0 programs that depend on the order of ready tasks are compared
//! as well, which is more than is promised. Programs that fail are made small and printed, the first
//! `DIFFERENTIAL_FAILURES` of them (default 3).

mod differences;
mod generate;
mod interpret;
mod program;
mod python;
mod shrink;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use differences::{DIFFERENCES, Difference, reason_to_skip};
use generate::{Profile, generate};
use program::{Program, Statement};
use python::Python;
use trace::{Exactness, Trace};

/// Shuffled schedules that a program must survive before it counts as stable.
const SHUFFLES: u64 = 4;
/// Failures that are made small and shown.
const FAILURES: u64 = 3;
/// How many times as many when a program seems to fail.
const TO_BE_SURE: u64 = 25;

impl Profile {
    fn exactness(self) -> Exactness {
        match self {
            Self::Order => Exactness::Order,
            Self::Mixed | Self::Tight => Exactness::PerTask,
        }
    }

    /// Where the order is compared too, a program need not survive other orders.
    fn shuffles(self) -> u64 {
        match self {
            Self::Order => 0,
            Self::Mixed | Self::Tight => setting("DIFFERENTIAL_SHUFFLES", SHUFFLES),
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// The seeds of this run.
fn seeds() -> impl Iterator<Item = u64> {
    let first = setting("DIFFERENTIAL_SEED", 0);
    first..first + setting("DIFFERENTIAL_PROGRAMS", 200)
}

/// Says on standard error, past the test harness, that nothing was tested.
fn skip_loudly(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {what} ***\n");
}

/// How many programs were compared, and why the others were not.
#[derive(Default)]
struct Tally {
    compared: u64,
    /// By row and reason.
    skipped: BTreeMap<(&'static str, &'static str), u64>,
}

impl Tally {
    fn print(&self, profile: Profile) {
        eprintln!("{profile:?}: {} programs compared", self.compared);
        for ((row, why), count) in &self.skipped {
            eprintln!("  {count} passed over: {row}, {why}");
        }
    }
}

/// What is compared with CPython: gives the trace of each program, or none where it has a reason.
trait Other: FnMut(&[Program]) -> Vec<Option<Trace>> {}

impl<F: FnMut(&[Program]) -> Vec<Option<Trace>>> Other for F {}

/// Runs the programs of a profile on both sides and panics with the first ones that differ, made small.
fn compare_all(python: &Python, profile: Profile, mut other: impl Other) -> Tally {
    let programs: Vec<_> = seeds().map(|seed| generate(seed, profile)).collect();
    let traces = python.run(profile.shuffles(), &texts(&programs));
    let mut tally = Tally::default();
    let (mut chosen, mut theirs) = (Vec::new(), Vec::new());
    for (program, trace) in programs.into_iter().zip(traces) {
        match reason_to_skip(&trace) {
            Some(known) => *tally.skipped.entry((known.row, known.why)).or_default() += 1,
            None => {
                chosen.push(program);
                theirs.push(trace);
            }
        }
    }
    let ours = other(&chosen);
    let most = setting("DIFFERENTIAL_FAILURES", FAILURES) as usize;
    let mut failures = BTreeSet::new();
    for ((program, theirs), ours) in chosen.iter().zip(&theirs).zip(&ours) {
        let Some(ours) = ours else { continue };
        tally.compared += 1;
        if failures.len() < most && !theirs.differences(ours, profile.exactness()).is_empty() {
            failures.extend(report(python, profile, program, &mut other));
        }
    }
    let failures: Vec<_> = failures.into_iter().collect();
    assert!(failures.is_empty(), "{profile:?}:\n{}", failures.join("\n"));
    tally
}

fn texts(programs: &[Program]) -> Vec<String> {
    programs.iter().map(ToString::to_string).collect()
}

/// Makes a failing program small and says what it shows, unless it turns out to be unstable.
fn report(python: &Python, profile: Profile, program: &Program, other: &mut impl Other) -> Option<String> {
    let mut run = |program: &Program| {
        let shuffles = TO_BE_SURE * profile.shuffles();
        let theirs = python.run(shuffles, &[program.to_string()]).remove(0);
        if reason_to_skip(&theirs).is_some() {
            return None;
        }
        let ours = other(std::slice::from_ref(program)).remove(0)?;
        let found = theirs.differences(&ours, profile.exactness());
        (!found.is_empty()).then_some((theirs, ours, found))
    };
    run(program)?;
    let small = shrink::shrink(program, |program| run(program).is_some());
    let (theirs, ours, found) = run(&small).expect("the small program fails too");
    let found = found.join("\n  ");
    Some(format!("\n{small}\n\n  {found}\n\nCPython:\n{theirs}\nthe other:\n{ours}\nfound as:\n{program}\n"))
}

#[test]
fn two_versions_of_cpython_agree() {
    let pythons = Python::all();
    let [newest, .., oldest] = &pythons[..] else {
        return skip_loudly("two versions of CPython cannot be compared: there is only one");
    };
    for profile in [Profile::Mixed, Profile::Tight, Profile::Order] {
        let tally = compare_all(newest, profile, |programs| {
            let traces = oldest.run(profile.shuffles(), &texts(programs));
            let comparable = |trace| Some(trace).filter(|trace| reason_to_skip(trace).is_none());
            traces.into_iter().map(comparable).collect()
        });
        tally.print(profile);
        assert!(tally.compared > 0);
    }
}

/// The programs of programs.txt with their names.
fn small_programs() -> impl Iterator<Item = (&'static str, Program)> {
    let lines = include_str!("programs.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let (name, text) = line.split_once(": ").expect("a name and a colon");
        (name, Program::parse(text).unwrap_or_else(|error| panic!("{name}: {error}")))
    })
}

#[test]
fn the_small_programs_can_be_compared() {
    let Some(newest) = Python::all().into_iter().next() else {
        return skip_loudly("no CPython for the small programs");
    };
    if newest.version < (3, 13, 0) {
        return skip_loudly("the small programs need CPython 3.13");
    }
    let (names, programs): (Vec<_>, Vec<_>) = small_programs().unzip();
    let traces = newest.run(TO_BE_SURE * SHUFFLES, &texts(&programs));
    let skipped = names.iter().zip(&traces).filter_map(|(name, trace)| {
        let difference = reason_to_skip(trace)?;
        Some(format!("{name}: {} {}", difference.row, difference.why))
    });
    assert_eq!(skipped.collect::<Vec<_>>(), Vec::<String>::new());
    for (name, trace) in names.iter().zip(&traces) {
        assert!(!trace.to_string().contains(" never"), "{name}:\n{trace}");
    }
}

#[test]
fn programs_read_back_as_they_were_written() {
    for seed in 0..2_000 {
        for profile in [Profile::Mixed, Profile::Tight, Profile::Order] {
            let program = generate(seed, profile);
            assert_eq!(Program::parse(&program.to_string()), Ok(program));
        }
    }
}

#[test]
fn a_seed_gives_the_same_program_again() {
    for seed in 0..100 {
        let program = generate(seed, Profile::Mixed);
        assert_eq!(generate(seed, Profile::Mixed), program);
        assert_ne!(generate(seed + 1, Profile::Mixed), program);
    }
}

#[test]
fn a_failing_program_shrinks_to_what_fails() {
    let fails = |program: &Program| program.to_string().contains("(shield");
    let program = (0..).map(|seed| generate(seed, Profile::Mixed)).find(fails);
    let small = shrink::shrink(&program.expect("some program has a shield"), fails);
    assert!(matches!(&small.body[..], [Statement::Shield(_)]), "{small}");
}

#[test]
fn every_flag_of_the_interpreter_is_explained_and_every_explanation_used() {
    let script = include_str!("interpret.py");
    let raised = |call: &str| -> BTreeSet<_> {
        let rest = script.split(call).skip(1);
        rest.filter_map(|text| text.split('"').next()).collect()
    };
    let raised: BTreeSet<_> = &raised("flag(\"") | &raised("flags.add(\"");
    let explained: BTreeSet<_> = DIFFERENCES.iter().filter_map(Difference::flag).collect();
    assert_eq!(raised, explained);
}

/// Not a test: prints the programs of the seeds chosen, one per line, as interpret.py reads them.
#[test]
#[ignore = "prints programs, tests nothing"]
fn print_programs() {
    for profile in [Profile::Mixed, Profile::Tight, Profile::Order] {
        for seed in seeds() {
            println!("{} {}", profile.shuffles(), generate(seed, profile));
        }
    }
}
