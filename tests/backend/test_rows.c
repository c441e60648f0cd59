/* Kernels over rows and over elements: LayerNorm, softmax, argmax, sums, AdamW, against
 * double, at widths around the sizes of vectors and with guards. */
#include "backend_test.h"

static const int64_t widths[] = { 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257, 768,
                                  2051 };
enum { WIDTHS = sizeof widths / sizeof *widths };

static void layer_norms(const under_test *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int64_t n = widths[i], rows = 5;
        float *x = floats(rows * n), *gamma = floats(n), *beta = floats(n);
        float *y = guarded(rows * n), *mean = guarded(rows), *rstd = guarded(rows);
        /* The last rows lie far from zero: a one-pass variance would be lost. */
        for (int64_t j = 3 * n; j < rows * n; j++) x[j] += 1000;
        t->be->layer_norm(t->cx, rows, n, x, gamma, beta, 1e-5f, y, mean, rstd);
        for (int64_t r = 0; r < rows; r++) {
            double m = 0, v = 0;
            for (int64_t j = 0; j < n; j++) m += x[r * n + j];
            m /= (double)n;
            for (int64_t j = 0; j < n; j++) v += (x[r * n + j] - m) * (x[r * n + j] - m);
            double s = 1 / sqrt(v / (double)n + 1e-5f);
            assert_true(ulps(mean[r], m) <= 1.5 || fabs(mean[r] - m) < 1e-7);
            assert_true(ulps(rstd[r], s) <= 8);
            for (int64_t j = 0; j < n; j++) {
                double d = (x[r * n + j] - m) * s, e = d * gamma[j] + beta[j];
                /* A few ulp of the terms; x - mean is exact to its own rounding. */
                double room = 0x1p-21 * (fabs(d * gamma[j]) + fabs(beta[j])) +
                              0x1p-24 * fabs(m) * s * 0x1p-20;
                assert_true(fabs(y[r * n + j] - e) <= room + 1e-7);
            }
        }
        /* In place, and without the moments. */
        float *z = guarded(rows * n);
        memcpy(z, x, (size_t)(rows * n) * sizeof *z);
        t->be->layer_norm(t->cx, rows, n, z, gamma, beta, 1e-5f, z, NULL, NULL);
        assert_true(same_bits(y, z, rows * n));
        free_guarded(z, rows, n, n);
        free_guarded(y, rows, n, n);
        free_guarded(mean, 1, rows, rows);
        free_guarded(rstd, 1, rows, rows);
        free(x);
        free(gamma);
        free(beta);
    }
}

static void test_layer_norm(void **state)
{
    (void)state;
    each_isa(layer_norms, 2);
}

static void layer_norm_grads(const under_test *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int64_t n = widths[i], rows = 6;
        float *x = floats(rows * n), *gamma = floats(n), *beta = floats(n);
        float *dy = floats(rows * n), mean[6], rstd[6];
        float *y = guarded(rows * n), *dx = guarded(rows * n);
        float *dgamma = guarded(n), *dbeta = guarded(n);
        t->be->layer_norm(t->cx, rows, n, x, gamma, beta, 1e-5f, y, mean, rstd);
        for (int64_t j = 0; j < rows * n; j++) dx[j] = 1;
        for (int64_t j = 0; j < n; j++) dgamma[j] = dbeta[j] = 1;
        t->be->layer_norm_grad(t->cx, rows, n, dy, x, gamma, mean, rstd, dx, dgamma,
                               dbeta);
        for (int64_t r = 0; r < rows; r++) {
            double sum = 0, dot = 0;
            for (int64_t j = 0; j < n; j++) {
                double g = (double)dy[r * n + j] * gamma[j];
                sum += g;
                dot += g * (x[r * n + j] - mean[r]) * rstd[r];
            }
            for (int64_t j = 0; j < n; j++) {
                double xhat = ((double)x[r * n + j] - mean[r]) * rstd[r];
                double g = (double)dy[r * n + j] * gamma[j];
                double e = 1 + rstd[r] * (g - sum / (double)n - xhat * dot / (double)n);
                assert_true(fabs(dx[r * n + j] - e) < 2e-5 * (1 + rstd[r]));
            }
        }
        for (int64_t j = 0; j < n; j++) {
            double dg = 1, db = 1;
            for (int64_t r = 0; r < rows; r++) {
                dg += dy[r * n + j] * ((double)x[r * n + j] - mean[r]) * rstd[r];
                db += dy[r * n + j];
            }
            assert_true(fabs(dgamma[j] - dg) < 1e-5 && fabs(dbeta[j] - db) < 1e-5);
        }
        t->be->layer_norm_grad(t->cx, rows, n, dy, x, gamma, mean, rstd, NULL, NULL,
                               NULL);
        free_guarded(y, rows, n, n);
        free_guarded(dx, rows, n, n);
        free_guarded(dgamma, 1, n, n);
        free_guarded(dbeta, 1, n, n);
        free(x);
        free(gamma);
        free(beta);
        free(dy);
    }
}

