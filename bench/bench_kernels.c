/* The kernels of the CPU backend beside the limits of the machine and beside OpenBLAS and
 * oneDNN, where the build found them. Everything that a ratio compares is measured in
 * turn, in the same rounds, so that load on the machine hits both sides; a figure is the
 * median over the rounds, a share is the median of the rounds' shares.
 *
 *     build/bench/bench_kernels [rounds] [only]    rounds >= 5; only: part of a case's
 *                                                  name
 *
 * Prints Markdown. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/context.h"
#include "base/cpu.h"
#include "base/dtype.h"
#include "base/pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(OCELLI_HAVE_OPENBLAS)
#include <cblas.h>
extern void openblas_set_num_threads(int threads);
#endif
#if defined(OCELLI_HAVE_DNNL)
#include <oneapi/dnnl/dnnl.h>
/* oneDNN's threads are OpenMP's; the runtime comes with it. */
extern void omp_set_num_threads(int threads) __attribute__((weak));
#endif

enum { MAX_ROUNDS = 99, MAX_SIDES = 6 };

static int rounds = 7;
static const char *only = "";
static volatile float sink;

/* ---- limits ------------------------------------------------------------------------ */

#if defined(__x86_64__)
#define CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
/* Twelve chains of fused multiply-adds: more than latency
 * times units of any x86 so far. */
#define FMA_LOOP(name, isa, type, op, first, lanes)                                      \
    __attribute__((target(isa))) static double name(long n)                              \
    {                                                                                    \
        type a = op##set1_ps(0.999f), b = op##set1_ps(0.001f);                           \
        __asm__ volatile("" : "+x"(a), "+x"(b));                                         \
        CHAINS(first)                                                                    \
        for (long i = 0; i < n; i++) { lanes }                                           \
        return (double)n;                                                                \
    }
#define C256(i) __m256 c##i = _mm256_set1_ps((float)i);
#define S256(i) c##i = _mm256_fmadd_ps(c##i, a, b); __asm__ volatile("" : "+x"(c##i));
#define C512(i) __m512 c##i = _mm512_set1_ps((float)i);
#define S512(i) c##i = _mm512_fmadd_ps(c##i, a, b); __asm__ volatile("" : "+v"(c##i));
FMA_LOOP(fma_avx2, "avx2,fma", __m256, _mm256_, C256, CHAINS(S256) CHAINS(S256))
FMA_LOOP(fma_avx512, "avx512f", __m512, _mm512_, C512, CHAINS(S512) CHAINS(S512))

__attribute__((target("avx2"))) static float read_avx2(const float *p, size_t n)
{
    __m256 s[8];
    for (int j = 0; j < 8; j++) s[j] = _mm256_setzero_ps();
    for (size_t i = 0; i + 64 <= n; i += 64)
        for (int j = 0; j < 8; j++)
            s[j] = _mm256_xor_ps(s[j], _mm256_loadu_ps(p + i + (size_t)j * 8));
    for (int j = 1; j < 8; j++) s[0] = _mm256_xor_ps(s[0], s[j]);
    return _mm256_cvtss_f32(s[0]);
}
#endif

static float read_plain(const float *p, size_t n)
{
    const uint64_t *q = (const uint64_t *)(const void *)p;
    uint64_t s = 0;
    for (size_t i = 0; i < n / 2; i++) s ^= q[i];
    return (float)s;
}

typedef struct limit_job {
    oc_isa isa;
    bool avx2;                  /* asked once: cpuid is slow in a virtual machine */
    long steps;
    const float *memory;
    size_t count;
} limit_job;

static void fma_task(void *user, int64_t first, int64_t last, int worker)
{
    const limit_job *j = user;
    (void)worker;
    for (; first < last; first++) {
#if defined(__x86_64__)
        if (j->isa == OC_ISA_AVX512) sink = (float)fma_avx512(j->steps);
        else if (j->avx2) sink = (float)fma_avx2(j->steps);
#endif
    }
}

