/* GPT-2 — Radford et al. 2019, "Language models are unsupervised multitask learners".
 * Transformers: GPT2LMHeadModel, with the cross-attention that Transformers adds.
 *
 *   input_ids [B,T] → wte + wpe (+ wte of token_type_ids) [B,T,D]
 *     → L pre-norm layers: self-attention (→ cross-attention to [B,N,D]), MLP [B,T,D]
 *     → ln_f [B,T,D] → lm_head [B,T,V], tied to wte
 * Weights of its products are [in, out] in files; q, k and v of a layer are one product.
 */
#include "models/text.h"

#include <float.h>
#include <math.h>

#include "models/prune.h"

typedef struct gpt2_config {
    int64_t vocab_size, n_positions, n_embd, n_layer, n_head, n_inner;
    oci_act activation_function;
    double layer_norm_epsilon, initializer_range;
    bool scale_attn_weights, scale_attn_by_inverse_layer_idx, reorder_and_upcast_attn;
    bool add_cross_attention, tie_word_embeddings;
} gpt2_config;

static const oci_field fields[] = {
    OCI_INT(gpt2_config, vocab_size, 50257, 1, 1 << 24),
    OCI_INT(gpt2_config, n_positions, 1024, 1, 1 << 20),
    OCI_INT(gpt2_config, n_embd, 768, 1, OCI_MAX_WIDTH),
    OCI_INT(gpt2_config, n_layer, 12, 0, OCI_MAX_LAYERS),
    OCI_INT(gpt2_config, n_head, 12, 1, OCI_MAX_WIDTH),
    OCI_INT(gpt2_config, n_inner, 0, 1, OCI_MAX_WIDTH),         /* 0: null, 4 * n_embd */
    OCI_ACT(gpt2_config, activation_function, OCI_ACT_GELU_NEW),
    OCI_REAL(gpt2_config, layer_norm_epsilon, 1e-5, 0, 1),
    OCI_REAL(gpt2_config, initializer_range, 0.02, 0, 1e3),
    OCI_BOOL(gpt2_config, scale_attn_weights, true),
    OCI_BOOL(gpt2_config, scale_attn_by_inverse_layer_idx, false),
    /* Orders the same arithmetic for half precision: in f32 there is nothing to do. */
    OCI_BOOL(gpt2_config, reorder_and_upcast_attn, false),
    OCI_BOOL(gpt2_config, add_cross_attention, false),
    OCI_BOOL(gpt2_config, tie_word_embeddings, true),
    OCI_FIELDS_END
};

typedef struct gpt2 {
    gpt2_config cfg;
    bool has_head;
    oci_tensor *wte, *wpe;              /* [V, D], [P, D] */
    oci_text_layer *layers;             /* [L] */
    oci_norm_layer ln_f;
    oci_linear_layer lm_head;           /* [V, D] */
} gpt2;

static void gpt2_open(oc_context *cx, const oci_config_source *from, void *model)
{
    gpt2 *m = model;
    gpt2_config *c = &m->cfg;
    if (!oci_config_read(cx, from, fields, c)) return;
    oci_config_divides(cx, from, "n_head", c->n_head, "n_embd", c->n_embd);
    if (!c->n_inner) c->n_inner = 4 * c->n_embd;
    m->has_head = oci_config_has_head(from, "GPT2Model");
    m->layers = oci_calloc(cx, (size_t)c->n_layer, sizeof *m->layers);
    if (m->layers)
        oci_heads_read(cx, from, c->n_head, c->n_layer,
                       &m->layers->self, sizeof *m->layers);
}

static void gpt2_close(void *model)
{
    oci_free(((gpt2 *)model)->layers);
}

static const oci_attention_layer *gpt2_attention(const void *model, int64_t layer)
{
    const gpt2 *m = model;
    return layer < m->cfg.n_layer ? &m->layers[layer].self : NULL;
}

