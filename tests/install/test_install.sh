#!/usr/bin/env bash
# Installs into an empty prefix, moves it elsewhere, and uses what is there as a stranger
# would: pkg-config, CMake, C, C++, the command, the library's names.
set -euo pipefail
root=$PWD build=$(realpath "${OCELLI_BUILD:-build}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix"             # nothing may have kept the first name
prefix=$work/prefix
libdir=$(dirname "$(find "$prefix" -name 'libocelli.so.0')")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir

# A sanitized library wants programs that are sanitized too.
read -ra flags < <(sed -n 's/^CMAKE_C_FLAGS:[A-Z]*=//p' "$build/CMakeCache.txt") || true
cc=${CC:-cc}

echo "files"
for file in bin/ocelli include/ocelli.h share/man/man1/ocelli.1 \
    share/ocelli/models/printed-line-ocr/model.safetensors \
    share/bash-completion/completions/ocelli share/zsh/site-functions/_ocelli \
    share/fish/vendor_completions.d/ocelli.fish \
    share/doc/ocelli/LICENSE share/doc/ocelli/CHANGELOG.md; do
    [ -s "$prefix/$file" ] || fail "$file was not installed"
done

echo "library name and symbols"
objdump -p "$libdir/libocelli.so.0" | grep -Eq 'SONAME +libocelli\.so\.0$' || fail "SONAME"
[ "$(readlink "$libdir/libocelli.so")" = libocelli.so.0 ] || fail "libocelli.so"
# Sanitizers and gcov add names that begin with two underscores.
nm -D --defined-only "$libdir/libocelli.so.0" | awk '{ print $3 }' | grep -v '^__' |
    sort >"$work/exported"
printf '#include <ocelli.h>\n' | "$cc" -E -P -I"$prefix/include" -x c - |
    grep -oE '\boc_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$work/declared"
[ -s "$work/declared" ] || fail "no declarations found in the header"
diff "$work/declared" "$work/exported" || fail "< declared only, > exported only"

echo "header in C99, C11 and C++"
printf '#include <ocelli.h>\nint main(void) { return oc_version() == 0; }\n' >"$work/h.c"
cp "$work/h.c" "$work/h.cpp"
for standard in c99 c11; do
    "$cc" -std=$standard -pedantic-errors -Wall -Wextra -Werror -fsyntax-only \
        -I"$prefix/include" "$work/h.c" || fail "header as $standard"
done
if command -v g++ >/dev/null 2>&1; then
    g++ -std=c++11 -pedantic-errors -Wall -Wextra -Werror -fsyntax-only \
        -I"$prefix/include" "$work/h.cpp" || fail "header as C++"
else
    echo "skipped: header as C++ (no g++ here)"
fi

picture=$root/examples/lines/receipt.jpg
expected=$(awk -F'\t' '$1 == "receipt.jpg" { print $2 }' examples/lines/transcript.tsv)
unset OCELLI_MODELS             # programs find the models by the shared library's place …
check_reads() {         # PROGRAM [ARGUMENT...]: reads the picture away from the source tree
    local text
    text=$(cd "$work" && "$@" "$picture") || fail "$*: status $?"
    [ "$text" = "$expected" ] || fail "$*: expected '$expected', found '$text'"
}

echo "pkg-config"
read -ra package < <(pkg-config --cflags --libs ocelli)
"$cc" -std=c11 -Wall -Wextra -Werror "${flags[@]}" examples/read_line.c -o "$work/read_line" \
    "${package[@]}"
check_reads "$work/read_line"
status=0
(cd "$work" && ./read_line missing.png >out 2>message) || status=$?
[ $status -eq 3 ] || fail "missing file: expected status 3, found $status"
grep -q missing.png "$work/message" || fail "missing file: the message does not name it"

echo "CMake package"
cmake -S tests/install/consumer -B "$work/consumer" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_C_FLAGS="${flags[*]}" \
    -DEXAMPLE="$root/examples/read_line.c" >/dev/null
cmake --build "$work/consumer" >/dev/null
check_reads "$work/consumer/read_line_ocelli"
export OCELLI_MODELS=$prefix/share/ocelli/models    # … but for static ones
check_reads "$work/consumer/read_line_static"
unset OCELLI_MODELS

echo "command"
check_reads "$prefix/bin/ocelli" read
mv "$prefix/share/ocelli/models" "$work/hidden"
status=0
(cd "$work" && "$prefix/bin/ocelli" read "$picture" >out 2>message) || status=$?
configured=$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$build/CMakeCache.txt")
[ -d "$configured/share/ocelli/models" ] || [ $status -eq 3 ] ||
    fail "without its models: expected status 3, found $status"

# What the completions offer is asked of the command (tests/cli/test_completion.sh): here, that
# the installed ones ask the installed command.
offers() { # WORD ARGUMENT...: bash offers the word after these arguments
    bash -c '. "$1"; COMP_WORDS=("$2" "${@:4}" ""); COMP_CWORD=$(($# - 2)); _ocelli "$2"
             printf "%s\n" "${COMPREPLY[@]}" | grep -qx -- "$3"' - \
        "$prefix/share/bash-completion/completions/ocelli" "$prefix/bin/ocelli" "$@"
}

echo "manual page and completions know every command and option"
sed 's/\\-/-/g' "$prefix/share/man/man1/ocelli.1" >"$work/manual"
bash -n "$prefix/share/bash-completion/completions/ocelli"
"$prefix/bin/ocelli" --help | sed -nE 's/^  ([a-z][a-z-]*)  +[A-Z].*/\1/p' >"$work/commands"
[ "$(wc -l <"$work/commands")" -ge 5 ] || fail "too few commands in --help"
while read -r command; do
    offers "$command" || fail "the Bash completion lacks $command"
    grep -Eq "^\.(B|BI|BR) $command( |\$)" "$work/manual" || fail "the manual lacks $command"
    "$prefix/bin/ocelli" "$command" --help | sed -nE 's/^  (--[a-z-]+).*/\1/p' >"$work/options"
    while read -r option; do
        grep -q -- "$option" "$work/manual" || fail "the manual lacks $command $option"
        offers "$option" "$command" || fail "the Bash completion lacks $command $option"
    done <"$work/options"
done <"$work/commands"
echo "installed, moved and used: all well"
