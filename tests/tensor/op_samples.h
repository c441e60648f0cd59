/* For every row of the op table: inputs of odd shapes, and the operation again, in
 * doubles and as plainly as it can be written. A row that has no maker here fails the
 * tests. Include after cmocka.h. */
#ifndef OCELLI_TESTS_OP_SAMPLES_H
#define OCELLI_TESTS_OP_SAMPLES_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "nn/act.h"
#include "tensor/ops.h"

typedef struct sample sample;

/* What the test knows of an op. */
typedef struct op_case {
    const char *op;
    int variants;
    /* Fills in `in`, `args` and `wanted` of variant s->variant. */
    void (*make)(oc_context *cx, sample *s);
    /* out from the inputs as doubles; NULL where the input is NULL. */
    void (*reference)(const sample *s, double *const in[], double *out);
} op_case;

struct sample {
    const op_case *kind;
    int variant;
    oci_rng rng;
    oci_tensor *in[OCI_MAX_INPUTS];
    oci_args args;
    oci_tensor like;                    /* reshape's target */
    bool wanted[OCI_MAX_INPUTS];        /* differentiable; none: a forward-only variant */
};

/* ---- random inputs ---- */

static inline oci_tensor *random_tensor(oc_context *cx, sample *s, int rank,
                                        const int64_t *shape)
{
    oci_tensor *x = oci_tensor_create(cx, OC_F32, rank, shape);
    assert_non_null(x);
    for (int64_t i = 0; i < oci_tensor_count(x); i++)
        oci_f32(x)[i] = oci_rng_normal(&s->rng);
    return x;
}

static inline oci_tensor *random_ids(oc_context *cx, sample *s, int64_t high, int rank,
                                     const int64_t *shape)
{
    oci_tensor *x = oci_tensor_create(cx, OC_I64, rank, shape);
    assert_non_null(x);
    for (int64_t i = 0; i < oci_tensor_count(x); i++)
        oci_i64(x)[i] = (int64_t)(oci_rng_u32(&s->rng) % (uint32_t)high);
    return x;
}

/* The same values, rounded, in another float type. */
static inline oci_tensor *narrowed(oc_context *cx, const oci_tensor *x, oc_dtype dtype)
{
    oci_tensor *y = oci_tensor_create(cx, dtype, x->rank, x->shape);
    assert_non_null(y);
    oci_dtype_from_f32(dtype, x->data, y->data, (size_t)oci_tensor_count(x));
    return y;
}

#define WANT(s, ...) \
    do { \
        const int which_[] = { __VA_ARGS__ }; \
        for (size_t i_ = 0; i_ < sizeof which_ / sizeof *which_; i_++) \
            (s)->wanted[which_[i_]] = true; \
    } while (0)

/* ---- linear ---- */

static inline double act_reference(const char *name, double x);

static inline void make_linear(oc_context *cx, sample *s)
{
    static const struct { int64_t B, T, K, N; bool bias, fused; oc_dtype dtype; } v[] = {
        { 1, 1, 1, 1, true, false, OC_F32 }, { 2, 3, 5, 7, true, false, OC_F32 },
        { 1, 13, 33, 65, false, false, OC_F32 }, { 3, 1, 70, 17, true, false, OC_F32 },
        { 2, 7, 31, 40, true, true, OC_F32 }, { 1, 1, 64, 129, true, true, OC_F32 },
        { 2, 3, 45, 50, true, false, OC_BF16 }, { 2, 3, 45, 50, false, true, OC_F16 },
        { 0, 3, 5, 7, true, false, OC_F32 },
    };
    int64_t B = v[s->variant].B, T = v[s->variant].T, K = v[s->variant].K,
            N = v[s->variant].N;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(B, T, K));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(N, K));
    if (v[s->variant].dtype != OC_F32)
        s->in[1] = narrowed(cx, s->in[1], v[s->variant].dtype);
    if (v[s->variant].bias) s->in[2] = random_tensor(cx, s, OCI_SHAPE(N));
    if (v[s->variant].fused) {
        s->in[3] = random_tensor(cx, s, OCI_SHAPE(B, T, N));
        s->args.act = OCI_ACT_GELU;
    } else if (v[s->variant].dtype == OC_F32) {
        WANT(s, 0, 1, 2);
    }
}

static inline void linear_reference(const sample *s, double *const in[], double *out)
{
    int64_t K = s->in[1]->shape[1], N = s->in[1]->shape[0];
    for (int64_t i = 0; i < oci_tensor_rows(s->in[0]) * N; i++) {
        int64_t m = i / N, n = i % N;
        double sum = in[2] ? in[2][n] : 0;
        for (int64_t k = 0; k < K; k++) sum += in[0][m * K + k] * in[1][n * K + k];
        out[i] = act_reference(oci_act_name(s->args.act), sum) + (in[3] ? in[3][i] : 0);
    }
}

/* ---- attention ---- */

