#!/usr/bin/env bash
# ocelli pull, against a hub on this machine that behaves, and misbehaves in every way that one
# has been seen to; and the cache that it leaves, as a MODEL of the other commands.
. tests/cli/lib.sh
server=$OCELLI_BUILD/tests/support/hub_server
[ -x "$server" ] || { echo "FAILED: $server is not there"; exit 1; }
unset HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME HF_HUB_OFFLINE HF_TOKEN_PATH \
    TRANSFORMERS_OFFLINE HF_TOKEN HUGGING_FACE_HUB_TOKEN http_proxy https_proxy all_proxy no_proxy
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}

expect 0 help pull
HF_HUB_CACHE=$work/none HF_ENDPOINT=http://127.0.0.1:9 "$ocelli" pull a/b --retries 0 2>"$err"
built_with_curl=$(($(grep -c 'built without libcurl' "$err") == 0))

hub=$work/hub
old=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
new=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
tiny=$hub/models/org/tiny
mkdir -p "$hub/models/org" "$hub/models/org/gated"
cp -r models/emoji-match "$tiny"
echo $old >"$tiny/.commit"
mkdir "$tiny/sub"
echo hello >"$tiny/sub/note.txt"
head -c 3000 /dev/urandom >"$tiny/pytorch_model.bin"      # another format: nobody wants it
: >"$tiny/merges.txt"                                      # no bytes at all
cp "$tiny/config.json" "$hub/models/org/gated/"
echo $old >"$hub/models/org/gated/.commit"
: >"$hub/models/org/gated/.gated"

"$server" "$hub" &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
for _ in $(seq 100); do [ -s "$hub/ports" ] && break; sleep 0.05; done
read -r port _ <"$hub/ports"
export HF_ENDPOINT=http://127.0.0.1:$port HF_HOME=$work/home HF_HUB_DOWNLOAD_TIMEOUT=1
cache=$HF_HOME/hub
repo=$cache/models--org--tiny
fault() { rm -f "$hub"/count.*; printf '%s\n' "$@" >"$hub/faults"; }
fresh() { rm -rf "$HF_HOME"; : >"$hub/log"; fault ''; }
# whole COMMIT: the snapshot is there with all that a model needs, byte for byte.
whole() {
    local name folder=$repo/snapshots/$1
    checks=$((checks + 1))
    for name in config.json model.safetensors preprocessor_config.json merges.txt; do
        cmp -s "$folder/$name" "${2:-$tiny}/$name" || fail "$name of $1 is not what the hub has"
    done
    same "$(find "$repo" -name '*.incomplete' -o -name '*.tmp' | wc -l)" 0 'left behind'
}

if [ "$built_with_curl" = 0 ]; then
    expect 5 pull org/tiny
    says 'built without libcurl'
    mkdir -p "$repo/refs" "$repo/snapshots" && cp -r models/emoji-match "$repo/snapshots/$old"
    printf %s "$old" >"$repo/refs/main"
    expect 0 inspect org/tiny
    HF_HUB_OFFLINE=1 expect 0 pull org/tiny
    finish
    exit
fi

# What is fetched, and what is not fetched again.
fresh
expect 0 pull org/tiny
prints "^$repo/snapshots/$old\$"
silent "$err"
whole $old
same "$(cat "$repo/refs/main")" $old 'refs/main'
for name in pytorch_model.bin sub README.md; do
    [ ! -e "$repo/snapshots/$old/$name" ] || fail "$name was fetched"
done
same "$(readlink "$repo/snapshots/$old/model.safetensors")" \
    "../../blobs/$(sha256sum <"$tiny/model.safetensors" | cut -d' ' -f1)" 'the link to a large file'
: >"$hub/log"
expect 0 pull org/tiny --json
prints '"model":"org/tiny","folder":"'
same "$(wc -l <"$hub/log")" 1 'requests when all is there'
expect 0 pull org/tiny --revision $old
prints "/snapshots/$old\$"

# A MODEL like others; without the network, too.
: >"$hub/log"
expect 0 inspect org/tiny
prints 'vision-text-dual-encoder|VisionTextDualEncoderModel'
expect 0 inspect org/tiny --revision $old
expect 3 inspect org/tiny --revision v9
says 'ocelli pull org/tiny --revision v9'
expect 3 inspect org/other
says 'ocelli pull org/other'
expect 2 inspect emoji-match --revision main
expect 2 inspect org/tiny --revision ../..
export HF_HUB_OFFLINE=1
expect 0 tokenize org/tiny 'a cat'
expect 0 embed org/tiny --text 'a cat'
expect 0 pull org/tiny
expect 3 pull org/other
says 'HF_HUB_OFFLINE'
expect 3 pull org/tiny --revision v9
unset HF_HUB_OFFLINE
TRANSFORMERS_OFFLINE=yes expect 3 pull org/other
same "$(wc -l <"$hub/log")" 0 'requests offline'

