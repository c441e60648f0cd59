/* The op table: every operation of every model is one row with its shape rule, its
 * kernels and its gradient. Tests walk the table: each row is checked on every ISA, and
 * each gradient against finite differences. An op without a gradient is for inference
 * only, and training over it is OC_E_UNSUPPORTED.
 *
 * An op runs when it is called. While a tape is on, a call whose inputs lead back to a
 * parameter is also recorded; oci_backward reads the records in reverse. */
#ifndef OCI_TENSOR_OP_H
#define OCI_TENSOR_OP_H

#include "backend/backend.h"
#include "tensor/tensor.h"

enum { OCI_MAX_INPUTS = 6, OCI_MAX_SAVED = 3 };

/* Several sequences one behind the other in a batch of one row,
 * so that none is padded. */
typedef struct oci_segments {
    int64_t count;
    const int64_t *lengths;         /* [count], all of the row together */
} oci_segments;

/* What an op needs besides tensors. Each op says which fields it reads. */
typedef struct oci_args {
    oci_act act;
    bool causal;
    int64_t heads;
    int64_t size[4];                /* op's own meaning: patch, grid, begin and count,
                                       … */
    float scale, eps;
    double factor[2];
    const oci_kv *kv;               /* attention with cached keys and values */
    const oci_kv *const *kv_each;
    const int64_t *kv_rows, *kv_origin, *kv_lengths;
    int64_t kv_length, origin_row;
    const oci_segments *segments;   /* attention within each alone */
    oci_tensor *saved[OCI_MAX_SAVED];   /* made by forward for the gradient, in the
                                           arena */
} oci_args;

typedef struct oci_op oci_op;

/* One call, as the shape rule, the kernel and the gradient see it. */
typedef struct oci_call {
    const oci_op *op;
    oci_tensor *in[OCI_MAX_INPUTS];     /* optional ones may be NULL */
    oci_tensor *out;
    oci_args args;
} oci_call;

struct oci_op {
    const char *name;
    int required, inputs;               /* the first `required` of `inputs` may not
                                           be NULL */
    /* Checks the inputs and sets rank and shape of *out (dtype is F32 beforehand); on a
     * fault oci_op_fail. NULL: the shape of in[0]. */
    bool (*shape)(oc_context *cx, const oci_call *call, oci_tensor *out);
    void (*forward)(oc_context *cx, oci_call *call);
    /* Adds to the gradient of each input that wants one; call->out->grad is there. */
    void (*gradient)(oc_context *cx, const oci_call *call);
};

/* Runs an op: checks, allocates the output in the arena, computes, records. */
oci_tensor *oci_apply(oc_context *cx, const oci_op *op, oci_tensor *const *in,
                      oci_args args);
#define OCI_IN(...) ((oci_tensor *[OCI_MAX_INPUTS]){ __VA_ARGS__ })

/* Sets OC_E_ARGUMENT "op: expected …, found shapes"; returns false. */
OC_PRINTF(3, 4)
bool oci_op_fail(oc_context *cx, const oci_call *call, const char *format, ...);

/* True if the gradient of input i is wanted; *grad is then its (made) gradient. */
bool oci_wants_grad(oc_context *cx, const oci_call *call, int i, float **grad);

/* All rows, for tests and documentation; *count is set. */
const oci_op *const *oci_op_table(size_t *count);

/* ---- the tape ---- */

typedef struct oci_tape {
    oci_call *calls;
    size_t count, room;
} oci_tape;

/* From here on ops are recorded, until oci_tape_end, which forgets the records.
 * Activations stay in the arena until the caller resets it, after oci_backward. */
void oci_tape_begin(oc_context *cx, oci_tape *tape);
void oci_tape_end(oc_context *cx);
/* d loss / d x for all recorded x, into their grad;
 * loss is a scalar made under the tape. */
oc_status oci_backward(oc_context *cx, oci_tensor *loss);

#endif
