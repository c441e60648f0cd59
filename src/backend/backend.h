/* A backend is a struct of kernel pointers. Kernels know floats, strides and
 * threads; they know no tensors, models or files. They cannot fail: callers
 * check shapes and give memory.
 *
 * The rule that all kernels keep: an output element depends on its own row of inputs only
 * and sums over K (or over keys, or over a row) in one order fixed by the sizes of that
 * row. In products this is one chain, acc = fma(a[k], b[k], acc) for k = 0, 1, …, K-1,
 * starting from 0, in matrix-matrix and matrix-vector kernels alike. So one ISA gives one
 * result, bit for bit, whatever the number of threads and whatever else is in the batch.
 * Different ISAs may differ in the last bits.
 *
 * Weights in blocks (INT8, INT8_CHANNEL, INT4; layout in cpu/blocks.inc) are summed in
 * blocks of 32 k: within a block one chain, c = fma(x[k], q[k], c) from 0, of the whole
 * numbers q; then acc = fma(scale, c, acc), and for INT4 acc = fma(min, X, acc), where X
 * is the sum of the block's x in order. INT8_CHANNEL adds c to acc, and the scale
 * multiplies at the end.
 *
 * Where `arithmetic` is INT8, each row's inputs to a product with weights in blocks are
 * rounded first: in each 32, x = s r with s = max|x| / 127 and r = x (127 / max|x|) to
 * the nearest, ties to even. c is then s (float)(sum of r q), a sum of whole numbers that
 * every ISA has alike, and X is s (float)(sum of r). A block of inputs below 2^-100
 * counts as zeros, one with a NaN or an infinity gives NaN.
 *
 * Where it is BF16 and the CPU has AVX512-BF16, inputs of products with weights
 * of BF16 are rounded to bf16, and a chain takes two k a step as vdpbf16ps adds
 * them; otherwise f32 is used.
 *
 * Gradient kernels accumulate: `d…` outputs are added to, never assigned.
 *
 * All pointers are to f32 unless a dtype says otherwise, row-major, contiguous unless a
 * stride (in elements) is given; outputs do not overlap inputs unless said. Scratch
 * memory comes from the context's arena and is returned before the call ends. */
#ifndef OCI_BACKEND_BACKEND_H
#define OCI_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ocelli.h"

typedef enum oci_act {      /* names as in Transformers' ACT2FN */
    OCI_ACT_NONE, OCI_ACT_GELU /* exact, erf */, OCI_ACT_GELU_NEW /* tanh */,
    OCI_ACT_QUICK_GELU, OCI_ACT_RELU, OCI_ACT_SILU, OCI_ACT_TANH, OCI_ACT_SIGMOID,
    OCI_ACT_GELU_10, OCI_ACT_LAPLACE, OCI_ACT_LEAKY_RELU, OCI_ACT_MISH, OCI_ACT_RELU2,
    OCI_ACT_RELU6,
    OCI_ACT_COUNT
} oci_act;

/* Y[M,N] = act(X[M,K] Wᵀ + bias) + residual, W [N,K] in packed panels (see `pack`). */
typedef struct oci_linear_args {
    int64_t M, N, K;
    const float *x;             /* row stride ldx */
    int64_t ldx;
    oc_dtype dtype;             /* of the panels: F32, BF16 or F16, widened in registers,
                                   or weights in blocks */
    oc_dtype arithmetic;        /* INT8, BF16: allowed in place of f32 (see below) */
    const void *panels;
    const float *bias;          /* [N] or NULL */
    oci_act act;
    const float *residual;      /* row stride ldr, or NULL; may be y itself */
    int64_t ldr;
    float *y;                   /* row stride ldy */
    int64_t ldy;
} oci_linear_args;

/* C[M,N] = A B, or C += A B; any strides, so that transposes need no copy.
 * For gradients. */
typedef struct oci_product_args {
    int64_t M, N, K;
    const float *a;             /* A[m,k] at a[m * a_row + k * a_col] */
    int64_t a_row, a_col;
    const float *b;             /* B[k,n] at b[k * b_row + n * b_col] */
    int64_t b_row, b_col;
    float *c;                   /* row stride ldc */
    int64_t ldc;
    bool accumulate;
} oci_product_args;

/* Keys and values of attention, kept in the panels that the product kernels read: `room`
 * positions per row and head, rounded up to a multiple of the backend's panel. F32 is
 * exact; BF16 rounds each number; INT8 rounds the numbers of a position and head to -127
 * .. 127 times a scale, max|x| / 127. The order within a row of narrow panels is the
 * backend's own. */