static void read_task(void *user, int64_t first, int64_t last, int worker)
{
    const limit_job *j = user;
    (void)worker;
#if defined(__x86_64__)
    if (j->avx2) {
        sink = read_avx2(j->memory + first, (size_t)(last - first));
        return;
    }
#endif
    sink = read_plain(j->memory + first, (size_t)(last - first));
}

/* ---- a case: sides that are measured in turn --------------------------------------- */

typedef struct side {
    const char *name;
    void (*run)(void *user);
    void *user;
    double work;                /* GFLOP or GB of a run */
    int repeat;                 /* runs in a sample */
    double rate[MAX_ROUNDS];
} side;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, int n)
{
    double sorted[MAX_ROUNDS];
    memcpy(sorted, values, (size_t)n * sizeof *values);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double sample(side *s)
{
    double t = oci_now();
    for (int i = 0; i < s->repeat; i++) s->run(s->user);
    return oci_now() - t;
}

/* Sides in turn, `rounds` times, each sample about 25 ms. sides[0] is the limit. */
static void measure(const char *what, const char *isa, int threads, const char *unit,
                    side *sides, int count)
{
    for (int i = 0; i < count; i++) {
        sides[i].repeat = 1;
        sample(&sides[i]);
        double t = sample(&sides[i]);
        sides[i].repeat = t > 0.025 ? 1 : (int)(0.025 / (t + 1e-9)) + 1;
        if (sides[i].repeat > 100000) sides[i].repeat = 100000;
    }
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < count; i++)
            sides[i].rate[r] = sides[i].work * sides[i].repeat / sample(&sides[i]);
    printf("| %s | %s | %d | %.1f |", what, isa, threads, median(sides[0].rate, rounds));
    for (int i = 1; i < count; i++) {
        double share[MAX_ROUNDS], best = 0, peak = 0;
        for (int r = 0; r < rounds; r++) {
            share[r] = sides[i].rate[r] / sides[0].rate[r];
            best = fmax(best, sides[i].rate[r]);
            peak = fmax(peak, sides[0].rate[r]);
        }
        printf(" %s %.1f %s, %.0f %% (best %.0f %%) |", sides[i].name,
               median(sides[i].rate, rounds), unit, 100 * median(share, rounds),
               100 * best / peak);
    }
    printf("\n");
    fflush(stdout);
}

static bool wanted(const char *what) { return strstr(what, only) != NULL; }

static float *floats(size_t n)
{
    float *p = aligned_alloc(4096, (n * sizeof *p + 4095) / 4096 * 4096);
    if (!p) {
        fprintf(stderr, "bench_kernels: out of memory\n");
        exit(1);
    }
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (float)(int32_t)x * 0x1p-31f;
    }
    return p;
}

static oc_context *context(oc_isa isa, int threads)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .isa = isa, .threads = threads);
    return oc_context_create(&o);
}

typedef struct limit {
    oc_context *cx;
    limit_job job;
} limit;

static void run_fma(void *user)
{
    limit *l = user;
    oci_parallel(l->cx, 8 * oci_pool_threads(l->cx->pool), 1, fma_task, &l->job);
}

static void run_read(void *user)
{
    limit *l = user;
    oci_parallel(l->cx, (int64_t)l->job.count, 1 << 20, read_task, &l->job);
}

static side fma_side(limit *l, oc_context *cx, oc_isa isa, int threads)
{
    *l = (limit){ cx, { .isa = isa, .avx2 = oci_cpu_has_isa(OC_ISA_AVX2),
                        .steps = 10000 } };
    double flop = 2.0 * 24 * (isa == OC_ISA_AVX512 ? 16 : 8) * 1e4 * 8 * threads;
    return (side){ .name = "peak", .run = run_fma, .user = l, .work = flop / 1e9 };
}

/* ---- linear layers ----------------------------------------------------------------- */

