/* The values of one parameter: from a file's order and type to the form that its use wants, and
 * back. */
#ifndef OCI_NN_PARAM_H
#define OCI_NN_PARAM_H

#include "nn/walk.h"

/* Fills *param->slot, making it if need be, with values in the file's order (F32, BF16, F16 or
 * F64): nothing points into `data` afterwards. False: error set. */
bool oci_param_set(oc_context *cx, const oci_param *param, oc_dtype dtype,
                   const void *data, bool trainable);
/* The values as f32 in the file's order, in a new block (oci_free); NULL: error set. */
OC_NODISCARD float *oci_param_values(oc_context *cx, const oci_param *param);
void oci_param_free(oci_tensor *tensor);
int64_t oci_param_count(const oci_param *param);
/* True if a NaN is among n numbers. */
bool oci_bits_nan(oc_dtype dtype, const void *data, size_t n);

#endif
