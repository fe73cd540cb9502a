#!/usr/bin/env python3
"""The public API as a list: ci/api.py writes docs/api.txt, ci/api.py --check fails when it differs.

Reads what rustdoc says as JSON, which takes a nightly compiler; without one it is skipped, loudly. Types are written as rustdoc has them; the list is
to see changes by, not to compile.
"""

import difflib
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.txt"
CRATES = ["runtime-timers", "runtime-core", "runtime-bridge", "runtime"]
HEAD = "# The public API, one line an item. Made by ci/api.py; CI compares it.\n"


def rustdoc(crate):
    """What rustdoc knows about a crate; None without the compiler for it."""
    flags = ["-Z", "unstable-options", "--output-format", "json"]
    command = ["cargo", "+nightly", "rustdoc", "-q", "-p", crate, "--lib", "--target-dir", "target/api", "--", *flags]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"ci/api.py: rustdoc failed for {crate}:\n{ran.stderr}")
    path = ROOT / "target" / "api" / "doc" / (crate.replace("-", "_") + ".json")
    return json.loads(path.read_text(encoding="utf-8"))


class Printer:
    """Writes items of one crate as text."""

    def __init__(self, crate):
        self.index = crate["index"]
        self.paths = crate["paths"]
        self.lines = set()
        self.seen = set()

    # Types.

    def args(self, args):
        if not args:
            return ""
        if "angle_bracketed" in args:
            inner = args["angle_bracketed"]
            parts = [self.arg(arg) for arg in inner["args"]]
            for constraint in inner.get("constraints", []):
                bound = constraint["binding"]
                if "equality" in bound:
                    parts.append(f"{constraint['name']} = {self.term(bound['equality'])}")
                else:
                    parts.append(f"{constraint['name']}: {self.bounds(bound['constraint'])}")
            return f"<{', '.join(parts)}>" if parts else ""
        if "parenthesized" in args:
            inner = args["parenthesized"]
            output = f" -> {self.type(inner['output'])}" if inner["output"] else ""
            return f"({', '.join(map(self.type, inner['inputs']))}){output}"
        return ""

    def term(self, term):
        return self.type(term["type"]) if "type" in term else str(term["constant"]["expr"])

    def arg(self, arg):
        if isinstance(arg, str):
            return "_"
        kind, value = next(iter(arg.items()))
        return {"lifetime": lambda: value, "type": lambda: self.type(value), "const": lambda: value["expr"]}[kind]()

    def bound(self, bound):
        if "outlives" in bound:
            return bound["outlives"]
        if "use" in bound:
            return "use<..>"
        inner = bound["trait_bound"]
        mark = {"maybe": "?", "maybe_const": "~const "}.get(inner["modifier"], "")
        trait = inner["trait"]
        return f"{mark}{self.path(trait)}"

    def bounds(self, bounds):
        return " + ".join(map(self.bound, bounds))

    def path(self, path):
        return path["path"].split("::")[-1] + self.args(path.get("args"))

    def type(self, value):
        if isinstance(value, str):
            return value
        kind, inner = next(iter(value.items()))
        return getattr(self, f"of_{kind}")(inner)

    def of_resolved_path(self, inner):
        return self.path(inner)

    def of_generic(self, inner):
        return inner

    def of_primitive(self, inner):
        return "!" if inner == "never" else inner

    def of_tuple(self, inner):
        return f"({', '.join(map(self.type, inner))})"

    def of_slice(self, inner):
        return f"[{self.type(inner)}]"

    def of_array(self, inner):
        return f"[{self.type(inner['type'])}; {inner['len']}]"

    def of_borrowed_ref(self, inner):
        lifetime = f"{inner['lifetime']} " if inner["lifetime"] else ""
        return f"&{lifetime}{'mut ' if inner['is_mutable'] else ''}{self.type(inner['type'])}"

    def of_raw_pointer(self, inner):
        return f"*{'mut' if inner['is_mutable'] else 'const'} {self.type(inner['type'])}"

    def of_impl_trait(self, inner):
        return f"impl {self.bounds(inner)}"

    def of_dyn_trait(self, inner):
        names = [self.path(each["trait"]) for each in inner["traits"]]
        return "dyn " + " + ".join(names + ([inner["lifetime"]] if inner["lifetime"] else []))

    def of_function_pointer(self, inner):
        return "fn" + self.signature(inner["sig"])

    def of_qualified_path(self, inner):
        own = self.type(inner["self_type"])
        trait = f"<{own} as {self.path(inner['trait'])}>" if inner["trait"] and inner["trait"]["path"] else own
        return f"{trait}::{inner['name']}"

    def signature(self, sig):
        inputs = [f"{name}: {self.type(kind)}" for name, kind in sig["inputs"]]
        output = f" -> {self.type(sig['output'])}" if sig["output"] else ""
        return f"({', '.join(inputs)}){output}"

    def generics(self, generics):
        params = [self.param(each) for each in generics["params"] if not self.is_synthetic(each)]
        return f"<{', '.join(params)}>" if params else ""

    def where(self, generics):
        found = [self.predicate(each) for each in generics["where_predicates"]]
        return f" where {', '.join(filter(None, found))}" if any(found) else ""

    @staticmethod
    def is_synthetic(param):
        return param["kind"].get("type", {}).get("is_synthetic", False)

    def param(self, param):
        kind = param["kind"]
        if "type" in kind and kind["type"]["bounds"]:
            return f"{param['name']}: {self.bounds(kind['type']['bounds'])}"
        if "const" in kind:
            return f"const {param['name']}: {self.type(kind['const']['type'])}"
        return param["name"]

    def predicate(self, predicate):
        if "bound_predicate" in predicate:
            inner = predicate["bound_predicate"]
            return f"{self.type(inner['type'])}: {self.bounds(inner['bounds'])}" if inner["bounds"] else ""
        return ""

    # Items.

    def add(self, path, text):
        self.lines.add(f"{path}: {text}")

    def item(self, number, path):
        """An item, with all that is in it, under the path by which it is reached."""
        found = self.index.get(str(number))
        if found is None or (number, path) in self.seen:
            return
        self.seen.add((number, path))
        kind, inner = next(iter(found["inner"].items()))
        if "#[doc(hidden)]" in str(found["attrs"]) or found["docs"] == "hidden":
            return
        name = f"{path}::{found['name']}" if found["name"] else path
        visit = getattr(self, f"item_{kind}", None)
        if visit:
            visit(found, inner, name)

    def item_module(self, found, inner, name):
        for child in inner["items"]:
            self.item(child, name)

    def item_use(self, found, inner, name):
        if found["visibility"] != "public":
            return
        path = name if not found["name"] else name.rsplit("::", 1)[0]
        target = self.index.get(str(inner["id"]))
        if inner["is_glob"] or target is None:
            self.add(f"{path}::{inner['name']}", f"re-export of {inner['source']}{'::*' if inner['is_glob'] else ''}")
        else:
            kind, within = next(iter(target["inner"].items()))
            getattr(self, f"item_{kind}", lambda *_: None)(target, within, f"{path}::{inner['name']}")

    def item_function(self, found, inner, name):
        header = inner["header"]
        words = [word for word in ("const", "unsafe", "async") if header.get(f"is_{word}")]
        generics = inner["generics"]
        text = f"{self.generics(generics)}{self.signature(inner['sig'])}{self.where(generics)}"
        self.add(name, " ".join([*words, "fn"]) + text)

    def item_struct(self, found, inner, name):
        self.add(name, f"struct{self.generics(inner['generics'])}{self.where(inner['generics'])}")
        kind = inner["kind"]
        fields = kind["plain"]["fields"] if "plain" in kind else kind.get("tuple", []) if isinstance(kind, dict) else []
        for field in filter(None, fields):
            self.item(field, name)
        self.impls(inner["impls"], name)

    def item_struct_field(self, found, inner, name):
        if found["visibility"] == "public":
            self.add(name, self.type(inner))

    def item_enum(self, found, inner, name):
        self.add(name, f"enum{self.generics(inner['generics'])}")
        for variant in inner["variants"]:
            self.item(variant, name)
        self.impls(inner["impls"], name)

    def item_variant(self, found, inner, name):
        kind = inner["kind"]
        fields = kind.get("tuple", []) if isinstance(kind, dict) else []
        types = [self.type(next(iter(self.index[str(field)]["inner"].values()))) for field in fields if field is not None]
        self.add(name, f"variant{f'({chr(44).join(types)})' if types else ''}")

    def item_trait(self, found, inner, name):
        bounds = f": {self.bounds(inner['bounds'])}" if inner["bounds"] else ""
        self.add(name, f"trait{self.generics(inner['generics'])}{bounds}{self.where(inner['generics'])}")
        for child in inner["items"]:
            self.item(child, name)

    def item_type_alias(self, found, inner, name):
        self.add(name, f"type{self.generics(inner['generics'])} = {self.type(inner['type'])}")

    def item_assoc_type(self, found, inner, name):
        bounds = f": {self.bounds(inner['bounds'])}" if inner["bounds"] else ""
        given = f" = {self.type(inner['type'])}" if inner["type"] else ""
        self.add(name, f"type{bounds}{given}")

    def item_constant(self, found, inner, name):
        self.add(name, f"const {self.type(inner['type'])}")

    def item_macro(self, found, inner, name):
        self.add(name, "macro")

    def item_proc_macro(self, found, inner, name):
        self.add(name, "attribute")

    def impls(self, numbers, name):
        for number in numbers:
            found = self.index.get(str(number))
            if found is None:
                continue
            inner = found["inner"]["impl"]
            if inner["is_synthetic"] or inner["blanket_impl"] or inner["trait"] and inner["trait"]["path"].endswith("StructuralPartialEq"):
                continue
            if inner["trait"] is None:
                for child in inner["items"]:
                    if self.index.get(str(child), {}).get("visibility") == "public":
                        self.item(child, name)
            else:
                where = self.where(inner["generics"])
                self.add(name, f"impl{self.generics(inner['generics'])} {self.path(inner['trait'])} for {self.type(inner['for'])}{where}")


def listing(crate):
    found = rustdoc(crate)
    printer = Printer(found)
    root = printer.index[str(found["root"])]
    for child in root["inner"]["module"]["items"]:
        printer.item(child, crate.replace("-", "_"))
    return sorted(line for line in printer.lines if "::__" not in line)


def main():
    if subprocess.run(["cargo", "+nightly", "--version"], capture_output=True).returncode != 0:
        print("ci/api.py: SKIPPED: no nightly compiler, whose rustdoc writes JSON: rustup toolchain install nightly")
        return 0
    lines = [line for crate in CRATES for line in listing(crate)]
    fresh = HEAD + "".join(f"{line}\n" for line in lines)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(fresh, encoding="utf-8")
        print(f"{PAGE.relative_to(ROOT)}: {len(lines)} items")
        return 0
    known = PAGE.read_text(encoding="utf-8")
    changes = list(difflib.unified_diff(known.splitlines(), fresh.splitlines(), "docs/api.txt", "the code", lineterm="", n=0))
    if changes:
        print("\n".join(changes), "\nci/api.py: the public API has changed; if that is meant, run ci/api.py", sep="")
        return 1
    print(f"ci/api.py: {len(lines)} items, as listed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
