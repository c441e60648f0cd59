#!/usr/bin/env bash
# tools/run_tests.sh BUILD [ctest options]: runs the tests of a build folder and ends with
# the line "N passed, N failed", which CI reads. Non-zero when one failed or none ran.
set -euo pipefail
build=${1:?usage: tools/run_tests.sh BUILD [ctest options]}
shift
report=$build/test-report.xml
log=$build/Testing/Temporary/LastTest.log
rm -f "$report" "$log"

status=0
ctest --test-dir "$build" -j "${JOBS:-$(nproc)}" --output-on-failure --no-tests=error \
    --output-junit "$(realpath "$build")/test-report.xml" "$@" || status=$?

# An attribute of the report's <testsuite>.
attribute() {
    sed -n "s/^[[:space:]]*$1=\"\([0-9]*\)\".*/\1/p" "$report" | head -n 1
}
isas() {
    local flags="" found=generic
    [ -r /proc/cpuinfo ] &&
        flags=" $(sed -n 's/^flags[[:space:]]*: //p;T;q' /proc/cpuinfo) "
    [[ $flags == *" avx2 "* && $flags == *" fma "* ]] && found+=" avx2"
    [[ $flags == *" avx512f "* && $flags == *" avx512bw "* ]] && found+=" avx512"
    echo "$found"
}

[ -s "$report" ] || { echo "run_tests: ctest left no report" >&2; exit 1; }
total=$(attribute tests)
failed=$(attribute failures)
# A program that was not built counts as skipped for ctest; here it is a failure.
skipped=$(grep -c '<skipped message="SKIP_RETURN_CODE' "$report" || true)
failed=$((failed + $(attribute skipped) + $(attribute disabled) - skipped))
echo
echo "ISA sets that this machine runs: $(isas)"
# What a test left out says so in a line that begins with "skipped".
if grep -hiE '^(\[ +)?skipped' "$log" | grep -v '^\[ *SKIPPED *\] [0-9]* test' | sort -u |
    sed 's/^/  /' >"$build/skipped.txt" && [ -s "$build/skipped.txt" ]; then
    echo "Left out on this machine:"
    cat "$build/skipped.txt"
fi
awk '/^\[  PASSED  \] [0-9]+ test/ { cases += $4 }
     END { printf "%d cases inside the test programs passed\n", cases }' "$log"
[ "$skipped" -eq 0 ] || echo "$skipped skipped"
echo "$((total - failed - skipped)) passed, $failed failed"
exit "$status"