/* Heads of cross-attention are never pruned: _prune_heads looks at `attn` alone. */
static void layer_walk(oci_walk w, oci_text_layer *l, const gpt2_config *c, int64_t i)
{
    int64_t D = c->n_embd, F = c->n_inner;
    float scale = c->scale_attn_weights ? 1.0f / sqrtf((float)(D / c->n_head)) : 1.0f;
    if (c->scale_attn_by_inverse_layer_idx) scale /= (float)(i + 1);
    /* The paper's scheme: what a block adds to the stream starts
     * smaller in deeper models. */
    double onto = c->initializer_range / sqrt(2.0 * (double)c->n_layer);
    l->cross.heads = c->n_head;
    if (!l->self.heads) l->self.heads = c->n_head;    /* unless pruned_heads left fewer */
    int64_t A = l->self.heads * (D / c->n_head);
    l->self.scale = l->cross.scale = scale;
    oci_walk_norm(oci_walk_enter(w, "ln_1"), &l->self_norm, D, c->layer_norm_epsilon);
    oci_walk_conv1d(oci_walk_enter(w, "attn.c_attn"), &l->self.fused, 3 * A, D);
    oci_walk_conv1d(
        oci_walk_init(oci_walk_enter(w, "attn.c_proj"), OCI_INIT_NORMAL, onto),
        &l->self.out, D, A);
    oci_walk_norm(oci_walk_enter(w, "ln_2"), &l->mlp_norm, D, c->layer_norm_epsilon);
    if (c->add_cross_attention) {
        oci_walk x = oci_walk_enter(w, "crossattention");
        oci_walk_conv1d(oci_walk_enter(x, "c_attn"), &l->cross.fused, 2 * D, D);
        oci_walk_conv1d(oci_walk_enter(x, "q_attn"), &l->cross.q, D, D);
        oci_walk_conv1d(oci_walk_init(oci_walk_enter(x, "c_proj"), OCI_INIT_NORMAL, onto),
                        &l->cross.out, D, D);
        oci_walk_norm(oci_walk_enter(w, "ln_cross_attn"), &l->cross_norm, D,
                      c->layer_norm_epsilon);
    }
    oci_walk_conv1d(oci_walk_enter(w, "mlp.c_fc"), &l->fc1, F, D);
    oci_walk_conv1d(oci_walk_init(oci_walk_enter(w, "mlp.c_proj"), OCI_INIT_NORMAL, onto),
                    &l->fc2, D, F);
}

static void gpt2_walk(oci_walk w, void *model)
{
    gpt2 *m = model;
    const gpt2_config *c = &m->cfg;
    int64_t D = c->n_embd, V = c->vocab_size;
    w = oci_walk_init(w, OCI_INIT_NORMAL, c->initializer_range);
    oci_walk t = m->has_head ? oci_walk_enter(w, "transformer") : w;
    bool tied = m->has_head && c->tie_word_embeddings;
    oci_text_tokens_walk(oci_walk_enter(t, "wte"), &m->wte, tied, V, D);
    oci_walk_param(oci_walk_enter(t, "wpe"), "weight", &m->wpe, OCI_PARAM_TABLE,
                   OCI_SHAPE(c->n_positions, D));
    for (int64_t i = 0; i < c->n_layer; i++)
        layer_walk(oci_walk_enter(t, "h.%lld", (long long)i), &m->layers[i], c, i);
    oci_walk_norm(oci_walk_enter(t, "ln_f"), &m->ln_f, D, c->layer_norm_epsilon);
    if (m->has_head)
        oci_text_head_walk(oci_walk_enter(w, "lm_head"), &m->lm_head, &m->wte, tied, V,
                           D);
}

static oci_tensor *embed(oc_context *cx, const gpt2 *m, const oci_decode_call *call)
{
    oci_tensor *x = oci_text_embed(cx, m->wte, call, -1);               /* [B, T, D] */
    if (!x) return NULL;
    x = oci_op_add(cx, x, oci_text_positions(cx, m->wpe, call, x->shape[1], 0));
    if (call->token_type_ids)
        x = oci_op_add(cx, x, oci_op_embedding(cx, m->wte, call->token_type_ids, -1));
    return x;
}

/* Keys to come are set to the lowest float; then (1 - attention_mask) * lowest
 * is added, so that what is both is -inf. A row that sees nothing so weighs its
 * own past and whatever is not padding to come, all alike. [B, 1, T, keys],
 * NULL: causal says it all. */
static oci_tensor *mask_of(oc_context *cx, const oci_tensor *attention_mask, int64_t T)
{
    oci_tensor *y = oci_extended_mask(cx, attention_mask, T);
    if (!y) return NULL;
    int64_t keys = y->shape[3];
    for (int64_t i = 0; i < oci_tensor_count(y); i++) {
        int64_t b = i / (T * keys), t = i / keys % T, key = i % keys;
        if (key > t + keys - T)
            oci_f32(y)[i] = -FLT_MAX +
                            (1.0f - oci_f32(attention_mask)[b * keys + key]) * -FLT_MAX;
    }
    return y;
}

