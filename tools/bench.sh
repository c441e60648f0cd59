#!/usr/bin/env bash
# Runs every program of bench/, one after the other.
set -euo pipefail
build=${BUILD:-build}
found=no
for program in "$build"/bench/*; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
    found=yes
    echo "== $(basename "$program")"
    "$program"
done
[ $found = yes ] || echo "bench: no programs in bench/ yet" >&2
