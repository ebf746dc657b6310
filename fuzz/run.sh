#!/usr/bin/env bash
# Fuzz the framing: `fuzz/run.sh short` is one seeded run of each side (CI), `fuzz/run.sh long` two processes until
# ${FUZZ_RUNS:-5000000} inputs each. Findings are written to build/fuzz/<side>/crash-*.
set -euo pipefail
cd "$(dirname "$0")/.."
mode="${1:-short}"
python="${PYTHON:-.venv/bin/python}"
work="${FUZZ_DIR:-build/fuzz}"
common=(-max_len=600 -keep_seed=1 -len_control=0 -timeout=10 -rss_limit_mb=2048 -dict=fuzz/dictionary.txt)
mkdir -p "$work"
"$python" -m fuzz.seeds "$work/seeds"

run() { # side, runs, seed, folder for what is learned
    mkdir -p "$4"
    "$python" -m "fuzz.$1" "$4" "$work/seeds/$1" -artifact_prefix="$4/" -runs="$2" -seed="$3" "${common[@]}"
}

case "$mode" in
short)
    for side in requests responses; do rm -rf "${work:?}/$side-short"; run "$side" "${FUZZ_RUNS:-20000}" 1 "$work/$side-short"; done
    ;;
long)
    run requests "${FUZZ_RUNS:-5000000}" "${FUZZ_SEED:-$RANDOM}" "$work/requests" &
    first=$!
    run responses "${FUZZ_RUNS:-5000000}" "${FUZZ_SEED:-$RANDOM}" "$work/responses" &
    second=$!
    trap 'kill "$first" "$second" 2>/dev/null || true' INT TERM
    failed=0
    wait "$first" || failed=1
    wait "$second" || failed=1
    exit "$failed"
    ;;
*) echo "usage: fuzz/run.sh [short|long]" >&2; exit 2 ;;
esac
