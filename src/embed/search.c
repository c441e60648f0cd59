/* Exact search: every vector is looked at, block by block, by all threads. Each worker
 * keeps the best of what it has seen in a heap; in the end the heaps are one. "Better" is
 * a total order, so the result does not depend on who has seen what.
 *
 * In an index of bytes the scan takes one byte a number, for vectors and
 * queries alike, and finds more than are wanted; the exact query and the
 * remainders then put those in order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/context.h"
#include "base/pool.h"
#include "base/size.h"
#include "embed/index.h"
#include "tensor/tensor.h"

enum {
    BLOCK = 256,                /* rows between looks at the scores: both stay in L2 */
    TOGETHER = 4,               /* queries that share a reading of the vectors */
    MORE = 4, AND_MORE = 32     /* of bytes: so many times `top`, and so many, are looked
                                   at again; docs/SPEED.md has what recall that gives */
};

/* ---- the best so far --------------------------------------------------------------- */

typedef struct best {           /* a heap whose root is the worst that is kept */
    oc_hit *hits;
    size_t count, room;
} best;

static bool better(oc_hit a, oc_hit b)
{
    return a.score > b.score || (a.score == b.score && a.picture < b.picture);
}

static void sink(best *b, size_t i, oc_hit hit)
{
    for (size_t child; (child = 2 * i + 1) < b->count; i = child) {
        if (child + 1 < b->count && better(b->hits[child], b->hits[child + 1])) child++;
        if (!better(hit, b->hits[child])) break;
        b->hits[i] = b->hits[child];
    }
    b->hits[i] = hit;
}

static void keep(best *b, oc_hit hit)
{
    if (b->count == b->room) {
        if (better(hit, b->hits[0])) sink(b, 0, hit);
        return;
    }
    size_t i = b->count++;
    for (; i > 0 && better(b->hits[(i - 1) / 2], hit); i = (i - 1) / 2)
        b->hits[i] = b->hits[(i - 1) / 2];
    b->hits[i] = hit;
}

static int best_first(const void *a, const void *b)
{
    oc_hit x = *(const oc_hit *)a, y = *(const oc_hit *)b;
    return better(y, x) - better(x, y);
}

/* ---- the scan ---------------------------------------------------------------------- */

typedef struct scan {
    const oc_index *index;
    const oci_backend *backend;
    size_t queries;                     /* of this round, <= TOGETHER */
    const void *q;                      /* [queries] rows as wide as the index's */
    best *bests;                        /* [worker][TOGETHER] */
    char *scores;                       /* [worker][TOGETHER][BLOCK], f32 or i32 */
} scan;

/* Scores of a block. NaN, of a file that was made up, is worse than all. */
static void keep_block(best *b, const float *scores, size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        oc_hit hit = { first + i, scores[i] == scores[i] ? scores[i] : -INFINITY };
        if (b->count < b->room || hit.score >= b->hits[0].score) keep(b, hit);
    }
}

static void scan_task(void *user, int64_t first, int64_t last, int worker)
{
    const scan *s = user;
    const oc_index *x = s->index;
    size_t stride = x->layout.stride, all = (size_t)x->header.count;
    char *room = s->scores + (size_t)worker * TOGETHER * BLOCK * sizeof(float);
    float *scores = (float *)(void *)room;
    for (int64_t block = first; block < last; block++) {
        size_t at = (size_t)block * BLOCK, rows = all - at < BLOCK ? all - at : BLOCK;
        const char *vectors = (const char *)x->vectors + at * stride;
        if (x->header.kind == OCI_INDEX_F32) {
            s->backend->dots((int64_t)rows, (int64_t)(stride / sizeof(float)),
                             (const float *)(const void *)vectors, (int64_t)s->queries,
                             s->q, scores, BLOCK);
        } else {
            int32_t *whole = (int32_t *)(void *)room;
            s->backend->dots_i8((int64_t)rows, (int64_t)stride, (const int8_t *)vectors,
                                (int64_t)s->queries, s->q, whole, BLOCK);
            for (size_t j = 0; j < s->queries; j++)
                for (size_t r = 0; r < rows; r++)
                    scores[j * BLOCK + r] = (float)whole[j * BLOCK + r] *
                                            x->scales[at + r];
        }
        for (size_t j = 0; j < s->queries; j++)
            keep_block(&s->bests[(size_t)worker * TOGETHER + j], scores + j * BLOCK, at,
                       rows);
    }
}

/* ---- queries ----------------------------------------------------------------------- */

