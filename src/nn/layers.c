#include "nn/layers.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/size.h"

void oci_walk_bias(oci_walk w, oci_tensor **bias, int64_t N)
{
    bool own = w.init.kind == OCI_INIT_UNIFORM || w.init.kind == OCI_INIT_ABSENT;
    if (!own) w = oci_walk_init(w, OCI_INIT_FILL, 0);
    oci_walk_param(w, "bias", bias, OCI_PARAM_VALUE, OCI_SHAPE(N));
}

void oci_walk_linear(oci_walk w, oci_linear_layer *layer, int64_t N, int64_t K, bool bias)
{
    /* nn.Linear as torch makes it; most models then draw anew, and set the bias to 0. */
    if (w.init.kind == OCI_INIT_UNIFORM) w.init.value = 1 / sqrt((double)K);
    oci_walk_param(w, "weight", &layer->weight, OCI_PARAM_PRODUCT, OCI_SHAPE(N, K));
    if (bias) oci_walk_bias(w, &layer->bias, N);
}

void oci_walk_conv1d(oci_walk w, oci_linear_layer *layer, int64_t N, int64_t K)
{
    oci_walk_param(w, "weight", &layer->weight, OCI_PARAM_TURNED, OCI_SHAPE(K, N));
    oci_walk_bias(w, &layer->bias, N);
}

/* A convolution whose kernel is its stride is a product over patches: one row of weights
 * for each output channel, in the order of the patch's pixels. */
void oci_walk_conv(oci_walk w, oci_linear_layer *layer, int64_t out, int64_t in,
                   int64_t kernel_h, int64_t kernel_w)
{
    oci_walk_param(w, "weight", &layer->weight, OCI_PARAM_PRODUCT,
                   OCI_SHAPE(out, in, kernel_h, kernel_w));
    oci_walk_bias(w, &layer->bias, out);
}

/* On a tape each part is an op of its own, for its gradient; off it they ride on the
 * product. The same operations in the same order, so training and inference agree bit for
 * bit. */
oci_tensor *oci_linear_run(oc_context *cx, const oci_linear_layer *layer,
                           oci_linear_call call)
{
    if (!cx->tape)
        return oci_op_linear(cx, call.x, layer->weight, layer->bias, call.act,
                             call.residual);
    oci_tensor *y = oci_op_linear(cx, call.x, layer->weight, layer->bias, OCI_ACT_NONE,
                                  NULL);
    y = oci_op_act(cx, call.act, y);
    return call.residual ? oci_op_add(cx, y, call.residual) : y;
}

void oci_walk_norm(oci_walk w, oci_norm_layer *layer, int64_t width, double eps)
{
    oci_walk_param(oci_walk_init(w, OCI_INIT_FILL, 1), "weight", &layer->weight,
                   OCI_PARAM_VALUE, OCI_SHAPE(width));
    oci_walk_param(oci_walk_init(w, OCI_INIT_FILL, 0), "bias", &layer->bias,
                   OCI_PARAM_VALUE, OCI_SHAPE(width));
    layer->eps = (float)eps;
}

oci_tensor *oci_layer_norm(oc_context *cx, const oci_norm_layer *layer, oci_tensor *x)
{
    return oci_op_layer_norm(cx, x, layer->weight, layer->bias, layer->eps);
}

void oci_walk_rms_norm(oci_walk w, oci_norm_layer *layer, int64_t width, double eps)
{
    oci_walk_param(oci_walk_init(w, OCI_INIT_FILL, 1), "weight", &layer->weight,
                   OCI_PARAM_VALUE, OCI_SHAPE(width));
    layer->eps = (float)eps;
}

oci_tensor *oci_rms_norm(oc_context *cx, const oci_norm_layer *layer, oci_tensor *x)
{
    return oci_op_rms_norm(cx, x, layer->weight, layer->eps);
}

/* Columns `part` of `parts` of a fused product. */
static oci_tensor *part_of(oc_context *cx, oci_tensor *y, int64_t part, int64_t parts)
{
    if (!y) return NULL;
    int64_t D = oci_tensor_width(y) / parts;
    return oci_op_columns(cx, y, part * D, D);
}

/* q from x, and, if wanted, k and v from the source; each [B, T or N, D]. */
static void project(oc_context *cx, const oci_attention_layer *layer,
                    const oci_attention_call *call, bool keys, oci_tensor *qkv[3])
{
    oci_tensor *from = call->source ? call->source : call->x;
    bool all = layer->fused.weight && !call->source;       /* one product has all three */
    if (layer->fused.weight && (all || keys)) {
        oci_tensor *y = oci_linear(cx, &layer->fused, from);    /* [B, N, 2D or 3D] */
        for (int i = all ? 0 : 1; i < 3; i++) qkv[i] = part_of(cx, y, i - !all, 2 + all);
    } else if (keys) {
        qkv[1] = oci_linear(cx, &layer->k, from);
        qkv[2] = oci_linear(cx, &layer->v, from);
    }
    if (!all) qkv[0] = oci_linear(cx, &layer->q, call->x);
}

