/* Keys and values that a cache keeps in 32, 16 or 8 bits: what is kept, the attention
 * over it, and that its bits depend on nothing else: not on how many queries come at a
 * time, how many heads share keys, what stands before the first key that a row sees, or
 * which rows there are. */
#include "backend_test.h"

static const oc_dtype dtypes[] = { OC_F32, OC_BF16, OC_INT8 };

/* Queries, keys and values of B rows of T positions, and a place for results. */
typedef struct problem {
    int64_t B, T, heads, kv_heads, D;
    float *q, *k, *v, *out;
} problem;

static problem make_problem(int64_t B, int64_t T, int64_t heads, int64_t kv_heads,
                            int64_t D)
{
    problem p = { B, T, heads, kv_heads, D, floats(B * T * heads * D),
                  floats(B * T * kv_heads * D), floats(B * T * kv_heads * D),
                  guarded(B * T * heads * D) };
    for (int64_t i = 0; i < B * T * heads * D; i++) p.q[i] *= 4;
    return p;
}

static void free_problem(problem *p)
{
    free_guarded(p->out, p->B * p->T, p->heads * p->D, p->heads * p->D);
    free(p->q);
    free(p->k);
    free(p->v);
}

/* What was never written must not matter: all bits set, NaN or -1. */
static void *filled(int64_t bytes)
{
    void *p = malloc((size_t)bytes);
    assert_non_null(p);
    return memset(p, 0xff, (size_t)bytes);
}

static oci_kv make_kv(const under_test *t, oc_dtype dtype, int64_t rows, int64_t heads,
                      int64_t D, int64_t length)
{
    int64_t P = t->be->panel, room = (length + P - 1) / P * P, wide = (D + P - 1) / P * P;
    int64_t size = dtype == OC_F32 ? 4 : dtype == OC_BF16 ? 2 : 1;
    int64_t each = rows * heads * room;
    return (oci_kv){ .rows = rows, .heads = heads, .head_dim = D, .room = room,
                     .dtype = dtype, .keys = filled(each * D * size),
                     .values = filled(each * wide * size),
                     .key_scales = dtype == OC_INT8 ? filled(each * 4) : NULL,
                     .value_scales = dtype == OC_INT8 ? filled(each * 4) : NULL };
}

static void free_kv(oci_kv *kv)
{
    free(kv->keys);
    free(kv->values);
    free(kv->key_scales);
    free(kv->value_scales);
}

/* Positions from..from+n of row b of the problem, behind what row `row` has. */
static void append(const under_test *t, const problem *p, const oci_kv *kv, int64_t row,
                   int64_t b, int64_t from, int64_t n)
{
    int64_t width = p->kv_heads * p->D, at = (b * p->T + from) * width;
    t->be->kv_append(t->cx, kv, &row, 1, n, from, p->k + at, p->v + at, width);
}

static oci_attention_args args_of(const problem *p, const oci_kv *kv)
{
    int64_t width = p->heads * p->D;
    return (oci_attention_args){ .B = p->B, .Tq = p->T, .Tk = p->T, .heads = p->heads,
        .kv_heads = p->kv_heads, .head_dim = p->D, .q = p->q, .q_row = width, .kv = kv,
        .scale = 0.37f, .causal = true, .out = p->out, .out_row = width };
}

/* ---- what is kept ---- */

static void check_kept(const under_test *t, oc_dtype dtype, int64_t D)
{
    problem p = make_problem(2, 37, 3, 3, D);
    oci_kv kv = make_kv(t, dtype, 2, 3, D, 37);
    float k[80], v[80];
    for (int64_t b = 0; b < 2; b++) append(t, &p, &kv, b, b, 0, 37);
    for (int64_t i = 0; i < 2 * 3 * 37; i++) {
        int64_t b = i / 37 / 3, h = i / 37 % 3, at = i % 37;
        const float *x[2] = { p.k + ((b * 37 + at) * 3 + h) * D,
                              p.v + ((b * 37 + at) * 3 + h) * D }, *kept[2] = { k, v };
        t->be->kv_read(&kv, b, h, at, k, NULL);
        t->be->kv_read(&kv, b, h, at, NULL, v);
        for (int which = 0; which < 2; which++) {
            float most = 0;
            for (int64_t d = 0; d < D; d++) most = fmaxf(most, fabsf(x[which][d]));
            for (int64_t d = 0; d < D; d++) {
                float want = x[which][d], found = kept[which][d];
                if (dtype == OC_BF16) want = oci_bf16_to_f32(oci_f32_to_bf16(want));
                /* Half of a step of the scale, and its own rounding. */
                if (dtype == OC_INT8) assert_true(fabsf(found - want) <= most / 253);
                else assert_true(found == want);
            }
        }
    }
    free_kv(&kv);
    free_problem(&p);
}

