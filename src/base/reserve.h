/* Address space that becomes memory as it is used: for what may grow to a known size and
 * must neither be copied when it does nor be paid for before. Zeros where nothing was
 * written. */
#ifndef OCI_BASE_RESERVE_H
#define OCI_BASE_RESERVE_H

#include "base/alloc.h"

typedef struct oci_reserve {
    unsigned char *data;        /* at a page's begin */
    size_t size;
    uint64_t charged;           /* bytes that count as held */
    oci_heap *heap;             /* counted reference */
} oci_reserve;

/* The system promises nothing here: address space for `size` bytes is taken, and pages
 * come when they are first written, from whatever memory there is then. NULL with
 * OC_E_MEMORY set where even the addresses are not to be had (ulimit -v, strict
 * overcommit). Nothing is charged to the heap's budget yet. */
OC_NODISCARD oci_reserve *oci_reserve_create(oc_context *cx, size_t size);
/* Says that `bytes` of it will be in use from now on, if it was fewer. They count as
 * held, like any block; over the budget it is OC_E_MEMORY, and they must not be
 * written. */
bool oci_reserve_use(oc_context *cx, oci_reserve *reserve, uint64_t bytes);
void oci_reserve_free(oci_reserve *reserve);    /* accepts NULL */

#endif
