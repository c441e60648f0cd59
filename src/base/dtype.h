/* Element types of files and tensors. */
#ifndef OCI_BASE_DTYPE_H
#define OCI_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ocelli.h"

/* Bytes of one element, and the name that safetensors uses ("F32", "BF16", …). */
size_t oci_dtype_size(oc_dtype dtype);
const char *oci_dtype_name(oc_dtype dtype);
/* OC_DTYPE_COUNT if there is none of that name. */
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
