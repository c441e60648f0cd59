#!/usr/bin/env bash
# ocelli tokenize and detokenize.
. tests/cli/lib.sh
model=printed-line-ocr

expect 0 tokenize $model 'Total: 42'
same "$(cat "$out")" '{"input_ids":[0,55,82,87,68,79,29,224,23,21,2],"attention_mask":[1,1,1,1,1,1,1,1,1,1,1]}' 'tokenize'
silent "$err"
expect 0 tokenize $model ab --tokens --offsets --no-special-tokens
same "$(cat "$out")" '{"input_ids":[68,69],"attention_mask":[1,1],"tokens":["a","b"],"offsets":[[0,1],[1,2]]}' '--tokens --offsets'
expect 0 tokenize $model ab --pair c
same "$(cat "$out")" '{"input_ids":[0,68,69,2,2,70,2],"attention_mask":[1,1,1,1,1,1,1]}' '--pair'
expect 0 tokenize $model abcdef --max-length 4 --truncation longest_first
same "$(cat "$out")" '{"input_ids":[0,68,69,2],"attention_mask":[1,1,1,1]}' '--truncation'
expect 0 tokenize $model abcdef --pair xyz --max-length 9 --truncation only_first
prints '^\{"input_ids":\[0,68,69,2,2,91,92,93,2\]'
expect 0 tokenize $model abcdef --pair xyz --max-length 11 --truncation only_second
prints '^\{"input_ids":\[0,68,69,70,71,72,73,2,2,91,2\]'
expect 0 tokenize $model a --max-length 5 --padding max_length
same "$(cat "$out")" '{"input_ids":[0,68,2,1,1],"attention_mask":[1,1,1,0,0]}' '--padding max_length'
expect 0 tokenize $model a abcd '' --padding longest
lines 3
same "$(tr -d '\n' <"$out")" '{"input_ids":[0,68,2,1,1,1],"attention_mask":[1,1,1,0,0,0]}{"input_ids":[0,68,69,70,71,2],"attention_mask":[1,1,1,1,1,1]}{"input_ids":[0,2,1,1,1,1],"attention_mask":[1,1,0,0,0,0]}' '--padding longest'

# From stdin: a text a line, the last with or without its break; empty lines are texts.
printf 'a\n\nb' >"$work/texts"
expect_from 0 "$work/texts" tokenize $model --no-special-tokens
same "$(cut -d, -f1 "$out" | tr '\n' ' ')" '{"input_ids":[68] {"input_ids":[] {"input_ids":[69] ' 'texts from stdin'
expect_from 0 "$work/texts" tokenize $model --no-special-tokens --padding longest
same "$(cut -d, -f1 "$out" | tr '\n' ' ')" '{"input_ids":[68] {"input_ids":[1] {"input_ids":[69] ' 'padded texts from stdin'
printf 'a\0b\n' >"$work/nul"
expect_from 0 "$work/nul" tokenize $model --no-special-tokens --tokens
prints '"tokens":\["a","[^"]*","b"\]'
head -c 300000 /dev/zero | tr '\0' 'x' >"$work/long"
expect_from 0 "$work/long" tokenize $model --no-special-tokens
same "$(tr -cd , <"$out" | wc -c)" 599999 'commas for a line of 300000 letters'
printf 'a\n\xff\nb\n' >"$work/bytes"
expect_from 1 "$work/bytes" tokenize $model
says 'line 2: .*UTF-8'
lines 2
expect_from 1 "$work/bytes" tokenize $model --padding longest
lines 2
expect 4 tokenize $model "$(printf '\xff')"
says 'text 1: '
"$ocelli" tokenize $model <. >"$out" 2>"$err"
same $? 3 'status when stdin is a folder'
head -c 70000000 /dev/zero | tr '\0' ' ' >"$work/huge"
printf '\nok\n' >>"$work/huge"
expect_from 1 "$work/huge" tokenize $model
says 'line 1: '
lines 1
rm "$work/huge"

printf '[0,37,82,91,2]\n[]\n[37, 82]\n' >"$work/ids"
expect_from 0 "$work/ids" detokenize $model
same "$(tr '\n' ' ' <"$out")" '"<s>Box</s>" "" "Bo" ' 'detokenize'
expect_from 0 "$work/ids" detokenize $model --skip-special-tokens --clean-up false
same "$(head -n 1 "$out")" '"Box"' '--skip-special-tokens'
printf '[68,224,17]\n' >"$work/blank"
expect_from 0 "$work/blank" detokenize $model --clean-up true
same "$(cat "$out")" '"a."' '--clean-up true'
expect_from 0 "$work/blank" detokenize $model --clean-up false
same "$(cat "$out")" '"a ."' '--clean-up false'
printf '[37]\n[1,\n{"a":1}\n[1.5]\n["x"]\n7\n\n[9999999999999999999999]\n[38]\n[-1,99999]\n' \
    >"$work/bad"
expect_from 1 "$work/bad" detokenize $model
lines 3
for line in 2 3 4 5 6 7 8; do says "line $line: expected a JSON array of ids"; done
head -c 100000 /dev/zero | tr '\0' '[' >"$work/deep"
expect_from 1 "$work/deep" detokenize $model

# There and back again.
cut -f2 examples/lines/transcript.tsv >"$work/texts"
expect_from 0 "$work/texts" tokenize $model
sed 's/.*"input_ids":\(\[[^]]*\]\).*/\1/' "$out" >"$work/ids"
expect_from 0 "$work/ids" detokenize $model --skip-special-tokens --clean-up false
sed 's/^"//; s/"$//; s/\\"/"/g' "$out" | cmp -s - "$work/texts" || fail 'texts do not come back'
# An empty pair counts in a batch, as in Transformers, and not beside a text alone.
expect 0 tokenize "$model" one --pair ''
alone=$(sed -n 1p "$out")
expect 0 tokenize "$model" one
same "$alone" "$(sed -n 1p "$out")" 'an empty pair beside one text'
expect 0 tokenize "$model" one two --pair ''
[ "$alone" != "$(sed -n 1p "$out")" ] || fail 'an empty pair in a batch was left out'
finish
