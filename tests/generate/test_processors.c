/* Logits processors: bit for bit what Transformers 4.37.2's list of them answers
 * (tools/goldens/make_processors.py), and the vectors of its own unit tests. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "generate/processors.h"
#include "support/context.h"

enum { VOCAB_MAX = 64, LENGTH_MAX = 64 };

static void read_options(oci_generation_config *g, const char *options)
{
    if (!oci_generation_config_read(cx, g, NULL, NULL, options))
        fail_msg("%s: %s", options, oc_context_message(cx));
}

/* ---- goldens ----------------------------------------------------------------------- */

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Eight hexadecimal digits a float; returns how many there are. */
static int64_t read_bits(const json_t *text, float *to)
{
    const char *digits = json_string_value(text);
    int64_t n = (int64_t)json_string_length(text) / 8;
    assert_true(digits && n <= VOCAB_MAX);
    for (int64_t i = 0; i < n; i++) {
        char word[9] = "";
        memcpy(word, digits + 8 * i, 8);
        to[i] = float_of_bits((uint32_t)strtoul(word, NULL, 16));
    }
    return n;
}

/* Log softmax is the one whose last bits depend on the order of a sum. */
static bool same_score(float a, float b, bool exact)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (exact || isinf(a) || isinf(b)) return bits_of_float(a) == bits_of_float(b);
    return fabsf(a - b) <= 1e-6f * fmaxf(1, fabsf(b));
}

static void check_golden(const json_t *item)
{
    oci_generation_config g;
    char *options = json_dumps(json_object_get(item, "options"), JSON_COMPACT);
    const json_t *all_ids = json_object_get(item, "ids");
    read_options(&g, options);
    for (size_t r = 0; r < json_array_size(all_ids); r++) {
        float scores[VOCAB_MAX], want[VOCAB_MAX];
        int64_t ids[LENGTH_MAX];
        const json_t *row_ids = json_array_get(all_ids, r);
        oci_row row = {
            .ids = ids, .length = (int64_t)json_array_size(row_ids),
            .prompt = json_integer_value(json_object_get(item, "prompt")),
            .max_length = json_integer_value(json_object_get(item, "max_length")) };
        for (int64_t i = 0; i < row.length; i++)
            ids[i] = json_integer_value(json_array_get(row_ids, (size_t)i));
        int64_t vocab = read_bits(json_array_get(json_object_get(item, "scores"), r),
                                  scores);
        read_bits(json_array_get(json_object_get(item, "expected"), r), want);
        assert_int_equal(oci_processors_check(cx, &g, vocab), OC_OK);
        oci_process_logits(cx, &g, &row, scores, vocab);
        for (int64_t i = 0; i < vocab; i++)
            if (!same_score(scores[i], want[i], !g.renormalize_logits))
                fail_msg("%s, row %zu, id %lld: expected %.9g, found %.9g",
                         json_string_value(json_object_get(item, "name")), r,
                         (long long)i, (double)want[i], (double)scores[i]);
    }
    oci_generation_config_deinit(&g);
    free(options);
}

static void scores_as_in_the_reference(void **state)
{
    (void)state;
    oci_json doc;
    assert_true(oci_json_open(cx, &doc, "tests/data/generate/processors.json"));
    assert_true(json_array_size(doc.root) > 200);
    for (size_t i = 0; i < json_array_size(doc.root); i++)
        check_golden(json_array_get(doc.root, i));
    oci_json_close(&doc);
}

/* ---- the unit vectors of Transformers' tests (spec: conformance §5) ---------------- */

#define IDS(...) \
    (const int64_t[]){ __VA_ARGS__ }, \
    sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)
#define SCORES(...) (const float[]){ __VA_ARGS__ }
#define I (-INFINITY)

/* Runs on `scores`, or on zeros if NULL, and expects `want`. `prompt` and `max_length`
 * matter to some options only. */
