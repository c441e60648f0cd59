/* One f32 product of the CPU backend, as a server beside peers_gemm.py (README.md).
 *
 *     echo gemm-197x768x768 3 20 | build/bench/bench_products --threads 1
 *
 * Requests: gemm-MxNxK WARM REPEAT. The weight is packed beforehand, as a
 * model's are. The answer has each run's ms, and GFLOP/s of the least. Without a
 * terminal or input it ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "base/context.h"
#include "tensor/tensor.h"

enum { MAX_SIDE = 8192, MAX_REPEAT = 1000 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static float *numbers(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
    uint32_t x = 1;
    for (size_t i = 0; p && i < n; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (float)(int32_t)x * 0x1p-31f;
    }
    return p;
}

static void print_times(const char *request, const oci_linear_args *a, const double *ms,
                        int n)
{
    double least = ms[0];
    printf("{\"work\": \"%s\", \"ms\": [", request);
    for (int i = 0; i < n; i++) {
        printf("%s%.5f", i ? ", " : "", ms[i]);
        if (ms[i] < least) least = ms[i];
    }
    printf("], \"gflops\": %.2f}\n", 2e-6 * (double)(a->M * a->N * a->K) / least);
}

static bool time_product(oc_context *cx, const char *name, int warm, int repeat)
{
    long long M, N, K;
    double ms[MAX_REPEAT];
    if (sscanf(name, "gemm-%lldx%lldx%lld", &M, &N, &K) != 3 || M < 1 || N < 1 || K < 1 ||
        M > MAX_SIDE || N > MAX_SIDE || K > MAX_SIDE || repeat < 1 || repeat > MAX_REPEAT)
        return false;
    const oci_backend *backend = oci_backend_get(cx);
    float *x = numbers((size_t)(M * K)), *w = numbers((size_t)(N * K));
    float *y = numbers((size_t)(M * N));
    float *panels = numbers(backend->packed_bytes(OC_F32, N, K) / sizeof *panels + 16);
    bool ok = x && w && y && panels;
    if (ok) {
        oci_linear_args a = { .M = M, .N = N, .K = K, .x = x, .ldx = K, .dtype = OC_F32,
                              .panels = panels, .y = y, .ldy = N };
        backend->pack(cx, OC_F32, N, K, w, K, 1, panels);
        for (int i = 0; i < warm; i++) backend->linear(cx, &a);
        for (int i = 0; i < repeat; i++) {
            double start = now_ms();
            backend->linear(cx, &a);
            ms[i] = now_ms() - start;
        }
        print_times(name, &a, ms, repeat);
    }
    free(x);
    free(w);
    free(y);
    free(panels);
    return ok;
}

int main(int argc, char **argv)
{
    static const char *const isas[] = { "auto", "generic", "avx2", "avx512" };
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--threads")) o.threads = (int)strtol(argv[i + 1], NULL, 10);
        for (int j = 0; j < 4 && !strcmp(argv[i], "--isa"); j++)
            if (!strcmp(argv[i + 1], isas[j])) o.isa = (oc_isa)j;
    }
    oc_context *cx = oc_context_create(&o);
    oc_machine machine;
    if (oc_measure_machine(cx, &machine) != OC_OK) {
        fprintf(stderr, "bench_products: %s\n", oc_context_message(cx));
        oc_context_free(cx);
        return 1;
    }
    printf("{\"who\": \"ocelli-products\", \"isa\": \"%s\", \"threads\": %d, "
           "\"fma_gflops\": %.2f, \"read_gbps\": %.2f}\n", oc_context_isa(cx),
           oc_context_threads(cx), machine.fma_gflops, machine.read_gbps);
    char request[128], name[64];
    fflush(stdout);
    while (fgets(request, sizeof request, stdin)) {
        int warm = 0, repeat = 1;
        if (sscanf(request, "%63s %d %d", name, &warm, &repeat) < 1) continue;
        if (!time_product(cx, name, warm, repeat))
            printf("{\"error\": \"expected gemm-MxNxK WARM REPEAT\"}\n");
        fflush(stdout);
    }
    oc_context_free(cx);
    return 0;
}
