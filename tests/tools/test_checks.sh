#!/usr/bin/env bash
# The checks see what they are there to see: a small tree with one fault of each kind.
set -euo pipefail
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
export GIT_CEILING_DIRECTORIES=$work        # the tree is no part of a repository around it
cd "$work"
mkdir -p src/base src/models src/io src/tensor cli include
touch include/ocelli.h src/base/pool.h src/io/file.h src/io/json.h src/tensor/ops.h

# expect FILE CHECK MESSAGE: the text on stdin as FILE makes CHECK fail with MESSAGE.
expect() {
    cat >"$1"
    if perl "$root/tools/check_$2.pl" >out; then fail "$2 let pass: $3"; fi
    grep -q "^$1:.*$3" out || { cat out; fail "$2 did not say: $3"; }
    rm "$1"
}
clean() {
    perl "$root/tools/check_$1.pl" >out || { cat out; fail "$1 on a clean tree"; }
}

cat >src/base/good.c <<'E'
/* malloc(1) in a comment and "free(x)" in a string are no calls; s->free(x) is not
 * ours. */
static const char *text(struct s *s)
{
    s->free(s);
    snprintf(s->text, sizeof s->text, "%s", "it's malloc(1)");
    return "// no comment: strcpy(a, b)";
}
E
printf '#include "io/json.h"\n#include "tensor/ops.h"\n' >src/models/good.c
printf '#include "ocelli.h"\n#include <stdlib.h>\n' >cli/good.c
clean style
clean layers

expect src/base/a.c style 'malloc: memory' <<<'void *p = malloc(1);'
expect src/base/a.c style 'strcpy: no bound' <<<'int f = strcpy (a, b);'
expect src/base/a.c style 'printf: the library never prints' <<<'int f = printf("x");'
expect src/base/a.c style 'abort: the library never' <<<'int f = abort();'
expect cli/a.c style 'atoi: cannot report' <<<'int f = atoi("1");'
expect src/base/a.h style 'size_t_t: POSIX' <<<'typedef int size_t_t;'
expect src/base/a.c style 'tab' <<<$'\tint x;'
expect src/base/a.c style 'space before' <<<'int x; '
expect src/base/a.c style 'no line break' < <(printf 'int x;')
expect src/base/a.c style '91 columns' < <(printf '/*%87s*/\n' x)
expect src/base/a.c style 'long_one has 103 lines' < <(
    printf 'void long_one(void)\n{\n'; printf '    x++;%.0s\n' {1..100}; printf '}\n')
expect src/base/a.c style 'lines, at most 1000' < <(printf 'int x;%.0s\n' {1..1001})

expect src/base/a.c layers 'base may not include io/json.h' <<<'#include "io/json.h"'
expect src/io/a.c layers 'io may not include tensor/ops.h' <<<'#include "tensor/ops.h"'
expect src/models/a.c layers 'models may not include base/pool.h' <<<'#include "base/pool.h"'
expect src/models/a.c layers 'models may not include io/file.h' <<<'#include "io/file.h"'
expect src/models/a.c layers '<pthread.h> is the business' <<<'#include <pthread.h>'
expect src/base/a.c layers 'no such header' <<<'#include "base/none.h"'
expect cli/a.c layers 'only ocelli.h' <<<'#include "base/pool.h"'
mkdir src/other
expect src/other/a.c layers 'no place among the layers' <<<'int x;'
clean style
clean layers
echo "every fault was seen"
