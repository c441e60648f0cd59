#include "nn/cache.h"

#include <math.h>
#include <string.h>

#include "base/size.h"

/* What one oci_kv takes, each part rounded up to lines of 64 bytes. */
typedef struct kv_size {
    size_t keys, values, scales;    /* scales: of either */
} kv_size;

static bool in_lines(size_t count, size_t each, size_t *bytes)
{
    enum { LINE = 64 };
    bool fits = oci_mul(count, each, bytes) && oci_add(*bytes, LINE - 1, bytes);
    *bytes -= *bytes % LINE;
    return fits;
}

/* Whole panels of P positions or columns; rounds kv->room up to them. */
static bool size_of(int64_t P, oci_kv *kv, kv_size *size)
{
    size_t each = (size_t)kv->rows, keys, values;
    size_t number = kv->dtype == OC_F32 ? 4 : kv->dtype == OC_BF16 ? 2 : 1;
    kv->room = oci_ceil_div(kv->room, P) * P;
    *size = (kv_size){ 0 };
    return oci_mul(each, (size_t)kv->heads, &each) &&
           oci_mul(each, (size_t)kv->room, &each) &&
           oci_mul(each, (size_t)kv->head_dim, &keys) &&
           oci_mul(each, (size_t)(oci_ceil_div(kv->head_dim, P) * P), &values) &&
           in_lines(keys, number, &size->keys) &&
           in_lines(values, number, &size->values) &&
           (kv->dtype != OC_INT8 || in_lines(each, sizeof(float), &size->scales));
}

/* Copies of `kv` for all layers; *total grows by what they take. */
static bool lay_out(int64_t P, oci_kv *layers, int64_t count, oci_kv kv, size_t *total)
{
    kv_size size;
    size_t each;
    if (!size_of(P, &kv, &size)) return false;
    bool good = oci_add(size.keys, size.values, &each) &&
                oci_add(each, size.scales, &each) && oci_add(each, size.scales, &each) &&
                oci_mul(each, (size_t)count, &each) && oci_add(*total, each, total);
    for (int64_t i = 0; good && i < count; i++) layers[i] = kv;
    return good;
}

static unsigned char *place(int64_t P, oci_kv *kv, int64_t layers, unsigned char *at)
{
    kv_size size;
    for (int64_t i = 0; i < layers; i++, at += size.scales) {
        (void)size_of(P, &kv[i], &size);        /* it fitted before */
        kv[i].keys = at;
        kv[i].values = at += size.keys;
        at += size.values;
        if (kv[i].dtype != OC_INT8) continue;
        kv[i].key_scales = (float *)(void *)at;
        kv[i].value_scales = (float *)(void *)(at += size.scales);
    }
    return at;
}

/* Addresses for all of it. Of a decoder's own past a panel of positions counts as held
 * when the first of it is written, the encoder's keys at once: there the whole is
 * written. */
static void make_memory(oc_context *cx, oci_cache *cache, oci_kv self, oci_kv cross)
{
    int64_t P = oci_backend_get(cx)->panel, layers = cache->layers;
    size_t own = 0, total;
    bool good = lay_out(P, cache->self, layers, self, &own);
    total = own;
    if (!good || !lay_out(P, cache->cross, layers, cross, &total)) {
        oci_fail(cx, OC_E_MEMORY, "a cache of %lld positions", (long long)self.room);
        return;
    }
    cache->memory = oci_reserve_create(cx, total);
    if (!cache->memory) return;
    int64_t room = layers > 0 ? oci_max(1, cache->self[0].room) : 1;
    cache->position_bytes = own / (uint64_t)room;
    cache->cross_bytes = total - own;
    place(P, cache->cross, layers, place(P, cache->self, layers, cache->memory->data));
    oci_reserve_use(cx, cache->memory, cache->cross_bytes);
}

