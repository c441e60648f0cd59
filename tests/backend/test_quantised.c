/* Weights in blocks: rounding, rows read back, products in f32 and in INT8
 * arithmetic, against plain loops over what the packed bytes say, bit for bit where
 * backend.h fixes the order. */
#include "backend_test.h"

static const oc_dtype dtypes[] = { OC_INT8, OC_INT8_CHANNEL, OC_INT4 };

/* W, as floats, and its packed bytes; the caller frees both. */
typedef struct weights {
    int64_t N, K;
    float *w, *rows;            /* as given, and as unpack_row gives them back */
    void *panels;
} weights;

static void *quantised(const under_test *t, oc_dtype dtype, int64_t N, int64_t K,
                       const float *w)
{
    size_t size = t->be->packed_bytes(dtype, N, K);
    assert_int_equal(size % 64, 0);
    void *p = aligned_alloc(64, size + 64);
    assert_non_null(p);
    memset(p, 0xa5, size + 64);
    t->be->quantise(t->cx, dtype, OC_F32, N, K, w, K, 1, p);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(((unsigned char *)p)[size + i], 0xa5);
    return p;
}

static weights make_weights(const under_test *t, oc_dtype dtype, int64_t N, int64_t K)
{
    weights a = { N, K, floats(N * K), floats(N * K), NULL };
    a.panels = quantised(t, dtype, N, K, a.w);
    for (int64_t n = 0; n < N; n++)
        t->be->unpack_row(dtype, N, K, a.panels, n, a.rows + n * K);
    return a;
}

static void free_weights(weights *a)
{
    free(a->w);
    free(a->rows);
    free(a->panels);
}

/* ---- rounding ---------------------------------------------------------------------- */

/* Largest and smallest of block b of a row. */
static void range_of(const float *row, int64_t K, int64_t b, float *low, float *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t k = b * 32; k < K && k < b * 32 + 32; k++) {
        *low = fminf(*low, row[k]);
        *high = fmaxf(*high, row[k]);
    }
}

/* What rounding to the nearest of 16 numbers between a block's
 * ends would leave, squared. */
static double plain_error(const float *row, int64_t K, int64_t b, float low, float high)
{
    double sum = 0, scale = ((double)high - low) / 15;
    for (int64_t k = b * 32; k < K && k < b * 32 + 32; k++) {
        double q = scale > 0 ? rint((row[k] - low) / scale) : 0,
               off = q * scale + low - row[k];
        sum += off * off;
    }
    return sum;
}

/* Every weight is off by half a scale at most; bf16's rounding of the scale moves
 * the largest by a quarter more of it than its place, which is within. INT4 cuts
 * ranges where that lowers the sum of squares: never above what the whole range
 * gives, but for bf16's rounding. */
static void expect_rounded(oc_dtype dtype, int64_t K, const float *w, const float *back)
{
    float low, high, most = 0;
    for (int64_t k = 0; k < K; k++) most = fmaxf(most, fabsf(w[k]));
    for (int64_t b = 0; b * 32 < K; b++) {
        range_of(w, K, b, &low, &high);
        double scale = fmax(fabs((double)low), fabs((double)high)) / 127, sum = 0;
        if (dtype == OC_INT8_CHANNEL) scale = (double)most / 127;
        for (int64_t k = b * 32; k < K && k < b * 32 + 32; k++) {
            double off = fabs((double)w[k] - back[k]);
            sum += off * off;
            if (dtype != OC_INT4) assert_true(off <= scale * 0.503 + 0x1p-126);
        }
        if (dtype != OC_INT4) continue;
        double least = plain_error(w, K, b, low, high);
        double fuzz = 32 * pow(fmax(fabs((double)low), fabs((double)high)) * 0x1p-8, 2);
        if (sum > 1.02 * least + fuzz + 0x1p-240)
            fail_msg("block %lld: %g, plain rounding %g", (long long)b, sum, least);
    }
}

