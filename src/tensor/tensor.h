/* Tensors: a shape and contiguous row-major data. Activations live in the context's arena
 * and die with it (oci_settle, oci_arena_reset); parameters own refcounted buffers.
 *
 * Functions that take a context accept NULL tensors and return NULL once an error is set,
 * so model code has no checks between its lines; whoever called the model looks once. */
#ifndef OCI_TENSOR_TENSOR_H
#define OCI_TENSOR_TENSOR_H

#include "base/buffer.h"
#include "base/context.h"
#include "base/dtype.h"
#include "base/limits.h"

typedef struct oci_tensor {
    oc_dtype dtype;                 /* activations F32, ids I64; weights as in their
                                       file */
    int rank;
    int64_t shape[OCI_MAX_RANK];
    void *data;                     /* NULL: a weight that is kept in panels alone */
    oci_buffer *buffer;             /* counted reference that holds data; NULL: the
                                       arena */
    oci_buffer *panels;             /* weights of products, packed for the kernels,
                                       or NULL */
    oc_dtype stored;                /* of a parameter: its type in the checkpoint */
    bool requires_grad;
    float *grad;                    /* same shape, made when first asked for; of a
                                       parameter: on the heap, of an activation: in
                                       the arena */
} oci_tensor;

/* [d0, d1, …] in the arena, not cleared. NULL (error set) if a size is negative or the
 * product overflows. */
OC_NODISCARD oci_tensor *oci_tensor_create(oc_context *cx, oc_dtype dtype, int rank,
                                           const int64_t *shape);
#define OCI_SHAPE(...) \
    (int)(sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), \
    (const int64_t[]){ __VA_ARGS__ }

/* The same elements under another shape: shares data with x, which must not be freed
 * first. Not recorded on a tape; models use oci_op_reshape (ops.h). */
OC_NODISCARD oci_tensor *oci_tensor_view(oc_context *cx, const oci_tensor *x, int rank,
                                         const int64_t *shape, int64_t offset);

int64_t oci_tensor_count(const oci_tensor *x);          /* elements */
int64_t oci_tensor_rows(const oci_tensor *x);           /* elements / last dimension */
int64_t oci_tensor_width(const oci_tensor *x);        /* last dimension; 1 for a scalar */
bool oci_same_shape(const oci_tensor *a, const oci_tensor *b);
static inline float *oci_f32(const oci_tensor *x) { return x->data; }
static inline int64_t *oci_i64(const oci_tensor *x) { return x->data; }
/* "[2, 3, 4]" for messages; into text, which is returned. */
const char *oci_shape_text(const oci_tensor *x, char text[128]);

/* Gradient of x, cleared when made. NULL with an error set when memory lacks. */
float *oci_tensor_grad(oc_context *cx, oci_tensor *x);

/* Gives back everything that was taken since the mark but x, which moves down to it. In a
 * loop over layers this keeps two layers' worth of memory at most, and keeps it warm:
 *     oci_arena_mark mark = oci_mark(cx);
 *     for (…) x = oci_settle(cx, mark, block(cx, …, x));
 * Does nothing while a tape is on: the gradient still needs the values. */
oci_tensor *oci_settle(oc_context *cx, oci_arena_mark mark, oci_tensor *x);
static inline oci_arena_mark oci_mark(const oc_context *cx)
{
    return oci_arena_get_mark(&cx->arena);
}

/* The kernels that this context uses. */
const struct oci_backend *oci_backend_get(oc_context *cx);

#endif
