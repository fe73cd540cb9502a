#!/bin/sh
# The tests under a sanitizer, with a nightly compiler: ci/san.sh address|thread|leak [FILTER].
#
# The standard library should be instrumented too (-Zbuild-std), which takes the component rust-src. Without it the address and leak
# sanitizers work on our code; the thread sanitizer does not see the synchronisation inside of std (channels, locks, joins), and would
# report races that are none, so it refuses. crossbeam's fences are replaced for it (crossbeam_sanitize_thread); what is left is in `tsan.supp`.
# Stacks of tasks take too long to read here, so `inspect` and `debug` are left out; and chains of a hundred thousand tasks, and counts of a million.
# Our fences in `idle.rs` are only about what a worker looks at before it sleeps, not about who may touch what.
set -eu
cd "$(dirname "$0")/.."
sanitizer=${1:-address}
[ $# -eq 0 ] || shift

target=$(rustc -vV | sed -n 's/^host: //p')
standard=''
if [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library" ]; then
    standard='-Zbuild-std'
fi
# Every task a block of the global allocator, so that the sanitizer sees each.
flags="-Zsanitizer=$sanitizer --cfg runtime_plain_memory"
case $sanitizer in
address) ;;
leak) ;;
thread)
    if [ -z "$standard" ]; then
        echo "ci/san.sh: the thread sanitizer needs the component rust-src: rustup component add rust-src --toolchain nightly" >&2
        exit 3
    fi
    flags="$flags --cfg crossbeam_sanitize_thread"
    export TSAN_OPTIONS="suppressions=$PWD/ci/tsan.supp ${TSAN_OPTIONS:-}"
    ;;
*)
    echo "usage: ci/san.sh address|thread|leak [FILTER]" >&2
    exit 2
    ;;
esac

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/$sanitizer"
export RUSTFLAGS="${RUSTFLAGS:-} $flags"
# The tests' own guard against hanging ends the process.
export TEST_HANG_SECONDS="${TEST_HANG_SECONDS:-3600}"
export LSAN_OPTIONS="suppressions=$PWD/ci/lsan.supp ${LSAN_OPTIONS:-}"
# Reading all of the debug information for each panic would take most of the time.
export RUST_BACKTRACE=0
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
# shellcheck disable=SC2086
exec cargo +nightly test --no-fail-fast $standard --target "$target" -p runtime -p runtime-core -p runtime-bridge -p runtime-timers --lib --test integration \
    --test foreign --test to_thread --test left_behind -- --skip inspect --skip debug:: --skip t_12 --skip million --skip ten_thousand "$@"
