#!/usr/bin/env bash
# --class and --allow-missing: a folder opened as another class of its model type.
. tests/cli/lib.sh
model=models/emoji-vqa
in=tests/data/models/vb_answer/text.in.safetensors
# has FILE NAME: the header of a safetensors file names the tensor.
has() {
    checks=$((checks + 1))
    grep -aq "\"$2\"" "$1" || fail "$(basename "$1") lacks $2"
}

expect 0 forward $model --in $in --out "$work/own"
has "$work/own" logits
expect 0 forward $model --class VisualBertModel --in $in --out "$work/base"
has "$work/base" pooler_output
says 'not part of this model.*cls\.'

expect 4 forward $model --class VisualBertForPreTraining --in $in --out "$work/none"
says 'VisualBertForPreTraining: required, but missing: cls\.predictions\.transform\.dense\.weight'
says '--allow-missing'
[ ! -e "$work/none" ] || fail 'an output was written all the same'
expect 0 forward $model --class VisualBertForPreTraining --allow-missing --in $in \
    --out "$work/drawn"
has "$work/drawn" prediction_logits
says 'made afresh.*cls\.predictions\.bias'

# The same name in another shape is no missing weight.
expect 4 forward $model --class VisualBertForMultipleChoice --allow-missing --in $in \
    --out "$work/none"
says 'cls\.weight: expected shape \[1, 128\], found \[170, 128\]'
expect 5 forward $model --class BertModel --in $in --out "$work/none"
says 'VisualBertModel.*found BertModel'

expect 0 inspect $model --class VisualBertForVisualReasoning
prints '^architecture  VisualBertForVisualReasoning'
expect 0 inspect $model --class VisualBertForPreTraining
prints '^missing tensors'
prints 'cls\.seq_relationship\.weight'
finish
