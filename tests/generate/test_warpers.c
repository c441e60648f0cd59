/* Warpers: what Transformers 4.37.2's list of them answers
 * (tools/goldens/make_generate.py), and the vectors of its own unit
 * tests (spec: conformance §5). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "generate/warpers.h"
#include "support/context.h"

enum { VOCAB_MAX = 4096 };

static void warp(const char *options, float *scores, int64_t vocab, int64_t keep)
{
    oci_generation_config g;
    if (!oci_generation_config_read(cx, &g, NULL, NULL, options))
        fail_msg("%s: %s", options, oc_context_message(cx));
    oci_warp_logits(cx, &g, keep ? keep : oci_warpers_keep(&g), scores, vocab);
    oci_generation_config_deinit(&g);
    assert_int_equal(oc_context_status(cx), OC_OK);
}

/* ---- goldens ----------------------------------------------------------------------- */

static int64_t read_bits(const json_t *text, float *to)
{
    const char *digits = json_string_value(text);
    int64_t n = (int64_t)json_string_length(text) / 8;
    assert_true(digits && n <= VOCAB_MAX);
    for (int64_t i = 0; i < n; i++) {
        char word[9] = "";
        memcpy(word, digits + 8 * i, 8);
        uint32_t bits = (uint32_t)strtoul(word, NULL, 16);
        memcpy(&to[i], &bits, sizeof bits);
    }
    return n;
}

static void check_golden(const json_t *item)
{
    static float scores[VOCAB_MAX], want[VOCAB_MAX];
    char *options = json_dumps(json_object_get(item, "options"), JSON_COMPACT);
    const json_t *rows = json_object_get(item, "scores");
    for (size_t r = 0; r < json_array_size(rows); r++) {
        int64_t vocab = read_bits(json_array_get(rows, r), scores);
        read_bits(json_array_get(json_object_get(item, "expected"), r), want);
        warp(options, scores, vocab, 0);
        for (int64_t i = 0; i < vocab; i++)
            if (isinf(scores[i]) != isinf(want[i]) ||
                (!isinf(want[i]) &&
                 fabsf(scores[i] - want[i]) > 2e-6f * fmaxf(1, fabsf(want[i]))))
                fail_msg("%s, row %zu, id %lld: expected %.9g, found %.9g",
                         json_string_value(json_object_get(item, "name")), r,
                         (long long)i, (double)want[i], (double)scores[i]);
    }
    free(options);
}

static void scores_as_in_the_reference(void **state)
{
    (void)state;
    oci_json doc;
    assert_true(oci_json_open(cx, &doc, "tests/data/generate/warpers.json"));
    assert_true(json_array_size(doc.root) > 100);
    for (size_t i = 0; i < json_array_size(doc.root); i++)
        check_golden(json_array_get(doc.root, i));
    oci_json_close(&doc);
}

/* ---- the unit vectors of Transformers' tests --------------------------------------- */

/* `kept` has a digit for each score: 1 where it must stay as it is.
 * keep 0: the config's own. */
static void keeps(const char *options, int64_t keep, const char *kept,
                  const float *scores)
{
    float s[64];
    int64_t n = (int64_t)strlen(kept);
    memcpy(s, scores, (size_t)n * sizeof *s);
    warp(options, s, n, keep);
    for (int64_t i = 0; i < n; i++)
        if (kept[i] == '1' ? s[i] != scores[i] : s[i] != -INFINITY)
            fail_msg("%s, id %lld: %g became %g", options, (long long)i,
                     (double)scores[i], (double)s[i]);
}

#define S(...) (const float[]){ __VA_ARGS__ }
#define L(x) logf(x)
#define I (-INFINITY)
#define WARP(rest) "{\"do_sample\": true, \"top_k\": " rest "}"

