/* BART's decoder — Lewis et al. 2019, arXiv:1910.13461. Transformers: BartForCausalLM.
 * Its functions serve mBART (mbart.c) as well.
 *
 *   input_ids [B,T] → embed_tokens (* sqrt D) + learned positions
 *     → layernorm_embedding [B,T,D]
 *     → L layers: self-attention, cross-attention to [B,N,D], feed-forward [B,T,D];
 *       BART: norms after them, mBART: before them and after the last layer
 *     → lm_head [B,T,V], tied to embed_tokens
 */
#include "models/bart.h"

#include <math.h>
#include <string.h>

static const oci_field fields[] = {
    OCI_INT(oci_bart_config, vocab_size, 50265, 1, 1 << 24),
    OCI_INT(oci_bart_config, d_model, 1024, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_bart_config, decoder_layers, 12, 0, OCI_MAX_LAYERS),
    OCI_INT(oci_bart_config, decoder_attention_heads, 16, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_bart_config, decoder_ffn_dim, 4096, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_bart_config, max_position_embeddings, 1024, 1, 1 << 20),
    OCI_ACT(oci_bart_config, activation_function, OCI_ACT_GELU),
    OCI_REAL(oci_bart_config, init_std, 0.02, 0, 1e3),
    OCI_BOOL(oci_bart_config, scale_embedding, false),
    OCI_BOOL(oci_bart_config, tie_word_embeddings, true),
    OCI_FIELDS_END
};

enum { POSITION_OFFSET = 2 };       /* rows 0 and 1 of the positions are never used */

void oci_bart_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_bart_model *m = model;
    oci_bart_config *c = &m->cfg;
    if (!oci_config_read(cx, from, fields, c)) return;
    c->pad_token_id = oci_config_pad(cx, from, 1, c->vocab_size);
    oci_config_divides(cx, from, "decoder_attention_heads", c->decoder_attention_heads,
                       "d_model", c->d_model);
    m->layers = oci_calloc(cx, (size_t)c->decoder_layers, sizeof *m->layers);
}

void oci_bart_close(void *model)
{
    oci_free(((oci_bart_model *)model)->layers);
}

void oci_bart_walk(oci_walk w, void *model)
{
    oci_bart_model *m = model;
    const oci_bart_config *c = &m->cfg;
    int64_t D = c->d_model, V = c->vocab_size;
    w = oci_walk_init(w, OCI_INIT_NORMAL, c->init_std);
    oci_walk d = oci_walk_enter(w, "model.decoder");
    oci_text_tokens_walk(
        oci_walk_padding(oci_walk_enter(d, "embed_tokens"), c->pad_token_id),
        &m->embed_tokens, c->tie_word_embeddings, V, D);
    oci_walk_param(oci_walk_enter(d, "embed_positions"), "weight", &m->embed_positions,
                   OCI_PARAM_TABLE,
                   OCI_SHAPE(c->max_position_embeddings + POSITION_OFFSET, D));
    for (int64_t i = 0; i < c->decoder_layers; i++)
        oci_bart_layer_walk(oci_walk_enter(d, "layers.%lld", (long long)i), &m->layers[i],
                            D, D, c->decoder_ffn_dim, c->decoder_attention_heads);
    oci_walk_norm(oci_walk_enter(d, "layernorm_embedding"), &m->layernorm_embedding, D,
                  1e-5);
    if (m->mbart) oci_walk_norm(oci_walk_enter(d, "layer_norm"), &m->layer_norm, D, 1e-5);
    oci_text_head_walk(oci_walk_enter(w, "lm_head"), &m->lm_head, &m->embed_tokens,
                       c->tie_word_embeddings, V, D);
}

static oci_tensor *embed(oc_context *cx, const oci_bart_model *m,
                         const oci_decode_call *call)
{
    const oci_bart_config *c = &m->cfg;
    oci_tensor *x = oci_text_embed(cx, m->embed_tokens, call, c->pad_token_id);
    if (!x) return NULL;
    if (c->scale_embedding && !call->inputs_embeds)
        x = oci_op_scale(cx, x, sqrtf((float)c->d_model));              /* [B, T, D] */
    x = oci_op_add(cx, x, oci_text_positions(cx, m->embed_positions, call, x->shape[1],
                                             POSITION_OFFSET));
    return oci_layer_norm(cx, &m->layernorm_embedding, x);
}

