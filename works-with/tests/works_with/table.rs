//! The table of `docs/works-with.md` names what is tried here, at the versions of the lock file.

use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../docs/works-with.md");
const LOCK: &str = include_str!("../../Cargo.lock");
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// What is there to try the others with.
const TOOLS: [&str; 6] = ["bytes", "http-body-util", "hyper-util", "runtime", "serde", "works-with"];

/// The versions of each package in the lock file.
fn locked() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut versions = BTreeMap::<_, BTreeSet<_>>::new();
    let value = |line: Option<&'static str>, key: &str| line?.strip_prefix(key)?.strip_suffix('"');
    for package in LOCK.split("[[package]]\n").skip(1) {
        let mut lines = package.lines();
        let name = value(lines.next(), "name = \"").unwrap();
        versions.entry(name).or_default().insert(value(lines.next(), "version = \"").unwrap());
    }
    versions
}

/// Library and version of each row.
fn rows() -> BTreeMap<&'static str, &'static str> {
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?, cells.next()?))
    };
    let rows =
        PAGE.lines().skip_while(|line| !line.starts_with("| library |")).take_while(|line| line.starts_with('|'));
    rows.filter_map(row).collect()
}

#[test]
fn the_versions_are_those_of_the_lock_file() {
    let locked = locked();
    for (library, version) in rows() {
        let versions = locked.get(library).unwrap_or_else(|| panic!("`{library}` is not tried here"));
        assert!(versions.contains(version), "`{library}` was tried at {versions:?}, the table says {version}");
    }
}

#[test]
fn everything_that_is_tried_has_a_row() {
    let (_, dependencies) = MANIFEST.split_once("[dev-dependencies]\n").unwrap();
    let names =
        dependencies.lines().take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(" = "));
    let tried: BTreeSet<_> = names.map(|(name, _)| name).filter(|name| !TOOLS.contains(name)).collect();
    assert!(tried.len() > 15, "the manifest is understood");
    assert_eq!(tried, rows().into_keys().collect());
}
