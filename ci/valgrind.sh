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

# Every task a block of the global allocator, so that memcheck sees each; in a directory of its own, as everything is built with the flag.
export RUSTFLAGS="${RUSTFLAGS:-} --cfg runtime_plain_memory"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/plain"
# The tests' own guard against hanging ends the process.
export TEST_HANG_SECONDS="${TEST_HANG_SECONDS:-3600}"
# Reading all of the debug information for each panic would take most of the time.
export RUST_BACKTRACE=0
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
# Takes minutes more to build, and an hour less to run.
export CARGO_PROFILE_DEV_OPT_LEVEL=1

cargo test -p runtime -p runtime-core -p runtime-bridge --tests --no-run
# The programs that hold the tests, from what cargo says about its build.
programs=$(cargo test -p runtime -p runtime-core -p runtime-bridge --tests --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep -E '/deps/(integration|foreign|to_thread|left_behind)-')

# Counts, long chains, long runs and tests beside busy tasks; the tests that look at CPU time or that start themselves again; `drops`, which forgets handles on purpose;
# `inspect` and `debug`, which look at stacks, each of which reads all of the debug information.
skip='million stress flood t_12 fairness many_ ten_thousand idle environment soak race drops inspect debug:: under_load'
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
