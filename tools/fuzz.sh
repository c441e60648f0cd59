#!/usr/bin/env bash
# tools/fuzz.sh BUILD SECONDS: runs every libFuzzer target for that long, from its corpus in
# the tree. New inputs go to BUILD/corpus; a crash is kept in BUILD/crashes and ends the run
# with a non-zero status, after the other targets had their turn.
set -euo pipefail
build=${1:?usage: tools/fuzz.sh BUILD SECONDS} seconds=${2:-60}
mkdir -p "$build/crashes"
status=0
for target in "$build"/fuzz/fuzz_*; do
    [ -x "$target" ] || { echo "fuzz: no targets in $build/fuzz" >&2; exit 1; }
    name=$(basename "$target" | sed 's/^fuzz_//')
    mkdir -p "$build/corpus/$name"
    echo "== $name: $seconds s"
    "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/crashes/$name-" "$build/corpus/$name" \
        "fuzz/corpus/$name" 2>"$build/corpus/$name.log" || {
            status=1
            tail -n 40 "$build/corpus/$name.log"
        }
    grep -E '^stat::(number_of_executed|average_exec|peak_rss)' "$build/corpus/$name.log" ||
        true
done
[ $status -eq 0 ] && echo "fuzz: nothing found" || echo "fuzz: see $build/crashes"
exit $status
