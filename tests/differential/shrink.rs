//! Makes a failing program small.
//!
//! Works on the text form: leaves lists out, puts the contents of a statement in its place, makes
//! numbers smaller. What does not read as a program any more is passed over, so that nothing here knows
//! the statements.

use crate::program::{Program, Sexp, atom};

/// The smallest program found for which `fails` still holds.
pub(crate) fn shrink(program: &Program, mut fails: impl FnMut(&Program) -> bool) -> Program {
    let mut best = program.clone();
    while let Some(smaller) = candidates(&best).into_iter().find(&mut fails) {
        best = smaller;
    }
    best
}

/// Every program one step smaller, the boldest steps first.
fn candidates(program: &Program) -> Vec<Program> {
    let form = program.to_sexp();
    let mut forms = variants(&form);
    forms.retain(|other| size(other) < size(&form));
    forms.sort_by_key(size);
    forms.dedup();
    let programs = forms.iter().filter_map(|form| Program::from_sexp(form).ok());
    programs.collect()
}

/// What counts as small: few atoms, then few digits, then small numbers.
fn size(form: &Sexp) -> (usize, usize, u64) {
    match form {
        Sexp::Atom(word) => {
            let number: Option<u64> = word.parse().ok();
            (1, number.map_or(0, |_| word.len()), number.unwrap_or(0))
        }
        Sexp::List(items) => {
            items.iter().map(size).fold((1, 0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1, sum.2 + part.2))
        }
    }
}

/// The form with one place changed, for every place and change.
fn variants(form: &Sexp) -> Vec<Sexp> {
    let items = match form {
        Sexp::Atom(word) => return smaller_words(word),
        Sexp::List(items) => items,
    };
    let mut found = Vec::new();
    for i in 0..items.len() {
        let with = |parts: Vec<Sexp>| {
            let mut changed = items.clone();
            changed.splice(i..=i, parts);
            Sexp::List(changed)
        };
        found.push(with(Vec::new()));
        found.extend(hoisted(&items[i]).map(with));
        found.extend(variants(&items[i]).into_iter().map(|part| with(vec![part])));
    }
    found
}

/// What may stand in the place of a statement: its statements, or those of its blocks.
fn hoisted(form: &Sexp) -> impl Iterator<Item = Vec<Sexp>> {
    let lists = |form: &Sexp| match form {
        Sexp::List(items) => items.iter().filter(|item| item.list().is_ok()).cloned().collect(),
        Sexp::Atom(_) => Vec::new(),
    };
    let inner: Vec<Sexp> = lists(form);
    let mut found: Vec<Vec<Sexp>> = inner.iter().map(lists).collect();
    found.push(inner.iter().flat_map(lists).collect());
    found.push(inner);
    found.into_iter().filter(|parts| !parts.is_empty())
}

/// Words to try in the place of this one.
fn smaller_words(word: &str) -> Vec<Sexp> {
    match word.parse::<u64>() {
        Ok(n) => [1, n / 10, n / 2, n.saturating_sub(1)]
            .into_iter()
            .filter(|smaller| (1..n).contains(smaller))
            .map(atom)
            .collect(),
        Err(_) => Vec::new(),
    }
}
