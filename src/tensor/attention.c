/* attention: Vaswani et al. 2017, "Attention is all you need", eq. 1, all heads at once.
 * Keys and values come as tensors, or from a cache that grows while decoding. */
#include "tensor/ops.h"

#include <string.h>

static bool mask_fits(const oci_tensor *m, const oci_tensor *rows, int64_t B,
                      int64_t heads, int64_t Tq, int64_t Tk)
{
    bool good = m->rank == 4 && (rows || m->shape[0] == B || m->shape[0] == 1) &&
                (m->shape[1] == heads || m->shape[1] == 1) &&
                (m->shape[2] == Tq || m->shape[2] == 1) && m->shape[3] == Tk;
    if (good && rows)
        good = rows->dtype == OC_I64 && rows->rank == 1 && rows->shape[0] == B;
    for (int64_t b = 0; good && rows && b < B; b++)
        good = oci_i64(rows)[b] >= 0 && oci_i64(rows)[b] < m->shape[0];
    return good;
}

/* q, k and v are one row, cut up without rest. */
static bool segments_fit(const oci_segments *s, const oci_tensor *q, const oci_tensor *k)
{
    int64_t left = q->shape[1];
    for (int64_t i = 0; i < s->count; i++) {
        if (s->lengths[i] < 1 || s->lengths[i] > left) return false;
        left -= s->lengths[i];
    }
    return left == 0 && q->shape[0] == 1 && q->shape[1] == k->shape[1];
}

/* Heads of keys and values, which may be fewer than those of queries; 0:
 * they do not fit. */
static int64_t kv_heads_of(const oci_call *call)
{
    int64_t heads = call->args.heads, d = call->in[0]->shape[2] / heads;
    const oci_kv *kv = call->args.kv;
    if (d < 1 || (kv ? kv->head_dim != d : call->in[1]->shape[2] % d != 0)) return 0;
    int64_t n = kv ? kv->heads : call->in[1]->shape[2] / d;
    return n > 0 && heads % n == 0 ? n : 0;
}

/* in: q, k, v, mask, head_mask, mask_rows; with a cache k and v are NULL. */
static bool attention_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *q = call->in[0], *k = call->in[1], *v = call->in[2];
    int64_t heads = call->args.heads;
    if (q->rank != 3 || heads < 1 || q->shape[2] % heads)
        return oci_op_fail(cx, call, "q [B, Tq, D] of %lld heads", (long long)heads);
    if (!call->args.kv && (!k || !v || k->rank != 3 || k->shape[0] != q->shape[0] ||
                           !oci_same_shape(k, v) || !kv_heads_of(call)))
        return oci_op_fail(cx, call,
                           "k and v [B, Tk, D], or of fewer heads that divide %lld",
                           (long long)heads);
    const oci_kv *kv = call->args.kv;
    if (kv &&
        (!kv_heads_of(call) || (!call->args.kv_each && call->args.kv_length > kv->room)))
        return oci_op_fail(cx, call,
                           "q [B, Tq, D] of heads of %lld, of which %lld heads of keys "
                           "are a divisor, and at most %lld cached positions",
                           (long long)kv->head_dim, (long long)kv->heads,
                           (long long)kv->room);
    const oci_segments *segments = call->args.segments;
    if (segments && (kv || call->in[3] || call->in[4] || !segments_fit(segments, q, k)))
        return oci_op_fail(cx, call,
                           "q, k and v [1, T, D] of %lld sequences, and no mask",
                           (long long)segments->count);
    int64_t Tk = kv ? call->args.kv_length : k->shape[1];
    if (call->in[3] &&
        !mask_fits(call->in[3], call->in[5], q->shape[0], heads, q->shape[1], Tk))
        return oci_op_fail(cx, call,
                           "a mask [1|B, 1|heads, 1|Tq, %lld] or one with mask_rows [B]",
                           (long long)Tk);
    if (call->in[4] && (call->in[4]->rank != 1 || call->in[4]->shape[0] != heads))
        return oci_op_fail(cx, call, "a head mask [%lld]", (long long)heads);
    out->rank = 3;
    memcpy(out->shape, q->shape, sizeof out->shape);
    return true;
}

