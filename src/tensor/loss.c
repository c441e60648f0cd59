/* What losses are made of: cross_entropy (torch.nn.CrossEntropyLoss with
 * ignore_index = -100, mean over the others), log_softmax, and kl_div
 * (torch.nn.KLDivLoss of it, "batchmean"). */
#include "tensor/ops.h"

#include <math.h>
#include <string.h>

enum { IGNORE = -100 };

static bool cross_entropy_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *logits = call->in[0], *labels = call->in[1];
    int64_t V = oci_tensor_width(logits);
    if (logits->rank < 1 || labels->dtype != OC_I64 ||
        oci_tensor_count(labels) != oci_tensor_rows(logits))
        return oci_op_fail(cx, call, "logits [.., V] and a label for each row");
    for (int64_t i = 0; i < oci_tensor_count(labels); i++) {
        int64_t label = oci_i64(labels)[i];
        if (label != IGNORE && (label < 0 || label >= V)) {
            oci_fail(cx, OC_E_MALFORMED,
                     "label %lld at %lld: expected 0 to %lld, or -100", (long long)label,
                     (long long)i, (long long)V - 1);
            return false;
        }
    }
    out->rank = 0;
    return true;
}

/* What the mean is over. */
static int64_t active_rows(const oci_tensor *labels)
{
    int64_t n = 0;
    for (int64_t i = 0; i < oci_tensor_count(labels); i++)
        n += oci_i64(labels)[i] != IGNORE;
    return n;
}

/* Keeps log softmax: its exponential is what the gradient needs. */
static void cross_entropy_forward(oc_context *cx, oci_call *call)
{
    const oci_tensor *logits = call->in[0], *labels = call->in[1];
    int64_t rows = oci_tensor_rows(logits), V = oci_tensor_width(logits);
    oci_tensor *lsm = oci_tensor_create(cx, OC_F32, logits->rank, logits->shape);
    if (!lsm) return;
    call->args.saved[0] = lsm;
    oci_backend_get(cx)->log_softmax(cx, rows, V, oci_f32(logits), oci_f32(lsm));
    double sum = 0;
    for (int64_t r = 0; r < rows; r++)
        if (oci_i64(labels)[r] != IGNORE) sum -= oci_f32(lsm)[r * V + oci_i64(labels)[r]];
    oci_f32(call->out)[0] = (float)(sum / (double)active_rows(labels));   /* 0/0 is NaN */
}

/* d logits = (softmax - onehot) / active rows. */
static void cross_entropy_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *logits = call->in[0], *labels = call->in[1];
    int64_t rows = oci_tensor_rows(logits), V = oci_tensor_width(logits);
    const oci_backend *be = oci_backend_get(cx);
    float *dx, factor = call->out->grad[0] / (float)active_rows(labels);
    if (!oci_wants_grad(cx, call, 0, &dx)) return;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *p = oci_tensor_create(cx, OC_F32, OCI_SHAPE(V));
    for (int64_t r = 0; p && r < rows; r++) {
        if (oci_i64(labels)[r] == IGNORE) continue;
        be->softmax(cx, 1, V, oci_f32(call->args.saved[0]) + r * V, oci_f32(p));
        oci_f32(p)[oci_i64(labels)[r]] -= 1.0f;
        be->axpy(cx, V, factor, oci_f32(p), dx + r * V);
    }
    oci_arena_reset(&cx->arena, mark);
}

const oci_op oci_op_row_cross_entropy = { "cross_entropy", 2, 2, cross_entropy_shape,
                                          cross_entropy_forward, cross_entropy_gradient };

oci_tensor *oci_op_cross_entropy(oc_context *cx, oci_tensor *logits, oci_tensor *labels)
{
    return oci_apply(cx, &oci_op_row_cross_entropy, OCI_IN(logits, labels),
                     (oci_args){ 0 });
}

/* ---- log_softmax ---- */

static bool log_softmax_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0];
    if (x->rank < 1) return oci_op_fail(cx, call, "x [.., V]");
    out->rank = x->rank;
    memcpy(out->shape, x->shape, sizeof out->shape);
    return true;
}

static void log_softmax_forward(oc_context *cx, oci_call *call)
{
    const oci_tensor *x = call->in[0];
    oci_backend_get(cx)->log_softmax(cx, oci_tensor_rows(x), oci_tensor_width(x),
                                     oci_f32(x), oci_f32(call->out));
}

/* dx = dy - softmax(x) sum(dy), and softmax(x) is exp(y). */
static void log_softmax_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *y = call->out;
    int64_t V = oci_tensor_width(y), rows = oci_tensor_rows(y);
    float *dx;
    if (!oci_wants_grad(cx, call, 0, &dx)) return;
    for (int64_t r = 0; r < rows; r++) {
        const float *dy = y->grad + r * V;
        double sum = 0;
        for (int64_t v = 0; v < V; v++) sum += (double)dy[v];
        for (int64_t v = 0; v < V; v++)
            dx[r * V + v] += dy[v] - expf(oci_f32(y)[r * V + v]) * (float)sum;
    }
}

const oci_op oci_op_row_log_softmax = { "log_softmax", 1, 1, log_softmax_shape,
                                        log_softmax_forward, log_softmax_gradient };

oci_tensor *oci_op_log_softmax(oc_context *cx, oci_tensor *x)
{
    return oci_apply(cx, &oci_op_row_log_softmax, OCI_IN(x), (oci_args){ 0 });
}

/* ---- kl_div ---- */

static bool kl_div_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *x = call->in[0], *target = call->in[1];
    if (x->rank < 1 || target->dtype != OC_F32 || !oci_same_shape(x, target))
        return oci_op_fail(cx, call, "log probabilities [B, ..] and a target like them");
    out->rank = 0;
    return true;
}

/* t ln t is 0 at t = 0 and NaN below, where torch's xlogy is; the sum is divided by the
 * first dimension, however many rows there are below it. */
static void kl_div_forward(oc_context *cx, oci_call *call)
{
    const float *x = oci_f32(call->in[0]), *target = oci_f32(call->in[1]);
    double sum = 0;
    (void)cx;
    for (int64_t i = 0; i < oci_tensor_count(call->in[0]); i++) {
        double t = (double)target[i];
        sum += (t == 0 ? 0 : t * log(t)) - t * (double)x[i];
    }
    oci_f32(call->out)[0] = (float)(sum / (double)call->in[0]->shape[0]);
}

static void kl_div_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *x = call->in[0];
    float *dx, factor = -call->out->grad[0] / (float)x->shape[0];
    if (oci_wants_grad(cx, call, 0, &dx))
        oci_backend_get(cx)->axpy(cx, oci_tensor_count(x), factor, oci_f32(call->in[1]),
                                  dx);
}

const oci_op oci_op_row_kl_div = { "kl_div", 2, 2, kl_div_shape, kl_div_forward,
                                   kl_div_gradient };

oci_tensor *oci_op_kl_div(oc_context *cx, oci_tensor *x, oci_tensor *target)
{
    return oci_apply(cx, &oci_op_row_kl_div, OCI_IN(x, target), (oci_args){ 0 });
}
