/* The sides of a VisionTextDualEncoderModel or a CLIPModel, one by one: what embedding
 * and zero-shot classes are made of. */
#ifndef OCI_MODELS_VISION_TEXT_DUAL_ENCODER_H
#define OCI_MODELS_VISION_TEXT_DUAL_ENCODER_H

#include "models/clip.h"

typedef struct oci_dual_config {
    int64_t projection_dim;             /* E, the width of the shared space */
    double logit_scale_init_value;      /* of the logarithm */
} oci_dual_config;

typedef struct oci_dual {
    oci_dual_config cfg;
    const oci_arch *vision_arch, *text_arch;
    void *vision, *text;                /* model structs of those */
    int64_t vision_width, text_width;
    oci_linear_layer visual_projection, text_projection;   /* [E, Dv], [E, Dt], no bias */
    oci_tensor *logit_scale;            /* [], ln of the factor */
} oci_dual;

/* The root of a model of `arch` that is a dual encoder with both towers; else NULL. */
const oci_dual *oci_dual_of(const oci_arch *arch, const void *root);

/* logit_scale, in the state dict's first place; the towers and projections follow. */
void oci_dual_scale_walk(oci_walk w, oci_dual *m);
/* Frees both towers. */
void oci_dual_close(void *model);

/* get_image_features, get_text_features: what a tower pools, projected, not normalised.
 * The tower's own outputs are handed out on the way. [B, E] */
oci_tensor *oci_dual_image_features(oc_context *cx, const oci_dual *m,
                                    oci_encode_call call);
oci_tensor *oci_dual_text_features(oc_context *cx, const oci_dual *m,
                                   oci_decode_call call);
/* exp(logit_scale) text imageᵀ of normalised rows: logits_per_text [Bt, Bi]. */
oci_tensor *oci_dual_similarity(oc_context *cx, const oci_dual *m, oci_tensor *text,
                                oci_tensor *image);

/* The vector that stands for a whole text. DistilBERT has no pooler, and 4.37.2 takes it
 * for no text tower; ours is the state of the first token, which its own classifiers
 * read. NULL (error set) where the weights lack the pooler. */
oci_tensor *oci_text_pooled(oc_context *cx, const oci_arch *arch, const void *model,
                            oci_decode_call call);
/* The same of a picture. */
oci_tensor *oci_vision_pooled(oc_context *cx, const oci_arch *arch, const void *model,
                              oci_encode_call call);

/* ---- classes: the model's own, and its two get_…_features ---- */

extern const oci_input_spec oci_dual_inputs[], oci_dual_image_inputs[],
    oci_dual_text_inputs[];
oci_tensor *oci_dual_forward(oc_context *cx, const void *model, const oc_tensors *in);
oci_tensor *oci_dual_image_forward(oc_context *cx, const void *model,
                                   const oc_tensors *in);
oci_tensor *oci_dual_text_forward(oc_context *cx, const void *model,
                                  const oc_tensors *in);

#endif
