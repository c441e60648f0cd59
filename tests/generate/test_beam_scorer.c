/* The scorer of beam search by itself: the vectors of Transformers' own tests (spec:
 * conformance §5) and the corners of a store. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../faults/faults.h"
#include "generate/beam_scorer.h"
#include "support/context.h"

enum { B = 3, K = 4, EOS = 98, ROOM = 16, LENGTH = 10 };

static int64_t eos_at[1] = { EOS };
static const oci_ids eos = { eos_at, 1 };

static oci_beam_scorer make(oci_early_stopping early, double penalty, int64_t groups)
{
    oci_beam_scorer s = { .items = B, .groups = groups, .size = K / groups, .room = ROOM,
                          .max_length = LENGTH + 1, .length_penalty = penalty,
                          .early = early, .eos = &eos };
    if (!oci_beam_scorer_init(cx, &s)) fail_msg("%s", oc_context_message(cx));
    return s;
}

/* Row `row` with ids row, row + 1, …; each was chosen from its own row. */
static int64_t ids[B * K][ROOM], trace[B * K][ROOM + 1];
static float logprobs[B * K][ROOM];

static void make_beams(oci_beam *beams, int64_t first, int64_t length)
{
    for (int64_t k = 0; k < K; k++) {
        for (int64_t t = 0; t < length; t++) {
            ids[first + k][t] = first + k + t;
            trace[first + k][t] = first + k;
            logprobs[first + k][t] = -1;
        }
        beams[k] = (oci_beam){ .ids = ids[first + k], .trace = trace[first + k],
                               .logprobs = logprobs[first + k], .length = length,
                               .made = length, .traced = length, .sum = -10 };
    }
}

static void hypotheses_and_their_worst(void **state)
{
    (void)state;
    oci_beam beams[K];
    make_beams(beams, 0, LENGTH);
    oci_beam_scorer s = make(OCI_EARLY_YES, 2, 1);
    for (int k = 0; k < K; k++) {
        assert_false(oci_store_is_done(&s, 0, -10, 5));
        oci_store_add(&s, 0, &beams[k], LENGTH);
    }
    assert_true(oci_store_is_done(&s, 0, -10, 5));
    oci_beam_scorer_deinit(&s);

    s = make(OCI_EARLY_NO, 2, 1);
    for (int k = 0; k < K + 1; k++) {
        beams[0].sum = (float)(k - 10);
        oci_store_add(&s, 1, &beams[0], LENGTH);
    }
    assert_float_equal(s.stores[1].worst, -9.0 / 100, 0);
    assert_int_equal(s.stores[1].count, K);
    assert_false(oci_store_is_done(&s, 1, -5, 10));
    assert_true(oci_store_is_done(&s, 1, -20, 10));
    /* What is no better than the worst does not come in. */
    beams[1].sum = -9;
    oci_store_add(&s, 1, &beams[1], LENGTH);
    assert_float_equal(oci_beam_scorer_take(&s, 1)->value, -6.0 / 100, 0);
    oci_beam_scorer_deinit(&s);
}

static void early_stopping_never_looks_at_the_greatest_length(void **state)
{
    (void)state;
    oci_beam beams[K];
    for (int positive = 0; positive < 2; positive++) {
        make_beams(beams, 0, LENGTH);
        oci_beam_scorer s = make(OCI_EARLY_NEVER, positive ? 1 : -1, 1);
        for (int k = 0; k < K; k++) oci_store_add(&s, 0, &beams[k], LENGTH);
        /* worst: -1, or -100. At length 5 a sum of -10.5 may
         * still come to -10.5 / 11 … */
        if (positive) assert_false(oci_store_is_done(&s, 0, -10.5, 5));
        if (positive) assert_true(oci_store_is_done(&s, 0, -11.5, 5));
        /* … or, with a negative penalty, is worth -52.5 now and less later. */
        if (!positive) assert_false(oci_store_is_done(&s, 0, -10.5, 5));
        if (!positive) assert_true(oci_store_is_done(&s, 0, -20.5, 5));
        oci_beam_scorer_deinit(&s);
    }
}

static void fill(oci_candidate *c, int64_t ends_from, int64_t ends_to)
{
    for (int64_t i = 0; i < 2 * K; i++)
        c[i] = (oci_candidate){ .score = -(float)i, .logprob = -0.5f, .beam = i % K,
                                .token = i >= ends_from && i < ends_to ? EOS : 10 + i };
}

static void candidates_that_all_end(void **state)
{
    (void)state;
    oci_beam beams[K];
    oci_candidate c[2 * K], next[K];
    make_beams(beams, 0, LENGTH);
    oci_beam_scorer s = make(OCI_EARLY_YES, 2, 1);
    fill(c, 0, 2 * K);
    assert_false(oci_beam_scorer_process(cx, &s, 0, beams, 0, c, 2 * K, next));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oci_beam_scorer_deinit(&s);

    s = make(OCI_EARLY_YES, 2, 1);
    fill(c, 0, K);
    for (int64_t i = 0; i < B; i++) {
        assert_false(oci_beam_scorer_is_done(&s));
        assert_true(oci_beam_scorer_process(cx, &s, i, beams, i * K, c, 2 * K, next));
        assert_true(s.stores[i].done);
        for (int k = 0; k < K; k++) assert_int_equal(next[k].token, 10 + K + k);
    }
    assert_true(oci_beam_scorer_is_done(&s));
    oci_beam_scorer_deinit(&s);
}

