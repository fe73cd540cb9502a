#!/bin/sh
# Fuzzing: ci/fuzz.sh [SECONDS [TARGET ...]], a minute for each target if nothing is said. The targets are in fuzz/fuzz_targets.
#
# Needs a nightly compiler; installs cargo-fuzz from crates.io into target/tools if it is not there.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
targets=${*:-wheel state tasks arguments}

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "ci/fuzz.sh: SKIPPED: no nightly compiler: rustup toolchain install nightly" >&2
    exit 3
fi
PATH="$PWD/target/tools/bin:$PATH"
if ! command -v cargo-fuzz >/dev/null; then
    echo "ci/fuzz.sh: installing cargo-fuzz"
    cargo install --quiet --locked cargo-fuzz --root target/tools
fi
for target in $targets; do
    echo "ci/fuzz.sh: $target, $seconds s"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=1024 -verbosity=0 -print_final_stats=1 -timeout=20
done
