/* BERT — Devlin et al. 2018, arXiv:1810.04805. Transformers: BertModel, BertLMHeadModel;
 * and its kin of bert.h.
 *
 *   input_ids [B,T] → word + token type + position embeddings → LayerNorm [B,T,D]
 *     → L post-norm layers: self-attention (→ cross-attention to [B,N,D]),
 *       feed-forward [B,T,D]
 *     → as a text encoder: pooler [B,D], tanh of the first token's
 *     → as a decoder: dense, act, LayerNorm [B,T,D] → · word embeddings + bias [B,T,V]
 */
#include "models/bert.h"

#include <math.h>
#include <string.h>

#include "models/prune.h"

static const oci_field fields[] = {
    OCI_INT(oci_bert_config, hidden_size, 768, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_bert_config, num_hidden_layers, 12, 0, OCI_MAX_LAYERS),
    OCI_INT(oci_bert_config, num_attention_heads, 12, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_bert_config, intermediate_size, 3072, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_bert_config, max_position_embeddings, 512, 1, 1 << 20),
    OCI_INT(oci_bert_config, type_vocab_size, 2, 1, 1 << 20),
    OCI_ACT(oci_bert_config, hidden_act, OCI_ACT_GELU),
    OCI_REAL(oci_bert_config, layer_norm_eps, 1e-12, 0, 1),
    OCI_REAL(oci_bert_config, initializer_range, 0.02, 0, 1e3),
    OCI_BOOL(oci_bert_config, is_decoder, false),
    OCI_BOOL(oci_bert_config, add_cross_attention, false),
    OCI_BOOL(oci_bert_config, tie_word_embeddings, true),
    OCI_FIELDS_END
};

void oci_bert_open(oc_context *cx, const oci_config_source *from, void *model,
                   const oci_bert_kind *kind)
{
    oci_bert_model *m = model;
    oci_bert_config *c = &m->cfg;
    const oci_field vocab[] = {
        OCI_INT(oci_bert_config, vocab_size, (double)kind->vocab_size, 1, 1 << 24),
        OCI_FIELDS_END
    };
    m->kind = kind;
    m->part = from->role != OCI_ROLE_ALONE;
    oci_config_only(cx, from, "position_embedding_type", "absolute");
    if (!oci_config_read(cx, from, fields, c) || !oci_config_read(cx, from, vocab, c))
        return;
    c->pad_token_id = oci_config_pad(cx, from, kind->pad_token_id, c->vocab_size);
    oci_config_divides(cx, from, "num_attention_heads", c->num_attention_heads,
                       "hidden_size", c->hidden_size);
    if (c->add_cross_attention && !c->is_decoder)
        oci_config_fail(cx, from, "add_cross_attention",
                        "expected false where is_decoder is false, found true");
    if (kind->roberta && c->pad_token_id >= c->max_position_embeddings - 1)
        oci_config_fail(cx, from, "max_position_embeddings",
                        "expected more than pad_token_id + 1, found %lld",
                        (long long)c->max_position_embeddings);
    /* A file of another class with a head (a classifier's) is prefixed like the causal
     * one, but has no lm_head that could be missed. */
    m->has_head = oci_config_has_head(from, kind->base_class);
    const char *class_name = oci_config_class(from);
    m->head_optional = from->role == OCI_ROLE_ALONE &&
                       !(class_name && !strcmp(class_name, kind->arch->classes[1].name));
    m->layers = oci_calloc(cx, (size_t)c->num_hidden_layers, sizeof *m->layers);
    if (m->layers)
        oci_heads_read(cx, from, c->num_attention_heads, c->num_hidden_layers,
                       &m->layers->self, sizeof *m->layers);
}

void oci_bert_close(void *model)
{
    oci_free(((oci_bert_model *)model)->layers);
}

const oci_attention_layer *oci_bert_attention(const void *model, int64_t layer)
{
    const oci_bert_model *m = model;
    return layer < m->cfg.num_hidden_layers ? &m->layers[layer].self : NULL;
}

/* ---- names ---- */

