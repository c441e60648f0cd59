#!/usr/bin/env bash
# What the bundled models do: lines of text are read, pictures of emoji captioned, questions
# about them answered, also about what a mark on them points at.
set -euo pipefail
build=${BUILD:-build}
ocelli=$build/ocelli
[ -x "$ocelli" ] || { echo "demo: $ocelli is not there: run make" >&2; exit 1; }
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}      # a build folder may be anywhere

pictures=(examples/lines/*.png examples/lines/*.jpg)
echo "Reading ${#pictures[@]} pictures with the bundled model printed-line-ocr:"
echo
start=$(date +%s%N)
for picture in "${pictures[@]}"; do
    printf '  %-28s ' "$picture"
    "$ocelli" read --quiet "$picture"
done
end=$(date +%s%N)
echo
milliseconds=$(((end - start) / 1000000))
echo "${#pictures[@]} runs, each loading the model anew: $milliseconds ms in all."
start=$(date +%s%N)
"$ocelli" read --quiet "${pictures[@]}" >/dev/null
end=$(date +%s%N)
echo "The same pictures in one run: $(((end - start) / 1000000)) ms."
echo
echo "Captions by the bundled model emoji-caption:"
echo
for picture in examples/scenes/*.png; do
    printf '  %-28s ' "$picture"
    "$ocelli" caption --quiet "$picture"
done
echo
labels=pig,dragon,rabbit,key,cat
echo "Which of $labels, by the bundled model emoji-match:"
echo
for picture in examples/scenes/*.png; do
    printf '  %-28s ' "$picture"
    "$ocelli" classify --quiet --top 1 emoji-match "$picture" --labels $labels \
        --template "a picture of a {}"
done
echo
echo "Questions to the bundled model emoji-vqa:"
echo
for question in "How many objects are there?" "Where is the pig?" "What color is the background?"; do
    printf '  %-28s %-30s ' examples/scenes/scene-01.png "$question"
    "$ocelli" ask --quiet emoji-vqa examples/scenes/scene-01.png "$question"
done
echo
echo "Marks, drawn on the picture and asked about, with the bundled model emoji-chat:"
echo
ask_marked() {          # PICTURE OUT QUESTION MARK...
    printf '  %-28s %-43s ' "$1" "$3"
    "$ocelli" ask --quiet emoji-chat "$1" "$3" "${@:4}" --save-prompt "$build/$2"
}
ask_marked examples/scenes/scene-01.png marked-1.png "What is inside the red box?" \
    --box 0,10,105,118:red
ask_marked examples/scenes/scene-01.png marked-2.png \
    "What object is the red arrow pointing at?" --arrow 200,230,270,290:red
ask_marked examples/scenes/scene-06.png marked-3.png \
    "What is inside the yellow ellipse?" --ellipse 140,280,235,384:yellow
echo
echo "What the model saw is in $build/marked-1.png, marked-2.png and marked-3.png."
cat <<EOT

Try next:
  $ocelli read YOUR-PICTURE.png              a line of print: PNG, JPEG or WebP
  $ocelli read --json examples/lines/*.png   one JSON object a line
  $ocelli caption --num-beams 4 examples/scenes/*.png
  $ocelli ask emoji-vqa examples/scenes/scene-06.png "Where is the rabbit?" --top 3
  $ocelli classify emoji-match examples/scenes/*.png --labels dragon,peacock
  $ocelli chat emoji-chat examples/scenes/scene-01.png
  $ocelli doctor printed-line-ocr            what is in the model, and whether it works
  $ocelli --help
EOT
