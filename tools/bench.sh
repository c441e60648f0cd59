#!/usr/bin/env bash
# What `make bench` runs after the build, from the repository's root: kernels beside the
# machine's limits, whole models, and where the peers' environments are named
# (bench/README.md) everything side by side with them. About 5 minutes without peers.
set -euo pipefail
export BUILD=${BUILD:-build}

echo "== bench_kernels"
"$BUILD/bench/bench_kernels"
echo
echo "== bench_models"
"$BUILD/bench/bench_models"
if [ -n "${OCELLI_TORCH_PYTHON:-}${OCELLI_ORT_PYTHON:-}" ]; then
    echo
    echo "== run.py"
    python3 bench/run.py
fi
