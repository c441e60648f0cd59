#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/context.h"
#include "base/size.h"

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

/* Workers spin for about 30 us: longer than the serial code between two products of one
 * layer, shorter than anyone notices on an idle core. A caller that waits for the others
 * gives its core away after as long, for they may be waiting for one. */
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
    /* The job. Written while the pool is closed and nobody is inside. */
    oci_task task;
    void *user;
    int64_t count, grain;
    _Alignas(LINE) atomic_uint ticket;      /* number of the newest job */
    atomic_bool open;                       /* workers may join it */
    _Alignas(LINE) atomic_int_fast64_t next;
    _Alignas(LINE) atomic_int inside;       /* workers that have joined and not left */
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

/* Until there is a job newer than *seen, which then is its number;
 * false when the pool stops. */
static bool wait_for_job(oci_pool *pool, unsigned *seen)
{
    unsigned now = *seen;
    for (int i = 0; i < SPINS && now == *seen; i++) {
        PAUSE();
        now = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
    if (now == *seen) {
        pthread_mutex_lock(&pool->lock);
        atomic_fetch_add(&pool->sleepers, 1);
        while ((now = atomic_load(&pool->ticket)) == *seen)
            pthread_cond_wait(&pool->wake, &pool->lock);
        atomic_fetch_sub(&pool->sleepers, 1);
        pthread_mutex_unlock(&pool->lock);
    }
    *seen = now;
    return !atomic_load(&pool->stop);
}

static void *worker_main(void *argument)
{
    worker_start start = *(worker_start *)argument;
    free(argument);
    oci_pool *pool = start.pool;
    unsigned seen = 0;
    while (wait_for_job(pool, &seen)) {
        /* Whoever comes late finds the pool closed and goes back: the caller does
         * not wait for a worker that had no core. Entering before looking, against
         * closing before counting who is inside, leaves no gap (both in
         * sequentially consistent order). */
        atomic_fetch_add(&pool->inside, 1);
        if (atomic_load(&pool->open)) run_job(pool, start.worker);
        atomic_fetch_sub_explicit(&pool->inside, 1, memory_order_release);
    }
    return NULL;
}

/* Raises the ticket and wakes whoever sleeps. Taking the lock orders this after the check
 * of a worker that is about to sleep, so none misses it. */
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
    if (pthread_create(&pool->ids[worker - 1], NULL, worker_main, start) == 0)
        return true;
    free(start);
    return false;
}

oci_pool *oci_pool_create(oci_heap *heap, int threads, oc_status *status)
{
    oci_pool *pool = aligned_alloc(LINE, sizeof *pool);  /* a multiple of its alignment */
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
    atomic_store(&pool->open, true);
    announce(pool);
    run_job(pool, 0);
    atomic_store(&pool->open, false);
    for (int i = 0; atomic_load(&pool->inside) > 0; i++) {
        if (i < SPINS) PAUSE();
        else sched_yield();
    }
    atomic_flag_clear_explicit(&pool->busy, memory_order_release);
}
