/* What all text models share around their layers: checks of the arguments, caches as
 * Transformers hands them in and out (past_key_values.LAYER.INDEX), and their classes. */
#include <stdio.h>
#include <string.h>

#include "models/text.h"

/* Of ids, or of embeddings where there are none (check() saw to it that one is there). */
static int64_t batch_of(const oci_decode_call *call)
{
    return call->input_ids ? call->input_ids->shape[0] : call->inputs_embeds->shape[0];
}

static int64_t length_of(const oci_decode_call *call)
{
    return call->input_ids ? call->input_ids->shape[1] : call->inputs_embeds->shape[1];
}

/* Part `part` (keys, values, those of the encoder's output) of a layer, out of the cache,
 * or else as the call made it: kv [B, N, D] or NULL. */
static void put_past(oc_context *cx, const oci_decode_call *call, int64_t layer, int part,
                     const oci_attention_layer *of, const oci_tensor *kv)
{
    const oci_cache *cache = call->cache;
    if (!cache) {
        if (kv)
            oci_output_past(cx, layer, part, oci_split_heads(cx, kv, oci_kv_heads(of)));
        return;
    }
    int64_t length = cache->length + length_of(call);
    if (part >= 2) {
        length = cache->cross_length;
        if (length == 0 && call->encoder_hidden_states)
            length = call->encoder_hidden_states->shape[1];
    }
    const oci_kv *from = part < 2 ? &cache->self[layer] : &cache->cross[layer];
    if (length > 0)
        oci_output_past(cx, layer, part,
                        oci_kv_export(cx, from, batch_of(call), length, part % 2));
}

/* Copies for the caller; without a tape nothing of them stays in the arena. */
void oci_output_self_past(oc_context *cx, const oci_decode_call *call, int64_t layer,
                          const oci_attention_layer *of, oci_tensor *const kv[2])
{
    if (!oci_wants_cache(cx) || oci_failed(cx)) return;
    oci_arena_mark mark = oci_mark(cx);
    for (int part = 0; part < 2; part++) put_past(cx, call, layer, part, of, kv[part]);
    if (!cx->tape) oci_arena_reset(&cx->arena, mark);
}

void oci_output_layer_past(oc_context *cx, const oci_decode_call *call, int64_t layer,
                           const oci_text_layer *of, bool cross, oci_tensor *const kv[4])
{
    oci_output_self_past(cx, call, layer, &of->self, kv);
    if (!cross || !oci_wants_cache(cx) || oci_failed(cx)) return;
    oci_arena_mark mark = oci_mark(cx);
    for (int part = 2; part < 4; part++)
        put_past(cx, call, layer, part, &of->cross, kv[part]);
    if (!cx->tape) oci_arena_reset(&cx->arena, mark);
}

/* Where past_key_values come from, and what they must look like. */
typedef struct past_source {
    const oc_tensors *in;
    const oci_input_spec *specs;
    const oci_arch *arch;
    const void *model;
    oci_decoder_shape shape;
    int64_t B;
} past_source;

/* Pruning leaves layers with fewer heads of their own, but not
 * for the encoder's output. */
static int64_t heads_of(const past_source *p, int64_t layer, int part)
{
    const oci_attention_layer *a = NULL;
    if (part < 2 && p->arch->attention) a = p->arch->attention(p->model, layer);
    return a ? a->heads : p->shape.heads;
}

/* past_key_values.LAYER.INDEX, [B, H, positions, head_dim]; NULL (error set) if it is not
 * there or does not fit. `positions` 0: any number. */
static oci_tensor *past_part(oc_context *cx, const past_source *p, int64_t layer,
                             int part, int64_t positions)
{
    char name[64], found[128];
    snprintf(name, sizeof name, "past_key_values.%lld.%d", (long long)layer, part);
    oci_tensor *x = oci_input_required(cx, p->in, p->specs, name);
    if (!x) return NULL;
    const int64_t *d = x->shape;
    int64_t heads = heads_of(p, layer, part);
    if (d[0] == p->B && d[1] == heads && d[3] == p->shape.head_dim &&
        (positions == 0 || d[2] == positions)) return x;
    oci_fail(cx, OC_E_MALFORMED, "input %s: expected [%lld, %lld, %lld, %lld], found %s",
             name, (long long)p->B, (long long)heads,
             (long long)(positions ? positions : d[2]), (long long)p->shape.head_dim,
             oci_shape_text(x, found));
    return NULL;
}