# Places and names.
mv "$cache" "$work/elsewhere"
HF_HUB_CACHE=$work/elsewhere expect 0 inspect org/tiny
HUGGINGFACE_HUB_CACHE=$work/elsewhere expect 0 inspect org/tiny
mkdir -p "$work/xdg/huggingface" && ln -s "$work/elsewhere" "$work/xdg/huggingface/hub"
(unset HF_HOME; XDG_CACHE_HOME=$work/xdg "$ocelli" inspect org/tiny >"$out" 2>"$err") ||
    fail 'XDG_CACHE_HOME'
mkdir -p "$work/user/.cache" && ln -s "$work/xdg/huggingface" "$work/user/.cache/huggingface"
(unset HF_HOME; HOME=$work/user "$ocelli" inspect org/tiny >"$out" 2>"$err") || fail HOME
mkdir -p "$HF_HOME" && mv "$work/elsewhere" "$cache"
for name in ../x a/b/c 'a b/c' -a/b a/b.git 'a..b/c' ''; do expect 2 pull -- "$name"; done
expect 2 pull org/tiny --revision 'a b'
expect 2 pull org/tiny '*.json'

# A cache whose links or refs lead out of it is not followed.
cp "$tiny/config.json" "$work/outside.json"
ln -sf "$work/outside.json" "$repo/snapshots/$old/config.json"
expect 3 inspect org/tiny
says 'leads out of it'
echo ../../../etc >"$repo/refs/main"
expect 4 inspect org/tiny
says 'expected a commit'

# Patterns.
fresh
expect 0 pull org/tiny --include '*.txt' 'config.json'
same "$(cd "$repo/snapshots/$old" && find . -type l | sort | tr '\n' ' ')" \
    './config.json ./merges.txt ./sub/note.txt ./vocab.txt ' 'what the patterns fetched'
cmp -s "$repo/snapshots/$old/sub/note.txt" "$tiny/sub/note.txt" || fail 'a file in a folder'
expect 0 pull org/tiny
whole $old
expect 2 pull org/tiny --include 'no*such'

# Tokens: asked for, sent to the hub, and to nobody else.
fresh
expect 3 pull org/gated
says 'set HF_TOKEN'
HF_TOKEN=wrong expect 3 pull org/gated
says 'ask for access'
HF_TOKEN=secret expect 0 pull org/gated
mkdir -p "$HF_HOME" && echo secret >"$HF_HOME/token"
rm -rf "$cache/models--org--gated"
expect 0 pull org/gated
: >"$hub/log"
expect 0 pull org/tiny
grep -q '^0 .* Bearer secret$' "$hub/log" || fail 'the hub got no token'
grep -q '^1 ' "$hub/log" || fail 'nothing came from the CDN'
grep '^1 ' "$hub/log" | grep -q secret && fail 'the CDN got the token'
fault 'gated away 1'
rm -rf "$cache/models--org--gated"
: >"$hub/log"
"$ocelli" pull org/gated >"$out" 2>"$err"
grep '^1 ' "$hub/log" | grep -q secret && fail 'a redirected request took the token along'
printf 'a\r\nX: y' >"$HF_HOME/token"
expect 2 pull org/gated
rm "$HF_HOME/token"
expect 3 pull org/nothing
says 'no such model'
expect 3 pull org/tiny --revision v9
says 'no revision v9'

# Trouble that passes.
large=model.safetensors
while read -r lines; do
    fresh
    fault "$lines"
    expect 0 pull org/tiny
    silent "$err"
    whole $old
done <<EOF
$large?signed drop 3 1000000
$large?signed drop 1 0
$large?signed short 1 5
$large?signed long 1 5
$large?signed status 2 503
$large?signed status 1 429
$large?signed later 1 1
$large?signed corrupt 1
/api/ status 2 500
/api/ drop 1 10
/api/ noetag 1
/api/ hang 1
config.json status 1 502
$large?signed chunked 1
EOF
# What came before a break is not asked for again, …
fresh
fault "$large?signed drop 1 1000000"
expect 0 pull org/tiny
grep -q '^1 .* bytes=1000000- ' "$hub/log" || fail 'no resumption'
# … nor what an earlier process left, if the server can go on.
fresh
fault "$large?signed drop 1 1000000" "$large?signed status 99 503"
expect 3 pull org/tiny --retries 1
says "$large"
[ ! -e "$repo/refs" ] || fail 'a failed pull left a revision'
[ ! -e "$repo/snapshots" ] || fail 'a failed pull left a snapshot'
fault ''
: >"$hub/log"
expect 0 pull org/tiny
grep -Eq '^1 .* bytes=[0-9]{7,}- ' "$hub/log" || fail 'no resumption after a failure'
whole $old
for kind in norange badrange; do
    fresh
    fault "$large?signed drop 1 1000000" "$large?signed $kind 1"
    expect 0 pull org/tiny
    whole $old
