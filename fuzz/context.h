/* What targets share that need no more than a context: one for all inputs, in which
 * nothing may be left. */
#ifndef OCELLI_FUZZ_CONTEXT_H
#define OCELLI_FUZZ_CONTEXT_H

#include <stdlib.h>

#include "base/context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of one thread, without an error, with `budget` bytes to have (0: any). Limits are low
 * where they bound work, so that a run tests parsers. */
static inline oc_context *fuzz_context(uint64_t budget)
{
    static oc_context *cx;
    oc_context_options options = OC_OPTIONS(oc_context_options, .threads = 1,
                                            .memory_budget = budget);
    if (!cx && !(cx = oc_context_create(&options))) abort();
    cx->limits.zip_entries = 100;
    cx->limits.zip_bytes = 1 << 24;
    cx->limits.region_bytes = 1 << 16;
    cx->limits.tensors = 10000;
    oc_context_clear(cx);
    return cx;
}

static inline void fuzz_nothing_left(oc_context *cx)
{
    oc_context_clear(cx);
    if (oc_context_memory(cx).live_count || oc_context_memory(cx).live_bytes) abort();
}

#endif
