/* Operations on one element at a time. */
#include <math.h>

#include "tensor/ops.h"

/* ---- activation ---- */

static void act_forward(oc_context *cx, oci_call *call)
{
    oci_backend_get(cx)->activate(cx, call->args.act, oci_tensor_count(call->out),
                                  oci_f32(call->in[0]), oci_f32(call->out));
}

static void act_gradient(oc_context *cx, const oci_call *call)
{
    float *dx;
    if (oci_wants_grad(cx, call, 0, &dx))
        oci_backend_get(cx)->activate_grad(cx, call->args.act,
                                           oci_tensor_count(call->out),
                                           oci_f32(call->in[0]), call->out->grad, dx);
}

const oci_op oci_op_row_act = { "act", 1, 1, NULL, act_forward, act_gradient };

oci_tensor *oci_op_act(oc_context *cx, oci_act act, oci_tensor *x)
{
    if (act == OCI_ACT_NONE) return x;
    return oci_apply(cx, &oci_op_row_act, OCI_IN(x), (oci_args){ .act = act });
}

/* ---- add ---- */

static bool add_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *a = call->in[0], *b = call->in[1];
    bool good = b->rank <= a->rank;
    for (int i = 1; good && i <= b->rank; i++)
        good = a->shape[a->rank - i] == b->shape[b->rank - i] ||
               (b->shape[b->rank - i] == 1 && i == b->rank);    /* a batch of one */
    if (!good) return oci_op_fail(cx, call, "b to be the last dimensions of a");
    out->rank = a->rank;
    for (int i = 0; i < a->rank; i++) out->shape[i] = a->shape[i];
    return true;
}

static void add_forward(oc_context *cx, oci_call *call)
{
    oci_backend_get(cx)->add(cx, oci_tensor_count(call->out),
                             oci_tensor_count(call->in[1]), oci_f32(call->in[0]),
                             oci_f32(call->in[1]), oci_f32(call->out));
}

static void add_gradient(oc_context *cx, const oci_call *call)
{
    const oci_backend *be = oci_backend_get(cx);
    int64_t n = oci_tensor_count(call->out), period = oci_tensor_count(call->in[1]);
    float *grad;
    if (oci_wants_grad(cx, call, 0, &grad)) be->axpy(cx, n, 1.0f, call->out->grad, grad);
    if (oci_wants_grad(cx, call, 1, &grad) && period > 0)
        be->sum_rows(cx, n / period, period, call->out->grad, grad);
}

const oci_op oci_op_row_add = { "add", 2, 2, add_shape, add_forward, add_gradient };

oci_tensor *oci_op_add(oc_context *cx, oci_tensor *a, oci_tensor *b)
{
    return oci_apply(cx, &oci_op_row_add, OCI_IN(a, b), (oci_args){ 0 });
}

/* ---- scale ---- */

static void scale_forward(oc_context *cx, oci_call *call)
{
    oci_backend_get(cx)->scale(cx, oci_tensor_count(call->out), call->args.scale,
                               oci_f32(call->in[0]), oci_f32(call->out));
}

static void scale_gradient(oc_context *cx, const oci_call *call)
{
    float *dx;
    if (oci_wants_grad(cx, call, 0, &dx))
        oci_backend_get(cx)->axpy(cx, oci_tensor_count(call->out), call->args.scale,
                                  call->out->grad, dx);
}

const oci_op oci_op_row_scale = { "scale", 1, 1, NULL, scale_forward, scale_gradient };

oci_tensor *oci_op_scale(oc_context *cx, oci_tensor *x, float factor)
{
    return oci_apply(cx, &oci_op_row_scale, OCI_IN(x), (oci_args){ .scale = factor });
}

/* ---- scale_exp: by a factor that is learned as its logarithm ---- */

static bool scale_exp_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    if (call->in[1]->rank != 0) return oci_op_fail(cx, call, "x [..] and a scalar");
    out->rank = x->rank;
    for (int i = 0; i < x->rank; i++) out->shape[i] = x->shape[i];
    return true;
}

