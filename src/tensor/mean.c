/* mean: over the positions of a sequence. */
#include "tensor/ops.h"

#include <string.h>

static bool mean_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    if (x->rank != 3 || x->shape[1] < 1) return oci_op_fail(cx, call, "x [B, N >= 1, D]");
    *out = (oci_tensor){ .dtype = OC_F32, .rank = 2,
                         .shape = { x->shape[0], x->shape[2] } };
    return true;
}

static void mean_forward(oc_context *cx, oci_call *call)
{
    const oci_backend *be = oci_backend_get(cx);
    const oci_tensor *x = call->in[0];
    int64_t N = x->shape[1], D = x->shape[2];
    float *y = oci_f32(call->out);
    memset(y, 0, (size_t)oci_tensor_count(call->out) * sizeof *y);
    for (int64_t b = 0; b < x->shape[0]; b++)
        be->sum_rows(cx, N, D, oci_f32(x) + b * N * D, y + b * D);
    for (int64_t i = 0; i < x->shape[0] * D; i++) y[i] /= (float)N;
}

static void mean_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *x = call->in[0];
    int64_t N = x->shape[1], D = x->shape[2];
    float *dx;
    if (!oci_wants_grad(cx, call, 0, &dx)) return;
    for (int64_t r = 0; r < x->shape[0] * N; r++)
        for (int64_t d = 0; d < D; d++)
            dx[r * D + d] += call->out->grad[r / N * D + d] / (float)N;
}

const oci_op oci_op_row_mean = { "mean", 1, 1, mean_shape, mean_forward, mean_gradient };

oci_tensor *oci_op_mean(oc_context *cx, oci_tensor *x)
{
    return oci_apply(cx, &oci_op_row_mean, OCI_IN(x), (oci_args){ 0 });
}
