#!/bin/sh
# Makes one site of the pages in `docs/` and the reference: target/site/index.html.
#
#   ci/site.sh            all of it
#   ci/site.sh book       without the reference, which takes longest
#   ci/site.sh pages      only looks whether each page of `docs/` has a place in the book
#
# All but the last needs mdbook: one that is installed, or it is built into target/tools.
set -eu
cd "$(dirname "$0")/.."

source=target/site-source
rm -rf $source target/site
mkdir -p $source/pages
cp ci/site/book.toml ci/site/site.css $source/
cp -r docs/*.md docs/performance $source/pages/

# Pages from elsewhere. Links between files become links between pages; those to sources go, and their text stays.
sed 's|](docs/\([a-z-]*\.md\))|](\1)|g; s|(README\.md)|(reference.md)|g' README.md >$source/pages/introduction.md
cp CONTRIBUTING.md $source/pages/contributing.md
cp CHANGELOG.md $source/pages/changelog.md
cp runtime-core/src/scheduler/README.md $source/pages/scheduler.md
rm $source/pages/README.md
sed -i \
    -e 's|(\.\./runtime-core/src/scheduler/README\.md)|(scheduler.md)|g' \
    -e 's|(\(\.\./\)*CONTRIBUTING\.md)|(contributing.md)|g' \
    -e 's|(\(\.\./\)*CHANGELOG\.md)|(changelog.md)|g' \
    -e 's|(docs/README\.md)|(reference.md)|g' \
    -e 's#\[\([^]]*\)\](\(\.\./\)*\(examples\|benches\|ci\|runtime-[a-z]*\|src\|tests\|works-with\)/[^)]*)#\1#g' \
    $source/pages/*.md

cat >$source/pages/reference.md <<'END'
# Reference

Every function, type and macro, with what it does, its errors and panics, what a cancellation does to it, and an example:

* [`runtime`](api/runtime/index.html): what programs use
* [`runtime-core`](api/runtime_core/index.html): the engine, whose public API is all in `runtime` too
* [`runtime-bridge`](api/runtime_bridge/index.html): threads in and out, likewise
* [`runtime-timers`](api/runtime_timers/index.html): the timer wheel, usable on its own
* [`runtime-macros`](api/runtime_macros/index.html): `#[main]` and `#[test]`
END

# One line per page: where it stands in the book. A page of `docs/` that is not named here is an error.
{
    echo "# Summary"
    echo
    echo "[What it is](introduction.md)"
    while read -r page title; do
        case $page in
        "") ;;
        "#") printf '\n# %s\n\n' "$title" ;;
        *) [ ! -e $source/pages/"$page" ] || echo "- [$title]($page)" ;;
        esac
    done <<'END'
# Learning it
tutorial.md The first hour
from-asyncio.md From asyncio
from-tokio.md From Tokio
# Using it
cookbook.md Cookbook
cancellation.md Cancellation
primitives.md Channels and locks
works-with.md Other libraries
testing.md Tests
debugging.md Seeing inside
console.md tokio-console
performance.md Performance
reference.md Reference
# Behind it
architecture.md Architecture
scheduler.md Sleep and wake
reliability.md Reliability
conformance.md asyncio's behaviours, one by one
changelog.md Changes
contributing.md Working on it
END
} >$source/pages/SUMMARY.md
for page in $source/pages/*.md; do
    name=${page##*/}
    [ "$name" = SUMMARY.md ] || grep -q "($name)" $source/pages/SUMMARY.md || {
        echo "$name is not in the list of pages in ci/site.sh" >&2
        exit 1
    }
done

[ "${1-all}" != pages ] || exit 0

if ! command -v mdbook >/dev/null; then
    PATH=$PWD/target/tools/bin:$PATH
    export PATH
    command -v mdbook >/dev/null ||
        cargo install mdbook --locked --no-default-features --features search --root target/tools
fi

mdbook build $source
if [ "${1-all}" = all ]; then
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
    cp -r target/doc target/site/api
fi

# Every link between pages, and to headings, leads somewhere.
python3 ci/site/links.py target/site
echo "target/site/index.html"
