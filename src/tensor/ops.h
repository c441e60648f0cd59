/* The operations that models are written in. Inputs are borrowed; results live in
 * the arena. B batch, T or N positions, D width; optional inputs may be NULL. Each
 * function is one row of the op table (op.h), which the file named beside it
 * defines with its gradient. */
#ifndef OCI_TENSOR_OPS_H
#define OCI_TENSOR_OPS_H

#include "tensor/op.h"

/* linear.c: y [.., N] = act(x [.., K] Wᵀ + bias) + residual; W [N, K], bias [N]. act and
 * residual ride on the product outside a tape only (nn/linear.h takes them apart on
 * one). */
oci_tensor *oci_op_linear(oc_context *cx, oci_tensor *x, oci_tensor *weight,
                          oci_tensor *bias, oci_act act, oci_tensor *residual);

/* attention.c: heads of softmax(scale q kᵀ + mask) v. q [B, Tq, D], k, v [B, Tk, D], or
 * of fewer heads of the same size (grouped queries: several read one head of keys); mask
 * [1|B, 1|heads, 1|Tq, Tk] is added to the scores, or mask [M, ..] with mask_rows [B]
 * (I64), which says the row of the mask for each row of the batch; head_mask [heads]
 * multiplies the weights. *weights, if not NULL, receives [B, heads, Tq, Tk] after it. */
oci_tensor *oci_op_attention(oc_context *cx, oci_tensor *q, oci_tensor *k, oci_tensor *v,
                             oci_tensor *mask, oci_tensor *mask_rows,
                             oci_tensor *head_mask, int64_t heads, float scale,
                             bool causal, oci_tensor **weights);
/* The same over packed sequences: q, k, v [1, T, D], each position seeing its own
 * sequence. No gradient. */
oci_tensor *oci_op_attention_packed(oc_context *cx, oci_tensor *q, oci_tensor *k,
                                    oci_tensor *v, const oci_segments *segments,
                                    int64_t heads, float scale, bool causal);
/* The same with cached keys and values. No gradient. */
typedef struct oci_cached {
    const oci_kv *kv;
    int64_t length;                 /* its first positions */
    const int64_t *rows;            /* [B] row b is row rows[b] of kv; NULL: row b */
    const int64_t *origin;          /* or, if not NULL, position j of row b is in row */
    int64_t origin_row;             /* origin[b * origin_row + j] */
    const oci_kv *const *each;      /* [B] or, if not NULL, row b is row 0 of each[b], all
                                       alike in form, … */
    const int64_t *lengths;         /* [B] … its first lengths[b] <= length positions */
} oci_cached;
oci_tensor *oci_op_attention_cached(oc_context *cx, oci_tensor *q, oci_cached cached,
                                    oci_tensor *mask, oci_tensor *head_mask, float scale,
                                    bool causal, oci_tensor **weights);

/* scores.c: scale q kᵀ + mask. q [B, P, D], k [B, N, D], mask [B,
 * N] or NULL: [B, P, N]. */
oci_tensor *oci_op_scores(oc_context *cx, oci_tensor *q, oci_tensor *k, oci_tensor *mask,
                          float scale);

/* norm.c: over the last dimension; gamma, beta [D]. */
oci_tensor *oci_op_layer_norm(oc_context *cx, oci_tensor *x, oci_tensor *gamma,
                              oci_tensor *beta, float eps);
/* norm.c: x / sqrt(mean(x²) + eps) times gamma [D]. */
oci_tensor *oci_op_rms_norm(oc_context *cx, oci_tensor *x, oci_tensor *gamma, float eps);
/* norm.c: rows of x [.., D] divided by their lengths; zeros give NaN. */
oci_tensor *oci_op_normalize(oc_context *cx, oci_tensor *x);

/* elementwise.c */
oci_tensor *oci_op_act(oc_context *cx, oci_act act, oci_tensor *x);
/* a + b, b's shape being the last dimensions of a's:
 * positions onto every row of a batch. */
oci_tensor *oci_op_add(oc_context *cx, oci_tensor *a, oci_tensor *b);
oci_tensor *oci_op_scale(oc_context *cx, oci_tensor *x, float factor);
/* act(gate) up, element by element: the inner part of a gated MLP. */
oci_tensor *oci_op_gated(oc_context *cx, oci_act act, oci_tensor *gate, oci_tensor *up);
/* x exp(log_factor), log_factor a scalar. */
oci_tensor *oci_op_scale_exp(oc_context *cx, oci_tensor *x, oci_tensor *log_factor);
/* x [.., D] times a factor for each channel, factors [D] (layer scale). */
oci_tensor *oci_op_multiply(oc_context *cx, oci_tensor *x, oci_tensor *factors);
/* x [B, N, D], token [D], where [B, N]: token where `where` is not 0 (BEiT,
 * MAE, ViT masks). */
oci_tensor *oci_op_replace(oc_context *cx, oci_tensor *x, oci_tensor *token,
                           oci_tensor *where);

