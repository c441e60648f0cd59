#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/size.h"

enum { ALIGN = 64 };

/* No object of C is larger than half the address space; asking for more is
 * always the result of arithmetic on hostile numbers, and some allocators
 * (sanitizers') end the process. */
static const size_t MAX_BLOCK = SIZE_MAX >> 25;     /* 512 GiB */

/* In front of every block, a cache line of its own so that
 * blocks keep their alignment. */
typedef struct block_head {
    oci_heap *heap;     /* counted reference: the heap outlives its blocks */
    size_t size;        /* without the head */
} block_head;

_Static_assert(sizeof(block_head) <= ALIGN, "the head must fit before the block");

static block_head *head_of(void *block)
{
    return (block_head *)(void *)((char *)block - ALIGN);
}

oci_heap *oci_heap_create(uint64_t budget)
{
    oci_heap *heap = calloc(1, sizeof *heap);
    if (!heap) return NULL;
    atomic_init(&heap->refs, 1);
    heap->budget = budget;
    return heap;
}

oci_heap *oci_heap_ref(oci_heap *heap)
{
    atomic_fetch_add(&heap->refs, 1);
    return heap;
}

void oci_heap_unref(oci_heap **heap)
{
    if (*heap && atomic_fetch_sub(&(*heap)->refs, 1) == 1) free(*heap);
    *heap = NULL;
}

bool oci_heap_charge(oc_context *cx, uint64_t bytes)
{
    return oci_heap_charge_to(cx, cx->heap, bytes);
}

bool oci_heap_charge_to(oc_context *cx, oci_heap *h, uint64_t bytes)
{
    /* What can never fit is not even added: the sum might wrap around. */
    bool fits = !h->budget || bytes <= h->budget;
    uint64_t live = fits ? atomic_fetch_add(&h->live_bytes, bytes) + bytes
                         : atomic_load(&h->live_bytes) + bytes;
    if (h->budget && (!fits || live > h->budget)) {
        if (fits) atomic_fetch_sub(&h->live_bytes, bytes);
        oci_fail(cx, OC_E_MEMORY,
                 "memory budget of %llu bytes: %llu held, %llu more asked for",
                 (unsigned long long)h->budget, (unsigned long long)(live - bytes),
                 (unsigned long long)bytes);
        return false;
    }
    uint_fast64_t peak = atomic_load(&h->peak_bytes);
    while (live > peak && !atomic_compare_exchange_weak(&h->peak_bytes, &peak, live)) { }
    return true;
}

void oci_heap_discharge(oci_heap *heap, uint64_t bytes)
{
    atomic_fetch_sub(&heap->live_bytes, bytes);
}

void *oci_alloc(oc_context *cx, size_t size)
{
    size_t whole;
    if (oci_failed(cx)) return NULL;
    if (size > MAX_BLOCK || !oci_add(size, 2 * ALIGN - 1, &whole)) {
        oci_fail(cx, OC_E_MEMORY, "a block of %zu bytes", size);
        return NULL;
    }
    whole = whole / ALIGN * ALIGN;              /* head + size, rounded up */
    if (!oci_heap_charge(cx, size)) return NULL;
    bool fault = cx->heap->fault &&
                 cx->heap->fault(cx->heap->fault_user, OCI_FAULT_ALLOC);
    block_head *head = fault ? NULL : aligned_alloc(ALIGN, whole);
    if (!head) {
        oci_heap_discharge(cx->heap, size);
        oci_fail(cx, OC_E_MEMORY, "out of memory: %zu bytes were not to be had", size);
        return NULL;
    }
    head->heap = oci_heap_ref(cx->heap);
    head->size = size;
    atomic_fetch_add(&cx->heap->live_count, 1);
    atomic_fetch_add(&cx->heap->total_count, 1);
    return (char *)head + ALIGN;
}

void *oci_calloc(oc_context *cx, size_t count, size_t size)
{
    size_t whole;
    if (!oci_mul(count, size, &whole)) {
        oci_fail(cx, OC_E_MEMORY, "%zu times %zu bytes", count, size);
        return NULL;
    }
    void *block = oci_alloc(cx, whole);
    return block ? memset(block, 0, whole) : NULL;
}

void *oci_realloc(oc_context *cx, void *block, size_t size)
{
    void *fresh = oci_alloc(cx, size);
    if (!fresh || !block) return fresh;
    size_t old = head_of(block)->size;
    memcpy(fresh, block, old < size ? old : size);
    oci_free(block);
    return fresh;
}

char *oci_strndup(oc_context *cx, const char *text, size_t n)
{
    char *copy = oci_alloc(cx, n + 1);
    if (!copy) return NULL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

char *oci_strdup(oc_context *cx, const char *text)
{
    return oci_strndup(cx, text, strlen(text));
}

void oci_free(void *block)
{
    if (!block) return;
    block_head *head = head_of(block);
    oci_heap *heap = head->heap;
    oci_heap_discharge(heap, head->size);
    atomic_fetch_sub(&heap->live_count, 1);
    free(head);
    oci_heap_unref(&heap);
}