static inline void make_attention(oc_context *cx, sample *s)
{
    static const struct {
        int64_t B, Tq, Tk, heads, d;
        bool causal;
        int64_t mask[3];        /* [B, heads, Tq] of the mask; 0: no mask */
        bool head_mask, bias;   /* bias: the mask has a gradient, and hides nothing */
        bool rows;              /* mask_rows */
        int64_t shared;         /* heads of queries on one head of keys; 0: one */
    } v[] = {
        { 1, 1, 1, 1, 1, .causal = false },
        { 2, 3, 5, 2, 3, .causal = false },
        { 1, 7, 7, 3, 5, .causal = true },
        { 2, 4, 9, 1, 8, .causal = true, .mask = { 2, 1, 4 } },
        { 2, 5, 6, 3, 7, .mask = { 2, 1, 1 }, .head_mask = true },
        { 1, 17, 35, 2, 16, .mask = { 1, 2, 17 }, .head_mask = true },
        { 2, 6, 6, 2, 4, .causal = true, .mask = { 1, 1, 6 }, .head_mask = true },
        { 1, 1, 40, 2, 33, .causal = true },
        { 3, 5, 7, 2, 3, .mask = { 1, 2, 5 }, .head_mask = true, .bias = true },
        { 2, 5, 7, 2, 3, .mask = { 2, 1, 1 }, .bias = true },
        { 1, 3, 18, 3, 2, .mask = { 1, 3, 3 }, .bias = true },
        { 5, 4, 4, 2, 3, .mask = { 3, 2, 4 }, .head_mask = true, .bias = true,
          .rows = true },
        { 3, 20, 9, 1, 4, .mask = { 4, 1, 20 }, .rows = true },
        { 2, 5, 7, 4, 3, .causal = true, .shared = 2 },
        { 1, 18, 18, 6, 4, .causal = true, .mask = { 1, 6, 18 }, .bias = true,
          .shared = 3 },
        { 2, 3, 9, 3, 5, .mask = { 2, 1, 1 }, .bias = true, .head_mask = true,
          .shared = 3 },
    };
    int64_t B = v[s->variant].B, Tq = v[s->variant].Tq, Tk = v[s->variant].Tk;
    int64_t heads = v[s->variant].heads, D = heads * v[s->variant].d;
    const int64_t *m = v[s->variant].mask;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(B, Tq, D));
    int64_t Dk = v[s->variant].shared ? D / v[s->variant].shared : D;
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(B, Tk, Dk));
    s->in[2] = random_tensor(cx, s, OCI_SHAPE(B, Tk, Dk));
    if (m[0]) {         /* some keys out of sight, never the first one */
        s->in[3] = random_tensor(cx, s, OCI_SHAPE(m[0], m[1], m[2], Tk));
        for (int64_t i = 0; i < oci_tensor_count(s->in[3]); i++)
            if (i % Tk && oci_f32(s->in[3])[i] > 0.5f && !v[s->variant].bias)
                oci_f32(s->in[3])[i] = -3.4028235e38f;
        if (v[s->variant].bias) WANT(s, 3);
    }
    if (v[s->variant].rows) s->in[5] = random_ids(cx, s, m[0], OCI_SHAPE(B));
    if (v[s->variant].head_mask) s->in[4] = random_tensor(cx, s, OCI_SHAPE(heads));
    s->args = (oci_args){ .heads = heads, .scale = 0.4f, .causal = v[s->variant].causal };
    WANT(s, 0, 1, 2);
}

static inline void attention_reference(const sample *s, double *const in[], double *out)
{
    const int64_t *q = s->in[0]->shape;
    int64_t Tq = q[1], D = q[2], Tk = s->in[1]->shape[1], H = s->args.heads, d = D / H;
    int64_t Dk = s->in[1]->shape[2], shared = D / Dk;
    const int64_t *m = s->in[3] ? s->in[3]->shape : NULL;
    double *w = calloc((size_t)Tk, sizeof *w);
    for (int64_t at = 0; at < q[0] * H * Tq; at++) {
        int64_t b = at / (H * Tq), h = at / Tq % H, i = at % Tq;
        double max = -INFINITY, sum = 0;
        for (int64_t j = 0; j < Tk; j++) {
            double dot = 0;
            for (int64_t c = 0; c < d; c++)
                dot += in[0][(b * Tq + i) * D + h * d + c] *
                       in[1][(b * Tk + j) * Dk + h / shared * d + c];
            w[j] = dot * (double)s->args.scale;
            int64_t row = in[5] ? (int64_t)in[5][b] : m && m[0] > 1 ? b : 0;
            if (m) w[j] += in[3][((row * m[1] + (m[1] > 1 ? h : 0)) * m[2] +
                                  (m[2] > 1 ? i : 0)) * Tk + j];
            if (s->args.causal && j > i + Tk - Tq) w[j] = -INFINITY;
            max = fmax(max, w[j]);
        }
        for (int64_t j = 0; j < Tk; j++) sum += w[j] = exp(w[j] - max);
        for (int64_t c = 0; c < d; c++) {
            double y = 0;
            for (int64_t j = 0; j < Tk; j++)
                y += w[j] / sum * in[2][(b * Tk + j) * Dk + h / shared * d + c];
            out[(b * Tq + i) * D + h * d + c] = y * (in[4] ? in[4][h] : 1);
        }
    }
    free(w);
}

/* ---- layer norm ---- */