static void check(const char *options, const int64_t *ids, size_t length, int64_t prompt,
                  int64_t max_length, int64_t vocab, const float *scores,
                  const float *want)
{
    oci_generation_config g;
    float s[VOCAB_MAX] = { 0 };
    read_options(&g, options);
    if (scores) memcpy(s, scores, (size_t)vocab * sizeof *s);
    oci_row row = { .ids = ids, .length = (int64_t)length, .prompt = prompt,
                    .max_length = max_length };
    oci_process_logits(cx, &g, &row, s, vocab);
    for (int64_t i = 0; i < vocab; i++)
        if (bits_of_float(s[i] + 0.0f) != bits_of_float(want[i] + 0.0f))
            fail_msg("%s, length %zu, id %lld: expected %g, found %g", options, length,
                     (long long)i, (double)want[i], (double)s[i]);
    oci_generation_config_deinit(&g);
}

static const int64_t zeros[32] = { 0 };

static void length_vectors(void **state)
{
    (void)state;
    static const char min[] = "{\"min_length\": 10, \"eos_token_id\": 0}";
    check(min, zeros, 5, 1, 20, 3, SCORES(1, 1, 1), SCORES(I, 1, 1));
    check(min, zeros, 15, 1, 20, 3, SCORES(1, 1, 1), SCORES(1, 1, 1));
    static const char *const fresh[] = { "{\"min_new_tokens\": 3, \"eos_token_id\": 0}",
                                         "{\"min_new_tokens\": 3, \"eos_token_id\": [0, "
                                         "2]}" };
    static const size_t held[] = { 2, 5, 6, 7 }, let[] = { 8, 15 };
    for (int list = 0; list < 2; list++) {
        for (int i = 0; i < 4; i++)
            check(fresh[list], zeros, held[i], 5, 20, 3, SCORES(1, 1, 1),
                  list ? SCORES(I, 1, I) : SCORES(I, 1, 1));
        for (int i = 0; i < 2; i++)
            check(fresh[list], zeros, let[i], 5, 20, 3, SCORES(1, 1, 1), SCORES(1, 1, 1));
    }
}

static void repetition_vectors(void **state)
{
    (void)state;
    static const char options[] = "{\"repetition_penalty\": 2.0}";
    const float u = 0.1f, h = 0.1f / 2;
    check(options, IDS(0, 1), 1, 20, 10, SCORES(-0.1f, u, u, u, u, u, u, u, u, u),
          SCORES(-0.2f, h, u, u, u, u, u, u, u, u));
    check(options, IDS(5, 0), 1, 20, 10, SCORES(u, u, u, u, u, 0.4f, u, u, u, u),
          SCORES(h, u, u, u, u, 0.2f, u, u, u, u));
    check(options, IDS(2, 2, 2, 2), 1, 20, 3, SCORES(4, 4, 4), SCORES(4, 4, 2));
}

static void ngram_vectors(void **state)
{
    (void)state;
    static const char two[] = "{\"no_repeat_ngram_size\": 2}";
    static const char three[] = "{\"no_repeat_ngram_size\": 3}";
    check(two, IDS(1, 1, 2, 1), 1, 20, 3, NULL, SCORES(0, I, I));
    check(two, IDS(0, 1, 0, 1), 1, 20, 3, NULL, SCORES(I, 0, 0));
    check(three, IDS(1, 1, 2, 1), 1, 20, 3, NULL, SCORES(0, 0, 0));
    check(three, IDS(0, 1, 0, 1), 1, 20, 3, NULL, SCORES(I, 0, 0));
}

static void bias_vectors(void **state)
{
    (void)state;
    static const char bad[] = "{\"eos_token_id\": 4, \"bad_words_ids\": "
                              "[[1], [4], [1, 0], [0, 1, 2], [1, 3, 1, 3]]}";
    check(bad, IDS(0, 1, 3, 1), 1, 20, 5, NULL, SCORES(I, I, 0, I, 0));
    check(bad, IDS(0, 1, 0, 1), 1, 20, 5, NULL, SCORES(I, I, I, 0, 0));
    check("{\"eos_token_id\": 4, \"bad_words_ids\": [[4]]}", IDS(0, 1), 1, 20, 5, NULL,
          SCORES(0, 0, 0, 0, 0));
    static const char bias[] =
        "{\"sequence_bias\": [[[1], 100], [[4], 100], [[1, 0], -100], [[0, 1, 2], -100],"
        " [[1, 3, 1, 3], -100], [[1, 3, 1, 3, 1, 3], -100]]}";
    check(bias, IDS(0, 1, 3, 1), 1, 20, 5, NULL, SCORES(-100, 100, 0, -100, 100));
    check(bias, IDS(0, 1, 0, 1), 1, 20, 5, NULL, SCORES(-100, 100, -100, 0, 100));
}

