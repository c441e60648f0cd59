/* What a model will take in memory, known from its config and
 * the headers of its files. */
#ifndef OCI_MODELS_MEMORY_H
#define OCI_MODELS_MEMORY_H

#include "models/model.h"

/* Bytes of all parameters, kept in `dtype` (0: as in their files). */
uint64_t oci_memory_weights(oc_context *cx, const oci_model *model,
                            const oci_weights *weights, oc_dtype dtype, bool trainable);
/* Bytes of the keys and values of one position, in f32; 0: it keeps none. */
uint64_t oci_memory_position(const oci_model *model);
/* False, with OC_E_MEMORY set, if that is more than the context's
 * budget or the machine has. */
bool oci_memory_check(oc_context *cx, const oci_model *model, const oci_weights *weights,
                      const oc_model_options *options);
/* The name of a weights_dtype as options have it ("int8-channel"); 0: "as they are". */
const char *oci_weights_dtype_name(oc_dtype dtype);

/* All of them, the widest first; the last is 0. */
extern const oc_dtype oci_weights_dtypes[];

#endif
