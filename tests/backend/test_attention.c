/* attention, its cache and its gradient: against double, and against itself bit for bit
 * wherever backend.h says that the way makes no difference. */
#include "backend_test.h"

enum { MAX_KEYS = 700 };

typedef struct problem {
    oci_attention_args a;
    float *q, *k, *v, *out, *weights, *mask;
} problem;

static problem make_problem(int64_t B, int64_t Tq, int64_t Tk, int64_t heads, int64_t D)
{
    int64_t width = heads * D, q_row = width + 4, kv_row = 2 * width + 1;
    problem p = { .q = floats(B * Tq * q_row), .k = floats(B * Tk * kv_row),
                  .v = floats(B * Tk * kv_row), .out = guarded(B * Tq * (width + 3)),
                  .weights = guarded(B * heads * Tq * Tk) };
    for (int64_t i = 0; i < B * Tq * q_row; i++) p.q[i] *= 4;
    p.a = (oci_attention_args){
        .B = B, .Tq = Tq, .Tk = Tk, .heads = heads, .kv_heads = heads, .head_dim = D,
        .q = p.q, .q_row = q_row,
        .k = p.k, .v = p.v, .kv_row = kv_row, .scale = 0.37f, .out = p.out,
        .out_row = width + 3, .weights = p.weights,
    };
    return p;
}

static void free_problem(problem *p)
{
    oci_attention_args *a = &p->a;
    free_guarded(p->out, a->B * a->Tq, a->heads * a->head_dim, a->out_row);
    free_guarded(p->weights, a->B * a->heads * a->Tq, a->Tk, a->Tk);
    free(p->q);
    free(p->k);
    free(p->v);
    free(p->mask);
}

/* Softmax of query i in double; returns how many keys it sees. */
static int64_t exact_weights(const oci_attention_args *a, int64_t b, int64_t h, int64_t i,
                             double *w)
{
    int64_t keys = a->causal ? i + 1 + a->Tk - a->Tq : a->Tk;
    if (keys > a->Tk) keys = a->Tk;
    double top = -INFINITY, sum = 0;
    const float *q = a->q + (b * a->Tq + i) * a->q_row + h * a->head_dim;
    for (int64_t j = 0; j < keys; j++) {
        const float *k = a->k + (b * a->Tk + j) * a->kv_row + h * a->head_dim;
        double s = 0;
        for (int64_t d = 0; d < a->head_dim; d++) s += (double)q[d] * k[d];
        /* As float, so that adding the smallest float swallows the score,
         * as in PyTorch. */
        float score = (float)s * a->scale;
        int64_t row = a->mask_rows ? a->mask_rows[b] : b;
        if (a->mask)
            score +=
                a->mask[row * a->mask_batch + h * a->mask_head + i * a->mask_row + j];
        w[j] = score;
        top = fmax(top, w[j]);
    }
    for (int64_t j = 0; j < keys; j++) sum += w[j] = exp(w[j] - top);
    for (int64_t j = 0; j < keys; j++) w[j] /= sum;
    return keys;
}

static void expect_attention(const problem *p)
{
    const oci_attention_args *a = &p->a;
    double w[MAX_KEYS];
    for (int64_t at = 0; at < a->B * a->heads * a->Tq; at++) {
        int64_t i = at % a->Tq, h = at / a->Tq % a->heads, b = at / a->Tq / a->heads;
        int64_t keys = exact_weights(a, b, h, i, w);
        for (int64_t j = 0; j < a->Tk; j++)
            assert_true(fabs(p->weights[at * a->Tk + j] - (j < keys ? w[j] : 0)) < 3e-6);
        for (int64_t d = 0; d < a->head_dim; d++) {
            double y = 0;
            for (int64_t j = 0; j < keys; j++)
                y += w[j] * a->v[(b * a->Tk + j) * a->kv_row + h * a->head_dim + d];
            if (a->head_mask) y *= a->head_mask[h];
            float found = p->out[(b * a->Tq + i) * a->out_row + h * a->head_dim + d];
            assert_true(fabs(found - y) < 3e-6);
        }
    }
}

