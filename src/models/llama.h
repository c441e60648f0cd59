/* Llama as composites hold it: their language model, which reads what they embedded. */
#ifndef OCI_MODELS_LLAMA_H
#define OCI_MODELS_LLAMA_H

#include "models/text.h"

typedef struct oci_llama_config {
    int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers;
    int64_t num_attention_heads, num_key_value_heads, max_position_embeddings,
        pretraining_tp;
    oci_act hidden_act;
    double initializer_range, rms_norm_eps, rope_theta, attention_dropout;
    bool tie_word_embeddings, attention_bias;
} oci_llama_config;

typedef struct oci_llama_layer {
    oci_attention_layer self;
    oci_linear_layer gate, up, down;
    oci_norm_layer self_norm, mlp_norm;         /* RMS norms */
} oci_llama_layer;

typedef struct oci_llama {
    oci_llama_config cfg;
    oci_rope rope;
    int64_t padding_idx;                        /* pad_token_id; -1: none */
    bool has_head;
    oci_tensor *embed_tokens;                   /* [V, D] */
    oci_llama_layer *layers;                    /* [L] */
    oci_norm_layer norm;
    oci_linear_layer lm_head;                   /* [V, D] */
} oci_llama;

/* Rows of the embeddings, [B, T, D]. */
oci_tensor *oci_llama_embed(oc_context *cx, const oci_llama *m, oci_tensor *ids);
/* Logits [B, T, V] (or of the last position, [B, 1, V]) of ids or
 * embeddings. The arguments have been checked (oci_decode_with_past), or
 * come from one who knows that they fit. */
oci_tensor *oci_llama_decode(oc_context *cx, const oci_llama *m, oci_decode_call call);

#endif
