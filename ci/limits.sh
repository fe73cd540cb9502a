#!/bin/sh
# How many of everything: ci/limits.sh [FILTER]. Ten million tasks, a million timers, ...: two gigabytes of memory, some minutes.
set -eu
cd "$(dirname "$0")/.."
export LIMITS=full
exec cargo test --release --test limits -- "$@"
