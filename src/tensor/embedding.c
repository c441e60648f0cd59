/* embedding: rows of a table by id; torch.nn.Embedding. The table may be raw in any float
 * type, or packed: the LM head that it is tied to then has the only copy. embedding_mean:
 * the means of some rows each, as torch.nn.EmbeddingBag's mode "mean" with -1 for no row.
 * gather: rows of two tensors of values, in any order. */
#include "tensor/ops.h"

#include <string.h>

/* Ids are data, not shape, but this is where they are checked: no kernel may meet one
 * that points outside the table. */
static bool ids_within(oc_context *cx, const oci_tensor *ids, int64_t low, int64_t rows)
{
    for (int64_t i = 0; i < oci_tensor_count(ids); i++)
        if (oci_i64(ids)[i] < low || oci_i64(ids)[i] >= rows) {
            oci_fail(cx, OC_E_MALFORMED, "id %lld at %lld: expected %lld to %lld",
                     (long long)oci_i64(ids)[i], (long long)i, (long long)low,
                     (long long)rows - 1);
            return false;
        }
    return true;
}

static bool embedding_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *table = call->in[0], *ids = call->in[1];
    if (table->rank != 2 || ids->rank != 2 || ids->dtype != OC_I64)
        return oci_op_fail(cx, call, "a table [V, D] and ids [B, T]");
    if (!ids_within(cx, ids, 0, table->shape[0])) return false;
    out->rank = 3;
    out->shape[0] = ids->shape[0];
    out->shape[1] = ids->shape[1];
    out->shape[2] = table->shape[1];
    return true;
}

/* Row `id`, widened. */
static void read_row(oc_context *cx, const oci_tensor *table, int64_t id, float *y)
{
    int64_t V = table->shape[0], D = table->shape[1];
    if (table->data)
        oci_dtype_to_f32(table->dtype, (const char *)table->data +
                         (size_t)(id * D) * oci_dtype_size(table->dtype), y, (size_t)D);
    else
        oci_backend_get(cx)->unpack_row(table->dtype, V, D, table->panels->data, id, y);
}

static void embedding_forward(oc_context *cx, oci_call *call)
{
    const oci_tensor *table = call->in[0], *ids = call->in[1];
    int64_t D = table->shape[1];
    for (int64_t i = 0; i < oci_tensor_count(ids); i++)
        read_row(cx, table, oci_i64(ids)[i], oci_f32(call->out) + i * D);
}

static void embedding_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *ids = call->in[1];
    int64_t D = call->in[0]->shape[1];
    float *dtable;
    if (!oci_wants_grad(cx, call, 0, &dtable)) return;
    for (int64_t i = 0; i < oci_tensor_count(ids); i++)
        if (oci_i64(ids)[i] != call->args.size[0])      /* padding_idx */
            oci_backend_get(cx)->axpy(cx, D, 1.0f, call->out->grad + i * D,
                                      dtable + oci_i64(ids)[i] * D);
}

const oci_op oci_op_row_embedding = {
    "embedding", 2, 2, embedding_shape, embedding_forward, embedding_gradient
};

oci_tensor *oci_op_embedding(oc_context *cx, oci_tensor *table, oci_tensor *ids,
                             int64_t padding_idx)
{
    return oci_apply(cx, &oci_op_row_embedding, OCI_IN(table, ids),
                     (oci_args){ .size = { padding_idx } });
}

/* ---- embedding_mean ---- */

static bool embedding_mean_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *table = call->in[0], *ids = call->in[1];
    if (table->rank != 2 || ids->rank != 3 || ids->dtype != OC_I64)
        return oci_op_fail(cx, call, "a table [V, D] and ids [B, N, A]");
    if (!ids_within(cx, ids, -1, table->shape[0])) return false;
    out->rank = 3;
    out->shape[0] = ids->shape[0];
    out->shape[1] = ids->shape[1];
    out->shape[2] = table->shape[1];
    return true;
}

/* Of A ids those that are rows; 1 if none is, so that the mean of none is zeros. */
static float rows_of(const int64_t *ids, int64_t A)
{
    int64_t n = 0;
    for (int64_t a = 0; a < A; a++) n += ids[a] >= 0;
    return (float)(n ? n : 1);
}

