/* DistilBERT — Sanh et al. 2019, arXiv:1910.01108. Transformers: DistilBertModel; a text
 * encoder only, since there it has neither cross-attention nor a causal language model.
 *
 *   input_ids [B,T] → word + position embeddings → LayerNorm [B,T,D]
 *     → L post-norm layers: self-attention, feed-forward [B,T,D] (last_hidden_state)
 */
#include "models/text.h"

#include <float.h>
#include <math.h>

#include "models/prune.h"

typedef struct distilbert_config {
    int64_t vocab_size, max_position_embeddings, n_layers, n_heads, dim, hidden_dim;
    int64_t pad_token_id;
    oci_act activation;
    double initializer_range;
} distilbert_config;

static const oci_field fields[] = {
    OCI_INT(distilbert_config, vocab_size, 30522, 1, 1 << 24),
    OCI_INT(distilbert_config, max_position_embeddings, 512, 1, 1 << 20),
    OCI_INT(distilbert_config, n_layers, 6, 0, OCI_MAX_LAYERS),
    OCI_INT(distilbert_config, n_heads, 12, 1, OCI_MAX_WIDTH),
    OCI_INT(distilbert_config, dim, 768, 1, OCI_MAX_WIDTH),
    OCI_INT(distilbert_config, hidden_dim, 3072, 1, OCI_MAX_WIDTH),
    OCI_ACT(distilbert_config, activation, OCI_ACT_GELU),
    OCI_REAL(distilbert_config, initializer_range, 0.02, 0, 1e3),
    OCI_FIELDS_END
};

typedef struct distilbert {
    distilbert_config cfg;
    bool has_head;                      /* of whatever kind: the names then have a
                                           prefix */
    oci_tensor *word_embeddings;        /* [V, D] */
    oci_tensor *position_embeddings;    /* [P, D] */
    oci_norm_layer norm;
    oci_text_layer *layers;             /* [L] */
} distilbert;

static void distilbert_open(oc_context *cx, const oci_config_source *from, void *model)
{
    distilbert *m = model;
    distilbert_config *c = &m->cfg;
    if (!oci_config_read(cx, from, fields, c)) return;
    c->pad_token_id = oci_config_pad(cx, from, 0, c->vocab_size);
    oci_config_divides(cx, from, "n_heads", c->n_heads, "dim", c->dim);
    m->has_head = oci_config_has_head(from, "DistilBertModel");
    m->layers = oci_calloc(cx, (size_t)c->n_layers, sizeof *m->layers);
    if (m->layers)
        oci_heads_read(cx, from, c->n_heads, c->n_layers,
                       &m->layers->self, sizeof *m->layers);
}

static void distilbert_close(void *model)
{
    oci_free(((distilbert *)model)->layers);
}

static const oci_attention_layer *distilbert_attention(const void *model, int64_t layer)
{
    const distilbert *m = model;
    return layer < m->cfg.n_layers ? &m->layers[layer].self : NULL;
}

/* 1e-12 is written into the class: the config has no eps. */
static void layer_walk(oci_walk w, oci_text_layer *l, const distilbert_config *c)
{
    int64_t D = c->dim, F = c->hidden_dim;
    if (!l->self.heads) l->self.heads = c->n_heads;   /* unless pruned_heads left fewer */
    int64_t A = l->self.heads * (D / c->n_heads);
    oci_walk a = oci_walk_enter(w, "attention");
    oci_walk_linear(oci_walk_enter(a, "q_lin"), &l->self.q, A, D, true);
    oci_walk_linear(oci_walk_enter(a, "k_lin"), &l->self.k, A, D, true);
    oci_walk_linear(oci_walk_enter(a, "v_lin"), &l->self.v, A, D, true);
    oci_walk_linear(oci_walk_enter(a, "out_lin"), &l->self.out, D, A, true);
    oci_walk_norm(oci_walk_enter(w, "sa_layer_norm"), &l->self_norm, D, 1e-12);
    oci_walk_linear(oci_walk_enter(w, "ffn.lin1"), &l->fc1, F, D, true);
    oci_walk_linear(oci_walk_enter(w, "ffn.lin2"), &l->fc2, D, F, true);
    oci_walk_norm(oci_walk_enter(w, "output_layer_norm"), &l->mlp_norm, D, 1e-12);
    l->self.scale = 1.0f / sqrtf((float)(D / c->n_heads));
}

