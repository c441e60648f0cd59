/* Sampling: the reference's probabilities (tools/goldens/make_generate.py) by chi-square,
 * and texts that depend on seed, picture and return alone. Seeds are fixed: a test that
 * passes once passes always. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "generate/sample.h"
#include "ocelli.h"

#define TINY "tests/data/models/gen_trocr"

enum { V = 40, N = 4000 };

static oc_context *cx;
static oc_model *model;
static oc_tensors *pictures;        /* [3, 3, 8, 8] */

static int set_up(void **state)
{
    (void)state;
    cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 2));
    model = oc_model_open(cx, TINY, NULL);
    pictures = oc_tensors_open(cx, TINY "/draw_one_by_one.in.safetensors");
    return oc_context_status(cx) == OC_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    oc_tensors_free(pictures);
    oc_model_close(model);
    oc_context_free(cx);
    return 0;
}

/* Pictures first .. first + count - 1 alone. */
static oc_tensors *some_pictures(int64_t first, int64_t count)
{
    oc_tensor_view v;
    assert_true(oc_tensors_find(pictures, "pixel_values", &v));
    const int64_t shape[] = { count, 3, 8, 8 };
    oc_tensors *in = oc_tensors_create(cx);
    oc_tensors_add(cx, in, v.name, OC_F32, 4, shape, (const float *)v.data + first * 192);
    assert_int_equal(oc_context_status(cx), OC_OK);
    return in;
}

