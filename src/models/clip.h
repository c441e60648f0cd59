/* The towers of CLIP: a vision transformer and a causal text transformer with the same
 * layers. What composites open of a `clip` config is one of its two parts. */
#ifndef OCI_MODELS_CLIP_H
#define OCI_MODELS_CLIP_H

#include "models/text.h"

typedef struct oci_clip_config {
    int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
    int64_t projection_dim;
    oci_act hidden_act;
    double layer_norm_eps, initializer_range, initializer_factor;
    int64_t image_size, patch_size, num_channels;                       /* vision */
    int64_t vocab_size, max_position_embeddings, eos_token_id;          /* text */
} oci_clip_config;

typedef struct oci_clip_tower {
    oci_clip_config cfg;
    bool projects;                      /* the weights are those of …WithProjection */
    bool alone;                         /* no part of a composite: may have a
                                           projection */
    oci_tensor *class_embedding;        /* vision: [D] */
    oci_linear_layer patch_embedding;   /* vision: the convolution, [D, C * p * p], no
                                           bias */
    oci_tensor *token_embedding;        /* text: [V, D] */
    oci_tensor *position_embedding;     /* [T, D] */
    oci_norm_layer pre_layrnorm;        /* vision; Transformers' spelling */
    oci_text_layer *layers;             /* [L] */
    oci_norm_layer last_norm;           /* vision: post_layernorm, of the pooled row
                                           alone; text: final_layer_norm, of all */
    oci_linear_layer projection;        /* [projection_dim, D], no bias; or none */
} oci_clip_tower;

/* The part "vision_config" or "text_config" of a `clip` config, which 4.37.2 reads from
 * PART_dict where there is one (configs of 2022 have both). `path` has room
 * for the path of its fields. */
oci_config_source oci_clip_part(oc_context *cx, const oci_config_source *from,
                                const char *part, char path[OCI_MAX_NAME]);

/* Hidden states of the vision tower: those marked in keep [L + 1] are put into
 * states [L + 1], [N, T, D] each. Layers above the last of them do not run,
 * and nothing is handed out. */
void oci_clip_vision_states(oc_context *cx, const oci_clip_tower *m, oci_tensor *pixels,
                            const bool *keep, oci_tensor **states);

extern const oci_input_spec oci_clip_vision_inputs[], oci_clip_text_inputs[];
/* The classes, over a tower: CLIPVisionModel and CLIPTextModel; … */
void oci_clip_vision_run(oc_context *cx, const oci_clip_tower *m, const oc_tensors *in);
void oci_clip_text_run(oc_context *cx, const oci_clip_tower *m, const oc_tensors *in);
/* … and …WithProjection. */
void oci_clip_image_embeds(oc_context *cx, const oci_clip_tower *m,
                           const oci_linear_layer *projection, const oc_tensors *in);
void oci_clip_text_embeds(oc_context *cx, const oci_clip_tower *m,
                          const oci_linear_layer *projection, const oc_tensors *in);

#endif
