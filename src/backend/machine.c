/* oc_measure_machine: the limits that speeds are given as shares of. Several
 * short runs, the best counts: every disturbance on a shared machine makes a run
 * slower, none makes it faster. */
#include <string.h>

#include "backend/backend.h"
#include "base/context.h"
#include "base/cpu.h"
#include "base/pool.h"
#include "base/size.h"
#include "tensor/tensor.h"

enum { RUNS = 7, ROUNDS = 400000, FLOATS = 1 << 25 /* 128 MiB: beyond every cache */ };

typedef struct measurement {
    const oci_backend *backend;
    const float *memory;
    int64_t each;               /* floats of one piece */
    double operations;          /* of one piece, written by all alike */
} measurement;

static void fma_task(void *user, int64_t first, int64_t last, int worker)
{
    measurement *m = user;
    (void)worker;
    for (int64_t i = first; i < last; i++) m->backend->fma_loop(ROUNDS);
}

static void read_task(void *user, int64_t first, int64_t last, int worker)
{
    measurement *m = user;
    (void)worker;
    for (int64_t i = first; i < last; i++)
        m->backend->read_loop(m->memory + i * m->each, m->each);
}

/* Least seconds of a task of one piece a thread. */
static double least_seconds(oc_context *cx, oci_task task, measurement *m)
{
    double least = 0;
    for (int r = 0; r < RUNS; r++) {
        double start = oci_now();
        oci_parallel(cx, oci_pool_threads(cx->pool), 1, task, m);
        double seconds = oci_now() - start;
        if (r == 0 || seconds < least) least = seconds;
    }
    return least;
}

oc_status oc_measure_machine(oc_context *cx, oc_machine *machine)
{
    if (!oci_given(cx, machine, __func__, "a place for the result"))
        return oc_context_status(cx);
    int64_t threads = oci_pool_threads(cx->pool);
    measurement m = { .backend = oci_backend_get(cx),
                      .each = FLOATS / threads / 256 * 256 };
    m.operations = m.backend->fma_loop(1) * ROUNDS;
    float *memory = oci_alloc(cx, FLOATS * sizeof *memory);
    if (!memory) return cx->status;
    memset(memory, 0, FLOATS * sizeof *memory);
    m.memory = memory;
    machine->fma_gflops = m.operations * (double)threads /
                          least_seconds(cx, fma_task, &m) / 1e9;
    machine->read_gbps = (double)(m.each * threads) * sizeof *memory /
                         least_seconds(cx, read_task, &m) / 1e9;
    oci_free(memory);
    return OC_OK;
}