static void distilbert_walk(oci_walk w, void *model)
{
    distilbert *m = model;
    const distilbert_config *c = &m->cfg;
    w = oci_walk_init(w, OCI_INIT_NORMAL, c->initializer_range);
    oci_walk base = m->has_head ? oci_walk_enter(w, "distilbert") : w;
    oci_walk e = oci_walk_enter(base, "embeddings");
    oci_walk_param(
        oci_walk_padding(oci_walk_enter(e, "word_embeddings"), c->pad_token_id), "weight",
        &m->word_embeddings, OCI_PARAM_TABLE, OCI_SHAPE(c->vocab_size, c->dim));
    oci_walk_param(oci_walk_enter(e, "position_embeddings"), "weight",
                   &m->position_embeddings, OCI_PARAM_TABLE,
                   OCI_SHAPE(c->max_position_embeddings, c->dim));
    oci_walk_norm(oci_walk_enter(e, "LayerNorm"), &m->norm, c->dim, 1e-12);
    for (int64_t i = 0; i < c->n_layers; i++)
        layer_walk(oci_walk_enter(base, "transformer.layer.%lld", (long long)i),
                   &m->layers[i], c);
}

/* Keys whose attention_mask is exactly 0 are set to the lowest float. [B, 1, 1, T] */
static oci_tensor *mask_of(oc_context *cx, const oci_tensor *attention_mask)
{
    if (!attention_mask || oci_failed(cx)) return NULL;
    int64_t B = attention_mask->shape[0], T = attention_mask->shape[1];
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, 1, 1, T));
    for (int64_t i = 0; y && i < B * T; i++)
        oci_f32(y)[i] = oci_f32(attention_mask)[i] == 0.0f ? -FLT_MAX : 0.0f;
    return y;
}

static oci_tensor *distilbert_encode(oc_context *cx, const void *model,
                                     oci_decode_call call, oci_tensor **pooled)
{
    const distilbert *m = model;
    const distilbert_config *c = &m->cfg;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = oci_text_embed(cx, m->word_embeddings, &call, c->pad_token_id);
    if (pooled) *pooled = NULL;
    if (!x) return NULL;
    x = oci_op_add(cx, x,
                   oci_text_positions(cx, m->position_embeddings, &call, x->shape[1], 0));
    x = oci_layer_norm(cx, &m->norm, x);                                /* [B, T, D] */
    oci_text_stack stack = { .layers = m->layers, .count = c->n_layers,
                             .heads = c->n_heads, .act = c->activation,
                             .bidirectional = true,
                             .mask = mask_of(cx, call.attention_mask) };
    return oci_text_stack_run(cx, &stack, mark, x, &call);              /* [B, T, D] */
}

static oci_decoder_shape distilbert_shape(const void *model)
{
    const distilbert_config *c = &((const distilbert *)model)->cfg;
    return (oci_decoder_shape){ .layers = c->n_layers, .heads = c->n_heads,
                                .head_dim = c->dim / c->n_heads, .width = c->dim,
                                .vocab_size = c->vocab_size,
                                .pad_token_id = c->pad_token_id,
                                .max_positions = c->max_position_embeddings };
}

/* ---- DistilBertModel ---- */

static const oci_input_spec inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },
    { "head_mask", OCI_INPUT_FLOAT, 0 }, { "inputs_embeds", OCI_INPUT_FLOAT, 3 },
    OCI_INPUTS_END
};

static oci_tensor *distilbert_forward(oc_context *cx, const void *model,
                                      const oc_tensors *in)
{
    return oci_text_model_forward(cx, &oci_distilbert, model, in, inputs);
}

static const oci_class classes[] = {
    { "DistilBertModel", inputs, distilbert_forward }, { 0 }
};

const oci_arch oci_distilbert = {
    .model_type = "distilbert", .base_prefix = "distilbert.", .size = sizeof(distilbert),
    .classes = classes, .open = distilbert_open, .close = distilbert_close,
    .walk = distilbert_walk, .attention = distilbert_attention,
    .decoder_shape = distilbert_shape, .encode_text = distilbert_encode,
    .pools_text = true };
