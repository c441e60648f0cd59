/* TrOCR's decoder — Li et al. 2021, "TrOCR: Transformer-based optical character
 * recognition with pre-trained models", arXiv:2109.10282. Transformers: TrOCRForCausalLM.
 *
 *   input_ids [B,T] → embed_tokens (* sqrt D) + positions (→ layernorm_embedding) [B,T,D]
 *     → L post-norm layers: self-attention, cross-attention to [B,N,Dc],
 *       feed-forward [B,T,D]
 *     → output_projection [B,T,V], tied to embed_tokens
 */
#include "models/text.h"

#include <math.h>

#include "base/size.h"

typedef struct trocr_config {
    int64_t vocab_size, d_model, decoder_layers, decoder_attention_heads, decoder_ffn_dim;
    int64_t max_position_embeddings, pad_token_id, cross_attention_hidden_size;
    oci_act activation_function;
    double init_std;
    bool scale_embedding, use_learned_position_embeddings, layernorm_embedding;
    bool tie_word_embeddings;
} trocr_config;

static const oci_field fields[] = {
    OCI_INT(trocr_config, vocab_size, 50265, 1, 1 << 24),
    OCI_INT(trocr_config, d_model, 1024, 1, OCI_MAX_WIDTH),
    OCI_INT(trocr_config, decoder_layers, 12, 0, OCI_MAX_LAYERS),
    OCI_INT(trocr_config, decoder_attention_heads, 16, 1, OCI_MAX_WIDTH),
    OCI_INT(trocr_config, decoder_ffn_dim, 4096, 1, OCI_MAX_WIDTH),
    OCI_INT(trocr_config, max_position_embeddings, 512, 1, 1 << 20),
    OCI_INT(trocr_config, pad_token_id, 1, 0, 1 << 24),
    OCI_INT(trocr_config, cross_attention_hidden_size, 0, 1, OCI_MAX_WIDTH), /* 0: null */
    OCI_ACT(trocr_config, activation_function, OCI_ACT_GELU),
    OCI_REAL(trocr_config, init_std, 0.02, 0, 1e3),
    OCI_BOOL(trocr_config, scale_embedding, false),
    OCI_BOOL(trocr_config, use_learned_position_embeddings, true),
    OCI_BOOL(trocr_config, layernorm_embedding, true),
    OCI_BOOL(trocr_config, tie_word_embeddings, true),
    OCI_FIELDS_END
};

enum { POSITION_OFFSET = 2 };       /* rows 0 and 1 of learned positions are never used */

typedef struct trocr {
    trocr_config cfg;
    oci_tensor *embed_tokens;           /* [V, D] */
    oci_tensor *embed_positions;        /* [max + 2, D]; NULL: sinusoids */
    oci_norm_layer layernorm_embedding;
    oci_text_layer *layers;             /* [L] */
    oci_linear_layer output_projection; /* [V, D] */
} trocr;

static void trocr_open(oc_context *cx, const oci_config_source *from, void *model)
{
    trocr *m = model;
    trocr_config *c = &m->cfg;
    if (!oci_config_read(cx, from, fields, c)) return;
    oci_config_divides(cx, from, "decoder_attention_heads", c->decoder_attention_heads,
                       "d_model", c->d_model);
    if (c->pad_token_id >= c->vocab_size)
        oci_config_fail(cx, from, "pad_token_id",
                        "expected less than vocab_size %lld, found %lld",
                        (long long)c->vocab_size, (long long)c->pad_token_id);
    m->layers = oci_calloc(cx, (size_t)c->decoder_layers, sizeof *m->layers);
}

static void trocr_close(void *model)
{
    oci_free(((trocr *)model)->layers);
}

static void trocr_walk(oci_walk w, void *model)
{
    trocr *m = model;
    const trocr_config *c = &m->cfg;
    int64_t D = c->d_model, V = c->vocab_size;
    int64_t Dc = c->cross_attention_hidden_size ? c->cross_attention_hidden_size : D;
    w = oci_walk_init(w, OCI_INIT_NORMAL, c->init_std);
    oci_walk d = oci_walk_enter(w, "model.decoder");
    oci_text_tokens_walk(
        oci_walk_padding(oci_walk_enter(d, "embed_tokens"), c->pad_token_id),
        &m->embed_tokens, c->tie_word_embeddings, V, D);
    if (c->use_learned_position_embeddings)
        oci_walk_param(oci_walk_enter(d, "embed_positions"), "weight",
                       &m->embed_positions, OCI_PARAM_VALUE,
                       OCI_SHAPE(c->max_position_embeddings + POSITION_OFFSET, D));
    if (c->layernorm_embedding)
        oci_walk_norm(oci_walk_enter(d, "layernorm_embedding"), &m->layernorm_embedding,
                      D, 1e-5);
    for (int64_t i = 0; i < c->decoder_layers; i++)
        oci_bart_layer_walk(oci_walk_enter(d, "layers.%lld", (long long)i), &m->layers[i],
                            D, Dc, c->decoder_ffn_dim, c->decoder_attention_heads);
    oci_text_head_walk(oci_walk_enter(w, "output_projection"), &m->output_projection,
                       &m->embed_tokens, c->tie_word_embeddings, V, D);
}

/* ---- positions ---- */

