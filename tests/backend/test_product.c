/* linear, product, pack: against the one chain that backend.h promises, bit for bit. */
#include "backend_test.h"

static const int64_t some_k[] = { 0, 1, 2, 5, 16, 17, 40, 100, 257, 800 };

/* Y of plain loops: act NONE, bias and residual as given. */
static void expect_linear(const under_test *t, const oci_linear_args *l, const float *w)
{
    for (int64_t m = 0; m < l->M; m++)
        for (int64_t n = 0; n < l->N; n++) {
            float y = chain(t->isa, l->K, l->x + m * l->ldx, 1, w + n * l->K, 1);
            if (l->bias) y += l->bias[n];
            if (l->residual) y += l->residual[m * l->ldr + n];
            if (memcmp(&y, &l->y[m * l->ldy + n], sizeof y))
                fail_msg("%s %lldx%lldx%lld [%lld,%lld]: expected %a, found %a",
                         t->be->name, (long long)l->M, (long long)l->N, (long long)l->K,
                         (long long)m, (long long)n, (double)y,
                         (double)l->y[m * l->ldy + n]);
        }
}

static void check_linear(const under_test *t, int64_t M, int64_t N, int64_t K, int extras)
{
    int64_t ldx = K + extras % 3 * 5, ldy = N + extras % 2 * 7, ldr = N + 3;
    float *x = floats(M * ldx), *w = floats(N * K), *bias = floats(N),
          *r = floats(M * ldr);
    void *panels = panels_of(t, OC_F32, N, K, w, K, 1);
    float *y = guarded(M * ldy);
    oci_linear_args l = { .M = M, .N = N, .K = K, .x = x, .ldx = ldx, .dtype = OC_F32,
                          .panels = panels, .bias = extras & 1 ? bias : NULL,
                          .residual = extras & 2 ? r : NULL, .ldr = ldr, .y = y,
                          .ldy = ldy };
    t->be->linear(t->cx, &l);
    expect_linear(t, &l, w);
    free_guarded(y, M, N, ldy);
    free(x);
    free(w);
    free(bias);
    free(r);
    free(panels);
}

static void linear_shapes(const under_test *t)
{
    for (int64_t M = 1; M <= 20; M++)
        for (int64_t N = 1; N <= 70; N += M % 3 + 1)
            check_linear(t, M, N, some_k[(M + N) % 10], (int)(M + N));
    for (int64_t K = 1; K <= 40; K++) check_linear(t, K % 7 + 1, 67, K, (int)K);
    check_linear(t, 29, 33, 257, 3);
    check_linear(t, 197, 96, 100, 1);
    check_linear(t, 200, 31, 1600, 2);      /* three blocks of K */
    check_linear(t, 2, 2049, 3, 0);
    check_linear(t, 1, 700, 1030, 3);
}

static void test_linear(void **state)
{
    (void)state;
    each_isa(linear_shapes, 2);
}

/* bf16 and f16 panels give the bits of f32 panels that hold the widened numbers. */
static void half_weights(const under_test *t)
{
    static const int64_t rows[] = { 1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15, 30, 100 };
    for (int d = 0; d < 2; d++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            /* odd, and whole blocks */
            int64_t M = rows[i], N = 75, K = i % 2 ? 261 : 272;
            oc_dtype dtype = d ? OC_F16 : OC_BF16;
            uint16_t *half = malloc((size_t)(N * K) * sizeof *half);
            float *w = floats(N * K), *x = floats(M * K);
            for (int64_t j = 0; j < N * K; j++)
                half[j] = d ? oci_f32_to_f16(w[j] * (j % 5 ? 1 : 0x1p-16f))
                            : oci_f32_to_bf16(w[j]);
            oci_dtype_to_f32(dtype, half, w, (size_t)(N * K));
            void *narrow = panels_of(t, dtype, N, K, half, K, 1);
            void *wide = panels_of(t, OC_F32, N, K, w, K, 1);
            float *y = guarded(M * N), *z = guarded(M * N), *row = guarded(K);
            oci_linear_args l = { .M = M, .N = N, .K = K, .x = x, .ldx = K,
                                  .dtype = dtype, .panels = narrow, .y = y, .ldy = N };
            t->be->linear(t->cx, &l);
            l.dtype = OC_F32;
            l.panels = wide;
            l.y = z;
            t->be->linear(t->cx, &l);
            assert_true(same_bits(y, z, M * N));
            for (int64_t n = 0; n < N; n++) {
                t->be->unpack_row(dtype, N, K, narrow, n, row);
                assert_true(same_bits(row, w + n * K, K));
            }
            free_guarded(y, M, N, N);
            free_guarded(z, M, N, N);
            free_guarded(row, 1, K, K);
            free(half);
            free(w);
            free(x);
            free(narrow);
            free(wide);
        }
}

