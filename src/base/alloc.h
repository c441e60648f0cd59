/* The only door to memory. A heap counts what it gives, holds a budget, and lets a test
 * fail any request (base/fault.h). Contexts share a heap by reference; every block
 * remembers its heap, so freeing needs no context and may happen on any thread.
 *
 * Blocks are aligned to 64 bytes, a cache line and an AVX-512 register. A request that
 * fails sets OC_E_MEMORY in the context (the first error sticks) and returns NULL. While
 * the context holds an error, requests return NULL at once. */
#ifndef OCI_BASE_ALLOC_H
#define OCI_BASE_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "ocelli.h"

typedef struct oci_heap {
    atomic_int refs;
    atomic_uint_fast64_t live_bytes, peak_bytes, live_count, total_count;
    uint64_t budget;            /* 0: none */
    oci_fault_hook fault;       /* tests only; NULL otherwise */
    void *fault_user;
} oci_heap;

oci_heap *oci_heap_create(uint64_t budget);     /* NULL when out of memory */
oci_heap *oci_heap_ref(oci_heap *heap);
void oci_heap_unref(oci_heap **heap);

/* Not cleared; size 0 gives a valid block. */
OC_NODISCARD void *oci_alloc(oc_context *cx, size_t size);
/* count * size bytes, cleared; an overflow of the product is OC_E_MEMORY. */
OC_NODISCARD void *oci_calloc(oc_context *cx, size_t count, size_t size);
/* Grows or shrinks; on failure the old block stays as it was. `block` may be NULL. */
OC_NODISCARD void *oci_realloc(oc_context *cx, void *block, size_t size);
/* A copy of n bytes with a NUL after them. */
OC_NODISCARD char *oci_strndup(oc_context *cx, const char *text, size_t n);
OC_NODISCARD char *oci_strdup(oc_context *cx, const char *text);
void oci_free(void *block);

/* One more or fewer bytes under the budget, for memory that comes
 * from elsewhere (mappings). */
bool oci_heap_charge(oc_context *cx, uint64_t bytes);
/* The same for something that may outlive the context,
 * and stays with the heap it began on. */
bool oci_heap_charge_to(oc_context *cx, oci_heap *heap, uint64_t bytes);
void oci_heap_discharge(oci_heap *heap, uint64_t bytes);

#endif
