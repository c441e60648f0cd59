/* What ViT, DeiT and BEiT share: the keys of their configs, the patches, the pre-norm
 * blocks, and (ViT, DeiT) the norm and pooler behind them.
 *
 *   x [B,T,D]:  x += λ1 attention(norm(x)),  x += λ2 output(act(intermediate(norm(x))))
 *
 * λ1, λ2 (layer scale) and the attention's bias are BEiT's; the others have none. */
#ifndef OCI_MODELS_VIT_LAYERS_H
#define OCI_MODELS_VIT_LAYERS_H

#include "models/arch.h"

typedef struct oci_vit_config {
    int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
    int64_t image_size[2], patch_size[2], num_channels;
    oci_act hidden_act;
    double layer_norm_eps, initializer_range;
    bool qkv_bias;
} oci_vit_config;

typedef struct oci_vit_layer {
    oci_norm_layer layernorm_before, layernorm_after;
    oci_attention_layer attention;
    oci_linear_layer intermediate, output;
    oci_tensor *lambda_1, *lambda_2;    /* [D] or NULL */
    oci_tensor *bias_table;             /* [distances, heads] or NULL: for
                                           oci_op_relative_bias */
} oci_vit_layer;

typedef struct oci_vit_layers {
    oci_vit_config cfg;
    bool key_bias, layer_scale;         /* what the layers have */
    double layer_scale_value;           /* what layer scale starts as */
    int64_t distances;                  /* rows of each layer's bias_table; 0: no table */
    oci_linear_layer patches;           /* the convolution, [D, C * p * p] */
    oci_vit_layer *layers;              /* [L] */
    oci_norm_layer layernorm;
    oci_linear_layer pooler;
} oci_vit_layers;

/* Reads the config, checks it and makes the layers; freed by oci_vit_layers_close. */
bool oci_vit_layers_open(oc_context *cx, const oci_config_source *from,
                         oci_vit_layers *m);
void oci_vit_layers_close(oci_vit_layers *m);
/* arch->attention of a model whose first member is its oci_vit_layers. */
const oci_attention_layer *oci_vit_attention(const void *model, int64_t layer);
/* The grid of patches that image_size gives. */
void oci_vit_grid(const oci_vit_config *c, int64_t *h, int64_t *w);

void oci_walk_vit_patches(oci_walk embeddings, oci_vit_layers *m);
void oci_walk_vit_layers(oci_walk w, oci_vit_layers *m);        /* encoder.layer.* */
void oci_walk_vit_end(oci_walk w, oci_vit_layers *m);           /* layernorm, pooler */

/* pixel_values → [B, N, D]. Other sizes than the config's pass if `any_size`. */
oci_tensor *oci_vit_patches(oc_context *cx, const oci_vit_layers *m,
                            const oci_encode_call *call, bool any_size);
/* The mask token (NULL: there is none) in place of the patches of bool_masked_pos. */
oci_tensor *oci_vit_masked(oc_context *cx, oci_tensor *x, oci_tensor *mask_token,
                           const oci_encode_call *call);
/* All blocks. Hands out hidden_states and attentions; settles each layer at `mark`. */
oci_tensor *oci_vit_blocks(oc_context *cx, const oci_vit_layers *m, oci_arena_mark mark,
                           oci_tensor *x, oci_tensor *shared_bias, oci_tensor *head_mask);
/* layernorm and (call->pooler) pooler: hands out last_hidden_state and pooler_output,
 * returns the former. */
oci_tensor *oci_vit_end(oc_context *cx, const oci_vit_layers *m, oci_arena_mark mark,
                        oci_tensor *x, const oci_encode_call *call);

#endif