static void test_half_weights(void **state)
{
    (void)state;
    each_isa(half_weights, 2);
}

/* W read down its columns gives the same panels as W read along its rows. */
static void packing(const under_test *t)
{
    for (int64_t N = 1; N <= 70; N += 3) {
        int64_t K = N * 7 % 45 + 1;
        float *w = floats(N * K), *turned = floats(N * K), *row = guarded(K);
        for (int64_t n = 0; n < N; n++)
            for (int64_t k = 0; k < K; k++) turned[k * N + n] = w[n * K + k];
        size_t size = t->be->packed_bytes(OC_F32, N, K);
        assert_int_equal(size % (size_t)(t->be->panel * K * 4), 0);
        void *a = panels_of(t, OC_F32, N, K, w, K, 1);
        void *b = panels_of(t, OC_F32, N, K, turned, 1, N);
        assert_memory_equal(a, b, size);
        for (int64_t n = 0; n < N; n++) {
            t->be->unpack_row(OC_F32, N, K, a, n, row);
            assert_true(same_bits(row, w + n * K, K));
        }
        free_guarded(row, 1, K, K);
        free(w);
        free(turned);
        free(a);
        free(b);
    }
    assert_true(t->be->packed_bytes(OC_F32, INT64_MAX / 64, 1 << 20) == SIZE_MAX);
}

static void test_packing(void **state)
{
    (void)state;
    each_isa(packing, 2);
}

/* A row of a product with M rows is the product of that row alone; acts ride along. */
static void rows_alone(const under_test *t)
{
    int64_t N = 83, K = 190, M = 43;
    float *x = floats(M * K), *w = floats(N * K), *bias = floats(N);
    float *y = guarded(M * N), *one = guarded(N), *plain = guarded(M * N),
          *after = guarded(M * N);
    void *panels = panels_of(t, OC_F32, N, K, w, K, 1);
    for (int act = 0; act < OCI_ACT_COUNT; act++) {
        oci_linear_args l = { .M = M, .N = N, .K = K, .x = x, .ldx = K, .dtype = OC_F32,
                              .panels = panels, .bias = bias, .act = (oci_act)act, .y = y,
                              .ldy = N };
        t->be->linear(t->cx, &l);
        l.act = OCI_ACT_NONE;
        l.y = plain;
        t->be->linear(t->cx, &l);
        t->be->activate(t->cx, (oci_act)act, M * N, plain, after);
        assert_true(same_bits(y, after, M * N));
        /* residual may be y: what was there is added after the act. */
        memcpy(after, plain, (size_t)(M * N) * sizeof *y);
        l.act = (oci_act)act;
        l.y = after;
        l.residual = after;
        l.ldr = N;
        t->be->linear(t->cx, &l);
        for (int64_t i = 0; i < M * N; i++) assert_true(after[i] == y[i] + plain[i]);
        for (int64_t m = 0; m < M; m += 6) {
            oci_linear_args alone = { .M = 1, .N = N, .K = K, .x = x + m * K, .ldx = K,
                                      .dtype = OC_F32, .panels = panels, .bias = bias,
                                      .act = (oci_act)act, .y = one, .ldy = N };
            t->be->linear(t->cx, &alone);
            assert_true(same_bits(one, y + m * N, N));
        }
    }
    free_guarded(y, M, N, N);
    free_guarded(plain, M, N, N);
    free_guarded(after, M, N, N);
    free_guarded(one, 1, N, N);
    free(x);
    free(w);
    free(bias);
    free(panels);
}

static void test_rows_alone(void **state)
{
    (void)state;
    each_isa(rows_alone, 3);
}