static oci_attention_args kernel_args(const oci_call *call)
{
    const oci_tensor *q = call->in[0], *k = call->in[1], *v = call->in[2];
    const oci_tensor *mask = call->in[3], *head_mask = call->in[4];
    int64_t B = q->shape[0], Tq = q->shape[1], D = q->shape[2];
    oci_attention_args a = {
        .B = B, .Tq = Tq, .Tk = call->args.kv ? call->args.kv_length : k->shape[1],
        .heads = call->args.heads, .kv_heads = kv_heads_of(call),
        .head_dim = D / call->args.heads, .q = oci_f32(q), .q_row = D,
        .kv = call->args.kv, .kv_rows = call->args.kv_rows, .kv_row = k ? k->shape[2] : D,
        .kv_origin = call->args.kv_origin, .origin_row = call->args.origin_row,
        .kv_each = call->args.kv_each, .lengths = call->args.kv_lengths,
        .scale = call->args.scale, .causal = call->args.causal, .out = oci_f32(call->out),
        .out_row = D, .head_mask = head_mask ? oci_f32(head_mask) : NULL };
    if (k) {
        a.k = oci_f32(k);
        a.v = oci_f32(v);
    }
    if (mask) {     /* a dimension of 1 is broadcast by a stride of 0 */
        const int64_t *s = mask->shape;
        a.mask = oci_f32(mask);
        a.mask_row = s[2] > 1 ? s[3] : 0;
        a.mask_head = s[1] > 1 ? s[2] * s[3] : 0;
        a.mask_batch = s[0] > 1 ? s[1] * s[2] * s[3] : 0;
        if (call->in[5]) a.mask_rows = oci_i64(call->in[5]);
    }
    if (call->args.saved[0]) a.weights = oci_f32(call->args.saved[0]);
    return a;
}

/* Neighbours of one length are a batch. */
static void attend_segments(oc_context *cx, const oci_call *call)
{
    const oci_segments *s = call->args.segments;
    oci_attention_args a = kernel_args(call);
    for (int64_t i = 0; i < s->count; i += a.B) {
        a.Tq = a.Tk = s->lengths[i];
        for (a.B = 1; i + a.B < s->count && s->lengths[i + a.B] == a.Tq;) a.B++;
        oci_backend_get(cx)->attention(cx, &a);
        int64_t size = a.B * a.Tq * a.q_row, kv_size = a.B * a.Tq * a.kv_row;
        a.q += size;
        a.k += kv_size;
        a.v += kv_size;
        a.out += size;
    }
}

static void attention_forward(oc_context *cx, oci_call *call)
{
    if (call->args.segments) {
        attend_segments(cx, call);
        return;
    }
    if (cx->tape && !call->args.kv && !call->args.saved[0]) {     /* for the gradient */
        const oci_tensor *q = call->in[0], *k = call->in[1];
        call->args.saved[0] = oci_tensor_create(cx, OC_F32, OCI_SHAPE(
            q->shape[0], call->args.heads, q->shape[1], k->shape[1]));
        if (!call->args.saved[0]) return;
    }
    oci_attention_args a = kernel_args(call);
    oci_backend_get(cx)->attention(cx, &a);
}

static void attention_gradient(oc_context *cx, const oci_call *call)
{
    if (call->args.kv || call->args.segments) {
        oci_fail(cx, OC_E_UNSUPPORTED, "attention: no gradient through %s",
                 call->args.kv ? "cached keys" : "packed sequences");
        return;
    }
    oci_attention_args forward = kernel_args(call);
    oci_attention_grad_args a = { .forward = &forward, .dout = call->out->grad };
    oci_wants_grad(cx, call, 0, &a.dq);
    oci_wants_grad(cx, call, 1, &a.dk);
    oci_wants_grad(cx, call, 2, &a.dv);
    if (call->in[3]) oci_wants_grad(cx, call, 3, &a.dmask);
    if (!oci_failed(cx)) oci_backend_get(cx)->attention_grad(cx, &a);
}