static void rounding(const under_test *t)
{
    static const float sizes[] = { 1, 1e-3f, 1e-36f, 1e-44f, 1e30f };
    for (size_t d = 0; d < 3; d++)
        for (int64_t N = 1; N <= 70; N += 23)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                int64_t K = N % 2 ? 203 : 64;
                float *w = floats(N * K), *row = guarded(K);
                for (int64_t i = 0; i < N * K; i++) {
                    w[i] *= sizes[s];
                    if (i / 32 % 5 == 1) w[i] = 0;
                    if (i / 32 % 7 == 2) w[i] = sizes[s];
                }
                void *p = quantised(t, dtypes[d], N, K, w);
                for (int64_t n = 0; n < N; n++) {
                    t->be->unpack_row(dtypes[d], N, K, p, n, row);
                    expect_rounded(dtypes[d], K, w + n * K, row);
                    for (int64_t k = 0; k < K / 32 * 32; k++)       /* blocks of zeros */
                        if (w[n * K + k] == 0)
                            assert_true(fabsf(row[k]) <= sizes[s] * 0.1f);
                }
                free_guarded(row, 1, K, K);
                free(w);
                free(p);
            }
}

static void test_rounding(void **state)
{
    (void)state;
    each_isa(rounding, 2);
}

/* A block of zeros comes back as zeros, and outliers cost their own block alone. */
static void zeros_and_outliers(const under_test *t)
{
    enum { N = 17, K = 128 };
    float w[N * K], row[K];
    for (size_t d = 0; d < 3; d++) {
        fill(w, N * K);
        for (int k = 32; k < 64; k++) w[5 * K + k] = 0;
        w[5 * K + 70] = 1e38f;
        w[5 * K + 71] = -1e38f;
        void *p = quantised(t, dtypes[d], N, K, w);
        t->be->unpack_row(dtypes[d], N, K, p, 5, row);
        for (int k = 32; k < 64; k++) assert_true(row[k] == 0);
        assert_true(fabsf(row[70] / 1e38f - 1) < 0.08f &&
                    fabsf(row[71] / 1e38f + 1) < 0.08f);
        for (int k = 0; k < K; k++) assert_true(isfinite(row[k]));
        for (int k = 0; k < 32 && dtypes[d] != OC_INT8_CHANNEL; k++)
            assert_true(fabsf(row[k] - w[5 * K + k]) < 0.2f);
        free(p);
    }
}

static void test_zeros_and_outliers(void **state)
{
    (void)state;
    each_isa(zeros_and_outliers, 1);
}

/* A NaN or an infinity makes its block, or its channel, NaN: nothing that looks like a
 * number comes of it, and nothing else is touched. */
static void not_numbers(const under_test *t)
{
    enum { N = 33, K = 96 };
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    float w[N * K], row[K], x[K], y[N];
    for (size_t d = 0; d < 3; d++)
        for (size_t i = 0; i < 3; i++) {
            fill(w, N * K);
            fill(x, K);
            w[20 * K + 40] = bad[i];
            void *p = quantised(t, dtypes[d], N, K, w);
            t->be->unpack_row(dtypes[d], N, K, p, 20, row);
            for (int k = 0; k < K; k++)
                assert_int_equal(isnan(row[k]) != 0,
                                 dtypes[d] == OC_INT8_CHANNEL || k / 32 == 1);
            for (int arithmetic = 0; arithmetic < 2; arithmetic++) {
                t->be->linear(t->cx, &(oci_linear_args){
                    .M = 1, .N = N, .K = K, .x = x, .ldx = K, .dtype = dtypes[d],
                    .arithmetic = arithmetic ? OC_INT8 : OC_F32, .panels = p, .y = y,
                    .ldy = N });
                for (int n = 0; n < N; n++) assert_int_equal(isnan(y[n]) != 0, n == 20);
            }
            free(p);
        }
}

static void test_not_numbers(void **state)
{
    (void)state;
    each_isa(not_numbers, 1);
}

/* bf16 and f16 files, and W read down its columns, give the bytes of the same numbers in
 * f32 along rows. */
