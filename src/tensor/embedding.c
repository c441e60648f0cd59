/* embedding: rows of a table by id; torch.nn.Embedding. The table may be raw in any float
 * type, or packed: the LM head that it is tied to then has the only copy. */
#include "tensor/ops.h"

#include <string.h>

/* Ids are data, not shape, but this is where they are checked: no kernel may meet one that
 * points outside the table. */
static bool embedding_shape(oc_context *cx, const oci_call *call, oci_tensor *out)
{
    const oci_tensor *table = call->in[0], *ids = call->in[1];
    if (table->rank != 2 || ids->rank != 2 || ids->dtype != OC_I64)
        return oci_op_fail(cx, call, "a table [V, D] and ids [B, T]");
    for (int64_t i = 0; i < oci_tensor_count(ids); i++)
        if (oci_i64(ids)[i] < 0 || oci_i64(ids)[i] >= table->shape[0]) {
            oci_fail(cx, OC_E_MALFORMED, "id %lld at %lld: expected 0 to %lld",
                     (long long)oci_i64(ids)[i], (long long)i,
                     (long long)table->shape[0] - 1);
            return false;
        }
    out->rank = 3;
    out->shape[0] = ids->shape[0];
    out->shape[1] = ids->shape[1];
    out->shape[2] = table->shape[1];
    return true;
}

static void embedding_forward(oc_context *cx, oci_call *call)
{
    const oci_tensor *table = call->in[0], *ids = call->in[1];
    int64_t V = table->shape[0], D = table->shape[1];
    float *y = oci_f32(call->out);
    for (int64_t i = 0; i < oci_tensor_count(ids); i++, y += D) {
        int64_t id = oci_i64(ids)[i];
        if (table->data)
            oci_dtype_to_f32(table->dtype, (const char *)table->data +
                             (size_t)(id * D) * oci_dtype_size(table->dtype), y, (size_t)D);
        else
            oci_backend_get(cx)->unpack_row(table->dtype, V, D, table->panels->data, id, y);
    }
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

const oci_op oci_op_row_embedding = { "embedding", 2, 2, embedding_shape, embedding_forward,
                                      embedding_gradient };

oci_tensor *oci_op_embedding(oc_context *cx, oci_tensor *table, oci_tensor *ids,
                             int64_t padding_idx)
{
    return oci_apply(cx, &oci_op_row_embedding, OCI_IN(table, ids),
                     (oci_args){ .size = { padding_idx } });
}