static inline void make_layer_norm(oc_context *cx, sample *s)
{
    static const int64_t rows[] = { 1, 3, 7, 5, 2 }, width[] = { 2, 5, 33, 64, 257 };
    int64_t D = width[s->variant];
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(rows[s->variant], 2, D));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(D));
    s->in[2] = random_tensor(cx, s, OCI_SHAPE(D));
    s->args.eps = 1e-2f;
    WANT(s, 0, 1, 2);
}

static inline void layer_norm_reference(const sample *s, double *const in[], double *out)
{
    int64_t D = oci_tensor_width(s->in[0]);
    for (int64_t r = 0; r < oci_tensor_rows(s->in[0]); r++) {
        const double *x = in[0] + r * D;
        double mean = 0, var = 0;
        for (int64_t i = 0; i < D; i++) mean += x[i] / (double)D;
        for (int64_t i = 0; i < D; i++) var += (x[i] - mean) * (x[i] - mean) / (double)D;
        for (int64_t i = 0; i < D; i++)
            out[r * D + i] = (x[i] - mean) / sqrt(var + (double)s->args.eps) * in[1][i] +
                             in[2][i];
    }
}

/* ---- act ---- */

static inline double act_reference(const char *name, double x)
{
    const double pi = 3.14159265358979323846, gelu = 0.5 * x * (1 + erf(x / sqrt(2)));
#define ACT(which, value) if (!strcmp(name, which)) return value
    ACT("linear", x);
    ACT("gelu", gelu);
    ACT("gelu_new", 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))));
    ACT("quick_gelu", x / (1 + exp(-1.702 * x)));
    ACT("relu", x > 0 ? x : 0);
    ACT("silu", x / (1 + exp(-x)));
    ACT("tanh", tanh(x));
    ACT("sigmoid", 1 / (1 + exp(-x)));
    ACT("gelu_10", fmax(-10, fmin(10, gelu)));
    ACT("laplace", 0.5 * (1 + erf((x - 0.707107) / (0.282095 * sqrt(2)))));
    ACT("leaky_relu", x > 0 ? x : 0.01 * x);
    ACT("mish", x * tanh(log1p(exp(x))));
    ACT("relu2", x > 0 ? x * x : 0);
    ACT("relu6", fmax(0, fmin(6, x)));
#undef ACT
    fail_msg("no reference for the activation %s", name);
    return 0;
}

static inline void make_act(oc_context *cx, sample *s)
{
    static const double corners[] = { 0, 6, 10 };       /* no derivative at these */
    s->args.act = (oci_act)s->variant;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(3, 1 + s->variant * 7));
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++) {
        float *x = &oci_f32(s->in[0])[i];
        *x *= 4;
        for (int k = 0; k < 3; k++)
            if (fabs((double)*x - corners[k]) < 0.01) *x += 0.05f;
    }
    WANT(s, 0);
}

static inline void act_all(const sample *s, double *const in[], double *out)
{
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++)
        out[i] = act_reference(oci_act_name(s->args.act), in[0][i]);
}

/* ---- add, scale, replace ---- */

static inline void make_add(oc_context *cx, sample *s)
{
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(3, 5, 7));
    switch (s->variant) {
    case 0: s->in[1] = random_tensor(cx, s, OCI_SHAPE(3, 5, 7)); break;
    case 1: s->in[1] = random_tensor(cx, s, OCI_SHAPE(5, 7)); break;
    case 2: s->in[1] = random_tensor(cx, s, OCI_SHAPE(7)); break;
    default: s->in[1] = random_tensor(cx, s, OCI_SHAPE(1, 5, 7)); break;
    }
    WANT(s, 0, 1);
}

static inline void add_reference(const sample *s, double *const in[], double *out)
{
    int64_t period = oci_tensor_count(s->in[1]);
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++)
        out[i] = in[0][i] + in[1][i % period];
}

static inline void make_scale(oc_context *cx, sample *s)
{
    static const float factors[] = { 2.5f, 0, -1 };
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(3 + 20 * s->variant, 11));
    s->args.scale = factors[s->variant];
    WANT(s, 0);
}

static inline void scale_reference(const sample *s, double *const in[], double *out)
{
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++)
        out[i] = in[0][i] * (double)s->args.scale;
}

static inline void make_replace(oc_context *cx, sample *s)
{
    int64_t N = 1 + 4 * s->variant;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, N, 3));
    s->in[1] = s->variant ? random_tensor(cx, s, OCI_SHAPE(1, 1, 3))
                          : random_tensor(cx, s, OCI_SHAPE(3));
    s->in[2] = random_tensor(cx, s, OCI_SHAPE(2, N));
    for (int64_t i = 0; i < 2 * N; i++) oci_f32(s->in[2])[i] = (float)(i % 3 == 1);
    WANT(s, 0, 1);
}

static inline void replace_reference(const sample *s, double *const in[], double *out)
{
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++)
        out[i] = in[2][i / 3] != 0 ? in[1][i % 3] : in[0][i];
}

/* ---- shapes ---- */

static inline void make_reshape(oc_context *cx, sample *s)
{
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 3, 5));
    s->like = s->variant ? (oci_tensor){ .dtype = OC_F32, .rank = 1, .shape = { 30 } }
                         : (oci_tensor){ .dtype = OC_F32, .rank = 4,
                                         .shape = { 5, 1, 2, 3 } };
    s->args.saved[0] = &s->like;
    WANT(s, 0);
}

