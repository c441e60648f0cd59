/* Swin, and what DonutSwin (donut_swin.c) changes of it. */
#ifndef OCI_MODELS_SWIN_H
#define OCI_MODELS_SWIN_H

#include "models/arch.h"

enum { OCI_SWIN_STAGES = 12 };

typedef struct oci_swin_config {
    int64_t embed_dim, window_size, num_channels, image_size[2], patch_size[2];
    int64_t stages, depths[OCI_SWIN_STAGES], num_heads[OCI_SWIN_STAGES];
    double mlp_ratio, layer_norm_eps, initializer_range;
    oci_act hidden_act;
    bool qkv_bias, use_absolute_embeddings;
} oci_swin_config;

typedef struct oci_swin_block {
    oci_norm_layer layernorm_before, layernorm_after;
    oci_attention_layer attention;
    oci_tensor *bias_table;             /* [(2w - 1)^2, heads] */
    oci_linear_layer intermediate, output;
} oci_swin_block;

typedef struct oci_swin_stage {
    int64_t width, depth, heads;        /* width C doubles from stage to stage */
    oci_swin_block *blocks;             /* [depth] */
    oci_norm_layer merge_norm;          /* [4 C] … */
    oci_linear_layer reduction;         /* … [2 C, 4 C]; of all stages but the last */
} oci_swin_stage;

typedef struct oci_swin {
    oci_swin_config cfg;
    bool final_norm;
    oci_linear_layer patches;
    oci_norm_layer embeddings_norm, layernorm;
    oci_tensor *mask_token;             /* [1, 1, C]; only of models for masked images */
    oci_tensor *position_embeddings;    /* [1, N + 1, C] or NULL */
    oci_swin_stage stages[OCI_SWIN_STAGES];
} oci_swin;

extern const oci_input_spec oci_swin_inputs[];

void oci_swin_open(oc_context *cx, const oci_config_source *from, void *model);
void oci_swin_close(void *model);
void oci_swin_walk(oci_walk w, void *model);
oci_tensor *oci_swin_encode(oc_context *cx, const void *model, oci_encode_call call);
oci_tensor *oci_swin_forward(oc_context *cx, const void *model, const oc_tensors *in);
int64_t oci_swin_width(const void *model);

#endif