/* BART runs torch's scaled_dot_product_attention unless attentions or masks of
 * cross-attention heads are asked for, and for its sake 4.37.2 lets a row in the padding
 * before a text, which sees nothing, see everything. (mBART has no such path.) */
static void open_blind_rows(oc_context *cx, const oci_decode_call *call, oci_tensor *mask)
{
    if (!mask || oci_wants_attentions(cx) || call->cross_attn_head_mask) return;
    int64_t B = mask->shape[0], T = mask->shape[2], keys = mask->shape[3];
    for (int64_t b = 0; T > 1 && b < B; b++) {
        const float *seen = oci_f32(call->attention_mask) + b * keys;
        int64_t first = 0;
        while (first < keys && seen[first] == 0.0f) first++;
        for (int64_t t = 0; first < keys && t < first && t < T; t++)
            memset(oci_f32(mask) + (b * T + t) * keys, 0, (size_t)keys * sizeof(float));
    }
}

oci_tensor *oci_bart_decode(oc_context *cx, const void *model, oci_decode_call call)
{
    const oci_bart_model *m = model;
    const oci_bart_config *c = &m->cfg;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = embed(cx, m, &call);                                /* [B, T, D] */
    if (!x) return NULL;
    int64_t T = x->shape[1];
    oci_text_stack stack = {
        .layers = m->layers, .count = c->decoder_layers,
        .heads = c->decoder_attention_heads, .act = c->activation_function,
        .cross_past = true, .pre_norm = m->mbart,
        .last_norm = m->mbart ? &m->layer_norm : NULL,
        .mask = oci_causal_mask(cx, call.attention_mask, T, oci_text_past(&call) + T),
        .cross_mask = oci_padding_mask(cx, call.encoder_attention_mask)
    };
    if (!m->mbart) open_blind_rows(cx, &call, stack.mask);
    x = oci_text_stack_run(cx, &stack, mark, x, &call);                 /* [B, T, D] */
    if (call.last_only) x = oci_op_slice(cx, x, T - 1, 1);              /* [B, 1, D] */
    return oci_linear(cx, &m->lm_head, x);                              /* [B, T, V] */
}

oci_decoder_shape oci_bart_shape(const void *model)
{
    const oci_bart_config *c = &((const oci_bart_model *)model)->cfg;
    return (oci_decoder_shape){
        .layers = c->decoder_layers, .heads = c->decoder_attention_heads,
        .head_dim = c->d_model / c->decoder_attention_heads, .width = c->d_model,
        .vocab_size = c->vocab_size, .max_positions = c->max_position_embeddings,
        .pad_token_id = c->pad_token_id, .cross_attention = true, .cross_past = true };
}

/* ---- BartForCausalLM ---- */

const oci_input_spec oci_bart_inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },
    { "encoder_hidden_states", OCI_INPUT_FLOAT, 3 },
    { "encoder_attention_mask", OCI_INPUT_MASK, 2 }, { "head_mask", OCI_INPUT_FLOAT, 2 },
    { "cross_attn_head_mask", OCI_INPUT_FLOAT, 2 },
    { "past_key_values.", OCI_INPUT_FLOAT, 4 }, { "inputs_embeds", OCI_INPUT_FLOAT, 3 },
    { "labels", OCI_INPUT_IDS, 2 }, OCI_INPUTS_END
};

static oci_tensor *bart_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    return oci_causal_lm_forward(cx, &oci_bart, model, in, OCI_LM_PLAIN);
}

static const oci_class classes[] = {
    { "BartForCausalLM", oci_bart_inputs, bart_forward }, { 0 }
};

const oci_arch oci_bart = {
    .model_type = "bart", .base_prefix = "model.", .size = sizeof(oci_bart_model),
    .classes = classes, .open = oci_bart_open, .close = oci_bart_close,
    .walk = oci_bart_walk, .decode = oci_bart_decode, .decoder_shape = oci_bart_shape,
    .decoder_inputs = oci_bart_inputs,
};