/* [sin(row f_j) | cos(row f_j)], f_j = 10000^(-j / (D/2 - 1)), an odd last column 0. */
static void sinusoid(int64_t row, int64_t D, float *out)
{
    int64_t half = D / 2;
    float step = (float)(log(10000.0) / (double)(half - 1));
    for (int64_t j = 0; j < half; j++) {
        float angle = (float)row * expf((float)j * -step);
        out[j] = sinf(angle);
        out[half + j] = cosf(angle);
    }
    if (D % 2) out[D - 1] = 0;
}

/* TrOCRSinusoidalPositionalEmbedding: pads stay at row pad_token_id, which
 * is zero, and do not count. */
static oci_tensor *sinusoidal_positions(oc_context *cx, const trocr *m,
                                        const oci_tensor *ids, int64_t past,
                                        const int64_t *counted)
{
    if (!ids) {
        oci_fail(cx, OC_E_MALFORMED,
                 "inputs_embeds: sinusoidal positions are counted from ids");
        return NULL;
    }
    int64_t B = ids->shape[0], T = ids->shape[1], D = m->cfg.d_model,
            pad = m->cfg.pad_token_id;
    /* 4.37.2's table grows with the ids of one call, not with those in a cache. */
    int64_t rows = oci_max(m->cfg.max_position_embeddings, counted ? past + T : T) + pad +
                   1;
    oci_tensor *x = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, T, D));
    if (!x) return NULL;
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0, seen = 0; t < T; t++) {
            float *out = oci_f32(x) + (b * T + t) * D;
            bool counts = oci_i64(ids)[b * T + t] != pad;
            seen += counts;
            int64_t row = counts ? seen + (counted ? counted[b] : past) + pad : pad;
            if (row >= rows)
                oci_fail(cx, OC_E_MALFORMED,
                         "decoder positions: expected less than %lld, found %lld",
                         (long long)rows, (long long)row);
            if (counts) sinusoid(row, D, out);
            else for (int64_t i = 0; i < D; i++) out[i] = 0;
        }
    return x;
}

static oci_tensor *embed(oc_context *cx, const trocr *m, const oci_decode_call *call)
{
    const trocr_config *c = &m->cfg;
    oci_tensor *x = oci_text_embed(cx, m->embed_tokens, call, c->pad_token_id);
    if (!x || oci_failed(cx)) return NULL;
    if (c->scale_embedding && !call->inputs_embeds)
        x = oci_op_scale(cx, x, sqrtf((float)c->d_model));              /* [B, T, D] */
    oci_tensor *p = c->use_learned_position_embeddings
                        ? oci_text_positions(cx, m->embed_positions, call, x->shape[1],
                                             POSITION_OFFSET)
                        : sinusoidal_positions(cx, m, call->input_ids,
                                               oci_text_past(call), call->counted);
    x = oci_op_add(cx, x, p);
    return c->layernorm_embedding ? oci_layer_norm(cx, &m->layernorm_embedding, x) : x;
}

static oci_tensor *trocr_decode(oc_context *cx, const void *model, oci_decode_call call)
{
    const trocr *m = model;
    const trocr_config *c = &m->cfg;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = embed(cx, m, &call);                                /* [B, T, D] */
    if (!x) return NULL;
    int64_t T = x->shape[1];
    oci_text_stack stack = {
        .layers = m->layers, .count = c->decoder_layers,
        .heads = c->decoder_attention_heads, .act = c->activation_function,
        .cross_past = true, .mask = oci_causal_mask(cx, call.attention_mask, T,
                                                    oci_text_past(&call) + T),
        .cross_mask = oci_padding_mask(cx, call.encoder_attention_mask) };
    x = oci_text_stack_run(cx, &stack, mark, x, &call);                 /* [B, T, D] */
    if (call.last_only) x = oci_op_slice(cx, x, T - 1, 1);              /* [B, 1, D] */
    return oci_linear(cx, &m->output_projection, x);                    /* [B, T, V] */
}

static oci_decoder_shape trocr_shape(const void *model)
{
    const trocr_config *c = &((const trocr *)model)->cfg;
    return (oci_decoder_shape){
        .layers = c->decoder_layers, .heads = c->decoder_attention_heads,
        .head_dim = c->d_model / c->decoder_attention_heads, .width = c->d_model,
        .vocab_size = c->vocab_size, .cross_attention = true, .cross_past = true,
        .cross_width = c->cross_attention_hidden_size,
        .max_positions = c->max_position_embeddings, .pad_token_id = c->pad_token_id };
}

/* ---- TrOCRForCausalLM ---- */

static const oci_input_spec inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },
    { "encoder_hidden_states", OCI_INPUT_FLOAT, 3 },
    { "encoder_attention_mask", OCI_INPUT_MASK, 2 }, { "head_mask", OCI_INPUT_FLOAT, 2 },
    { "cross_attn_head_mask", OCI_INPUT_FLOAT, 2 },
    { "past_key_values.", OCI_INPUT_FLOAT, 4 }, { "inputs_embeds", OCI_INPUT_FLOAT, 3 },
    { "labels", OCI_INPUT_IDS, 2 }, OCI_INPUTS_END
};

static oci_tensor *trocr_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    return oci_causal_lm_forward(cx, &oci_trocr, model, in, OCI_LM_PLAIN);
}

static const oci_class classes[] = {
    { "TrOCRForCausalLM", inputs, trocr_forward }, { 0 }
};

const oci_arch oci_trocr = {
    .model_type = "trocr", .size = sizeof(trocr), .classes = classes, .open = trocr_open,
    .close = trocr_close, .walk = trocr_walk, .decode = trocr_decode,
    .decoder_shape = trocr_shape, .decoder_inputs = inputs,
};
