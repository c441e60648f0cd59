/* layer_norm: Ba, Kiros, Hinton 2016, "Layer normalization"; torch.nn.LayerNorm. */
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
                                         oci_f32(x), oci_f32(call->in[1]), mean, mean + rows,
                                         dx, dgamma, dbeta);
}

const oci_op oci_op_row_layer_norm = { "layer_norm", 3, 3, layer_norm_shape,
                                       layer_norm_forward, layer_norm_gradient };

oci_tensor *oci_op_layer_norm(oc_context *cx, oci_tensor *x, oci_tensor *gamma,
                              oci_tensor *beta, float eps)
{
    return oci_apply(cx, &oci_op_row_layer_norm, OCI_IN(x, gamma, beta),
                     (oci_args){ .eps = eps });
}
