#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that a build needs and this machine lacks.
#   tools/setup.sh [build|test|fuzz|ci]
# Looks for the tools and libraries themselves, so that what came from elsewhere counts
# too, and so that nothing at all happens when nothing is missing.
set -euo pipefail

missing=()
tool() {                # COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
library() {             # PKG-CONFIG-MODULE PACKAGE
    if ! command -v pkg-config >/dev/null 2>&1 || ! pkg-config --exists "$1"; then
        missing+=("$2")
    fi
}
clang_runtime() {       # sanitizers and libFuzzer: a package apart from the compiler
    local file version=14
    if command -v clang >/dev/null 2>&1; then
        file=$(clang -print-file-name="libclang_rt.fuzzer-$(uname -m).a")
        [ -e "$file" ] && return
        file=$(clang -print-resource-dir)
        [ -e "$file/lib/linux/libclang_rt.fuzzer-$(uname -m).a" ] && return
        version=$(clang -dumpversion)
    fi
    missing+=("libclang-rt-${version%%.*}-dev")
}

for_build() {
    tool make make
    tool cmake cmake
    tool gcc gcc
    tool pkg-config pkg-config
    [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
    library jansson libjansson-dev
    library libcurl libcurl4-openssl-dev
    library libpng libpng-dev
    library libjpeg libjpeg-dev
    library libutf8proc libutf8proc-dev
    library libwebpdemux libwebp-dev
    library libzip libzip-dev
    library zlib zlib1g-dev
    library cairo libcairo2-dev
}
for_test() {
    for_build
    library cmocka libcmocka-dev
}
for_fuzz() {
    for_build
    tool clang clang
    clang_runtime
}
for_ci() {
    for_test
    tool clang clang
    clang_runtime
    tool g++ g++
    tool git git
    tool shellcheck shellcheck
    tool man man-db
}

case "${1:-build}" in
    build | test | fuzz | ci) "for_${1:-build}" ;;
    *) echo "usage: tools/setup.sh [build|test|fuzz|ci]" >&2; exit 2 ;;
esac
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: missing, by their Debian names: ${missing[*]}" >&2
    echo "setup: no apt-get here; install them with this system's packager" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "setup: packages are missing. Run, then try again:" >&2
        echo "    sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
echo "setup: installing ${missing[*]}" >&2
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
# apt's own chatter matters only when it fails.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" "${apt[@]}" update &&
       "${as_root[@]}" "${apt[@]}" install --no-install-recommends "${missing[@]}"
     } >"$log" 2>&1; then
    cat "$log" >&2
    echo "setup: could not install ${missing[*]}" >&2
    exit 1
fi
