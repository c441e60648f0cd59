/* What TensorFlow's and Flax' classes of Transformers call a model's parameters, and how
 * they lay out their elements: the other direction of io/layout.h, where the model knows
 * what a file does not say (which tensor is an embedding, which one a product). */
#ifndef OCI_MODELS_FOREIGN_H
#define OCI_MODELS_FOREIGN_H

#include "io/layout.h"
#include "models/model.h"

typedef struct oci_foreign {
    oci_layout layout;              /* KERAS or FLAX */
    const char *parts[2];           /* scopes of a composite's two models; "": none */
    bool pair;                      /* a composite */
    const char *scope;              /* to be put before every name ("bert"); "": names
                                       have it */
    size_t count;                   /* of all parameters that are written */
    bool dots[2];                   /* list members of a part (of a model alone: the
                                       first) are "layers.0" in Keras, not "layer_._0" */
} oci_foreign;

typedef struct oci_foreign_name {
    char name[OCI_MAX_NAME];
    int rank;
    int64_t shape[OCI_MAX_RANK];
    int order[OCI_MAX_RANK];        /* dimension i is dimension order[i] of PyTorch's,
                                       where the ranks are the same */
    bool moves;                     /* the order changes where elements lie */
} oci_foreign_name;

/* Fails with OC_E_UNSUPPORTED for models that Transformers 4.37.2 has no such class of.
 * `params` [count] are all that are written. */
bool oci_foreign_begin(oc_context *cx, const oci_model *model, oci_layout layout,
                       const oci_param *params, size_t count, oci_foreign *foreign);
/* Of params[index]; a neighbour says what a bias belongs to. */
bool oci_foreign_entry(oc_context *cx, const oci_foreign *foreign,
                       const oci_param *params, size_t index, oci_foreign_name *name);

#endif