static void attention_walk(oci_walk w, oci_attention_layer *a, oci_norm_layer *norm,
                           const oci_bert_config *c)
{
    int64_t D = c->hidden_size, d = D / c->num_attention_heads;
    if (!a->heads) a->heads = c->num_attention_heads;   /* pruned_heads may say fewer */
    int64_t A = a->heads * d;
    oci_walk_linear(oci_walk_enter(w, "self.query"), &a->q, A, D, true);
    oci_walk_linear(oci_walk_enter(w, "self.key"), &a->k, A, D, true);
    oci_walk_linear(oci_walk_enter(w, "self.value"), &a->v, A, D, true);
    oci_walk_linear(oci_walk_enter(w, "output.dense"), &a->out, D, A, true);
    oci_walk_norm(oci_walk_enter(w, "output.LayerNorm"), norm, D, c->layer_norm_eps);
    a->scale = 1.0f / sqrtf((float)d);
}

/* Names that VisualBERT's layers have, too. */
void oci_bert_layer_walk(oci_walk w, oci_text_layer *l, const oci_bert_config *c)
{
    int64_t D = c->hidden_size, F = c->intermediate_size;
    attention_walk(oci_walk_enter(w, "attention"), &l->self, &l->self_norm, c);
    if (c->add_cross_attention)
        attention_walk(oci_walk_enter(w, "crossattention"), &l->cross, &l->cross_norm, c);
    oci_walk_linear(oci_walk_enter(w, "intermediate.dense"), &l->fc1, F, D, true);
    oci_walk_linear(oci_walk_enter(w, "output.dense"), &l->fc2, D, F, true);
    oci_walk_norm(oci_walk_enter(w, "output.LayerNorm"), &l->mlp_norm, D,
                  c->layer_norm_eps);
}

static void table_walk(oci_walk w, const char *name, oci_tensor **table, int64_t rows,
                       int64_t D)
{
    oci_walk_param(oci_walk_enter(w, "%s", name), "weight", table, OCI_PARAM_TABLE,
                   OCI_SHAPE(rows, D));
}

/* cls.predictions.* or lm_head.*: the bias has two names, and
 * so has the weight if tied. */
static void head_walk(oci_walk w, oci_bert_model *m)
{
    const oci_bert_config *c = &m->cfg;
    int64_t D = c->hidden_size, V = c->vocab_size;
    bool roberta = m->kind->roberta;
    w = oci_walk_enter(w, roberta ? "lm_head" : "cls.predictions");
    if (m->head_optional) w = oci_walk_optional(w);
    oci_walk d = oci_walk_enter(w, "decoder");
    oci_walk_bias(oci_walk_optional(w), &m->decoder.bias, V);
    oci_walk_linear(oci_walk_enter(w, roberta ? "dense" : "transform.dense"),
                    &m->transform, D, D, true);
    oci_walk_norm(oci_walk_enter(w, roberta ? "layer_norm" : "transform.LayerNorm"),
                  &m->head_norm, D, c->layer_norm_eps);
    oci_text_head_walk(d, &m->decoder, &m->word_embeddings, c->tie_word_embeddings, V, D);
    oci_walk_tied(d, "bias", &m->decoder.bias, &m->decoder.bias, OCI_PARAM_VALUE,
                  OCI_SHAPE(V));
}

void oci_bert_walk(oci_walk w, void *model)
{
    oci_bert_model *m = model;
    const oci_bert_config *c = &m->cfg;
    int64_t D = c->hidden_size;
    w = oci_walk_init(w, OCI_INIT_NORMAL, c->initializer_range);
    oci_walk base = m->has_head ? oci_walk_enter(w, "%s", m->kind->prefix) : w;
    oci_walk e = oci_walk_enter(base, "embeddings");
    oci_walk tokens =
        oci_walk_padding(oci_walk_enter(e, "word_embeddings"), c->pad_token_id);
    bool tied = m->has_head && c->tie_word_embeddings;
    if (m->head_optional && tied)       /* a head of another kind has no table */
        oci_walk_param(tokens, "weight", &m->word_embeddings, OCI_PARAM_PRODUCT,
                       OCI_SHAPE(c->vocab_size, D));
    else
        oci_text_tokens_walk(tokens, &m->word_embeddings, tied, c->vocab_size, D);
    table_walk(oci_walk_padding(e, m->kind->roberta ? c->pad_token_id : -1),
               "position_embeddings", &m->position_embeddings, c->max_position_embeddings,
               D);
    table_walk(e, "token_type_embeddings", &m->token_type_embeddings, c->type_vocab_size,
               D);
    oci_walk_norm(oci_walk_enter(e, "LayerNorm"), &m->norm, D, c->layer_norm_eps);
    for (int64_t i = 0; i < c->num_hidden_layers; i++)
        oci_bert_layer_walk(oci_walk_enter(base, "encoder.layer.%lld", (long long)i),
                            &m->layers[i], c);
    /* Classes with a head have none; opened as the base class their files lack it. */
    oci_walk pooler = oci_walk_optional(oci_walk_enter(base, "pooler.dense"));
    if (m->has_head) pooler = oci_walk_init(pooler, OCI_INIT_ABSENT, 0);
    if (!m->has_head || m->head_optional) oci_walk_linear(pooler, &m->pooler, D, D, true);
    if (m->has_head) head_walk(w, m);
}

