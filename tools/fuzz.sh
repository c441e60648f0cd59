#!/usr/bin/env bash
# tools/fuzz.sh BUILD SECONDS: runs every libFuzzer target for that long, from its corpus
# in the tree. New inputs go to BUILD/corpus. What crashes is kept in BUILD/crashes, and the
# status is non-zero, after the other targets had their turn.
set -euo pipefail
build=${1:?usage: tools/fuzz.sh BUILD SECONDS} seconds=${2:-60}
mkdir -p "$build/crashes"
status=0
for target in "$build"/fuzz/fuzz_*; do
    [ -x "$target" ] || { echo "fuzz: no targets in $build/fuzz" >&2; exit 1; }
    name=$(basename "$target" | sed 's/^fuzz_//')
    mkdir -p "$build/corpus/$name"
    echo "== $name: $seconds s"
    log=$build/corpus/$name.log
    "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$build/crashes/$name-" \
        "$build/corpus/$name" "fuzz/corpus/$name" 2>"$log" || {
            status=1
            tail -n 40 "$log"
        }
    grep -E '^stat::(number_of_executed|average_exec|peak_rss)' "$log" || true
done
[ $status -eq 0 ] && echo "fuzz: nothing found" || echo "fuzz: see $build/crashes"
exit $status
