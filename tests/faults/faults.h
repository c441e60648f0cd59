/* The fault loop (anchors: sqlite's test_malloc, curl's torture, Lua's memerr): run a
 * job, failing its n-th request for memory, read, write …, for n = 1, 2, 3 … until
 * nothing fails any more; after each round look for what must never happen.
 *
 *     static void job(oc_context *cx, void *user)
 *     {
 *         oc_tensors *set = oc_tensors_open(cx, user);
 *         oc_tensors_free(set);
 *     }
 *     …
 *     fault_loop(&(fault_plan){ .job = job, .user = path });
 *
 * The job gets a fresh context and frees all that it made with it, whatever failed. It
 * must not look at the context's error; the loop does. Each round asserts:
 *   - a job that met the fault ends with a status of memory, file or writing, and a
 *     message;
 *   - no block, no byte of the heap and no reference to it is left;
 *   - as many file descriptors are open as before;
 *   - plan.check (files on disk, say), if there is one.
 * The loop runs twice: with only the n-th request failing, and with all from the n-th on.
 *
 * Long jobs (a whole `read`): set .step to visit every step-th request
 * only, after the first `dense` ones, and .file_only to fail nothing but
 * files. Include after cmocka.h. */
#ifndef OCELLI_TESTS_FAULTS_H
#define OCELLI_TESTS_FAULTS_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/context.h"

typedef struct fault_plan {
    void (*job)(oc_context *cx, void *user);
    /* After each round; `status` is what the job left in the context. */
    void (*check)(oc_status status, void *user);
    void *user;
    int threads;            /* of the context; 0: one */
    long step, dense;       /* 0: every request; the first `dense` are always visited */
    bool file_only;         /* fail no memory */
    bool may_recover;       /* the job may succeed in spite of a fault */
} fault_plan;

typedef struct fault_state {
    atomic_long asked;
    atomic_bool fired;
    long fail_at;
    bool persistent, file_only;
} fault_state;

/* May be asked by several threads. */
static inline bool fault_hook(void *user, oci_fault what)
{
    fault_state *s = user;
    if (s->file_only && what == OCI_FAULT_ALLOC) return false;
    long n = atomic_fetch_add(&s->asked, 1) + 1;
    bool fail = s->persistent ? n >= s->fail_at : n == s->fail_at;
    if (fail) atomic_store(&s->fired, true);
    return fail;
}

static inline int fault_open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) != -1;
    return n;
}

/* One round; true while the fault was still met. */
static inline bool fault_round(const fault_plan *plan, long fail_at, bool persistent)
{
    fault_state state = { .fail_at = fail_at, .persistent = persistent,
                          .file_only = plan->file_only };
    oc_context_options options = { .size = sizeof options,
                                   .threads = plan->threads ? plan->threads : 1 };
    int files = fault_open_files();
    oc_context *cx = oc_context_create(&options);
    assert_non_null(cx);
    oci_heap *heap = oci_heap_ref(cx->heap);
    heap->fault_user = &state;
    heap->fault = fault_hook;
    plan->job(cx, plan->user);
    heap->fault = NULL;

    oc_status status = oc_context_status(cx);
    bool fired = atomic_load(&state.fired);
    if (fired && !plan->may_recover && status == OC_OK)
        fail_msg("request %ld was refused and nobody noticed", fail_at);
    if (fired && status != OC_OK && status != OC_E_MEMORY && status != OC_E_FILE &&
        status != OC_E_WRITE)
        fail_msg("request %ld refused: %s: %s", fail_at, oc_status_name(status),
                 oc_context_message(cx));
    if (!fired && status != OC_OK)
        fail_msg("the job fails without a fault: %s", oc_context_message(cx));
    if (status != OC_OK) assert_true(oc_context_message(cx)[0] != '\0');
    oc_context_free(cx);
    if (atomic_load(&heap->live_count) != 0)
        fail_msg("request %ld refused: %llu blocks are left", fail_at,
                 (unsigned long long)atomic_load(&heap->live_count));
    assert_int_equal(atomic_load(&heap->live_bytes), 0);
    assert_int_equal(atomic_load(&heap->refs), 1);
    oci_heap_unref(&heap);
    assert_int_equal(fault_open_files(), files);
    if (plan->check) plan->check(status, plan->user);
    return fired;
}

/* Returns how many requests the job made, so that a test can ask for at least some. */
static inline long fault_loop(const fault_plan *plan)
{
    long n = 1;
    for (int persistent = 0; persistent < 2; persistent++)
        for (n = 1; fault_round(plan, n, persistent != 0);)
            n += plan->step > 1 && n >= plan->dense ? plan->step : 1;
    return n - 1;
}

#endif