/* ---- forward ---- */

/* Ids of type 0, one row for all. */
static oci_tensor *no_types(oc_context *cx, int64_t T)
{
    oci_tensor *ids = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, T));
    for (int64_t t = 0; ids && t < T; t++) oci_i64(ids)[t] = 0;
    return ids;
}

static oci_tensor *embed(oc_context *cx, const oci_bert_model *m,
                         const oci_decode_call *call)
{
    int64_t pad = m->cfg.pad_token_id;
    oci_tensor *x = oci_text_embed(cx, m->word_embeddings, call, pad), *p;
    if (!x) return NULL;
    int64_t T = x->shape[1];
    oci_tensor *types = call->token_type_ids ? call->token_type_ids : no_types(cx, T);
    x = oci_op_add(cx, x, oci_op_embedding(cx, m->token_type_embeddings, types, -1));
    /* Flax' composites hand arange(T) to parts which alone would leave pads out. */
    const bool counted = m->part && cx->framework == OC_FLAX;
    if (m->kind->roberta && !counted) {
        oci_tensor *rows = call->position_ids ? call->position_ids
                                              : oci_text_padded_rows(cx, call, T, pad);
        p = oci_op_embedding(cx, m->position_embeddings, rows, pad);    /* [1|B, T, D] */
    } else {
        p = oci_text_positions(cx, m->position_embeddings, call, T, 0); /* [1|B, T, D] */
    }
    return oci_layer_norm(cx, &m->norm, oci_op_add(cx, x, p));          /* [B, T, D] */
}

static oci_tensor *hidden(oc_context *cx, const oci_bert_model *m, oci_decode_call *call)
{
    const oci_bert_config *c = &m->cfg;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = embed(cx, m, call);                                 /* [B, T, D] */
    if (!x) return NULL;
    call->cross_attn_head_mask = call->head_mask;       /* one mask for both */
    oci_text_stack stack = { .layers = m->layers, .count = c->num_hidden_layers,
                             .heads = c->num_attention_heads, .act = c->hidden_act,
                             .bidirectional = !c->is_decoder, .cross_past = true,
                             .mask = oci_extended_mask(cx, call->attention_mask,
                                                       c->is_decoder ? x->shape[1] : 0),
                             .cross_mask =
                                 oci_extended_mask(cx, call->encoder_attention_mask, 0) };
    return oci_text_stack_run(cx, &stack, mark, x, call);               /* [B, T, D] */
}

oci_tensor *oci_bert_decode(oc_context *cx, const void *model, oci_decode_call call)
{
    const oci_bert_model *m = model;
    /* RobertaLMHead has GELU whatever the config says; BERT's head goes by hidden_act. */
    oci_act act = m->kind->roberta ? OCI_ACT_GELU : m->cfg.hidden_act;
    if (!m->transform.weight || !m->decoder.weight) {
        oci_fail(cx, OC_E_ARGUMENT, "%s: these weights have no head of a language model",
                 m->kind->arch->model_type);
        return NULL;
    }
    oci_tensor *x = hidden(cx, m, &call);                               /* [B, T, D] */
    if (call.last_only && x) x = oci_op_slice(cx, x, x->shape[1] - 1, 1);
    x = oci_linear(cx, &m->transform, x, .act = act);
    return oci_linear(cx, &m->decoder,
                      oci_layer_norm(cx, &m->head_norm, x)); /* [B, T, V] */
}