static void check_product(const under_test *t, int64_t M, int64_t N, int64_t K, int turn)
{
    float *a = floats(M * K), *b = floats(N * K);
    int64_t ldc = N + turn % 3;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        float *c = guarded(M * ldc);
        oci_product_args p = { .M = M, .N = N, .K = K, .a = a, .b = b, .c = c, .ldc = ldc,
                               .a_row = turn & 1 ? 1 : K, .a_col = turn & 1 ? M : 1,
                               .b_row = turn & 2 ? 1 : N, .b_col = turn & 2 ? K : 1,
                               .accumulate = accumulate };
        for (int64_t i = 0; accumulate && i < M * ldc; i++)
            if (i % ldc < N) c[i] = (float)(i % 9);
        t->be->product(t->cx, &p);
        for (int64_t m = 0; m < M; m++)
            for (int64_t n = 0; n < N; n++) {
                float y = chain(t->isa, K, a + m * p.a_row, p.a_col, b + n * p.b_col,
                                p.b_row);
                if (accumulate) y += (float)((m * ldc + n) % 9);
                assert_true(y == c[m * ldc + n]);
            }
        free_guarded(c, M, N, ldc);
    }
    free(a);
    free(b);
}

static void products(const under_test *t)
{
    for (int64_t M = 1; M <= 20; M += 2)
        for (int64_t N = 1; N <= 70; N += 6)
            check_product(t, M, N, some_k[(M + N) % 10], (int)(M * 3 + N));
    for (int turn = 0; turn < 4; turn++) {
        check_product(t, 130, 65, 40, turn);
        check_product(t, 33, 20, 1700, turn);
    }
}

static void test_product(void **state)
{
    (void)state;
    each_isa(products, 2);
}

/* NaN and infinity reach exactly the outputs that depend on them; no rows, no work. */
static void special_values(const under_test *t)
{
    int64_t M = 20, N = 40, K = 33;
    float *x = floats(M * K), *w = floats(N * K), *y = guarded(M * N);
    x[7 * K + 5] = NAN;
    x[9 * K + 32] = INFINITY;
    void *panels = panels_of(t, OC_F32, N, K, w, K, 1);
    oci_linear_args l = { .M = M, .N = N, .K = K, .x = x, .ldx = K, .dtype = OC_F32,
                          .panels = panels, .y = y, .ldy = N };
    t->be->linear(t->cx, &l);
    for (int64_t i = 0; i < M * N; i++) {
        if (i / N == 7) assert_true(isnan(y[i]));
        else if (i / N == 9) assert_true(isinf(y[i]));
        else assert_true(isfinite(y[i]));
    }
    free_guarded(y, M, N, N);
    y = guarded(1);
    l.M = 0;
    l.y = y;
    t->be->linear(t->cx, &l);
    l.M = 3;
    l.N = 0;
    t->be->linear(t->cx, &l);
    t->be->product(t->cx,
                   &(oci_product_args){ .M = 0, .N = 3, .K = 3, .a = x, .b = w, .c = y });
    free_guarded(y, 1, 0, 1);
    free(x);
    free(w);
    free(panels);
}

static void test_special_values(void **state)
{
    (void)state;
    each_isa(special_values, 1);
}

/* Without memory for the strips the context says so, and y stays as it was. */
static void no_memory(const under_test *t)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .isa = t->isa, .threads = 1,
                                      .memory_budget = 4096);
    oc_context *cx = oc_context_create(&o);
    float *x = floats(100 * 100), *w = floats(100 * 100), *y = guarded(100 * 100);
    void *panels = panels_of(t, OC_F32, 100, 100, w, 100, 1);
    oci_linear_args l = { .M = 100, .N = 100, .K = 100, .x = x, .ldx = 100,
                          .dtype = OC_F32, .panels = panels, .y = y, .ldy = 100 };
    t->be->linear(cx, &l);
    assert_int_equal(oc_context_status(cx), OC_E_MEMORY);
    free_guarded(y, 100, 0, 100);
    oc_context_free(cx);
    free(x);
    free(w);
    free(panels);
}

static void test_no_memory(void **state)
{
    (void)state;
    each_isa(no_memory, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear), cmocka_unit_test(test_half_weights),
        cmocka_unit_test(test_packing), cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_product), cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
