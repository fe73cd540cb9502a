#!/usr/bin/env python3
"""Puts bugs into the engine, one at a time, and looks whether the checks find them: ci/mutants.py [FILTER ...]; with --check it only looks whether
the text that each replaces is there.

The bugs stand in ci/mutants.toml: a file, what is replaced, and the checks that are to find it, the cheapest first. Each is made in a copy of the
tree under target/mutants, and built there: no program with a bug is left where others look. A bug is found when a check fails, does not build (the compiler is a check), or does not come to its end. Fails when
one is missed, or when the text that it replaces is not there any more.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TREE = ROOT / "target" / "mutants"
SECONDS = int(os.environ.get("MUTANTS_SECONDS", "900"))
# What goes before each command, for machines that are shared.
PREFIX = os.environ.get("MUTANTS_PREFIX", "").split()
CHECKS = {
    "timers": ["cargo", "test", "-q", "-p", "runtime-timers"],
    "state": ["cargo", "test", "-q", "-p", "runtime-core", "--test", "state_machine"],
    "units": ["cargo", "test", "-q", "-p", "runtime-core", "--lib"],
    "core": ["cargo", "test", "-q", "-p", "runtime-core", "--test", "integration"],
    "left": ["cargo", "test", "-q", "-p", "runtime-core", "--test", "left_behind"],
    "bridge": ["cargo", "test", "-q", "-p", "runtime-bridge", "--tests"],
    "facade": ["cargo", "test", "-q", "-p", "runtime", "--test", "integration"],
    "soak": ["cargo", "test", "-q", "--release", "--test", "soak"],
    "loom": ["ci/loom.sh", "quick"],
}


def copy_tree():
    """The files of the repository as they are now. Those that are the same stay, so that little is built anew; what an earlier run has left is mended."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    for name in filter(None, names):
        source, target = ROOT / name, TREE / name
        if source.is_file() and not (target.is_file() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)


def run(check):
    """Runs a check like `loom:loom_task`; gives how it found the bug, or None."""
    name, _, only = check.partition(":")
    command = PREFIX + CHECKS[name] + ([] if not only else [only] if name == "loom" else ["--", only])
    environment = os.environ | {"CARGO_TARGET_DIR": str(TREE / "target"), "RUST_BACKTRACE": "0"}
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = subprocess.Popen(command, cwd=TREE, env=environment, start_new_session=True, **quiet)
    try:
        output, _ = started.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"{check} (hangs)"
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
    if started.returncode == 0:
        return None
    return f"{check} (does not build)" if "could not compile" in output else check


def judge(bug):
    """Makes the bug, runs its checks, takes it back; gives what found it."""
    path = TREE / bug["file"]
    text = path.read_text(encoding="utf-8")
    if text.count(bug["old"]) != 1:
        return "STALE"
    path.write_text(text.replace(bug["old"], bug["new"]), encoding="utf-8")
    try:
        return next(filter(None, map(run, bug["found_by"])), None)
    finally:
        path.write_text(text, encoding="utf-8")


def main():
    # An end from outside ends the check as well, and takes the bug back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    filters = sys.argv[1:]
    bugs = tomllib.loads((ROOT / "ci" / "mutants.toml").read_text(encoding="utf-8"))["bug"]
    if filters == ["--check"]:
        stale = [bug["name"] for bug in bugs if (ROOT / bug["file"]).read_text(encoding="utf-8").count(bug["old"]) != 1]
        print("\n".join([f"{name}: STALE" for name in stale] + [f"{len(bugs)} bugs, {len(stale)} stale"]))
        return 1 if stale else 0
    bugs = [bug for bug in bugs if not filters or any(word in bug["name"] for word in filters)]
    TREE.mkdir(parents=True, exist_ok=True)
    copy_tree()
    bad = 0
    for bug in bugs:
        start = time.monotonic()
        found = judge(bug)
        bad += found in (None, "STALE")
        what = "MISSED" if found is None else "STALE: the text is not there" if found == "STALE" else f"found by {found}"
        print(f"{bug['name']}: {what}, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{len(bugs)} bugs, {len(bugs) - bad} found")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
