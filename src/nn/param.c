#include "nn/param.h"

#include <string.h>

#include "backend/backend.h"

/* NaN is no fault of the format, and Transformers loads it without a word; a user wants to
 * know. On the bits, so that no instruction set has its own opinion: without its sign, a NaN is
 * larger than infinity, and what is missing from infinity to all ones carries into the place of
 * the sign. Words of 64 bits hold two or four such sums, none of which reaches its neighbour. */
static bool words_nan(const unsigned char *data, size_t bytes, uint64_t sign, uint64_t infinity)
{
    uint64_t bad = 0, word = 0;
    size_t i = 0;
    for (; i + sizeof word <= bytes; i += sizeof word) {
        memcpy(&word, data + i, sizeof word);
        bad |= (word & ~sign) + (~sign - infinity);
    }
    word = 0;
    memcpy(&word, data + i, bytes - i);
    return ((bad | ((word & ~sign) + (~sign - infinity))) & sign) != 0;
}

bool oci_bits_nan(oc_dtype dtype, const void *data, size_t n)
{
    const uint64_t f32 = UINT64_C(0x0000000100000001), f16 = UINT64_C(0x0001000100010001);
    switch (dtype) {
    case OC_F32: return words_nan(data, 4 * n, f32 << 31, f32 * 0x7f800000);
    case OC_BF16: return words_nan(data, 2 * n, f16 << 15, f16 * 0x7f80);
    case OC_F16: return words_nan(data, 2 * n, f16 << 15, f16 * 0x7c00);
    default: return words_nan(data, 8 * n, UINT64_C(1) << 63, UINT64_C(0x7ff) << 52);
    }
}

int64_t oci_param_count(const oci_param *p)
{
    int64_t n = 1;
    for (int i = 0; i < p->rank; i++) n *= p->shape[i];
    return n;
}

void oci_param_free(oci_tensor *t)
{
    if (!t) return;
    oci_buffer_unref(&t->buffer);
    oci_buffer_unref(&t->panels);
    oci_free(t->grad);
    oci_free(t);
}

/* An f32 copy. */
static void fill_plain(oc_context *cx, oci_tensor *t, const oci_param *p,
                       const void *data)
{
    size_t n = (size_t)oci_tensor_count(t);
    bool turned = p->kind == OCI_PARAM_TURNED;
    t->dtype = OC_F32;
    t->buffer = oci_buffer_create(cx, n * sizeof(float));
    float *wide = turned && t->buffer ? oci_alloc(cx, n * sizeof *wide) : NULL;
    if (!t->buffer || (turned && !wide)) return;
    t->data = t->buffer->data;
    oci_dtype_to_f32(t->stored, data, turned ? wide : oci_f32(t), n);
    if (turned) oci_param_from_file(p, wide, oci_f32(t));
    oci_free(wide);
}

/* Panels in the file's dtype (f64 as f32). */
static void fill_panels(oc_context *cx, oci_tensor *t, const oci_param *p,
                        const void *data)
{
    const oci_backend *be = oci_backend_get(cx);
    int64_t N = t->shape[0], K = t->shape[1];
    bool turned = p->kind == OCI_PARAM_TURNED;
    float *wide = NULL;
    t->dtype = t->stored;
    if (t->stored == OC_F64) {
        t->dtype = OC_F32;
        wide = oci_alloc(cx, (size_t)(N * K) * sizeof *wide);
        if (!wide) return;
        oci_dtype_to_f32(OC_F64, data, wide, (size_t)(N * K));
    }
    t->panels = oci_buffer_cut(cx, cx->slab, be->packed_bytes(t->dtype, N, K));
    if (t->panels) be->pack(cx, t->dtype, N, K, wide ? wide : data, turned ? 1 : K,
                            turned ? N : 1, t->panels->data);
    oci_free(wide);
}

/* As it lies in the file: looking rows up widens only those that are asked for. */
static void fill_raw(oc_context *cx, oci_tensor *t, const void *data)
{
    size_t bytes = (size_t)oci_tensor_count(t) * oci_dtype_size(t->stored);
    t->dtype = t->stored;
    t->buffer = oci_buffer_cut(cx, cx->slab, bytes);
    if (!t->buffer) return;
    t->data = t->buffer->data;
    memcpy(t->data, data, bytes);
}

static void set_shape(const oci_param *p, oci_tensor *t)
{
    t->rank = p->rank;
    memcpy(t->shape, p->shape, sizeof p->shape);
    if (p->kind == OCI_PARAM_PRODUCT && p->rank > 2) { /* a convolution, as its product */
        t->rank = 2;
        t->shape[1] = oci_param_count(p) / p->shape[0];
    }
    if (p->kind == OCI_PARAM_TURNED) {
        t->shape[0] = p->shape[1];
        t->shape[1] = p->shape[0];
    }
}

bool oci_param_set(oc_context *cx, const oci_param *p, oc_dtype dtype, const void *data,
                   bool trainable)
{
    if (oci_failed(cx)) return false;
    oci_tensor *t = oci_calloc(cx, 1, sizeof *t), *old = *p->slot;
    if (!t) return false;
    *t = (oci_tensor){ .stored = dtype, .requires_grad = trainable };
    set_shape(p, t);
    bool product = p->kind == OCI_PARAM_PRODUCT || p->kind == OCI_PARAM_TURNED;
    if (trainable || p->kind == OCI_PARAM_VALUE) fill_plain(cx, t, p, data);
    else if (product) fill_panels(cx, t, p, data);
    else if (dtype == OC_F64) fill_plain(cx, t, p, data);
    else fill_raw(cx, t, data);
    if (oci_failed(cx)) {
        oci_param_free(t);
        return false;
    }
    if (old) { /* others may point at it: of a tied pair the second name's are the last word */
        oci_buffer_unref(&old->buffer);
        oci_buffer_unref(&old->panels);
        float *grad = old->grad;
        *old = *t;
        old->grad = grad;
        oci_free(t);
        return true;
    }
    *p->slot = t;
    if (p->tied) *p->shared = t;
    return true;
}

float *oci_param_values(oc_context *cx, const oci_param *p)
{
    const oci_tensor *t = *p->slot;
    size_t n = (size_t)oci_tensor_count(t);
    int64_t N = t->shape[0], K = t->rank > 1 ? t->shape[1] : 1;
    float *memory = oci_alloc(cx, n * sizeof *memory), *file = memory;
    if (!memory) return NULL;
    if (t->data) oci_dtype_to_f32(t->dtype, t->data, memory, n);
    else for (int64_t i = 0; i < N; i++)
            oci_backend_get(cx)->unpack_row(t->dtype, N, K, t->panels->data, i,
                                            memory + i * K);
    if (p->kind != OCI_PARAM_TURNED) return memory;
    file = oci_alloc(cx, n * sizeof *file);
    if (file) oci_param_to_file(p, memory, file);
    oci_free(memory);
    return file;
}
