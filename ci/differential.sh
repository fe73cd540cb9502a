#!/bin/sh
# Random programs on CPython's asyncio and on ours, many of them: ci/differential.sh [PROGRAMS [FIRST SEED]].
# Without a seed every run takes new programs; the seeds are printed, so that a failure can be repeated.
set -eu
cd "$(dirname "$0")/.."
export DIFFERENTIAL_PROGRAMS="${1:-20000}"
export DIFFERENTIAL_SEED="${2:-$(date +%s)00000}"
echo "programs: $DIFFERENTIAL_PROGRAMS, first seed: $DIFFERENTIAL_SEED"
exec cargo test --release --test differential -- --nocapture