static void kept(const under_test *t)
{
    for (int i = 0; i < 3; i++) {
        check_kept(t, dtypes[i], 64);
        check_kept(t, dtypes[i], 33);
        check_kept(t, dtypes[i], 3);
    }
}

static void test_kept(void **state)
{
    (void)state;
    each_isa(kept, 2);
}

/* Zeros stay zeros; numbers too small for a scale become zeros; what is no number
 * shows. */
static void odd_numbers(const under_test *t)
{
    oci_kv kv = make_kv(t, OC_INT8, 1, 1, 4, 4);
    const float k[16] = { 0, 0, 0, 0, 1e-38f, 0, -1e-38f, 0,
                          INFINITY, 1, 2, 3, 1, NAN, 0, 2 };
    float found[4];
    t->be->kv_append(t->cx, &kv, NULL, 1, 4, 0, k, k, 4);
    for (int64_t at = 0; at < 4; at++) {
        t->be->kv_read(&kv, 0, 0, at, NULL, found);
        for (int d = 0; d < 4; d++) assert_true(at < 2 ? found[d] == 0 : isnan(found[d]));
    }
    free_kv(&kv);
}

static void test_odd_numbers(void **state)
{
    (void)state;
    each_isa(odd_numbers, 1);
}

/* ---- the same bits ---- */

/* The whole in one causal pass through a cache. */
static void run_whole(const under_test *t, problem *p, oci_kv *kv)
{
    for (int64_t b = 0; b < p->B; b++) append(t, p, kv, b, b, 0, p->T);
    oci_attention_args a = args_of(p, kv);
    t->be->attention(t->cx, &a);
}

/* Against double arithmetic on what the cache has. */
static void expect_exact(const under_test *t, const problem *p, const oci_kv *kv)
{
    float *k = floats(p->T * p->D), *v = floats(p->T * p->D);
    double *w = malloc((size_t)p->T * sizeof *w);
    int64_t shared = p->heads / p->kv_heads;
    for (int64_t at = 0; at < p->B * p->heads; at++) {
        int64_t b = at / p->heads, h = at % p->heads;
        for (int64_t j = 0; j < p->T; j++)
            t->be->kv_read(kv, b, h / shared, j, k + j * p->D, v + j * p->D);
        for (int64_t i = 0; i < p->T; i += 7) {
            double sum = 0;
            const float *q = p->q + ((b * p->T + i) * p->heads + h) * p->D;
            for (int64_t j = 0; j <= i; j++) {
                double s = 0;
                for (int64_t d = 0; d < p->D; d++) s += (double)q[d] * k[j * p->D + d];
                sum += w[j] = exp(s * 0.37f);
            }
            for (int64_t d = 0; d < p->D; d++) {
                double y = 0;
                for (int64_t j = 0; j <= i; j++) y += w[j] / sum * v[j * p->D + d];
                float found = p->out[((b * p->T + i) * p->heads + h) * p->D + d];
                assert_true(fabs(found - y) < 6e-6);
            }
        }
    }
    free(k);
    free(v);
    free(w);
}

/* The same in pieces of `step` positions. */
static void expect_steps(const under_test *t, const problem *p, oc_dtype dtype,
                         int64_t step)
{
    static const int64_t rows[2] = { 2, 0 };
    oci_kv kv = make_kv(t, dtype, 3, p->kv_heads, p->D, p->T);
    int64_t width = p->heads * p->D;
    for (int64_t at = 0; at < p->T; at += step) {
        int64_t n = p->T - at < step ? p->T - at : step;
        float *q = floats(2 * n * width), *out = guarded(2 * n * width);
        for (int64_t b = 0; b < 2; b++) {
            append(t, p, &kv, rows[b], b, at, n);
            memcpy(q + b * n * width, p->q + (b * p->T + at) * width,
                   (size_t)(n * width) * sizeof *q);
        }
        oci_attention_args a = args_of(p, &kv);
        a.kv_rows = rows;
        a.Tq = n;
        a.Tk = at + n;
        a.q = q;
        a.out = out;
        t->be->attention(t->cx, &a);
        for (int64_t b = 0; b < 2; b++)
            assert_true(same_bits(out + b * n * width, p->out + (b * p->T + at) * width,
                                  n * width));
        free_guarded(out, 2 * n, width, width);
        free(q);
    }
    free_kv(&kv);
}

