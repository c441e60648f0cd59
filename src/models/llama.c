/* Llama — Touvron et al. 2023, "LLaMA: Open and efficient foundation language models",
 * arXiv:2302.13971; grouped queries: Llama 2, arXiv:2307.09288. Transformers: LlamaModel,
 * LlamaForCausalLM.
 *
 *   input_ids [B,T] → embed_tokens [B,T,D]
 *     → L layers: RMSNorm → attention with rotary positions (+ x)
 *                 → RMSNorm → down(silu(gate) up) (+ x) [B,T,D]
 *     → norm [B,T,D] → lm_head [B,T,V]
 */
#include "models/llama.h"

#include <math.h>
#include <string.h>

static const oci_field fields[] = {
    OCI_INT(oci_llama_config, vocab_size, 32000, 1, 1 << 24),
    OCI_INT(oci_llama_config, hidden_size, 4096, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_llama_config, intermediate_size, 11008, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_llama_config, num_hidden_layers, 32, 0, OCI_MAX_LAYERS),
    OCI_INT(oci_llama_config, num_attention_heads, 32, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_llama_config, num_key_value_heads, 0, 1, OCI_MAX_WIDTH), /* 0: as many */
    OCI_ACT(oci_llama_config, hidden_act, OCI_ACT_SILU),
    OCI_INT(oci_llama_config, max_position_embeddings, 2048, 1, 1 << 24),
    OCI_REAL(oci_llama_config, initializer_range, 0.02, 0, 1e3),
    OCI_REAL(oci_llama_config, rms_norm_eps, 1e-6, 0, 1),
    /* Slices of products for several devices: the same sums. */
    OCI_INT(oci_llama_config, pretraining_tp, 1, 0, 1 << 20),
    OCI_BOOL(oci_llama_config, tie_word_embeddings, false),
    OCI_REAL(oci_llama_config, rope_theta, 10000, 1e-6, 1e12),
    OCI_BOOL(oci_llama_config, attention_bias, false),
    OCI_REAL(oci_llama_config, attention_dropout, 0, 0, 1),
    OCI_FIELDS_END
};

/* rope_scaling: null, or exactly {"type": "linear" or "dynamic", "factor":
 * a float above 1}. */
static void read_rope(oc_context *cx, const oci_config_source *from, oci_llama *m)
{
    static const char *const kinds[] = { NULL, "linear", "dynamic" };
    const json_t *scaling = json_object_get(from->object, "rope_scaling");
    const oci_llama_config *c = &m->cfg;
    m->rope = (oci_rope){ .theta = c->rope_theta,
                          .max_positions = c->max_position_embeddings,
                          .head_dim = c->hidden_size / c->num_attention_heads };
    if (m->rope.head_dim % 2)
        oci_config_fail(cx, from, "hidden_size", "expected heads of even size for rotary "
                        "positions, found %lld", (long long)m->rope.head_dim);
    if (!scaling || json_is_null(scaling)) return;
    const char *type = json_string_value(json_object_get(scaling, "type"));
    for (int i = OCI_ROPE_LINEAR; type && i <= OCI_ROPE_DYNAMIC; i++)
        if (!strcmp(type, kinds[i])) m->rope.kind = (oci_rope_kind)i;
    const json_t *factor = json_object_get(scaling, "factor");
    m->rope.factor = json_real_value(factor);
    if (json_object_size(scaling) != 2 || m->rope.kind == OCI_ROPE_PLAIN ||
        !json_is_real(factor) || !(m->rope.factor > 1) || !isfinite(m->rope.factor))
        oci_config_fail(cx, from, "rope_scaling",
                        "expected null or {\"type\": \"linear\" or \"dynamic\", "
                        "\"factor\": a float above 1}, found something else");
    else if (m->rope.kind == OCI_ROPE_DYNAMIC && m->rope.head_dim == 2)
        oci_config_fail(cx, from, "rope_scaling", "expected heads of more than 2 for "
                        "\"dynamic\"");
}

