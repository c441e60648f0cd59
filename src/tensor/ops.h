/* The operations that models are written in. Inputs are borrowed; results live in the arena.
 * B batch, T or N positions, D width; optional inputs may be NULL. Each function is one row of
 * the op table (op.h), which the file named beside it defines with its gradient. */
#ifndef OCI_TENSOR_OPS_H
#define OCI_TENSOR_OPS_H

#include "tensor/op.h"

/* linear.c: y [.., N] = act(x [.., K] Wᵀ + bias) + residual; W [N, K], bias [N]. act and
 * residual ride on the product outside a tape only (nn/linear.h takes them apart on one). */
oci_tensor *oci_op_linear(oc_context *cx, oci_tensor *x, oci_tensor *weight, oci_tensor *bias,
                          oci_act act, oci_tensor *residual);

/* attention.c: heads of softmax(scale q kᵀ + mask) v. q [B, Tq, D], k, v [B, Tk, D];
 * mask [1|B, 1|heads, 1|Tq, Tk] is added to the scores, or mask [M, ..] with mask_rows [B]
 * (I64), which says the row of the mask for each row of the batch; head_mask [heads]
 * multiplies the weights. *weights, if not NULL, receives [B, heads, Tq, Tk] after it. */
oci_tensor *oci_op_attention(oc_context *cx, oci_tensor *q, oci_tensor *k, oci_tensor *v,
                             oci_tensor *mask, oci_tensor *mask_rows, oci_tensor *head_mask,
                             int64_t heads, float scale, bool causal, oci_tensor **weights);
/* The same with the first `length` cached keys and values. No gradient. */
oci_tensor *oci_op_attention_cached(oc_context *cx, oci_tensor *q, const oci_kv *kv,
                                    const int64_t *kv_rows, int64_t length, oci_tensor *mask,
                                    oci_tensor *head_mask, float scale, bool causal,
                                    oci_tensor **weights);

/* norm.c: over the last dimension; gamma, beta [D]. */
oci_tensor *oci_op_layer_norm(oc_context *cx, oci_tensor *x, oci_tensor *gamma,
                              oci_tensor *beta, float eps);

/* elementwise.c */
oci_tensor *oci_op_act(oc_context *cx, oci_act act, oci_tensor *x);
/* a + b, b's shape being the last dimensions of a's: positions onto every row of a batch. */
oci_tensor *oci_op_add(oc_context *cx, oci_tensor *a, oci_tensor *b);
oci_tensor *oci_op_scale(oc_context *cx, oci_tensor *x, float factor);
/* x [B, N, D], token [D], where [B, N]: token where `where` is not 0 (BEiT, MAE, ViT masks). */
oci_tensor *oci_op_replace(oc_context *cx, oci_tensor *x, oci_tensor *token, oci_tensor *where);

/* shape.c */
oci_tensor *oci_op_reshape(oc_context *cx, oci_tensor *x, int rank, const int64_t *shape);
/* a [1|B, N, D] before b [B, M, D]: [B, N + M, D]; a batch of 1 is repeated. */
oci_tensor *oci_op_concat(oc_context *cx, oci_tensor *a, oci_tensor *b);
/* x [B, N, D]: positions begin .. begin + count - 1. */
oci_tensor *oci_op_slice(oc_context *cx, oci_tensor *x, int64_t begin, int64_t count);
/* pixels [B, C, H, W] → [B, H/ph * W/pw, C * ph * pw], the rows that a convolution with stride
 * = kernel = [ph, pw] multiplies; H, W need not divide (the rest is cut, as Conv2d does). */
oci_tensor *oci_op_patches(oc_context *cx, oci_tensor *pixels, int64_t ph, int64_t pw);
/* x [1, h * w, D] on a grid → [1, H * W, D] as torch's interpolate(mode="bicubic",
 * align_corners=False) does when given scale factors: coordinate (i + 0.5) / factor - 0.5. */
oci_tensor *oci_op_interpolate(oc_context *cx, oci_tensor *x, int64_t h, int64_t w, int64_t H,
                            int64_t W, double factor_h, double factor_w);

/* embedding.c: rows of table [V, D] by ids [B, T] → [B, T, D]. Row padding_idx (-1: none) gets
 * no gradient. An id outside 0..V-1 is OC_E_MALFORMED. */
oci_tensor *oci_op_embedding(oc_context *cx, oci_tensor *table, oci_tensor *ids,
                             int64_t padding_idx);

/* loss.c: mean over the rows whose label is not -100 of -log softmax(logits [.., V])[label];
 * labels I64 [..]. NaN when every label is -100, as in torch. Scalar. */
oci_tensor *oci_op_cross_entropy(oc_context *cx, oci_tensor *logits, oci_tensor *labels);

#endif