static void check_forward(const under_test *t, int64_t Tq, int64_t Tk, int64_t D, int how)
{
    static const float head_mask[3] = { 1, 0, 0.5f };
    problem p = make_problem(2, Tq, Tk, 3, D);
    p.a.causal = how & 1;
    p.a.head_mask = how & 8 ? head_mask : NULL;
    if (how & 2) {              /* padding: one row a batch row */
        p.mask = floats(2 * Tk);
        for (int64_t i = 0; i < 2 * Tk; i++)
            p.mask[i] = i % 5 == 3 ? -3.4028234663852886e38f : i % 7 == 4 ? -INFINITY : 0;
        p.a.mask_batch = Tk;
    } else if (how & 4) {       /* a bias for every head, query and key */
        p.mask = floats(3 * Tq * Tk);
        p.a.mask_head = Tq * Tk;
        p.a.mask_row = Tk;
    }
    p.a.mask = p.mask;
    t->be->attention(t->cx, &p.a);
    expect_attention(&p);
    free_problem(&p);
}

static void forward(const under_test *t)
{
    for (int how = 0; how < 16; how++) {
        if ((how & 6) == 6) continue;
        check_forward(t, 1, 1, 8, how);
        check_forward(t, 7, 12, 20, how);
        check_forward(t, 33, 33, 64, how);
        check_forward(t, 50, 61, 33, how);
        check_forward(t, 1, 100, 16, how);
    }
    check_forward(t, 197, 197, 64, 0);
    check_forward(t, 40, 577, 64, 4);
    check_forward(t, 100, 100, 7, 1);
}

static void test_forward(void **state)
{
    (void)state;
    each_isa(forward, 2);
}

static oci_kv make_cache(const under_test *t, int64_t rows, int64_t heads, int64_t D,
                         int64_t T)
{
    int64_t P = t->be->panel, room = (T + P - 1) / P * P, panels = (D + P - 1) / P;
    oci_kv kv = {
        .rows = rows, .heads = heads, .head_dim = D, .room = room, .dtype = OC_F32
    };
    kv.keys = malloc((size_t)(rows * heads * room * D) * sizeof(float));
    kv.values = malloc((size_t)(rows * heads * room * panels * P) * sizeof(float));
    /* What was never written must not matter: all NaN. */
    memset(kv.keys, 0xff, (size_t)(rows * heads * room * D) * sizeof(float));
    memset(kv.values, 0xff, (size_t)(rows * heads * room * panels * P) * sizeof(float));
    return kv;
}

/* A causal pass over all tokens, the same in pieces of `step` through a cache, whose rows
 * are in another order: the same bits, and the same weights. */
static void check_cache(const under_test *t, int64_t T, int64_t D, int64_t step)
{
    static const int64_t kv_rows[2] = { 3, 1 };
    problem p = make_problem(2, T, T, 3, D);
    p.a.causal = true;
    t->be->attention(t->cx, &p.a);
    oci_kv kv = make_cache(t, 4, 3, D, T);
    int64_t width = 3 * D;
    for (int64_t at = 0; at < T; at += step) {
        int64_t n = T - at < step ? T - at : step;
        float *q = floats(2 * n * width), *k = floats(2 * n * width),
              *v = floats(2 * n * width);
        float *out = guarded(2 * n * width), *w = guarded(2 * 3 * n * (at + n));
        for (int64_t i = 0; i < 2 * n; i++) {
            int64_t from = i / n * T + at + i % n;
            memcpy(q + i * width, p.q + from * p.a.q_row, (size_t)width * sizeof *q);
            memcpy(k + i * width, p.k + from * p.a.kv_row, (size_t)width * sizeof *q);
            memcpy(v + i * width, p.v + from * p.a.kv_row, (size_t)width * sizeof *q);
        }
        t->be->kv_append(t->cx, &kv, kv_rows, 2, n, at, k, v, width);
        oci_attention_args a = p.a;
        a.Tq = n;
        a.Tk = at + n;
        a.q = q;
        a.q_row = width;
        a.k = a.v = NULL;
        a.kv = &kv;
        a.kv_rows = kv_rows;
        a.out = out;
        a.out_row = width;
        a.weights = w;
        t->be->attention(t->cx, &a);
        for (int64_t i = 0; i < 2 * n; i++)
            assert_true(same_bits(out + i * width,
                                  p.out + (i / n * T + at + i % n) * p.a.out_row, width));
        for (int64_t i = 0; i < 6 * n; i++)
            assert_true(same_bits(w + i * (at + n),
                                  p.weights + (i / n * T + at + i % n) * T, at + n));
        free_guarded(out, 2 * n, width, width);
        free_guarded(w, 6 * n, at + n, at + n);
        free(q);
        free(k);
        free(v);
    }
    free(kv.keys);
    free(kv.values);
    free_problem(&p);
}

