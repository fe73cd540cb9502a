#!/usr/bin/env python3
"""Runs every ```python block of the pages in docs/: ci/check_python_blocks.py [PAGE ...].

A block is run as it would be typed into `python -m asyncio`: `asyncio` is imported, and `await` works at the top level. Every
block has a process of its own. A block that needs a newer Python than 3.11 says so in the info of its fence: ```python 3.13.
Runs with the newest CPython from 3.11 on that the machine has, and skips loudly what that one is too old for.
"""

import os
import pathlib
import re
import subprocess
import sys

OLDEST = (3, 11)
SECONDS = 60
FENCE = re.compile(r"^```python(?: (\d+)\.(\d+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = """
import ast, asyncio, inspect, sys
source, name = sys.stdin.read(), sys.argv[1]
code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
names = {"__name__": "__main__", "asyncio": asyncio}
if code.co_flags & inspect.CO_COROUTINE:
    asyncio.run(eval(code, names))
else:
    exec(code, names)
"""


def candidates():
    """Where a CPython may be: this one, the path, and pyenv's directory."""
    yield sys.executable
    yield from ["python3", *(f"python3.{minor}" for minor in range(OLDEST[1], OLDEST[1] + 10))]
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob("versions/*/bin/python3")))


def version_of(python):
    """The version of an interpreter; None if it is none."""
    show = "import sys; print(*sys.version_info[:2]) if sys.implementation.name == 'cpython' else sys.exit(1)"
    try:
        told = subprocess.run([python, "-c", show], capture_output=True, text=True, timeout=SECONDS)
    except OSError:
        return None
    return tuple(map(int, told.stdout.split())) if told.returncode == 0 else None


def newest():
    """The newest interpreter, with its version."""
    known = [(version, python) for python in candidates() if (version := version_of(python))]
    return max(known, key=lambda each: each[0], default=((0, 0), ""))


def blocks(page):
    """The blocks of a page: name, needed version, source."""
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    if len(found) != len(re.findall(r"^```python", text, re.MULTILINE)):
        sys.exit(f"{page}: a python block whose fence is not understood")
    for block in found:
        line = text.count("\n", 0, block.start(3)) + 1
        needs = (int(block[1]), int(block[2])) if block[1] else OLDEST
        yield f"{page}:{line}", needs, block[3]


def passes(python, name, source):
    """Runs one block; says so when it fails."""
    try:
        ran = subprocess.run([python, "-c", RUN, name], input=source, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        print(f"FAILED {name}: not done after {SECONDS} s")
        return False
    if ran.returncode != 0:
        print(f"FAILED {name}:\n{ran.stderr}")
    return ran.returncode == 0


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    pages = [pathlib.Path(page) for page in sys.argv[1:]] or sorted((root / "docs").glob("*.md"))
    pages = [pathlib.Path(os.path.relpath(page)) for page in pages]
    version, python = newest()
    if version < OLDEST:
        print(f"SKIPPED: no CPython {OLDEST[0]}.{OLDEST[1]} or newer on this machine, no python block was run")
        return 0
    ran = failed = skipped = 0
    for page in pages:
        for name, needs, source in blocks(page):
            if needs > version:
                print(f"SKIPPED {name}: needs Python {needs[0]}.{needs[1]}, the newest here is {version[0]}.{version[1]}")
                skipped += 1
            else:
                ran += 1
                failed += not passes(python, name, source)
    print(f"Python {version[0]}.{version[1]}: {ran} blocks run, {failed} failed, {skipped} skipped")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