/* A cache that holds what `in` brings; NULL (error set) if that is not whole. */
static oci_cache *import_past(oc_context *cx, const past_source *p,
                              const oci_decode_call *call)
{
    const oci_decoder_shape *s = &p->shape;
    oc_tensor_view view;
    /* The first layer's say how long the past is; the others must agree. */
    const oci_tensor *k = past_part(cx, p, 0, 0, 0);
    bool cross = s->cross_past && oc_tensors_find(p->in, "past_key_values.0.2", &view);
    const oci_tensor *c = cross ? past_part(cx, p, 0, 2, 0) : NULL;
    if (oci_failed(cx)) return NULL;
    int64_t length = k->shape[2], N = c ? c->shape[2] : 0;
    if (!cross && call->encoder_hidden_states) N = call->encoder_hidden_states->shape[1];
    oci_cache *cache = oci_cache_create(cx, (oci_cache_spec){
        .layers = s->layers, .rows = p->B, .heads = s->heads, .head_dim = s->head_dim,
        .length = length + length_of(call), .cross_length = N, .dtype = OC_F32 });
    if (cache) oci_cache_use(cx, cache, length);
    for (int64_t i = 0; i < s->layers && !oci_failed(cx); i++) {
        cache->self[i].heads = heads_of(p, i, 0);
        oci_kv_import(cx, &cache->self[i], past_part(cx, p, i, 0, length),
                      past_part(cx, p, i, 1, length));
        if (cross)
            oci_kv_import(cx, &cache->cross[i], past_part(cx, p, i, 2, N),
                          past_part(cx, p, i, 3, N));
    }
    if (cache) oci_cache_advance(cache, length, cross ? N : 0);
    return cache;
}

/* [1|B, T], T as of the ids. */
static void check_rows(oc_context *cx, const char *name, const oci_tensor *x,
                       const oci_tensor *ids)
{
    char found[128];
    if (!x || (x->shape[1] == ids->shape[1] && (x->shape[0] == 1 ||
                                                x->shape[0] == ids->shape[0]))) return;
    oci_fail(cx, OC_E_MALFORMED, "%s: expected [%lld, %lld], found %s", name,
             (long long)ids->shape[0], (long long)ids->shape[1],
             oci_shape_text(x, found));
}

/* Everything that the layers take for granted. With a mask it
 * must cover the past as well. */
static void check(oc_context *cx, const oci_arch *arch, const oci_decoder_shape *s,
                  const oci_decode_call *call, int64_t past)
{
    if (!call->input_ids == !call->inputs_embeds) {
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: expected either input_ids or inputs_embeds, found %s",
                 arch->model_type, call->input_ids ? "both" : "neither");
        return;
    }
    if (call->inputs_embeds && call->inputs_embeds->shape[2] != s->width)
        oci_fail(cx, OC_E_MALFORMED, "inputs_embeds: expected width %lld, found %lld",
                 (long long)s->width, (long long)call->inputs_embeds->shape[2]);
    const oci_tensor *ids = call->input_ids ? call->input_ids : call->inputs_embeds;
    const oci_tensor *states = call->encoder_hidden_states, *mask = call->attention_mask;
    int64_t width = s->cross_width ? s->cross_width : s->width;
    check_rows(cx, "token_type_ids", call->token_type_ids, ids);
    check_rows(cx, "position_ids", call->position_ids, ids);
    if (states && !s->cross_attention)
        oci_fail(cx, OC_E_ARGUMENT,
                 "encoder_hidden_states: expected a %s with cross-attention (is_decoder "
                 "and add_cross_attention in its config)",
                 arch->model_type);
    oci_inputs_agree(cx, "input_ids", ids, "encoder_hidden_states", states, 1);
    oci_inputs_agree(cx, "encoder_hidden_states", states, "encoder_attention_mask",
                     states ? call->encoder_attention_mask : NULL, 2);
    if (states && states->shape[2] != width)
        oci_fail(cx, OC_E_MALFORMED,
                 "encoder_hidden_states: expected width %lld, found %lld",
                 (long long)width, (long long)states->shape[2]);
    if (mask &&
        (mask->shape[0] != ids->shape[0] || mask->shape[1] != past + ids->shape[1]))
        oci_fail(cx, OC_E_MALFORMED,
                 "attention_mask: expected [%lld, %lld], found [%lld, %lld]",
                 (long long)ids->shape[0], (long long)(past + ids->shape[1]),
                 (long long)mask->shape[0], (long long)mask->shape[1]);
}

/* The whole model, or (`base`) what comes before its head. */
static oci_tensor *run_with_past(oc_context *cx, const oci_arch *arch, const void *model,
                                 const oc_tensors *in, const oci_input_spec *specs,
                                 oci_decode_call call, bool base)
{
    past_source p = { .in = in, .specs = specs, .arch = arch, .model = model,
               .shape = arch->decoder_shape(model) };
    oc_tensor_view view;
    bool given = oc_tensors_find(in, "past_key_values.0.0", &view);
    check(cx, arch, &p.shape, &call, given && view.rank == 4 ? view.shape[2] : 0);
    if (given && cx->tape)
        oci_fail(cx, OC_E_UNSUPPORTED, "past_key_values: no gradient through a cache");
    if (oci_failed(cx)) return NULL;
    p.B = batch_of(&call);
    if (given) call.cache = import_past(cx, &p, &call);
    oci_tensor *y = NULL;
    if (!oci_failed(cx))
        y = base ? arch->encode_text(cx, model, call, NULL)
                 : arch->decode(cx, model, call);
    oci_cache_free(call.cache);
    return y;
}