static void cache(const under_test *t)
{
    check_cache(t, 70, 64, 1);
    check_cache(t, 45, 20, 1);
    check_cache(t, 45, 33, 7);
    check_cache(t, 90, 16, 40);
    check_cache(t, 10, 3, 3);
}

static void test_cache(void **state)
{
    (void)state;
    each_isa(cache, 2);
}

/* ---- keys in several rows of a cache ----------------------------------------------- */

/* A cache where position j of batch row b is in row origin[b * T + j], and
 * one where all of it is in row b: the same bits. `fork` positions pass
 * before a row changes at random. */
static void check_origin(const under_test *t, int64_t Tq, int64_t T, int64_t D,
                         int64_t fork)
{
    enum { B = 3, ROWS = 5, HEADS = 2 };
    problem p = make_problem(B, Tq, T, HEADS, D);
    oci_kv spread = make_cache(t, ROWS, HEADS, D, T),
           whole = make_cache(t, B, HEADS, D, T);
    int64_t *origin = malloc((size_t)(B * T) * sizeof *origin), width = HEADS * D;
    assert_non_null(origin);
    for (int64_t i = 0; i < B * T; i++) {
        bool stay = i % T && i % T % fork;
        int64_t b = i / T, at = b * T + i % T;
        origin[i] = stay ? origin[i - 1] : random_bits() % ROWS;
        const float *k = p.k + at * p.a.kv_row, *v = p.v + at * p.a.kv_row;
        /* Rows that meet in one place must agree on what is there. */
        for (int64_t c = 0; c < b; c++)
            if (origin[c * T + i % T] == origin[i]) {
                memcpy(p.k + at * p.a.kv_row, p.k + (c * T + i % T) * p.a.kv_row,
                       (size_t)width * sizeof(float));
                memcpy(p.v + at * p.a.kv_row, p.v + (c * T + i % T) * p.a.kv_row,
                       (size_t)width * sizeof(float));
            }
        t->be->kv_append(t->cx, &spread, &origin[i], 1, 1, i % T, k, v, width);
        t->be->kv_append(t->cx, &whole, &b, 1, 1, i % T, k, v, width);
    }
    oci_attention_args a = p.a;
    a.causal = Tq > 1;
    a.k = a.v = NULL;
    a.kv = &whole;
    t->be->attention(t->cx, &a);
    float *out = guarded(B * Tq * a.out_row), *weights = guarded(B * HEADS * Tq * T);
    a.kv = &spread;
    a.kv_origin = origin;
    a.origin_row = T;
    a.out = out;
    a.weights = weights;
    t->be->attention(t->cx, &a);
    for (int64_t i = 0; i < B * Tq; i++)
        assert_true(same_bits(out + i * a.out_row, p.out + i * a.out_row, width));
    assert_true(same_bits(weights, p.weights, B * HEADS * Tq * T));
    free_guarded(out, B * Tq, width, a.out_row);
    free_guarded(weights, 1, B * HEADS * Tq * T, B * HEADS * Tq * T);
    free(origin);
    free(spread.keys);
    free(spread.values);
    free(whole.keys);
    free(whole.values);
    free_problem(&p);
}

