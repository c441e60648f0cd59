#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/size.h"

/* Bytes of a tensor of that shape; false, with the error set,
 * if they cannot be counted. */
static bool shape_bytes(oc_context *cx, oc_dtype dtype, int rank, const int64_t *shape,
                        size_t *bytes)
{
    *bytes = oci_dtype_size(dtype);
    bool good = rank >= 0 && rank <= OCI_MAX_RANK;
    for (int i = 0; good && i < rank; i++)
        good = shape[i] >= 0 && oci_mul(*bytes, (size_t)shape[i], bytes);
    if (!good)
        oci_fail(cx, OC_E_LIMIT, "a tensor of rank %d does not fit into memory", rank);
    return good;
}

oci_tensor *oci_tensor_create(oc_context *cx, oc_dtype dtype, int rank,
                              const int64_t *shape)
{
    size_t bytes;
    if (oci_failed(cx) || !shape_bytes(cx, dtype, rank, shape, &bytes)) return NULL;
    oci_tensor *x = oci_arena_alloc(cx, &cx->arena, sizeof *x);
    void *data = oci_arena_alloc(cx, &cx->arena, bytes);
    if (!x || !data) return NULL;
    *x = (oci_tensor){ .dtype = dtype, .rank = rank, .data = data };
    if (rank) memcpy(x->shape, shape, (size_t)rank * sizeof *shape);
    return x;
}

oci_tensor *oci_tensor_view(oc_context *cx, const oci_tensor *x, int rank,
                            const int64_t *shape, int64_t offset)
{
    if (!x || oci_failed(cx)) return NULL;
    oci_tensor *y = oci_arena_alloc(cx, &cx->arena, sizeof *y);
    if (!y) return NULL;
    *y = (oci_tensor){ .dtype = x->dtype,
                       .rank = rank,
                       .data = (char *)x->data +
                               (size_t)offset * oci_dtype_size(x->dtype) };
    memcpy(y->shape, shape, (size_t)rank * sizeof *shape);
    return y;
}

int64_t oci_tensor_count(const oci_tensor *x)
{
    int64_t n = 1;
    for (int i = 0; i < x->rank; i++) n *= x->shape[i];
    return n;
}

int64_t oci_tensor_width(const oci_tensor *x)
{
    return x->rank ? x->shape[x->rank - 1] : 1;
}

int64_t oci_tensor_rows(const oci_tensor *x)
{
    int64_t n = 1;
    for (int i = 0; i + 1 < x->rank; i++) n *= x->shape[i];
    return n;
}

bool oci_same_shape(const oci_tensor *a, const oci_tensor *b)
{
    return a->rank == b->rank &&
           !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape);
}

const char *oci_shape_text(const oci_tensor *x, char text[128])
{
    int n = snprintf(text, 128, "[");
    for (int i = 0; i < x->rank && n < 128; i++)
        n += snprintf(text + n, (size_t)(128 - n), "%s%lld", i ? ", " : "",
                      (long long)x->shape[i]);
    if (n < 128) snprintf(text + n, (size_t)(128 - n), "]");
    return text;
}

float *oci_tensor_grad(oc_context *cx, oci_tensor *x)
{
    if (x->grad || oci_failed(cx)) return x->grad;
    size_t bytes = (size_t)oci_tensor_count(x) * sizeof(float);
    x->grad = x->buffer ? oci_alloc(cx, bytes) : oci_arena_alloc(cx, &cx->arena, bytes);
    return x->grad ? memset(x->grad, 0, bytes) : NULL;
}

oci_tensor *oci_settle(oc_context *cx, oci_arena_mark mark, oci_tensor *x)
{
    if (!x || cx->tape || oci_failed(cx)) return x;
    oci_tensor copy = *x;       /* x itself may lie where the new one goes */
    oci_arena_reset(&cx->arena, mark);
    oci_tensor *y = oci_arena_alloc(cx, &cx->arena, sizeof *y);
    size_t bytes = (size_t)oci_tensor_count(&copy) * oci_dtype_size(copy.dtype);
    void *data = oci_arena_alloc(cx, &cx->arena, bytes);
    if (!y || !data) return NULL;
    /* Data first: the head's new place may be inside the old data,
     * never the other way. */
    memmove(data, copy.data, bytes);
    *y = copy;
    y->data = data;
    return y;
}

const oci_backend *oci_backend_get(oc_context *cx)
{
    if (!cx->backend) cx->backend = oci_cpu_backend(cx->isa);
    return cx->backend;
}