typedef struct linear_case {
    oc_context *cx;
    const oci_backend *backend;
    oci_linear_args args;
    int matrices, next;         /* different weights in turn, so that they come
                                   from memory */
    size_t panel_bytes;
    const char *all_panels;
    const float *plain;         /* [N, K], for the others */
    size_t plain_count;
} linear_case;

static void run_linear(void *user)
{
    linear_case *c = user;
    c->args.panels = c->all_panels + (size_t)c->next * c->panel_bytes;
    c->next = (c->next + 1) % c->matrices;
    c->backend->linear(c->cx, &c->args);
}

#if defined(OCELLI_HAVE_OPENBLAS)
static void run_openblas(void *user)
{
    linear_case *c = user;
    const oci_linear_args *a = &c->args;
    const float *w = c->plain + (size_t)c->next * c->plain_count;
    int M = (int)a->M, N = (int)a->N, K = (int)a->K;
    c->next = (c->next + 1) % c->matrices;
    if (M == 1)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, N, K, 1, w, K, a->x, 1, 0, a->y, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, 1, a->x, K, w, K, 0,
                    a->y, N);
}
#endif

#if defined(OCELLI_HAVE_DNNL)
static void run_dnnl(void *user)
{
    linear_case *c = user;
    const oci_linear_args *a = &c->args;
    const float *w = c->plain + (size_t)c->next * c->plain_count;
    c->next = (c->next + 1) % c->matrices;
    dnnl_sgemm('N', 'T', a->M, a->N, a->K, 1, a->x, a->K, w, a->K, 0, a->y, a->N);
}
#endif

static void set_peers_threads(int threads)
{
    (void)threads;
#if defined(OCELLI_HAVE_OPENBLAS)
    openblas_set_num_threads(threads);
#endif
#if defined(OCELLI_HAVE_DNNL)
    if (omp_set_num_threads) omp_set_num_threads(threads);
#endif
}

/* Panels of the numbers of w [N, K], `matrices` times. */
static char *pack_weights(oc_context *cx, const oci_backend *backend, oc_dtype dtype,
                          int64_t N, int64_t K, const float *w, int matrices)
{
    size_t count = (size_t)(N * K), bytes = backend->packed_bytes(dtype, N, K);
    /* Not touched before they are packed, as in the library. */
    char *panels = aligned_alloc(64, (bytes * (size_t)matrices + 63) / 64 * 64);
    if (!panels) exit(1);
    uint16_t *half = (uint16_t *)floats(count / 2 + 1);
    if (dtype == OC_BF16 || dtype == OC_F16) oci_dtype_from_f32(dtype, w, half, count);
    for (int m = 0; m < matrices; m++) {
        char *to = panels + (size_t)m * bytes;
        if (oci_dtype_is_blocks(dtype)) {
            if (m == 0) backend->quantise(cx, dtype, OC_F32, N, K, w, K, 1, to);
            else memcpy(to, panels, bytes);
        } else {
            backend->pack(cx, dtype, N, K, dtype == OC_F32 ? (const void *)w : half, K, 1,
                          to);
        }
    }
    free(half);
    return panels;
}

/* `memory` true: rates in GB/s of weights against reading memory;
 * else GFLOP/s against FMA. */
