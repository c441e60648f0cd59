# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154     # set in lib.sh; used by the tests
# A hub on this machine with two models, and a cache in $work for it; sourced after lib.sh.
server=$OCELLI_BUILD/tests/support/hub_server
[ -x "$server" ] || { echo "FAILED: $server is not there"; exit 1; }
unset HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME HF_HUB_OFFLINE HF_TOKEN_PATH \
    TRANSFORMERS_OFFLINE HF_TOKEN HUGGING_FACE_HUB_TOKEN http_proxy https_proxy all_proxy no_proxy
export OCELLI_MODELS=${OCELLI_MODELS:-$PWD/models}

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