/* shape.c */
oci_tensor *oci_op_reshape(oc_context *cx, oci_tensor *x, int rank, const int64_t *shape);
/* x [M, N] → [N, M] */
oci_tensor *oci_op_transpose(oc_context *cx, oci_tensor *x);
/* a [1|B, N, D] before b [B, M, D]: [B, N + M, D]; a batch of 1 is repeated. */
oci_tensor *oci_op_concat(oc_context *cx, oci_tensor *a, oci_tensor *b);
/* x [B, N, D]: positions begin .. begin + count - 1. */
oci_tensor *oci_op_slice(oc_context *cx, oci_tensor *x, int64_t begin, int64_t count);
/* x [.., W]: columns begin .. begin + count - 1 of every row, [.., count]. */
oci_tensor *oci_op_columns(oc_context *cx, oci_tensor *x, int64_t begin, int64_t count);
/* pixels [B, C, H, W] → [B, H/ph * W/pw, C * ph * pw], the rows that a
 * convolution with stride = kernel = [ph, pw] multiplies; H, W need not divide
 * (the rest is cut, as Conv2d does). */
oci_tensor *oci_op_patches(oc_context *cx, oci_tensor *pixels, int64_t ph, int64_t pw);
/* x [1, h * w, D] on a grid → [1, H * W, D] as torch's interpolate(mode="bicubic",
 * align_corners=False) does when given scale factors: coordinate (i + 0.5) / factor -
 * 0.5; or, with factors of 0, as TensorFlow's image.resize(method="bicubic"). */
oci_tensor *oci_op_interpolate(oc_context *cx, oci_tensor *x, int64_t h, int64_t w,
                               int64_t H, int64_t W, double factor_h, double factor_w);

/* mean.c: x [B, N, D] → [B, D], over the positions. */
oci_tensor *oci_op_mean(oc_context *cx, oci_tensor *x);

/* windows.c: a map of tokens x [B, H * W, C], padded with zeros to multiples of
 * `side`, rolled by -shift both ways, cut into windows row by row: [B *
 * windows, side * side, C]. */
oci_tensor *oci_op_windows(oc_context *cx, oci_tensor *x, int64_t H, int64_t W,
                           int64_t side, int64_t shift);
/* The way back, padding dropped, onto a residual: [B, H * W, C]. */
oci_tensor *oci_op_unwindows(oc_context *cx, oci_tensor *y, oci_tensor *residual,
                             int64_t H, int64_t W, int64_t side, int64_t shift);
/* x [B, H * W, C] → [B, ceil(H/2) * ceil(W/2), 4 C]: tokens (0,0), (1,0), (0,1), (1,1) of
 * each 2 x 2, (row, column), zeros where H or W is odd. */
oci_tensor *oci_op_merge(oc_context *cx, oci_tensor *x, int64_t H, int64_t W);
/* pixels [B, C, h, w] → [B, C, H, W], zeros at the right and below. */
oci_tensor *oci_op_pad(oc_context *cx, oci_tensor *pixels, int64_t H, int64_t W);
/* Biases for attention within a window of h x w, out of table [(2h-1) (2w-1),
 * heads], whose row is (dy + h - 1) (2w - 1) + dx + w - 1 for a query dy below and
 * dx right of its key: [1, heads, T, T], T = h w. With a class token before the
 * patches, T = h w + 1 and the table has three rows more. With a shift, [4, heads,
 * T, T] for windows by pattern (1: last column, 2: last row), -100 added where a
 * query and a key only met by the roll. */
oci_tensor *oci_op_relative_bias(oc_context *cx, oci_tensor *table, int64_t h, int64_t w,
                                 int64_t shift, bool class_token);
/* The pattern of each window of a map, I64 [B * windows]:
 * attention's mask_rows. No op. */
oci_tensor *oci_window_patterns(oc_context *cx, int64_t B, int64_t H, int64_t W,
                                int64_t side);

/* embedding.c: rows of table [V, D] by ids [B, T] → [B, T, D]. Row padding_idx (-1: none)
 * gets no gradient. An id outside 0..V-1 is OC_E_MALFORMED. */
oci_tensor *oci_op_embedding(oc_context *cx, oci_tensor *table, oci_tensor *ids,
                             int64_t padding_idx);
/* For each of ids [B, N, A] → [B, N, D] the mean of those rows whose ids are not -1;
 * zeros where all are. */
oci_tensor *oci_op_embedding_mean(oc_context *cx, oci_tensor *table, oci_tensor *ids);

/* Rows of a and then of b, both [.., D], by number: rows [B, M] → [B, M, D];
 * -1 is zeros. */
oci_tensor *oci_op_gather(oc_context *cx, oci_tensor *a, oci_tensor *b, oci_tensor *rows);

/* rope.c: rotary positions in x [B, T, heads * d] by table [1|B, T, d], d
 * even: its first d/2 columns are cosines, the others sines, of the angles by
 * which pairs (i, i + d/2) turn. */
oci_tensor *oci_op_rope(oc_context *cx, oci_tensor *x, oci_tensor *table);

/* loss.c: mean over the rows whose label is not -100 of -log softmax(logits [..,
 * V])[label]; labels I64 [..]. NaN when every label is -100, as in torch. Scalar. */
oci_tensor *oci_op_cross_entropy(oc_context *cx, oci_tensor *logits, oci_tensor *labels);
/* Over the last dimension. */
oci_tensor *oci_op_log_softmax(oc_context *cx, oci_tensor *x);
/* sum of t (ln t - x) over all of x [B, ..] and target t like it,
 * divided by B. Scalar. */
oci_tensor *oci_op_kl_div(oc_context *cx, oci_tensor *x, oci_tensor *target);

#endif
