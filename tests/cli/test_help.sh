#!/usr/bin/env bash
# The examples of `ocelli COMMAND --help` work as they stand, in a folder that has what the
# repository's top folder has.
. tests/cli/lib.sh
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}
ln -s "$PWD/examples" "$PWD/tests" "$work"
mkdir "$work/bin"
ln -s "$ocelli" "$work/bin/ocelli"
export PATH=$work/bin:$PATH
cd "$work" || exit 1

# Those of parse, and some of ask, need models that are not bundled.
for command in read caption ask chat classify embed search inspect preprocess tokenize detokenize \
    forward generate convert doctor bench; do
    expect 0 help $command
    sed '1,/^Examples:/d' "$out" >examples.txt
    [ -s examples.txt ] || fail "help $command has no example"
    while IFS= read -r example; do
        [[ $example == *' visualbert-'* || $example == *' donut-'* ]] && continue
        checks=$((checks + 1))
        bash -c "$example" >"$out" 2>"$err" </dev/null || { fail "$example"; cat "$err"; }
        [[ $example == *'ocelli caption'* ]] || silent "$err"
        case $example in
            *--out*) file=${example##*--out }; [ -s "${file%% *}" ] || fail "no file: $example" ;;
            *) [ -s "$out" ] || fail "nothing printed: $example" ;;
        esac
    done <examples.txt
done
finish