/* The end token at rank 1: candidates 0, 2, 3, 4 go on, and the
 * row of 1 is a hypothesis. */
static void one_candidate_that_ends(void **state)
{
    (void)state;
    oci_beam beams[K];
    oci_candidate c[2 * K], next[K];
    oci_beam_scorer s = make(OCI_EARLY_YES, 2, 1);
    for (int64_t item = 0; item < B; item++) {
        make_beams(beams, item * K, LENGTH);
        fill(c, 1, 2);
        assert_true(
            oci_beam_scorer_process(cx, &s, item, beams, item * K, c, 2 * K, next));
        for (int k = 0; k < K; k++) {
            assert_int_equal(next[k].token, 10 + (k ? k + 1 : 0));
            assert_int_equal(next[k].beam, (k ? k + 1 : 0) % K);
        }
        const oci_hypothesis *h = oci_beam_scorer_take(&s, item);
        const int64_t *at = s.ids + h->slot * (ROOM + 1);
        assert_int_equal(h->length, LENGTH);     /* without its end token, which counts */
        assert_float_equal(h->value, -1.0 / ((LENGTH + 1) * (LENGTH + 1)), 1e-12);
        assert_memory_equal(at, ids[item * K + 1], LENGTH * sizeof *at);
        assert_int_equal(h->traced, LENGTH + 1);
        assert_int_equal(s.trace[h->slot * (ROOM + 1) + LENGTH], item * K + 1);
        assert_float_equal(s.logprobs[h->slot * (ROOM + 1) + LENGTH], -0.5, 0);
        assert_null(oci_beam_scorer_take(&s, item));
    }
    /* Below rank K an end token is passed over. */
    fill(c, K, K + 1);
    assert_true(oci_beam_scorer_process(cx, &s, 0, beams, 0, c, 2 * K, next));
    assert_int_equal(s.stores[0].count, 1);
    oci_beam_scorer_deinit(&s);
}

/* The best of all groups of an item, of equals the last that came. */
static void taking_over_all_groups(void **state)
{
    (void)state;
    oci_beam beams[K];
    make_beams(beams, 0, LENGTH);
    oci_beam_scorer s = make(OCI_EARLY_NO, 0, 2);
    static const float sums[2][2] = { { -3, -1 }, { -1, -2 } };
    for (int g = 0; g < 2; g++)
        for (int k = 0; k < 2; k++) {
            beams[2 * g + k].sum = sums[g][k];
            oci_store_add(&s, 2 + g, &beams[2 * g + k], 1);
        }
    static const int64_t order[] = { 2, 1, 3, 0 };
    for (int i = 0; i < K; i++) {
        const oci_hypothesis *h = oci_beam_scorer_take(&s, 1);
        assert_int_equal(s.ids[h->slot * (ROOM + 1)], order[i]);
    }
    assert_null(oci_beam_scorer_take(&s, 1));
    assert_null(oci_beam_scorer_take(&s, 0));
    oci_beam_scorer_deinit(&s);
}

/* Many more than there is room for: the best stay, in the order in which they came. */
static void a_store_keeps_the_best(void **state)
{
    (void)state;
    oci_beam beams[K];
    make_beams(beams, 0, LENGTH);
    oci_beam_scorer s = make(OCI_EARLY_NO, 1, 1);
    uint32_t random = 1;
    float best = -1e9f;
    for (int i = 0; i < 1000; i++) {
        random = random * 1664525u + 1013904223u;
        beams[0].sum = -(float)(random >> 20);
        best = fmaxf(best, beams[0].sum);
        oci_store_add(&s, 0, &beams[0], 1 + (int64_t)(random >> 8) % 2);
        double least = INFINITY;
        for (int64_t k = 0; k < s.stores[0].count; k++) {
            least = fmin(least, s.stores[0].at[k].value);
            for (int64_t m = 0; m < k; m++)
                assert_true(s.stores[0].at[k].slot != s.stores[0].at[m].slot);
        }
        assert_true(s.stores[0].worst == least);
    }
    beams[0].sum = INFINITY;                /* odd sums do no harm */
    oci_store_add(&s, 0, &beams[0], 1);
    beams[0].sum = NAN;
    oci_store_add(&s, 0, &beams[0], 1);
    oci_beam_scorer_deinit(&s);
}

static void make_and_free(oc_context *c, void *user)
{
    (void)user;
    oci_beam_scorer s = { .items = 2, .groups = 2, .size = 2, .room = 5 };
    oci_beam_scorer_init(c, &s);
    oci_beam_scorer_deinit(&s);
}

static void a_scorer_comes_whole_or_not_at_all(void **state)
{
    (void)state;
    assert_true(fault_loop(&(fault_plan){ .job = make_and_free }) >= 5);
    oci_beam_scorer s = { .items = 1 << 20, .groups = 1, .size = 1 << 20,
                          .room = INT64_C(1) << 40 };
    assert_false(oci_beam_scorer_init(cx, &s));
    assert_int_equal(oc_context_status(cx), OC_E_MEMORY);
    oci_beam_scorer_deinit(&s);
    oc_context_clear(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hypotheses_and_their_worst),
        cmocka_unit_test(early_stopping_never_looks_at_the_greatest_length),
        cmocka_unit_test(candidates_that_all_end),
        cmocka_unit_test(one_candidate_that_ends),
        cmocka_unit_test(taking_over_all_groups),
        cmocka_unit_test(a_store_keeps_the_best),
        cmocka_unit_test(a_scorer_comes_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
