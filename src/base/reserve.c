#define _DEFAULT_SOURCE         /* MAP_ANONYMOUS, MAP_NORESERVE, madvise */
#include "base/reserve.h"

#include <sys/mman.h>

#include "base/context.h"

/* MAP_NORESERVE: the whole may be far more than there will ever be. Large pages are
 * declined because the first byte of each would take all of it: what is used here lies in
 * many runs that grow, each for itself, by a few hundred bytes at a time. */
static void *take_addresses(oc_context *cx, size_t size)
{
    bool fault = cx->heap->fault &&
                 cx->heap->fault(cx->heap->fault_user, OCI_FAULT_ALLOC);
    void *data = fault ? MAP_FAILED
                       : mmap(NULL, size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
        oci_fail(cx, OC_E_MEMORY,
                 "out of memory: addresses for %zu bytes were not to be had", size);
        return NULL;
    }
#if defined(MADV_NOHUGEPAGE)
    madvise(data, size, MADV_NOHUGEPAGE);       /* refused: more memory, no harm */
#endif
    return data;
}

oci_reserve *oci_reserve_create(oc_context *cx, size_t size)
{
    oci_reserve *r = oci_calloc(cx, 1, sizeof *r);
    if (!r) return NULL;
    r->size = size;
    r->data = take_addresses(cx, size ? size : 1);      /* mmap refuses to map nothing */
    if (!r->data) {
        oci_free(r);
        return NULL;
    }
    r->heap = oci_heap_ref(cx->heap);
    return r;
}

bool oci_reserve_use(oc_context *cx, oci_reserve *reserve, uint64_t bytes)
{
    if (bytes <= reserve->charged) return true;
    /* The heap that will be discharged is the one of whoever made it. */
    if (oci_failed(cx) ||
        !oci_heap_charge_to(cx, reserve->heap, bytes - reserve->charged))
        return false;
    reserve->charged = bytes;
    return true;
}

void oci_reserve_free(oci_reserve *reserve)
{
    if (!reserve) return;
    munmap(reserve->data, reserve->size ? reserve->size : 1);
    oci_heap_discharge(reserve->heap, reserve->charged);
    oci_heap_unref(&reserve->heap);
    oci_free(reserve);
}
