#include "nn/walk.h"

#include <stdio.h>
#include <string.h>

/* w.path + text + tail, in the arena. */
static const char *join(oci_walk w, const char *text, const char *tail)
{
    oc_context *cx = w.walker->cx;
    size_t n = strlen(w.path) + strlen(text) + strlen(tail) + 1;
    char *path = oci_arena_alloc(cx, &cx->arena, n);
    if (!path) return "";
    snprintf(path, n, "%s%s%s", w.path, text, tail);
    return path;
}

oci_walk oci_walk_enter(oci_walk w, const char *format, ...)
{
    char step[OCI_MAX_NAME];
    va_list args;
    va_start(args, format);
    vsnprintf(step, sizeof step, format, args);
    va_end(args);
    w.path = join(w, step, ".");
    return w;
}

oci_walk oci_walk_optional(oci_walk w)
{
    w.optional = true;
    return w;
}

void oci_walk_param(oci_walk w, const char *name, oci_tensor **slot, oci_param_kind kind,
                    int rank, const int64_t *shape)
{
    oci_param param = { .name = join(w, name, ""), .slot = slot, .kind = kind, .rank = rank,
                        .optional = w.optional };
    memcpy(param.shape, shape, (size_t)rank * sizeof *shape);
    w.walker->visit(w.walker, &param);
}

void oci_walk_tied(oci_walk w, const char *name, oci_tensor **slot, oci_tensor *const *shared,
                   int64_t N, int64_t K)
{
    *slot = *shared;
    oci_param param = { .name = join(w, name, ""), .slot = slot, .kind = OCI_PARAM_PRODUCT,
                        .rank = 2, .shape = { N, K }, .optional = true, .tied = true };
    w.walker->visit(w.walker, &param);
}
