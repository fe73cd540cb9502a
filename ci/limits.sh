#!/bin/sh
# How many of everything: ci/limits.sh [FILTER ...]. Ten million tasks, a million timers, ...: two gigabytes of memory, a minute or two.
# Each in a process of its own, for the memory.
set -eu
cd "$(dirname "$0")/.."
export LIMITS=full
[ $# -gt 0 ] || set -- alive timers poll foreign wakers chain workers
for limit in "$@"; do
    cargo test --quiet --release --test limits -- "$limit"
done
