#!/usr/bin/env bash
# ocelli caption, parse, ask: sentences, documents, answers.
. tests/cli/lib.sh
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}
scenes=examples/scenes
donut=tests/data/documents/donut-tiny
nougat=tests/data/documents/nougat-tiny
receipt=examples/lines/receipt.jpg

# The bundled model says what it knows, on stderr, unless another or quiet is wanted.
while IFS=$'\t' read -r file text; do
    expect 0 caption "$scenes/$file"
    same "$(cat "$out")" "$text" "$scenes/$file"
    says '^ocelli caption: emoji-caption knows '
done <$scenes/transcript.tsv
expect 0 caption --quiet $scenes/*.png
same "$(cat "$out")" "$(cut -f2 $scenes/transcript.tsv)" 'caption of several'
silent "$err"
expect 0 caption --model emoji-caption $scenes/scene-01.png --with-filename
silent "$err"
prints '^examples/scenes/scene-01\.png: a pig and a piano'
expect 0 caption --quiet --json --num-beams 4 $scenes/scene-06.png
prints '"text":"a rabbit, an elephant and a balloon on a green background"'
expect 0 caption --quiet --num-beams 3 --num-return-sequences 3 $scenes/scene-01.png \
    $scenes/scene-05.png --with-filename
lines 6
same "$(grep -c '^examples/scenes/scene-05\.png: ' "$out")" 3 'texts of the second picture'
expect 0 image-to-text --model emoji-caption $scenes/scene-05.png
prints '^a dragon on a pink background$'
expect 2 caption --task x $scenes/scene-01.png --thread 1
expect 3 caption --quiet "$work/nothing.png"

# Documents. What is printed is tests/data/documents/parse.jsonl's, checked there by id.
answer() {              # PICTURE TASK QUESTION: the line's answer
    jq -c "select(.[0] == \"donut-tiny\" and .[1] == \"$1\" and .[2] == $2 and .[3] == $3) | .[4]" \
        tests/data/documents/parse.jsonl 2>/dev/null
}
expect 0 parse --model $donut --task cord-v2 $receipt
prints '^[{[].*[]}]$'
silent "$err"
if command -v jq >/dev/null; then
    same "$(jq -c . "$out")" "$(answer $receipt '"cord-v2"' null)" 'parse --task cord-v2'
    expect 0 parse --model $donut --question 'What is the total?' $receipt
    same "$(jq -c . "$out")" "$(answer $receipt null '"What is the total?"')" 'parse --question'
fi
expect 0 parse --model $donut --task cord-v2 --json $receipt examples/lines/fox.png
lines 2
prints '"document":[{[]'
expect 0 parse --model $nougat $receipt
expect 0 parse --model $nougat --json $receipt
prints '"text":"'
expect 2 parse $receipt
says -- '--model MODEL is missing'
expect 2 parse --model $donut --task rvlcdip $receipt
says 'rvlcdip'
expect 1 parse --model $donut --task cord-v2 "$work/nothing" $receipt
lines 1

# Questions. Random weights need not answer; then that is said.

for picture in examples/lines/*.png $receipt; do
    "$ocelli" ask $donut "$picture" 'Is it at 120?' >"$out" 2>"$err"
    status=$?
    if [ $status -eq 0 ]; then
        lines 1

    else
        same $status 1 "status of ask $picture"
        silent "$out"
        says 'gave no answer, but \{'
    fi
done
expect 2 ask $donut $receipt
expect 2 ask $donut $receipt 'one' 'two'
expect 3 ask $donut "$work/nothing" 'What?'
expect 2 visual-question-answering $donut
"$ocelli" document-question-answering $donut $receipt 'Is it at 120?' >"$work/alias" 2>/dev/null
"$ocelli" ask $donut $receipt 'Is it at 120?' >"$out" 2>/dev/null
cmp -s "$work/alias" "$out" || fail 'document-question-answering is not ask'
finish
