/* Worker threads: every index once, whatever the counts; shared pools; clean under
 * ThreadSanitizer. */
#include <pthread.h>

#include "base/pool.h"
#include "base/rng.h"
#include "base_test.h"

enum { MOST_THREADS = 8, MOST_ITEMS = 5000 };

typedef struct job {
    int threads;
    unsigned char seen[MOST_ITEMS];         /* plain: two workers on one index would
                                               race */
    int64_t per_worker[MOST_THREADS];
    atomic_int wrong;
} job;

static void mark(void *user, int64_t first, int64_t last, int worker)
{
    job *j = user;
    if (worker < 0 || worker >= j->threads || first >= last)
        atomic_fetch_add(&j->wrong, 1);
    for (int64_t i = first; i < last; i++) j->seen[i]++;
    j->per_worker[worker] += last - first;
}

static void run_and_check(oc_context *cx, job *j, int64_t count, int64_t grain)
{
    memset(j->seen, 0, sizeof j->seen);
    memset(j->per_worker, 0, sizeof j->per_worker);
    oci_parallel(cx, count, grain, mark, j);
    int64_t sum = 0;
    for (int w = 0; w < MOST_THREADS; w++) sum += j->per_worker[w];
    if (sum != count) fail_msg("%lld items of %lld", (long long)sum, (long long)count);
    for (int64_t i = 0; i < MOST_ITEMS; i++)
        if (j->seen[i] != (i < count))
            fail_msg("item %lld: %d times", (long long)i, j->seen[i]);
    assert_int_equal(atomic_load(&j->wrong), 0);
}

static void every_item_once(void **state)
{
    (void)state;
    static job j;
    oci_rng rng;
    oci_rng_init(&rng, 3, 0);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        oc_context *cx = new_context(threads, 0);
        assert_int_equal(oc_context_threads(cx), threads);
        j.threads = threads;
        static const int64_t counts[] = { 0, 1, 2, 7, 8, 9, 64, 1000, MOST_ITEMS };
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            for (int64_t grain = 0; grain < 20; grain += 3)
                run_and_check(cx, &j, counts[c], grain);
        for (int i = 0; i < 300; i++)
            run_and_check(cx, &j, oci_rng_u32(&rng) % MOST_ITEMS, oci_rng_u32(&rng) % 50);
        end_context(cx);
    }
}

static void nothing(void *user, int64_t first, int64_t last, int worker)
{
    (void)worker;
    atomic_fetch_add((atomic_llong *)user, last - first);
}

/* Jobs one after the other, with pauses in which workers go to sleep now and then. */
static void workers_wake_up(void **state)
{
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        oc_context *cx = new_context(threads, 0);
        atomic_llong sum = 0;
        enum { JOBS = 2000 };
        for (int i = 0; i < JOBS; i++) {
            oci_parallel(cx, 64, 1, nothing, &sum);
            if (i % 20 == 0)
                for (volatile int k = 0; k < i * 50; k++) { }
        }
        assert_int_equal(atomic_load(&sum), JOBS * 64);
        end_context(cx);
    }
}

static void start_and_stop(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        oc_context *cx = new_context(1 + i % MOST_THREADS, 0);
        atomic_llong sum = 0;
        if (i % 2) oci_parallel(cx, 10, 1, nothing, &sum);
        end_context(cx);
    }
}

typedef struct sharer {
    oc_context *cx;
    atomic_llong sum;
} sharer;

static void *share_main(void *user)
{
    sharer *s = user;
    for (int i = 0; i < 500; i++) oci_parallel(s->cx, 100, 3, nothing, &s->sum);
    return NULL;
}

/* Several contexts on one pool, each on a thread of its own: nobody waits for ever, and
 * each gets its own items. */
static void contexts_share_a_pool(void **state)
{
    (void)state;
    enum { SHARERS = 4 };
    oc_context *owner = new_context(4, 0);
    static sharer sharers[SHARERS];
    pthread_t ids[SHARERS];
    for (int i = 0; i < SHARERS; i++) {
        oc_context_options o = { .size = sizeof o, .share = owner };
        sharers[i].cx = oc_context_create(&o);
        atomic_init(&sharers[i].sum, 0);
        assert_int_equal(pthread_create(&ids[i], NULL, share_main, &sharers[i]), 0);
    }
    for (int i = 0; i < SHARERS; i++) {
        pthread_join(ids[i], NULL);
        assert_int_equal(atomic_load(&sharers[i].sum), 500 * 100);
        oc_context_free(sharers[i].cx);
    }
    end_context(owner);
}

/* Freeing on other threads than the one that allocated. */
static void free_all(void *user, int64_t first, int64_t last, int worker)
{
    void **blocks = user;
    (void)worker;
    for (int64_t i = first; i < last; i++) oci_free(blocks[i]);
}

static void any_thread_frees(void **state)
{
    (void)state;
    oc_context *cx = new_context(4, 0);
    static void *blocks[1000];
    for (int i = 0; i < 1000; i++) blocks[i] = oci_alloc(cx, (size_t)i);
    oci_parallel(cx, 1000, 7, free_all, blocks);
    end_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once),
        cmocka_unit_test(workers_wake_up),
        cmocka_unit_test(start_and_stop),
        cmocka_unit_test(contexts_share_a_pool),
        cmocka_unit_test(any_thread_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