static void test_layer_norm_grad(void **state)
{
    (void)state;
    each_isa(layer_norm_grads, 2);
}

static void softmaxes(const under_test *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int64_t n = widths[i], rows = 4;
        float *x = floats(rows * n), *y = guarded(rows * n), *l = guarded(rows * n);
        for (int64_t j = 0; j < rows * n; j++) x[j] *= 30;
        t->be->softmax(t->cx, rows, n, x, y);
        t->be->log_softmax(t->cx, rows, n, x, l);
        for (int64_t r = 0; r < rows; r++) {
            double top = -INFINITY, sum = 0;
            for (int64_t j = 0; j < n; j++) top = fmax(top, x[r * n + j]);
            for (int64_t j = 0; j < n; j++) sum += exp(x[r * n + j] - top);
            for (int64_t j = 0; j < n; j++) {
                double e = exp(x[r * n + j] - top) / sum;
                /* x - top is rounded once before its exponential. */
                double room = 5e-7 + 0x1p-24 * (top - x[r * n + j]);
                assert_true(fabs(y[r * n + j] - e) <= room * e + 1e-38);
                e = x[r * n + j] - top - log(sum);
                assert_true(fabs(l[r * n + j] - e) <= 3e-7 * (1 + fabs(e)));
            }
        }
        free_guarded(y, rows, n, n);
        free_guarded(l, rows, n, n);
        free(x);
    }
    /* Masks as in PyTorch: all of the smallest float is uniform, all -inf is NaN, one NaN
     * or +inf makes the whole row NaN; its neighbours are untouched. */
    float x[6][20], y[6][20];
    for (int j = 0; j < 20; j++) {
        x[0][j] = -3.4028234663852886e38f;
        x[1][j] = -INFINITY;
        x[2][j] = j == 13 ? NAN : 1;
        x[3][j] = j == 13 ? INFINITY : 1;
        x[4][j] = j == 13 ? 1 : -INFINITY;
        x[5][j] = 2;
    }
    t->be->softmax(t->cx, 6, 20, x[0], y[0]);
    for (int j = 0; j < 20; j++) {
        assert_true(fabs(y[0][j] - 0.05) < 1e-8 && fabs(y[5][j] - 0.05) < 1e-8);
        assert_true(isnan(y[1][j]) && isnan(y[2][j]) && isnan(y[3][j]));
        assert_true(y[4][j] == (j == 13));
    }
    t->be->log_softmax(t->cx, 6, 20, x[0], y[0]);
    assert_true(isnan(y[1][0]) && isnan(y[2][0]) && y[4][13] == 0 &&
                y[4][0] == -INFINITY);
}

static void test_softmax(void **state)
{
    (void)state;
    each_isa(softmaxes, 2);
}

static void argmaxes(const under_test *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int64_t n = widths[i];
        float *x = floats(n);
        for (int64_t at = 0; at < n; at += 1 + n / 50) {
            float keep = x[at];
            x[at] = 2;
            assert_int_equal(t->be->argmax(n, x), at);
            if (at + 1 < n) {               /* the first of equals */
                float other = x[n - 1];
                x[n - 1] = 2;
                assert_int_equal(t->be->argmax(n, x), at);
                x[n - 1] = NAN;             /* NaN is largest, the first NaN wins */
                assert_int_equal(t->be->argmax(n, x), n - 1);
                x[at] = -NAN;
                assert_int_equal(t->be->argmax(n, x), at);
                x[n - 1] = other;
            }
            x[at] = keep;
        }
        for (int64_t j = 0; j < n; j++) x[j] = -INFINITY;
        assert_int_equal(t->be->argmax(n, x), 0);
        x[n - 1] = -1;
        assert_int_equal(t->be->argmax(n, x), n - 1);
        free(x);
    }
    float zeros[3] = { -0.0f, 0, 1 };
    assert_int_equal(t->be->argmax(2, zeros), 0);
}