typedef struct oci_kv {
    int64_t rows, heads, head_dim, room;        /* heads: of keys, fewer than of queries
                                                   where several queries share one */
    oc_dtype dtype;             /* F32, BF16 or INT8 */
    void *keys;                 /* [rows, heads, room/P panels, head_dim, P] */
    void *values;               /* [rows, heads, ceil(head_dim/P) panels, room, P] */
    float *key_scales, *value_scales;           /* INT8: [rows, heads, room]; else NULL */
} oci_kv;

/* softmax(scale Q Kᵀ + mask) V for every batch row and head (Vaswani et al.
 * 2017, eq. 1). */
typedef struct oci_attention_args {
    int64_t B, Tq, Tk, heads, head_dim;
    int64_t kv_heads;           /* head h reads keys and values of h / (heads / kv_heads):
                                   grouped queries, Ainslie et al. 2023; divides heads */
    const float *q;             /* [B, Tq, heads, head_dim], rows q_row apart */
    int64_t q_row;
    const float *k, *v;         /* [B, Tk, kv_heads, head_dim], rows kv_row apart;
                                   or NULL: */
    int64_t kv_row;
    const oci_kv *kv;           /* keys and values from a cache, */
    const int64_t *kv_rows;     /* batch row b in its row kv_rows[b] (NULL: row b), or, */
    const int64_t *kv_origin;   /* if not NULL, key j in row kv_origin[b * origin_row
                                   + j]: */
    int64_t origin_row;         /* how beams share what they have in common */
    const oci_kv *const *kv_each;               /* in place of kv: row 0 of one for each
                                                   batch row, of which it has the first
                                                   … */
    const int64_t *lengths;     /* … lengths[b] <= Tk keys; NULL: Tk for all */
    float scale;
    bool causal;                /* query i sees keys 0 .. i + Tk - Tq */
    const float *mask;          /* added to the scores; NULL: none. Keys before the first
                                   whose element is above -FLT_MAX are as if they were not
                                   there, unless all are hidden. Element (b, h, i, j)
                                   at */
    int64_t mask_batch, mask_head, mask_row;    /* b*mask_batch + h*mask_head + i*mask_row
                                                   + j */
    const int64_t *mask_rows;   /* batch row b has mask row mask_rows[b] (NULL: row b) */
    const float *head_mask;     /* multiplies the weights of head h; NULL: none; at h */
    float *out;                 /* [B, Tq, heads, head_dim], rows out_row apart */
    int64_t out_row;
    float *weights;             /* softmax, [B, heads, Tq, Tk], before head_mask; or
                                   NULL */
} oci_attention_args;

/* Gradients of the above (without cache) from its saved weights; dq, dk, dv and dmask
 * have the strides of q, k, v and mask and may each be NULL. */
typedef struct oci_attention_grad_args {
    const oci_attention_args *forward;      /* with weights set */
    const float *dout;                      /* rows forward->out_row apart */
    float *dq, *dk, *dv, *dmask;
} oci_attention_grad_args;

typedef struct oci_adamw_args {             /* Loshchilov & Hutter 2019,
                                               as torch.optim.AdamW */
    double lr, beta1, beta2, eps, weight_decay;     /* 1 - 0.999f is off by 1e-5 */
    int64_t step;                           /* 1 in the first step */
} oci_adamw_args;