/* The row that is padding_idx of the embeddings; as in torch
 * it may count from the end. */
static int64_t read_padding(oc_context *cx, const oci_config_source *from, int64_t V)
{
    const json_t *value = json_object_get(from->object, "pad_token_id");
    if (!value || json_is_null(value)) return -1;
    int64_t pad = json_integer_value(value);
    if (!json_is_integer(value) || pad < -V || pad >= V)
        oci_config_fail(cx, from, "pad_token_id",
                        "expected null or an id below vocab_size %lld", (long long)V);
    return pad < 0 ? pad + V : pad;
}

static void llama_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_llama *m = model;
    oci_llama_config *c = &m->cfg;
    if (!oci_config_read(cx, from, fields, c)) return;
    if (!c->num_key_value_heads) c->num_key_value_heads = c->num_attention_heads;
    oci_config_divides(cx, from, "num_attention_heads", c->num_attention_heads,
                       "hidden_size", c->hidden_size);
    oci_config_divides(cx, from, "num_key_value_heads", c->num_key_value_heads,
                       "num_attention_heads", c->num_attention_heads);
    if (oci_failed(cx)) return;
    m->padding_idx = read_padding(cx, from, c->vocab_size);
    read_rope(cx, from, m);
    m->has_head = oci_config_has_head(from, "LlamaModel");
    m->layers = oci_calloc(cx, (size_t)c->num_hidden_layers, sizeof *m->layers);
}

static void llama_close(void *model) { oci_free(((oci_llama *)model)->layers); }

/* ---- names ---- */

static void layer_walk(oci_walk w, oci_llama_layer *l, const oci_llama *m)
{
    const oci_llama_config *c = &m->cfg;
    int64_t D = c->hidden_size, F = c->intermediate_size, d = m->rope.head_dim;
    int64_t Dk = c->num_key_value_heads * d;
    bool bias = c->attention_bias;
    oci_walk a = oci_walk_enter(w, "self_attn"), mlp = oci_walk_enter(w, "mlp");
    oci_walk_linear(oci_walk_enter(a, "q_proj"), &l->self.q, D, D, bias);
    oci_walk_linear(oci_walk_enter(a, "k_proj"), &l->self.k, Dk, D, bias);
    oci_walk_linear(oci_walk_enter(a, "v_proj"), &l->self.v, Dk, D, bias);
    oci_walk_linear(oci_walk_enter(a, "o_proj"), &l->self.out, D, D, bias);
    oci_walk_linear(oci_walk_enter(mlp, "gate_proj"), &l->gate, F, D, false);
    oci_walk_linear(oci_walk_enter(mlp, "up_proj"), &l->up, F, D, false);
    oci_walk_linear(oci_walk_enter(mlp, "down_proj"), &l->down, D, F, false);
    oci_walk_rms_norm(oci_walk_enter(w, "input_layernorm"), &l->self_norm, D,
                      c->rms_norm_eps);
    oci_walk_rms_norm(oci_walk_enter(w, "post_attention_layernorm"), &l->mlp_norm, D,
                      c->rms_norm_eps);
    l->self.heads = c->num_attention_heads;
    l->self.kv_heads = c->num_key_value_heads;
    l->self.scale = 1.0f / sqrtf((float)d);
}

