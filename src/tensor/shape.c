/* Operations that move elements without changing them,
 * and the resizing of position grids. */
#include "tensor/ops.h"

#include <math.h>
#include <string.h>

#include "base/size.h"

/* ---- reshape ---- */

static void reshape_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    memcpy(call->out->data, call->in[0]->data,
           (size_t)oci_tensor_count(call->out) * sizeof(float));
}

static bool reshape_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *shape = call->args.saved[0];
    if (oci_tensor_count(shape) != oci_tensor_count(call->in[0]))
        return oci_op_fail(cx, call, "as many elements as before");
    out->rank = shape->rank;
    memcpy(out->shape, shape->shape, sizeof out->shape);
    return true;
}

static void reshape_gradient(oc_context *cx, const oci_call *call)
{
    float *dx;
    if (oci_wants_grad(cx, call, 0, &dx))
        oci_backend_get(cx)->axpy(cx, oci_tensor_count(call->out), 1.0f, call->out->grad,
                                  dx);
}

const oci_op oci_op_row_reshape = { "reshape", 1, 1, reshape_shape, reshape_forward,
                                    reshape_gradient };

oci_tensor *oci_op_reshape(oc_context *cx, oci_tensor *x, int rank, const int64_t *shape)
{
    if (!x || oci_failed(cx)) return NULL;
    if (!cx->tape) return oci_tensor_view(cx, x, rank, shape, 0);
    oci_tensor like = { .dtype = OC_F32, .rank = rank };
    memcpy(like.shape, shape, (size_t)rank * sizeof *shape);
    return oci_apply(cx, &oci_op_row_reshape, OCI_IN(x),
                     (oci_args){ .saved = { &like } });
}

/* ---- transpose ---- */

static bool transpose_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    if (x->rank != 2) return oci_op_fail(cx, call, "x [M, N]");
    *out =
        (oci_tensor){ .dtype = OC_F32, .rank = 2, .shape = { x->shape[1], x->shape[0] } };
    return true;
}

static void transpose_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    int64_t M = call->in[0]->shape[0], N = call->in[0]->shape[1];
    for (int64_t i = 0; i < M * N; i++)
        oci_f32(call->out)[i % N * M + i / N] = oci_f32(call->in[0])[i];
}

static void transpose_gradient(oc_context *cx, const oci_call *call)
{
    int64_t M = call->in[0]->shape[0], N = call->in[0]->shape[1];
    float *dx;
    if (!oci_wants_grad(cx, call, 0, &dx)) return;
    for (int64_t i = 0; i < M * N; i++) dx[i] += call->out->grad[i % N * M + i / N];
}

const oci_op oci_op_row_transpose = {
    "transpose", 1, 1, transpose_shape, transpose_forward, transpose_gradient
};

oci_tensor *oci_op_transpose(oc_context *cx, oci_tensor *x)
{
    return oci_apply(cx, &oci_op_row_transpose, OCI_IN(x), (oci_args){ 0 });
}

/* ---- concat, slice: along the positions ---- */

static bool concat_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *a = call->in[0], *b = call->in[1];
    if (a->rank != 3 || b->rank != 3 || a->shape[2] != b->shape[2] ||
        (a->shape[0] != 1 && a->shape[0] != b->shape[0]))
        return oci_op_fail(cx, call, "a [1|B, N, D] and b [B, M, D]");
    out->rank = 3;
    out->shape[0] = b->shape[0];
    out->shape[1] = a->shape[1] + b->shape[1];
    out->shape[2] = b->shape[2];
    return true;
}

static void concat_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    const oci_tensor *a = call->in[0], *b = call->in[1];
    int64_t n = a->shape[1] * a->shape[2], m = b->shape[1] * b->shape[2];
    for (int64_t i = 0; i < b->shape[0]; i++) {
        float *y = oci_f32(call->out) + i * (n + m);
        memcpy(y, oci_f32(a) + (a->shape[0] > 1 ? i * n : 0), (size_t)n * sizeof *y);
        memcpy(y + n, oci_f32(b) + i * m, (size_t)m * sizeof *y);
    }
}

