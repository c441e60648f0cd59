#!/usr/bin/env bash
# ocelli search: an index of pictures, built, brought up to date, searched by texts and pictures.
. tests/cli/lib.sh
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}
photos=$work/photos
mkdir -p "$photos/more"
cp examples/scenes/scene-01.png "$photos/<b>&'\"one.png"
cp examples/scenes/scene-05.png "$photos/more/five.PNG"
cp examples/scenes/scene-06.png "$photos/six.png"
index=$work/photos.idx

for dtype in f32 int8; do
    rm -f "$index"
    expect 0 search index emoji-match "$photos" --out "$index" --dtype $dtype
    prints ': 3 pictures: 3 added, 0 changed, 0 kept, 0 removed, 0 not readable$'
    silent "$err"
    expect 0 search "$index" 'a dragon' --top 1
    lines 1
    prints '^0\.[0-9]+  .*/more/five\.PNG$'
    expect 0 search "$index" 'a pig and a piano' --json
    lines 3
    same "$(head -1 "$out" | grep -c 'one\.png')" 1 'the pig comes first'
    expect 0 search "$index" --image examples/scenes/scene-06.png --top 2
    lines 2
    same "$(head -1 "$out" | cut -d' ' -f1)" 1.0000 'a picture is like itself'
    same "$(head -1 "$out" | grep -c 'six\.png$')" 1 'a picture finds itself'
done

# The page holds its pictures, and names in it are text.
expect 0 search "$index" 'a pig' --html "$work/found.html" --montage "$work/found.png"
same "$(grep -c 'src="data:image/png;base64,iVBORw0KGgo' "$work/found.html")" 3 'pictures of the page'
grep -qF '&lt;b&gt;&amp;&#39;&quot;one.png' "$work/found.html" || fail 'a name is not escaped'
grep -qF '<b>' "$work/found.html" && fail 'a name became markup'
expect 0 preprocess emoji-match "$work/found.png" --out "$work/pixels.safetensors"
compgen -G "$work/*.part" >/dev/null && fail 'something half-written is left'

# Pictures come, change, go and break.
before=$(cksum <"$index")
expect 0 search index emoji-match "$photos" --out "$index" --dtype int8 --json
prints '"pictures":3,"added":0,"changed":0,"kept":3,"removed":0,"refused":0'
same "$(cksum <"$index")" "$before" 'an index that is up to date'
# The fingerprint is the model's, not that of the kernels that run it.
expect 0 search index emoji-match "$photos" --out "$index" --dtype int8 --isa generic
prints '3 kept'
rm "$photos/six.png"
cp examples/scenes/scene-06.png "$photos/more/five.PNG"
cp examples/lines/receipt.jpg "$photos/new.jpeg"
echo 'no picture' >"$photos/broken.png"
expect 1 search index emoji-match "$photos" --out "$index" --dtype int8 --json
prints '"pictures":3,"added":1,"changed":1,"kept":1,"removed":1,"refused":1'
says 'broken\.png'
rm "$photos/broken.png"
"$ocelli" search index emoji-match "$photos" --out "$work/fresh.idx" --dtype int8 >/dev/null 2>&1
cmp -s "$index" "$work/fresh.idx" || fail 'brought up to date, the index is another than anew'

# An interrupted build leaves no index, and the next one goes on.
for i in 1 2 3 4 5 6 7 8; do
    rm -f "$work/killed.idx"
    { timeout -s KILL 0.0$i "$ocelli" search index emoji-match "$photos" --dtype int8 \
        --out "$work/killed.idx" --batch 1; } >/dev/null 2>&1
    checks=$((checks + 1))
    expect 0 search index emoji-match "$photos" --out "$work/killed.idx" --dtype int8
    cmp -s "$index" "$work/killed.idx" || fail 'a killed build makes another index'
done

# What cannot be.
expect 2 search "$index" 'a cat' --model printed-line-ocr
says 'was made with another model \(emoji-match\)'
expect 2 search index emoji-match "$photos" --out "$index"
says 'another dtype'
expect 3 search index emoji-match "$work/nothing" --out "$work/none.idx"
mkdir "$work/empty"
expect 3 search index emoji-match "$work/empty" --out "$work/none.idx"
says 'expected pictures'
expect 4 search examples/lines/fox.png 'a cat'
says 'expected an index of pictures'
head -c 500 "$index" >"$work/cut.idx"
expect 4 search "$work/cut.idx" 'a cat'
says 'expected [0-9]+ bytes, found 500'
expect 3 search "$work/nothing.idx" 'a cat'
expect 2 search "$index"
expect 2 search "$index" 'a cat' --image examples/scenes/scene-01.png
expect 2 search index emoji-match "$photos"
[ ! -e "$work/none.idx" ] || fail 'an index of nothing'

# A page takes no place but a file's; links stand for devices, which root could replace.
ln -s /dev/null "$work/link.html"
for place in "$work/link.html" "$work/empty" /dev/stdout; do
    expect 1 search "$index" 'a cat' --html "$place"
    says 'expected a regular file'
done
[ -L "$work/link.html" ] || fail 'a link was replaced'
expect 1 search "$index" 'a cat' --html "$work/nothing/found.html"
says 'No such file'
echo mine >"$work/found.html.part"
expect 0 search "$index" 'a cat' --html "$work/found.html"
same "$(cat "$work/found.html.part")" mine 'a file with a name like that of a journal'
expect 2 search "$index" 'a cat' --montage "$work/found.png" --top 1025
expect 2 search "$index" 'a cat' --out "$work/found.idx"
expect 2 search index emoji-match "$photos" --out "$work/none.idx" --html "$work/found.html"

# The wrong model leaves nothing that is in the right one's way.
expect 5 search index emoji-vqa "$photos" --out "$work/second.idx"
says 'expected a model that embeds pictures'
[ ! -e "$work/second.idx.part" ] || fail 'a journal of a model that embeds nothing'
mkdir "$work/broken"
echo 'no picture' >"$work/broken/one.png"
expect 1 search index emoji-match "$work/broken" --out "$work/second.idx"
says 'none of the pictures could be read'
expect 2 search index emoji-match "$photos" --out "$index"
compgen -G "$work/*.idx.part" >/dev/null && fail 'a journal without a picture is left'
expect 0 search index emoji-match "$photos" --out "$work/second.idx" --dtype int8
prints ': 3 pictures: 3 added'
finish
