#include "nn/param.h"

#include <string.h>

#include "backend/backend.h"

/* NaN is no fault of the format, and Transformers loads it without a word; a user wants
 * to know. On the bits, so that no instruction set has its own opinion: without its sign,
 * a NaN is larger than infinity, and what is missing from infinity to all ones carries
 * into the place of the sign. Words of 64 bits hold two or four such sums, none of which
 * reaches its neighbour. */
static bool words_nan(const unsigned char *data, size_t bytes, uint64_t sign,
                      uint64_t infinity)
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

/* ---- the form in memory ------------------------------------------------------------ */

static bool is_product(const oci_param *p)
{
    return p->kind == OCI_PARAM_PRODUCT || p->kind == OCI_PARAM_TURNED;
}

bool oci_param_takes_blocks(const oci_param *p)
{
    return is_product(p) && p->rank == 2 &&
           p->shape[p->kind == OCI_PARAM_PRODUCT] >= OCI_PARAM_BLOCK;
}

oc_dtype oci_param_dtype(const oci_param *p, oc_dtype stored, oc_dtype wanted)
{
    if (!wanted || (oci_dtype_is_blocks(wanted) && !oci_param_takes_blocks(p)))
        return stored;
    return wanted;
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

size_t oci_param_bytes(oc_context *cx, const oci_param *p, oc_dtype as, bool trainable)
{
    oci_tensor t;
    size_t count = (size_t)oci_param_count(p);
    set_shape(p, &t);
    if (trainable || p->kind == OCI_PARAM_VALUE) return count * sizeof(float);
    if (as == OC_F64) as = OC_F32;
    if (!is_product(p)) return count * oci_dtype_size(as);
    return oci_backend_get(cx)->packed_bytes(as, t.shape[0], t.shape[1]);
}

/* ---- filling ----------------------------------------------------------------------- */

/* Doubles are f32 in memory, of whatever use. */
static oc_dtype memory_dtype(const oci_param_filling *f)
{
    if (f->plain || f->as == OC_F64) return OC_F32;
    return f->as;
}

bool oci_param_begin(oc_context *cx, oci_param_filling *f, const oci_param *p,
                     oc_dtype from, oc_dtype as, bool trainable)
{
    *f = (oci_param_filling){ .param = p, .from = from, .as = as };
    f->plain = trainable || p->kind == OCI_PARAM_VALUE;
    f->whole = p->kind == OCI_PARAM_TURNED;
    if (oci_failed(cx)) return false;
    oci_tensor *t = f->tensor = oci_calloc(cx, 1, sizeof *t);
    if (!t) return false;
    *t = (oci_tensor){ .dtype = memory_dtype(f), .requires_grad = trainable,
                       .stored = oci_dtype_is_blocks(as) ? from : as };
    set_shape(p, t);
    const size_t bytes = oci_param_bytes(cx, p, as, trainable);
    oci_buffer *memory = f->plain ? oci_buffer_create(cx, bytes)
                                  : oci_buffer_cut(cx, cx->slab, bytes);
    if (memory && is_product(p) && !f->plain) t->panels = memory;
    else if (memory) t->buffer = memory;
    if (t->buffer) t->data = t->buffer->data;
    return memory != NULL;
}

/* n numbers of `from`, rounded to `as` and then in the form `to`; where they lie, or in a
 * new block, which *room is then (oci_free). NULL: error set. */
static const void *rounded(oc_context *cx, oc_dtype from, oc_dtype as, oc_dtype to,
                           const void *data, size_t n, void **room)
{
    *room = NULL;
    if (from == as && as == to) return data;
    float *wide = oci_alloc(cx, n * sizeof *wide);
    if (!wide) return NULL;
    oci_dtype_to_f32(from, data, wide, n);
    *room = wide;
    if (as != OC_F32 && as != OC_F64 && as != from) {
        void *narrow = oci_alloc(cx, n * oci_dtype_size(as));
        if (!narrow) return NULL;
        oci_dtype_from_f32(as, wide, narrow, n);
        if (to == as) {
            oci_free(wide);
            return *room = narrow;
        }
        oci_dtype_to_f32(as, narrow, wide, n);
        oci_free(narrow);
    }
    return wide;
}

/* Rows of panels: pieces begin at multiples of every backend's panel. */
static void put_panels(oc_context *cx, oci_param_filling *f, int64_t first, int64_t rows,
                       const void *data)
{
    const oci_backend *be = oci_backend_get(cx);
    const oci_tensor *t = f->tensor;
    const bool blocks = oci_dtype_is_blocks(t->dtype), turned = f->whole;
    const int64_t N = turned ? t->shape[0] : rows, K = t->shape[1];
    void *room;
    oc_dtype form = !blocks ? t->dtype : f->from == OC_F64 ? OC_F32 : f->from;
    data = rounded(cx, f->from, blocks ? f->from : f->as, form, data, (size_t)(N * K),
                   &room);
    unsigned char *to = t->panels->data + be->packed_bytes(t->dtype, first, K);
    if (data && blocks)
        be->quantise(cx, t->dtype, form, N, K, data, turned ? 1 : K, turned ? N : 1, to);
    else if (data)
        be->pack(cx, form, N, K, data, turned ? 1 : K, turned ? N : 1, to);
    oci_free(room);
}

void oci_param_quantise(oc_context *cx, const oci_param *p, oc_dtype dtype, oc_dtype from,
                        const void *data, void *panels)
{
    oci_buffer to = { .data = panels };
    oci_tensor t = { .dtype = dtype, .panels = &to };
    oci_param_filling f = { .param = p, .from = from, .as = dtype, .tensor = &t,
                            .whole = p->kind == OCI_PARAM_TURNED };
    set_shape(p, &t);
    if (!oci_failed(cx)) put_panels(cx, &f, 0, t.shape[0], data);
}

bool oci_param_put(oc_context *cx, oci_param_filling *f, int64_t first, int64_t rows,
                   const void *data)
{
    oci_tensor *t = f->tensor;
    if (oci_failed(cx)) return false;
    if (t->panels) {
        put_panels(cx, f, first, rows, data);
        return !oci_failed(cx);
    }
    const int64_t all = f->param->rank ? f->param->shape[0] : 1;
    const size_t width = all ? (size_t)(oci_param_count(f->param) / all) : 0;
    const size_t n = (size_t)rows * width, size = oci_dtype_size(t->dtype);
    void *room;
    data = rounded(cx, f->from, f->as, t->dtype, data, n, &room);
    if (data && f->whole) oci_param_from_file(f->param, data, oci_f32(t));
    else if (data) memcpy((char *)t->data + (size_t)first * width * size, data, n * size);
    oci_free(room);
    return !oci_failed(cx);
}

/* The tensor as the model's; of a tied pair the second name's values are the last word,
 * in the place that others point at already. */
static void install(const oci_param *p, oci_tensor *t)
{
    oci_tensor *old = *p->slot;
    if (!old) {
        *p->slot = t;
        if (p->tied) *p->shared = t;
        return;
    }
    oci_buffer_unref(&old->buffer);
    oci_buffer_unref(&old->panels);
    float *grad = old->grad;
    *old = *t;
    old->grad = grad;
    oci_free(t);
}

bool oci_param_end(oc_context *cx, oci_param_filling *f)
{
    if (oci_failed(cx)) oci_param_free(f->tensor);
    else install(f->param, f->tensor);
    f->tensor = NULL;
    return !oci_failed(cx);
}

bool oci_param_set(oc_context *cx, const oci_param *p, oc_dtype dtype, const void *data,
                   bool trainable)
{
    oci_param_filling f;
    if (oci_param_begin(cx, &f, p, dtype, dtype, trainable))
        oci_param_put(cx, &f, 0, p->rank ? p->shape[0] : 1, data);
    return oci_param_end(cx, &f);
}

bool oci_param_adopt(oc_context *cx, const oci_param *p, oc_dtype dtype, oc_dtype stored,
                     oci_buffer *memory)
{
    oci_tensor *t = oci_failed(cx) ? NULL : oci_calloc(cx, 1, sizeof *t);
    if (!t) {
        oci_buffer_unref(&memory);
        return false;
    }
    *t = (oci_tensor){ .dtype = dtype, .stored = stored };
    set_shape(p, t);
    if (is_product(p)) {
        t->panels = memory;
    } else {
        t->buffer = memory;
        t->data = memory->data;
    }
    install(p, t);
    return true;
}

/* ---- reading back ------------------------------------------------------------------ */

void oci_param_widen(oc_context *cx, const oci_param *p, oc_dtype dtype,
                     const void *panels, int64_t first, int64_t rows, float *to)
{
    oci_tensor t;
    set_shape(p, &t);
    for (int64_t i = 0; i < rows; i++)
        oci_backend_get(cx)->unpack_row(dtype, t.shape[0], t.shape[1], panels, first + i,
                                        to + i * t.shape[1]);
}

float *oci_param_values(oc_context *cx, const oci_param *p)
{
    const oci_tensor *t = *p->slot;
    size_t n = (size_t)oci_tensor_count(t);
    float *memory = oci_alloc(cx, n * sizeof *memory), *file = memory;
    if (!memory) return NULL;
    if (t->data) oci_dtype_to_f32(t->dtype, t->data, memory, n);
    else oci_param_widen(cx, p, t->dtype, t->panels->data, 0, t->shape[0], memory);
    if (p->kind != OCI_PARAM_TURNED) return memory;
    file = oci_alloc(cx, n * sizeof *file);
    if (file) oci_param_to_file(p, memory, file);
    oci_free(memory);
    return file;
}
