#!/bin/sh
# Other people's libraries on this runtime, and the service in `examples/http`, which needs some of them.
#
#   ci/works-with.sh          the tests, the code of docs/works-with.md, the adapters of the facade, and what tokio-console gets to see
#   ci/works-with.sh lint     formatting and lints
set -eu
cd "$(dirname "$0")/.."

# What both packages need is built once.
CARGO_TARGET_DIR=$PWD/works-with/target
export CARGO_TARGET_DIR

case "${1-test}" in
test)
    cargo test --manifest-path works-with/Cargo.toml
    cargo test --manifest-path examples/http/Cargo.toml
    # In its directory, where its flags are; and they need a target directory of their own.
    (cd works-with/console && CARGO_TARGET_DIR=$CARGO_TARGET_DIR/console cargo test)
    ;;
lint)
    for package in works-with examples/http; do
        cargo fmt --manifest-path $package/Cargo.toml --check
        cargo clippy --manifest-path $package/Cargo.toml --all-targets -- -D warnings
    done
    (cd works-with/console && cargo fmt --check && CARGO_TARGET_DIR=$CARGO_TARGET_DIR/console cargo clippy --all-targets -- -D warnings)
    cargo clippy --package runtime --all-features --all-targets -- -D warnings
    ;;
*)
    echo "usage: $0 [test|lint]" >&2
    exit 2
    ;;
esac
