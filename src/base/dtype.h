/* Element types of files and tensors. */
#ifndef OCI_BASE_DTYPE_H
#define OCI_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ocelli.h"

/* Bytes of one element, 0 for weights in blocks, which have none; and the name that
 * safetensors uses ("F32", "BF16", …), or ours for weights in blocks ("INT8", …). */
size_t oci_dtype_size(oc_dtype dtype);
const char *oci_dtype_name(oc_dtype dtype);
/* Weights kept in blocks, in the backend's layout alone (backend/backend.h). */
static inline bool oci_dtype_is_blocks(oc_dtype dtype)
{
    return dtype == OC_INT8 || dtype == OC_INT8_CHANNEL || dtype == OC_INT4;
}

/* An element type; OC_DTYPE_COUNT if there is none of that name. */
oc_dtype oci_dtype_find(const char *name, size_t length);

static inline float oci_bf16_to_f32(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t oci_f32_to_bf16(float x);      /* nearest, ties to even; NaN stays NaN */
float oci_f16_to_f32(uint16_t x);
uint16_t oci_f32_to_f16(float x);       /* nearest, ties to even; overflow to infinity */

/* n elements of a float dtype (F64, F32, F16, BF16) to f32. */
void oci_dtype_to_f32(oc_dtype dtype, const void *from, float *to, size_t n);
void oci_dtype_from_f32(oc_dtype dtype, const float *from, void *to, size_t n);

#endif
