#include "nn/cache.h"

#include <string.h>

#include "base/size.h"

/* Floats of one oci_kv's keys and values: whole panels of P positions or columns. */
static bool kv_floats(int64_t P, int64_t rows, int64_t heads, int64_t head_dim, int64_t *room,
                      size_t *keys, size_t *values)
{
    *room = oci_ceil_div(*room, P) * P;
    size_t each = (size_t)rows;
    return oci_mul(each, (size_t)heads, &each) && oci_mul(each, (size_t)*room, &each) &&
           oci_mul(each, (size_t)head_dim, keys) &&
           oci_mul(each, (size_t)(oci_ceil_div(head_dim, P) * P), values);
}

/* The layout of all layers, and the floats that it takes. */
static bool lay_out(int64_t P, oci_kv *kv, int64_t layers, oci_kv proto, size_t *total)
{
    size_t keys, values;
    if (!kv_floats(P, proto.rows, proto.heads, proto.head_dim, &proto.room, &keys, &values))
        return false;
    for (int64_t i = 0; i < layers; i++) {
        kv[i] = proto;
        if (!oci_add(*total, keys, total) || !oci_add(*total, values, total)) return false;
    }
    return true;
}

static float *place(int64_t P, oci_kv *kv, int64_t layers, float *at)
{
    for (int64_t i = 0; i < layers; i++) {
        int64_t each = kv[i].rows * kv[i].heads * kv[i].room;
        kv[i].keys = at;
        at += each * kv[i].head_dim;
        kv[i].values = at;
        at += each * oci_ceil_div(kv[i].head_dim, P) * P;
    }
    return at;
}

oci_cache *oci_cache_create(oc_context *cx, int64_t layers, int64_t rows, int64_t heads,
                            int64_t head_dim, int64_t length, int64_t cross_length)
{
    return oci_cache_create_shared(cx, layers, rows, heads, head_dim, length, rows,
                                   cross_length);
}

static oci_buffer *make_memory(oc_context *cx, oci_cache *cache, oci_kv self, oci_kv cross)
{
    int64_t P = oci_backend_get(cx)->panel, layers = cache->layers;
    size_t total = 0;
    bool good = lay_out(P, cache->self, layers, self, &total) &&
                lay_out(P, cache->cross, layers, cross, &total) &&
                oci_mul(total, sizeof(float), &total);
    if (!good) oci_fail(cx, OC_E_MEMORY, "a cache of %lld positions", (long long)self.room);
    oci_buffer *memory = good ? oci_buffer_create(cx, total) : NULL;
    if (!memory) return NULL;
    float *at = (float *)(void *)memory->data;
    memset(at, 0, total);       /* the kernels read whole panels, also past `length` */
    place(P, cache->cross, layers, place(P, cache->self, layers, at));
    return memory;
}

oci_cache *oci_cache_create_shared(oc_context *cx, int64_t layers, int64_t rows,
                                   int64_t heads, int64_t head_dim, int64_t length,
                                   int64_t sources, int64_t cross_length)
{
    oci_cache *cache = oci_calloc(cx, 1, sizeof *cache);
    if (!cache) return NULL;
    *cache = (oci_cache){ .layers = layers, .rows_room = rows };
    cache->self = oci_calloc(cx, (size_t)layers * 2, sizeof *cache->self);
    cache->rows = oci_calloc(cx, (size_t)rows, sizeof *cache->rows);
    cache->cross_rows = oci_calloc(cx, (size_t)rows, sizeof *cache->cross_rows);
    if (!oci_failed(cx)) {
        cache->cross = cache->self + layers;
        oci_kv proto = { .rows = rows, .heads = heads, .head_dim = head_dim, .room = length };
        oci_kv cross = proto;
        cross.rows = sources;
        cross.room = cross_length;
        cache->memory = make_memory(cx, cache, proto, cross);
    }
    if (!cache->memory) {
        oci_cache_free(cache);
        return NULL;
    }
    for (int64_t i = 0; i < rows; i++) {
        cache->rows[i] = i;
        cache->cross_rows[i] = i / (rows / sources);
    }
    return cache;
}

void oci_cache_free(oci_cache *cache)
{
    if (!cache) return;
    oci_buffer_unref(&cache->memory);
    oci_free(cache->self);
    oci_free(cache->rows);
    oci_free(cache->cross_rows);
    oci_free(cache);
}

void oci_cache_advance(oci_cache *cache, int64_t T, int64_t N)
{
    if (!cache) return;
    cache->length += T;
    if (N > 0) cache->cross_length = N;
}

/* Transformers keeps heads outside positions; our kernels keep them inside, as projections come. */
oci_tensor *oci_split_heads(oc_context *cx, const oci_tensor *x, int64_t heads)
{
    if (!x) return NULL;
    int64_t B = x->shape[0], T = x->shape[1], d = x->shape[2] / heads;
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, heads, T, d));
    if (!y) return NULL;
    for (int64_t i = 0; i < B * heads * T; i++) {
        int64_t b = i / (heads * T), h = i / T % heads, t = i % T;
        memcpy(oci_f32(y) + i * d, oci_f32(x) + ((b * T + t) * heads + h) * d,
               (size_t)d * sizeof(float));
    }
    return y;
}

oci_tensor *oci_merge_heads(oc_context *cx, const oci_tensor *x)
{
    if (!x) return NULL;
    int64_t B = x->shape[0], heads = x->shape[1], T = x->shape[2], d = x->shape[3];
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, T, heads * d));
    if (!y) return NULL;
    for (int64_t i = 0; i < B * heads * T; i++) {
        int64_t b = i / (heads * T), h = i / T % heads, t = i % T;
        memcpy(oci_f32(y) + ((b * T + t) * heads + h) * d, oci_f32(x) + i * d,
               (size_t)d * sizeof(float));
    }
    return y;
}

oci_tensor *oci_kv_export(oc_context *cx, const oci_kv *kv, int64_t B, int64_t length,
                          int which)
{
    int64_t P = oci_backend_get(cx)->panel, d = kv->head_dim, H = kv->heads;
    int64_t columns = oci_ceil_div(d, P);
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, H, length, d));
    if (!y) return NULL;
    float *to = oci_f32(y);
    for (int64_t r = 0; r < B * H; r++) {
        const float *keys = kv->keys + r * kv->room * d;
        const float *values = kv->values + r * kv->room * columns * P;
        for (int64_t t = 0; t < length; t++)
            for (int64_t c = 0; c < d; c++)
                *to++ = which == 0 ? keys[(t / P * d + c) * P + t % P]
                                   : values[(c / P * kv->room + t) * P + c % P];
    }
    return y;
}

float oci_kv_key_sum(oc_context *cx, const oci_kv *kv, int64_t row, int64_t head,
                     int64_t position)
{
    int64_t P = oci_backend_get(cx)->panel, d = kv->head_dim;
    const float *key = kv->keys + (row * kv->heads + head) * kv->room * d +
                       position / P * P * d + position % P;
    float sum = 0;
    for (int64_t c = 0; c < d; c++) sum += key[c * P];
    return sum;
}

oc_status oci_kv_import(oc_context *cx, const oci_kv *kv, const oci_tensor *keys,
                        const oci_tensor *values)
{
    const oci_tensor *k = oci_merge_heads(cx, keys), *v = oci_merge_heads(cx, values);
    if (k && v)
        oci_backend_get(cx)->kv_append(cx, kv, NULL, k->shape[0], k->shape[1], 0, oci_f32(k),
                                       oci_f32(v), k->shape[2]);
    return cx->status;
}
