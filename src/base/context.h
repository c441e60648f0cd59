/* What a call carries: the first error, memory, threads, kernels, and the place where the
 * activations of a forward pass live. One thread at a time. */
#ifndef OCI_BASE_CONTEXT_H
#define OCI_BASE_CONTEXT_H

#include <stdatomic.h>
#include <stdarg.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/limits.h"
#include "ocelli.h"

struct oci_pool;
struct oci_backend;
struct oci_tape;
struct oci_taps;

struct oc_context {
    oci_heap *heap;                     /* counted reference */
    struct oci_pool *pool;              /* counted reference */
    const struct oci_backend *backend;  /* kernels of the chosen ISA; static */
    oc_isa isa;
    oc_dtype arithmetic;                /* OC_F32, or what products may use in its
                                           place */
    oc_framework framework;             /* whose answers, where they differ */
    oci_limits limits;
    oci_arena arena;                    /* activations; src/tensor */
    struct oci_tape *tape;              /* not NULL while gradients are recorded */
    struct oci_slab *slab;              /* not NULL while weights are loaded: where
                                           they go */
    struct oci_taps *taps;              /* not NULL while named values are collected */
    atomic_bool cancel;
    oc_status status;
    char message[OCI_MAX_MESSAGE];
    oc_log_callback log;
    void *log_user;
};

/* Sets status and message unless an error is set already; returns the status that now
 * holds. Messages name file, tensor or field, what was expected and what was found. */
OC_PRINTF(3, 4)
oc_status oci_fail(oc_context *cx, oc_status status, const char *format, ...);

/* Tells the context's log callback, if there is one. Never for errors:
 * those are oci_fail's. */
OC_PRINTF(3, 4)
void oci_log(oc_context *cx, oc_log_level level, const char *format, ...);

/* Whether a public call may begin: false for a context that is NULL or holds
 * an error, and, with OC_E_ARGUMENT set, where `thing` is NULL. `what` it is
 * has its article: "a model". */
bool oci_given(oc_context *cx, const void *thing, const char *call, const char *what);

static inline bool oci_failed(const oc_context *cx) { return cx->status != OC_OK; }

/* True, with OC_E_CANCELLED set, once oc_context_cancel() was called. Asked between
 * layers, decoding steps and training steps. */
bool oci_cancelled(oc_context *cx);

#endif
