#!/bin/sh
# Everything at once, counted: ci/soak.sh [SECONDS [FIRST SEED]]. Ten minutes if nothing is said.
#
# Without a seed every run begins elsewhere; the seed is printed. In an optimised build with the engine's own assertions.
set -eu
cd "$(dirname "$0")/.."
export SOAK_SECONDS="${1:-600}"
export SOAK_SEED="${2:-$(date +%s)}"
echo "ci/soak.sh: $SOAK_SECONDS s, first seed $SOAK_SEED"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/soak"
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true
exec cargo test --release --test soak
