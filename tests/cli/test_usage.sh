#!/usr/bin/env bash
# What the command makes of its arguments: help, versions, names that are wrong or not yet.
. tests/cli/lib.sh
model=printed-line-ocr
line=examples/lines/fox.png

expect 2
says 'expected a command'
silent "$out"
expect 0 --version
prints '^ocelli [0-9]+\.[0-9]+\.[0-9]+$'
silent "$err"
for overview in --help help -h; do
    expect 0 "$overview"
    prints '^  read '
    silent "$err"
done
expect 0 help limits
prints 'image_pixels'
expect 0 --help limits

for command in read inspect forward generate preprocess tokenize detokenize bench; do
    expect 0 "$command" --help
    prints "^Usage: ocelli $command "
    prints '^Examples:'
    for option in threads isa device quiet; do prints "^  --$option "; done
    silent "$err"
    cp "$out" "$work/by_option"
    expect 0 help "$command"
    cmp -s "$out" "$work/by_option" || fail "help $command differs from $command --help"
    expect 0 "$command" "$model" --help --threads nonsense
    case $command in read) operand=$line ;; *) operand=$model ;; esac
    expect 2 "$command" "$operand" --no-such-thing-at-all=
    says "^Try: ocelli $command --help|no_such_thing_at_all"
    expect 2 "$command" "$model" -x
    silent "$out"
done

# Names that are not known, and names of later versions.
expect 2 raed "$line"
says 'did you mean read\?'
expect 2 inspekt
says 'did you mean inspect\?'
expect 2 qqqqqqqqqq
expect 2 --threads 1 read "$line"
expect 2 ''
for command in train serve; do
    expect 5 "$command" "$model"
    says "$command is not in this version"
    expect 0 --help
    ! grep -q "^  $command " "$out" || fail "$command is in --help"
done
expect 0 image-to-text "$line"
prints '^The quick brown fox jumps over the lazy dog\.$'
expect 0 image-to-text --model emoji-caption examples/scenes/scene-01.png
expect 0 image-to-text --model tests/data/documents/donut-tiny "$line" --question x
prints '^\{'
expect 0 image-to-text --model tests/data/documents/nougat-tiny "$line"
expect 2 image-to-text "$line" --question x
says 'expected a model of documents, found printed-line-ocr'
expect 0 help image-to-text

# Options.
expect 2 read --thread 1 "$line"
says 'unknown option --thread: did you mean --threads\?'
expect 2 inspect "$model" --tensor
says 'did you mean --tensors\?'
expect 2 read "$line" --threads
says 'needs a value'
for number in x 1x '' ' 1' 0x10 1.0 -1 99999999999999999999 +1; do
    expect 2 read "$line" --threads "$number"
done
expect 2 read "$line" --threads 257
says 'from 0 to 256'
grep -q 'OCI_MAX_THREADS = 256,' src/base/limits.h || fail 'another number of threads'
expect 2 read "$line" --batch 0
expect 2 read "$line" --batch 257
expect 2 read "$line" --isa sse
says 'auto\|generic\|avx2\|avx512'
expect 2 read "$line" --isa ''
expect 2 read "$line" --quiet=yes
expect 2 read "$line" --device gpu
for device in cuda cuda:1; do
    expect 5 read "$line" --device "$device"
    says 'built without CUDA'
done
expect 2 read "$line" --limit image_pixels
expect 2 read "$line" --limit =1
expect 2 read "$line" --limit image_pixels=-1
expect 2 read "$line" --limit no_such_bound=1
expect 2 read "$line" --limit image_pixels=99999999999
expect 0 read --threads=1 --isa=generic --device=cpu --quiet "$line"
expect 0 read "$line" --threads 2 --isa auto --device cpu
expect 2 inspect
expect 2 inspect "$model" "$model"
says 'one argument too many'
expect 2 read
expect 2 preprocess "$model" --out "$work/x"
expect 2 preprocess "$model" "$line"
says '--out OUT is missing'
expect 2 forward "$model" --out "$work/x"
says '--in IN is missing'
expect 2 generate "$model" --in "$work/x"
expect 2 tokenize
expect 2 tokenize "$model" x --padding no
expect 2 tokenize "$model" x --truncation no
expect 2 tokenize "$model" x --max-length 0
expect 2 detokenize "$model" --clean-up maybe

# What is wrong is what is named.
expect 2 read --bogus "$line"
says 'missing argument: .*--bogus'
expect 2 preprocess "$model" "$line" --out -
says '--out: expected a file, found -'
for command in forward generate; do
    expect 2 $command "$model" --in "$work/x" --out -
    says '--out: expected a file, found -'
done
[ ! -e - ] || fail 'a file named - was made'
printf x >"$work/"$'red\e[31m\n.png'
expect 1 read "$work/"$'red\e[31m\n.png'
says 'red\\x1b\[31m\\x0a\.png'
mkdir "$work/empty" "$work/number"
echo '{"model_type":"vision-encoder-decoder","encoder":{"model_type":"vit"},"decoder":{"model_type":5}}' \
    >"$work/number/config.json"
expect 3 inspect "$work/empty//"
says 'empty/config\.json'
expect 4 inspect "$work/number/"
says 'number/config\.json: decoder\.model_type: expected a text, found 5'

# After -- everything is an input.
cp "$line" "$work/--quiet"
(cd "$work" && OCELLI_MODELS=$OLDPWD/models "$ocelli" read -- --quiet >stdout 2>stderr) ||
    fail 'a file behind --'
prints '^The quick brown fox'
expect 0 tokenize "$model" -- --tokens
! grep -q tokens "$out" || fail 'a text behind -- was taken as an option'

# Options of GenerationConfig.
expect 0 read --max-new-tokens 4 "$line"
prints '^The $'
expect 0 read --max-new-tokens=4 --do-sample false "$line"
prints '^The $'
expect 0 read --use-cache "$line"
prints '^The quick brown fox'
expect 2 read --max-new-tokens four "$line"
says 'max_new_tokens'
expect 2 read --max-new-tokens
expect 2 read --max-new-token 4 "$line"
says 'max_new_tokens'
expect 2 read "$line" --min-length --quiet
says '--min-length'

# What else tells of the commands agrees with --help.
expect 0 --help
for command in read inspect preprocess tokenize detokenize forward generate bench; do
    prints "^  $command "
done
expect 0 help limits
bounds=$(sed -n 's/^    X(\([a-z_]*\),.*/\1/p' src/base/limits.h)
[ -n "$bounds" ] || fail 'no bounds found in src/base/limits.h'
same "$(sed -n 's/^  \([a-z_]*\)  *.*/\1/p' "$out" | grep _ -c)" "$(grep -c _ <<<"$bounds")" \
    'bounds in ocelli help limits'
for bound in $bounds; do prints "^  $bound  "; done
finish