/* As the index has its rows: f32, or bytes of which 127 is the largest number. */
static void shape_query(const oc_index *x, const float *query, char *row)
{
    size_t width = x->header.width;
    memset(row, 0, x->layout.stride);
    if (x->header.kind == OCI_INDEX_F32) {
        memcpy(row, query, width * sizeof *query);
        return;
    }
    float most = 0;
    for (size_t i = 0; i < width; i++) most = fmaxf(most, fabsf(query[i]));
    for (size_t i = 0; i < width && most > 0; i++)
        ((int8_t *)row)[i] = (int8_t)rintf(query[i] / most * 127);
}

/* The score of an index of bytes with all that it knows. */
static void look_again(const oc_index *x, const float *query, oc_hit *hit, float *vector)
{
    double sum = 0;
    oc_index_vector(x, hit->picture, vector);
    for (size_t i = 0; i < x->header.width; i++)
        sum += (double)query[i] * (double)vector[i];
    hit->score = sum == sum ? (float)sum : -INFINITY;
}

/* Query j of a round: the heaps of all workers become one, in order. */
static void finish(const scan *s, int workers, size_t j, const float *query, size_t top,
                   float *vector, oc_hit *hits)
{
    best *b = &s->bests[j];
    for (int w = 1; w < workers; w++) {
        const best *other = &s->bests[(size_t)w * TOGETHER + j];
        for (size_t i = 0; i < other->count; i++) keep(b, other->hits[i]);
    }
    if (s->index->header.kind == OCI_INDEX_I8)
        for (size_t i = 0; i < b->count; i++)
            look_again(s->index, query, &b->hits[i], vector);
    qsort(b->hits, b->count, sizeof *b->hits, best_first);
    memcpy(hits, b->hits, top * sizeof *hits);
}

static void search(oc_context *cx, const oc_index *x, const float *queries, size_t count,
                   size_t found, size_t top, oc_hit *hits)
{
    int workers = oci_pool_threads(cx->pool);
    size_t heaps = (size_t)workers * TOGETHER, all = (size_t)x->header.count;
    size_t width = x->header.width, stride = x->layout.stride, looked = found;
    if (x->header.kind == OCI_INDEX_I8)
        looked = found > all / MORE
                     ? all
                     : (size_t)oci_min((int64_t)all, (int64_t)found * MORE + AND_MORE);
    scan s = { .index = x, .backend = oci_backend_get(cx) };
    oc_hit *kept = oci_calloc(cx, heaps, looked * sizeof *kept);
    char *q = oci_alloc(cx, TOGETHER * stride);
    float *vector = oci_alloc(cx, width * sizeof *vector);
    s.bests = oci_alloc(cx, heaps * sizeof *s.bests);
    s.scores = oci_alloc(cx, heaps * BLOCK * sizeof(float));
    s.q = q;
    for (size_t i = 0; i < count && !oci_failed(cx) && !oci_cancelled(cx);
         i += s.queries) {
        s.queries = count - i < TOGETHER ? count - i : TOGETHER;
        for (size_t j = 0; j < s.queries; j++)
            shape_query(x, queries + (i + j) * width, q + j * stride);
        for (size_t h = 0; h < heaps; h++)
            s.bests[h] = (best){ .hits = kept + h * looked, .room = looked };
        oci_parallel(cx, oci_ceil_div((int64_t)all, BLOCK), 4, scan_task, &s);
        for (size_t j = 0; j < s.queries; j++)
            finish(&s, workers, j, queries + (i + j) * width, found, vector,
                   hits + (i + j) * top);
    }
    oci_free(kept);
    oci_free(q);
    oci_free(vector);
    oci_free(s.bests);
    oci_free(s.scores);
}

size_t oc_index_search(oc_context *cx, const oc_index *index, const float *queries,
                       size_t count, size_t top, oc_hit *hits)
{
    if (!oci_given(cx, index, __func__, "an index") || count == 0 || top == 0) return 0;
    if (!queries || !hits) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "search: expected queries and room for hits, found NULL");
        return 0;
    }
    size_t numbers;
    if (!oci_mul(count, index->header.width, &numbers)) numbers = 0;
    for (size_t i = 0; i < numbers; i++)
        if (!isfinite(queries[i])) {
            oci_fail(cx, OC_E_ARGUMENT, "search: query %zu: number %zu is not finite",
                     i / index->header.width, i % index->header.width);
            return 0;
        }
    size_t found = top < index->header.count ? top : (size_t)index->header.count;
    search(cx, index, queries, count, found, top, hits);
    return oci_failed(cx) ? 0 : found;
}
