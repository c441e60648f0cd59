/* What every test of src/base includes. */
#ifndef OCELLI_TESTS_BASE_TEST_H
#define OCELLI_TESTS_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/context.h"

static inline oc_context *new_context(int threads, uint64_t budget)
{
    oc_context_options o = { .size = sizeof o, .threads = threads,
                             .memory_budget = budget };
    oc_context *cx = oc_context_create(&o);
    assert_non_null(cx);
    return cx;
}

/* No block and no byte is held; frees the context. */
static inline void end_context(oc_context *cx)
{
    oci_arena_deinit(&cx->arena);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    assert_int_equal(oc_context_memory(cx).live_bytes, 0);
    oc_context_free(cx);
}

#endif
