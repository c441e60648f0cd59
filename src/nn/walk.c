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

oci_walk oci_walk_init(oci_walk w, oci_init_kind kind, double value)
{
    w.init = (oci_init){ .kind = kind, .value = value };
    return w;
}

oci_walk oci_walk_padding(oci_walk w, int64_t row)
{
    w.init.zero_row = row >= 0;
    w.init.row = row;
    return w;
}

void oci_walk_param(oci_walk w, const char *name, oci_tensor **slot, oci_param_kind kind,
                    int rank, const int64_t *shape)
{
    oci_param param = { .name = join(w, name, ""), .slot = slot, .kind = kind,
                        .rank = rank, .optional = w.optional, .init = w.init };
    memcpy(param.shape, shape, (size_t)rank * sizeof *shape);
    w.walker->visit(w.walker, &param);
}

void oci_walk_tied(oci_walk w, const char *name, oci_tensor **slot, oci_tensor **shared,
                   oci_param_kind kind, int rank, const int64_t *shape)
{
    *slot = *shared;
    oci_param param = { .name = join(w, name, ""), .slot = slot, .kind = kind,
                        .rank = rank, .optional = w.optional, .tied = true,
                        .shared = shared };
    memcpy(param.shape, shape, (size_t)rank * sizeof *shape);
    w.walker->visit(w.walker, &param);
}

/* `to` [columns, rows] = `from` [rows, columns], turned. */
static void turn(const float *from, int64_t rows, int64_t columns, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
}

static size_t param_bytes(const oci_param *p)
{
    size_t n = sizeof(float);
    for (int i = 0; i < p->rank; i++) n *= (size_t)p->shape[i];
    return n;
}

void oci_param_to_file(const oci_param *p, const float *memory, float *file)
{
    if (p->kind == OCI_PARAM_TURNED) turn(memory, p->shape[1], p->shape[0], file);
    else memcpy(file, memory, param_bytes(p));
}

void oci_param_from_file(const oci_param *p, const float *file, float *memory)
{
    if (p->kind == OCI_PARAM_TURNED) turn(file, p->shape[0], p->shape[1], memory);
    else memcpy(memory, file, param_bytes(p));
}