const oci_op oci_op_row_attention = {
    "attention", 1, 6, attention_shape, attention_forward, attention_gradient
};

/* What Transformers returns as attentions: the softmax times the head mask. */
static oci_tensor *masked_weights(oc_context *cx, oci_tensor *w,
                                  const oci_tensor *head_mask)
{
    if (!w || !head_mask) return w;
    oci_tensor *y = oci_tensor_create(cx, OC_F32, w->rank, w->shape);
    if (!y) return NULL;
    int64_t heads = w->shape[1], n = w->shape[2] * w->shape[3];
    for (int64_t i = 0; i < w->shape[0] * heads; i++)
        oci_backend_get(cx)->scale(cx, n, oci_f32(head_mask)[i % heads],
                                   oci_f32(w) + i * n, oci_f32(y) + i * n);
    return y;
}

/* As many heads of queries as of keys, or more: only the size of all is theirs. */
static int64_t heads_of(const oci_tensor *q, const oci_kv *kv)
{
    if (!kv) return 0;
    return q && q->rank == 3 && kv->head_dim > 0 ? q->shape[2] / kv->head_dim : kv->heads;
}

static oci_tensor *run(oc_context *cx, oci_tensor *const *in, oci_args args, int64_t Tk,
                       oci_tensor **weights)
{
    const oci_tensor *q = in[0];
    if (weights && q && !oci_failed(cx) && args.heads > 0)
        args.saved[0] = oci_tensor_create(cx, OC_F32, OCI_SHAPE(
            q->shape[0], args.heads, q->rank > 1 ? q->shape[1] : 0, Tk));
    oci_tensor *y = oci_apply(cx, &oci_op_row_attention, in, args);
    if (weights) *weights = y ? masked_weights(cx, args.saved[0], in[4]) : NULL;
    return y;
}

oci_tensor *oci_op_attention(oc_context *cx, oci_tensor *q, oci_tensor *k, oci_tensor *v,
                             oci_tensor *mask, oci_tensor *mask_rows,
                             oci_tensor *head_mask, int64_t heads, float scale,
                             bool causal, oci_tensor **weights)
{
    return run(cx, OCI_IN(q, k, v, mask, head_mask, mask_rows),
               (oci_args){ .heads = heads, .scale = scale, .causal = causal },
               k && k->rank == 3 ? k->shape[1] : 0, weights);
}

oci_tensor *oci_op_attention_packed(oc_context *cx, oci_tensor *q, oci_tensor *k,
                                    oci_tensor *v, const oci_segments *segments,
                                    int64_t heads, float scale, bool causal)
{
    return oci_apply(cx, &oci_op_row_attention, OCI_IN(q, k, v),
                     (oci_args){ .heads = heads, .scale = scale, .causal = causal,
                                 .segments = segments });
}

oci_tensor *oci_op_attention_cached(oc_context *cx, oci_tensor *q, oci_cached cached,
                                    oci_tensor *mask, oci_tensor *head_mask, float scale,
                                    bool causal, oci_tensor **weights)
{
    return run(cx, OCI_IN(q, NULL, NULL, mask, head_mask),
               (oci_args){ .heads = heads_of(q, cached.kv), .scale = scale,
                           .causal = causal, .kv = cached.kv, .kv_rows = cached.rows,
                           .kv_origin = cached.origin, .origin_row = cached.origin_row,
                           .kv_each = cached.each, .kv_lengths = cached.lengths,
                           .kv_length = cached.length },
               cached.length, weights);
}
