/* One ISA gives one result: every kernel of the table, with 1, 2, 3, 4 and 8 threads, has
 * the same bits; different ISAs agree to rounding. */
#include "backend_test.h"

enum { M = 53, N = 200, K = 300, T = 67, HEADS = 5, D = 24, WIDTH = HEADS * D };

typedef struct outputs {
    float *data;            /* what the kernels wrote, one after the other */
    int64_t used, room;
} outputs;

static float *take(outputs *o, int64_t n, float value)
{
    if (o->used + n > o->room) {
        /* Pointers handed out before are not used again after their kernel ran. */
        o->room = 2 * o->room + n;
        o->data = realloc(o->data, (size_t)o->room * sizeof *o->data);
        assert_non_null(o->data);
    }
    float *p = o->data + o->used;
    for (int64_t i = 0; i < n; i++) p[i] = value;
    o->used += n;
    return p;
}

static void run_products(const under_test *t, outputs *o)
{
    for (int64_t rows = 1; rows <= M; rows += 13) {
        float *x = floats(rows * K), *w = floats(N * K);
        void *panels = panels_of(t, OC_F32, N, K, w, K, 1);
        oci_linear_args l = { .M = rows, .N = N, .K = K, .x = x, .ldx = K,
                              .dtype = OC_F32, .panels = panels, .act = OCI_ACT_SILU,
                              .ldy = N, .y = take(o, rows * N, 0) };
        t->be->linear(t->cx, &l);
        oci_product_args p = { .M = rows, .N = N, .K = K, .a = x, .a_row = K, .a_col = 1,
                               .b = w, .b_row = 1, .b_col = K, .ldc = N,
                               .accumulate = true, .c = take(o, rows * N, 1) };
        t->be->product(t->cx, &p);
        free(x);
        free(w);
        free(panels);
    }
}

static void run_attention(const under_test *t, outputs *o, int64_t Tq)
{
    float *q = floats(2 * T * WIDTH), *k = floats(2 * T * WIDTH),
          *v = floats(2 * T * WIDTH);
    int64_t n = 2 * Tq * WIDTH, weights = 2 * HEADS * Tq * T;
    float *all = take(o, 2 * n + weights + 4 * T * WIDTH, 0), *out = all, *w = out + n;
    float *dq = w + weights, *dk = dq + n, *dv = dk + 2 * T * WIDTH;
    oci_attention_args a = { .B = 2, .Tq = Tq, .Tk = T, .heads = HEADS, .kv_heads = HEADS,
                             .head_dim = D, .q = q, .q_row = WIDTH, .k = k, .v = v,
                             .kv_row = WIDTH, .scale = 0.5f, .causal = true, .out = out,
                             .out_row = WIDTH, .weights = w };
    t->be->attention(t->cx, &a);
    oci_attention_grad_args g = {
        .forward = &a, .dout = q, .dq = dq, .dk = dk, .dv = dv
    };
    t->be->attention_grad(t->cx, &g);
    free(q);
    free(k);
    free(v);
}

static void run_rows(const under_test *t, outputs *o)
{
    int64_t rows = 70, n = 500, all = rows * n;
    float *x = floats(all), *dy = floats(all), *gamma = floats(n), *mean = floats(rows);
    float *rstd = floats(rows);
    t->be->layer_norm(t->cx, rows, n, x, gamma, dy, 1e-5f, take(o, all, 0), mean, rstd);
    float *d = take(o, all + 2 * n, 0);
    t->be->layer_norm_grad(t->cx, rows, n, dy, x, gamma, mean, rstd, d, d + all,
                           d + all + n);
    t->be->softmax(t->cx, rows, n, x, take(o, all, 0));
    t->be->log_softmax(t->cx, rows, n, x, take(o, all, 0));
    t->be->sum_rows(t->cx, rows, n, x, take(o, n, 0));
    t->be->activate(t->cx, OCI_ACT_GELU, all, x, take(o, all, 0));
    t->be->activate_grad(t->cx, OCI_ACT_GELU, all, x, dy, take(o, all, 0));
    t->be->add(t->cx, all, n, x, gamma, take(o, all, 0));
    t->be->scale(t->cx, all, 0.3f, x, take(o, all, 0));
    t->be->axpy(t->cx, all, 0.3f, x, take(o, all, 1));
    oci_adamw_args a = {
        .lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 3
    };
    float *w = take(o, 3 * all, 0.5f);
    t->be->adamw(t->cx, &a, all, x, w + all, w + 2 * all, w);
    free(x);
    free(dy);
    free(gamma);
    free(mean);
    free(rstd);
}

static outputs run_all(oc_isa isa, int threads)
{
    under_test t = { isa, make_context(isa, threads), oci_cpu_backend(isa) };
    outputs o = { 0 };
    random_state = 7;
    run_products(&t, &o);
    run_attention(&t, &o, T);
    run_attention(&t, &o, 1);
    run_rows(&t, &o);
    assert_int_equal(oc_context_status(t.cx), OC_OK);
    oc_context_free(t.cx);
    return o;
}

static void test_threads(void **state)
{
    (void)state;
    static const int threads[] = { 2, 3, 4, 8 };
    outputs first = { 0 };
    for (oc_isa isa = OC_ISA_GENERIC; isa <= OC_ISA_AVX512; isa++) {
        if (!oci_cpu_has_isa(isa)) {
            printf("skipped: this CPU has no %s\n", oci_isa_name(isa));
            continue;
        }
        outputs one = run_all(isa, 1);
        for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
            outputs many = run_all(isa, threads[i]);
            assert_int_equal(one.used, many.used);
            assert_true(same_bits(one.data, many.data, one.used));
            free(many.data);
        }
        printf("%s: %lld numbers alike with 1, 2, 3, 4 and 8 threads\n",
               oci_isa_name(isa), (long long)one.used);
        if (!first.data) {
            first = one;
            continue;
        }
        for (int64_t i = 0; i < one.used; i++)
            assert_true(fabsf(one.data[i] - first.data[i]) <=
                        1e-4f * (1 + fabsf(first.data[i])));
        free(one.data);
    }
    free(first.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