static void concat_gradient(oc_context *cx, const oci_call *call)
{
    const oci_backend *be = oci_backend_get(cx);
    const oci_tensor *a = call->in[0], *b = call->in[1];
    int64_t n = a->shape[1] * a->shape[2], m = b->shape[1] * b->shape[2];
    float *da, *db;
    oci_wants_grad(cx, call, 0, &da);
    oci_wants_grad(cx, call, 1, &db);
    for (int64_t i = 0; i < b->shape[0]; i++) {
        const float *dy = call->out->grad + i * (n + m);
        if (da) be->axpy(cx, n, 1.0f, dy, da + (a->shape[0] > 1 ? i * n : 0));
        if (db) be->axpy(cx, m, 1.0f, dy + n, db + i * m);
    }
}

const oci_op oci_op_row_concat = { "concat", 2, 2, concat_shape, concat_forward,
                                   concat_gradient };

oci_tensor *oci_op_concat(oc_context *cx, oci_tensor *a, oci_tensor *b)
{
    return oci_apply(cx, &oci_op_row_concat, OCI_IN(a, b), (oci_args){ 0 });
}

static bool slice_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    int64_t begin = call->args.size[0], count = call->args.size[1];
    if (x->rank != 3 || begin < 0 || count < 0 || begin > x->shape[1] - count)
        return oci_op_fail(cx, call, "x [B, N, D] with %lld positions from %lld on",
                           (long long)count, (long long)begin);
    out->rank = 3;
    out->shape[0] = x->shape[0];
    out->shape[1] = count;
    out->shape[2] = x->shape[2];
    return true;
}

static void slice_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    const oci_tensor *x = call->in[0];
    int64_t n = call->out->shape[1] * x->shape[2], all = x->shape[1] * x->shape[2];
    for (int64_t i = 0; i < x->shape[0]; i++)
        memcpy(oci_f32(call->out) + i * n,
               oci_f32(x) + i * all + call->args.size[0] * x->shape[2],
               (size_t)n * sizeof(float));
}

static void slice_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *x = call->in[0];
    int64_t n = call->out->shape[1] * x->shape[2], all = x->shape[1] * x->shape[2];
    float *dx;
    if (!oci_wants_grad(cx, call, 0, &dx)) return;
    for (int64_t i = 0; i < x->shape[0]; i++)
        oci_backend_get(cx)->axpy(cx, n, 1.0f, call->out->grad + i * n,
                                  dx + i * all + call->args.size[0] * x->shape[2]);
}

const oci_op oci_op_row_slice = {
    "slice", 1, 1, slice_shape, slice_forward, slice_gradient
};

oci_tensor *oci_op_slice(oc_context *cx, oci_tensor *x, int64_t begin, int64_t count)
{
    return oci_apply(cx, &oci_op_row_slice, OCI_IN(x),
                     (oci_args){ .size = { begin, count } });
}

/* ---- columns: along the width ---- */

static bool columns_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    int64_t begin = call->args.size[0], count = call->args.size[1];
    if (x->rank < 1 || begin < 0 || count < 0 || begin > oci_tensor_width(x) - count)
        return oci_op_fail(cx, call, "x [.., W] with %lld columns from %lld on",
                           (long long)count, (long long)begin);
    out->rank = x->rank;
    memcpy(out->shape, x->shape, sizeof out->shape);
    out->shape[x->rank - 1] = count;
    return true;
}

static void columns_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    const oci_tensor *x = call->in[0];
    int64_t W = oci_tensor_width(x), n = oci_tensor_width(call->out);
    const float *from = oci_f32(x) + call->args.size[0];
    for (int64_t r = 0; r < oci_tensor_rows(x); r++)
        memcpy(oci_f32(call->out) + r * n, from + r * W, (size_t)n * sizeof(float));
}

static void columns_gradient(oc_context *cx, const oci_call *call)
{
    int64_t W = oci_tensor_width(call->in[0]), n = oci_tensor_width(call->out);
    float *dx;
    if (!oci_wants_grad(cx, call, 0, &dx)) return;
    for (int64_t r = 0; r < oci_tensor_rows(call->in[0]); r++)
        oci_backend_get(cx)->axpy(cx, n, 1.0f, call->out->grad + r * n,
                                  dx + r * W + call->args.size[0]);
}

