#include "base/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/context.h"
#include "base/size.h"

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

/* About 30 us of pauses: longer than the serial code between two products of one layer,
 * shorter than anyone notices on an idle core. */
enum { SPINS = 4000, LINE = 64 };

struct oci_pool {
    atomic_int refs;
    int threads;
    oci_heap *heap;
    pthread_t *ids;                 /* threads - 1 workers; the caller is the last */
    atomic_flag busy;               /* a job is running: the next caller works alone */
    pthread_mutex_t lock;           /* guards sleeping on `wake` */
    pthread_cond_t wake;
    atomic_int sleepers;
    atomic_bool stop;
    /* The job. Written before `ticket` is raised, read after it was seen raised. */
    oci_task task;
    void *user;
    int64_t count, grain;
    _Alignas(LINE) atomic_uint ticket;      /* number of the newest job */
    _Alignas(LINE) atomic_int_fast64_t next;
    _Alignas(LINE) atomic_int pending;      /* workers that have not finished it */
};

typedef struct worker_start {
    oci_pool *pool;
    int worker;
} worker_start;

/* Pieces are handed out in order, whoever asks first. */
static void run_job(oci_pool *pool, int worker)
{
    for (;;) {
        int64_t first = atomic_fetch_add(&pool->next, pool->grain);
        if (first >= pool->count) return;
        pool->task(pool->user, first, oci_min(first + pool->grain, pool->count), worker);
    }
}

/* Until a job newer than `seen` is there; false when the pool stops. */
static bool wait_for_job(oci_pool *pool, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool->ticket, memory_order_acquire) != seen)
            return !atomic_load(&pool->stop);
        PAUSE();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->ticket) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return !atomic_load(&pool->stop);
}

static void *worker_main(void *argument)
{
    worker_start start = *(worker_start *)argument;
    free(argument);
    unsigned seen = 0;
    while (wait_for_job(start.pool, seen)) {
        seen++;
        run_job(start.pool, start.worker);
        atomic_fetch_sub_explicit(&start.pool->pending, 1, memory_order_release);
    }
    return NULL;
}

/* Raises the ticket and wakes whoever sleeps. Taking the lock orders this after the check of
 * a worker that is about to sleep, so none misses it. */
static void announce(oci_pool *pool)
{
    atomic_fetch_add(&pool->ticket, 1);
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static bool start_worker(oci_pool *pool, int worker)
{
    worker_start *start = malloc(sizeof *start);
    if (!start) return false;
    *start = (worker_start){ pool, worker };
    if (pthread_create(&pool->ids[worker - 1], NULL, worker_main, start) == 0) return true;
    free(start);
    return false;
}

oci_pool *oci_pool_create(oci_heap *heap, int threads, oc_status *status)
{
    oci_pool *pool = aligned_alloc(LINE, sizeof *pool);     /* a multiple of its alignment */
    pthread_t *ids = calloc((size_t)threads, sizeof *ids);
    if (!pool || !ids) {
        free(pool);
        free(ids);
        *status = OC_E_MEMORY;
        return NULL;
    }
    *pool = (oci_pool){ .threads = 1, .heap = oci_heap_ref(heap), .ids = ids };
    atomic_init(&pool->refs, 1);
    atomic_flag_clear(&pool->busy);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    while (pool->threads < threads && start_worker(pool, pool->threads)) pool->threads++;
    if (pool->threads < threads) *status = OC_E_FAILED;
    return pool;
}

oci_pool *oci_pool_ref(oci_pool *pool)
{
    if (pool) atomic_fetch_add(&pool->refs, 1);
    return pool;
}

void oci_pool_unref(oci_pool **pool)
{
    oci_pool *p = *pool;
    *pool = NULL;
    if (!p || atomic_fetch_sub(&p->refs, 1) > 1) return;
    atomic_store(&p->stop, true);
    announce(p);
    for (int i = 1; i < p->threads; i++) pthread_join(p->ids[i - 1], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    free(p->ids);
    oci_heap_unref(&p->heap);
    free(p);
}

int oci_pool_threads(const oci_pool *pool) { return pool ? pool->threads : 1; }

void oci_parallel(oc_context *cx, int64_t count, int64_t grain, oci_task task, void *user)
{
    oci_pool *pool = cx->pool;
    if (count <= 0) return;
    if (grain <= 0) grain = oci_ceil_div(count, oci_pool_threads(pool));
    bool alone = oci_pool_threads(pool) == 1 || count <= grain ||
                 atomic_flag_test_and_set_explicit(&pool->busy, memory_order_acquire);
    if (alone) {
        task(user, 0, count, 0);
        return;
    }
    pool->task = task;
    pool->user = user;
    pool->count = count;
    pool->grain = grain;
    atomic_store(&pool->next, 0);
    atomic_store(&pool->pending, pool->threads - 1);
    announce(pool);
    run_job(pool, 0);
    /* A worker that has not woken yet must still see this job before the next is posted. */
    while (atomic_load_explicit(&pool->pending, memory_order_acquire) > 0) PAUSE();
    atomic_flag_clear_explicit(&pool->busy, memory_order_release);
}