static inline void reshape_reference(const sample *s, double *const in[], double *out)
{
    memcpy(out, in[0], (size_t)oci_tensor_count(s->in[0]) * sizeof *out);
}

static inline void make_concat(oc_context *cx, sample *s)
{
    static const int64_t first[] = { 1, 3, 1 }, B[] = { 3, 3, 1 }, N[] = { 2, 1, 0 };
    int v = s->variant;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(first[v], N[v], 4));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(B[v], 5, 4));
    WANT(s, 0, 1);
}

static inline void concat_reference(const sample *s, double *const in[], double *out)
{
    const int64_t *a = s->in[0]->shape, *b = s->in[1]->shape;
    for (int64_t i = 0; i < b[0]; i++)
        for (int64_t n = 0; n < a[1] + b[1]; n++)
            for (int64_t d = 0; d < b[2]; d++)
                *out++ = n < a[1] ? in[0][((a[0] > 1 ? i : 0) * a[1] + n) * a[2] + d]
                                  : in[1][(i * b[1] + n - a[1]) * b[2] + d];
}

static inline void make_slice(oc_context *cx, sample *s)
{
    static const int64_t begin[] = { 0, 2, 6 }, count[] = { 7, 3, 1 };
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 7, 3));
    s->args.size[0] = begin[s->variant];
    s->args.size[1] = count[s->variant];
    WANT(s, 0);
}

static inline void slice_reference(const sample *s, double *const in[], double *out)
{
    for (int64_t b = 0; b < 2; b++)
        for (int64_t i = 0; i < s->args.size[1] * 3; i++)
            *out++ = in[0][b * 21 + s->args.size[0] * 3 + i];
}

static inline void make_columns(oc_context *cx, sample *s)
{
    static const int64_t begin[] = { 0, 2, 11 }, count[] = { 12, 7, 1 };
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 3, 12));
    s->args.size[0] = begin[s->variant];
    s->args.size[1] = count[s->variant];
    WANT(s, 0);
}

static inline void columns_reference(const sample *s, double *const in[], double *out)
{
    for (int64_t row = 0; row < 6; row++)
        for (int64_t i = 0; i < s->args.size[1]; i++)
            *out++ = in[0][row * 12 + s->args.size[0] + i];
}

static inline void make_patches(oc_context *cx, sample *s)
{
    static const int64_t H[] = { 6, 7, 5 }, W[] = { 9, 11, 5 };
    static const int64_t ph[] = { 2, 3, 5 }, pw[] = { 3, 2, 5 };
    int v = s->variant;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 3, H[v], W[v]));
    s->args.size[0] = ph[v];
    s->args.size[1] = pw[v];
    WANT(s, 0);
}

static inline void patches_reference(const sample *s, double *const in[], double *out)
{
    const int64_t *x = s->in[0]->shape;
    int64_t ph = s->args.size[0], pw = s->args.size[1];
    for (int64_t b = 0; b < x[0]; b++)
        for (int64_t gy = 0; gy < x[2] / ph; gy++)
            for (int64_t gx = 0; gx < x[3] / pw; gx++)
                for (int64_t c = 0; c < x[1]; c++)
                    for (int64_t i = 0; i < ph; i++)
                        for (int64_t j = 0; j < pw; j++)
                            *out++ = in[0][((b * x[1] + c) * x[2] + gy * ph + i) * x[3] +
                                           gx * pw + j];
}

static inline void make_interpolate(oc_context *cx, sample *s)
{
    static const int64_t sizes[][4] = { { 3, 4, 5, 7 }, { 6, 5, 4, 2 }, { 1, 2, 4, 3 } };
    const int64_t *z = sizes[s->variant];
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(1, z[0] * z[1], 3));
    memcpy(s->args.size, z, sizeof s->args.size);
    for (int i = 0; i < 2; i++)
        s->args.factor[i] = ((double)z[2 + i] + 0.1) / (double)z[i];
    WANT(s, 0);
}

/* Keys' kernel with a = -0.75, from its definition by distance. */
static inline double cubic(double t)
{
    const double a = -0.75, x = fabs(t);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static inline double clamp(double x, int64_t n)
{
    return fmax(0, fmin((double)n - 1, x));
}

static inline void interpolate_reference(const sample *s, double *const in[], double *out)
{
    const int64_t *z = s->args.size;
    for (int64_t i = 0; i < z[2] * z[3] * 3; i++) {
        double y = ((double)(i / 3 / z[3]) + 0.5) / s->args.factor[0] - 0.5, sum = 0;
        double x = ((double)(i / 3 % z[3]) + 0.5) / s->args.factor[1] - 0.5;
        for (double r = floor(y) - 1; r <= floor(y) + 2; r++)
            for (double c = floor(x) - 1; c <= floor(x) + 2; c++)
                sum +=
                    cubic(y - r) * cubic(x - c) *
                    in[0][((int64_t)clamp(r, z[0]) * z[1] + (int64_t)clamp(c, z[1])) * 3 +
                          i % 3];
        out[i] = sum;
    }
}

/* ---- multiply, mean ---- */

static inline void make_multiply(oc_context *cx, sample *s)
{
    int64_t D = 1 + 6 * s->variant;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 3, D));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(D));
    WANT(s, 0, 1);
}

