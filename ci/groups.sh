#!/bin/sh
# Groups of ten thousand children under load, again and again: one child fails, or a request comes from outside in the middle.
#
#   ci/groups.sh [ROUNDS]    112 unless said otherwise: a round has nine groups of each kind (one worker, seeds, two and eight workers),
#                            and a thousand small ones that are cancelled
#
# Two busy processes run beside it, and are ended with it.
set -eu
cd "$(dirname "$0")/.."
rounds="${1:-112}"
tests=$(cargo test --release --test integration --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
[ -x "$tests" ] || { echo "the tests do not build" >&2; exit 1; }

yes >/dev/null &
one=$!
yes >/dev/null &
two=$!
trap 'kill $one $two' EXIT
trap 'exit 130' INT TERM

round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    said=$("$tests" group::size::tg_09 group::size::tg_23 2>&1) || {
        echo "$said"
        echo "failed in round $round" >&2
        exit 1
    }
    echo "round $round of $rounds: ${said##*finished }"
done