static void sources(const under_test *t)
{
    for (size_t d = 0; d < 3; d++)
        for (int64_t N = 3; N <= 67; N += 32) {
            int64_t K = N + 30;
            size_t size = t->be->packed_bytes(dtypes[d], N, K);
            uint16_t *half = malloc((size_t)(N * K) * sizeof *half);
            float *w = floats(N * K), *turned = floats(N * K);
            void *p = aligned_alloc(64, size);
            assert_non_null(p);
            for (int from = 0; from < 2; from++) {
                oc_dtype dtype = from ? OC_BF16 : OC_F16;
                oci_dtype_from_f32(dtype, w, half, (size_t)(N * K));
                oci_dtype_to_f32(dtype, half, w, (size_t)(N * K));
                void *q = quantised(t, dtypes[d], N, K, w);
                t->be->quantise(t->cx, dtypes[d], dtype, N, K, half, K, 1, p);
                assert_memory_equal(p, q, size);
                for (int64_t i = 0; i < N * K; i++) turned[i % K * N + i / K] = w[i];
                t->be->quantise(t->cx, dtypes[d], OC_F32, N, K, turned, 1, N, p);
                assert_memory_equal(p, q, size);
                free(q);
            }
            free(half);
            free(w);
            free(turned);
            free(p);
        }
    for (size_t d = 0; d < 3; d++) {
        assert_true(t->be->packed_bytes(dtypes[d], INT64_MAX / 64, 1 << 20) == SIZE_MAX);
        assert_true(t->be->packed_bytes(dtypes[d], 1 << 20, INT64_MAX / 64) == SIZE_MAX);
        assert_true(t->be->packed_bytes(dtypes[d], 32, INT64_MAX) == SIZE_MAX);
    }
}

static void test_sources(void **state)
{
    (void)state;
    each_isa(sources, 2);
}

/* One file serves every ISA, and each makes the same file: same sizes, same bytes, which
 * all read alike. Blocks enough that a sum rounded in another way would show. */
static void test_same_bytes(void **state)
{
    (void)state;
    enum { N = 40, K = 1000 };
    static float w[N * K];
    float a[K], b[K];
    fill(w, N * K);
    for (size_t d = 0; d < 3; d++) {
        void *first = NULL;
        const oci_backend *generic = oci_cpu_backend(OC_ISA_GENERIC);
        for (oc_isa isa = OC_ISA_GENERIC; isa <= OC_ISA_AVX512; isa++) {
            if (!oci_cpu_has_isa(isa)) continue;
            under_test t = { isa, make_context(isa, 1), oci_cpu_backend(isa) };
            size_t size = t.be->packed_bytes(dtypes[d], N, K);
            void *p = quantised(&t, dtypes[d], N, K, w);
            assert_int_equal(size, generic->packed_bytes(dtypes[d], N, K));
            if (first) assert_memory_equal(first, p, size);
            for (int64_t n = 0; n < N; n++) {
                t.be->unpack_row(dtypes[d], N, K, p, n, a);
                generic->unpack_row(dtypes[d], N, K, p, n, b);
                assert_true(same_bits(a, b, K));
            }
            if (first) free(p);
            else first = p;
            oc_context_free(t.cx);
        }
        free(first);
    }
}

/* ---- products ---------------------------------------------------------------------- */

/* A product's parts that the packed bytes hold, read as cpu/blocks.inc says. */
static float bf16_at(const unsigned char *p)
{
    return oci_bf16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

typedef struct layout { int64_t group, block, scales; int lines; } layout;

static layout layout_of(oc_dtype dtype, int64_t K, int64_t b)
{
    int64_t blocks = (K + 31) / 32;
    if (dtype == OC_INT4) return (layout){ blocks * 320, b * 320, b * 320 + 256, 4 };
    if (dtype == OC_INT8)
        return (layout){ (blocks + 1) / 2 * 1088, b / 2 * 1088 + b % 2 * 512,
                         b / 2 * 1088 + 1024 + b % 2 * 2, 8 };
    return (layout){ blocks * 512 + 64, b * 512, blocks * 512, 8 };
}

/* Number k of a block for output n, and the block's scale and minimum. */
static int number_at(oc_dtype dtype, const unsigned char *block, int64_t lane, int k)
{
    if (dtype != OC_INT4) return (signed char)block[k / 4 * 64 + lane * 4 + k % 4];
    int byte = block[k / 8 * 64 + lane * 4 + k % 4];
    return k % 8 < 4 ? byte & 15 : byte >> 4;
}

static float multiply_add(oc_isa isa, float a, float b, float c)
{
    return isa == OC_ISA_GENERIC ? c + a * b : fmaf(a, b, c);
}

/* The inputs of block b as arithmetic INT8 takes them: whole numbers, and their scale. */
static float rounded_inputs(const float *x, int64_t n, int q[32])
{
    float most = 0;
    for (int i = 0; i < 32; i++) q[i] = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) return NAN;
        most = fmaxf(most, fabsf(x[i]));
    }
    if (most < 0x1p-100f) return 0;
    for (int64_t i = 0; i < n; i++) q[i] = (int)rintf(x[i] * (127 / most));
    return most / 127;
}

