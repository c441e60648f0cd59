#!/usr/bin/env bash
# ocelli pull, against a hub on this machine: what is fetched, and where it lies; names, tokens,
# proxies; and the cache that it leaves, as a MODEL of the other commands.
. tests/cli/lib.sh
. tests/cli/hub.sh

expect 0 help pull
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
finish
