#!/usr/bin/env python3
"""Makes docs/conformance.md: every row of the catalogue with the tests that bear it, or the reason why there is none.

    ci/conformance.py            write the file
    ci/conformance.py --check    fail when a row has neither, when a test names a row that is not in the table, when the
                                 table names a test that is not there, or when the file is stale

The rows stand in ci/conformance.toml. A test bears a row when its name begins with the row's id (`tg_24_...`), or with several
(`e_06_and_e_07_...`), or when the table says so.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "ci" / "conformance.toml"
PAGE = ROOT / "docs" / "conformance.md"
SOURCES = ["src", "tests", "runtime-core", "runtime-bridge", "runtime-timers", "runtime-macros"]
NAME = re.compile(r'\bfn ([a-z][a-z0-9_]*)|^\s*\("([a-z][a-z0-9_]+)", \|\|', re.MULTILINE)
IGNORED = re.compile(r'#\[ignore = "([^"]*)"\]\s*(?:async )?$')
IDS = re.compile(r"([a-z]{1,2})_(\d\d)(?=_|$)")

HEAD = """# Conformance

<!-- Made by ci/conformance.py from the names of the tests and ci/conformance.toml. -->

The rows are what a user of asyncio can observe, one line each. Beside each stand the tests that bear it here, or why there is none:
it is a type, it does not exist, or it is decided otherwise. The design differs on purpose in the rows that
[`tests/differential/differences.rs`](../tests/differential/differences.rs) names.
"""


def ids_of(name):
    """The rows that a test's name begins with."""
    found = []
    rest = name
    while match := IDS.match(rest):
        found.append(f"{match[1].upper()}-{match[2]}")
        rest = rest[match.end() :].removeprefix("_and_")
        if not IDS.match(rest) or rest == name[match.end() :]:
            break
    return found


def tests():
    """All functions of the workspace's Rust files (and the cases of tests without a harness), with their files; and why some are ignored."""
    found, ignored = {}, {}
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.rs")):
            relative = path.relative_to(ROOT)
            if "target" in relative.parts:
                continue
            text = path.read_text(encoding="utf-8")
            for match in NAME.finditer(text):
                name = match[1] or match[2]
                found.setdefault(name, relative.as_posix())
                if reason := IGNORED.search(text, max(0, match.start() - 300), match.start()):
                    ignored[name] = reason[1]
    return found, ignored


def page(table, borne, where, ignored):
    lines = [HEAD]
    count = len(table["rows"])
    later = [row for row in table["later"] if not borne[row]]
    tested = sum(1 for row in table["rows"] if any(name not in ignored for name in borne[row]))
    lines.append(f"{count} rows: {tested} with tests, {count - tested - len(later)} decided otherwise, {len(later)} not yet.\n")
    for area, title in table["areas"].items():
        lines.append(f"## {area}. {title[0].upper()}{title[1:]}\n\n| row | behaviour | here |\n|---|---|---|")
        for row, text in table["rows"].items():
            if row.rsplit("-", 1)[0] != area:
                continue
            here = [f"[`{name}`](../{where[name]})" + (f" (**does not pass yet**: {ignored[name]})" if name in ignored else "") for name in borne[row]]
            if reason := table["decided"].get(row):
                here.insert(0, reason)
            elif row in later:
                here.append(f"**not yet**: {table['later'][row]}")
            lines.append(f"| {row} | {text} | {'<br>'.join(here)} |")
        lines.append("")
    return "\n".join(lines)


def main():
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    where, ignored = tests()
    borne = {row: [] for row in table["rows"]}
    wrong = []
    for name in where:
        for row in ids_of(name):
            if row in borne:
                borne[row].append(name)
            else:
                wrong.append(f"{where[name]}: `{name}` names {row}, which is no row")
    for row, names in table["tests"].items():
        wrong += [f"the table names `{name}` for {row}, which is no test" for name in names if name not in where]
        borne[row] += [name for name in names if name in where and name not in borne[row]]
    for section in ("decided", "later", "tests"):
        wrong += [f"[{section}] has {row}, which is no row" for row in table[section] if row not in borne]
    for row, names in borne.items():
        if all(name in ignored for name in names) and row not in table["decided"] and row not in table["later"]:
            wrong.append(f"{row} has no test and no reason: {table['rows'][row]}")
    text = page(table, borne, where, ignored)
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            wrong.append("docs/conformance.md is stale: run ci/conformance.py")
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
    for name, reason in ignored.items():
        if any(name in names for names in borne.values()):
            print(f"does not pass yet: {name}: {reason}")
    for row, reason in table["later"].items():
        if not borne[row]:
            print(f"not yet: {row} ({reason}): {table['rows'][row]}")
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
