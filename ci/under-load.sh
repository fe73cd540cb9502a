#!/bin/sh
# The tests on a machine that has no time for them: ci/under-load.sh [TIMES [FILTER]]. Ten times unless said otherwise.
#
# Four busy loops per core run beside them, and are ended with the script. Every other time the threads of the tests are stopped at random
# as well (ci/stall.py; Linux, with Python 3). The output of what fails is printed, and at the end how many runs passed.
set -eu
cd "$(dirname "$0")/.."
times=${1:-10}
filter=${2:-}

# The programs that hold the tests, of both builds, from what cargo says about them.
programs() {
    cargo test -p runtime -p runtime-core -p runtime-bridge --test integration --test left_behind --test foreign --test to_thread \
        --test stress --no-run --message-format=json "$@" 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}
programs=$(programs && programs --release)

stall=''
if [ "$(uname)" = Linux ] && command -v python3 >/dev/null; then
    stall='python3 ci/stall.py'
fi

output=$(mktemp)
load=''
finish() {
    # shellcheck disable=SC2086
    kill $load 2>/dev/null || true
    rm -f "$output"
}
trap finish EXIT
trap 'exit 1' INT TERM

loops=$((4 * $(getconf _NPROCESSORS_ONLN)))
while [ "$loops" -gt 0 ]; do
    loops=$((loops - 1))
    while :; do :; done &
    load="$load $!"
done

passed=0
failed=0
n=0
while [ "$n" -lt "$times" ]; do
    n=$((n + 1))
    under=''
    [ $((n % 2)) -eq 1 ] || under=$stall
    for program in $programs; do
        # shellcheck disable=SC2086
        if $under "$program" --quiet --test-threads=4 $filter >"$output" 2>&1; then
            passed=$((passed + 1))
            continue
        fi
        failed=$((failed + 1))
        echo "ci/under-load.sh: failed, time $n${under:+ (threads stopped)}: $program"
        cat "$output"
    done
    echo "ci/under-load.sh: $n of $times; of the programs' runs $passed passed, $failed failed"
done
[ "$failed" -eq 0 ]
