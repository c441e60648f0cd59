/* layer_norm: Ba, Kiros, Hinton 2016, "Layer normalization"; torch.nn.LayerNorm.
 * rms_norm: Zhang & Sennrich 2019, "Root mean square layer normalization". And normalize:
 * rows of length 1. */
#include <math.h>

#include "tensor/ops.h"

static bool layer_norm_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    for (int i = 1; i <= 2; i++)
        if (x->rank < 1 || call->in[i]->rank != 1 ||
            call->in[i]->shape[0] != oci_tensor_width(x))
            return oci_op_fail(cx, call, "x [.., D], gamma [D] and beta [D]");
    *out = (oci_tensor){ .dtype = OC_F32, .rank = x->rank };
    for (int i = 0; i < x->rank; i++) out->shape[i] = x->shape[i];
    return true;
}

static void layer_norm_forward(oc_context *cx, oci_call *call)
{
    const oci_tensor *x = call->in[0];
    int64_t rows = oci_tensor_rows(x);
    float *mean = NULL, *rstd = NULL;
    if (cx->tape) {
        oci_tensor *saved = oci_tensor_create(cx, OC_F32, OCI_SHAPE(2, rows));
        if (!saved) return;
        call->args.saved[0] = saved;
        mean = oci_f32(saved);
        rstd = mean + rows;
    }
    oci_backend_get(cx)->layer_norm(cx, rows, oci_tensor_width(x), oci_f32(x),
                                    oci_f32(call->in[1]), oci_f32(call->in[2]),
                                    call->args.eps, oci_f32(call->out), mean, rstd);
}

static void layer_norm_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *x = call->in[0];
    int64_t rows = oci_tensor_rows(x);
    const float *mean = oci_f32(call->args.saved[0]);
    float *dx, *dgamma, *dbeta;
    oci_wants_grad(cx, call, 0, &dx);
    oci_wants_grad(cx, call, 1, &dgamma);
    oci_wants_grad(cx, call, 2, &dbeta);
    if (oci_failed(cx)) return;
    oci_backend_get(cx)->layer_norm_grad(cx, rows, oci_tensor_width(x), call->out->grad,
                                         oci_f32(x), oci_f32(call->in[1]), mean,
                                         mean + rows, dx, dgamma, dbeta);
}

const oci_op oci_op_row_layer_norm = { "layer_norm", 3, 3, layer_norm_shape,
                                       layer_norm_forward, layer_norm_gradient };

oci_tensor *oci_op_layer_norm(oc_context *cx, oci_tensor *x, oci_tensor *gamma,
                              oci_tensor *beta, float eps)
{
    return oci_apply(cx, &oci_op_row_layer_norm, OCI_IN(x, gamma, beta),
                     (oci_args){ .eps = eps });
}

/* ---- rms_norm ---- */

static bool rms_norm_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0], *gamma = call->in[1];
    if (x->rank < 1 || gamma->rank != 1 || gamma->shape[0] != oci_tensor_width(x))
        return oci_op_fail(cx, call, "x [.., D] and gamma [D]");
    out->rank = x->rank;
    for (int i = 0; i < x->rank; i++) out->shape[i] = x->shape[i];
    return true;
}

static void rms_norm_forward(oc_context *cx, oci_call *call)
{
    const oci_tensor *x = call->in[0];
    int64_t rows = oci_tensor_rows(x);
    if (cx->tape) call->args.saved[0] = oci_tensor_create(cx, OC_F32, OCI_SHAPE(rows));
    if (oci_failed(cx)) return;
    const oci_tensor *saved = call->args.saved[0];
    oci_backend_get(cx)->rms_norm(cx, rows, oci_tensor_width(x), oci_f32(x),
                                  oci_f32(call->in[1]), call->args.eps,
                                  oci_f32(call->out), saved ? oci_f32(saved) : NULL);
}

static void rms_norm_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *x = call->in[0];
    float *dx = NULL, *dgamma = NULL;
    oci_wants_grad(cx, call, 0, &dx);
    oci_wants_grad(cx, call, 1, &dgamma);
    if (oci_failed(cx)) return;
    oci_backend_get(cx)->rms_norm_grad(cx, oci_tensor_rows(x), oci_tensor_width(x),
                                       call->out->grad, oci_f32(x), oci_f32(call->in[1]),
                                       oci_f32(call->args.saved[0]), dx, dgamma);
}

const oci_op oci_op_row_rms_norm = { "rms_norm", 2, 2, rms_norm_shape, rms_norm_forward,
                                     rms_norm_gradient };

oci_tensor *oci_op_rms_norm(oc_context *cx, oci_tensor *x, oci_tensor *gamma, float eps)
{
    return oci_apply(cx, &oci_op_row_rms_norm, OCI_IN(x, gamma),
                     (oci_args){ .eps = eps });
}

/* ---- normalize: x / |x|, and no epsilon: a row of zeros is NaN,
 * as in the reference ---- */

static double row_length(const float *x, int64_t D)
{
    double sum = 0;
    for (int64_t d = 0; d < D; d++) sum += (double)x[d] * (double)x[d];
    return sqrt(sum);
}

static void normalize_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    int64_t D = oci_tensor_width(call->out), rows = oci_tensor_rows(call->out);
    for (int64_t r = 0; r < rows; r++) {
        const float *x = oci_f32(call->in[0]) + r * D;
        float *y = oci_f32(call->out) + r * D, length = (float)row_length(x, D);
        for (int64_t d = 0; d < D; d++) y[d] = x[d] / length;
    }
}

/* dx += (dy - y (y . dy)) / |x| */
static void normalize_gradient(oc_context *cx, const oci_call *call)
{
    int64_t D = oci_tensor_width(call->out), rows = oci_tensor_rows(call->out);
    float *dx;
    if (!oci_wants_grad(cx, call, 0, &dx)) return;
    for (int64_t r = 0; r < rows; r++) {
        const float *y = oci_f32(call->out) + r * D, *dy = call->out->grad + r * D;
        double along = 0, length = row_length(oci_f32(call->in[0]) + r * D, D);
        for (int64_t d = 0; d < D; d++) along += (double)y[d] * (double)dy[d];
        for (int64_t d = 0; d < D; d++)
            dx[r * D + d] += (float)(((double)dy[d] - (double)y[d] * along) / length);
    }
}

const oci_op oci_op_row_normalize = { "normalize", 1, 1, NULL, normalize_forward,
                                      normalize_gradient };

oci_tensor *oci_op_normalize(oc_context *cx, oci_tensor *x)
{
    return oci_apply(cx, &oci_op_row_normalize, OCI_IN(x), (oci_args){ 0 });
}