static void llama_walk(oci_walk w, void *model)
{
    oci_llama *m = model;
    const oci_llama_config *c = &m->cfg;
    int64_t D = c->hidden_size, V = c->vocab_size;
    w = oci_walk_init(w, OCI_INIT_NORMAL, c->initializer_range);
    oci_walk base = m->has_head ? oci_walk_enter(w, "model") : w;
    bool tied = m->has_head && c->tie_word_embeddings;
    oci_walk tokens = oci_walk_padding(oci_walk_enter(base, "embed_tokens"),
                                       m->padding_idx);
    oci_text_tokens_walk(tokens, &m->embed_tokens, tied, V, D);
    for (int64_t i = 0; i < c->num_hidden_layers; i++)
        layer_walk(oci_walk_enter(base, "layers.%lld", (long long)i), &m->layers[i], m);
    oci_walk_rms_norm(oci_walk_enter(base, "norm"), &m->norm, D, c->rms_norm_eps);
    if (m->has_head)
        oci_text_head_walk(oci_walk_enter(w, "lm_head"), &m->lm_head, &m->embed_tokens,
                           tied, V, D);
}

/* ---- forward ---- */

oci_tensor *oci_llama_embed(oc_context *cx, const oci_llama *m, oci_tensor *ids)
{
    return oci_op_embedding(cx, m->embed_tokens, ids, m->padding_idx);     /* [B, T, D] */
}

/* past, past + 1, … [1, T] */
static oci_tensor *positions_from(oc_context *cx, int64_t past, int64_t T)
{
    oci_tensor *p = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, T));
    for (int64_t t = 0; p && t < T; t++) oci_i64(p)[t] = past + t;
    return p;
}

/* What stays the same for all layers of a call. */
typedef struct llama_pass {
    const oci_decode_call *call;
    oci_tensor *rope;               /* [1|B, T, d] */
    oci_tensor *mask;               /* or NULL: causal says it all */
} llama_pass;

static oci_tensor *layer(oc_context *cx, const oci_llama *m, int64_t i,
                         const llama_pass *pass, oci_tensor *x)
{
    const oci_llama_layer *l = &m->layers[i];
    oci_tensor *weights = NULL, *kv[2] = { NULL };
    oci_tensor *h = oci_rms_norm(cx, &l->self_norm, x);
    x = oci_attention(cx, &l->self, h, .causal = !pass->mask, .mask = pass->mask,
                      .rope = pass->rope, .residual = x, .cache = pass->call->cache,
                      .layer = i, .weights = oci_wants_attentions(cx) ? &weights : NULL,
                      .keys = &kv[0],
                      .values = &kv[1]);                                /* [B, T, D] */
    h = oci_rms_norm(cx, &l->mlp_norm, x);
    oci_tensor *gate = oci_linear(cx, &l->gate, h), *up = oci_linear(cx, &l->up, h);
    h = oci_op_gated(cx, m->cfg.hidden_act, gate, up);                  /* [B, T, F] */
    x = oci_linear(cx, &l->down, h, .residual = x);                     /* [B, T, D] */
    oci_output_at(cx, "attentions", i, weights);
    oci_output_self_past(cx, pass->call, i, &l->self, kv);
    return x;
}

/* Before the final norm, which the last entry of hidden_states has behind it. */
static oci_tensor *run_layers(oc_context *cx, const oci_llama *m,
                              const oci_decode_call *call, oci_tensor *x)
{
    int64_t T = x->shape[1], past = oci_text_past(call), keys = past + T;
    oci_tensor *p = call->position_ids ? call->position_ids : positions_from(cx, past, T);
    llama_pass pass = { .call = call, .rope = oci_rope_table(cx, &m->rope, p, keys) };
    /* PyTorch's fused attention hands no weights out: where those are asked for, 4.37.2
     * takes the plain one, whose masks differ for queries that see nothing. */
    pass.mask = oci_wants_attentions(cx)
                ? oci_causal_mask(cx, call->attention_mask, T, keys)
                : oci_causal_mask_fused(cx, call->attention_mask, T, keys);
    oci_arena_mark mark = oci_mark(cx);
    for (int64_t i = 0; i < m->cfg.num_hidden_layers && !oci_cancelled(cx); i++) {
        if (oci_wants_hidden_states(cx)) oci_output_at(cx, "hidden_states", i, x);
        x = oci_settle(cx, mark, layer(cx, m, i, &pass, x));
    }
    return x;
}

