/* scores: what attention has before its softmax, scale q kᵀ + mask, for heads that choose
 * instead of mixing. */
#include "tensor/ops.h"

static bool scores_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *q = call->in[0], *k = call->in[1], *mask = call->in[2];
    if (q->rank != 3 || k->rank != 3 || q->shape[0] != k->shape[0] ||
        q->shape[2] != k->shape[2])
        return oci_op_fail(cx, call, "q [B, P, D] and k [B, N, D]");
    if (mask && (mask->rank != 2 || mask->shape[0] != k->shape[0] ||
                 mask->shape[1] != k->shape[1]))
        return oci_op_fail(cx, call, "a mask [%lld, %lld]", (long long)k->shape[0],
                           (long long)k->shape[1]);
    *out = (oci_tensor){ .dtype = OC_F32, .rank = 3,
                         .shape = { q->shape[0], q->shape[1], k->shape[1] } };
    return true;
}

static void scores_forward(oc_context *cx, oci_call *call)
{
    const oci_backend *be = oci_backend_get(cx);
    const oci_tensor *q = call->in[0], *k = call->in[1], *mask = call->in[2];
    int64_t P = q->shape[1], N = k->shape[1], D = q->shape[2];
    for (int64_t b = 0; b < q->shape[0]; b++) {
        float *y = oci_f32(call->out) + b * P * N;
        be->product(cx, &(oci_product_args){ .M = P, .N = N, .K = D,
            .a = oci_f32(q) + b * P * D, .a_row = D, .a_col = 1,
            .b = oci_f32(k) + b * N * D, .b_row = 1, .b_col = D, .c = y, .ldc = N });
        be->scale(cx, P * N, call->args.scale, y, y);
        if (mask) be->add(cx, P * N, N, y, oci_f32(mask) + b * N, y);
    }
}

/* dq += scale dy k,  dk += scale dyᵀ q; a mask is no variable. */
static void scores_gradient(oc_context *cx, const oci_call *call)
{
    const oci_backend *be = oci_backend_get(cx);
    const oci_tensor *q = call->in[0], *k = call->in[1];
    int64_t P = q->shape[1], N = k->shape[1], D = q->shape[2];
    float *dq, *dk;
    oci_wants_grad(cx, call, 0, &dq);
    oci_wants_grad(cx, call, 1, &dk);
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *scaled = oci_tensor_create(cx, OC_F32, OCI_SHAPE(P, N));
    for (int64_t b = 0; scaled && b < q->shape[0]; b++) {
        float *dy = oci_f32(scaled);
        be->scale(cx, P * N, call->args.scale, call->out->grad + b * P * N, dy);
        if (dq)
            be->product(cx, &(oci_product_args){ .M = P, .N = D, .K = N, .a = dy,
                                                 .a_row = N, .a_col = 1,
                                                 .b = oci_f32(k) + b * N * D, .b_row = D,
                                                 .b_col = 1, .c = dq + b * P * D,
                                                 .ldc = D, .accumulate = true });
        if (dk)
            be->product(cx, &(oci_product_args){ .M = N, .N = D, .K = P, .a = dy,
                                                 .a_row = 1, .a_col = N,
                                                 .b = oci_f32(q) + b * P * D, .b_row = D,
                                                 .b_col = 1, .c = dk + b * N * D,
                                                 .ldc = D, .accumulate = true });
    }
    oci_arena_reset(&cx->arena, mark);
}

const oci_op oci_op_row_scores = { "scores", 2, 3, scores_shape, scores_forward,
                                   scores_gradient };

oci_tensor *oci_op_scores(oc_context *cx, oci_tensor *q, oci_tensor *k, oci_tensor *mask,
                          float scale)
{
    return oci_apply(cx, &oci_op_row_scores, OCI_IN(q, k, mask),
                     (oci_args){ .scale = scale });
}
