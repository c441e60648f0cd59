#!/usr/bin/env bash
# The man page names every command and option, and the completions offer them: what there is to
# name is asked of the command's own tables.
. tests/cli/lib.sh
page=packaging/ocelli.1
. packaging/completions/ocelli.bash

# complete WORD...: what bash offers after these words for an empty one; one a line in $out.
complete_after() {
    COMP_WORDS=(ocelli "$@" '')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _ocelli "$ocelli"
    printf '%s\n' "${COMPREPLY[@]}" >"$out"
}

expect 0 --help
commands=$(sed -n 's/^  \([a-z]*\)  .*/\1/p' "$out")
[ "$(wc -w <<<"$commands")" -ge 11 ] || fail 'the commands were not found in --help'
complete_after
offered=$(cat "$out")
for command in $commands help; do
    checks=$((checks + 1))
    grep -q "^\.B[IR]* \"\{0,1\}$command\b" "$page" || fail "the man page has no $command"
    grep -qx "$command" <<<"$offered" || fail "bash does not complete $command"
done
for command in $commands; do
    expect 0 help "$command"
    options=$(sed -n '/^Options:/,/^Examples:/s/^  --\([a-z-]*\).*/\1/p' "$out")
    choices=$(sed -n 's/^  --\([a-z-]*\) \([a-z0-9_]*|[^ ]*\).*/\1=\2/p' "$out")
    [ -n "$options" ] || fail "no options found in the help of $command"
    complete_after "$command"
    for option in $options help; do
        checks=$((checks + 1))
        grep -qF -- "\\-\\-${option//-/\\-}" "$page" || fail "the man page lacks --$option"
        grep -qx -- "--$option" "$out" || fail "$command: bash does not complete --$option"
    done
    for choice in $choices; do
        complete_after "$command" "--${choice%%=*}"
        same "$(paste -sd'|' "$out")" "${choice#*=}" "values of $command --${choice%%=*}"
    done
done
complete_after parse
prints '^--max-new-tokens$|^--task$'

# The other shells' are made of the same text; here they are only read.
if command -v zsh >/dev/null; then zsh -n packaging/completions/_ocelli || fail zsh; fi
if command -v fish >/dev/null; then
    fish --no-execute packaging/completions/ocelli.fish || fail fish
fi
finish
