/* What the targets that read arrays share: a look at every tensor that was made. */
#ifndef OCELLI_FUZZ_ARRAYS_H
#define OCELLI_FUZZ_ARRAYS_H

#include "context.h"
#include "io/npy.h"
#include "io/safetensors.h"

static inline void check_tensors(const oc_tensors *set)
{
    volatile unsigned sum = 0;      /* reads every byte, for the sanitizers */
    for (size_t i = 0; i < oc_tensors_count(set); i++) {
        oc_tensor_view v = oc_tensors_get(set, i), found;
        size_t bytes;
        if (!oci_shape_bytes(v.dtype, v.rank, v.shape, &bytes) || bytes != v.bytes)
            abort();
        if (!oc_tensors_find(set, v.name, &found) || found.data != v.data) abort();
        for (size_t k = 0; k < bytes; k++) sum += ((const unsigned char *)v.data)[k];
    }
    (void)sum;
}

/* Runs `parse` and asks that nothing is left. */
static inline int fuzz_arrays(void (*parse)(oc_context *, const uint8_t *, size_t),
                              const uint8_t *data, size_t size)
{
    oc_context *cx = fuzz_context(UINT64_C(1) << 26);
    parse(cx, data, size);
    fuzz_nothing_left(cx);
    return 0;
}

#endif
