/* The stack of layers that all text models share, and what surrounds it. */
#include "models/text.h"

#include <math.h>
#include <stdio.h>

/* ---- embeddings and positions ---- */

oci_tensor *oci_text_embed(oc_context *cx, oci_tensor *table, const oci_decode_call *call,
                           int64_t padding_idx)
{
    if (call->inputs_embeds) return call->inputs_embeds;
    return oci_op_embedding(cx, table, call->input_ids, padding_idx);
}

/* Length of text `i` of a call, whose rows have T tokens. */
static int64_t text_length(const oci_decode_call *call, int64_t i, int64_t T)
{
    return call->segments ? call->segments->lengths[i] : T;
}

/* Packed texts lie one behind the other in a single row: `first` is where each begins. */
oci_tensor *oci_text_tokens(oc_context *cx, const oci_decode_call *call, oci_tensor *x,
                            const int64_t *at)
{
    if (!x) return NULL;
    int64_t B = x->shape[0], T = x->shape[1], D = x->shape[2], first = 0;
    if (call->segments) B = call->segments->count;
    oci_tensor *rows = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, B));
    for (int64_t i = 0; rows && i < B; i++) {
        oci_i64(rows)[i] = first + (at ? at[i] : 0);
        first += text_length(call, i, T);
    }
    x = oci_op_reshape(cx, x, OCI_SHAPE(x->shape[0] * T, D));
    return oci_op_reshape(cx, oci_op_embedding(cx, x, rows, -1), OCI_SHAPE(B, D));
}

/* Each packed text counts from the past on, like a row of its own. */
oci_tensor *oci_text_positions(oc_context *cx, oci_tensor *table,
                               const oci_decode_call *call, int64_t T, int64_t offset)
{
    int64_t past = oci_text_past(call);
    if (call->position_ids) return oci_op_embedding(cx, table, call->position_ids, -1);
    oci_tensor *rows = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, T));
    if (!rows || !table) return NULL;
    for (int64_t i = 0, t = 0; t < T && !oci_failed(cx); i++) {
        int64_t n = text_length(call, i, T);
        if (past + n + offset > table->shape[0])
            oci_fail(cx, OC_E_MALFORMED,
                     "positions: expected at most max_position_embeddings "
                     "%lld, found %lld",
                     (long long)(table->shape[0] - offset), (long long)(past + n));
        for (int64_t p = 0; p < n; p++) oci_i64(rows)[t++] = past + p + offset;
    }
    return oci_op_embedding(cx, table, rows, -1);                       /* [1, T, D] */
}

oci_tensor *oci_text_padded_rows(oc_context *cx, const oci_decode_call *call, int64_t T,
                                 int64_t pad)
{
    const oci_tensor *ids = call->input_ids;
    int64_t B = ids ? ids->shape[0] : 1;
    oci_tensor *rows = oci_tensor_create(cx, OC_I64, OCI_SHAPE(B, T));
    for (int64_t i = 0, at = 0; rows && at < B * T; i++) {
        /* The count goes on behind the cache's length, pads in
         * it included, as in 4.37.2. */
        int64_t n = !ids ? 0 : call->counted ? call->counted[i] : oci_text_past(call);
        for (int64_t end = at + text_length(call, i, T); at < end; at++) {
            bool counts = !ids || oci_i64(ids)[at] != pad;
            n += counts;
            oci_i64(rows)[at] = counts ? n + pad : pad;
        }
    }
    return rows;
}

/* ---- layers ---- */

static oci_tensor *norm_before(oc_context *cx, const oci_text_stack *s,
                               const oci_norm_layer *norm, oci_tensor *x)
{
    return s->pre_norm ? oci_layer_norm(cx, norm, x) : x;
}

static oci_tensor *norm_after(oc_context *cx, const oci_text_stack *s,
                              const oci_norm_layer *norm, oci_tensor *x)
{
    return s->pre_norm ? x : oci_layer_norm(cx, norm, x);
}

static oci_tensor *layer(oc_context *cx, const oci_text_stack *s, int64_t i,
                         oci_tensor *x, const oci_decode_call *call)
{
    const oci_text_layer *l = &s->layers[i];
    oci_tensor *weights = NULL, *cross_weights = NULL, *kv[4] = { NULL };
    bool tap = oci_wants_attentions(cx);
    oci_tensor *h = norm_before(cx, s, &l->self_norm, x);
    x = oci_attention(cx, &l->self, h, .causal = !s->mask && !s->bidirectional,
                      .mask = s->mask, .residual = x, .cache = call->cache, .layer = i,
                      .segments = call->segments,
                      .head_mask = oci_head_mask_of(cx, call->head_mask, i, s->count,
                                                    l->self.heads),
                      .weights = tap ? &weights : NULL, .keys = &kv[0], .values = &kv[1]);
    x = norm_after(cx, s, &l->self_norm, x);                            /* [B, T, D] */
    /* Without encoder states 4.37.2 leaves the whole block out, its norm too. */
    if (call->encoder_hidden_states) {
        h = norm_before(cx, s, &l->cross_norm, x);
        x = oci_attention(cx, &l->cross, h, .source = call->encoder_hidden_states,
                          .mask = s->cross_mask, .residual = x, .cache = call->cache,
                          .layer = i, .weights = tap ? &cross_weights : NULL,
                          .head_mask = oci_head_mask_of(cx, call->cross_attn_head_mask, i,
                                                        s->count, s->heads),
                          .keys = &kv[2], .values = &kv[3]);
        x = norm_after(cx, s, &l->cross_norm, x);
    }
    h = norm_before(cx, s, &l->mlp_norm, x);
    h = oci_linear(cx, &l->fc1, h, .act = s->act);                      /* [B, T, F] */
    x = norm_after(cx, s, &l->mlp_norm, oci_linear(cx, &l->fc2, h, .residual = x));
    oci_output_at(cx, "attentions", i, weights);
    oci_output_cross(cx, "cross_attentions", i, cross_weights);
    if (!s->bidirectional)
        oci_output_layer_past(cx, call, i, l, s->cross_past, kv);
    return x;                                                           /* [B, T, D] */
}

