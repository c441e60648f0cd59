/* The parameter walk. A model has one function that names each of its
 * parameters once, with its shape; load, save, count, initialise, freeze,
 * train, inspect and free are visitors.
 *
 *     static void layer_walk(oci_walk w, layer *l, const config *c)
 *     {
 *         oci_walk_linear(oci_walk_enter(w, "intermediate.dense"), &l->fc1, F, D, true);
 *         …
 *     }
 * The order of a walk is the order of Transformers' state dict. */
#ifndef OCI_NN_WALK_H
#define OCI_NN_WALK_H

#include "nn/init.h"
#include "tensor/tensor.h"

typedef enum oci_param_kind {
    OCI_PARAM_VALUE,        /* used element by element: f32 in memory */
    OCI_PARAM_PRODUCT,      /* right side of products: panels in the file's dtype */
    OCI_PARAM_TURNED,       /* the same, but [K, N] in the file: Transformers' Conv1D */
    OCI_PARAM_TABLE         /* rows are looked up: raw in the file's dtype */
} oci_param_kind;

typedef struct oci_param {
    const char *name;               /* full, as in the checkpoint */
    oci_tensor **slot;              /* where the model keeps it */
    oci_param_kind kind;
    int rank;                       /* shape in the file; a product of rank > 2 is
                                       [s0, rest] */
    int64_t shape[OCI_MAX_RANK];    /* in memory */
    bool optional;                  /* the file may lack it; the slot is then NULL */
    bool tied;                      /* *slot is another parameter's tensor already … */
    oci_tensor **shared;            /* … which is kept here; NULL if the file lacks
                                       that one */
    oci_init init;                  /* how it is made where no file has it */
} oci_param;

typedef struct oci_walker oci_walker;
struct oci_walker {
    oc_context *cx;
    void (*visit)(oci_walker *walker, const oci_param *param);
    void *user;
};

typedef struct oci_walk {           /* by value: a place in the tree of names */
    oci_walker *walker;
    const char *path;               /* "" or ends with '.'; in the arena */
    bool optional;                  /* everything below may be missing */
    oci_init init;                  /* of what is below, biases and norms apart */
} oci_walk;

#define OCI_WALK_ROOT(w) ((oci_walk){ .walker = (w), .path = "" })

OC_PRINTF(2, 3)
oci_walk oci_walk_enter(oci_walk w, const char *format, ...);
oci_walk oci_walk_optional(oci_walk w);
oci_walk oci_walk_init(oci_walk w, oci_init_kind kind, double value);
/* What starts as zeros: tokens, positions and bias tables of most vision encoders. */
static inline oci_walk oci_walk_zeros(oci_walk w)
{
    return oci_walk_init(w, OCI_INIT_FILL, 0);
}
/* As it is, but row `row` of the tables below is zeros: torch's padding_idx; -1: none. */
oci_walk oci_walk_padding(oci_walk w, int64_t row);

/* One parameter `name` below w. */
void oci_walk_param(oci_walk w, const char *name, oci_tensor **slot, oci_param_kind kind,
                    int rank, const int64_t *shape);
/* A second name of a tensor that was walked before: `*slot` becomes `*shared`. A file
 * that has this name too overrules the first (the later module wins, as in PyTorch). If
 * the first was optional, one of the two must be there, unless w is optional as well. */
void oci_walk_tied(oci_walk w, const char *name, oci_tensor **slot, oci_tensor **shared,
                   oci_param_kind kind, int rank, const int64_t *shape);

/* Elements of a parameter as a file has them, from their order in memory, and back. They
 * differ for OCI_PARAM_TURNED only. */
void oci_param_to_file(const oci_param *param, const float *memory, float *file);
void oci_param_from_file(const oci_param *param, const float *file, float *memory);

#endif