static void forced_vectors(void **state)
{
    (void)state;
    static const char bos[] = "{\"forced_bos_token_id\": 0}";
    check(bos, IDS(2), 1, 20, 3, SCORES(1, 2, 3), SCORES(0, I, I));
    check(bos, IDS(2, 2, 2, 2), 1, 20, 3, SCORES(1, 2, 3), SCORES(1, 2, 3));
    static const char eos[] = "{\"forced_eos_token_id\": 0}";
    check(eos, IDS(2, 2, 2, 2), 1, 5, 3, SCORES(1, 2, 3), SCORES(0, I, I));
    check(eos, IDS(2, 2, 2), 1, 5, 3, SCORES(1, 2, 3), SCORES(1, 2, 3));
}

static void value_vectors(void **state)
{
    (void)state;
    check("{\"remove_invalid_values\": true}", IDS(1), 1, 20, 4,
          SCORES(NAN, INFINITY, I, 2), SCORES(0, 3.4028235e38f, -3.4028235e38f, 2));
    static const char decay[] =
        "{\"exponential_decay_length_penalty\": [5, 1.1], \"eos_token_id\": 0}";
    check(decay, zeros, 2, 2, 30, 2, SCORES(1, 1), SCORES(1, 1));
    for (int sign = -1; sign <= 1; sign += 2) {
        oci_generation_config g;
        float s[] = { (float)sign, 1 };
        read_options(&g, decay);
        oci_row row = { .ids = zeros, .length = 20, .prompt = 2, .max_length = 30 };
        oci_process_logits(cx, &g, &row, s, 2);
        assert_true(s[0] > (float)sign && s[1] == 1);
        oci_generation_config_deinit(&g);
    }
    oci_generation_config g;
    float s[] = { -23.18f, -29.96f, -43.54f, 47.77f };
    read_options(&g, "{\"renormalize_logits\": true}");
    oci_process_logits(cx, &g, &(oci_row){ .ids = zeros, .length = 1, .prompt = 1 }, s,
                       4);
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += exp((double)s[i]);
    assert_float_equal(sum, 1, 1e-6);
    oci_generation_config_deinit(&g);
}

/* ---- edges ------------------------------------------------------------------------- */

/* Blocks of the vocabulary must not show: the same list at
 * the seams of 2048 and 65536. */
static void large_vocabulary(void **state)
{
    (void)state;
    enum { V = 140000 };
    static float scores[V];
    static const int64_t at[] = {
        0, 2047, 2048, 2049, 65535, 65536, 131071, 131072, V - 1
    };
    enum { N = sizeof at / sizeof *at };
    char options[512] = "{\"repetition_penalty\": 2.0, \"sequence_bias\": [";
    for (int i = 0; i < N; i++)
        snprintf(options + strlen(options), sizeof options - strlen(options),
                 "%s[[%d],%d]", i ? "," : "", (int)at[i], i + 1);
    snprintf(options + strlen(options), sizeof options - strlen(options), "]}");
    oci_generation_config g;
    read_options(&g, options);
    int64_t ids[2 * N];
    for (int i = 0; i < 2 * N; i++) ids[i] = at[i % N];
    oci_process_logits(cx, &g, &(oci_row){ .ids = ids, .length = 2 * N, .prompt = 1 },
                       scores, V);
    for (int64_t i = 0, k = 0; i < V; i++) {
        float want = k < N && i == at[k] ? (float)++k / 2 : 0;
        if (scores[i] != want) fail_msg("id %lld: %g", (long long)i, (double)scores[i]);
    }
    oci_generation_config_deinit(&g);
}

/* Ids of a row that the scores do not have are passed over. */
static void foreign_ids_in_a_row(void **state)
{
    (void)state;
    check("{\"repetition_penalty\": 2.0, \"no_repeat_ngram_size\": 1}",
          IDS(-1, 7, 1, INT64_MAX, INT64_MIN), 1, 20, 3, SCORES(1, 1, 1),
          SCORES(1, I, 1));
}

