/* One context of one thread for all tests of a program:
 *     return cmocka_run_group_tests(tests, open_context, close_context); */
#ifndef OCELLI_TESTS_CONTEXT_H
#define OCELLI_TESTS_CONTEXT_H

#include "ocelli.h"

static oc_context *cx;

static inline int open_context(void **state)
{
    (void)state;
    cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1));
    return cx ? 0 : -1;
}

/* Fails if the tests left more than what a context keeps by itself. */
static inline int close_context(void **state)
{
    (void)state;
    bool left = oc_context_memory(cx).live_count > 8;
    oc_context_free(cx);
    return left;
}

#endif