static void bench_linear(oc_isa isa, int threads, oc_dtype dtype, oc_dtype arithmetic,
                         int64_t M, int64_t N, int64_t K, int matrices, bool memory)
{
    char what[96];
    snprintf(what, sizeof what, "%s %s%s%s %lldx%lldx%lld%s",
             memory ? "matvec" : "linear", oci_dtype_name(dtype),
             arithmetic == OC_F32 ? "" : " in ",
             arithmetic == OC_F32 ? "" : oci_dtype_name(arithmetic), (long long)M,
             (long long)N, (long long)K, matrices > 1 ? " (many)" : "");
    if (!wanted(what)) return;
    oc_context *cx = context(isa, threads);
    const oci_backend *backend = oci_cpu_backend(isa);
    size_t count = (size_t)(N * K), panel_bytes = backend->packed_bytes(dtype, N, K);
    float *x = floats((size_t)(M * K)), *y = floats((size_t)(M * N));
    /* The others read it where it is: as many as there are panels. */
    float *w = floats(count * (size_t)(dtype == OC_F32 ? matrices : 1));
    char *panels = pack_weights(cx, backend, dtype, N, K, w, matrices);
    linear_case c = {
        .cx = cx, .backend = backend, .matrices = matrices, .panel_bytes = panel_bytes,
        .all_panels = panels, .plain = w, .plain_count = count,
        .args = { .M = M, .N = N, .K = K, .x = x, .ldx = K, .dtype = dtype,
                  .arithmetic = arithmetic, .y = y, .ldy = N },
    };
    double work = memory ? (double)panel_bytes / 1e9 : 2e-9 * (double)(M * N * K);
    limit l;
    side sides[MAX_SIDES] = { fma_side(&l, cx, isa, threads) };
    if (memory) {
        l.job.memory = (const float *)(void *)panels;
        l.job.count = panel_bytes * (size_t)matrices / 4;
        sides[0].run = run_read;
        sides[0].work = (double)l.job.count * 4e-9;
    }
    int n = 1;
    sides[n++] = (side){ .name = "ocelli", .run = run_linear, .user = &c, .work = work };
    if (dtype == OC_F32) {
        set_peers_threads(threads);
#if defined(OCELLI_HAVE_OPENBLAS)
        sides[n++] =
            (side){ .name = "OpenBLAS", .run = run_openblas, .user = &c, .work = work };
#endif
#if defined(OCELLI_HAVE_DNNL)
        sides[n++] =
            (side){ .name = "oneDNN", .run = run_dnnl, .user = &c, .work = work };
#endif
    }
    measure(what, oci_isa_name(isa), threads, memory ? "GB/s" : "GFLOP/s", sides, n);
    free(x);
    free(y);
    free(w);
    free(panels);
    oc_context_free(cx);
}

/* The products of a language model of 7 billion weights: a token, four beside each other,
 * a prompt; with weights as they may be kept and what may be computed with them. */
static void bench_language(oc_isa isa, int threads)
{
    static const struct { int64_t N, K; } shapes[] = {
        { 4096, 4096 }, { 11008, 4096 }, { 4096, 11008 }, { 32064, 4096 },
    };
    static const struct { oc_dtype dtype, arithmetic; } ways[] = {
        { OC_BF16, OC_F32 }, { OC_BF16, OC_BF16 }, { OC_INT8, OC_F32 },
        { OC_INT8, OC_INT8 }, { OC_INT8_CHANNEL, OC_F32 }, { OC_INT8_CHANNEL, OC_INT8 },
        { OC_INT4, OC_F32 }, { OC_INT4, OC_INT8 },
    };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            oc_dtype d = ways[i].dtype, a = ways[i].arithmetic;
            int64_t N = shapes[s].N, K = shapes[s].K;
            int many = (int)((1 << 28) / (N * K)) + 2;  /* beyond every cache */
            bench_linear(isa, threads, d, a, 1, N, K, many, true);
            bench_linear(isa, threads, d, a, 4, N, K, many, true);
            if (s < 2) bench_linear(isa, threads, d, a, 640, N, K, 1, false);
        }
}

/* ---- attention --------------------------------------------------------------------- */

typedef struct attention_case {
    oc_context *cx;
    const oci_backend *backend;
    oci_attention_args args;
} attention_case;

static void run_attention(void *user)
{
    attention_case *c = user;
    c->backend->attention(c->cx, &c->args);
}