oci_tensor *oci_decode_with_past(oc_context *cx, const oci_arch *arch, const void *model,
                                 const oc_tensors *in, const oci_input_spec *specs,
                                 oci_decode_call call)
{
    return run_with_past(cx, arch, model, in, specs, call, false);
}

/* ---- classes ---- */

/* What the class does not take was refused before: those are NULL here. */
static oci_decode_call call_of(oc_context *cx, const oc_tensors *in,
                               const oci_input_spec *specs)
{
    return (oci_decode_call){
        .input_ids = oci_input(cx, in, specs, "input_ids"),
        .inputs_embeds = oci_input(cx, in, specs, "inputs_embeds"),
        .token_type_ids = oci_input(cx, in, specs, "token_type_ids"),
        .position_ids = oci_input(cx, in, specs, "position_ids"),
        .attention_mask = oci_input(cx, in, specs, "attention_mask"),
        .encoder_hidden_states = oci_input(cx, in, specs, "encoder_hidden_states"),
        .encoder_attention_mask = oci_input(cx, in, specs, "encoder_attention_mask"),
        .head_mask = oci_input(cx, in, specs, "head_mask"),
        .cross_attn_head_mask = oci_input(cx, in, specs, "cross_attn_head_mask") };
}

/* labels[:, 1:] */
static oci_tensor *next_labels(oc_context *cx, const oci_tensor *labels)
{
    int64_t B = labels->shape[0], T = labels->shape[1] - 1;
    oci_tensor *y = oci_tensor_create(cx, OC_I64, OCI_SHAPE(B, T));
    for (int64_t b = 0; y && b < B; b++)
        memcpy(oci_i64(y) + b * T, oci_i64(labels) + b * (T + 1) + 1,
               (size_t)T * sizeof(int64_t));
    return y;
}

oci_tensor *oci_causal_lm_forward(oc_context *cx, const oci_arch *arch, const void *model,
                                  const oc_tensors *in, oci_lm_loss kind)
{
    const oci_input_spec *specs = arch->decoder_inputs;
    oci_tensor *logits = oci_decode_with_past(cx, arch, model, in, specs,
                                              call_of(cx, in, specs));
    oci_tensor *labels = oci_input(cx, in, specs, "labels");
    oci_output(cx, "logits", logits);                                   /* [B, T, V] */
    if (!labels || !logits) return NULL;
    oci_inputs_agree(cx, "logits", logits, "labels", labels, 2);
    if (kind == OCI_LM_SHIFTED && !oci_failed(cx)) {
        logits = oci_op_slice(cx, logits, 0, logits->shape[1] - 1);    /* [B, T - 1, V] */
        labels = next_labels(cx, labels);
    }
    oci_tensor *loss = oci_op_cross_entropy(cx, logits, labels);
    oci_output_loss(cx, loss);
    return loss;
}

oci_tensor *oci_encode_text(oc_context *cx, const oci_arch *arch, const void *model,
                            oci_decode_call call, oci_tensor **pooled)
{
    oci_decoder_shape shape = arch->decoder_shape(model);
    if (pooled) *pooled = NULL;
    check(cx, arch, &shape, &call, 0);
    if (oci_failed(cx)) return NULL;
    oci_tensor *x = arch->encode_text(cx, model, call, pooled);
    oci_output(cx, "last_hidden_state", x);                             /* [B, T, D] */
    if (pooled) oci_output(cx, "pooler_output", *pooled);               /* [B, D] */
    return x;
}

oci_tensor *oci_text_model_forward(oc_context *cx, const oci_arch *arch,
                                   const void *model, const oc_tensors *in,
                                   const oci_input_spec *specs)
{
    oci_tensor *pooled;
    oci_encode_text(cx, arch, model, call_of(cx, in, specs), &pooled);
    return NULL;        /* base models have no loss */
}

oci_tensor *oci_decoder_model_forward(oc_context *cx, const oci_arch *arch,
                                      const void *model, const oc_tensors *in)
{
    const oci_input_spec *specs = arch->decoder_inputs;
    oci_tensor *x = run_with_past(cx, arch, model, in, specs, call_of(cx, in, specs),
                                  true);
    oci_output(cx, "last_hidden_state", x);                             /* [B, T, D] */
    return NULL;
}