const oci_op oci_op_row_columns = { "columns", 1, 1, columns_shape, columns_forward,
                                    columns_gradient };

oci_tensor *oci_op_columns(oc_context *cx, oci_tensor *x, int64_t begin, int64_t count)
{
    return oci_apply(cx, &oci_op_row_columns, OCI_IN(x),
                     (oci_args){ .size = { begin, count } });
}

/* ---- patches: pictures to rows ---- */

static bool patches_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    int64_t ph = call->args.size[0], pw = call->args.size[1];
    if (x->rank != 4 || ph < 1 || pw < 1 || x->shape[2] < ph || x->shape[3] < pw)
        return oci_op_fail(cx, call, "pixels [B, C, >= %lld, >= %lld]", (long long)ph,
                           (long long)pw);
    out->rank = 3;
    out->shape[0] = x->shape[0];
    out->shape[1] = (x->shape[2] / ph) * (x->shape[3] / pw);
    out->shape[2] = x->shape[1] * ph * pw;
    return true;
}

/* Visits every run of pw pixels: `row` in the patches, `pixel` in the picture. */
static void copy_patches(const oci_call *call, bool back, const float *from, float *to)
{
    const int64_t *s = call->in[0]->shape;
    int64_t C = s[1], H = s[2], W = s[3], ph = call->args.size[0],
            pw = call->args.size[1];
    int64_t gh = H / ph, gw = W / pw, row = 0;
    for (int64_t patch = 0; patch < s[0] * gh * gw; patch++) {
        int64_t b = patch / (gh * gw), py = patch / gw % gh, px = patch % gw;
        for (int64_t line = 0; line < C * ph; line++, row += pw) {
            int64_t c = line / ph, y = py * ph + line % ph;
            int64_t pixel = ((b * C + c) * H + y) * W + px * pw;
            if (!back) memcpy(to + row, from + pixel, (size_t)pw * sizeof *to);
            else for (int64_t i = 0; i < pw; i++) to[pixel + i] += from[row + i];
        }
    }
}

static void patches_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    copy_patches(call, false, oci_f32(call->in[0]), oci_f32(call->out));
}

static void patches_gradient(oc_context *cx, const oci_call *call)
{
    float *dx;
    if (oci_wants_grad(cx, call, 0, &dx)) copy_patches(call, true, call->out->grad, dx);
}

const oci_op oci_op_row_patches = { "patches", 1, 1, patches_shape, patches_forward,
                                    patches_gradient };

oci_tensor *oci_op_patches(oc_context *cx, oci_tensor *pixels, int64_t ph, int64_t pw)
{
    return oci_apply(cx, &oci_op_row_patches, OCI_IN(pixels),
                     (oci_args){ .size = { ph, pw } });
}

/* ---- interpolate: torch's upsample_bicubic2d ---- */

/* The four taps of output i on an axis of n: Keys 1981, a = -0.75, borders clamped. */
typedef struct cubic_taps {
    int64_t at[4];
    float w[4];
} cubic_taps;

static float cubic_near(float x) { return ((1.25f * x) - 2.25f) * x * x + 1; }
static float cubic_far(float x)
{
    return ((-0.75f * x + 3.75f) * x - 6.0f) * x + 3.0f;
}

static cubic_taps taps_of(int64_t i, int64_t n, double factor)
{
    /* torch: area_pixel_compute_source_index in float, scale = 1 / factor */
    float scale = (float)(1.0 / factor);
    float real = scale * ((float)i + 0.5f) - 0.5f;
    float floor_real = floorf(real), t = real - floor_real;
    cubic_taps taps = { .w = { cubic_far(t + 1), cubic_near(t), cubic_near(1 - t),
                               cubic_far(2 - t) } };
    for (int k = 0; k < 4; k++)
        taps.at[k] = oci_max(0, oci_min(n - 1, (int64_t)floor_real - 1 + k));
    return taps;
}