static void bench_attention(oc_isa isa, int threads, int64_t T, int64_t heads,
                            bool causal)
{
    char what[96];
    snprintf(what, sizeof what, "attention %lld tokens, %lld heads x 64%s", (long long)T,
             (long long)heads, causal ? ", causal" : "");
    if (!wanted(what)) return;
    oc_context *cx = context(isa, threads);
    int64_t width = heads * 64;
    float *qkv = floats((size_t)(3 * T * width)), *out = floats((size_t)(T * width));
    attention_case c = { cx, oci_cpu_backend(isa), {
        .B = 1, .Tq = T, .Tk = T, .heads = heads, .kv_heads = heads,
        .head_dim = 64, .q = qkv, .q_row = width,
        .k = qkv + T * width, .v = qkv + 2 * T * width, .kv_row = width, .scale = 0.125f,
        .causal = causal, .out = out, .out_row = width,
    } };
    limit l;
    side sides[2] = { fma_side(&l, cx, isa, threads) };
    double flop = 4e-9 * (double)(T * T * width) / (causal ? 2 : 1);
    sides[1] = (side){ .name = "ocelli", .run = run_attention, .user = &c, .work = flop };
    measure(what, oci_isa_name(isa), threads, "GFLOP/s", sides, 2);
    free(qkv);
    free(out);
    oc_context_free(cx);
}

/* One new token against caches of `rows` beams. */
static void bench_decode(oc_isa isa, int threads, int64_t rows, int64_t heads, int64_t Tk)
{
    char what[96];
    snprintf(what, sizeof what, "decode %lld rows, %lld keys, %lld heads x 64",
             (long long)rows, (long long)Tk, (long long)heads);
    if (!wanted(what)) return;
    oc_context *cx = context(isa, threads);
    const oci_backend *backend = oci_cpu_backend(isa);
    int64_t P = backend->panel, room = (Tk + P - 1) / P * P, width = heads * 64;
    size_t count = (size_t)(rows * room * width);
    float *q = floats((size_t)(rows * width)), *out = floats((size_t)(rows * width));
    float *both = floats(2 * count);
    oci_kv kv = { .rows = rows, .heads = heads, .head_dim = 64, .room = room,
                  .dtype = OC_F32, .keys = both, .values = both + count };
    attention_case c = { cx, backend, {
        .B = rows, .Tq = 1, .Tk = Tk, .heads = heads, .kv_heads = heads,
        .head_dim = 64, .q = q, .q_row = width,
        .kv = &kv, .scale = 0.125f, .causal = true, .out = out, .out_row = width,
    } };
    limit l;
    side sides[2] = { fma_side(&l, cx, isa, threads) };
    l.job.memory = both;
    l.job.count = 2 * count;
    sides[0].run = run_read;
    sides[0].work = (double)count * 8e-9;
    sides[1] = (side){ .name = "ocelli", .run = run_attention, .user = &c,
                       .work = (double)(rows * Tk * width) * 8e-9 };
    measure(what, oci_isa_name(isa), threads, "GB/s", sides, 2);
    free(q);
    free(out);
    free(both);
    oc_context_free(cx);
}

/* ---- rows and elements ------------------------------------------------------------- */

typedef struct row_case {
    oc_context *cx;
    const oci_backend *backend;
    int kind;                   /* 0 layer_norm, 1 softmax, 2.. activate */
    int64_t rows, width;
    const float *x, *gamma, *beta;
    float *y;
} row_case;

static void run_rows(void *user)
{
    row_case *c = user;
    if (c->kind == 0)
        c->backend->layer_norm(c->cx, c->rows, c->width, c->x, c->gamma, c->beta, 1e-5f,
                               c->y, NULL, NULL);
    else if (c->kind == 1) c->backend->softmax(c->cx, c->rows, c->width, c->x, c->y);
    else
        c->backend->activate(c->cx, (oci_act)(c->kind - 1), c->rows * c->width, c->x,
                             c->y);
}

static void run_copy(void *user)
{
    row_case *c = user;
    memcpy(c->y, c->x, (size_t)(c->rows * c->width) * sizeof(float));
}