static void scale_exp_forward(oc_context *cx, oci_call *call)
{
    oci_backend_get(cx)->scale(cx, oci_tensor_count(call->out),
                               expf(*oci_f32(call->in[1])), oci_f32(call->in[0]),
                               oci_f32(call->out));
}

/* d log_factor = sum of dy y, for y is proportional to the factor. */
static void scale_exp_gradient(oc_context *cx, const oci_call *call)
{
    const float *y = oci_f32(call->out), *dy = call->out->grad;
    int64_t n = oci_tensor_count(call->out);
    float *grad;
    if (oci_wants_grad(cx, call, 0, &grad))
        oci_backend_get(cx)->axpy(cx, n, expf(*oci_f32(call->in[1])), dy, grad);
    if (oci_wants_grad(cx, call, 1, &grad)) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)dy[i] * (double)y[i];
        grad[0] += (float)sum;
    }
}

const oci_op oci_op_row_scale_exp = {
    "scale_exp", 2, 2, scale_exp_shape, scale_exp_forward, scale_exp_gradient
};

oci_tensor *oci_op_scale_exp(oc_context *cx, oci_tensor *x, oci_tensor *log_factor)
{
    return oci_apply(cx, &oci_op_row_scale_exp, OCI_IN(x, log_factor), (oci_args){ 0 });
}

/* ---- multiply: by a factor for each channel ---- */

static bool multiply_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0], *factors = call->in[1];
    if (x->rank < 1 || factors->rank != 1 || factors->shape[0] != oci_tensor_width(x))
        return oci_op_fail(cx, call, "x [.., D] and factors [D]");
    out->rank = x->rank;
    for (int i = 0; i < x->rank; i++) out->shape[i] = x->shape[i];
    return true;
}

static void multiply_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    const float *x = oci_f32(call->in[0]), *factors = oci_f32(call->in[1]);
    float *y = oci_f32(call->out);
    int64_t D = oci_tensor_width(call->out), rows = oci_tensor_rows(call->out);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t d = 0; d < D; d++) y[r * D + d] = x[r * D + d] * factors[d];
}

static void multiply_gradient(oc_context *cx, const oci_call *call)
{
    const float *x = oci_f32(call->in[0]), *factors = oci_f32(call->in[1]);
    const float *dy = call->out->grad;
    int64_t D = oci_tensor_width(call->out), rows = oci_tensor_rows(call->out);
    float *dx, *dfactors;
    oci_wants_grad(cx, call, 0, &dx);
    oci_wants_grad(cx, call, 1, &dfactors);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t d = 0; dx && d < D; d++) dx[r * D + d] += dy[r * D + d] * factors[d];
        for (int64_t d = 0; dfactors && d < D; d++)
            dfactors[d] += dy[r * D + d] * x[r * D + d];
    }
}

const oci_op oci_op_row_multiply = { "multiply", 2, 2, multiply_shape, multiply_forward,
                                     multiply_gradient };

oci_tensor *oci_op_multiply(oc_context *cx, oci_tensor *x, oci_tensor *factors)
{
    return oci_apply(cx, &oci_op_row_multiply, OCI_IN(x, factors), (oci_args){ 0 });
}

/* ---- gated ---- */

static bool gated_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *gate = call->in[0];
    if (!oci_same_shape(gate, call->in[1]))
        return oci_op_fail(cx, call, "two of one shape");
    out->rank = gate->rank;
    for (int i = 0; i < gate->rank; i++) out->shape[i] = gate->shape[i];
    return true;
}

static void gated_forward(oc_context *cx, oci_call *call)
{
    const oci_backend *be = oci_backend_get(cx);
    int64_t n = oci_tensor_count(call->out);
    float *y = oci_f32(call->out);
    be->activate(cx, call->args.act, n, oci_f32(call->in[0]), y);
    be->multiply(cx, n, y, oci_f32(call->in[1]), y);
}

