/* linear: y = x Wᵀ + b, torch.nn.Linear. Weights come packed for the kernels, in whatever
 * float type their file had; or raw in f32 when they are trained, for then they change
 * with every step, and are packed for each call: K N moves beside 2 M N K operations. */
#include "tensor/ops.h"

#include <string.h>

static bool linear_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0], *w = call->in[1], *b = call->in[2],
                     *r = call->in[3];
    if (x->rank < 1 || w->rank != 2 || oci_tensor_width(x) != w->shape[1])
        return oci_op_fail(cx, call, "x [.., K] and weight [N, K]");
    if (b && (b->rank != 1 || b->shape[0] != w->shape[0]))
        return oci_op_fail(cx, call, "bias [%lld]", (long long)w->shape[0]);
    out->rank = x->rank;
    memcpy(out->shape, x->shape, sizeof out->shape);
    out->shape[x->rank - 1] = w->shape[0];
    if (r && !oci_same_shape(r, out)) return oci_op_fail(cx, call, "a residual like y");
    if (cx->tape && (r || call->args.act != OCI_ACT_NONE))
        return oci_op_fail(cx, call, "no fused activation or residual on a tape");
    return true;
}

static void linear_forward(oc_context *cx, oci_call *call)
{
    const oci_backend *be = oci_backend_get(cx);
    const oci_tensor *x = call->in[0], *w = call->in[1];
    const oci_tensor *bias = call->in[2], *residual = call->in[3];
    int64_t N = w->shape[0], K = w->shape[1];
    oci_arena_mark mark = oci_mark(cx);
    const void *panels = w->panels ? w->panels->data : NULL;
    if (!panels) {
        void *fresh = oci_arena_alloc(cx, &cx->arena, be->packed_bytes(w->dtype, N, K));
        if (!fresh) return;
        be->pack(cx, w->dtype, N, K, w->data, K, 1, fresh);
        panels = fresh;
    }
    be->linear(cx, &(oci_linear_args){
        .M = oci_tensor_rows(x), .N = N, .K = K, .x = oci_f32(x), .ldx = K,
        .dtype = w->dtype, .arithmetic = cx->arithmetic, .panels = panels,
        .bias = bias ? oci_f32(bias) : NULL,
        .act = call->args.act, .residual = residual ? oci_f32(residual) : NULL, .ldr = N,
        .y = oci_f32(call->out), .ldy = N });
    oci_arena_reset(&cx->arena, mark);
}

/* dx += dy W,  dW += dyᵀ x,  db += column sums of dy. */
static void linear_gradient(oc_context *cx, const oci_call *call)
{
    const oci_backend *be = oci_backend_get(cx);
    const oci_tensor *x = call->in[0], *w = call->in[1];
    int64_t M = oci_tensor_rows(x), N = w->shape[0], K = w->shape[1];
    const float *dy = call->out->grad;
    float *grad;
    if (!w->data || w->dtype != OC_F32) {
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "linear: gradients need a model opened as trainable");
        return;
    }
    if (oci_wants_grad(cx, call, 0, &grad))
        be->product(cx, &(oci_product_args){ .M = M, .N = K, .K = N, .a = dy, .a_row = N,
            .a_col = 1, .b = oci_f32(w), .b_row = K, .b_col = 1, .c = grad, .ldc = K,
            .accumulate = true });
    if (oci_wants_grad(cx, call, 1, &grad))
        be->product(cx, &(oci_product_args){ .M = N, .N = K, .K = M, .a = dy, .a_row = 1,
            .a_col = N, .b = oci_f32(x), .b_row = K, .b_col = 1, .c = grad, .ldc = K,
            .accumulate = true });
    if (oci_wants_grad(cx, call, 2, &grad)) be->sum_rows(cx, M, N, dy, grad);
}

const oci_op oci_op_row_linear = { "linear", 2, 4, linear_shape, linear_forward,
                                   linear_gradient };

oci_tensor *oci_op_linear(oc_context *cx, oci_tensor *x, oci_tensor *weight,
                          oci_tensor *bias, oci_act act, oci_tensor *residual)
{
    return oci_apply(cx, &oci_op_row_linear, OCI_IN(x, weight, bias, residual),
                     (oci_args){ .act = act });
}