done
# A part that is not of this file, or more than the whole of it.
for size in 500000 99000000; do
    fresh
    mkdir -p "$repo/blobs"
    head -c $size /dev/zero \
        >"$repo/blobs/$(sha256sum <"$tiny/$large" | cut -d' ' -f1).incomplete"
    expect 0 pull org/tiny
    whole $old
done

# Trouble that stays.
while read -r status message lines; do
    fresh
    fault "$lines"
    expect "$status" pull org/tiny --retries 1
    says "$message"
    [ ! -e "$repo/refs/main" ] || fail "a revision after: $lines"
done <<EOF
4 checksum $large?signed corrupt 99
3 503,.2.times config.json status 99 503
3 offers $large?signed long 99 7
3 404 vocab status 99 404
3 redirects config.json loop 99
4 list.of.files /api/ garbage 99
EOF
: >"$hub/log"
fresh
fault "/config.json status 99 503"
expect 3 pull org/tiny --retries 2
same "$(grep -c '/config.json' "$hub/log")" 3 'tries'
HF_ENDPOINT=http://127.0.0.1:9 expect 3 pull org/tiny --retries 0
HF_ENDPOINT=ftp://127.0.0.1 expect 2 pull org/tiny
says 'http or https'

# Names that a hostile hub sends.
for name in ../../../evil /etc/evil a//b './x' 'a/../b'; do
    fresh
    printf '{"rfilename":"%s","size":3,"blobId":"%s"}' "$name" $old >"$tiny/.siblings"
    expect 4 pull org/tiny
    says 'siblings'
done
rm "$tiny/.siblings"

# A proxy, by its variable.
fresh
http_proxy=http://127.0.0.1:$port HF_ENDPOINT=http://hub.invalid no_proxy=127.0.0.1 \
    "$ocelli" pull org/tiny --include config.json >"$out" 2>"$err" ||
    { fail 'through a proxy'; cat "$err"; }
grep -q 'GET http://hub.invalid/org/tiny/resolve' "$hub/log" || fail 'the proxy was passed by'

# Two at once: one waits.
fresh
fault "$large?signed slow 1 1000000"
"$ocelli" pull org/tiny >"$work/one" 2>&1 &
one=$!
expect 0 pull org/tiny
wait $one || fail 'the first of two'
whole $old
same "$(grep -c "^1 .*$large" "$hub/log")" 1 'downloads by two processes'

# wait_for_part: until some of the large file has come.
wait_for_part() {
    for _ in $(seq 400); do
        [ -n "$(find "$repo/blobs" -name '*.incomplete' -size +100k 2>/dev/null)" ] && return
        sleep 0.05
    done
    fail 'nothing came'
}
# An interrupt ends it, and leaves what came.
fresh
fault "$large?signed slow 9 100000"
"$ocelli" pull org/tiny >"$out" 2>"$err" &
pull=$!
wait_for_part
kill -TERM $pull
wait $pull
same $? 130 'status of an interrupted pull'
says interrupted
ls "$repo"/blobs/*.incomplete >/dev/null 2>&1 || fail 'nothing is left to go on from'

# kill -9 at any moment leaves the old revision or the new one, and the next pull goes on.
fresh
expect 0 pull org/tiny
other=$work/old
cp -r "$tiny" "$other"
echo $new >"$tiny/.commit"
head -c 4000000 /dev/urandom >>"$tiny/$large"
sed -i 's/$/ /' "$tiny/config.json"
: >"$hub/log"
for i in $(seq 1 12); do
    fault "$large?signed slow 99 200000"
    "$ocelli" pull org/tiny >/dev/null 2>&1 &
    pull=$!
    if [ "$i" = 3 ] || [ "$i" = 6 ]; then wait_for_part; else sleep "0.$(printf %02d $((i * 7)))"; fi
    kill -KILL $pull 2>/dev/null
    wait $pull 2>/dev/null
    case $(cat "$repo/refs/main") in
        "$old") cmp -s "$repo/snapshots/$old/$large" "$other/$large" || fail "kill $i: the old one" ;;
        "$new") cmp -s "$repo/snapshots/$new/$large" "$tiny/$large" || fail "kill $i: the new one" ;;
        *) fail "kill $i: refs/main is neither" ;;
    esac
    if [ -e "$repo/snapshots/$new" ]; then
        cmp -s "$repo/snapshots/$new/config.json" "$tiny/config.json" || fail "kill $i: a half"
    fi
done
fault ''
expect 0 pull org/tiny
grep -q '^1 .* bytes=[1-9]' "$hub/log" || fail 'no kill was followed by a resumption'
whole $new
cmp -s "$repo/snapshots/$old/config.json" "$other/config.json" || fail 'the old one has changed'
finish