static inline void multiply_reference(const sample *s, double *const in[], double *out)
{
    int64_t D = oci_tensor_width(s->in[0]);
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++)
        out[i] = in[0][i] * in[1][i % D];
}

static inline void make_mean(oc_context *cx, sample *s)
{
    static const int64_t N[] = { 1, 7, 40 };
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, N[s->variant], 5));
    WANT(s, 0);
}

static inline void mean_reference(const sample *s, double *const in[], double *out)
{
    int64_t N = s->in[0]->shape[1];
    for (int64_t i = 0; i < 10; i++) {
        out[i] = 0;
        for (int64_t n = 0; n < N; n++)
            out[i] += in[0][(i / 5 * N + n) * 5 + i % 5] / (double)N;
    }
}

/* ---- windows ---- */

/* H, W, side, shift: a map that fits, one to be padded both
 * ways, a window for all of it. */
static const int64_t window_sizes[][4] = {
    { 4, 6, 2, 0 }, { 4, 6, 2, 1 }, { 5, 7, 3, 0 }, { 5, 7, 3, 1 }, { 7, 4, 4, 2 },
    { 3, 3, 3, 0 }, { 2, 5, 5, 2 }, { 6, 10, 5, 2 },
};

/* The element of the map that window element i is; -1: padding. */
static inline int64_t window_source(const int64_t *z, int64_t C, int64_t i)
{
    int64_t w = z[2], H = (z[0] + w - 1) / w * w, W = (z[1] + w - 1) / w * w;
    int64_t c = i % C, column = i / C % w, row = i / C / w % w, window = i / C / w / w;
    int64_t b = window / (H / w * (W / w)), at = window % (H / w * (W / w));
    int64_t y = (at / (W / w) * w + row + z[3]) % H,
            x = (at % (W / w) * w + column + z[3]) % W;
    return y < z[0] && x < z[1] ? ((b * z[0] + y) * z[1] + x) * C + c : -1;
}

static inline int64_t window_count(const int64_t *z)
{
    return 2 * ((z[0] + z[2] - 1) / z[2]) * ((z[1] + z[2] - 1) / z[2]);
}

static inline void make_windows(oc_context *cx, sample *s)
{
    const int64_t *z = window_sizes[s->variant];
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, z[0] * z[1], 3));
    memcpy(s->args.size, z, sizeof s->args.size);
    WANT(s, 0);
}

static inline void windows_reference(const sample *s, double *const in[], double *out)
{
    const int64_t *z = s->args.size;
    for (int64_t i = 0; i < window_count(z) * z[2] * z[2] * 3; i++) {
        int64_t from = window_source(z, 3, i);
        out[i] = from < 0 ? 0 : in[0][from];
    }
}

static inline void make_unwindows(oc_context *cx, sample *s)
{
    const int64_t *z = window_sizes[s->variant];
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(window_count(z), z[2] * z[2], 3));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(2, z[0] * z[1], 3));
    memcpy(s->args.size, z, sizeof s->args.size);
    WANT(s, 0, 1);
}

static inline void unwindows_reference(const sample *s, double *const in[], double *out)
{
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++) {
        int64_t to = window_source(s->args.size, 3, i);
        if (to >= 0) out[to] = in[0][i] + in[1][to];
    }
}

static inline void make_merge(oc_context *cx, sample *s)
{
    static const int64_t sizes[][2] = {
        { 4, 6 }, { 5, 6 }, { 4, 3 }, { 1, 1 }, { 5, 7 }
    };
    const int64_t *z = sizes[s->variant];
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, z[0] * z[1], 3));
    memcpy(s->args.size, z, sizeof sizes[0]);
    WANT(s, 0);
}

static inline void merge_reference(const sample *s, double *const in[], double *out)
{
    int64_t H = s->args.size[0], W = s->args.size[1];
    for (int64_t b = 0; b < 2; b++)
        for (int64_t y = 0; y < H; y += 2)
            for (int64_t x = 0; x < W; x += 2)
                for (int64_t k = 0; k < 12; k++) {
                    int64_t part = k / 3, row = y + part % 2, column = x + part / 2;
                    *out++ = row < H && column < W
                                 ? in[0][((b * H + row) * W + column) * 3 + k % 3] : 0;
                }
}

static inline void make_pad(oc_context *cx, sample *s)
{
    static const int64_t by[][2] = { { 0, 0 }, { 1, 2 }, { 3, 0 }, { 0, 1 } };
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 3, 4, 5));
    s->args.size[0] = 4 + by[s->variant][0];
    s->args.size[1] = 5 + by[s->variant][1];
    WANT(s, 0);
}

static inline void pad_reference(const sample *s, double *const in[], double *out)
{
    for (int64_t i = 0; i < 6; i++)
        for (int64_t y = 0; y < s->args.size[0]; y++)
            for (int64_t x = 0; x < s->args.size[1]; x++)
                *out++ = y < 4 && x < 5 ? in[0][(i * 4 + y) * 5 + x] : 0;
}