static void check_steps(const under_test *t, oc_dtype dtype, int64_t heads,
                        int64_t kv_heads, int64_t D)
{
    problem p = make_problem(2, 75, heads, kv_heads, D);
    oci_kv kv = make_kv(t, dtype, 2, kv_heads, D, 75);
    run_whole(t, &p, &kv);
    expect_exact(t, &p, &kv);
    expect_steps(t, &p, dtype, 1);
    expect_steps(t, &p, dtype, 6);
    expect_steps(t, &p, dtype, 40);
    free_kv(&kv);
    free_problem(&p);
}

static void steps(const under_test *t)
{
    static const int64_t heads[][2] = {
        { 3, 3 }, { 8, 4 }, { 6, 2 }, { 8, 2 }, { 5, 1 }, { 12, 2 }, { 7, 1 }, { 16, 2 },
        { 11, 1 }
    };
    for (int i = 0; i < 3; i++)
        for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
            check_steps(t, dtypes[i], heads[h][0], heads[h][1], h % 2 ? 20 : 64);
}

static void test_steps(void **state)
{
    (void)state;
    each_isa(steps, 2);
    each_isa(steps, 3);
}

/* Positions that lie in several rows of a cache, as beams leave them. */
static void check_origin(const under_test *t, oc_dtype dtype, int64_t fork)
{
    enum { T = 75, ROWS = 4 };
    problem p = make_problem(1, T, 6, 2, 20);
    oci_kv whole = make_kv(t, dtype, 1, 2, 20, T),
           spread = make_kv(t, dtype, ROWS, 2, 20, T);
    int64_t origin[T];
    run_whole(t, &p, &whole);
    for (int64_t i = 0; i < T; i++) {
        origin[i] = i && i % fork ? origin[i - 1] : random_bits() % ROWS;
        append(t, &p, &spread, origin[i], 0, i, 1);
    }
    float *out = guarded(T * 120);
    oci_attention_args a = args_of(&p, &spread);
    a.kv_origin = origin;
    a.origin_row = T;
    a.out = out;
    t->be->attention(t->cx, &a);
    assert_true(same_bits(out, p.out, T * 120));
    free_guarded(out, T, 120, 120);
    free_kv(&whole);
    free_kv(&spread);
    free_problem(&p);
}

static void origin(const under_test *t)
{
    for (int i = 0; i < 3; i++)
        for (int64_t fork = 1; fork < 80; fork *= 4) check_origin(t, dtypes[i], fork);
}

static void test_origin(void **state)
{
    (void)state;
    each_isa(origin, 2);
}

/* Sessions of different lengths and kinds in one call: each as alone. */
static void sessions(const under_test *t)
{
    static const int64_t lengths[] = { 1, 33, 75, 64 };
    enum { N = 4, HEADS = 6, D = 20, WIDTH = HEADS * D };
    const oci_kv *each[N];
    oci_kv kvs[N];
    problem all = make_problem(N, 1, HEADS, 2, D);
    for (int64_t b = 0; b < N; b++) {
        problem p = make_problem(1, lengths[b], HEADS, 2, D);
        kvs[b] = make_kv(t, dtypes[b % 3], 1, 2, D, lengths[b]);
        each[b] = &kvs[b];
        run_whole(t, &p, &kvs[b]);
        memcpy(all.q + b * WIDTH, p.q + (lengths[b] - 1) * WIDTH, WIDTH * sizeof(float));
        memcpy(all.out + b * WIDTH, p.out + (lengths[b] - 1) * WIDTH,
               WIDTH * sizeof(float));
        free_problem(&p);
    }
    float *out = guarded(N * WIDTH);
    oci_attention_args a = args_of(&all, NULL);
    a.kv_each = each;
    a.lengths = lengths;
    a.Tk = 75;
    a.out = out;
    t->be->attention(t->cx, &a);
    assert_true(same_bits(out, all.out, N * WIDTH));
    free_guarded(out, N, WIDTH, WIDTH);
    for (int64_t b = 0; b < N; b++) free_kv(&kvs[b]);
    free_problem(&all);
}

