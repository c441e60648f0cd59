/* rope: rotary position embedding — Su et al. 2021, "RoFormer",
 * arXiv:2104.09864 — in the form of Llama: element i of a head turns with
 * element i + d/2, not with its neighbour. */
#include "tensor/ops.h"

static bool rope_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0], *t = call->in[1];
    if (x->rank != 3 || t->rank != 3 || t->shape[2] < 2 || t->shape[2] % 2 ||
        x->shape[2] % t->shape[2] || t->shape[1] != x->shape[1] ||
        (t->shape[0] != 1 && t->shape[0] != x->shape[0]))
        return oci_op_fail(cx, call,
                           "x [B, T, heads * d] and a table [1|B, T, d], d even");
    out->rank = 3;
    for (int i = 0; i < 3; i++) out->shape[i] = x->shape[i];
    return true;
}

/* One head: y = x cos + turned(x) sin, in the reference's order. With sign -1 it turns
 * back, which is the gradient, and adds. */
static void turn(int64_t half, const float *restrict x, const float *restrict table,
                 float sign, bool add, float *restrict y)
{
    for (int64_t i = 0; i < half; i++) {
        float c = table[i], s = sign * table[half + i];
        float a = x[i] * c - x[half + i] * s, b = x[half + i] * c + x[i] * s;
        y[i] = add ? y[i] + a : a;
        y[half + i] = add ? y[half + i] + b : b;
    }
}

static void turn_all(const oci_call *call, const float *x, float sign, bool add, float *y)
{
    const oci_tensor *t = call->in[1], *shape = call->out;
    int64_t T = shape->shape[1], D = shape->shape[2], d = t->shape[2];
    for (int64_t r = 0; r < shape->shape[0] * T; r++) {
        const float *table = oci_f32(t) + (t->shape[0] == 1 ? r % T : r) * d;
        for (int64_t at = r * D; at < (r + 1) * D; at += d)
            turn(d / 2, x + at, table, sign, add, y + at);
    }
}

static void rope_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    turn_all(call, oci_f32(call->in[0]), 1, false, oci_f32(call->out));
}

static void rope_gradient(oc_context *cx, const oci_call *call)
{
    float *dx;
    if (oci_wants_grad(cx, call, 0, &dx)) turn_all(call, call->out->grad, -1, true, dx);
}

const oci_op oci_op_row_rope = { "rope", 2, 2, rope_shape, rope_forward, rope_gradient };

oci_tensor *oci_op_rope(oc_context *cx, oci_tensor *x, oci_tensor *table)
{
    return oci_apply(cx, &oci_op_row_rope, OCI_IN(x, table), (oci_args){ 0 });
}
