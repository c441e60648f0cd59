#!/usr/bin/env bash
# ocelli convert: other types and numbers of files, and back; whole folders; nothing overwritten
# that should stay.
. tests/cli/lib.sh
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}
reader=$OCELLI_MODELS/printed-line-ocr

# There and back is the same file, whatever the number of shards between.
expect 0 convert printed-line-ocr "$work/wide" --dtype f32 --max-shard-size 5MB
prints "^$work/wide\$"
silent "$err"
[ -s "$work/wide/model.safetensors.index.json" ] || fail 'no index'
shards=("$work"/wide/model-0000?-of-0000?.safetensors)
[ ${#shards[@]} -gt 3 ] || fail 'no shards'
for file in "$work"/wide/model-*; do
    [ "$(stat -c %s "$file")" -lt 5100000 ] || fail "$file is too large"
done
expect 0 convert "$work/wide" "$work/narrow" --dtype bf16
cmp "$work/narrow/model.safetensors" "$reader/model.safetensors" || fail 'bf16 -> f32 -> bf16'
for name in tokenizer.json tokenizer_config.json preprocessor_config.json generation_config.json \
        vocab.json merges.txt; do
    cmp -s "$work/wide/$name" "$reader/$name" || fail "$name was not taken along"
done
grep -q '"torch_dtype": "float32"' "$work/wide/config.json" || fail 'torch_dtype of f32'
grep -q '"torch_dtype": "bfloat16"' "$work/narrow/config.json" || fail 'torch_dtype of bf16'

# The same answers.
in=tests/data/lines/forward.in.safetensors
expect 0 forward printed-line-ocr --in $in --out "$work/a.safetensors"
expect 0 forward "$work/wide" --in $in --out "$work/b.safetensors"
cmp "$work/a.safetensors" "$work/b.safetensors" || fail 'f32 gives other numbers'
expect 0 read --model "$work/wide" examples/lines/fox.png
prints '^The quick brown fox jumps over the lazy dog\.$'
expect 0 convert emoji-match "$work/half" --dtype f16
expect 0 embed "$work/half" --text 'a cat'

# A second save has the folder to itself: shards of the first are gone.
expect 0 convert printed-line-ocr "$work/wide" --dtype f16
weights=("$work"/wide/model*)
same ${#weights[@]} 1 'files of weights'
expect 0 read --model "$work/wide" examples/lines/fox.png

# Every format, in shards, and from it the same file again.
for format in bin h5 msgpack; do
    expect 0 convert emoji-caption "$work/$format" --to $format --dtype f32 --max-shard-size 1MB --json
    prints '"folder":'
    [ -n "$(find "$work/$format" -name "*.$format.index.json")" ] || fail "no index of .$format"
    [ -s "$work/$format/generation_config.json" ] || fail 'generation_config.json was not taken along'
    expect 0 convert "$work/$format" "$work/of-$format" --dtype bf16
    cmp "$work/of-$format/model.safetensors" "$OCELLI_MODELS/emoji-caption/model.safetensors" ||
        fail "safetensors -> $format -> safetensors"
done

expect 0 convert emoji-caption "$work/bf16-h5" --to h5 --dtype bf16
says 'Keras has no BF16: written as F32'
expect 5 convert emoji-vqa "$work/none" --to h5
says 'no TensorFlow class of a visual_bert'
[ ! -e "$work/none" ] || fail 'a conversion that cannot be left files'

# A part of them: Flax' to_bf16 with a mask.
expect 0 convert "$work/wide" "$work/masked" --dtype bf16 --mask '!*layernorm*,!*layer_norm*'
expect 0 inspect "$work/masked" --tensors
prints 'encoder\.layernorm\.weight .*F16'
prints 'encoder\.encoder\.layer\.0\.layernorm_before\.bias .*F16'
prints 'encoder\.encoder\.layer\.0\.output\.dense\.bias .*BF16'
expect 0 read --model "$work/masked" examples/lines/fox.png
prints '^The quick brown fox jumps over the lazy dog\.$'
expect 2 convert "$work/wide" "$work/none" --dtype bf16 --mask 'nothing*'
says 'nothing\*: expected a mask that selects parameters'
expect 2 convert "$work/wide" "$work/none" --mask '*'
says 'mask: expected a dtype'
[ ! -e "$work/none" ] || fail 'a mask that is refused left files'

# Quantised once, opened at once; the same answers as quantised at load; and back.
for dtype in int8 int8-channel int4; do
    expect 0 convert printed-line-ocr "$work/$dtype" --weights-dtype $dtype --max-shard-size 2MB
    silent "$err"
    grep -q "\"weights_dtype\": \"$dtype\"" "$work/$dtype/config.json" || fail "config of $dtype"
    expect 0 inspect "$work/$dtype"
    prints "$(tr a-z- A-Z_ <<<"$dtype") [(]"
    expect 0 doctor "$work/$dtype"
    prints '^healthy$'
    expect 0 forward "$work/$dtype" --in $in --out "$work/a.safetensors"
    expect 0 forward printed-line-ocr --weights-dtype $dtype --in $in --out "$work/b.safetensors"
    cmp "$work/a.safetensors" "$work/b.safetensors" || fail "$dtype: converted and at load differ"
    expect 0 read --model "$work/$dtype" examples/lines/fox.png
    prints '^The quick brown fox jumps over the lazy dog\.$'
done
expect 0 convert "$work/int4" "$work/int4-f32" --dtype f32
expect 0 forward "$work/int4-f32" --in $in --out "$work/a.safetensors"
expect 0 forward "$work/int4" --weights-dtype f32 --in $in --out "$work/b.safetensors"
cmp "$work/a.safetensors" "$work/b.safetensors" || fail 'int4 -> f32: files and memory differ'
grep -q quantization_config "$work/int4-f32/config.json" && fail 'quantization_config stayed'
expect 0 read examples/lines/fox.png --weights-dtype int4 --arithmetic int8
prints '^The quick brown fox'
expect 5 convert printed-line-ocr "$work/x" --weights-dtype int4 --to bin
says 'safetensors alone'
expect 2 convert printed-line-ocr "$work/x" --weights-dtype int4 --dtype f32
expect 2 convert printed-line-ocr "$work/x" --weights-dtype int5
expect 2 read examples/lines/fox.png --arithmetic f16
expect 5 forward printed-line-ocr --weights-dtype int4 --gradients --in $in --out "$work/x.safetensors"
says 'cannot be trained'

# --weights chooses.
cp "$reader/model.safetensors" "$work/narrow/other.safetensors"
expect 0 inspect "$work/narrow" --weights other.safetensors
prints 'other\.safetensors'
expect 0 convert "$work/narrow" "$work/chosen" --weights other.safetensors
cmp -s "$work/chosen/model.safetensors" "$reader/model.safetensors" || fail '--weights'
expect 3 inspect "$work/narrow" --weights nothing.bin
expect 2 inspect "$work/narrow" --weights config.json

# Tensors that the config knows nothing of are taken along, and said to be.
cp -r "$OCELLI_MODELS/emoji-match" "$work/fewer"
sed -i 's/"num_hidden_layers": 3/"num_hidden_layers": 2/' "$work/fewer/config.json"
expect 0 convert "$work/fewer" "$work/kept"
cmp -s "$work/fewer/model.safetensors" "$work/kept/model.safetensors" || fail 'not taken along'
grep -Eq '[0-9]+ tensors are not part of this model and are taken along' "$err" || fail 'no word'

# What is refused; what was there stays.
cp -r "$OCELLI_MODELS/emoji-vqa" "$work/same"
expect 2 convert "$work/same" "$work/same" --dtype f32
says 'another folder'
ln -s same "$work/link"
expect 2 convert "$work/same" "$work/link" --dtype f32
cmp -s "$work/same/model.safetensors" "$OCELLI_MODELS/emoji-vqa/model.safetensors" || fail 'IN was overwritten'
expect 2 convert "$work/same" "$work/bin"
says 'another format'
expect 2 convert "$work/same"
expect 2 convert "$work/same" "$work/x" --to zip
expect 2 convert "$work/same" "$work/x" --dtype f8
for size in 0 5Gb 1,5GB GB -1 1e9 99999999999999999999GB; do
    expect 2 convert "$work/same" "$work/x" --max-shard-size "$size"
done
expect 3 convert "$work/nothing" "$work/x"
expect 1 convert "$work/same" "$work/no/such/folder"
# Over the limit of a file's size: as on a full disk.
for format in safetensors bin h5 msgpack; do
    (ulimit -f 1000 && "$ocelli" convert emoji-match "$work/full" --to $format) 2>"$err"
    same $? 1 "status of a conversion to $format over ulimit -f"
    says 'larger than'
    same "$(find "$work/full" -name '*.tmp' -o -name "*model*")" '' 'what it left'
    rm -rf "$work/full"
done
head -c 100000 "$OCELLI_MODELS/emoji-vqa/model.safetensors" >"$work/same/model.safetensors"
expect 4 convert "$work/same" "$work/x"
cp "$OCELLI_MODELS/emoji-match/model.safetensors" "$work/same/"
expect 4 convert "$work/same" "$work/x"
says 'required, but missing'
[ ! -e "$work/x" ] || fail 'a refused conversion left a folder'
finish
