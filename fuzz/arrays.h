/* What the targets that read arrays share: a context with low limits, and a look at every
 * tensor that was made. */
#ifndef OCELLI_FUZZ_ARRAYS_H
#define OCELLI_FUZZ_ARRAYS_H

#include <stdlib.h>

#include "base/context.h"
#include "io/npy.h"
#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void check_tensors(const oc_tensors *set)
{
    volatile unsigned sum = 0;      /* reads every byte, for the sanitizers */
    for (size_t i = 0; i < oc_tensors_count(set); i++) {
        oc_tensor_view v = oc_tensors_get(set, i), found;
        size_t bytes;
        if (!oci_shape_bytes(v.dtype, v.rank, v.shape, &bytes) || bytes != v.bytes) abort();
        if (!oc_tensors_find(set, v.name, &found) || found.data != v.data) abort();
        for (size_t k = 0; k < bytes; k++) sum += ((const unsigned char *)v.data)[k];
    }
    (void)sum;
}

/* Runs `parse` and asks that nothing is left. */
static inline int fuzz_arrays(void (*parse)(oc_context *, const uint8_t *, size_t),
                              const uint8_t *data, size_t size)
{
    static oc_context *cx;
    oc_context_options options = { .size = sizeof options, .threads = 1,
                                   .memory_budget = UINT64_C(1) << 26 };
    if (!cx) cx = oc_context_create(&options);
    if (!cx) abort();
    cx->limits.zip_entries = 100;
    cx->limits.zip_bytes = 1 << 24;
    cx->limits.region_bytes = 1 << 16;
    oc_context_clear(cx);
    parse(cx, data, size);
    if (oc_context_memory(cx).live_count || oc_context_memory(cx).live_bytes) abort();
    return 0;
}

#endif