/* h, w, shift, class token. */
static inline void make_relative_bias(oc_context *cx, sample *s)
{
    static const int64_t sizes[][4] = {
        { 2, 3, 0, 0 }, { 3, 3, 1, 0 }, { 4, 4, 2, 0 }, { 2, 3, 0, 1 }, { 1, 1, 0, 0 },
        { 1, 1, 0, 1 }
    };
    const int64_t *z = sizes[s->variant];
    memcpy(s->args.size, z, sizeof sizes[0]);
    s->in[0] = random_tensor(cx, s,
                             OCI_SHAPE((2 * z[0] - 1) * (2 * z[1] - 1) + 3 * z[3], 2));
    WANT(s, 0);
}

/* As Swin makes it: regions of a map of 2 x 2 windows are numbered 3 x 3, then cut. */
static inline int64_t region(const int64_t *z, int64_t pattern, int64_t i)
{
    int64_t w = z[1], y = (pattern / 2) * w + i / w, x = (pattern % 2) * w + i % w;
    int64_t row = y < w ? 0 : y < 2 * w - z[2] ? 1 : 2;
    int64_t column = x < w ? 0 : x < 2 * w - z[2] ? 1 : 2;
    return 3 * row + column;
}

static inline void relative_bias_reference(const sample *s, double *const in[],
                                           double *out)
{
    const int64_t *z = s->args.size;
    int64_t h = z[0], w = z[1], T = h * w + z[3], last = (2 * h - 1) * (2 * w - 1) + 2;
    for (int64_t i = 0; i < (z[2] ? 4 : 1) * 2 * T * T; i++) {
        int64_t key = i % T - z[3], query = i / T % T - z[3], head = i / T / T % 2;
        int64_t pattern = i / T / T / 2;
        int64_t row = (query / w - key / w + h - 1) * (2 * w - 1) + query % w - key % w +
                      w - 1;
        if (query < 0) row = last - 2;
        if (key < 0) row = query < 0 ? last : last - 1;
        out[i] = in[0][row * 2 + head];
        if (z[2] && region(z, pattern, query) != region(z, pattern, key)) out[i] -= 100;
    }
}

/* ---- embedding, cross entropy ---- */

static inline void make_embedding(oc_context *cx, sample *s)
{
    static const oc_dtype dtypes[] = { OC_F32, OC_F32, OC_BF16, OC_F16 };
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(6, 5));
    if (dtypes[s->variant] != OC_F32)
        s->in[0] = narrowed(cx, s->in[0], dtypes[s->variant]);
    else WANT(s, 0);
    s->in[1] = random_ids(cx, s, 6, OCI_SHAPE(2, 1 + 4 * s->variant));
    s->args.size[0] = -1;
}

static inline void embedding_reference(const sample *s, double *const in[], double *out)
{
    for (int64_t i = 0; i < oci_tensor_count(s->in[1]) * 5; i++)
        out[i] = in[0][(int64_t)in[1][i / 5] * 5 + i % 5];
}

static inline void make_cross_entropy(oc_context *cx, sample *s)
{
    static const int64_t rows[] = { 1, 7, 4 }, vocab[] = { 1, 13, 70 };
    int v = s->variant;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, rows[v], vocab[v]));
    s->in[1] = random_ids(cx, s, vocab[v], OCI_SHAPE(2, rows[v]));
    for (int64_t i = 1; i < 2 * rows[v]; i += 3) oci_i64(s->in[1])[i] = -100;
    WANT(s, 0);
}

static inline void cross_entropy_reference(const sample *s, double *const in[],
                                           double *out)
{
    int64_t V = oci_tensor_width(s->in[0]), n = 0;
    double loss = 0;
    for (int64_t r = 0; r < oci_tensor_rows(s->in[0]); r++) {
        if (in[1][r] < 0) continue;
        double sum = 0;
        for (int64_t i = 0; i < V; i++) sum += exp(in[0][r * V + i]);
        loss += log(sum) - in[0][r * V + (int64_t)in[1][r]];
        n++;
    }
    *out = loss / (double)n;
}

/* ---- embedding mean, scores, log softmax, KL divergence ---- */

static inline void make_embedding_mean(oc_context *cx, sample *s)
{
    static const oc_dtype dtypes[] = { OC_F32, OC_F32, OC_BF16 };
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(6, 5));
    if (dtypes[s->variant] != OC_F32)
        s->in[0] = narrowed(cx, s->in[0], dtypes[s->variant]);
    else WANT(s, 0);
    s->in[1] = random_ids(cx, s, 7, OCI_SHAPE(2, 3, 1 + 2 * s->variant));
    for (int64_t i = 0; i < oci_tensor_count(s->in[1]); i++)
        oci_i64(s->in[1])[i] = i < 1 + 2 * s->variant ? -1 : oci_i64(s->in[1])[i] - 1;
}

static inline void embedding_mean_reference(const sample *s, double *const in[],
                                            double *out)
{
    int64_t A = s->in[1]->shape[2];
    for (int64_t i = 0; i < 2 * 3 * 5; i++) {
        double n = 0;
        out[i] = 0;
        for (int64_t a = 0; a < A; a++) {
            int64_t id = (int64_t)in[1][i / 5 * A + a];
            if (id < 0) continue;
            out[i] += in[0][id * 5 + i % 5];
            n++;
        }
        if (n > 0) out[i] /= n;
    }
}