static bool fits_source(oc_context *cx, const oci_kv *kv, int64_t N)
{
    if (N <= kv->room) return true;
    oci_fail(cx, OC_E_LIMIT,
             "a cache with room for %lld outputs of an encoder: expected no more, found "
             "%lld",
             (long long)kv->room, (long long)N);
    return false;
}

/* A position more for each of several sessions; returns how many the longest has then. */
static int64_t remember_each(oc_context *cx, const oci_attention_call *call,
                             const oci_tensor *k, const oci_tensor *v)
{
    const oci_cache *all = call->cache;
    int64_t D = k->shape[2];
    for (int64_t b = 0; b < all->member_count; b++) {
        oci_cache *cache = all->members[b];
        const oci_kv *kv = &cache->self[call->layer];
        if (!oci_cache_use(cx, cache, cache->length + 1)) return 0;
        oci_backend_get(cx)->kv_append(cx, kv, NULL, 1, 1, cache->length,
                                       oci_f32(k) + b * D, oci_f32(v) + b * D, D);
    }
    return all->length + 1;
}

/* Keys and values go into the cache behind those that are there; returns how many there
 * are then. */
static int64_t remember(oc_context *cx, const oci_attention_call *call, int64_t heads,
                        const oci_tensor *k, const oci_tensor *v)
{
    bool self = !call->source;
    oci_cache *cache = call->cache;
    if (!k || !v) return self ? 0 : cache->cross_length;
    if (cache->members) return remember_each(cx, call, k, v);
    oci_kv *kv = self ? &cache->self[call->layer] : &cache->cross[call->layer];
    kv->heads = heads;      /* a pruned layer has fewer than there is room for */
    int64_t T = k->shape[1], at = self ? cache->length : 0;
    if (self ? !oci_cache_use(cx, cache, at + T) : !fits_source(cx, kv, T)) return 0;
    const int64_t *rows = self ? cache->rows : NULL;      /* sources are in their order */
    oci_backend_get(cx)->kv_append(cx, kv, rows, k->shape[0], T, at, oci_f32(k),
                                   oci_f32(v), k->shape[2]);
    return at + T;
}

/* What the queries of a call read: all that its rows have there. */
static oci_cached cached_part(const oci_attention_call *call, int64_t keys)
{
    const oci_cache *cache = call->cache;
    if (call->source)
        return (oci_cached){ .kv = &cache->cross[call->layer], .rows = cache->cross_rows,
                             .length = keys };
    return (oci_cached){ .kv = &cache->self[call->layer], .rows = cache->rows,
                         .length = keys, .origin = cache->origin,
                         .origin_row = cache->origin_row };
}

/* The same where each row has a cache of its own; the tables are in the arena. */
static oci_cached cached_parts(oc_context *cx, const oci_attention_call *call,
                               int64_t keys)
{
    const oci_cache *all = call->cache;
    size_t n = (size_t)all->member_count;
    const oci_kv **each = oci_arena_alloc(cx, &cx->arena, n * sizeof *each);
    int64_t *lengths = oci_arena_alloc(cx, &cx->arena, n * sizeof *lengths);
    for (size_t b = 0; each && lengths && b < n; b++) {
        each[b] = &all->members[b]->self[call->layer];
        lengths[b] = all->members[b]->length + 1;
    }
    if (!each || !lengths) return (oci_cached){ 0 };
    return (
        oci_cached){ .kv = each[0], .each = each, .lengths = lengths, .length = keys };
}

oci_tensor *oci_attention_run(oc_context *cx, const oci_attention_layer *layer,
                              oci_attention_call call)
{
    oci_tensor *qkv[3] = { NULL }, *y;                      /* each [B, T or N, D] */
    bool cached = call.cache && call.source && call.cache->cross_length > 0;
    project(cx, layer, &call, !cached, qkv);
    for (int i = 0; call.rope && i < 2; i++) qkv[i] = oci_op_rope(cx, qkv[i], call.rope);
    if (call.cache) {
        int64_t keys = oci_failed(cx) ? 0 : remember(cx, &call, oci_kv_heads(layer),
                                                        qkv[1], qkv[2]);
        oci_cached kept = call.cache->members ? cached_parts(cx, &call, keys)
                                              : cached_part(&call, keys);
        y = oci_op_attention_cached(cx, qkv[0], kept, call.mask, call.head_mask,
                                    layer->scale, call.causal, call.weights);
    } else if (call.segments) {
        y = oci_op_attention_packed(cx, qkv[0], qkv[1], qkv[2], call.segments,
                                    layer->heads, layer->scale, call.causal);
    } else {
        y = oci_op_attention(cx, qkv[0], qkv[1], qkv[2], call.mask, call.mask_rows,
                             call.head_mask, layer->heads, layer->scale, call.causal,
                             call.weights);
        if (call.keys) *call.keys = qkv[1];
        if (call.values) *call.values = qkv[2];
    }
    return oci_linear(cx, &layer->out, y, .residual = call.residual);
}