oci_tensor *oci_bert_encode_text(oc_context *cx, const void *model, oci_decode_call call,
                                 oci_tensor **pooled)
{
    const oci_bert_model *m = model;
    oci_tensor *x = hidden(cx, m, &call);                               /* [B, T, D] */
    if (pooled && m->pooler.weight && x) {
        oci_tensor *first = oci_text_tokens(cx, &call, x, NULL);        /* [B, D] */
        *pooled = oci_linear(cx, &m->pooler, first, .act = OCI_ACT_TANH);
    }
    return x;
}

oci_decoder_shape oci_bert_shape(const void *model)
{
    const oci_bert_model *m = model;
    const oci_bert_config *c = &m->cfg;
    return (oci_decoder_shape){
        .layers = c->num_hidden_layers, .heads = c->num_attention_heads,
        .head_dim = c->hidden_size / c->num_attention_heads, .width = c->hidden_size,
        .vocab_size = c->vocab_size, .pad_token_id = c->pad_token_id, .cross_past = true,
        .cross_attention = c->is_decoder && c->add_cross_attention,
        .max_positions = c->max_position_embeddings -
                         (m->kind->roberta ? c->pad_token_id + 1 : 0) };
}

/* ---- classes ---- */

const oci_input_spec oci_bert_inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },
    { "token_type_ids", OCI_INPUT_IDS, 2 }, { "position_ids", OCI_INPUT_IDS, 2 },
    { "head_mask", OCI_INPUT_FLOAT, 0 }, { "inputs_embeds", OCI_INPUT_FLOAT, 3 },
    { "encoder_hidden_states", OCI_INPUT_FLOAT, 3 },
    { "encoder_attention_mask", OCI_INPUT_MASK, 2 }, { "labels", OCI_INPUT_IDS, 2 },
    { "past_key_values.", OCI_INPUT_FLOAT, 4 }, OCI_INPUTS_END
};

/* BertLMHeadModel switches its caches off where there are labels. */
oci_tensor *oci_bert_lm_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    oc_tensor_view labels;
    if (oc_tensors_find(in, "labels", &labels) && cx->taps) cx->taps->use_cache = false;
    return oci_causal_lm_forward(cx, ((const oci_bert_model *)model)->kind->arch, model,
                                 in, OCI_LM_SHIFTED);
}

/* No labels, and no caches taken in. */
const oci_input_spec oci_bert_base_inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },
    { "token_type_ids", OCI_INPUT_IDS, 2 }, { "position_ids", OCI_INPUT_IDS, 2 },
    { "head_mask", OCI_INPUT_FLOAT, 0 }, { "inputs_embeds", OCI_INPUT_FLOAT, 3 },
    { "encoder_hidden_states", OCI_INPUT_FLOAT, 3 },
    { "encoder_attention_mask", OCI_INPUT_MASK, 2 }, OCI_INPUTS_END
};

oci_tensor *oci_bert_base_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    return oci_text_model_forward(cx, ((const oci_bert_model *)model)->kind->arch, model,
                                  in, oci_bert_base_inputs);
}

static void bert_open(oc_context *cx, const oci_config_source *from, void *model)
{
    static const oci_bert_kind kind = { &oci_bert, "BertModel", "bert", 30522, 0, false };
    oci_bert_open(cx, from, model, &kind);
}

static const oci_class classes[] = {
    { "BertModel", oci_bert_base_inputs, oci_bert_base_forward },
    { "BertLMHeadModel", oci_bert_inputs, oci_bert_lm_forward }, { 0 }
};

const oci_arch oci_bert = {
    .model_type = "bert", .base_prefix = "bert.", .size = sizeof(oci_bert_model),
    .classes = classes, .open = bert_open, .close = oci_bert_close,
    .walk = oci_bert_walk, .attention = oci_bert_attention,
    .decode = oci_bert_decode, .decoder_shape = oci_bert_shape,
    .decoder_inputs = oci_bert_inputs, .encode_text = oci_bert_encode_text,
    .pools_text = true };
