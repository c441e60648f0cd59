#!/usr/bin/env bash
# ocelli read: one picture and many, good and bad; streams, signals, full disks.
. tests/cli/lib.sh
set_lines=tests/data/lines
fox=examples/lines/fox.png
fox_text='The quick brown fox jumps over the lazy dog.'

expect 0 read $fox
same "$(cat "$out")" "$fox_text" "read $fox"
silent "$err"
expect_from 0 $fox read -
same "$(cat "$out")" "$fox_text" 'read -'
while IFS=$'\t' read -r file text; do
    expect 0 read "examples/lines/$file"
    same "$(cat "$out")" "$text" "examples/lines/$file"
done <examples/lines/transcript.tsv

# Many: a line each, in order, whatever the batch; alone as in company.
pictures=("$set_lines"/[0-9]*.*)
expect 0 read "${pictures[@]}"
lines ${#pictures[@]}
silent "$err"
cp "$out" "$work/together"
expect 0 read --batch 3 --threads 1 "${pictures[@]:0:10}"
head -n 10 "$work/together" | cmp -s - "$out" || fail 'the texts depend on --batch or --threads'
for i in 0 17 51; do
    expect 0 read "${pictures[i]}"
    same "$(cat "$out")" "$(sed -n "$((i + 1))p" "$work/together")" "${pictures[i]} alone"
done
expect 0 read --with-filename "${pictures[0]}" $fox
same "$(sed -n 2p "$out")" "$fox: $fox_text" '--with-filename'

# A bad one among good ones.
head -c 300 $fox >"$work/cut.png"
expect 1 read $fox "$work/cut.png" "$work/nothing" "$work" "${pictures[0]}"
lines 2
same "$(sed -n 1p "$out")" "$fox_text" 'the good picture before'
same "$(sed -n 2p "$out")" "$(sed -n 1p "$work/together")" 'the good picture after'
for bad in cut.png nothing; do says "^ocelli read: $work/$bad: "; done
expect 1 read --json "$work/cut.png" $fox
lines 1

# Pictures on their side are turned as EXIF says. What is on them here is no text.
expect 0 read tests/data/image/exif6.jpg

# A file's name is any bytes, but JSON is UTF-8.
odd=$work/$(printf 'na\xffme\n.png')
cp $fox "$odd"
expect 0 read --json "$odd"
lines 1
prints 'na�me\\n\.png'

# stdout that takes nothing.
"$ocelli" read $fox >/dev/full 2>"$err"
same $? 1 'status with a full disk'
says 'standard output: No space'
"$ocelli" read $fox 2>"$err" >&-
same $? 1 'status with stdout closed'
says 'standard output'
"$ocelli" preprocess printed-line-ocr $fox --out "$work/pixels" >&- 2>&- <&-
same $? 0 'status with all closed, nothing to say'
expect 0 generate printed-line-ocr --in "$work/pixels" --out "$work/ids"
"$ocelli" preprocess printed-line-ocr $fox --out "$work/pixels2" --json >&- 2>&- <&-
same $? 1 'status with all closed'
cmp -s "$work/pixels" "$work/pixels2" || fail 'stdout was written into --out'
{ "$ocelli" read --batch 1 $fox $fox $fox 2>"$err"; echo $? >"$work/status"; } | true
same "$(cat "$work/status")" 1 'status when the reader of the pipe left'
silent "$err"
"$ocelli" --help >/dev/full 2>"$err"
same $? 1 'status of --help with a full disk'

# Interrupted: 130, what is done is printed, and no --out.
many=()
for _ in {1..40}; do many+=("${pictures[@]}"); done
for signal in INT TERM; do
    timeout --preserve-status -s $signal 1 "$ocelli" read "${many[@]}" >"$out" 2>"$err"
    same $? 130 "status after SIG$signal"
    says 'interrupted'
    [ "$(wc -l <"$out")" -lt ${#many[@]} ] || fail 'nothing was left to interrupt'
done
sleep 5 | timeout --preserve-status -s INT 1 "$ocelli" detokenize printed-line-ocr \
    >"$out" 2>"$err"
same "${PIPESTATUS[1]}" 130 'status after an interruption while it waits for stdin'
expect 0 preprocess printed-line-ocr "${many[@]:0:208}" --out "$work/pixels"
timeout --preserve-status -s INT 0.5 "$ocelli" generate printed-line-ocr --in "$work/pixels" \
    --out "$work/result" >"$out" 2>"$err"
same $? 130 'status of generate after SIGINT'
[ -z "$(find "$work" -name '*result*')" ] || fail 'an interrupted generate left a file'
finish