typedef struct oci_backend {
    const char *name;
    int64_t panel;              /* P: rows of W in a panel (floats in two or so
                                   registers) */

    /* Panels of W [N,K]: ceil(N/P) blocks of [K, P] in W's own dtype, the last padded
     * with zeros; the order within a row of 16-bit numbers is the backend's own. W[n,k]
     * is read at w[n * row + k * col]. */
    size_t (*packed_bytes)(oc_dtype dtype, int64_t N, int64_t K);
    void (*pack)(oc_context *cx, oc_dtype dtype, int64_t N, int64_t K, const void *w,
                 int64_t row, int64_t col, void *panels);
    /* The same for weights in blocks, whose bytes are the same on every ISA and may be
     * kept in files: rounds W, which is F32, BF16 or F16 (`from`), to `dtype`. A NaN or
     * an infinity makes its whole block (INT8_CHANNEL: its row) NaN. */
    void (*quantise)(oc_context *cx, oc_dtype dtype, oc_dtype from, int64_t N, int64_t K,
                     const void *w, int64_t row, int64_t col, void *panels);
    /* Row n of W, widened: lets a tied embedding read the panels of the LM head. */
    void (*unpack_row)(oc_dtype dtype, int64_t N, int64_t K, const void *panels,
                       int64_t n, float *out);

    void (*linear)(oc_context *cx, const oci_linear_args *args);
    void (*product)(oc_context *cx, const oci_product_args *args);
    void (*attention)(oc_context *cx, const oci_attention_args *args);
    void (*attention_grad)(oc_context *cx, const oci_attention_grad_args *args);
    /* Writes T positions from `at` on of cache rows kv_rows[b] (NULL: b); k, v
     * [B, T, heads, head_dim], rows kv_row apart. */
    void (*kv_append)(oc_context *cx, const oci_kv *kv, const int64_t *kv_rows,
                      int64_t B, int64_t T, int64_t at, const float *k, const float *v,
                      int64_t kv_row);
    /* Position `at` of a head of a row as it is kept: k, v [head_dim];
     * either may be NULL. */
    void (*kv_read)(const oci_kv *kv, int64_t row, int64_t head, int64_t at, float *k,
                    float *v);

    /* y = gamma x / sqrt(mean(x²) + eps) over `width`; Zhang & Sennrich 2019. rrms [rows]
     * is saved for the gradient when not NULL. */
    void (*rms_norm)(oc_context *cx, int64_t rows, int64_t width, const float *x,
                     const float *gamma, float eps, float *y, float *rrms);
    void (*rms_norm_grad)(oc_context *cx, int64_t rows, int64_t width, const float *dy,
                          const float *x, const float *gamma, const float *rrms,
                          float *dx, float *dgamma);
    /* y = (x - mean) / sqrt(var + eps) * gamma + beta over `width`; Ba et al. 2016.
     * mean, rstd [rows] are saved for the gradient when not NULL. y may be x. */
    void (*layer_norm)(oc_context *cx, int64_t rows, int64_t width, const float *x,
                       const float *gamma, const float *beta, float eps, float *y,
                       float *mean, float *rstd);
    void (*layer_norm_grad)(oc_context *cx, int64_t rows, int64_t width, const float *dy,
                            const float *x, const float *gamma, const float *mean,
                            const float *rstd, float *dx, float *dgamma, float *dbeta);

    void (*activate)(oc_context *cx, oci_act act, int64_t n, const float *x, float *y);
    void (*activate_grad)(oc_context *cx, oci_act act, int64_t n, const float *x,
                          const float *dy, float *dx);
    /* y may be x. */
    void (*softmax)(oc_context *cx, int64_t rows, int64_t width, const float *x,
                    float *y);
    void (*log_softmax)(oc_context *cx, int64_t rows, int64_t width, const float *x,
                        float *y);
    /* Index of the largest element, the first of equals; NaN counts as largest, as in
     * torch.argmax. */
    int64_t (*argmax)(int64_t n, const float *x);

    /* y[i] = a[i] + b[i % period]; y may be a. */
    void (*add)(oc_context *cx, int64_t n, int64_t period, const float *a, const float *b,
                float *y);
    void (*scale)(oc_context *cx, int64_t n, float factor, const float *x, float *y);
    /* y[i] = a[i] * b[i]; y may be a or b. */
    void (*multiply)(oc_context *cx, int64_t n, const float *a, const float *b, float *y);
    /* y[i] += factor * x[i] */
    void (*axpy)(oc_context *cx, int64_t n, float factor, const float *x, float *y);
    /* out[c] += sum over r of x[r * width + c], r in order. Bias gradients. */
    void (*sum_rows)(oc_context *cx, int64_t rows, int64_t width, const float *x,
                     float *out);
    /* One step on n parameters w with gradient g and moments m, v. */
    void (*adamw)(oc_context *cx, const oci_adamw_args *args, int64_t n, const float *g,
                  float *m, float *v, float *w);

    /* Scores for search: y[q * ldy + r] = row r of x · query q, on the calling thread.
     * Rows and queries lie `stride` apart, a multiple of 64 bytes, 64-byte aligned; zeros
     * follow a shorter vector. A score is one sum in lanes, fixed by `stride`; the second
     * is exact for numbers of -127..127 and strides up to 65536. */
    void (*dots)(int64_t rows, int64_t stride, const float *x, int64_t queries,
                 const float *q, float *y, int64_t ldy);
    void (*dots_i8)(int64_t rows, int64_t stride, const int8_t *x, int64_t queries,
                    const int8_t *q, int32_t *y, int64_t ldy);

    /* The machine's limits: `rounds` of multiply-adds in registers
     * (returns the operations done), and a read of n floats, n a multiple
     * of 256. On the calling thread. */
    double (*fma_loop)(int64_t rounds);
    void (*read_loop)(const float *p, int64_t n);
} oci_backend;

/* The kernels of an ISA that the CPU has (base/cpu.h); never NULL. */
const oci_backend *oci_cpu_backend(oc_isa isa);

#endif
