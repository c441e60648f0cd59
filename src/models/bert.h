/* BERT and what differs from it by names and positions only
 * (RoBERTa, XLM-RoBERTa, CamemBERT). */
#ifndef OCI_MODELS_BERT_H
#define OCI_MODELS_BERT_H

#include "models/text.h"

/* What tells two such models apart. */
typedef struct oci_bert_kind {
    const oci_arch *arch;
    const char *base_class, *prefix;            /* "BertModel", "bert" */
    int64_t vocab_size, pad_token_id;           /* defaults of its config class */
    bool roberta; /* positions leave pads out and begin behind pad_token_id; the head is
                           called lm_head and its activation is always gelu */
} oci_bert_kind;

typedef struct oci_bert_config {
    int64_t vocab_size, hidden_size, num_hidden_layers, num_attention_heads;
    int64_t intermediate_size, max_position_embeddings, type_vocab_size, pad_token_id;
    oci_act hidden_act;
    double layer_norm_eps, initializer_range;
    bool is_decoder, add_cross_attention, tie_word_embeddings;
} oci_bert_config;

typedef struct oci_bert_model {
    const oci_bert_kind *kind;
    oci_bert_config cfg;
    bool part;          /* of a composite, whose Flax classes count RoBERTa's positions */
    bool has_head;      /* it is a model with a head around the base model */
    bool head_optional; /* … but not of classes[1], the causal one: it may have none of
                           it */
    oci_tensor *word_embeddings;        /* [V, D] */
    oci_tensor *position_embeddings;    /* [P, D] */
    oci_tensor *token_type_embeddings;  /* [types, D] */
    oci_norm_layer norm;
    oci_text_layer *layers;             /* [L] */
    oci_linear_layer pooler;            /* of the base model; weight NULL: none */
    oci_linear_layer transform, decoder;        /* of the head; [D, D] and [V, D] */
    oci_norm_layer head_norm;
} oci_bert_model;

void oci_bert_open(oc_context *cx, const oci_config_source *from, void *model,
                   const oci_bert_kind *kind);
void oci_bert_close(void *model);
void oci_bert_walk(oci_walk w, void *model);
const oci_attention_layer *oci_bert_attention(const void *model, int64_t layer);
/* attention.self.query … output.LayerNorm, which VisualBERT's layers have, too. */
void oci_bert_layer_walk(oci_walk w, oci_text_layer *l, const oci_bert_config *c);
oci_tensor *oci_bert_decode(oc_context *cx, const void *model, oci_decode_call call);
oci_tensor *oci_bert_encode_text(oc_context *cx, const void *model, oci_decode_call call,
                                 oci_tensor **pooled);
oci_decoder_shape oci_bert_shape(const void *model);
/* The causal language model and the base model as classes. */
extern const oci_input_spec oci_bert_inputs[], oci_bert_base_inputs[];
oci_tensor *oci_bert_lm_forward(oc_context *cx, const void *model, const oc_tensors *in);
oci_tensor *oci_bert_base_forward(oc_context *cx, const void *model,
                                  const oc_tensors *in);

#endif
