#!/usr/bin/env bash
# ocelli generate: the searches that its options name, and what it writes.
. tests/cli/lib.sh
model=tests/data/models/gen_trocr
in=$model/beam_3.in.safetensors
to="$work/out.safetensors"

run() { expect 0 generate $model --in $in --out "$to" --json "$@"; }
tensor() { prints "\"name\":\"$1\",\"dtype\":\"$2\",\"shape\":\\[$3\\]"; }

run --max-new-tokens 3
same "$(grep -o '"name"' "$out" | wc -l)" 1 'tensors of a plain call'
tensor sequences I64 3,4
run --max-new-tokens 3 --num-beams 4 --num-return-sequences 2 --early-stopping never \
    --length-penalty 2.0 --output-scores
tensor sequences I64 '6,[0-9]'
tensor sequences_scores F32 6
tensor beam_indices I64 '6,[0-9]'
tensor scores.2 F32 12,40
run --max-new-tokens 3 --num-beams 4 --num-beam-groups=2 --diversity-penalty 0.5
tensor sequences I64 '3,[0-9]'
run --max-new-tokens 3 --do-sample true --temperature 0.7 --top-k 20 --top-p 0.9 --seed 7 \
    --num-return-sequences 3 --output-logprobs
tensor sequences I64 9,4
tensor token_logprobs F32 9,3
cp "$to" "$work/first"
run --max-new-tokens 3 --do-sample true --temperature 0.7 --top-k 20 --top-p 0.9 --seed 7 \
    --num-return-sequences 3 --output-logprobs --threads 1
cmp -s "$to" "$work/first" || fail 'the same seed gave other bytes'
run --max-new-tokens 3 --penalty-alpha 0.6 --top-k 4 --output-attentions --output-hidden-states
tensor encoder_hidden_states.0 F32 3,5,16
tensor decoder_attentions.2.1 F32 3,4,1,3
tensor cross_attentions.0.0 F32 3,4,1,5
tensor decoder_hidden_states.1.2 F32 3,1,16

expect 5 generate $model --in $in --out "$to" --num-beams 2 --constraints '[1]'
says 'constraints'
expect 2 generate $model --in $in --out "$to" --num-beams 2 --num-return-sequences 3
says 'num_return_sequences'
expect 2 generate $model --in $in --out "$to" --num-beams 5 --num-beam-groups 2 --diversity-penalty 1.0
says 'num_beam_groups'
expect 6 generate $model --in $in --out "$to" --num-beams 100000
says 'rows in a batch'
finish