static void top_k_keeps_the_k_largest(void **state)
{
    (void)state;
    keeps(WARP("3"), 1, "0000000111", S(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
    keeps(WARP("3"), 1, "0011100000", S(10, 11, 12, 13, 14, 5, 6, 7, 8, 9));
    keeps(WARP("1"), 3, "11111", S(1, 1, 1, 1, 1));
    keeps(WARP("1"), 3, "00111", S(0, 1, 2, 3, 4));
    keeps(WARP("2"), 1, "0111", S(0, 7, 7, 7));            /* equals at the border stay */
    keeps(WARP("5"), 1, "11", S(0, 1));
}

static void top_p_keeps_the_nucleus(void **state)
{
    (void)state;
    keeps(WARP("0, \"top_p\": 0.8"), 1, "1001", S(L(.3f), L(.1f), L(.1f), L(.5f)));
    keeps(WARP("0, \"top_p\": 0.8"), 1, "0111", S(L(.15f), L(.3f), L(.3f), L(.25f)));
    keeps(WARP("0, \"top_p\": 0.9"), 2, "0000000111",
          S(-5, -4, -3, -2, -1, 0, 1, 2, 3, 4));
    keeps(WARP("0, \"top_p\": 0.9"), 2, "0000000011",
          S(-500, -400, -300, -200, -100, 0, 100, 200, 300, 400));
    /* Together: what top_k took away has no part in the sum. */
    keeps(WARP("4, \"top_p\": 0.5"), 1, "1100000", S(1.1f, 1.05f, 0, 0, I, I, I));
}

static void typical_p_keeps_the_unsurprising(void **state)
{
    (void)state;
    keeps(WARP("0, \"typical_p\": 0.5"), 1, "1000",
          S(L(.97f), L(.01f), L(.01f), L(.01f)));
    keeps(WARP("0, \"typical_p\": 0.5"), 1, "0111", S(L(.4f), L(.2f), L(.2f), L(.2f)));
    keeps(WARP("0, \"typical_p\": 0.5"), 3, "11111", S(1, 1, 1, 1, 1));
    keeps(WARP("0, \"typical_p\": 0.7"), 2, "0000000011",
          S(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

static void cut_offs_keep_the_probable(void **state)
{
    (void)state;
    const char *epsilon = WARP("0, \"epsilon_cutoff\": 0.1");
    keeps(epsilon, 1, "1000", S(L(.87f), L(.099f), L(.001f), L(.03f)));
    keeps(epsilon, 1, "1111", S(L(.4f), L(.299f), L(.101f), L(.2f)));
    const float ramp[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    keeps(WARP("0, \"epsilon_cutoff\": 0.05"), 2, "0000000111", ramp);
    const char *eta = WARP("0, \"eta_cutoff\": 0.0625");
    keeps(eta, 1, "0111", S(I, L(.1f), L(.8f), L(.1f)));
    keeps(eta, 1, "0010", S(L(.01f), L(.04f), L(.9f), L(.05f)));
    keeps(WARP("0, \"eta_cutoff\": 0.1"), 2, "0000000011", ramp);
}

static void temperature_sharpens_and_flattens(void **state)
{
    (void)state;
    float sharp[4] = { 1, 2, 3, -4 }, flat[4] = { 1, 2, 3, -4 };
    warp("{\"do_sample\": true, \"top_k\": 0, \"temperature\": 0.5}", sharp, 4, 0);
    warp("{\"do_sample\": true, \"top_k\": 0, \"temperature\": 1.3}", flat, 4, 0);
    for (int i = 0; i < 4; i++) {
        const float was[4] = { 1, 2, 3, -4 };
        assert_true(sharp[i] == was[i] * 2);
        assert_true(flat[i] == was[i] / 1.3f);
    }
}

static void keep_leaves_room_for_a_text_that_goes_on(void **state)
{
    (void)state;
    static const struct { const char *options; int64_t keep; } cases[] = {
        { "{}", 1 }, { "{\"eos_token_id\": [1, 2, 3]}", 1 }, { "{\"num_beams\": 2}", 2 },
        { "{\"num_beams\": 2, \"eos_token_id\": 4}", 2 },
        { "{\"num_beams\": 3, \"eos_token_id\": [4, 5, 6]}", 4 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        oci_generation_config g;
        assert_true(oci_generation_config_read(cx, &g, NULL, NULL, cases[i].options));
        assert_int_equal(oci_warpers_keep(&g), cases[i].keep);
        oci_generation_config_deinit(&g);
    }
}

/* Scores that no model should give: nothing is read or written outside. */
static void odd_scores(void **state)
{
    (void)state;
    static const char all[] = "{\"do_sample\": true, \"top_k\": 3, \"top_p\": 0.4, "
        "\"typical_p\": 0.5, \"epsilon_cutoff\": 0.1, \"eta_cutoff\": 0.1, "
        "\"renormalize_logits\": true, \"temperature\": 0.5}";
    const float values[] = { I, NAN, INFINITY, 0, 1, -0.0f };
    for (uint32_t n = 0; n < 6 * 6 * 6; n++) {
        float s[3] = { values[n % 6], values[n / 6 % 6], values[n / 36] };
        warp(all, s, 3, 0);
        float one[1] = { values[n % 6] };
        warp(all, one, 1, 2);
    }
    warp(all, NULL, 0, 0);
}

/* The first call takes memory for its scratch, the next ones none. */
static void scratch_is_given_back(void **state)
{
    (void)state;
    static float scores[VOCAB_MAX];
    const char *options = WARP("9, \"top_p\": 0.9");
    warp(options, scores, VOCAB_MAX, 0);
    uint64_t live = oc_context_memory(cx).live_bytes;
    for (int i = 0; i < 50; i++) warp(options, scores, VOCAB_MAX, 0);
    assert_int_equal(oc_context_memory(cx).live_bytes, live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_as_in_the_reference),
        cmocka_unit_test(top_k_keeps_the_k_largest),
        cmocka_unit_test(top_p_keeps_the_nucleus),
        cmocka_unit_test(typical_p_keeps_the_unsurprising),
        cmocka_unit_test(cut_offs_keep_the_probable),
        cmocka_unit_test(temperature_sharpens_and_flattens),
        cmocka_unit_test(keep_leaves_room_for_a_text_that_goes_on),
        cmocka_unit_test(odd_scores), cmocka_unit_test(scratch_is_given_back),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
