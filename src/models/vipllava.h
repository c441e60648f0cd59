/* The parts of a VipLlavaForConditionalGeneration that generation drives one by one. */
#ifndef OCI_MODELS_VIPLLAVA_H
#define OCI_MODELS_VIPLLAVA_H

#include "models/clip.h"
#include "models/llama.h"

enum { OCI_MAX_FEATURE_LAYERS = 256 };

/* hidden_states of the vision tower to read, 0 (the embeddings) to L or, from the end, -1
 * to -(L + 1). */
typedef struct oci_feature_layers {
    int64_t at[OCI_MAX_FEATURE_LAYERS];
    int64_t count;
} oci_feature_layers;

typedef struct oci_vipllava {
    oci_clip_tower vision;
    oci_llama language;
    oci_norm_layer projector_layernorm;         /* [K * Dv] */
    oci_linear_layer linear_1, linear_2;        /* [D, K * Dv], [D, D] */
    struct {
        int64_t ignore_index, image_token_index;
        int64_t pad_token_id;                   /* null: -1, an id that none has */
        oci_act projector_hidden_act;
        double projector_layernorm_eps, initializer_range;
        oci_feature_layers vision_feature_layers;
    } cfg;
} oci_vipllava;

/* Image features ready for the language model, [N, P, D]; layers NULL: the config's. */
oci_tensor *oci_vipllava_features(oc_context *cx, const oci_vipllava *m,
                                  oci_tensor *pixels, const oci_feature_layers *layers);

/* What 4.37.2's _merge_input_ids_with_image_features is given and makes. B rows of S ids
 * become rows of M slots, an image token P of them. */
typedef struct oci_merge {
    oci_tensor *ids;                /* I64 [B, S] */
    oci_tensor *mask;               /* [B, S] whole numbers */
    oci_tensor *labels;             /* I64 [B, S] or NULL */
    oci_tensor *features;           /* [N, P, D] */
    int64_t repeats;                /* each image this often, one after the other */
    oci_tensor *embeds;             /* made: [B, M, D] … */
    oci_tensor *slot_mask;          /* … [B, M] … */
    oci_tensor *slot_labels;        /* … I64 [B, M] or NULL … */
    oci_tensor *positions;          /* … I64 [B, M] */
} oci_merge;
/* False: error set; images and their tokens do not match, say. */
bool oci_vipllava_merge(oc_context *cx, const oci_vipllava *m, oci_merge *merge);

/* The mask of a step over one id behind `cached` slots: `mask` [B, L], the ids' own, and
 * then ones up to cached + 1, but for slots of dead [B, cached + 1 - L]. 4.37.2 puts them
 * in this order, whatever the slots are. *positions receives I64 [B, 1]. */
oci_tensor *oci_vipllava_step_mask(oc_context *cx, const oci_tensor *mask, int64_t cached,
                                   const bool *dead, oci_tensor **positions);

#endif
