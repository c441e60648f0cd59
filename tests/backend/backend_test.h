/* What the tests of the kernels share. Every test body is a function of a context, run
 * once for each ISA that this CPU has. */
#ifndef TESTS_BACKEND_TEST_H
#define TESTS_BACKEND_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/context.h"
#include "base/cpu.h"
#include "base/dtype.h"

typedef struct under_test {
    oc_isa isa;
    oc_context *cx;
    const oci_backend *be;
} under_test;

static inline oc_context *make_context(oc_isa isa, int threads)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .isa = isa, .threads = threads);
    oc_context *cx = oc_context_create(&o);
    assert_non_null(cx);
    assert_int_equal(oc_context_status(cx), OC_OK);
    return cx;
}

static inline void each_isa(void (*test)(const under_test *t), int threads)
{
    for (oc_isa isa = OC_ISA_GENERIC; isa <= OC_ISA_AVX512; isa++) {
        if (!oci_cpu_has_isa(isa)) {
            printf("skipped: this CPU has no %s\n", oci_isa_name(isa));
            continue;
        }
        printf("%s: tested\n", oci_isa_name(isa));
        under_test t = { isa, make_context(isa, threads), oci_cpu_backend(isa) };
        test(&t);
        assert_int_equal(oc_context_status(t.cx), OC_OK);
        oc_context_free(t.cx);
    }
}

/* ---- numbers ----------------------------------------------------------------------- */

static uint32_t random_state = 1;

static inline uint32_t random_bits(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

/* Uniform in [-1, 1). */
static inline float random_float(void) { return (float)random_bits() * 0x1p-23f - 1; }

static inline void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = random_float();
}

/* The chain that backend.h demands; without FMA the generic kernels round twice. */
static inline float chain(oc_isa isa, int64_t K, const float *a, int64_t a_step,
                          const float *b, int64_t b_step)
{
    float sum = 0;
    for (int64_t k = 0; k < K; k++)
        sum = isa == OC_ISA_GENERIC ? sum + a[k * a_step] * b[k * b_step]
                                    : fmaf(a[k * a_step], b[k * b_step], sum);
    return sum;
}

static inline bool same_bits(const float *a, const float *b, int64_t n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* Distance in units of the last place of the exact value. */
static inline double ulps(float y, long double exact)
{
    if (isnan(y) && isnan(exact)) return 0;
    if (isinf(y) || isinf((float)exact)) return y == (float)exact ? 0 : INFINITY;
    if (isnan(y) || isnan(exact)) return INFINITY;
    int e;
    frexpl(exact, &e);
    if (exact == 0 || e < -125) e = -125;
    return (double)(fabsl((long double)y - exact) / ldexpl(1, e - 24));
}

/* ---- memory with guards ------------------------------------------------------------ */

enum { GUARD = 64 };            /* floats on either side of every output */
#define GUARD_VALUE 123456.75f

/* n floats, all GUARD_VALUE, as are those around them. */
static inline float *guarded(int64_t n)
{
    float *p = malloc((size_t)(n + 2 * GUARD) * sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < n + 2 * GUARD; i++) p[i] = GUARD_VALUE;
    return p + GUARD;
}

/* Frees; fails if something was written outside of rows [rows, width] that are `stride`
 * apart. */
static inline void free_guarded(float *p, int64_t rows, int64_t width, int64_t stride)
{
    int64_t n = rows * stride;
    for (int64_t i = -GUARD; i < n + GUARD; i++)
        if (i < 0 || i >= n || i % stride >= width)
            assert_true(p[i] == GUARD_VALUE);
    free(p - GUARD);
}

static inline float *floats(int64_t n)
{
    float *p = malloc((size_t)(n + 1) * sizeof *p);
    assert_non_null(p);
    fill(p, n);
    return p;
}

/* 64-byte aligned, as weights are in the library. */
static inline void *panels_of(const under_test *t, oc_dtype dtype, int64_t N, int64_t K,
                              const void *w, int64_t row, int64_t col)
{
    size_t size = t->be->packed_bytes(dtype, N, K);
    void *p = aligned_alloc(64, (size + 127) / 64 * 64);
    assert_non_null(p);
    t->be->pack(t->cx, dtype, N, K, w, row, col, p);
    return p;
}

#endif