/* The sum first and then the division, as Transformers computes it. */
static void embedding_mean_forward(oc_context *cx, oci_call *call)
{
    const oci_tensor *table = call->in[0], *y = call->out;
    const int64_t A = call->in[1]->shape[2], D = table->shape[1],
                  *ids = oci_i64(call->in[1]);
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *row = oci_tensor_create(cx, OC_F32, OCI_SHAPE(D));
    memset(oci_f32(y), 0, (size_t)oci_tensor_count(y) * sizeof(float));
    for (int64_t i = 0; row && i < oci_tensor_rows(y); i++, ids += A) {
        float *sum = oci_f32(y) + i * D, n = rows_of(ids, A);
        for (int64_t a = 0; a < A; a++) {
            if (ids[a] < 0) continue;
            read_row(cx, table, ids[a], oci_f32(row));
            oci_backend_get(cx)->axpy(cx, D, 1.0f, oci_f32(row), sum);
        }
        for (int64_t d = 0; d < D; d++) sum[d] /= n;
    }
    oci_arena_reset(&cx->arena, mark);
}

static void embedding_mean_gradient(oc_context *cx, const oci_call *call)
{
    const int64_t A = call->in[1]->shape[2], D = call->in[0]->shape[1];
    const int64_t *ids = oci_i64(call->in[1]);
    float *dtable;
    if (!oci_wants_grad(cx, call, 0, &dtable)) return;
    for (int64_t i = 0; i < oci_tensor_rows(call->out); i++, ids += A)
        for (int64_t a = 0; a < A; a++)
            if (ids[a] >= 0)
                oci_backend_get(cx)->axpy(cx, D, 1.0f / rows_of(ids, A),
                                          call->out->grad + i * D, dtable + ids[a] * D);
}

const oci_op oci_op_row_embedding_mean = {
    "embedding_mean", 2, 2, embedding_mean_shape, embedding_mean_forward,
    embedding_mean_gradient
};

oci_tensor *oci_op_embedding_mean(oc_context *cx, oci_tensor *table, oci_tensor *ids)
{
    return oci_apply(cx, &oci_op_row_embedding_mean, OCI_IN(table, ids), (oci_args){ 0 });
}

/* ---- gather ---- */

static bool gather_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *a = call->in[0], *b = call->in[2], *rows = call->in[1];
    if (a->rank < 2 || rows->rank != 2 || rows->dtype != OC_I64 ||
        (b && (b->rank < 2 || oci_tensor_width(b) != oci_tensor_width(a))))
        return oci_op_fail(cx, call, "a [.., D], rows [B, M] and b [.., D]");
    int64_t count = oci_tensor_rows(a) + (b ? oci_tensor_rows(b) : 0);
    if (!ids_within(cx, rows, -1, count)) return false;
    out->rank = 3;
    out->shape[0] = rows->shape[0];
    out->shape[1] = rows->shape[1];
    out->shape[2] = oci_tensor_width(a);
    return true;
}

static void gather_forward(oc_context *cx, oci_call *call)
{
    (void)cx;
    const oci_tensor *a = call->in[0], *b = call->in[2], *rows = call->in[1];
    int64_t D = oci_tensor_width(a), split = oci_tensor_rows(a);
    for (int64_t i = 0; i < oci_tensor_count(rows); i++) {
        int64_t r = oci_i64(rows)[i];
        float *y = oci_f32(call->out) + i * D;
        if (r < 0) memset(y, 0, (size_t)D * sizeof *y);
        else memcpy(y, r < split ? oci_f32(a) + r * D : oci_f32(b) + (r - split) * D,
                    (size_t)D * sizeof *y);
    }
}

static void gather_gradient(oc_context *cx, const oci_call *call)
{
    const oci_tensor *rows = call->in[1];
    int64_t D = oci_tensor_width(call->in[0]), split = oci_tensor_rows(call->in[0]);
    float *da, *db;
    oci_wants_grad(cx, call, 0, &da);
    oci_wants_grad(cx, call, 2, &db);
    for (int64_t i = 0; i < oci_tensor_count(rows) && !oci_failed(cx); i++) {
        int64_t r = oci_i64(rows)[i];
        float *to = r < split ? da : db;
        if (r >= 0 && to)
            oci_backend_get(cx)->axpy(cx, D, 1.0f, call->out->grad + i * D,
                                      to + (r < split ? r : r - split) * D);
    }
}

const oci_op oci_op_row_gather = { "gather", 2, 3, gather_shape, gather_forward,
                                   gather_gradient };

oci_tensor *oci_op_gather(oc_context *cx, oci_tensor *a, oci_tensor *b, oci_tensor *rows)
{
    return oci_apply(cx, &oci_op_row_gather, OCI_IN(a, rows, b), (oci_args){ 0 });
}