/* One output, in the order that backend.h fixes. */
static float expected(oc_isa isa, oc_dtype dtype, bool int8, int64_t K, const float *x,
                      const void *panels, int64_t n)
{
    float acc = 0;
    const unsigned char *group = panels;
    for (int64_t b = 0; b * 32 < K; b++) {
        layout l = layout_of(dtype, K, b);
        group = (const unsigned char *)panels + n / 16 * l.group;
        const unsigned char *scales = group + l.scales + n % 16 * 4;
        int64_t count = K - b * 32 < 32 ? K - b * 32 : 32;
        float chain = 0, sum = 0;
        int whole = 0, whole_sum = 0, q[32];
        float s = int8 ? rounded_inputs(x + b * 32, count, q) : 0;
        for (int k = 0; k < count; k++) {
            int w = number_at(dtype, group + l.block, n % 16, k);
            if (int8) {
                whole += w * q[k];
                whole_sum += q[k];
                continue;
            }
            chain = multiply_add(isa, x[b * 32 + k], (float)w, chain);
            sum += x[b * 32 + k];
        }
        if (int8) {
            chain = s * (float)whole;
            sum = s * (float)whole_sum;
        }
        if (dtype == OC_INT8_CHANNEL) acc += chain;
        else acc = multiply_add(isa, bf16_at(scales), chain, acc);
        if (dtype == OC_INT4) acc = multiply_add(isa, bf16_at(scales + 2), sum, acc);
    }
    if (dtype != OC_INT8_CHANNEL) return acc;
    float scale;
    memcpy(&scale, group + (K + 31) / 32 * 512 + n % 16 * 4, sizeof scale);
    return acc * scale;
}

static bool same_number(float a, float b) { return a == b || (isnan(a) && isnan(b)); }

static void check_product(const under_test *t, oc_dtype dtype, bool int8, int64_t M,
                          int64_t N, int64_t K, int extras)
{
    weights a = make_weights(t, dtype, N, K);
    int64_t ldx = K + extras % 3 * 5, ldy = N + extras % 2 * 7, ldr = N + 3;
    float *x = floats(M * ldx), *bias = floats(N), *r = floats(M * ldr),
          *y = guarded(M * ldy);
    oci_linear_args l = { .M = M, .N = N, .K = K, .x = x, .ldx = ldx, .dtype = dtype,
                          .arithmetic = int8 ? OC_INT8 : OC_F32, .panels = a.panels,
                          .bias = extras & 1 ? bias : NULL,
                          .residual = extras & 2 ? r : NULL, .ldr = ldr, .y = y,
                          .ldy = ldy };
    t->be->linear(t->cx, &l);
    for (int64_t i = 0; i < M * N; i++) {
        int64_t m = i / N, n = i % N;
        float e = expected(t->isa, dtype, int8, K, x + m * ldx, a.panels, n);
        if (l.bias) e += bias[n];
        if (l.residual) e += r[m * ldr + n];
        if (!same_number(e, y[m * ldy + n]))
            fail_msg("%s %s%s %lldx%lldx%lld [%lld,%lld]: expected %a, found %a",
                     t->be->name, oci_dtype_name(dtype), int8 ? " in INT8" : "",
                     (long long)M, (long long)N, (long long)K, (long long)m, (long long)n,
                     (double)e, (double)y[m * ldy + n]);
        double exact = 0, size = 0;
        for (int64_t k = 0; k < K; k++) {
            exact += (double)x[m * ldx + k] * a.rows[n * K + k];
            size += fabs((double)a.rows[n * K + k]);
        }
        if (l.bias) exact += bias[n];
        if (l.residual) exact += r[m * ldr + n];
        assert_true(fabs(exact - e) <= size * (int8 ? 0.5 / 127 : 1e-5) + 1e-5);
    }
    free_guarded(y, M, N, ldy);
    free(x);
    free(bias);
    free(r);
    free_weights(&a);
}

