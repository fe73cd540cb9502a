//! The facade has all that its parts export, once, at its root.

use std::collections::BTreeMap;

/// How often each name is made public at the root of a crate, by the text of its `lib.rs`.
fn exported(text: &str) -> BTreeMap<String, usize> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    let mut names = BTreeMap::new();
    for statement in code.split(';') {
        let Some((_, path)) = statement.split_once("pub use ") else { continue };
        let list = path.rsplit_once("::{").map_or_else(
            || path.rsplit_once("::").map_or(path, |(_, name)| name),
            |(_, names)| names.trim_end().trim_end_matches('}'),
        );
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            *names.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    names
}

#[track_caller]
fn assert_has_all(facade: &str, part: &str) {
    let facade = exported(facade);
    for name in exported(part).keys() {
        assert_eq!(facade.get(name), Some(&1), "`{name}` is exported by the part and has to be once in src/lib.rs");
    }
}

const FACADE: &str = include_str!("../../src/lib.rs");
const CORE: &str = include_str!("../../runtime-core/src/lib.rs");
const BRIDGE: &str = include_str!("../../runtime-bridge/src/lib.rs");
const MACROS: [&str; 2] = ["main", "test"];

#[test]
fn every_export_of_the_engine_is_in_the_facade_once() {
    assert!(exported(CORE).len() > 30, "the text of the engine's lib.rs is understood");
    assert_has_all(FACADE, CORE);
}

#[test]
fn every_export_of_the_bridge_is_in_the_facade_once() {
    assert_has_all(FACADE, BRIDGE);
}

#[test]
fn every_macro_is_in_the_facade_once() {
    let facade = exported(FACADE);
    for name in MACROS.into_iter().chain(["context_var"]) {
        assert_eq!(facade.get(name), Some(&1), "`{name}`");
    }
}

#[test]
fn nothing_is_exported_twice() {
    let twice: Vec<_> = exported(FACADE).into_iter().filter(|(_, count)| *count > 1).collect();
    assert_eq!(twice, []);
}
