/* BART's decoder and mBART's, which differ in the place of their norms. */
#ifndef OCI_MODELS_BART_H
#define OCI_MODELS_BART_H

#include "models/text.h"

typedef struct oci_bart_config {
    int64_t vocab_size, d_model, decoder_layers, decoder_attention_heads, decoder_ffn_dim;
    int64_t max_position_embeddings, pad_token_id;
    oci_act activation_function;
    double init_std;
    bool scale_embedding, tie_word_embeddings;
} oci_bart_config;

typedef struct oci_bart_model {
    oci_bart_config cfg;
    bool mbart;                         /* pre-norm, and a norm after the last layer */
    oci_tensor *embed_tokens;           /* [V, D] */
    oci_tensor *embed_positions;        /* [max + 2, D] */
    oci_norm_layer layernorm_embedding, layer_norm;     /* layer_norm: mBART alone */
    oci_text_layer *layers;             /* [L] */
    oci_linear_layer lm_head;           /* [V, D] */
} oci_bart_model;

void oci_bart_open(oc_context *cx, const oci_config_source *from, void *model);
void oci_bart_close(void *model);
void oci_bart_walk(oci_walk w, void *model);
oci_tensor *oci_bart_decode(oc_context *cx, const void *model, oci_decode_call call);
oci_decoder_shape oci_bart_shape(const void *model);
extern const oci_input_spec oci_bart_inputs[];

#endif