static void shapes(const under_test *t)
{
    static const int64_t some_k[] = { 1, 7, 31, 32, 33, 63, 64, 65, 96, 100, 257 };
    static const int64_t some_n[] = {
        1, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65, 79, 130
    };
    for (int i = 0; i < 6; i++) {
        oc_dtype dtype = dtypes[i / 2];
        bool int8 = i % 2;
        for (int64_t M = 1; M <= 40; M++)
            check_product(t, dtype, int8, M, some_n[(M * 5) % 13], some_k[(M * 7) % 11],
                          (int)M);
        for (size_t n = 0; n < 13; n++)
            for (size_t k = 0; k < 11; k += 2)
                check_product(t, dtype, int8, (int64_t)(n + k) % 4 + 1, some_n[n],
                              some_k[k], (int)(n + k));
        check_product(t, dtype, int8, 3, 40, 2000, 3);     /* more than one block of K */
        check_product(t, dtype, int8, 61, 33, 1700, 1);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) each_isa(shapes, threads);
}

/* Rows of a batch are the rows alone, bit for bit; also with wild inputs. */
static void rows_alone(const under_test *t)
{
    enum { N = 83, K = 200, M = 45 };
    float *x = floats(M * K), *y = guarded(M * N), *one = guarded(N);
    for (int64_t i = 0; i < K; i++) {
        x[4 * K + i] *= 1e30f;
        x[5 * K + i] *= 1e-42f;
        x[6 * K + i] = 0;
        x[7 * K + i] *= 1e-33f;
    }
    x[8 * K + 70] = NAN;
    x[9 * K + 199] = INFINITY;
    for (int i = 0; i < 6; i++) {
        weights a = make_weights(t, dtypes[i / 2], N, K);
        oci_linear_args l = { .M = M, .N = N, .K = K, .x = x, .ldx = K,
                              .dtype = dtypes[i / 2],
                              .arithmetic = i % 2 ? OC_INT8 : OC_F32, .panels = a.panels,
                              .act = OCI_ACT_SILU, .y = y, .ldy = N };
        t->be->linear(t->cx, &l);
        for (int64_t m = 0; m < M; m++) {
            for (int64_t rows = 1; rows <= 16 && m + rows <= M; rows += m % 3 + 1) {
                float *some = guarded(rows * N);
                oci_linear_args part = l;
                part.M = rows;
                part.x = x + m * K;
                part.y = some;
                t->be->linear(t->cx, &part);
                for (int64_t j = 0; j < rows * N; j++) {
                    uint32_t e, f;
                    memcpy(&e, &y[m * N + j], 4);
                    memcpy(&f, &some[j], 4);
                    assert_true(e == f || (isnan(y[m * N + j]) && isnan(some[j])));
                }
                free_guarded(some, rows, N, N);
            }
        }
        for (int64_t n = 0; n < N; n++) {
            assert_true(isnan(y[8 * N + n]));
            assert_false(isfinite(y[9 * N + n]) && fabsf(y[9 * N + n]) > 0);
            assert_true(y[6 * N + n] == 0);
        }
        free_weights(&a);
    }
    free_guarded(y, M, N, N);
    free_guarded(one, 1, N, N);
    free(x);
}

static void test_rows_alone(void **state)
{
    (void)state;
    each_isa(rows_alone, 3);
}

/* The widest sums of whole numbers there are: every input and every weight at its end. */
static void extremes(const under_test *t)
{
    enum { N = 32, K = 4096 };
    float *w = floats(N * K), *x = floats(K), y[N];
    for (size_t d = 0; d < 3; d++)
        for (int sign = 0; sign < 4; sign++) {
            for (int64_t i = 0; i < N * K; i++)
                w[i] = sign & 1 ? -1.0f : i % 32 ? 1.0f : sign & 2 ? -1.0f : 1.0f;
            for (int64_t i = 0; i < K; i++) x[i] = sign & 2 ? -1.0f : 1.0f;
            void *p = quantised(t, dtypes[d], N, K, w);
            oci_linear_args l = { .M = 1, .N = N, .K = K, .x = x, .ldx = K,
                                  .dtype = dtypes[d], .arithmetic = OC_INT8, .panels = p,
                                  .y = y, .ldy = N };
            t->be->linear(t->cx, &l);
            for (int64_t n = 0; n < N; n++)
                assert_true(y[n] == expected(t->isa, dtypes[d], true, K, x, p, n));
            free(p);
        }
    free(w);
    free(x);
}

static void test_extremes(void **state)
{
    (void)state;
    each_isa(extremes, 1);
}

