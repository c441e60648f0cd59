/* What a model file offers: a descriptor. Composite models (vision_encoder_decoder.c)
 * know their parts only through it, so that any encoder goes with any decoder. Adding an
 * architecture is one file and one line in registry.c. */
#ifndef OCI_MODELS_ARCH_H
#define OCI_MODELS_ARCH_H

#include "models/config.h"
#include "models/inputs.h"
#include "models/outputs.h"
#include "nn/layers.h"

typedef struct oci_encode_call {        /* arguments of a vision encoder */
    oci_tensor *pixel_values;           /* [B, C, H, W] */
    oci_tensor *head_mask;              /* [layers, H] or [H] */
    oci_tensor *bool_masked_pos;        /* [B, patches] */
    bool interpolate_pos_encoding;
    bool pooler;                        /* hand out pooler_output, and all else that only
                                           the encoder's own class has */
    oci_tensor **pooled;                /* with `pooler`, if not NULL: receives
                                           pooler_output [B, D], or NULL where the weights
                                           have none */
} oci_encode_call;

typedef struct oci_decode_call {        /* arguments of a text model */
    oci_tensor *input_ids;              /* [B, T], or … */
    oci_tensor *inputs_embeds;          /* … [B, T, D] */
    oci_tensor *token_type_ids, *position_ids;     /* [1|B, T] or NULL: the model's own */
    oci_tensor *attention_mask;         /* [B, past + T], 1 = seen */
    oci_tensor *encoder_hidden_states;  /* [B, N, Dc]; NULL: no cross-attention, or
                                           cached */
    oci_tensor *encoder_attention_mask; /* [B, N] */
    oci_tensor *head_mask, *cross_attn_head_mask;       /* [layers, H] */
    const oci_segments *segments;       /* input_ids [1, T] are several texts, packed:
                                           positions begin again with each; for text
                                           encoders without masks, whose *pooled is then
                                           [texts, D]. NULL: a text a row */
    oci_cache *cache;                   /* NULL: none */
    bool last_only;                     /* logits of the last position alone */
    const int64_t *counted;             /* [B] ids before these that were no pads, where
                                           positions count those; NULL: the cache's
                                           length */
} oci_decode_call;

typedef struct oci_decoder_shape {      /* what a composite must know of its decoder */
    int64_t layers, heads, head_dim, width, vocab_size;    /* heads: of keys and values */
    int64_t max_positions;              /* most positions it can count; 0: no bound */
    int64_t cross_width;                /* cross_attention_hidden_size, where the model
                                           reads it; 0: keys come from `width` */
    int64_t pad_token_id;               /* its own, which positions may leave out; -1:
                                           null */
    bool cross_cache_stays;             /* its _reorder_cache leaves the encoder's keys
                                           where they are; seen only in the scores of
                                           beams that go on after their item is done */
    bool cross_attention;               /* it was configured to have some */
    bool cross_past;                    /* its past_key_values have cross-attention's
                                           too */
} oci_decoder_shape;

/* A Transformers class over an architecture: what `ocelli forward --class` names. */
typedef struct oci_class {
    const char *name;                   /* NULL ends a list */
    const oci_input_spec *inputs;
    /* Hands out the fields of the class's output (outputs.h);
     * returns the loss, or NULL. */
    oci_tensor *(*forward)(oc_context *cx, const void *model, const oc_tensors *in);
} oci_class;

/* Names that begin with `ours` may begin with `theirs` in a file;
 * several in order of trial. */
typedef struct oci_other_name {
    const char *ours, *theirs;          /* NULL ends a list */
} oci_other_name;

typedef struct oci_arch {
    const char *model_type;             /* config.json's */
    const char *base_prefix;            /* of the base model in files of models with
                                           heads */
    const struct oci_other_name *other_names;   /* in files of other versions; or NULL */
    size_t size;                        /* of the model struct */
    const oci_class *classes;
    /* Reads the config into the cleared model, checks it, makes its arrays of layers. */
    void (*open)(oc_context *cx, const oci_config_source *from, void *model);
    void (*close)(void *model);         /* frees what open made; not the parameters */
    void (*walk)(oci_walk w, void *model);
    /* Encoders: last_hidden_state [B, N, D]. */
    oci_tensor *(*encode)(oc_context *cx, const void *model, oci_encode_call call);
    int64_t (*encoder_width)(const void *model);
    bool interpolates;                  /* takes interpolate_pos_encoding */
    /* Decoders: logits [B, T, V]. */
    oci_tensor *(*decode)(oc_context *cx, const void *model, oci_decode_call call);
    oci_decoder_shape (*decoder_shape)(const void *model);
    const oci_input_spec *decoder_inputs;       /* what its causal language model takes */
    /* Text encoders: last_hidden_state [B, T, D]; *pooled, if not NULL, receives [B, D],
     * or NULL where the model has no pooler. */
    oci_tensor *(*encode_text)(oc_context *cx, const void *model, oci_decode_call call,
                               oci_tensor **pooled);
    bool pools_text;            /* it can be the text tower of a composite: it has a
                                   pooler, or (DistilBERT) its first token is read in its
                                   place */
    /* Self-attention of layer number `layer`, of which heads can be
     * pruned; NULL beyond the last. */
    const oci_attention_layer *(*attention)(const void *model, int64_t layer);
    const char *tokens_part;    /* composites: the part whose tokens
                                   resize_token_embeddings means, a key of the config;
                                   NULL: none */
    /* Composites: the part that the config calls `name`; NULL if there is none. */
    const struct oci_arch *(*part)(const void *model, const char *name,
                                   const void **root);
} oci_arch;

/* Hands pooler_output out, and to call->pooled. Encoders call
 * it once, if call->pooler. */
void oci_encode_pooled(oc_context *cx, const oci_encode_call *call, oci_tensor *pooled);

/* The arguments of a vision encoder out of named inputs. */
oci_encode_call oci_encode_call_of(oc_context *cx, const oc_tensors *in,
                                   const oci_input_spec *specs);

extern const oci_arch oci_vit, oci_deit, oci_beit, oci_swin_arch, oci_donut_swin,
    oci_clip_vision, oci_clip_text, oci_clip;
extern const oci_arch oci_llama_arch, oci_trocr, oci_vision_encoder_decoder, oci_bert,
    oci_roberta, oci_xlm_roberta, oci_camembert, oci_distilbert, oci_gpt2, oci_bart,
    oci_mbart, oci_vision_text_dual_encoder, oci_visual_bert_arch, oci_vipllava_arch;

/* NULL when there is no such model_type. */
const oci_arch *oci_arch_find(const char *model_type);
/* A decoder that can be configured to attend to an encoder's output. */
bool oci_arch_crosses(const oci_arch *arch);
/* "vit, deit, …" of all that have the part in question: 'e' vision encoders, 't' text
 * towers, 'd' decoders. */
const char *oci_arch_list(char part, char *text, size_t size);

#endif