/* sequences of a call; free the set. */
static oc_tensors *generate(oc_context *c, const oc_tensors *in, int64_t first,
                            const char *format, ...)
{
    char config[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(config, sizeof config, format, list);
    va_end(list);
    oc_generate_options o = OC_OPTIONS(oc_generate_options, .config = config,
                                       .first_picture = first);
    oc_tensors *out = oc_generate(c, model, in, &o);
    if (!out) fail_msg("%s: %s", config, oc_context_message(c));
    return out;
}

static oc_tensor_view sequences(const oc_tensors *set)
{
    oc_tensor_view v = { 0 };
    assert_true(oc_tensors_find(set, "sequences", &v));
    return v;
}

/* ---- distributions ----------------------------------------------------------------- */

/* A quantile of chi-square that one of 1e5 fits passes (Wilson and Hilferty 1931). */
static double limit_of(int freedom)
{
    double k = freedom, z = 4.265, t = 1 - 2 / (9 * k) + z * sqrt(2 / (9 * k));
    return k * t * t * t;
}

/* Cells with few expected counts go together. What has no probability must not occur. */
static void expect_distribution(const char *name, const double *p, const int64_t *seen,
                                int64_t n)
{
    double chi = 0, rest_p = 0;
    int64_t rest = 0;
    int freedom = -1;
    for (int i = 0; i < V; i++) {
        if (p[i] == 0 && seen[i]) fail_msg("%s: id %d has no probability", name, i);
        if (p[i] * (double)n < 8) {
            rest_p += p[i];
            rest += seen[i];
            continue;
        }
        double want = p[i] * (double)n, off = (double)seen[i] - want;
        chi += off * off / want;
        freedom++;
    }
    if (rest_p * (double)n >= 8) {
        double off = (double)rest - rest_p * (double)n;
        chi += off * off / (rest_p * (double)n);
        freedom++;
    }
    if (freedom > 0 && chi > limit_of(freedom))
        fail_msg("%s: chi-square %.1f with %d degrees of freedom", name, chi, freedom);
}

static void read_p(const json_t *list, double *p)
{
    assert_int_equal(json_array_size(list), V);
    for (size_t i = 0; i < V; i++) p[i] = json_number_value(json_array_get(list, i));
}

/* Thousands of returns of one picture: first ids, and second ids
 * after the usual first ones. */
static void check_case(const json_t *item)
{
    double p[V];
    int64_t seen[V] = { 0 };
    const char *name = json_string_value(json_object_get(item, "name"));
    oc_tensors *in = some_pictures(json_integer_value(json_object_get(item, "picture")),
                                   1);
    json_t *options = json_deep_copy(json_object_get(item, "options"));
    json_object_set_new(options, "do_sample", json_true());
    json_object_set_new(options, "num_return_sequences", json_integer(N));
    json_object_set_new(options, "max_new_tokens", json_integer(2));
    json_object_set_new(options, "seed", json_integer(11));
    char *config = json_dumps(options, JSON_COMPACT);
    oc_tensors *out = generate(cx, in, 0, "%s", config);
    oc_tensor_view v = sequences(out);
    const int64_t *ids = v.data;
    assert_int_equal(v.shape[0], N);
    for (int64_t r = 0; r < N; r++) seen[ids[r * v.shape[1] + 1]]++;
    read_p(json_object_get(item, "first"), p);
    expect_distribution(name, p, seen, N);
    const char *token;
    json_t *second;
    json_object_foreach(json_object_get(item, "second"), token, second) {
        int64_t first = strtoll(token, NULL, 10), n = 0;
        memset(seen, 0, sizeof seen);
        for (int64_t r = 0; r < N && first != 20; r++) {    /* 20 ends a text */
            if (ids[r * v.shape[1] + 1] != first) continue;
            seen[ids[r * v.shape[1] + 2]]++;
            n++;
        }
        read_p(second, p);
        if (n >= 200) expect_distribution(name, p, seen, n);
    }
    oc_tensors_free(out);
    oc_tensors_free(in);
    free(config);
    json_decref(options);
}

static void ids_are_drawn_by_the_probabilities_of_the_reference(void **state)
{
    (void)state;
    json_t *cases = json_load_file("tests/data/generate/sampling.json", 0, NULL);
    assert_true(json_array_size(cases) >= 16);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(json_array_get(cases, i));
    json_decref(cases);
}

/* Pairs without replacement: P(a, b) = p_a p_b / (1 - p_a). */
static void draws_without_replacement(void **state)
{
    (void)state;
    enum { M = 5, ROUNDS = 40000 };
    static const float p[M] = { 0.4f, 0.0f, 0.3f, 0.2f, 0.1f };
    double want[V] = { 0 };
    int64_t seen[V] = { 0 };
    for (int a = 0; a < M; a++)
        for (int b = 0; b < M; b++)
            if (a != b)
                want[a * M + b] = (double)p[a] * (double)p[b] / (1 - (double)p[a]);
    for (int64_t i = 0; i < ROUNDS; i++) {
        float left[M];
        int64_t drawn[2];
        memcpy(left, p, sizeof p);
        oci_rng rng = oci_draws_of(5, i, 0, 3);
        oci_draw(cx, &rng, left, M, 2, drawn);
        seen[drawn[0] * M + drawn[1]]++;
    }
    expect_distribution("pairs", want, seen, ROUNDS);
}

/* Once nothing is left to draw by, the lowest indices follow, each once. */
static void draws_beyond_what_has_a_share(void **state)
{
    (void)state;
    float p[6] = { 0, 0, 0.5f, 0, 0.5f, 0 };
    int64_t drawn[6];
    oci_rng rng = oci_draws_of(1, 0, 0, 0);
    oci_draw(cx, &rng, p, 6, 6, drawn);
    assert_int_equal(drawn[0] + drawn[1], 6);
    static const int64_t rest[] = { 0, 1, 3, 5 };
    for (int i = 0; i < 4; i++) assert_int_equal(drawn[2 + i], rest[i]);
    float none[3] = { 0, NAN, 0 };
    oci_draw(cx, &rng, none, 3, 1, drawn);
    assert_int_equal(oc_context_status(cx), OC_E_FAILED);
    oc_context_clear(cx);
}

/* The scheme of sample.h, word by word: changing it would change everyone's texts. */
static void numbers_of_a_draw(void **state)
{
    (void)state;
    oci_rng a = oci_draws_of(7, 3, 2, 5), b;
    oci_rng_init(&b, 7, UINT64_C(3) << 32 | 2);
    b.counter = UINT64_C(5) << 32;
    for (int i = 0; i < 20; i++) assert_int_equal(oci_rng_u32(&a), oci_rng_u32(&b));
    oci_rng one = oci_draws_of(7, 3, 2, 5), other[] = {
        oci_draws_of(8, 3, 2, 5), oci_draws_of(7, 4, 2, 5), oci_draws_of(7, 3, 1, 5),
        oci_draws_of(7, 3, 2, 6) };
    uint32_t first = oci_rng_u32(&one);
    for (int i = 0; i < 4; i++) assert_int_not_equal(oci_rng_u32(&other[i]), first);
}

/* ---- what a text depends on -------------------------------------------------------- */

#define DRAW "\"do_sample\": true, \"temperature\": 1.4, \"max_length\": 12"

/* Row r of a has the ids of row s of b, as far as both go; the rest are pads. */
static void expect_same_row(const oc_tensors *a, int64_t r, const oc_tensors *b,
                            int64_t s)
{
    oc_tensor_view x = sequences(a), y = sequences(b);
    for (int64_t t = 0; t < x.shape[1] || t < y.shape[1]; t++) {
        int64_t i = t < x.shape[1] ? ((const int64_t *)x.data)[r * x.shape[1] + t] : 1;
        int64_t k = t < y.shape[1] ? ((const int64_t *)y.data)[s * y.shape[1] + t] : 1;
        if (i != k) fail_msg("row %lld, position %lld: %lld and %lld", (long long)r,
                             (long long)t, (long long)i, (long long)k);
    }
}

static void check_independence(const char *config)
{
    oc_tensors *all = generate(cx, pictures, 0, "{%s, \"seed\": 3}", config);
    int64_t n = sequences(all).shape[0] / 3;
    for (int64_t b = 0; b < 3; b++) {
        oc_tensors *in = some_pictures(b, 1);
        oc_tensors *one = generate(cx, in, b, "{%s, \"seed\": 3}", config);
        for (int64_t i = 0; i < n; i++) expect_same_row(all, b * n + i, one, i);
        oc_tensors_free(one);
        oc_tensors_free(in);
    }
    for (int threads = 1; threads < 5; threads += 3) {
        oc_context *own = oc_context_create(&OC_OPTIONS(oc_context_options,
                                                        .threads = threads));
        oc_tensors *again = generate(own, pictures, 0, "{%s, \"seed\": 3}", config);
        for (int64_t r = 0; r < 3 * n; r++) expect_same_row(all, r, again, r);
        oc_tensors_free(again);
        oc_context_free(own);
    }
    oc_tensors *other = generate(cx, pictures, 0, "{%s, \"seed\": 4}", config);
    oc_tensor_view x = sequences(all), y = sequences(other);
    assert_true(x.bytes != y.bytes || memcmp(x.data, y.data, x.bytes));
    oc_tensors_free(other);
    oc_tensors_free(all);
}

static void texts_depend_on_seed_and_picture_alone(void **state)
{
    (void)state;
    check_independence(DRAW);
    check_independence(DRAW ", \"num_return_sequences\": 4");
    check_independence(DRAW ", \"num_beams\": 3, \"num_return_sequences\": 2");
}

/* A return is the same however many there are. */
static void more_returns_leave_the_first_ones_alone(void **state)
{
    (void)state;
    oc_tensors *few = generate(cx, pictures, 0,
                               "{" DRAW ", \"num_return_sequences\": 2}");
    oc_tensors *many = generate(cx, pictures, 0,
                                "{" DRAW ", \"num_return_sequences\": 5}");
    for (int64_t b = 0; b < 3; b++)
        for (int64_t i = 0; i < 2; i++) expect_same_row(many, b * 5 + i, few, b * 2 + i);
    oc_tensors_free(few);
    oc_tensors_free(many);
}

static void nothing_to_draw_is_an_error(void **state)
{
    (void)state;
    char config[1024] = "{\"do_sample\": true, \"suppress_tokens\": [0";
    for (int i = 1; i < V; i++)
        snprintf(config + strlen(config), sizeof config - strlen(config), ", %d", i);
    strcat(config, "]}");
    oc_generate_options o = OC_OPTIONS(oc_generate_options, .config = config);
    assert_null(oc_generate(cx, model, pictures, &o));
    assert_int_equal(oc_context_status(cx), OC_E_FAILED);
    oc_context_clear(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_drawn_by_the_probabilities_of_the_reference),
        cmocka_unit_test(draws_without_replacement),
        cmocka_unit_test(draws_beyond_what_has_a_share),
        cmocka_unit_test(numbers_of_a_draw),
        cmocka_unit_test(texts_depend_on_seed_and_picture_alone),
        cmocka_unit_test(more_returns_leave_the_first_ones_alone),
        cmocka_unit_test(nothing_to_draw_is_an_error),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