static oci_tensor *hidden(oc_context *cx, const gpt2 *m, oci_decode_call *call)
{
    const gpt2_config *c = &m->cfg;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = embed(cx, m, call);                                 /* [B, T, D] */
    if (!x) return NULL;
    call->cross_attn_head_mask = call->head_mask;       /* one mask for both */
    oci_text_stack stack = {
        .layers = m->layers, .count = c->n_layer, .heads = c->n_head,
        .act = c->activation_function, .pre_norm = true, .last_norm = &m->ln_f,
        .mask = mask_of(cx, call->attention_mask, x->shape[1]),
        .cross_mask = oci_extended_mask(cx, call->encoder_attention_mask, 0) };
    return oci_text_stack_run(cx, &stack, mark, x, call);               /* [B, T, D] */
}

static oci_tensor *gpt2_decode(oc_context *cx, const void *model, oci_decode_call call)
{
    const gpt2 *m = model;
    if (!m->lm_head.weight) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "gpt2: these weights have no head of a language model");
        return NULL;
    }
    oci_tensor *x = hidden(cx, m, &call);                               /* [B, T, D] */
    if (call.last_only && x) x = oci_op_slice(cx, x, x->shape[1] - 1, 1);
    return oci_linear(cx, &m->lm_head, x);                              /* [B, T, V] */
}

static oci_tensor *gpt2_encode_text(oc_context *cx, const void *model,
                                    oci_decode_call call, oci_tensor **pooled)
{
    if (pooled) *pooled = NULL;
    return hidden(cx, model, &call);                                    /* [B, T, D] */
}

static oci_decoder_shape gpt2_shape(const void *model)
{
    const gpt2_config *c = &((const gpt2 *)model)->cfg;
    return (oci_decoder_shape){
        .layers = c->n_layer, .heads = c->n_head, .head_dim = c->n_embd / c->n_head,
        .width = c->n_embd, .vocab_size = c->vocab_size, .max_positions = c->n_positions,
        .pad_token_id = -1, .cross_attention = c->add_cross_attention,
        .cross_cache_stays = true       /* it has none: keys are made again each step */
    };
}

/* ---- GPT2LMHeadModel, GPT2Model ---- */

static const oci_input_spec inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "past_key_values.", OCI_INPUT_FLOAT, 4 },
    { "attention_mask", OCI_INPUT_MASK, 2 }, { "token_type_ids", OCI_INPUT_IDS, 2 },
    { "position_ids", OCI_INPUT_IDS, 2 }, { "head_mask", OCI_INPUT_FLOAT, 0 },
    { "inputs_embeds", OCI_INPUT_FLOAT, 3 },
    { "encoder_hidden_states", OCI_INPUT_FLOAT, 3 },
    { "encoder_attention_mask", OCI_INPUT_MASK, 2 }, { "labels", OCI_INPUT_IDS, 2 },
    OCI_INPUTS_END
};

static const oci_input_spec base_inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },
    { "token_type_ids", OCI_INPUT_IDS, 2 }, { "position_ids", OCI_INPUT_IDS, 2 },
    { "head_mask", OCI_INPUT_FLOAT, 0 }, { "inputs_embeds", OCI_INPUT_FLOAT, 3 },
    OCI_INPUTS_END
};

static oci_tensor *lm_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    return oci_causal_lm_forward(cx, &oci_gpt2, model, in, OCI_LM_SHIFTED);
}

static oci_tensor *base_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    return oci_text_model_forward(cx, &oci_gpt2, model, in, base_inputs);
}

static const oci_class classes[] = {
    { "GPT2LMHeadModel", inputs, lm_forward }, { "GPT2Model", base_inputs, base_forward },
    { 0 }
};

const oci_arch oci_gpt2 = {
    .model_type = "gpt2", .base_prefix = "transformer.", .size = sizeof(gpt2),
    .classes = classes, .open = gpt2_open, .close = gpt2_close,
    .walk = gpt2_walk, .attention = gpt2_attention,
    .decode = gpt2_decode, .decoder_shape = gpt2_shape, .decoder_inputs = inputs,
    .encode_text = gpt2_encode_text };