static void ids_outside_the_vocabulary(void **state)
{
    (void)state;
    static const struct { const char *options, *field; } cases[] = {
        { "{\"bad_words_ids\": [[1], [2, 10, 1]]}", "bad_words_ids" },
        { "{\"sequence_bias\": [[[1, 10], 2.0]]}", "sequence_bias" },
        { "{\"suppress_tokens\": [1, 10]}", "suppress_tokens" },
        { "{\"begin_suppress_tokens\": [10]}", "begin_suppress_tokens" },
        { "{\"forced_bos_token_id\": 10}", "forced_bos_token_id" },
        { "{\"forced_eos_token_id\": [1, 10]}", "forced_eos_token_id" },
        { "{\"forced_decoder_ids\": [[20, 3], [1, 10]]}", "forced_decoder_ids" },
        { "{\"eos_token_id\": 10, \"min_length\": 1}", "eos_token_id" },
        { "{\"eos_token_id\": -1, \"min_new_tokens\": 1}", "eos_token_id" },
        { "{\"eos_token_id\": 10, \"exponential_decay_length_penalty\": [0, 2.0]}",
          "eos_token_id" },
        { "{\"eos_token_id\": 50256, \"pad_token_id\": 50256}", NULL },
        { "{\"forced_decoder_ids\": [[20, 9], [1, null]]}", NULL },
        { "{\"suppress_tokens\": [0, 9], \"eos_token_id\": [9], \"min_length\": 1}",
          NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        oci_generation_config g;
        read_options(&g, cases[i].options);
        oc_status status = oci_processors_check(cx, &g, 10);
        if (status != (cases[i].field ? OC_E_ARGUMENT : OC_OK) ||
            (cases[i].field && !strstr(oc_context_message(cx), cases[i].field)))
            fail_msg("%s: %s", cases[i].options, oc_context_message(cx));
        oc_context_clear(cx);
        oci_generation_config_deinit(&g);
    }
}

/* ---- what more than the row's own ids decides -------------------------------------- */

/* As `check`, for a row that is given whole. */
static void check_row(const char *options, const oci_row *row, int64_t vocab,
                      const float *scores, const float *want)
{
    oci_generation_config g;
    float s[VOCAB_MAX];
    read_options(&g, options);
    memcpy(s, scores, (size_t)vocab * sizeof *s);
    assert_true(oci_process_logits(cx, &g, row, s, vocab));
    for (int64_t i = 0; i < vocab; i++)
        if (bits_of_float(s[i]) != bits_of_float(want[i]))
            fail_msg("%s, id %lld: expected %g, found %g", options, (long long)i,
                     (double)want[i], (double)s[i]);
    oci_generation_config_deinit(&g);
}

static oci_ids list(int64_t *at, size_t count)
{
    return (oci_ids){ .at = at, .count = count };
}
#define LIST(...)                                                                        \
    list((int64_t[]){ __VA_ARGS__ }, sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))

static void encoder_ids_are_favoured(void **state)
{
    (void)state;
    static const char options[] = "{\"encoder_repetition_penalty\": 2.0}";
    oci_row row = { .ids = zeros, .length = 1, .prompt = 1, .penalised_ids = LIST(0, 1) };
    check_row(options, &row, 4, SCORES(-0.1f, 0.1f, 0.1f, 0.1f),
              SCORES(-0.05f, 0.2f, 0.1f, 0.1f));
    row.penalised_ids = LIST(5, 0, 5, 0);
    check_row(options, &row, 6, SCORES(0.1f, 0.1f, 0.1f, 0.1f, 0.1f, 0.4f),
              SCORES(0.2f, 0.1f, 0.1f, 0.1f, 0.1f, 0.8f));
}