static void test_sessions(void **state)
{
    (void)state;
    each_isa(sessions, 1);
    each_isa(sessions, 3);
}

/* ---- padding at the left ---- */

enum { LEFT_T = 70, LEFT_WIDTH = 6 * 20 };

/* A mask as models make them: [T, T] of a row whose first `pad` positions are padding.
 * Their own queries see all (PyTorch's fused attention) or nothing (the plain one). */
static void fill_mask(float *mask, int64_t pad, bool fused)
{
    for (int64_t i = 0; i < LEFT_T * LEFT_T; i++) {
        int64_t query = i / LEFT_T, key = i % LEFT_T;
        bool seen = key <= query && key >= pad;
        mask[i] = seen || (fused && query < pad) ? 0 : -3.4028234663852886e38f;
    }
}

/* Row 1 of the padded problem is row 0 of `p`, `pad` positions later; what is before it
 * takes no part, and so may be no number at all. */
static void check_left(const under_test *t, oc_dtype dtype, int64_t pad, bool cached)
{
    int64_t n = LEFT_T - pad;
    problem p = make_problem(1, n, 6, 2, 20), both = make_problem(2, LEFT_T, 6, 2, 20);
    for (int64_t i = 0; i < pad * 40; i++)
        both.k[LEFT_T * 40 + i] = both.v[LEFT_T * 40 + i] = NAN;
    memcpy(both.q + (LEFT_T + pad) * LEFT_WIDTH, p.q,
           (size_t)(n * LEFT_WIDTH) * sizeof(float));
    memcpy(both.k + (LEFT_T + pad) * 40, p.k, (size_t)(n * 40) * sizeof(float));
    memcpy(both.v + (LEFT_T + pad) * 40, p.v, (size_t)(n * 40) * sizeof(float));
    oci_kv alone = make_kv(t, dtype, 1, 2, 20, n),
           padded = make_kv(t, dtype, 2, 2, 20, LEFT_T);
    run_whole(t, &p, &alone);
    float *mask = floats(2 * LEFT_T * LEFT_T);
    fill_mask(mask, 0, true);
    fill_mask(mask + LEFT_T * LEFT_T, pad, pad % 2);
    for (int64_t b = 0; b < 2; b++) append(t, &both, &padded, b, b, 0, LEFT_T);
    oci_attention_args a = args_of(&both, &padded);
    if (!cached) {
        a.kv = NULL;
        a.k = both.k;
        a.v = both.v;
        a.kv_row = 40;
    }
    a.causal = false;
    a.mask = mask;
    a.mask_batch = LEFT_T * LEFT_T;
    a.mask_row = LEFT_T;
    t->be->attention(t->cx, &a);
    assert_true(same_bits(both.out + (LEFT_T + pad) * LEFT_WIDTH, p.out, n * LEFT_WIDTH));
    /* The last query again, as a step: a mask of one row each. */
    float *out = guarded(2 * LEFT_WIDTH);
    a.q = both.q + (LEFT_T - 1) * LEFT_WIDTH;
    a.q_row = LEFT_T * LEFT_WIDTH;
    a.Tq = 1;
    a.mask = mask + (LEFT_T - 1) * LEFT_T;
    a.out = out;
    t->be->attention(t->cx, &a);
    assert_true(same_bits(out + LEFT_WIDTH, p.out + (n - 1) * LEFT_WIDTH, LEFT_WIDTH));
    free_guarded(out, 2, LEFT_WIDTH, LEFT_WIDTH);
    free(mask);
    free_kv(&alone);
    free_kv(&padded);
    free_problem(&p);
    free_problem(&both);
}

static void left(const under_test *t)
{
    for (int64_t pad = 1; pad < LEFT_T; pad += pad < 20 ? 1 : 7) {
        for (int i = 0; i < 3; i++) check_left(t, dtypes[i], pad, true);
        check_left(t, OC_F32, pad, false);
    }
}

static void test_left(void **state)
{
    (void)state;
    each_isa(left, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept), cmocka_unit_test(test_odd_numbers),
        cmocka_unit_test(test_steps), cmocka_unit_test(test_origin),
        cmocka_unit_test(test_sessions), cmocka_unit_test(test_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
