#!/usr/bin/env bash
# ocelli doctor: healthy folders, and one fault at a time.
. tests/cli/lib.sh
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}

for model in printed-line-ocr emoji-caption emoji-match emoji-vqa; do
    expect 0 doctor $model
    prints '^healthy$'
    prints '^forward hash  [0-9a-f]{16}, '
    prints '^tokenizer .*: the same '
    prints '^files .*, read whole$'
    silent "$err"
    cp "$out" "$work/first"
    expect 0 doctor $model --threads 3
    cmp -s "$out" "$work/first" || fail "$model: another run, another report"
done
expect 0 doctor printed-line-ocr
prints '^note: vocab_size: is 260, .* up to 260 \(from <mask> on\)'
prints '^tied +decoder\.model\.decoder\.embed_tokens\.weight = decoder\.output_projection\.weight$'
expect 0 doctor printed-line-ocr --isa generic --json
prints '^\{"folder":.*"healthy":true'
prints '"forward":\{"hash":"[0-9a-f]{16}","isa":"generic"'

copy=$work/model
fresh() { rm -rf "$copy"; cp -r "$OCELLI_MODELS/$1" "$copy"; }
# ails STATUS PATTERN: the copy's report says so.
ails() {
    expect "$1" doctor "$copy" 2>/dev/null
    prints "$2"
    [ "$1" = 0 ] || prints '^not healthy$'
}
judge() {               # a report is on stdout also where something is wrong
    [ "$2" -eq "$1" ] || { fail "status $2, expected $1: ocelli $3"; sed 's/^/    /' "$err"; }
}
fresh emoji-match
echo '{' >"$copy/config.json"
ails 1 '^error: config\.json: .*config\.json'
fresh emoji-match
echo '[1' >"$copy/tokenizer.json"
ails 1 '^error: tokenizer'
fresh emoji-match
head -c 100000 "$OCELLI_MODELS/emoji-match/model.safetensors" >"$copy/model.safetensors"
ails 1 '^error: weights: .*model\.safetensors'
fresh emoji-match
rm "$copy/model.safetensors"
ails 1 '^error: weights: .*found none'
fresh emoji-match
cp "$OCELLI_MODELS/emoji-vqa/model.safetensors" "$copy/"
ails 1 '^error: weights: [0-9]+ parameters are in no file: .* and [0-9]+ more'
prints '^warning: weights: [0-9]+ tensors are no part of this class'
fresh printed-line-ocr
sed -i 's/"vocab_size": 260/"vocab_size": 250/' "$copy/config.json"
ails 1 'expected shape'
fresh emoji-match
rm "$copy/preprocessor_config.json"
ails 0 '^warning: preprocessor_config\.json: is missing'
fresh printed-line-ocr
: >"$copy/pytorch_model.bin"
ails 0 '^note: pytorch_model\.bin: not read: model\.safetensors comes first'
sed -i 's/"decoder_start_token_id": [0-9]*/"decoder_start_token_id": 9999/' "$copy/config.json"
ails 1 '^error: decoder_start_token_id: .*IndexError'
fresh printed-line-ocr
sed -i 's/"dtype": "bfloat16"/"torch_dtype": "float16"/' "$copy/config.json"
ails 0 '^note: torch_dtype: says float16, but the weights are bfloat16'
fresh printed-line-ocr
sed -i 's/"size": {/"size": {"no": 1,/; s/"height": [0-9]*/"height": 31/' \
    "$copy/preprocessor_config.json"
ails 0 '^warning: preprocessor_config\.json: makes pictures 31 pixels high'
expect 3 doctor "$work/nothing"

# A picture goes through ViP-LLaVA's tower: one weight of it, and its output is another.
fresh emoji-chat
expect 0 doctor "$copy" --save-inputs "$work/chat.safetensors"
"$ocelli" inspect "$work/chat.safetensors" --tensors >/dev/null 2>&1
grep -aq '"pixel_values"' "$work/chat.safetensors" || fail 'no picture for emoji-chat'
expect 0 forward "$copy" --in "$work/chat.safetensors" --out "$work/chat-ref.safetensors" \
    --output-hidden-states
expect 0 doctor "$copy" --against "$work/chat-ref.safetensors"
header=$(head -c 8 "$copy/model.safetensors" | od -An -tu8 | tr -d ' ')
at=$(head -c $((header + 8)) "$copy/model.safetensors" |
    grep -ao '"vision_tower[^"]*layers.1.mlp.fc2.bias":{[^}]*' |
    grep -o 'data_offsets":\[[0-9]*' | grep -o '[0-9]*$')
printf '\0\101' | dd of="$copy/model.safetensors" bs=1 seek=$((9 + header + at - 1)) \
    conv=notrunc 2>/dev/null
expect 1 doctor "$copy" --against "$work/chat-ref.safetensors"
prints '^error: hidden_states\.0: is the first that differs'
# Names of a training wrapper.
fresh emoji-match
whole=$OCELLI_MODELS/emoji-match/model.safetensors
header=$(head -c 8 "$whole" | od -An -tu8 | tr -d ' ')
longer=$((header + 7))                                  # by "module."
{
    for i in 0 1 2 3 4 5 6 7; do printf '%b' "\\0$(printf %o $((longer >> 8 * i & 255)))"; done
    tail -c +9 "$whole" | head -c "$header" | sed 's/"logit_scale"/"module.logit_scale"/'
    tail -c +$((header + 9)) "$whole"
} >"$copy/model.safetensors"
ails 1 '^note: weights: module\.logit_scale may be logit_scale, saved from a training wrapper'
# A clone without its large files.
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' \
    >"$copy/model.safetensors"
ails 1 'is a pointer of Git LFS'

# Against a reference: our own is the same; one layer that differs is found, and named first.
expect 0 doctor emoji-match --save-inputs "$work/in.safetensors"
expect 0 forward emoji-match --in "$work/in.safetensors" --out "$work/ref.safetensors" \
    --output-hidden-states
expect 0 doctor emoji-match --against "$work/ref.safetensors"
prints '^  same +logits_per_image'
! grep -q DIFFERS "$out" || fail 'it differs from itself'
expect 0 doctor emoji-match --in "$work/in.safetensors" --against "$work/ref.safetensors" --json
prints '"against":\{"compared":[1-9][0-9]*,"differ":0'
expect 1 doctor emoji-match --against "$work/in.safetensors"
prints '^error: against: the reference has none'
fresh emoji-match
expect 1 doctor emoji-match --against tests/data/io/plain.safetensors
# A weight of the text tower's second layer, changed by its bytes: the first layers are as before.
"$ocelli" inspect "$copy" --tensors --json >"$work/tensors"
"$ocelli" convert emoji-match "$work/f32" --dtype f32 >/dev/null
header=$(head -c 8 "$work/f32/model.safetensors" | od -An -tu8 | tr -d ' ')
name=text_model.encoder.layer.1.output.dense.bias
at=$(head -c $((header + 8)) "$work/f32/model.safetensors" |
    grep -ao "\"$name\":{[^}]*" | grep -o 'data_offsets":\[[0-9]*' | grep -o '[0-9]*$')
printf '\0\0\200\77' | dd of="$work/f32/model.safetensors" bs=1 seek=$((8 + header + at)) \
    conv=notrunc 2>/dev/null
expect 1 doctor "$work/f32" --against "$work/ref.safetensors"
prints '^  same +text_model_output.hidden_states\.1 '
prints '^error: text_model_output.hidden_states\.2: is the first that differs'
expect 1 doctor emoji-match --in "$work/nothing"
prints '^error: forward: .*nothing'
finish
