#!/usr/bin/env bash
# ocelli classify, embed: labels and vectors.
. tests/cli/lib.sh
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}
scenes=examples/scenes
template='a picture of a {}'

# classify: the best first, five of them, all with --json.
expect 0 classify emoji-match $scenes/scene-01.png --labels 'cat, pig ,key,piano,fox,owl,pear' \
    --template "$template"
lines 5
same "$(head -n 1 "$out" | cut -d' ' -f3)" pig 'the best label'
expect 0 classify emoji-match $scenes/*.png --labels dragon,peacock --top 1
same "$(sed -n '3p;5p' "$out")" "$scenes/scene-05.png
$scenes/scene-06.png" 'files before their labels'
lines 6
printf 'dragon\n\n  key\r\ncat' >"$work/labels"
expect 0 classify emoji-match $scenes/scene-05.png --labels "@$work/labels" --json
lines 1
prints '^\{"file":"examples/scenes/scene-05\.png","label":"dragon","probability":[01]\.[0-9]+,"labels":\[\{"label":"dragon","probability":[01]\.[0-9]+,"logit":[-0-9.]+\},'
same "$(grep -o '"logit"' "$out" | wc -l)" 3 'labels of a file'
cp "$out" "$work/plain"
expect 0 zero-shot-image-classification emoji-match $scenes/scene-05.png \
    --labels "@$work/labels" --json --batch 1
cmp -s "$work/plain" "$out" || fail 'zero-shot-image-classification is not classify'
expect 1 classify emoji-match "$work/nothing.png" $scenes/scene-05.png cli/main.c --labels cat
lines 2
says 'nothing\.png'
says 'cli/main\.c: not an image'
expect 3 classify emoji-match "$work/nothing.png" --labels cat
expect 2 classify emoji-match $scenes/scene-05.png
says -- '--labels A,B,... is missing'
expect 2 classify emoji-match $scenes/scene-05.png --labels ' ,'
expect 2 classify emoji-match $scenes/scene-05.png --labels cat --template 'no place'
says '\{\}'
expect 3 classify emoji-match $scenes/scene-05.png --labels "@$work/nothing"
expect 5 classify emoji-caption $scenes/scene-05.png --labels cat
says 'vision-encoder-decoder'
# A bad label is said once, and of no picture.
long=$(printf 'cat %.0s' {1..60})
for label in "$long" $'\xff'; do
    expect 4 classify emoji-match $scenes/scene-05.png $scenes/scene-06.png --labels "key,$label"
    says '^ocelli classify: --labels: text 1: expected (at most 48 tokens|UTF-8)'
    same "$(wc -l <"$err")" 1 'messages about a label'
done
printf 'dragon\na\0b\n' >"$work/labels"
expect 4 classify emoji-match $scenes/scene-05.png --labels "@$work/labels"
says 'labels: line 2: expected text, found U\+0000'
printf '\xef\xbb\xbfdragon\ncat\n' >"$work/labels"
expect 0 classify emoji-match $scenes/scene-05.png --labels "@$work/labels" --json --top 1
prints '"label":"dragon"'
expect 3 classify emoji-match $scenes/scene-05.png --labels "@$work"
says "$work: Is a directory"
expect 0 classify emoji-match $scenes/scene-01.png --labels pig,pig,cat --template '{}: a {}'
same "$(head -n 2 "$out" | uniq)" '0.5000  pig' 'a label that is there twice'

# What the folder lacks is told once, not of each picture.
cp -r "${OCELLI_MODELS:-$PWD/models}/emoji-match" "$work/bare"
rm "$work/bare/preprocessor_config.json"
for call in "embed $work/bare" "classify $work/bare --labels a,b"; do
    # shellcheck disable=SC2086
    expect 3 $call $scenes/scene-01.png $scenes/scene-02.png
    says 'bare/preprocessor_config.json: open: no such file'
    same "$(wc -l <"$err")" 1 'messages about the folder'
done
expect 0 embed "$work/bare" --text 'a cat'

# embed: to stdout, to files, texts from everywhere.
expect 0 embed emoji-match --text 'a cat'
lines 1
same "$(wc -w <"$out")" 128 'numbers of a vector'
cp "$out" "$work/cat"
printf 'a key\na cat\n\n' >"$work/texts"
expect 0 embed emoji-match --texts "$work/texts"
lines 3
same "$(sed -n 2p "$out")" "$(cat "$work/cat")" 'a text in company'
"$ocelli" embed emoji-match --texts - <"$work/texts" >"$work/stdin" 2>/dev/null
cmp -s "$out" "$work/stdin" || fail 'texts from standard input'
expect 0 feature-extraction emoji-match --text 'a "cat"' --json --normalize
prints '^\{"text":"a \\"cat\\"","embedding":\[-?[0-9.]'
expect 0 embed emoji-match $scenes/*.png --text 'a cat' --out "$work/both.safetensors" --json
prints '^\{"file":"examples/scenes/scene-05\.png","row":1\}'
prints '"name":"image_embeds","dtype":"F32","shape":\[3,128\]'
prints '"name":"text_embeds","dtype":"F32","shape":\[1,128\]'
expect 0 embed emoji-match $scenes/*.png --out "$work/images.npy"
same "$(wc -c <"$work/images.npy")" $((128 + 3 * 128 * 4)) 'bytes of a .npy'
expect 1 embed emoji-match cli/main.c $scenes/scene-01.png --out "$work/one.safetensors" --json
prints '"shape":\[1,128\]'
says 'cli/main\.c'
says '1 inputs have no row'
printf 'a cat\n%s\n' "$long" >"$work/texts"
expect 1 embed emoji-match --texts "$work/texts"
lines 1
says '^ocelli embed: --texts: line 2: .* at most 48 tokens'
expect 0 embed emoji-match --texts "$work/texts" --truncate
lines 2
expect 0 embed emoji-match $scenes/scene-01.png --regions models/emoji-vqa/regions.json \
    --out "$work/regions.safetensors" --json
prints '"visual_embeds","dtype":"F32","shape":\[1,10,132\]'
expect 2 embed emoji-match
expect 2 embed emoji-match $scenes/scene-01.png --text cat --out "$work/both.npy"
says 'not both'
expect 2 embed emoji-match --regions models/emoji-vqa/regions.json --out "$work/x"
expect 3 embed emoji-match --texts "$work/nothing"
expect 2 embed emoji-match --text cat --out "$work/cat.npz"
says 'expected a .safetensors or .npy file'
expect 1 embed emoji-match --texts /dev/null --out "$work/no.npy"
says 'no\.npy: not written'
expect 4 embed emoji-match --text $'\xff'
says '^ocelli embed: --text: text 0: expected UTF-8'
expect 2 embed emoji-match $scenes/scene-01.png --regions models/emoji-vqa/regions.json \
    --normalize --out "$work/x"
expect 5 embed emoji-caption --text cat
says 'vision-encoder-decoder'
silent "$out"
finish