oci_cache *oci_cache_create(oc_context *cx, oci_cache_spec spec)
{
    oci_cache *cache = oci_calloc(cx, 1, sizeof *cache);
    if (!cache) return NULL;
    *cache = (oci_cache){ .layers = spec.layers, .rows_room = spec.rows };
    cache->self = oci_calloc(cx, (size_t)spec.layers * 2, sizeof *cache->self);
    cache->rows = oci_calloc(cx, (size_t)spec.rows, sizeof *cache->rows);
    cache->cross_rows = oci_calloc(cx, (size_t)spec.rows, sizeof *cache->cross_rows);
    int64_t sources = spec.sources ? spec.sources : spec.rows;
    if (!oci_failed(cx)) {
        cache->cross = cache->self + spec.layers;
        oci_kv self = { .rows = spec.rows, .heads = spec.heads, .head_dim = spec.head_dim,
                        .room = spec.length, .dtype = spec.dtype };
        oci_kv cross = self;
        cross.rows = sources;
        cross.room = spec.cross_length;
        make_memory(cx, cache, self, cross);
    }
    if (oci_failed(cx)) {
        oci_cache_free(cache);
        return NULL;
    }
    for (int64_t i = 0; i < spec.rows; i++) {
        cache->rows[i] = i;
        cache->cross_rows[i] = i / (spec.rows / sources);
    }
    return cache;
}

void oci_cache_free(oci_cache *cache)
{
    if (!cache) return;
    oci_reserve_free(cache->memory);
    oci_free(cache->self);
    oci_free(cache->rows);
    oci_free(cache->cross_rows);
    oci_free(cache);
}

bool oci_cache_use(oc_context *cx, oci_cache *cache, int64_t length)
{
    if (length <= cache->used) return true;
    int64_t P = oci_backend_get(cx)->panel,
            room = cache->layers > 0 ? cache->self[0].room : 0;
    if (length > room) {
        oci_fail(cx, OC_E_LIMIT,
                 "a cache with room for %lld positions: expected no more, found %lld",
                 (long long)room, (long long)length);
        return false;
    }
    int64_t used = oci_ceil_div(length, P) * P;
    uint64_t bytes = (uint64_t)used * cache->position_bytes + cache->cross_bytes;
    if (!oci_reserve_use(cx, cache->memory, bytes)) return false;
    cache->used = used;
    return true;
}

void oci_cache_advance(oci_cache *cache, int64_t T, int64_t N)
{
    if (!cache) return;
    for (int64_t b = 0; b < cache->member_count; b++)
        oci_cache_advance(cache->members[b], T, N);
    cache->length += T;
    if (N > 0) cache->cross_length = N;
}

oci_cache oci_cache_join(oci_cache *const *members, int64_t count)
{
    oci_cache all = { .members = members, .member_count = count };
    for (int64_t b = 0; b < count; b++)
        all.length = oci_max(all.length, members[b]->length);
    return all;
}

/* Transformers keeps heads outside positions; our kernels keep them inside, as
 * projections come. */
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
    const oci_backend *be = oci_backend_get(cx);
    int64_t H = kv->heads, d = kv->head_dim;
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, H, length, d));
    if (!y) return NULL;
    float *to = oci_f32(y);
    for (int64_t i = 0; i < B * H * length; i++, to += d)
        be->kv_read(kv, i / length / H, i / length % H, i % length,
                    which == 0 ? to : NULL, which == 0 ? NULL : to);
    return y;
}

bool oci_kv_key_is_zero(oc_context *cx, const oci_kv *kv, int64_t row, int64_t head,
                        int64_t position)
{
    oci_arena_mark mark = oci_mark(cx);
    const oci_tensor *key = oci_tensor_create(cx, OC_F32, OCI_SHAPE(kv->head_dim));
    float sum = 0;
    if (key) {
        oci_backend_get(cx)->kv_read(kv, row, head, position, oci_f32(key), NULL);
        for (int64_t d = 0; d < kv->head_dim; d++)
            sum += kv->dtype == OC_F32 ? oci_f32(key)[d] : fabsf(oci_f32(key)[d]);
    }
    oci_arena_reset(&cx->arena, mark);
    return key && sum == 0;
}

oc_status oci_kv_import(oc_context *cx, const oci_kv *kv, const oci_tensor *keys,
                        const oci_tensor *values)
{
    const oci_tensor *k = oci_merge_heads(cx, keys), *v = oci_merge_heads(cx, values);
    if (k && v)
        oci_backend_get(cx)->kv_append(cx, kv, NULL, k->shape[0], k->shape[1], 0,
                                       oci_f32(k), oci_f32(v), k->shape[2]);
    return cx->status;
}
