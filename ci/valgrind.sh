#!/bin/sh
# memcheck over a reduced run: ci/valgrind.sh [FILTER]. Errors and definite leaks fail.
#
# Valgrind runs one thread at a time, some fifty times slower: what counts to a million, or against the clock, is left out.
set -eu
cd "$(dirname "$0")/.."
filter=${1:-}

if ! command -v valgrind >/dev/null; then
    echo "ci/valgrind.sh: installing valgrind"
    apt-get install -y --no-install-recommends valgrind >/dev/null
fi

# The programs that hold the tests, from what cargo says about its build.
programs=$(cargo test -p runtime -p runtime-core -p runtime-bridge --tests --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep -E '/deps/(integration|foreign|to_thread|left_behind)-')

# Counts, long chains and long runs; and the tests that look at CPU time or that start themselves again.
skip='million stress flood t_12 fairness many_ ten_thousand idle environment soak race'
arguments=''
for word in $skip; do arguments="$arguments --skip $word"; done

status=0
for program in $programs; do
    echo "ci/valgrind.sh: $program"
    # shellcheck disable=SC2086
    valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite \
        --fair-sched=yes "$program" --test-threads=1 --quiet $arguments $filter || status=$?
done
exit "$status"