static void origin(const under_test *t)
{
    static const int64_t forks[] = { 1, 2, 5, 33, 1000 };
    for (size_t i = 0; i < sizeof forks / sizeof *forks; i++) {
        check_origin(t, 1, 1, 8, forks[i]);
        check_origin(t, 1, 31, 64, forks[i]);
        check_origin(t, 1, 64, 20, forks[i]);
        check_origin(t, 1, 213, 33, forks[i]);
        check_origin(t, 40, 70, 16, forks[i]);
    }
}

static void test_origin(void **state)
{
    (void)state;
    each_isa(origin, 2);
}

/* Query i alone, and batch row b alone, without a cache. */
static void alone(const under_test *t)
{
    problem p = make_problem(3, 41, 53, 2, 24);
    t->be->attention(t->cx, &p.a);
    float *out = guarded(p.a.out_row);
    for (int64_t b = 0; b < 3; b++)
        for (int64_t i = 0; i < 41; i++) {
            oci_attention_args a = p.a;
            a.B = a.Tq = 1;
            a.q += (b * 41 + i) * a.q_row;
            a.k += b * 53 * a.kv_row;
            a.v += b * 53 * a.kv_row;
            a.out = out;
            a.weights = NULL;
            t->be->attention(t->cx, &a);
            assert_true(same_bits(out, p.out + (b * 41 + i) * a.out_row, 48));
        }
    free_guarded(out, 1, 48, p.a.out_row);
    free_problem(&p);
}

static void test_alone(void **state)
{
    (void)state;
    each_isa(alone, 2);
}

/* Masks as PyTorch treats them, and sizes of zero. */
static void corners(const under_test *t)
{
    for (int64_t Tq = 1; Tq < 60; Tq += 29) {
        problem p = make_problem(1, Tq, 5, 1, 8);
        float mask[5];
        for (int j = 0; j < 5; j++) mask[j] = -3.4028234663852886e38f;
        p.a.mask = mask;
        t->be->attention(t->cx, &p.a);
        for (int64_t i = 0; i < Tq * 5; i++) assert_true(fabs(p.weights[i] - 0.2) < 1e-6);
        for (int j = 0; j < 5; j++) mask[j] = -INFINITY;
        t->be->attention(t->cx, &p.a);
        for (int64_t i = 0; i < Tq * 5; i++) assert_true(isnan(p.weights[i]));
        for (int64_t i = 0; i < Tq; i++) assert_true(isnan(p.out[i * p.a.out_row + 7]));
        p.a.Tk = 0;
        t->be->attention(t->cx, &p.a);
        for (int64_t i = 0; i < Tq; i++) assert_true(p.out[i * p.a.out_row + 7] == 0);
        p.a.Tk = 5;
        p.a.Tq = 0;
        t->be->attention(t->cx, &p.a);
        p.a.Tq = Tq;
        p.a.B = 0;
        t->be->attention(t->cx, &p.a);
        p.a.B = 1;
        free_problem(&p);
    }
}

static void test_corners(void **state)
{
    (void)state;
    each_isa(corners, 2);
}

/* The loss sum(out * dout) in double, for finite differences. */
static double loss(const oci_attention_args *a, const float *dout)
{
    double w[MAX_KEYS], sum = 0;
    for (int64_t at = 0; at < a->B * a->heads * a->Tq; at++) {
        int64_t i = at % a->Tq, h = at / a->Tq % a->heads, b = at / a->Tq / a->heads;
        int64_t keys = exact_weights(a, b, h, i, w);
        for (int64_t j = 0; j < keys; j++)
            for (int64_t d = 0; d < a->head_dim; d++)
                sum += w[j] * a->v[(b * a->Tk + j) * a->kv_row + h * a->head_dim + d] *
                       dout[(b * a->Tq + i) * a->out_row + h * a->head_dim + d] *
                       (a->head_mask ? a->head_mask[h] : 1);
    }
    return sum;
}

