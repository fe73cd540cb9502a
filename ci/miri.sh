#!/bin/sh
# Miri over what it can run: ci/miri.sh [FILTER]. For machines that have it: rustup component add miri --toolchain nightly.
set -eu
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "ci/miri.sh: Miri is not installed here: rustup component add miri --toolchain nightly" >&2
    exit 3
fi
# Strict provenance, other layouts, weak memory; no isolation, because the clock is read.
export MIRIFLAGS="${MIRIFLAGS:--Zmiri-strict-provenance -Zmiri-disable-isolation -Zmiri-ignore-leaks}"
cargo +nightly miri test -p runtime-timers --lib
exec cargo +nightly miri test -p runtime-core --test integration -- --skip t_12 --skip million --skip fairness "$@"
