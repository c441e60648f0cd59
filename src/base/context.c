#include "base/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/dtype.h"
#include "base/pool.h"
#include "base/size.h"

const oci_limits oci_default_limits = {
#define VALUE(name, largest, what) .name = largest,
    OCI_LIMITS_MAP(VALUE)
#undef VALUE
};

/* Falls back to what there is, with the error set: a context must
 * work well enough to tell. */
static void choose_isa(oc_context *cx, oc_isa wanted)
{
    cx->isa = wanted == OC_ISA_AUTO ? oci_cpu_best_isa() : wanted;
    if (!oci_cpu_has_isa(cx->isa)) {
        oci_fail(cx, OC_E_UNSUPPORTED, "this processor has no %s (it has %s)",
                 oci_isa_name(wanted), oci_isa_name(oci_cpu_best_isa()));
        cx->isa = oci_cpu_best_isa();
    }
}

/* A pool is made even when threads are refused: it then has the caller alone. */
static void start_threads(oc_context *cx, int wanted)
{
    if (wanted < 0 || wanted > OCI_MAX_THREADS)
        oci_fail(cx, OC_E_ARGUMENT, "threads: expected 0..%d, found %d", OCI_MAX_THREADS,
                 wanted);
    if (oci_failed(cx)) wanted = 1;
    oc_status status = OC_OK;
    cx->pool = oci_pool_create(cx->heap, wanted ? wanted : oci_cpu_count(), &status);
    if (status != OC_OK)
        oci_fail(cx, status, "%d threads could not be started", wanted);
}

oc_context *oc_context_create(const oc_context_options *options)
{
    oc_context_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    oci_heap *heap = o.share ? oci_heap_ref(o.share->heap)
                             : oci_heap_create(o.memory_budget);
    if (!heap) return NULL;
    oc_context *cx = calloc(1, sizeof *cx);
    if (!cx) {
        oci_heap_unref(&heap);
        return NULL;
    }
    cx->heap = heap;
    cx->log = o.log;
    cx->log_user = o.log_user;
    cx->limits = o.share ? o.share->limits : oci_default_limits;
    cx->framework = o.share ? o.share->framework : OC_PYTORCH;
    cx->arithmetic = o.share ? o.share->arithmetic : OC_F32;
    if (o.share) {
        cx->isa = o.share->isa;
        cx->backend = o.share->backend;
        cx->pool = oci_pool_ref(o.share->pool);
    } else {
        choose_isa(cx, o.isa);
        start_threads(cx, o.threads);
    }
    return cx;
}

void oc_context_free(oc_context *cx)
{
    if (!cx) return;
    oci_arena_deinit(&cx->arena);
    oci_pool_unref(&cx->pool);
    oci_heap_unref(&cx->heap);
    free(cx);
}

oc_status oc_context_status(const oc_context *cx)
{
    return cx ? cx->status : OC_E_MEMORY;
}
int oc_context_threads(const oc_context *cx)
{
    return cx ? oci_pool_threads(cx->pool) : 0;
}
const char *oc_context_isa(const oc_context *cx)
{
    return cx ? oci_isa_name(cx->isa) : "";
}

const char *oc_context_message(const oc_context *cx)
{
    return cx ? cx->message : oc_status_text(OC_E_MEMORY);
}

void oc_context_clear(oc_context *cx)
{
    if (!cx) return;
    cx->status = OC_OK;
    cx->message[0] = '\0';
    atomic_store(&cx->cancel, false);
}

void oc_context_cancel(oc_context *cx)
{
    if (cx) atomic_store(&cx->cancel, true);
}

bool oci_cancelled(oc_context *cx)
{
    if (!atomic_load_explicit(&cx->cancel, memory_order_relaxed)) return false;
    oci_fail(cx, OC_E_CANCELLED, "cancelled");
    return true;
}

/* A bound may come down, for a server that knows its inputs;
 * up is what nobody has tested. */
oc_status oc_context_limit(oc_context *cx, const char *name, uint64_t value)
{
    if (!cx) return OC_E_MEMORY;
    if (!name) name = "(NULL)";
#define SET(field, largest, what)                                                        \
    if (!strcmp(name, #field)) {                                                         \
        if (value > (largest))                                                           \
            return oci_fail(cx, OC_E_ARGUMENT,                                           \
            "limit %s: expected at most %llu, found %llu",                               \
                            name, (unsigned long long)(largest),                         \
                            (unsigned long long)value);                                  \
        cx->limits.field = value;                                                        \
        return cx->status;                                                               \
    }
    OCI_LIMITS_MAP(SET)
#undef SET
    return oci_fail(cx, OC_E_ARGUMENT, "there is no limit named %s", name);
}

oc_status oc_context_set_arithmetic(oc_context *cx, oc_dtype arithmetic)
{
    if (!cx) return OC_E_MEMORY;
    if (oci_failed(cx)) return cx->status;
    if (arithmetic != OC_F32 && arithmetic != OC_BF16 && arithmetic != OC_INT8)
        return oci_fail(cx, OC_E_ARGUMENT,
                        "arithmetic: expected F32, BF16 or INT8, found %s",
                        oci_dtype_name(arithmetic));
    cx->arithmetic = arithmetic;
    return OC_OK;
}

oc_status oc_context_set_framework(oc_context *cx, oc_framework framework)
{
    if (!cx) return OC_E_MEMORY;
    if (oci_failed(cx)) return cx->status;
    if (framework != OC_PYTORCH && framework != OC_TENSORFLOW && framework != OC_FLAX)
        return oci_fail(cx, OC_E_ARGUMENT,
                        "framework: expected OC_PYTORCH, OC_TENSORFLOW or OC_FLAX, found "
                        "%d",
                        (int)framework);
    cx->framework = framework;
    return OC_OK;
}

oc_memory_usage oc_context_memory(const oc_context *cx)
{
    if (!cx) return (oc_memory_usage){ 0 };
    const oci_heap *h = cx->heap;
    return (oc_memory_usage){ .live_bytes = atomic_load(&h->live_bytes),
                              .peak_bytes = atomic_load(&h->peak_bytes),
                              .live_count = atomic_load(&h->live_count),
                              .total_count = atomic_load(&h->total_count) };
}

oc_status oci_fail(oc_context *cx, oc_status status, const char *format, ...)
{
    if (cx->status != OC_OK) return cx->status;
    va_list args;
    va_start(args, format);
    vsnprintf(cx->message, sizeof cx->message, format, args);
    va_end(args);
    return cx->status = status;
}

bool oci_given(oc_context *cx, const void *thing, const char *call, const char *what)
{
    if (!cx || oci_failed(cx)) return false;
    if (!thing) oci_fail(cx, OC_E_ARGUMENT, "%s: expected %s, found NULL", call, what);
    return thing != NULL;
}

void oci_log(oc_context *cx, oc_log_level level, const char *format, ...)
{
    if (!cx->log) return;
    char message[OCI_MAX_MESSAGE];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    cx->log(cx->log_user, level, message);
}
