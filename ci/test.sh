#!/bin/sh
# The tests, in both builds and several times over: ci/test.sh [TIMES]. A race that one run in ten shows is found by the tenth.
set -eu
cd "$(dirname "$0")/.."
times=${1:-3}

cargo test --workspace
cargo test --workspace --release
n=1
while [ "$n" -lt "$times" ]; do
    n=$((n + 1))
    echo "ci/test.sh: once more, $n of $times"
    cargo test --workspace --release --tests -- --quiet
done
