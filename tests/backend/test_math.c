/* exp, tanh, the logistic function, the normal distribution and the activations made of
 * them, swept over all magnitudes against long double. */
#include "backend_test.h"

enum { BLOCK = 4096 };

static long double sigmoid(long double x) { return 1 / (1 + expl(-x)); }

/* The value of an act; its argument is rounded to float where the kernels do, because the
 * function is asked for there. */
static long double exact_act(oci_act act, long double x)
{
    const long double root = sqrtl(0.5L);
    switch (act) {
    case OCI_ACT_GELU: return x * erfcl(-x * root) / 2;
    case OCI_ACT_GELU_NEW:
        return x * sigmoid(2 * 0.7978845608028653558799L * (x + 0.044715L * x * x * x));
    case OCI_ACT_QUICK_GELU: return x * sigmoid(1.702L * x);
    case OCI_ACT_RELU: return x > 0 ? x : x < 0 ? 0 : x;
    case OCI_ACT_SILU: return x * sigmoid(x);
    case OCI_ACT_TANH: return tanhl(x);
    case OCI_ACT_SIGMOID: return sigmoid(x);
    case OCI_ACT_GELU_10: {
        long double y = x * erfcl(-x * root) / 2;
        return y > 10 ? 10 : y;
    }
    case OCI_ACT_LAPLACE: return erfcl(-(x - 0.707107L) / 0.282095L * root) / 2;
    case OCI_ACT_LEAKY_RELU: return x < 0 ? 0.01L * x : x;
    case OCI_ACT_MISH: return x > 60 ? x : x * tanhl(log1pl(expl(x)));
    case OCI_ACT_RELU2: return x > 0 ? x * x : x < 0 ? 0 : x;
    case OCI_ACT_RELU6: return x > 6 ? 6 : x > 0 ? x : x < 0 ? 0 : x;
    default: return x;
    }
}

/* Ulp that an act may be off at x. The first number is the measured bound; the
 * second says how much of the argument's own rounding the function multiplies: e^u
 * is off by |u| ulp when u is off by one, and that is the conditioning of these
 * functions for x far below 0. */
static double allowed_ulps(oci_act act, double x)
{
    double low = x < 0 ? -x : 0;
    switch (act) {
    case OCI_ACT_GELU: case OCI_ACT_GELU_10: return 5.5;
    case OCI_ACT_GELU_NEW: return 5 + 2.5 * 1.6 * (low + 0.045 * low * low * low);
    case OCI_ACT_QUICK_GELU: return 5 + 2.0 * 1.7 * low;
    case OCI_ACT_SILU: return 3.5;
    case OCI_ACT_TANH: return 1.5;
    case OCI_ACT_SIGMOID: return 2.5;
    case OCI_ACT_LAPLACE: return 5 + 2.0 * 13 * (low + 0.8) * (low + 0.8);
    case OCI_ACT_MISH: return 4.5;
    case OCI_ACT_RELU2: case OCI_ACT_LEAKY_RELU: return 1;
    default: return 0;
    }
}

/* Past this point the exact value is a subnormal float, or close to one: the product of x
 * and a rounded subnormal is off by up to |x| of its units. */
static double allowed(oci_act act, double x, long double exact)
{
    double a = allowed_ulps(act, x);
    return fabsl(exact) < 0x1p-120L && a > 0 ? a + 32 + fabs(x) : a;
}

static void check_block(const under_test *t, oci_act act, const float *x, int n,
                        double *worst, double *where)
{
    float y[BLOCK];
    t->be->activate(t->cx, act, n, x, y);
    for (int i = 0; i < n; i++) {
        long double exact = exact_act(act, x[i]);
        double u = ulps(y[i], exact);
        if (u > allowed(act, x[i], exact))
            fail_msg("%s act %d at %a: expected %La, found %a (%.1f ulp)", t->be->name,
                     act, (double)x[i], exact, (double)y[i], u);
        if (u > *worst && fabs(x[i]) < 6) {
            *worst = u;
            *where = x[i];
        }
    }
}

