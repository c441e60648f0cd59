#!/usr/bin/env bash
# One exit status a kind of failure, with a message that names the file, for every command.
. tests/cli/lib.sh
model=printed-line-ocr
line=examples/lines/fox.png
broken=fuzz/corpus/safetensors
in=tests/data/lines/forward.in.safetensors
expect 0 preprocess $model $line --out "$work/pixels"
pixels=$work/pixels
echo '[2,47]' >"$work/ids"

# 3: missing or unreadable.
expect 3 read "$work/nothing.png"
says "nothing\.png"
expect 3 read "$work"
says 'folder'
expect 3 read --model "$work/nothing" $line
expect 3 read --model '' $line
for command in inspect tokenize; do
    expect 3 $command "$work/nothing"
    says nothing
done
expect_from 3 "$work/ids" detokenize "$work/nothing"
expect 3 forward $model --in "$work/nothing" --out "$work/out"
expect 3 forward $model --in "$work" --out "$work/out"
expect 3 forward "$work" --in $in --out "$work/out"
expect 3 generate $model --in "$work/nothing" --out "$work/out"
expect 3 preprocess $model "$work/nothing.png" --out "$work/out"
expect 3 preprocess "$work/nothing" $line --out "$work/out"
expect 3 bench "$work/nothing"
expect 3 bench $model "$work/nothing.png"

# 4: malformed.
copy=$work/model
mkdir "$copy"
fresh() { rm -rf "$copy"; cp -r models/$model "$copy"; }
fresh
echo '{' >"$copy/config.json"
expect 4 read --model "$copy" $line
says 'config\.json'
expect 4 inspect "$copy"
fresh
head -c 1000 models/$model/model.safetensors >"$copy/model.safetensors"
expect 4 read --model "$copy" $line
says 'model\.safetensors'
expect 4 forward "$copy" --in $in --out "$work/out"
expect 4 inspect "$copy"
fresh
echo '[1' >"$copy/tokenizer.json"
expect 4 tokenize "$copy" text
says 'tokenizer\.json'
expect_from 4 "$work/ids" detokenize "$copy"
fresh
echo '{"size": "large"}' >"$copy/preprocessor_config.json"
expect 4 preprocess "$copy" $line --out "$work/out"
fresh
echo '{"max_length": "long"}' >"$copy/generation_config.json"
expect 4 generate "$copy" --in "$pixels" --out "$work/out"
for file in "$broken"/broken-*; do
    case $file in
        *DEEP | *NAME_TOO_LONG | *RANK_9) status=6 ;;           # bounds of ours, not of the format
        *DTYPE_LATER) status=5 ;;
        *) status=4 ;;
    esac
    expect $status forward $model --in "$file" --out "$work/out"
done
expect 4 generate $model --in $broken/broken-HEADER_CUT --out "$work/out"
expect 4 forward $model --in tests/data/io/plain.safetensors --out "$work/out"
says 'pixel_values'
expect 4 generate $model --in tests/data/io/plain.safetensors --out "$work/out"
for call in bad_id ids_too_long no_ids no_pixels; do
    expect 4 forward tests/data/models/ved_base --out "$work/out" \
        --in tests/data/models/ved_base/$call.in.safetensors
done

# 1: bad pictures, files that cannot be written.
expect 1 read Makefile
expect 3 read /dev/null
says '/dev/null'
head -c 300 $line >"$work/cut.png"
expect 1 read "$work/cut.png"
says 'cut\.png'
expect 1 preprocess $model "$work/cut.png" --out "$work/out"
expect 1 preprocess $model $line --out "$work/no/folder/out"
expect 1 preprocess $model $line --out "$work"
expect 1 forward $model --in $in --out /dev/full
expect 1 tokenize $model one "$(printf '\xff')" two
lines 2

# 5: not in this version.
printf 'GIF89a\1\0\1\0\0\0\0;' >"$work/a.gif"
expect 5 read "$work/a.gif"
says GIF
fresh
sed -i 's/"vit"/"vitae"/' "$copy/config.json"
expect 5 forward "$copy" --in $in --out "$work/out"
says vitae
expect 5 forward $model --in $in --out "$work/out" --class SwinModel

# 6: over a limit.
expect 6 read --limit image_pixels=10 $line
says image_pixels
expect 6 forward $model --in $in --out "$work/out" --limit header_bytes=10

# Of all that failed, nothing is left at the name of the result; and what was there stays.
[ ! -e "$work/out" ] || fail 'a failed command left its --out'
echo 'what was here' >"$work/out"
for arguments in "forward $model --in $work/nothing" "generate $model --in $broken/plain.safetensors" \
        "preprocess $model $work/cut.png" "generate $model --in $pixels --num-beams 0"; do
    # shellcheck disable=SC2086
    "$ocelli" $arguments --out "$work/out" >"$out" 2>"$err" && fail "success: $arguments"
    same "$(cat "$work/out")" 'what was here' "--out after $arguments"
done
same "$(find "$work" -name '*out*' | sort | tr '\n' ' ')" "$work/out $work/stdout " 'files left'
finish