/* TensorFlow's ResizeBicubic with half_pixel_centers, to `all` outputs: a = -0.5, offsets
 * in steps of 1/1024, and taps beyond the border left out, the others made to sum to
 * 1. */
static cubic_taps tf_taps_of(int64_t i, int64_t n, int64_t all)
{
    enum { STEPS = 1024 };
    float real = ((float)i + 0.5f) * ((float)n / (float)all) - 0.5f;
    float floor_real = floorf(real);
    float t = (float)lrintf((real - floor_real) * STEPS) / STEPS, u = 1 - t, sum = 0;
    cubic_taps taps = { .w = { ((-0.5f * t + 1) * t - 0.5f) * t,
                               (1.5f * t - 2.5f) * t * t + 1,
                               (1.5f * u - 2.5f) * u * u + 1,
                               ((-0.5f * u + 1) * u - 0.5f) * u } };
    for (int k = 0; k < 4; k++) {
        const int64_t at = (int64_t)floor_real - 1 + k;
        taps.at[k] = oci_max(0, oci_min(n - 1, at));
        if (taps.at[k] != at) taps.w[k] = 0;
        sum += taps.w[k];
    }
    for (int k = 0; k < 4; k++) taps.w[k] /= sum;   /* the near taps alone are over 0.4 */
    return taps;
}

/* args: size = { h, w, H, W }, factor = { of h, of w }, or 0 for TensorFlow's. */
static bool interpolate_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    const int64_t *s = call->args.size;
    if (x->rank != 3 || x->shape[0] != 1 || x->shape[1] != s[0] * s[1] || s[2] < 1 ||
        s[3] < 1)
        return oci_op_fail(cx, call, "x [1, %lld * %lld, D]", (long long)s[0],
                           (long long)s[1]);
    out->rank = 3;
    out->shape[0] = 1;
    out->shape[1] = s[2] * s[3];
    out->shape[2] = x->shape[2];
    return true;
}

/* Adds weight * source row to target row for every pair of rows,
 * forwards or backwards. */
static void interpolate_rows(const oci_call *call, bool back, const float *from,
                             float *to)
{
    const int64_t *s = call->args.size, D = call->out->shape[2];
    double fh = call->args.factor[0], fw = call->args.factor[1];
    for (int64_t Y = 0; Y < s[2]; Y++) {
        cubic_taps ty = fh > 0 ? taps_of(Y, s[0], fh) : tf_taps_of(Y, s[0], s[2]);
        for (int64_t X = 0; X < s[3]; X++) {
            cubic_taps tx = fw > 0 ? taps_of(X, s[1], fw) : tf_taps_of(X, s[1], s[3]);
            int64_t out = (Y * s[3] + X) * D;
            for (int k = 0; k < 16; k++) {
                float w = ty.w[k / 4] * tx.w[k % 4];
                int64_t in = (ty.at[k / 4] * s[1] + tx.at[k % 4]) * D;
                const float *p = from + (back ? out : in);
                float *q = to + (back ? in : out);
                for (int64_t d = 0; d < D; d++) q[d] += w * p[d];
            }
        }
    }
}

static void interpolate_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    memset(call->out->data, 0, (size_t)oci_tensor_count(call->out) * sizeof(float));
    interpolate_rows(call, false, oci_f32(call->in[0]), oci_f32(call->out));
}

static void interpolate_gradient(oc_context *cx, const oci_call *call)
{
    float *dx;
    if (oci_wants_grad(cx, call, 0, &dx))
        interpolate_rows(call, true, call->out->grad, dx);
}

const oci_op oci_op_row_interpolate = { "interpolate", 1, 1, interpolate_shape,
                                        interpolate_forward, interpolate_gradient };

oci_tensor *oci_op_interpolate(oc_context *cx, oci_tensor *x, int64_t h, int64_t w,
                               int64_t H, int64_t W, double factor_h, double factor_w)
{
    return oci_apply(cx, &oci_op_row_interpolate, OCI_IN(x),
                     (oci_args){ .size = { h, w, H, W },
                                 .factor = { factor_h, factor_w } });
}
