#!/usr/bin/env bash
# ocelli ask with a VisualBERT: pictures, files of regions, and what does not go together. The
# answers themselves are compared with Transformers' in tests/embed/test_regions.c.
. tests/cli/lib.sh
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}
scene=examples/scenes/scene-01.png
features=tests/data/embed/vqa.safetensors
tsv=tests/data/io/npy/regions.tsv

expect 0 ask emoji-vqa $scene 'How many objects are there?'
same "$(cat "$out")" two 'the answer'
silent "$err"
expect 0 visual-question-answering models/emoji-vqa $scene 'What color is the background?'
same "$(cat "$out")" blue 'the alias'"'"'s answer'
expect_from 0 $scene ask emoji-vqa - 'Where is the pig?'
same "$(cat "$out")" 'top left' 'standard input'
expect 0 ask emoji-vqa $scene 'Where is the pig?' --top 3
lines 3
prints $'^top left\t0\\.99[0-9]+$'
expect 0 ask emoji-vqa $scene 'Where is the pig?' --top 1000
lines 170
expect 0 ask emoji-vqa $scene 'Where is the pig?' --top 2 --json
lines 1
prints '^\{"file":"examples/scenes/scene-01.png","question":"Where is the pig\?","answer":"top left","probability":0\.99'
prints '"answers":\[\{"answer":"top left","label":151,"probability":0\.99[0-9]*\},\{"answer":"[a-z ]+","label":[0-9]+,"probability":0\.00[0-9]*\}\],"ms":'

# Features from a file.
expect 3 ask emoji-vqa --regions "$work/none.npz" 'Where?'
expect 2 ask emoji-vqa --regions "$scene" 'Where?'
says 'by its ending: \.safetensors, \.npy, \.npz or \.tsv'
expect 4 ask emoji-vqa --regions $features 'Where?'
says 'expected a tensor visual_embeds, features or x, found none'
expect 4 ask emoji-vqa --regions $tsv --image-id 123 'Where?'
says 'visual_embeds: expected 132 numbers a region, the visual_embedding_dim of .*, found 5'
expect 2 ask emoji-vqa --regions $tsv --image-id 7 'Where?'
says 'image_id 7, found none'
expect 4 ask emoji-vqa --regions tests/data/io/npy/version-1.npy 'Where?'
expect 4 ask emoji-vqa --regions tests/data/io/npy/row.npy 'Where?'
says 'found I64 of rank 1'

# What does not go together.
expect 2 ask emoji-vqa 'Where?'
expect 2 ask emoji-vqa $scene 'Where?' --regions $features
expect 2 ask emoji-vqa $scene 'Where?' --image-id 1
expect 2 ask emoji-vqa $scene 'Where?' --task docvqa
expect 2 ask emoji-vqa $scene 'Where?' --num-beams 4
expect 2 ask emoji-vqa $scene 'Where?' --top 0
expect 2 ask tests/data/documents/donut-tiny examples/lines/receipt.jpg 'Where?' --top 2
expect 3 ask emoji-vqa "$work/none.png" 'Where?'
expect 1 ask emoji-vqa README.md 'Where?'
cp -r models/emoji-vqa "$work/bare"
rm "$work/bare/regions.json"
expect 5 ask "$work/bare" $scene 'Where?'
says 'expected a regions.json'
echo '{"feature_model": "../../etc", "regions": [[0, 0, 1, 1]]}' >"$work/bare/regions.json"
expect 4 ask "$work/bare" $scene 'Where?'
says 'regions.json: feature_model: expected NAME or \.\./NAME'
# A dual encoder has no words: what it is, and what it is for.
expect 5 ask emoji-match $scene 'What is it?'
says 'a vision-text-dual-encoder compares pictures with texts.*ocelli classify emoji-match IMAGE'
finish
