#!/usr/bin/env bash
# ocelli chat, and ask with marks. The answers themselves are compared with Transformers' in
# tests/generate/test_chat.c, the drawings in tests/image/test_marks.c.
. tests/cli/lib.sh
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}
scenes=examples/scenes
balloon='140,280,235,384'

# One question.
expect 0 ask emoji-chat $scenes/scene-06.png 'What is inside the red box?' --box $balloon:red
same "$(cat "$out")" 'a balloon' 'a box'
silent "$err"
expect 0 image-text-to-text emoji-chat $scenes/scene-06.png 'What is inside the blue circle?' \
    --ellipse $balloon:blue --json --quiet
prints '"answer":"a balloon","whole":true,"ms":'
expect 0 ask emoji-chat $scenes/scene-06.png 'What is in the picture?' --max-new-tokens 2 --json
prints '"whole":false'

# The marked picture.
expect 0 ask emoji-chat $scenes/scene-06.png 'What?' --box 10,10,100,100:#00ff00:4 \
    --save-prompt "$work/marked.png"
[ -s "$work/marked.png" ] || fail 'no marked.png'
cat >"$work/marks.json" <<'EOF'
[{"shape": "box", "points": [10, 10, 100, 100], "color": "lime", "width": 4}]
EOF
echo '[{"shape": "star"}]' >"$work/star.json"
expect 0 ask emoji-chat $scenes/scene-06.png 'What?' --marks "$work/marks.json" \
    --save-prompt "$work/same.png"
cmp -s "$work/marked.png" "$work/same.png" || fail '--marks draws otherwise than --box'
expect 0 ask emoji-chat $scenes/scene-06.png 'What?' --box 300,300,900,900
says 'warning: box: points outside the picture \(384 x 384\) were moved to its edge'

# What is wrong with marks.
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --box 1,2,3
says "expected X,Y,...\[:COLOR\[:WIDTH\]\] in pixels, found '1,2,3'"
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --box 1,2,30,40:mud
says 'found "mud"'
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --point 1,2:red:x
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --arrow 5,5,5,5
says 'arrow: nothing is left of it'
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --triangle 5,5,50,50
says 'three corners'
expect 3 ask emoji-chat $scenes/scene-06.png 'What?' --mask "$work/none.png:red:0.5"
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --mask $scenes/scene-05.png:red:x
expect 4 ask emoji-chat $scenes/scene-06.png 'What?' --marks "$work/star.json"
says 'found "star"'
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --save-prompt -
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --task docvqa
expect 2 ask emoji-vqa $scenes/scene-06.png 'What?' --template vicuna
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --template alpaca
expect 5 ask emoji-chat $scenes/scene-06.png 'What?' --num-beams 2

# Conversations.
printf '%s\n' 'What is inside the red box?' 'What color is the background?' /undo \
    "/save $work/talk.json" >"$work/lines"
expect_from 0 "$work/lines" chat emoji-chat $scenes/scene-06.png --box $balloon:red
same "$(cat "$out")" $'a balloon\ngreen' 'two answers'
grep -q '"answer": "a balloon"' "$work/talk.json" || fail '/save'
grep -q background "$work/talk.json" && fail '/undo left the question'
printf '/image %s\nWhat color is the background?\n/quit\nWhat?\n' $scenes/scene-05.png >"$work/lines"
expect_from 0 "$work/lines" chat emoji-chat --json
lines 1
prints '"question":"What color is the background\?","answer":"pink","whole":true,"images":1,'
# What goes wrong is said, and the conversation goes on.
printf '/image none.png\n/dance\n/undo\n\nWhat color is the background?\n' >"$work/lines"
expect_from 1 "$work/lines" chat emoji-chat $scenes/scene-05.png
says 'none.png'
says '/dance: expected /image FILE, /undo, /save FILE or /quit'
lines 1
printf 'What?\n/image %s\nAnd here?\nWhat color is the background?\n' $scenes/scene-06.png >"$work/lines"
expect_from 1 "$work/lines" chat emoji-chat $scenes/scene-05.png
says 'the conversation takes [0-9]+ positions, and the model has 512'
# What cannot be asked whole is not asked; a picture goes with its question.
printf 'What\0?\n' >"$work/lines"
expect_from 1 "$work/lines" chat emoji-chat $scenes/scene-05.png
lines 0
says 'line 1: expected text, found a NUL'
{ head -c 70000000 /dev/zero | tr '\0' a; echo; } >"$work/lines"
expect_from 1 "$work/lines" chat emoji-chat $scenes/scene-05.png
says 'line 1: longer than a text may be'
printf 'What color is the background?\n/undo\n' >"$work/lines"
expect_from 0 "$work/lines" chat emoji-chat $scenes/scene-05.png
says 'its picture is taken back, too'
mkdir "$work/taken"
printf '/save %s\n' "$work/none/talk.json" "$work/taken" >"$work/lines"
expect_from 1 "$work/lines" chat emoji-chat $scenes/scene-05.png
find "$work" -name '*.tmp' | grep -q . && fail '/save left its beginnings'
expect 2 chat emoji-chat --box 1,1,9,9
says 'marks go on an IMAGE'
for kv in bf16 int8; do
    expect 0 ask emoji-chat $scenes/scene-06.png 'What is inside the red box?' --box $balloon:red \
        --kv-dtype $kv
    same "$(cat "$out")" 'a balloon' "--kv-dtype $kv"
done
expect 2 ask emoji-chat $scenes/scene-06.png 'What?' --kv-dtype f16
expect 2 ask emoji-vqa $scenes/scene-06.png 'What?' --kv-dtype int8
expect 5 chat emoji-vqa
says 'expected a vipllava to talk with, found visual_bert'
finish