/* Without memory for the strips the context says so, and y stays as it was. */
static void no_memory(const under_test *t)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .isa = t->isa, .threads = 1,
                                      .memory_budget = 4096);
    for (int i = 0; i < 4; i++) {
        oc_context *cx = oc_context_create(&o);
        int64_t M = i % 2 ? 100 : 1, N = 100, K = 4000;
        weights a = make_weights(t, OC_INT4, N, K);
        float *x = floats(M * K), *y = guarded(M * N);
        oci_linear_args l = { .M = M, .N = N, .K = K, .x = x, .ldx = K, .dtype = OC_INT4,
                              .arithmetic = i / 2 ? OC_INT8 : OC_F32, .panels = a.panels,
                              .y = y, .ldy = N };
        t->be->linear(cx, &l);
        assert_int_equal(oc_context_status(cx), OC_E_MEMORY);
        free_guarded(y, M, 0, N);
        oc_context_free(cx);
        free(x);
        free_weights(&a);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    each_isa(no_memory, 1);
}

/* Arithmetic BF16: near the product of rounded inputs where the CPU has it, f32's where
 * not; rows of a batch are the rows alone either way. */
static void bf16_pairs(const under_test *t)
{
    static const int64_t some_k[] = { 1, 2, 31, 32, 33, 64, 300, 901, 1700 };
    for (int64_t M = 1; M <= 45; M += 4)
        for (size_t i = 0; i < sizeof some_k / sizeof *some_k; i++) {
            int64_t K = some_k[i], N = 10 * (M % 7) + 3;
            float *x = floats(M * K), *w = floats(N * K), *y = guarded(M * N),
                  *one = guarded(N);
            uint16_t *half = malloc((size_t)(N * K) * sizeof *half);
            oci_dtype_from_f32(OC_BF16, w, half, (size_t)(N * K));
            oci_dtype_to_f32(OC_BF16, half, w, (size_t)(N * K));
            void *p = panels_of(t, OC_BF16, N, K, half, K, 1);
            oci_linear_args l = { .M = M, .N = N, .K = K, .x = x, .ldx = K,
                                  .dtype = OC_BF16, .arithmetic = OC_BF16, .panels = p,
                                  .y = y, .ldy = N };
            t->be->linear(t->cx, &l);
            l.M = 1;
            l.y = one;
            for (int64_t m = 0; m < M; m++) {
                l.x = x + m * K;
                t->be->linear(t->cx, &l);
                assert_true(same_bits(one, y + m * N, N));
                for (int64_t n = 0; n < N; n++) {
                    double rounded = 0, exact = 0;
                    for (int64_t k = 0; k < K; k++) {
                        float v = x[m * K + k];
                        exact += (double)v * w[n * K + k];
                        rounded += (double)oci_bf16_to_f32(oci_f32_to_bf16(v)) *
                                   w[n * K + k];
                    }
                    double bound = 4e-6 * sqrt((double)K) + 1e-6;
                    assert_true(fabs(one[n] - rounded) <= bound ||
                                fabs(one[n] - exact) <= bound);
                }
            }
            free_guarded(y, M, N, N);
            free_guarded(one, 1, N, N);
            free(x);
            free(w);
            free(half);
            free(p);
        }
}

static void test_bf16_pairs(void **state)
{
    (void)state;
    each_isa(bf16_pairs, 2);
}

static void test_arithmetic(void **state)
{
    (void)state;
    oc_context *cx = make_context(OC_ISA_AUTO, 1);
    assert_int_equal(cx->arithmetic, OC_F32);
    assert_int_equal(oc_context_set_arithmetic(cx, OC_INT8), OC_OK);
    assert_int_equal(cx->arithmetic, OC_INT8);
    oc_context_options o = OC_OPTIONS(oc_context_options, .share = cx);
    oc_context *other = oc_context_create(&o);
    assert_int_equal(other->arithmetic, OC_INT8);
    oc_context_free(other);
    assert_int_equal(oc_context_set_arithmetic(cx, OC_F16), OC_E_ARGUMENT);
    assert_string_equal(oc_context_message(cx),
                        "arithmetic: expected F32, BF16 or INT8, found F16");
    oc_context_free(cx);
    assert_int_equal(oc_context_set_arithmetic(NULL, OC_F32), OC_E_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding), cmocka_unit_test(test_zeros_and_outliers),
        cmocka_unit_test(test_not_numbers), cmocka_unit_test(test_sources),
        cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_rows_alone), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_bf16_pairs),
        cmocka_unit_test(test_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
