#!/bin/sh
# The models of the engine's protocols (runtime-core/src/tests), run by loom.
#
#   ci/loom.sh [quick|deep] [FILTER...]
#
# quick  every schedule with up to 2 preemptions: seconds, after the build
# deep   with up to 3: minutes. LOOM_MAX_PREEMPTIONS asks for another bound. A model that takes longer than LOOM_MAX_DURATION seconds (600) ends there,
#        and says so: with two workers' whole loops in it there may be millions of schedules.
#
# A failing model prints its panic only. To see the schedule: LOOM_LOG=trace LOOM_LOCATION=1, with the name of the model as filter.
set -eu
cd "$(dirname "$0")/.."

form=${1:-quick}
[ $# -eq 0 ] || shift
case $form in
quick) bound=2 ;;
deep)
    bound=3
    export LOOM_MAX_DURATION="${LOOM_MAX_DURATION:-600}"
    ;;
*)
    echo "usage: ci/loom.sh [quick|deep] [FILTER...]" >&2
    exit 2
    ;;
esac

# A directory of its own: the flag would rebuild everything else as well.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-$bound}"
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom -C debug-assertions"
exec cargo test -p runtime-core -p runtime-bridge --lib --release -- --nocapture "$@"