/* `grad` began at 1 and must have grown by d loss / d x. */
static void expect_slope(const oci_attention_args *a, const float *dout, float *x,
                         const float *grad, int64_t n, int64_t step)
{
    for (int64_t i = 0; i < n; i += step) {
        float keep = x[i], h = 0x1p-7f;
        x[i] = keep + h;
        double above = loss(a, dout);
        x[i] = keep - h;
        double below = loss(a, dout);
        x[i] = keep;
        double slope = (above - below) / (2 * h);
        assert_true(fabs(grad[i] - 1 - slope) < 3e-3 * (1 + fabs(slope)));
    }
}

static void gradient(const under_test *t)
{
    static const float head_mask[2] = { 0.5f, 2 };
    static const int64_t mask_rows[2] = { 1, 0 };
    for (int how = 0; how < 8; how++) {
        int64_t Tq = how & 1 ? 19 : 70, Tk = how & 1 ? 19 : 23, D = 12;
        problem p = make_problem(2, Tq, Tk, 2, D);
        p.a.causal = how & 1;
        p.a.head_mask = how & 2 ? head_mask : NULL;
        int64_t mask_size = 2 * 2 * Tq * Tk;
        if (how & 4) {          /* a bias of its own for each row, but not in order */
            p.a.mask = p.mask = floats(mask_size);
            p.a.mask_batch = 2 * Tq * Tk;
            p.a.mask_head = Tq * Tk;
            p.a.mask_row = Tk;
            p.a.mask_rows = mask_rows;
        }
        t->be->attention(t->cx, &p.a);
        int64_t q_size = 2 * Tq * p.a.q_row, kv_size = 2 * Tk * p.a.kv_row;
        float *dout = floats(2 * Tq * p.a.out_row);
        float *dq = guarded(q_size), *dk = guarded(kv_size), *dv = guarded(kv_size);
        for (int64_t i = 0; i < q_size; i++) dq[i] = 1;
        for (int64_t i = 0; i < kv_size; i++) dk[i] = dv[i] = 1;
        float *dmask = guarded(mask_size);
        for (int64_t i = 0; i < mask_size; i++) dmask[i] = 1;
        oci_attention_grad_args g = { &p.a, dout, dq, dk, dv, how & 4 ? dmask : NULL };
        t->be->attention_grad(t->cx, &g);
        expect_slope(&p.a, dout, p.q, dq, q_size, 41);
        expect_slope(&p.a, dout, p.k, dk, kv_size, 41);
        expect_slope(&p.a, dout, p.v, dv, kv_size, 41);
        if (how & 4) expect_slope(&p.a, dout, p.mask, dmask, mask_size, 41);
        free_guarded(dmask, 1, mask_size, mask_size);
        /* Each may be left out, and the others stay the same. */
        float *again = guarded(kv_size);
        for (int64_t i = 0; i < kv_size; i++) again[i] = 1;
        t->be->attention_grad(t->cx, &(oci_attention_grad_args){ .forward = &p.a,
                              .dout = dout, .dk = again });
        assert_true(same_bits(again, dk, kv_size));
        free_guarded(again, 1, kv_size, kv_size);
        free_guarded(dq, 1, q_size, q_size);
        free_guarded(dk, 1, kv_size, kv_size);
        free_guarded(dv, 1, kv_size, kv_size);
        free(dout);
        free_problem(&p);
    }
}

static void test_gradient(void **state)
{
    (void)state;
    each_isa(gradient, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward), cmocka_unit_test(test_cache),
        cmocka_unit_test(test_origin), cmocka_unit_test(test_alone),
        cmocka_unit_test(test_corners),
        cmocka_unit_test(test_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