static void ngrams_of_the_encoder_are_banned(void **state)
{
    (void)state;
    static const float even[] = { 1, 1, 1 };
    static const struct { int N; int64_t encoder[4], ids[3]; float want[3]; } cases[] = {
        { 2, { 1, 2, 1, 1 }, { 1, 2, 1 }, { 1, I, I } },
        { 2, { 1, 2, 1, 1 }, { 8, 0, 2 }, { 1, I, 1 } },
        { 3, { 1, 2, 1, 1 }, { 1, 2, 1 }, { 1, I, 1 } },
        { 3, { 1, 2, 1, 1 }, { 8, 0, 2 }, { 1, 1, 1 } },
        { 2, { 1, 2, 1, 1 }, { 1, 0, 2 }, { 1, I, 1 } },
        { 2, { 0, 0, 2, 1 }, { 0, 0, 0 }, { I, 1, I } },
        { 2, { 0, 0, 2, 1 }, { 0, 2, 2 }, { 1, I, 1 } },
        { 3, { 0, 0, 2, 1 }, { 0, 0, 0 }, { 1, 1, I } },
        { 3, { 0, 0, 2, 1 }, { 0, 2, 2 }, { 1, 1, 1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char options[64];
        int64_t encoder[4];
        memcpy(encoder, cases[i].encoder, sizeof encoder);
        snprintf(options, sizeof options, "{\"encoder_no_repeat_ngram_size\": %d}",
                 cases[i].N);
        oci_row row = { .ids = cases[i].ids, .length = 3, .prompt = 1,
                        .encoder_ids = list(encoder, 4) };
        check_row(options, &row, 3, even, cases[i].want);
    }
}

/* HammingDiversityLogitsProcessor; a pad outside the vocabulary penalises nobody. */
static void what_earlier_groups_chose_costs(void **state)
{
    (void)state;
    static const char options[] =
        "{\"num_beams\": 4, \"num_beam_groups\": 2, \"diversity_penalty\": 1.0}";
    static const float even[] = { 0.25f, 0.25f, 0.25f, 0.25f };
    oci_row row = { .ids = zeros, .length = 1, .prompt = 1, .earlier = LIST(0) };
    check_row(options, &row, 4, even, SCORES(-0.75f, 0.25f, 0.25f, 0.25f));
    row.earlier = LIST(1, 3, 1, 9, -1);
    check_row(options, &row, 4, even, SCORES(0.25f, -1.75f, 0.25f, -0.75f));
    row.earlier = LIST(2, 2, 2);
    check_row(options, &row, 4, even, SCORES(0.25f, 0.25f, -2.75f, 0.25f));
}

static const int64_t *allow(void *user, int64_t picture, const int64_t *ids, size_t count,
                            size_t *allowed)
{
    static const int64_t lists[2][2] = { { 0, 1 }, { 3, 2 } };
    (void)ids;
    assert_int_equal(count, 3);
    *allowed = *(size_t *)user;
    return lists[picture];
}

static void only_allowed_ids_stay(void **state)
{
    (void)state;
    size_t allowed = 2;
    static const float scores[] = { 0.5f, -1, I, 2 };
    oci_row row = { .ids = zeros, .length = 3, .prompt = 1, .allowed = allow,
                    .allowed_user = &allowed };
    check_row("{}", &row, 4, scores, SCORES(0.5f, -1, I, I));
    row.item = 1;
    check_row("{}", &row, 4, scores, SCORES(I, I, I, 2));
    oci_generation_config g;
    float s[4] = { 0 };
    read_options(&g, "{}");
    allowed = 0;
    assert_false(oci_process_logits(cx, &g, &row, s, 4));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oci_generation_config_deinit(&g);
}

static void nothing_is_allocated(void **state)
{
    (void)state;
    oci_generation_config g;
    float scores[16] = { 0 };
    read_options(&g, "{\"repetition_penalty\": 2.0, \"no_repeat_ngram_size\": 2, "
                     "\"bad_words_ids\": [[1, 2]], \"renormalize_logits\": true}");
    uint64_t before = oc_context_memory(cx).total_count;
    oci_process_logits(cx, &g, &(oci_row){ .ids = zeros, .length = 9, .prompt = 1 },
                       scores, 16);
    assert_int_equal(oc_context_memory(cx).total_count, before);
    oci_generation_config_deinit(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_as_in_the_reference),
        cmocka_unit_test(length_vectors),
        cmocka_unit_test(repetition_vectors),
        cmocka_unit_test(ngram_vectors),
        cmocka_unit_test(bias_vectors),
        cmocka_unit_test(forced_vectors),
        cmocka_unit_test(value_vectors),
        cmocka_unit_test(large_vocabulary),
        cmocka_unit_test(foreign_ids_in_a_row),
        cmocka_unit_test(ids_outside_the_vocabulary),
        cmocka_unit_test(encoder_ids_are_favoured),
        cmocka_unit_test(ngrams_of_the_encoder_are_banned),
        cmocka_unit_test(what_earlier_groups_chose_costs),
        cmocka_unit_test(only_allowed_ids_stay),
        cmocka_unit_test(nothing_is_allocated),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