oci_tensor *oci_text_stack_run(oc_context *cx, const oci_text_stack *s,
                               oci_arena_mark mark, oci_tensor *x,
                               const oci_decode_call *call)
{
    if (!x || oci_failed(cx)) return NULL;
    int64_t T = x->shape[1];
    const oci_tensor *states = call->encoder_hidden_states;
    if (!s->mask && !s->cross_mask) x = oci_settle(cx, mark, x);
    else mark = oci_mark(cx);           /* the masks stay for all layers */
    for (int64_t i = 0; i < s->count && !oci_cancelled(cx); i++) {
        if (oci_wants_hidden_states(cx)) oci_output_at(cx, "hidden_states", i, x);
        if (s->keep && s->keep[i]) {
            s->kept[i] = x;
            mark = oci_mark(cx);        /* what comes settles above it */
        }
        x = oci_settle(cx, mark, layer(cx, s, i, x, call));
    }
    if (s->keep && s->keep[s->count]) s->kept[s->count] = x;
    /* Of hidden_states the last one alone has seen this norm (GPT-2, mBART, CLIP's
     * text). */
    if (s->last_norm) x = oci_layer_norm(cx, s->last_norm, x);
    if (oci_wants_hidden_states(cx)) oci_output_at(cx, "hidden_states", s->count, x);
    oci_cache_advance(call->cache, T, states ? states->shape[1] : 0);
    return x;                                                           /* [B, T, D] */
}

/* ---- names ---- */

void oci_text_tokens_walk(oci_walk w, oci_tensor **table, bool tied, int64_t V, int64_t D)
{
    if (tied) w = oci_walk_optional(w);
    oci_walk_param(w, "weight", table, tied ? OCI_PARAM_PRODUCT : OCI_PARAM_TABLE,
                   OCI_SHAPE(V, D));
}

void oci_text_head_walk(oci_walk w, oci_linear_layer *head, oci_tensor **table, bool tied,
                        int64_t V, int64_t D)
{
    if (tied)
        oci_walk_tied(w, "weight", &head->weight, table, OCI_PARAM_PRODUCT,
                      OCI_SHAPE(V, D));
    else
        oci_walk_linear(w, head, V, D, false);
}

/* All four have biases, whatever the family; Dc is the width of what is attended to. */
static void bart_attention_walk(oci_walk w, oci_attention_layer *a, int64_t D,
                                int64_t source, int64_t heads)
{
    oci_walk_linear(oci_walk_enter(w, "k_proj"), &a->k, D, source, true);
    oci_walk_linear(oci_walk_enter(w, "v_proj"), &a->v, D, source, true);
    oci_walk_linear(oci_walk_enter(w, "q_proj"), &a->q, D, D, true);
    oci_walk_linear(oci_walk_enter(w, "out_proj"), &a->out, D, D, true);
    a->heads = heads;
    a->scale = 1.0f / sqrtf((float)(D / heads));
}

/* 1e-5 is nn.LayerNorm's default: configs of BART's family have no eps. */
void oci_bart_layer_walk(oci_walk w, oci_text_layer *l, int64_t D, int64_t Dc, int64_t F,
                         int64_t heads)
{
    bart_attention_walk(oci_walk_enter(w, "self_attn"), &l->self, D, D, heads);
    oci_walk_norm(oci_walk_enter(w, "self_attn_layer_norm"), &l->self_norm, D, 1e-5);
    bart_attention_walk(oci_walk_enter(w, "encoder_attn"), &l->cross, D, Dc, heads);
    oci_walk_norm(oci_walk_enter(w, "encoder_attn_layer_norm"), &l->cross_norm, D, 1e-5);
    oci_walk_linear(oci_walk_enter(w, "fc1"), &l->fc1, F, D, true);
    oci_walk_linear(oci_walk_enter(w, "fc2"), &l->fc2, D, F, true);
    oci_walk_norm(oci_walk_enter(w, "final_layer_norm"), &l->mlp_norm, D, 1e-5);
}
