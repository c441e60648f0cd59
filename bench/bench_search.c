/* Exact search in a large index, f32 and int8, beside what
 * memory gives in the same moment.
 *
 *     build/bench/bench_search FOLDER [threads] [pictures] [width] [rounds]
 *
 * FOLDER gets the two indexes (3 GB for a million of 512) and keeps them for the next
 * time. The vectors are made up, of length 1: points around cluster centres, as far from
 * them as those lie apart, a thousand to a cluster; queries are other points of the same
 * clusters. Prints Markdown: medians over the rounds, one query a run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/context.h"
#include "base/cpu.h"
#include "embed/index.h"

enum { TOP = 10, QUERIES = 100, MAX_ROUNDS = 99, A_CLUSTER = 1000 };

/* A number of about normal distribution that `x` fixes: splitmix64's bits,
 * four of 16 added. */
static float normal(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    int sum = (int)(x & 0xffff) + (int)(x >> 16 & 0xffff) + (int)(x >> 32 & 0xffff) +
              (int)(x >> 48);
    return (float)(sum - 2 * 65535) / 37837;      /* 65536 sqrt(4 / 12) */
}

static void make_vector(uint64_t cluster, uint64_t number, size_t width, float *v)
{
    double square = 0;
    for (size_t i = 0; i < width; i++) {
        v[i] = normal(cluster << 24 | i) + normal((number + 1) << 24 | 1 << 20 | i);
        square += (double)v[i] * (double)v[i];
    }
    for (size_t i = 0; i < width; i++) v[i] /= (float)sqrt(square);
}

typedef struct source {
    size_t width;
    oci_index_kind kind;
    const oc_index *exact;      /* where it comes from; NULL: made up */
    float *v;
} source;

static void give(oc_context *cx, void *user, size_t index, void *record)
{
    source *s = user;
    (void)cx;
    if (s->exact) oc_index_vector(s->exact, index, s->v);
    else make_vector(index / A_CLUSTER, index, s->width, s->v);
    oci_index_encode(s->kind, s->width, s->v, record);
}

/* Opens FOLDER/name, making it if it is not there. */
static oc_index *get_index(oc_context *cx, const char *folder, oci_index_kind kind,
                           size_t count, size_t width, const oc_index *exact)
{
    char path[1024], name[24];
    snprintf(path, sizeof path, "%s/search-%zux%zu-%s.idx", folder, count, width,
             kind == OCI_INDEX_F32 ? "f32" : "int8");
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "making %s\n", path);
        source s = { width, kind, exact, malloc(width * sizeof(float)) };
        oci_listed *files = calloc(count, sizeof *files);
        char *room = malloc(count * sizeof name);
        if (!s.v || !files || !room) return NULL;
        for (size_t i = 0; i < count; i++) {
            files[i].path = room + i * sizeof name;
            snprintf(files[i].path, sizeof name, "%012zu", i);
        }
        oci_index_writer w = { .header = { .kind = (uint32_t)kind,
                                           .width = (uint32_t)width,
                                           .count = count },
                               .model_name = "bench",
                               .files = files,
                               .record = give,
                               .user = &s };
        oci_index_write(cx, &w, path);
        free(room);
        free(files);
        free(s.v);
    }
    return oc_index_open(cx, path, NULL);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double recall(oc_context *cx, const oc_index *exact, const oc_index *bytes,
                     const float *queries)
{
    static oc_hit a[QUERIES * TOP], b[QUERIES * TOP];
    int same = 0;
    oc_index_search(cx, exact, queries, QUERIES, TOP, a);
    oc_index_search(cx, bytes, queries, QUERIES, TOP, b);
    for (int q = 0; q < QUERIES; q++)
        for (int i = 0; i < TOP; i++)
            for (int k = 0; k < TOP; k++)
                same += a[q * TOP + i].picture == b[q * TOP + k].picture;
    return (double)same / (QUERIES * TOP);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_search FOLDER [threads] [pictures] [width] "
                        "[rounds]\n");
        return 2;
    }
    int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 2;
    int rounds = argc > 5 ? (int)strtol(argv[5], NULL, 10) : 9;
    size_t count = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000;
    size_t width = argc > 4 ? strtoull(argv[4], NULL, 10) : 512;
    oc_context *cx = oc_context_create(
        &OC_OPTIONS(oc_context_options, .threads = threads));
    if (rounds > MAX_ROUNDS) rounds = MAX_ROUNDS;
    oc_index *index[2] = { get_index(cx, argv[1], OCI_INDEX_F32, count, width, NULL),
                           NULL };
    index[1] = index[0] ? get_index(cx, argv[1], OCI_INDEX_I8, count, width, index[0])
                        : NULL;
    float *queries = malloc(QUERIES * width * sizeof *queries);
    if (!index[1] || !queries) {
        fprintf(stderr, "bench_search: %s\n", oc_context_message(cx));
        return 1;
    }
    for (size_t q = 0; q < QUERIES; q++)
        make_vector(count / A_CLUSTER * q / QUERIES, count + q, width,
                    queries + q * width);
    static double read[MAX_ROUNDS], rate[2][MAX_ROUNDS], share[2][MAX_ROUNDS];
    for (int r = 0; r < rounds; r++) {
        oc_machine machine = { 0 };
        oc_hit hits[TOP];
        oc_measure_machine(cx, &machine);
        read[r] = machine.read_gbps;
        for (int k = 0; k < 2; k++) {
            double start = oci_now();
            oc_index_search(cx, index[k], queries + (size_t)(r % QUERIES) * width, 1, TOP,
                            hits);
            rate[k][r] = (double)count / (oci_now() - start) / 1e6;
            share[k][r] = rate[k][r] * (double)(width * (k ? 1 : 4)) / 1e3 / read[r];
        }
    }
    double of[2] = { median(rate[0], rounds), median(rate[1], rounds) };
    printf("| %s, %d threads | %zu x %zu | read %.1f GB/s | f32 %.1f M/s, %.0f %% of "
           "reading | int8 %.1f M/s, %.0f %%, %.2f x f32 | recall@%d %.4f |\n",
           oc_context_isa(cx), threads, count, width, median(read, rounds), of[0],
           100 * median(share[0], rounds), of[1], 100 * median(share[1], rounds),
           of[1] / of[0], TOP, recall(cx, index[0], index[1], queries));
    oc_index_close(index[0]);
    oc_index_close(index[1]);
    free(queries);
    oc_context_free(cx);
    return 0;
}
