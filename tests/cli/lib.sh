# shellcheck shell=bash
# What the command's tests share; sourced in the top folder. $work is removed at the end.
set -uo pipefail
ocelli=${OCELLI:-build/ocelli}
[ -x "$ocelli" ] || { echo "FAILED: $ocelli is not there"; exit 1; }
ocelli=$(realpath "$ocelli")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$work/stdout
err=$work/stderr
failures=0
checks=0

fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

# expect STATUS ARGUMENTS...: runs the command; its streams are left in $out and $err. What
# fails says something on stderr and nothing about success on stdout.
expect() {
    local wanted=$1 status
    shift
    checks=$((checks + 1))
    "$ocelli" "$@" >"$out" 2>"$err" </dev/null
    status=$?
    judge "$wanted" "$status" "$*"
}
# The same with stdin from a file.
expect_from() {
    local wanted=$1 file=$2 status
    shift 2
    checks=$((checks + 1))
    "$ocelli" "$@" >"$out" 2>"$err" <"$file"
    status=$?
    judge "$wanted" "$status" "$* <$file"
}
judge() {               # WANTED STATUS WHAT
    if [ "$2" -ne "$1" ]; then
        fail "status $2, expected $1: ocelli $3"
        sed 's/^/    /' "$err"
    elif [ "$1" -ne 0 ] && [ ! -s "$err" ]; then
        fail "no message: ocelli $3"
    fi
}
# says PATTERN: a line on stderr matches; prints PATTERN: one on stdout.
says() {
    checks=$((checks + 1))
    grep -Eq -- "$1" "$err" || { fail "stderr lacks: $1"; sed 's/^/    /' "$err"; }
}
prints() {
    checks=$((checks + 1))
    grep -Eq -- "$1" "$out" || { fail "stdout lacks: $1"; sed 's/^/    /' "$out"; }
}
# silent FILE: nothing was written to it.
silent() {
    checks=$((checks + 1))
    [ ! -s "$1" ] || { fail "expected nothing in $(basename "$1")"; sed 's/^/    /' "$1"; }
}
# lines N: stdout has so many.
lines() {
    checks=$((checks + 1))
    [ "$(wc -l <"$out")" -eq "$1" ] || fail "$(wc -l <"$out") lines on stdout, expected $1"
}
same() {                # A B WHAT
    checks=$((checks + 1))
    [ "$1" = "$2" ] || fail "$3: expected '$2', found '$1'"
}
finish() {
    echo "$checks checks, $failures failures"
    [ "$failures" -eq 0 ]
}
