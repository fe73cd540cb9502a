#!/bin/sh
# Groups of ten thousand children under load, again and again: one child fails, or a request comes from outside in the middle.
#
#   ci/groups.sh [ROUNDS]    1000 unless said otherwise; some seconds each
#
# Two busy processes run beside it, and are ended with it.
set -eu
cd "$(dirname "$0")/.."
rounds="${1:-1000}"
cargo test --release --test integration --no-run

yes >/dev/null &
one=$!
yes >/dev/null &
two=$!
trap 'kill $one $two' EXIT INT TERM

round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    cargo test --quiet --release --test integration -- group::size::tg_09 group::size::tg_23 >/dev/null || {
        echo "failed in round $round" >&2
        exit 1
    }
done
echo "$rounds rounds"