/* dgate += act'(gate) up dy,  dup += act(gate) dy. */
static void gated_gradient(oc_context *cx, const oci_call *call)
{
    const oci_backend *be = oci_backend_get(cx);
    int64_t n = oci_tensor_count(call->out);
    const float *gate = oci_f32(call->in[0]), *dy = call->out->grad;
    float *grad;
    oci_arena_mark mark;
    if (oci_wants_grad(cx, call, 0, &grad)) {
        mark = oci_mark(cx);
        oci_tensor *t = oci_tensor_create(cx, OC_F32, OCI_SHAPE(n));
        if (!t) return;
        be->multiply(cx, n, oci_f32(call->in[1]), dy, oci_f32(t));
        be->activate_grad(cx, call->args.act, n, gate, oci_f32(t), grad);
        oci_arena_reset(&cx->arena, mark);
    }
    if (oci_wants_grad(cx, call, 1, &grad)) {
        mark = oci_mark(cx);
        oci_tensor *t = oci_tensor_create(cx, OC_F32, OCI_SHAPE(n));
        if (!t) return;
        be->activate(cx, call->args.act, n, gate, oci_f32(t));
        be->multiply(cx, n, oci_f32(t), dy, oci_f32(t));
        be->axpy(cx, n, 1.0f, oci_f32(t), grad);
        oci_arena_reset(&cx->arena, mark);
    }
}

const oci_op oci_op_row_gated = {
    "gated", 2, 2, gated_shape, gated_forward, gated_gradient
};

oci_tensor *oci_op_gated(oc_context *cx, oci_act act, oci_tensor *gate, oci_tensor *up)
{
    return oci_apply(cx, &oci_op_row_gated, OCI_IN(gate, up), (oci_args){ .act = act });
}

/* ---- replace ---- */

static bool replace_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0], *token = call->in[1], *where = call->in[2];
    if (x->rank != 3 || oci_tensor_count(token) != x->shape[2] || where->rank != 2 ||
        where->shape[0] != x->shape[0] || where->shape[1] != x->shape[1])
        return oci_op_fail(cx, call, "x [B, N, D], token [D] and where [B, N]");
    out->rank = 3;
    for (int i = 0; i < 3; i++) out->shape[i] = x->shape[i];
    return true;
}

/* x (1 - w) + token w, in the order in which Transformers computes it:
 * w need not be 0 or 1. */
static void replace_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    const float *x = oci_f32(call->in[0]), *token = oci_f32(call->in[1]);
    const float *where = oci_f32(call->in[2]);
    float *y = oci_f32(call->out);
    int64_t D = call->out->shape[2], rows = oci_tensor_rows(call->out);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t d = 0; d < D; d++)
            y[r * D + d] = x[r * D + d] * (1.0f - where[r]) + token[d] * where[r];
}

static void replace_gradient(oc_context *cx, const oci_call *call)
{
    const float *where = oci_f32(call->in[2]), *dy = call->out->grad;
    int64_t D = call->out->shape[2], rows = oci_tensor_rows(call->out);
    float *dx, *dtoken;
    oci_wants_grad(cx, call, 0, &dx);
    oci_wants_grad(cx, call, 1, &dtoken);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t d = 0; dx && d < D; d++)
            dx[r * D + d] += dy[r * D + d] * (1 - where[r]);
        for (int64_t d = 0; dtoken && d < D; d++) dtoken[d] += dy[r * D + d] * where[r];
    }
}

const oci_op oci_op_row_replace = { "replace", 3, 3, replace_shape, replace_forward,
                                    replace_gradient };

oci_tensor *oci_op_replace(oc_context *cx, oci_tensor *x, oci_tensor *token,
                           oci_tensor *where)
{
    return oci_apply(cx, &oci_op_row_replace, OCI_IN(x, token, where), (oci_args){ 0 });
}
