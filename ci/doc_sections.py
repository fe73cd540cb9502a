#!/usr/bin/env python3
"""Lists public items whose documentation lacks something.

Looks at the sources of the facade, the bridge and the engine: each `pub` function, type, trait and macro has to have a sentence and an
example that asserts (or shows, for what cannot be asserted); a function that returns a `Result` has to have
`# Errors`, one that gives something to await `# Cancellation`.

    ci/doc_sections.py            fails if something is missing
    ci/doc_sections.py --list     all public items, and what each has

What an item says by reference ("As [`timeout`]") it need not say again. A method may be shown by the example of something else, usually of its type.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ["src", "runtime-bridge/src", "runtime-core/src"]

# Modules that are public themselves.
PUBLIC_MODULES = re.compile(r"/(hyper|inspect|observe|testing)(\.rs|/)")

ITEM = re.compile(r"^(\s*)pub (?:(?:async|const|unsafe) )*(fn|struct|enum|trait|macro) (\w+)(.*)$")
MACRO = re.compile(r"^(\s*)macro_rules! (\w+)(.*)$")
# What can be awaited, and what polls it.
AWAITED = re.compile(r"^impl(?:<.*>)? (?:Future|Stream) for (\w+)", re.M)
# Types that are named by what a function gives, and have nothing to show that the function's page does not.
FUTURE = re.compile(r"^(The (future|stream)s? of|See) ")
REFERS = re.compile(r"^(As \[|As for \[|\[`[^`]+`\](\([^)]*\))?(:| under))")


class Item:
    def __init__(self, path, line, kind, name, docs, attributes, signature, owner):
        self.path, self.line, self.kind, self.name = path, line, kind, name
        self.docs, self.attributes, self.signature, self.owner = docs, attributes, signature, owner
        self.is_async = False

    def text(self):
        return "\n".join(self.docs)

    def title(self):
        return f"{self.owner}::{self.name}" if self.owner else self.name

    def is_awaited(self, futures):
        """Whether it is awaited itself, or gives what is: not for a setting, which gives what it was called on."""
        if self.kind == "struct":
            return self.name in futures and not FUTURE.match(self.docs[0])
        given = re.search(r"-> *(\w+)", self.signature)
        return self.is_async or bool(self.kind == "fn" and given and given.group(1) in futures - {self.owner})

    def missing(self, shown, futures):
        """What the documentation lacks; `shown` is the code of all examples, `futures` the types that can be awaited."""
        if not self.docs:
            return ["any documentation"]
        refers, lacks = REFERS.match(self.docs[0]) is not None, []
        if not self.has_example(shown) and not refers:
            lacks.append("an example")
        if self.kind == "fn" and re.search(r"->\s*Result<", self.signature) and "# Errors" not in self.text() and not refers:
            lacks.append("# Errors")
        if self.is_awaited(futures) and "# Cancellation" not in self.text() and not refers:
            lacks.append("# Cancellation")
        return lacks

    def has_example(self, shown):
        if "```" in self.text() or FUTURE.match(self.docs[0]):
            return True
        if not self.owner or self.kind != "fn":
            return False
        return re.search(rf"[.:]{self.name}\(", shown) is not None


def blocks(path):
    """The public items of a file, with what stands before each."""
    lines = path.read_text().splitlines()
    docs, attributes, owner, test, nested = [], [], None, False, False
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("///"):
            docs.append(stripped[3:].removeprefix(" "))
            continue
        if stripped.startswith("#[") or attributes and not attributes[-1].endswith("]"):
            attributes.append(stripped)
            continue
        if re.match(r"^(pub )?mod tests\b|^#\[cfg\(test\)\]", stripped):
            test = True
        if re.match(r"^(pub )?mod \w+ \{", line):
            nested = True
        if implements := re.match(r"^impl(?:<.*?>)? (?:[\w:<>', ]+ for )?(\w+)", line):
            owner = implements.group(1)
            foreign = " for " in line.split("{")[0].split(" where ")[0]
            owner = None if foreign else owner
        if line == "}":
            owner, nested = None, False
        found = ITEM.match(line) or MACRO.match(line)
        if found and not test and not nested:
            if found.re is MACRO:
                indent, kind, name, rest = found.group(1), "macro", found.group(2), found.group(3)
                public = any("macro_export" in attribute for attribute in attributes)
            else:
                indent, kind, name, rest = found.groups()
                public = True
            hidden = any("doc(hidden)" in attribute for attribute in attributes)
            if public and not hidden and not (indent and kind == "fn" and owner is None):
                signature = rest
                for following in lines[number + 1 : number + 12]:
                    if "{" in signature or ";" in signature:
                        break
                    signature += " " + following.strip()
                item = Item(path, number + 1, kind, name, docs, attributes, signature.split("{")[0], owner if indent else None)
                item.is_async = re.match(r"\s*pub (\w+ )*async ", line) is not None
                yield item
        if stripped and not stripped.startswith("//"):
            docs, attributes = [], []


def exported():
    """The names that the crates make public at their roots."""
    names = set()
    for source in SOURCES:
        text = (ROOT / source / "lib.rs").read_text()
        for path in re.findall(r"pub use ([^;]+);", text):
            names.update(re.findall(r"\w+", path.rsplit("::", 1)[-1] if "{" not in path else path.split("{", 1)[1]))
    return names


def items():
    names = exported()
    assert len(names) > 60, "the exports are understood"
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.rs")):
            everything = PUBLIC_MODULES.search(str(path))
            for item in blocks(path):
                if everything or (item.owner or item.name) in names:
                    yield item


def main():
    found = list(items())
    assert len(found) > 100, "the sources are understood"
    # A method may be shown by any example.
    shown = "".join(code for item in found for code in re.findall(r"```.*?```", item.text(), re.S))
    sources = (path for source in SOURCES for path in (ROOT / source).rglob("*.rs"))
    futures = {name for path in sources for name in AWAITED.findall(path.read_text())}
    assert {"Task", "Sleep", "AsCompleted"} <= futures, "what can be awaited is understood"
    bad = [(item, lacks) for item in found if (lacks := item.missing(shown, futures))]
    if "--list" in sys.argv:
        for item in found:
            print(item.title(), item.missing(shown, futures) or "")
        print(f"{len(found)} items")
    for item, lacks in bad:
        print(f"{item.path.relative_to(ROOT)}:{item.line}: `{item.title()}` lacks {' and '.join(lacks)}", file=sys.stderr)
    sys.exit(1 if bad else 0)


main()
