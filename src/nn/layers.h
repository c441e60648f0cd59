/* The parts that models are made of: linear maps, norms, embeddings, attention. Each is a
 * struct of parameters, a walk that names them as Transformers does, and a function of
 * tensors. Optional arguments are written by name: oci_linear(cx, &l->fc2, h, .residual =
 * x).
 *
 * B batch, T positions, N positions of the source, D width, H heads. */
#ifndef OCI_NN_LAYERS_H
#define OCI_NN_LAYERS_H

#include "nn/cache.h"
#include "nn/walk.h"
#include "tensor/ops.h"

/* ---- linear: torch.nn.Linear, and Conv2d whose kernel is its stride ---- */

typedef struct oci_linear_layer {
    oci_tensor *weight;             /* [N, K] */
    oci_tensor *bias;               /* [N] or NULL */
} oci_linear_layer;

typedef struct oci_linear_call {
    oci_tensor *x;                  /* [.., K] */
    oci_act act;                    /* applied to the product and bias … */
    oci_tensor *residual;           /* … and then this is added: [.., N] or NULL */
} oci_linear_call;

void oci_walk_linear(oci_walk w, oci_linear_layer *layer, int64_t N, int64_t K,
                     bool bias);
/* "bias" [N]; zeros when made afresh, unless it is torch's own initialisation. */
void oci_walk_bias(oci_walk w, oci_tensor **bias, int64_t N);
/* Transformers' Conv1D: a linear map whose weight is [K, N] in files. */
void oci_walk_conv1d(oci_walk w, oci_linear_layer *layer, int64_t N, int64_t K);
void oci_walk_conv(oci_walk w, oci_linear_layer *layer, int64_t out, int64_t in,
                   int64_t kernel_h, int64_t kernel_w);
/* [.., N] */
#define oci_linear(cx, layer, ...) \
    oci_linear_run(cx, layer, (oci_linear_call){ .x = __VA_ARGS__ })
oci_tensor *oci_linear_run(oc_context *cx, const oci_linear_layer *layer,
                           oci_linear_call call);

/* ---- layer norm: torch.nn.LayerNorm ---- */

typedef struct oci_norm_layer {
    oci_tensor *weight, *bias;      /* [D] */
    float eps;
} oci_norm_layer;

void oci_walk_norm(oci_walk w, oci_norm_layer *layer, int64_t width, double eps);
oci_tensor *oci_layer_norm(oc_context *cx, const oci_norm_layer *layer, oci_tensor *x);

/* ---- RMS norm: Transformers' LlamaRMSNorm; its bias stays NULL ---- */

void oci_walk_rms_norm(oci_walk w, oci_norm_layer *layer, int64_t width, double eps);
oci_tensor *oci_rms_norm(oc_context *cx, const oci_norm_layer *layer, oci_tensor *x);

/* ---- attention: four projections round softmax(q kᵀ) v ---- */

typedef struct oci_attention_layer {
    oci_linear_layer q, k, v, out;
    oci_linear_layer fused;         /* weight not NULL: [q | k | v] in one product, in
                                       place of the three; or [k | v] of cross-attention,
                                       beside q */
    int64_t heads;
    int64_t kv_heads;               /* of keys and values; 0: as many */
    float scale;
} oci_attention_layer;

static inline int64_t oci_kv_heads(const oci_attention_layer *layer)
{
    return layer->kv_heads ? layer->kv_heads : layer->heads;
}

typedef struct oci_attention_call {
    oci_tensor *x;                  /* queries from [B, T, D] */
    oci_tensor *source;             /* keys and values from [B, N, Ds]; NULL: from x */
    bool causal;
    oci_tensor *mask;               /* added to the scores, [1|B, 1|H, 1|T, keys] … */
    oci_tensor *mask_rows;          /* … or [M, ..] and I64 [B]: row b has
                                       mask mask_rows[b] */
    oci_tensor *head_mask;          /* [H] */
    oci_tensor *rope;               /* [1|B, T, d] turns queries and keys
                                       (oci_rope_table) */
    const oci_segments *segments;   /* x is [1, T, D] of several sequences; no mask
                                       then */
    oci_tensor *residual;           /* added to the result */
    oci_cache *cache;               /* keys and values are kept there, in layer `layer` */
    int64_t layer;
    oci_tensor **weights;           /* receives [B, H, T, keys] */
    oci_tensor **keys, **values;    /* receive [B, N, D], keys turned, where there is
                                       no cache */
} oci_attention_call;

/* [B, T, D] */
#define oci_attention(cx, layer_, ...) \
    oci_attention_run(cx, layer_, (oci_attention_call){ .x = __VA_ARGS__ })
oci_tensor *oci_attention_run(oc_context *cx, const oci_attention_layer *layer,
                              oci_attention_call call);

/* Row `layer` of a head mask [layers, H], or the mask itself if [H]; NULL stays NULL. */
oci_tensor *oci_head_mask_of(oc_context *cx, oci_tensor *head_mask, int64_t layer,
                             int64_t layers, int64_t heads);

/* ---- rotary positions ---- */

typedef enum oci_rope_kind {
    OCI_ROPE_PLAIN,
    OCI_ROPE_LINEAR,
    OCI_ROPE_DYNAMIC
} oci_rope_kind;

typedef struct oci_rope {
    oci_rope_kind kind;
    double theta, factor;           /* rope_theta; factor: of the last two kinds */
    int64_t max_positions;          /* beyond it `dynamic` turns slower */
    int64_t head_dim;               /* even */
} oci_rope;

/* Cosines and sines of positions I64 [1|B, T] in a call that sees `keys` positions: what
 * oci_op_rope takes, [1|B, T, head_dim]. A position has to lie in 0 .. keys - 1 or,
 * counted from the end as Python does, -keys .. -1. */
oci_tensor *oci_rope_table(oc_context *cx, const oci_rope *rope,
                           const oci_tensor *positions, int64_t keys);

/* ---- masks that are added to scores: 0 where seen, the lowest float where not ---- */

/* attention_mask [B, keys], 1 = seen, NULL = all. What _prepare_4d_causal_attention_mask
 * gives, [B, 1, T, keys]; NULL when `causal` in the attention call says it all. */
oci_tensor *oci_causal_mask(oc_context *cx, const oci_tensor *attention_mask, int64_t T,
                            int64_t keys);
/* The same for PyTorch's fused attention (…_for_sdpa): a query whose number is below that
 * of the first key seen sees all keys, whatever there is before it. OC_E_ARGUMENT where
 * there is no query of such a number. */
oci_tensor *oci_causal_mask_fused(oc_context *cx, const oci_tensor *attention_mask,
                                  int64_t T, int64_t keys);
/* _prepare_4d_attention_mask: [B, 1, 1, keys]. */
oci_tensor *oci_padding_mask(oc_context *cx, const oci_tensor *attention_mask);
/* get_extended_attention_mask of BERT's time: (1 - m) * lowest, m = attention_mask, and 0
 * for keys to come if T > 0; [B, 1, T, keys] or (T = 0: all keys for all) [B, 1, 1,
 * keys]. Where nothing is seen all keys count alike, those to come too. NULL when there
 * is nothing to add. */
oci_tensor *oci_extended_mask(oc_context *cx, const oci_tensor *attention_mask,
                              int64_t T);

#endif