/* Every magnitude of both signs, then densely where the functions bend. */
static void sweep(const under_test *t)
{
    float x[BLOCK];
    for (int act = 1; act < OCI_ACT_COUNT; act++) {
        double worst = 0, where = 0;
        int n = 0;
        for (uint32_t bits = 0; bits < 0x7f800000; bits += 60013) {
            uint32_t both[2] = { bits, bits | 0x80000000 };
            memcpy(x + n, both, sizeof both);
            n += 2;
            /* x * s(x) at the far ends is infinite times 0 in every implementation. */
            if (bits > 0x7e000000) break;
            if (n == BLOCK) {
                check_block(t, (oci_act)act, x, n, &worst, &where);
                n = 0;
            }
        }
        check_block(t, (oci_act)act, x, n, &worst, &where);
        for (int block = 0; block < 8; block++) {
            for (int i = 0; i < BLOCK; i++)
                x[i] = (float)(block - 4) * 4 + 4 * (float)i / BLOCK + 0.0001f;
            check_block(t, (oci_act)act, x, BLOCK, &worst, &where);
        }
        printf("  act %2d: at most %.2f ulp for |x| < 6, at %g\n", act, worst, where);
    }
}

static void test_sweep(void **state)
{
    (void)state;
    each_isa(sweep, 1);
}

/* e^-t shows bare in softmax([0, -t]) once 1 + e^-t rounds to 1. */
static void exponential(const under_test *t)
{
    double worst = 0;
    for (float v = 17; v < 87.2f; v += 0.0037f) {
        float x[2] = { 0, -v }, y[2];
        t->be->softmax(t->cx, 1, 2, x, y);
        assert_true(y[0] == 1);
        worst = fmax(worst, ulps(y[1], expl(-(long double)v)));
    }
    printf("  exp: at most %.2f ulp\n", worst);
    assert_true(worst <= 1.0);
    /* Below 2^-126 softmax gives 0, and nothing else for masks. */
    static const float low[] = { -88, -104, -1e5f, -3.4028235e38f, -INFINITY };
    for (size_t i = 0; i < sizeof low / sizeof *low; i++) {
        float x[2] = { 0, low[i] }, y[2];
        t->be->softmax(t->cx, 1, 2, x, y);
        assert_true(y[0] == 1 && y[1] == 0);
    }
}

static void test_exponential(void **state)
{
    (void)state;
    each_isa(exponential, 1);
}

static void ends(const under_test *t)
{
    float x[5] = { NAN, INFINITY, -INFINITY, 0, -0.0f }, y[5];
    for (int act = 1; act < OCI_ACT_COUNT; act++) {
        t->be->activate(t->cx, (oci_act)act, 5, x, y);
        assert_true(isnan(y[0]));
        bool half = act == OCI_ACT_SIGMOID, tanh_like = act == OCI_ACT_TANH;
        if (half || tanh_like || act == OCI_ACT_LAPLACE) assert_true(y[1] == 1);
        else if (act == OCI_ACT_GELU_10) assert_true(y[1] == 10);
        else if (act == OCI_ACT_RELU6) assert_true(y[1] == 6);
        else assert_true(y[1] == INFINITY);
        if (tanh_like) assert_true(y[2] == -1);
        else if (act == OCI_ACT_LEAKY_RELU) assert_true(y[2] == -INFINITY);
        else if (half || act == OCI_ACT_LAPLACE || act == OCI_ACT_RELU ||
                 act == OCI_ACT_RELU2 || act == OCI_ACT_RELU6) assert_true(y[2] == 0);
        if (act != OCI_ACT_LAPLACE)
            assert_true(y[3] == (half ? 0.5f : 0) && y[4] == y[3]);
    }
}

static void test_ends(void **state)
{
    (void)state;
    each_isa(ends, 1);
}

/* Slopes against central differences of the exact functions; they are added. */
static void slopes(const under_test *t)
{
    enum { N = 1601 };
    float x[N], dy[N], dx[N];
    for (int act = 0; act < OCI_ACT_COUNT; act++) {
        for (int i = 0; i < N; i++) {
            x[i] = (float)(i - N / 2) * 0.02f + 0.003f;
            dy[i] = random_float();
            dx[i] = 1;
        }
        t->be->activate_grad(t->cx, (oci_act)act, N, x, dy, dx);
        for (int i = 0; i < N; i++) {
            long double h = 1e-5L;
            long double slope = (exact_act((oci_act)act, x[i] + h) -
                                 exact_act((oci_act)act, x[i] - h)) / (2 * h);
            long double exact = 1 + dy[i] * slope;
            if (fabsl(dx[i] - exact) > 2e-6L + 2e-6L * fabsl(slope))
                fail_msg("%s act %d at %g: expected %Lg, found %g", t->be->name, act,
                         (double)x[i], exact, (double)dx[i]);
        }
    }
}

static void test_slopes(void **state)
{
    (void)state;
    each_isa(slopes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sweep), cmocka_unit_test(test_exponential),
        cmocka_unit_test(test_ends), cmocka_unit_test(test_slopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