static void test_argmax(void **state)
{
    (void)state;
    each_isa(argmaxes, 1);
}

static void elements(const under_test *t)
{
    static const int64_t sizes[] = { 0, 1, 5, 16, 33, 4095, 4096, 4097, 40000 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t n = sizes[i];
        float *a = floats(n), *b = floats(n), *y = guarded(n ? n : 1);
        static const int64_t periods[] = { 1, 3, 16, 100, 4096 };
        for (int p = 0; p < 6; p++) {
            int64_t period = p < 5 ? periods[p] : n;
            if (period > n || n == 0) continue;
            t->be->add(t->cx, n, period, a, b, y);
            for (int64_t j = 0; j < n; j++) assert_true(y[j] == a[j] + b[j % period]);
        }
        t->be->scale(t->cx, n, 0.7f, a, y);
        for (int64_t j = 0; j < n; j++) assert_true(y[j] == a[j] * 0.7f);
        t->be->axpy(t->cx, n, -0.3f, b, y);
        for (int64_t j = 0; j < n; j++) {
            float e = t->isa == OC_ISA_GENERIC ? a[j] * 0.7f + -0.3f * b[j]
                                               : fmaf(-0.3f, b[j], a[j] * 0.7f);
            assert_true(y[j] == e);
        }
        t->be->activate(t->cx, OCI_ACT_NONE, n, a, y);
        assert_true(same_bits(a, y, n));
        free_guarded(y, 1, n, n ? n : 1);
        free(a);
        free(b);
    }
    for (int i = 0; i < WIDTHS; i++) {
        int64_t n = widths[i], rows = 9;
        float *x = floats(rows * n), *out = guarded(n);
        for (int64_t j = 0; j < n; j++) out[j] = 3;
        t->be->sum_rows(t->cx, rows, n, x, out);
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t r = 0; r < rows; r++) sum += x[r * n + j];
            assert_true(out[j] == 3 + sum);
        }
        free_guarded(out, 1, n, n);
        free(x);
    }
}

static void test_elements(void **state)
{
    (void)state;
    each_isa(elements, 2);
}

/* Ten steps beside torch.optim.AdamW's formulas in double. */
static void adamw(const under_test *t)
{
    enum { N = 1003 };
    float *w = guarded(N), *m = guarded(N), *v = guarded(N), g[N];
    double dw[N], dm[N] = { 0 }, dv[N] = { 0 };
    for (int i = 0; i < N; i++) {
        dw[i] = w[i] = random_float();
        m[i] = v[i] = 0;
    }
    oci_adamw_args o = { .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
                         .weight_decay = 0.1 };
    for (o.step = 1; o.step <= 10; o.step++) {
        double c1 = 1 - pow(0.9, (double)o.step), c2 = 1 - pow(0.999, (double)o.step);
        fill(g, N);
        t->be->adamw(t->cx, &o, N, g, m, v, w);
        for (int i = 0; i < N; i++) {
            dw[i] *= 1 - 0.01 * 0.1;
            dm[i] += 0.1 * (g[i] - dm[i]);
            dv[i] = 0.999 * dv[i] + 0.001 * g[i] * g[i];
            dw[i] -= 0.01 / c1 * dm[i] / (sqrt(dv[i]) / sqrt(c2) + 1e-8);
            assert_true(fabs(w[i] - dw[i]) < 2e-6);
            assert_true(fabs(v[i] - dv[i]) <= 2e-6 * dv[i] + 1e-12);
        }
    }
    free_guarded(w, 1, N, N);
    free_guarded(m, 1, N, N);
    free_guarded(v, 1, N, N);
}

static void test_adamw(void **state)
{
    (void)state;
    each_isa(adamw, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_norm), cmocka_unit_test(test_layer_norm_grad),
        cmocka_unit_test(test_softmax), cmocka_unit_test(test_argmax),
        cmocka_unit_test(test_elements), cmocka_unit_test(test_adamw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
