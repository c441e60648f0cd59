/* VisualBERT: the base model, and what its heads (visual_bert_heads.c) know of it. */
#ifndef OCI_MODELS_VISUAL_BERT_H
#define OCI_MODELS_VISUAL_BERT_H

#include "models/bert.h"

/* Which class the weights are of; the order of oci_visual_bert_classes. */
typedef enum oci_visual_head {
    OCI_VISUAL_BASE, OCI_VISUAL_PRETRAINING, OCI_VISUAL_MULTIPLE_CHOICE,
    OCI_VISUAL_QUESTION_ANSWERING, OCI_VISUAL_REASONING, OCI_VISUAL_REGION_TO_PHRASE
} oci_visual_head;

typedef struct oci_visual_config {      /* beside BERT's */
    int64_t visual_embedding_dim;
    int64_t num_labels;                 /* K */
    bool bypass_transformer, special_visual_initialize, is_decoder;
} oci_visual_config;

typedef struct oci_visual_bert {
    oci_visual_head head;
    oci_bert_config cfg;
    oci_visual_config visual;
    oci_tensor *word_embeddings;        /* [V, D] */
    oci_tensor *position_embeddings, *visual_position_embeddings;       /* [P, D] */
    oci_tensor *token_type_embeddings, *visual_token_type_embeddings;   /* [types, D] */
    oci_norm_layer norm;
    oci_linear_layer visual_projection; /* [D, E] */
    oci_text_layer *layers;             /* [L] */
    oci_text_layer additional;          /* of bypass_transformer; nothing runs it */
    oci_linear_layer pooler;            /* [D, D] */
    /* Of PreTraining and RegionToPhraseAlignment. */
    oci_linear_layer transform, decoder, seq_relationship;    /* [D, D], [V, D], [2, D] */
    oci_norm_layer head_norm;
    oci_linear_layer query, key, value; /* of RegionToPhraseAlignment: [D / heads, D] */
    oci_linear_layer cls;               /* of the other heads: [1, D] or [K, D] */
} oci_visual_bert;

typedef struct oci_visual_call {
    oci_decode_call text;               /* its mask may also be [B, 1|S, T] */
    oci_tensor *visual_embeds;          /* [B, V, E]; NULL: a plain BERT */
    oci_tensor *visual_attention_mask;  /* [B, V] or [B, 1|S, V], 1 = seen */
    oci_tensor *visual_token_type_ids;  /* [1|B, V] */
    oci_tensor *image_text_alignment;   /* [1|B, V or more, A], -1: none */
} oci_visual_call;

oci_visual_call oci_visual_call_of(oc_context *cx, const oc_tensors *in,
                                   const oci_input_spec *specs);
/* last_hidden_state [B, S, D], S = T + V: the text's positions, then the regions'. */
oci_tensor *oci_visual_bert_hidden(oc_context *cx, const oci_visual_bert *m,
                                   const oci_visual_call *call);
/* pooler_output [B, D]. */
oci_tensor *oci_visual_bert_pool(oc_context *cx, const oci_visual_bert *m, oci_tensor *x);

extern const oci_class oci_visual_bert_classes[];
void oci_visual_heads_walk(oci_walk w, oci_visual_bert *m);

#endif
