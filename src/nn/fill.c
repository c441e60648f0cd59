#include "nn/fill.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/context.h"
#include "base/pool.h"

/* Eight large pages; small models take slabs no larger than what a thread may fill. */
enum { SLAB_BYTES = 16 << 20 };

typedef struct hand {           /* what a thread has of its own */
    oc_context *cx;             /* the caller's, or one that shares its heap */
    oci_weight_room room;
    oci_slab slab;
    int64_t failed;             /* which one it failed at, if it did */
} hand;

typedef struct crew {
    oci_param_filler *filler;
    void *user;
    hand *hands;                /* [threads] */
    int threads;
} crew;

static void fill_some(void *user, int64_t first, int64_t last, int worker)
{
    const crew *c = user;
    hand *h = &c->hands[worker];
    for (int64_t i = first; i < last && !oci_failed(h->cx); i++) {
        c->filler(h->cx, c->user, i, &h->room);
        if (oci_failed(h->cx)) h->failed = i;
    }
}

/* The caller is hand 0. */
static bool hire(oc_context *cx, crew *c, size_t bytes)
{
    const oc_context_options alike = OC_OPTIONS(oc_context_options, .share = cx);
    /* Threads do not finish together: an eighth on top of an even share. */
    bytes = bytes / (size_t)c->threads / 8 * 9 + 4096;
    c->hands = oci_calloc(cx, (size_t)c->threads, sizeof *c->hands);
    for (int i = 0; c->hands && i < c->threads; i++) {
        hand *h = &c->hands[i];
        h->cx = i == 0 ? cx : oc_context_create(&alike);
        h->failed = INT64_MAX;
        h->slab.block_size = bytes < SLAB_BYTES ? bytes : SLAB_BYTES;
        if (h->cx) h->cx->slab = &h->slab;
        else oci_fail(cx, OC_E_MEMORY, "no memory for a thread that reads weights");
    }
    return !oci_failed(cx);
}

static void keep_first_error(oc_context *cx, const crew *c)
{
    const hand *first = NULL;
    for (int i = 0; c->hands && i < c->threads; i++) {
        const hand *h = &c->hands[i];
        if (h->failed < (first ? first->failed : INT64_MAX)) first = h;
    }
    if (!first || first->cx == cx) return;
    oc_context_clear(cx);
    oci_fail(cx, first->cx->status, "%s", first->cx->message);
}

static void dismiss(oc_context *cx, crew *c)
{
    for (int i = 0; c->hands && i < c->threads; i++) {
        oci_weight_room_free(&c->hands[i].room);
        oci_slab_deinit(&c->hands[i].slab);
        if (i > 0) oc_context_free(c->hands[i].cx);
    }
    cx->slab = NULL;
    oci_free(c->hands);
}

void oci_params_fill(oc_context *cx, int64_t count, size_t bytes,
                     oci_param_filler *filler, void *user)
{
    crew c = { .filler = filler, .user = user,
               .threads = oci_pool_threads(cx->pool) };
    if (oci_failed(cx)) return;
    if (hire(cx, &c, bytes)) oci_parallel(cx, count, 1, fill_some, &c);
    keep_first_error(cx, &c);
    dismiss(cx, &c);
}