static inline void make_scores(oc_context *cx, sample *s)
{
    static const int64_t sizes[][4] = { { 1, 1, 1, 1 }, { 2, 3, 5, 4 }, { 3, 9, 2, 33 } };
    const int64_t *z = sizes[s->variant];
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(z[0], z[1], z[3]));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(z[0], z[2], z[3]));
    if (s->variant) s->in[2] = random_tensor(cx, s, OCI_SHAPE(z[0], z[2]));
    s->args.scale = 0.4f;
    WANT(s, 0, 1);
}

static inline void scores_reference(const sample *s, double *const in[], double *out)
{
    int64_t P = s->in[0]->shape[1], N = s->in[1]->shape[1], D = s->in[0]->shape[2];
    for (int64_t i = 0; i < s->in[0]->shape[0] * P * N; i++) {
        int64_t row = i / N, key = i / (P * N) * N + i % N;
        out[i] = 0;
        for (int64_t d = 0; d < D; d++) out[i] += in[0][row * D + d] * in[1][key * D + d];
        out[i] = out[i] * (double)s->args.scale + (in[2] ? in[2][key] : 0);
    }
}

static inline void make_log_softmax(oc_context *cx, sample *s)
{
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 3, 1 + 12 * s->variant));
    WANT(s, 0);
}

static inline void log_softmax_reference(const sample *s, double *const in[], double *out)
{
    int64_t V = oci_tensor_width(s->in[0]);
    for (int64_t i = 0; i < 2 * 3 * V; i++) {
        double sum = 0;
        for (int64_t v = 0; v < V; v++) sum += exp(in[0][i / V * V + v]);
        out[i] = in[0][i] - log(sum);
    }
}

static inline void make_kl_div(oc_context *cx, sample *s)
{
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(1 + s->variant, 2, 5));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(1 + s->variant, 2, 5));
    for (int64_t i = 0; i < oci_tensor_count(s->in[1]); i++)
        oci_f32(s->in[1])[i] = fmaxf(0, oci_f32(s->in[1])[i]);
    WANT(s, 0);
}

static inline void kl_div_reference(const sample *s, double *const in[], double *out)
{
    double sum = 0;
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++)
        if (in[1][i] > 0) sum += in[1][i] * (log(in[1][i]) - in[0][i]);
    *out = sum / (double)s->in[0]->shape[0];
}

/* ---- of two sides in one space: normalize, scale_exp, transpose ---- */

static inline void make_normalize(oc_context *cx, sample *s)
{
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 1 + s->variant, 3 + 30 * s->variant));
    WANT(s, 0);
}

static inline void normalize_reference(const sample *s, double *const in[], double *out)
{
    int64_t D = oci_tensor_width(s->in[0]);
    for (int64_t r = 0; r < oci_tensor_rows(s->in[0]); r++) {
        double sum = 0;
        for (int64_t d = 0; d < D; d++) sum += in[0][r * D + d] * in[0][r * D + d];
        for (int64_t d = 0; d < D; d++) out[r * D + d] = in[0][r * D + d] / sqrt(sum);
    }
}

static inline void make_scale_exp(oc_context *cx, sample *s)
{
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(3 + 20 * s->variant, 7));
    s->in[1] = random_tensor(cx, s, 0, (const int64_t[]){ 0 });
    WANT(s, 0, 1);
}

static inline void scale_exp_reference(const sample *s, double *const in[], double *out)
{
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++)
        out[i] = in[0][i] * exp(in[1][0]);
}

static inline void make_transpose(oc_context *cx, sample *s)
{
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(1 + 3 * s->variant, 5));
    WANT(s, 0);
}

static inline void transpose_reference(const sample *s, double *const in[], double *out)
{
    int64_t M = s->in[0]->shape[0], N = s->in[0]->shape[1];
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) out[n * M + m] = in[0][m * N + n];
}

/* ---- all of them ---- */

/* ---- rms_norm ---- */

static inline void make_rms_norm(oc_context *cx, sample *s)
{
    static const int64_t rows[] = { 1, 3, 7, 5, 2 }, width[] = { 2, 5, 33, 64, 257 };
    int64_t D = width[s->variant];
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(rows[s->variant], 2, D));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(D));
    s->args.eps = 1e-2f;
    WANT(s, 0, 1);
}

static inline void rms_norm_reference(const sample *s, double *const in[], double *out)
{
    int64_t D = oci_tensor_width(s->in[0]);
    for (int64_t r = 0; r < oci_tensor_rows(s->in[0]); r++) {
        const double *x = in[0] + r * D;
        double square = 0;
        for (int64_t i = 0; i < D; i++) square += x[i] * x[i] / (double)D;
        for (int64_t i = 0; i < D; i++)
            out[r * D + i] = x[i] / sqrt(square + (double)s->args.eps) * in[1][i];
    }
}

/* ---- gated ---- */

static inline void make_gated(oc_context *cx, sample *s)
{
    static const oci_act acts[] = { OCI_ACT_SILU, OCI_ACT_GELU, OCI_ACT_NONE };
    static const int64_t width[] = { 1, 13, 70 };
    s->args.act = acts[s->variant];
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 3, width[s->variant]));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(2, 3, width[s->variant]));
    WANT(s, 0, 1);
}

static inline void gated_reference(const sample *s, double *const in[], double *out)
{
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++)
        out[i] = act_reference(oci_act_name(s->args.act), in[0][i]) * in[1][i];
}

/* ---- rope ---- */