/* Against copying the same numbers. */
static void bench_rows(oc_isa isa, int threads, int kind, const char *what)
{
    if (!wanted(what)) return;
    oc_context *cx = context(isa, threads);
    int64_t rows = 197, width = 768;
    float *x = floats((size_t)(rows * width)), *y = floats((size_t)(rows * width));
    float *gamma = floats((size_t)(2 * width));
    row_case c = {
        cx, oci_cpu_backend(isa), kind, rows, width, x, gamma, gamma + width, y
    };
    double gb = (double)(rows * width) * 8e-9;
    side sides[2] = {
        { .name = "copy", .run = run_copy, .user = &c, .work = gb },
        { .name = "ocelli", .run = run_rows, .user = &c, .work = gb },
    };
    measure(what, oci_isa_name(isa), threads, "GB/s", sides, 2);
    free(x);
    free(y);
    free(gamma);
    oc_context_free(cx);
}

static void bench_isa(oc_isa isa, int threads)
{
    static const struct { int64_t M, N, K; } products[] = {
        { 1024, 1024, 1024 }, { 197, 768, 768 }, { 197, 3072, 768 }, { 197, 768, 3072 },
        { 577, 768, 768 },
    };
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        bench_linear(isa, threads, OC_F32, OC_F32, products[i].M, products[i].N,
                     products[i].K, 1, false);
    bench_linear(isa, threads, OC_BF16, OC_F32, 197, 3072, 768, 1, false);
    bench_linear(isa, threads, OC_F16, OC_F32, 197, 3072, 768, 1, false);
    for (int dtype = 0; dtype < 2; dtype++) {
        oc_dtype d = dtype ? OC_BF16 : OC_F32;
        bench_linear(isa, threads, d, OC_F32, 1, 50265, 1024, 1, true);
        bench_linear(isa, threads, d, OC_F32, 1, 1024, 1024, 64 << dtype, true);
        bench_linear(isa, threads, d, OC_F32, 1, 4096, 1024, 16 << dtype, true);
        bench_linear(isa, threads, d, OC_F32, 4, 4096, 1024, 16 << dtype, true);
        bench_linear(isa, threads, d, OC_F32, 8, 4096, 1024, 16 << dtype, true);
    }
    bench_language(isa, threads);
    bench_attention(isa, threads, 197, 12, false);
    bench_attention(isa, threads, 577, 12, false);
    bench_attention(isa, threads, 257, 4, false);
    bench_attention(isa, threads, 512, 12, true);
    bench_decode(isa, threads, 32, 16, 512);
    bench_rows(isa, threads, 0, "layer_norm 197x768");
    bench_rows(isa, threads, 1, "softmax 197x768");
    bench_rows(isa, threads, 1 + OCI_ACT_GELU, "gelu 197x768");
    bench_rows(isa, threads, 1 + OCI_ACT_QUICK_GELU, "quick_gelu 197x768");
}

int main(int argc, char **argv)
{
    if (argc > 1) rounds = (int)strtol(argv[1], NULL, 10);
    if (argc > 2) only = argv[2];
    if (rounds < 5 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: bench_kernels [rounds 5..%d] [part of a case's name]\n",
                MAX_ROUNDS);
        return 2;
    }
    printf("Shares: of the FMA peak (linear, attention), of reading memory (matvec, decode),\n"
           "of copying by one thread (the rest), each measured in the same round. %d "
           "rounds.\n\n"
           "| case | isa | threads | limit | ocelli, median | OpenBLAS | oneDNN |\n"
           "|---|---|---|---|---|---|---|\n", rounds);
    const char *isas = getenv("BENCH_ISA") ? getenv("BENCH_ISA") : "avx512 avx2";
    for (oc_isa isa = OC_ISA_AVX512; isa >= OC_ISA_AVX2; isa--)
        for (int threads = 1; threads <= 2; threads++)
            if (oci_cpu_has_isa(isa) && strstr(isas, oci_isa_name(isa)))
                bench_isa(isa, threads);
    return 0;
}