static oci_tensor *hidden(oc_context *cx, const oci_llama *m, const oci_decode_call *call)
{
    oci_tensor *x = call->inputs_embeds ? call->inputs_embeds
                                        : oci_llama_embed(cx, m, call->input_ids);
    if (!x || oci_failed(cx)) return NULL;
    x = run_layers(cx, m, call, x);
    if (!x || oci_failed(cx)) return NULL;
    oci_cache_advance(call->cache, x->shape[1], 0);
    /* Of the others nobody asks: the norm and the head are rows' own. */
    if (call->last_only && !oci_wants_hidden_states(cx))
        x = oci_op_slice(cx, x, x->shape[1] - 1, 1);
    x = oci_rms_norm(cx, &m->norm, x);                                  /* [B, T, D] */
    if (oci_wants_hidden_states(cx))
        oci_output_at(cx, "hidden_states", m->cfg.num_hidden_layers, x);
    return x;
}

oci_tensor *oci_llama_decode(oc_context *cx, const oci_llama *m, oci_decode_call call)
{
    if (!m->lm_head.weight) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "llama: these weights have no head of a language model");
        return NULL;
    }
    oci_tensor *x = hidden(cx, m, &call);                               /* [B, T, D] */
    if (call.last_only && x && x->shape[1] > 1)
        x = oci_op_slice(cx, x, x->shape[1] - 1, 1);
    return oci_linear(cx, &m->lm_head, x);                              /* [B, T, V] */
}

static oci_tensor *llama_decode(oc_context *cx, const void *model, oci_decode_call call)
{
    return oci_llama_decode(cx, model, call);
}

static oci_tensor *llama_encode_text(oc_context *cx, const void *model,
                                     oci_decode_call call, oci_tensor **pooled)
{
    if (pooled) *pooled = NULL;
    return hidden(cx, model, &call);                                    /* [B, T, D] */
}

static oci_decoder_shape llama_shape(const void *model)
{
    const oci_llama *m = model;
    const oci_llama_config *c = &m->cfg;
    return (oci_decoder_shape){ .layers = c->num_hidden_layers,
                                .heads = c->num_key_value_heads,
                                .head_dim = m->rope.head_dim, .width = c->hidden_size,
                                .vocab_size = c->vocab_size,
                                .pad_token_id = m->padding_idx };
}

/* ---- LlamaForCausalLM, LlamaModel ---- */

static const oci_input_spec inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },
    { "position_ids", OCI_INPUT_IDS, 2 }, { "past_key_values.", OCI_INPUT_FLOAT, 4 },
    { "inputs_embeds", OCI_INPUT_FLOAT, 3 }, { "labels", OCI_INPUT_IDS, 2 },
    OCI_INPUTS_END
};

static const oci_input_spec base_inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },
    { "position_ids", OCI_INPUT_IDS, 2 }, { "past_key_values.", OCI_INPUT_FLOAT, 4 },
    { "inputs_embeds", OCI_INPUT_FLOAT, 3 }, OCI_INPUTS_END
};

static oci_tensor *lm_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    return oci_causal_lm_forward(cx, &oci_llama_arch, model, in, OCI_LM_SHIFTED);
}

static oci_tensor *base_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    return oci_decoder_model_forward(cx, &oci_llama_arch, model, in);
}

static const oci_class classes[] = {
    { "LlamaForCausalLM", inputs, lm_forward },
    { "LlamaModel", base_inputs, base_forward }, { 0 }
};

const oci_arch oci_llama_arch = {
    .model_type = "llama", .base_prefix = "model.", .size = sizeof(oci_llama),
    .classes = classes, .open = llama_open, .close = llama_close, .walk = llama_walk,
    .decode = llama_decode, .decoder_shape = llama_shape, .decoder_inputs = inputs,
    .encode_text = llama_encode_text };