static inline void make_rope(oc_context *cx, sample *s)
{
    static const int64_t B[] = { 1, 2, 3, 2 }, T[] = { 1, 3, 5, 4 },
                         heads[] = { 1, 2, 3, 1 };
    static const int64_t d[] = { 2, 4, 6, 32 };
    int64_t v = s->variant;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(B[v], T[v], heads[v] * d[v]));
    s->in[1] = random_tensor(cx, s, OCI_SHAPE(v % 2 ? 1 : B[v], T[v], d[v]));
    WANT(s, 0);
}

static inline void rope_reference(const sample *s, double *const in[], double *out)
{
    int64_t T = s->in[0]->shape[1], D = s->in[0]->shape[2], d = s->in[1]->shape[2];
    for (int64_t i = 0; i < oci_tensor_count(s->in[0]); i++) {
        int64_t row = i / D, at = i % D % d, t = s->in[1]->shape[0] == 1 ? row % T : row;
        bool low = at < d / 2;
        const double *table = in[1] + t * d + at % (d / 2);
        out[i] = in[0][i] * table[0] +
                 (low ? -in[0][i + d / 2] : in[0][i - d / 2]) * table[d / 2];
    }
}

/* ---- gather ---- */

static inline void make_gather(oc_context *cx, sample *s)
{
    static const int64_t D[] = { 1, 5, 33 };
    int64_t v = s->variant;
    s->in[0] = random_tensor(cx, s, OCI_SHAPE(2, 3, D[v]));
    s->in[1] = random_ids(cx, s, v ? 11 : 7, OCI_SHAPE(2, 9));
    for (int64_t i = 0; i < 18; i++) oci_i64(s->in[1])[i]--;         /* -1: zeros */
    WANT(s, 0);
    if (!v) return;
    s->in[2] = random_tensor(cx, s, OCI_SHAPE(1, 4, D[v]));
    WANT(s, 2);
}

static inline void gather_reference(const sample *s, double *const in[], double *out)
{
    int64_t D = oci_tensor_width(s->in[0]);
    for (int64_t i = 0; i < 18 * D; i++) {
        int64_t r = (int64_t)in[1][i / D];
        out[i] = r < 0 ? 0 : r < 6 ? in[0][r * D + i % D] : in[2][(r - 6) * D + i % D];
    }
}

static const op_case op_cases[] = {
    { "linear", 9, make_linear, linear_reference },
    { "attention", 16, make_attention, attention_reference },
    { "layer_norm", 5, make_layer_norm, layer_norm_reference },
    { "act", OCI_ACT_COUNT, make_act, act_all },
    { "add", 4, make_add, add_reference },
    { "scale", 3, make_scale, scale_reference },
    { "multiply", 3, make_multiply, multiply_reference },
    { "replace", 2, make_replace, replace_reference },
    { "reshape", 2, make_reshape, reshape_reference },
    { "concat", 3, make_concat, concat_reference },
    { "slice", 3, make_slice, slice_reference },
    { "columns", 3, make_columns, columns_reference },
    { "patches", 3, make_patches, patches_reference },
    { "interpolate", 3, make_interpolate, interpolate_reference },
    { "mean", 3, make_mean, mean_reference },
    { "windows", 8, make_windows, windows_reference },
    { "unwindows", 8, make_unwindows, unwindows_reference },
    { "merge", 5, make_merge, merge_reference },
    { "pad", 4, make_pad, pad_reference },
    { "relative_bias", 6, make_relative_bias, relative_bias_reference },
    { "embedding", 4, make_embedding, embedding_reference },
    { "cross_entropy", 3, make_cross_entropy, cross_entropy_reference },
    { "embedding_mean", 3, make_embedding_mean, embedding_mean_reference },
    { "scores", 3, make_scores, scores_reference },
    { "log_softmax", 3, make_log_softmax, log_softmax_reference },
    { "kl_div", 2, make_kl_div, kl_div_reference },
    { "normalize", 3, make_normalize, normalize_reference },
    { "scale_exp", 3, make_scale_exp, scale_exp_reference },
    { "transpose", 3, make_transpose, transpose_reference },
    { "rms_norm", 5, make_rms_norm, rms_norm_reference },
    { "gated", 3, make_gated, gated_reference },
    { "rope", 4, make_rope, rope_reference },
    { "gather", 3, make_gather, gather_reference },
};

static inline const op_case *op_case_find(const char *op)
{
    for (size_t i = 0; i < sizeof op_cases / sizeof *op_cases; i++)
        if (!strcmp(op_cases[i].op, op)) return &op_cases[i];
    fail_msg("the op \"%s\" has no samples: add them to op_samples.h", op);
    return NULL;
}

/* Into *s, which must not move: args may point into it. Equal for equal variants. */
static inline void sample_make(oc_context *cx, const op_case *kind, int variant,
                               sample *s)
{
    *s = (sample){ .kind = kind, .variant = variant };
    oci_rng_init(&s->rng, 7, (uint64_t)variant + 1);
    kind->make(cx, s);
}

static inline const oci_op *op_find(const char *name)
{
    size_t count;
    const oci_op *const *table = oci_op_table(&count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(table[i]->name, name)) return table[i];
    fail_msg("no op \"%s\"", name);
    return NULL;
}

#endif
