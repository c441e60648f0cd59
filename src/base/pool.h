/* Worker threads that live as long as their pool. oci_parallel runs a task over
 * 0..count-1 on all of them, the caller included. Between jobs that follow each
 * other closely workers spin for some microseconds, then sleep. Two contexts that
 * share a pool never wait for each other: the second one runs its task alone, so
 * cores are never oversubscribed.
 *
 * The result of a task must not depend on which worker runs which index. */
#ifndef OCI_BASE_POOL_H
#define OCI_BASE_POOL_H

#include <stdint.h>

#include "base/alloc.h"
#include "ocelli.h"

typedef struct oci_pool oci_pool;

/* Runs items [first, last); `worker` in 0..threads-1 picks scratch memory. */
typedef void (*oci_task)(void *user, int64_t first, int64_t last, int worker);

oci_pool *oci_pool_create(oci_heap *heap, int threads, oc_status *status);
oci_pool *oci_pool_ref(oci_pool *pool);
void oci_pool_unref(oci_pool **pool);
int oci_pool_threads(const oci_pool *pool);

/* Calls task until all of 0..count-1 are done, `grain` items at a time;
 * returns afterwards. grain 0 cuts the range in one even piece a worker. Not
 * reentrant from inside a task. */
void oci_parallel(oc_context *cx, int64_t count, int64_t grain, oci_task task,
                  void *user);

#endif
