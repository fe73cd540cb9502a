#!/bin/sh
# How many of everything: ci/limits.sh [FILTER ...]. Ten million tasks, a million timers, ...: two gigabytes of memory, a minute or two.
# Each in a process of its own, for the memory. The last one, `rest`, is what remains: processor time of idle runtimes, memory after millions of tasks.
set -eu
cd "$(dirname "$0")/.."
export LIMITS=full
[ $# -gt 0 ] || set -- alive timers poll foreign wakers chain workers rest
for limit in "$@"; do
    case $limit in
    rest) cargo test --quiet --release -p runtime-core --test measure -- --ignored --test-threads=1 --nocapture ;;
    *) cargo test --quiet --release --test limits -- "$limit" ;;
    esac
done
