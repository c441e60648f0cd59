#!/usr/bin/env bash
# ocelli pull, against a hub that misbehaves in every way that one has been seen to, and killed
# at any moment. A script of its own: it waits much, as the command does between its tries.
. tests/cli/lib.sh
. tests/cli/hub.sh
[ "$built_with_curl" = 1 ] || { echo 'skipped: built without libcurl'; exit 77; }

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

# Without checksums two replies may be of two versions: no mixture of them.
fresh
fault '/api/ noetag 9' "$large?signed vague 1 1" "$large?signed vague 99 2" \
    "$large noetag 99"
expect 0 pull org/tiny
cmp -s <(tail -c +2 "$repo/snapshots/$old/$large") <(tail -c +2 "$tiny/$large") ||
    fail 'a file without checksums'
same "$(head -c 1 "$repo/snapshots/$old/$large" | od -An -tu1 | tr -d ' ')" \
    $(($(head -c 1 "$tiny/$large" | od -An -tu1) ^ 2)) 'the version that came last'

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
3 sends.more,.2.times $large?signed endless 99
3 2.times $large?signed again 99 1000000
3 Content-Encoding config.json packed 99
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
        kill -0 $pull 2>/dev/null || return         # a loaded machine missed it
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