oci_tensor *oci_head_mask_of(oc_context *cx, oci_tensor *head_mask, int64_t layer,
                             int64_t layers, int64_t heads)
{
    if (!head_mask || oci_failed(cx)) return NULL;
    const int64_t *s = head_mask->shape;
    bool each = head_mask->rank == 2 && s[0] == layers && s[1] == heads;
    if (!each && !(head_mask->rank == 1 && s[0] == heads)) {
        char text[128];
        oci_fail(cx, OC_E_MALFORMED,
                 "head_mask: expected [%lld] or [%lld, %lld], found %s", (long long)heads,
                 (long long)layers, (long long)heads, oci_shape_text(head_mask, text));
        return NULL;
    }
    return oci_tensor_view(cx, head_mask, OCI_SHAPE(heads), each ? layer * heads : 0);
}

/* Most masks hide nothing; then the causal flag says all, and no [B, T, keys] is made. */
static bool all_seen(const oci_tensor *mask)
{
    for (int64_t i = 0; i < oci_tensor_count(mask); i++)
        if (oci_f32(mask)[i] != 1.0f) return false;
    return true;
}

oci_tensor *oci_causal_mask(oc_context *cx, const oci_tensor *attention_mask, int64_t T,
                            int64_t keys)
{
    if (!attention_mask || oci_failed(cx) || all_seen(attention_mask)) return NULL;
    int64_t B = attention_mask->shape[0];
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, 1, T, keys));
    if (!y) return NULL;
    for (int64_t i = 0; i < B * T * keys; i++) {
        int64_t b = i / (T * keys), t = i / keys % T, key = i % keys;
        bool seen = key <= t + keys - T &&
                    oci_f32(attention_mask)[b * keys + key] == 1.0f;
        oci_f32(y)[i] = seen ? 0.0f : -FLT_MAX;
    }
    return y;
}

oci_tensor *oci_causal_mask_fused(oc_context *cx, const oci_tensor *attention_mask,
                                  int64_t T, int64_t keys)
{
    oci_tensor *y = oci_causal_mask(cx, attention_mask, T, keys);
    for (int64_t b = 0; y && T > 1 && b < attention_mask->shape[0]; b++) {
        const float *m = oci_f32(attention_mask) + b * keys;
        int64_t first = 0;        /* argmax of mask (keys - j): odd masks count by size */
        for (int64_t j = 1; j < keys; j++)
            if (m[j] * (float)(keys - j) > m[first] * (float)(keys - first)) first = j;
        if (first > T) {
            oci_fail(cx, OC_E_ARGUMENT,
                     "attention_mask: row %lld: expected a 1 among the first %lld, as "
                     "many as there are queries, found it at %lld",
                     (long long)b, (long long)T + 1, (long long)first);
            return NULL;
        }
        memset(oci_f32(y) + b * T * keys, 0, (size_t)(first * keys) * sizeof(float));
    }
    return y;
}

oci_tensor *oci_padding_mask(oc_context *cx, const oci_tensor *attention_mask)
{
    if (!attention_mask || oci_failed(cx)) return NULL;
    int64_t B = attention_mask->shape[0], keys = attention_mask->shape[1];
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, 1, 1, keys));
    if (!y) return NULL;
    for (int64_t i = 0; i < B * keys; i++)
        oci_f32(y)[i] = oci_f32(attention_mask)[i] == 1.0f ? 0.0f : -FLT_MAX;
    return y;
}

oci_tensor *oci_extended_mask(oc_context *cx, const oci_tensor *attention_mask, int64_t T)
{
    if (!attention_mask || oci_failed(cx) || all_seen(attention_mask)) return NULL;
    int64_t B = attention_mask->shape[0], keys = attention_mask->shape[1],
            rows = oci_max(T, 1);
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, 1, rows, keys));
    if (!y) return NULL;
    /* TensorFlow's BERT, RoBERTa and GPT-2: only a row that is hidden whole can tell. */
    const float hidden = cx->framework == OC_TENSORFLOW ? -10000.0f : -FLT_MAX;
    for (int64_t i = 0; i < B * rows * keys; i++) {
        int64_t b = i / (rows * keys), t = i / keys % rows, key = i % keys;
        bool to_come = T > 0 && key > t + keys - T;
        float m = to_come ? 0.0f : oci_f32(attention_mask)[b * keys + key];
        oci_f32(y)[i] = (1.0f - m) * hidden;
    }
    return y;
}
