/* What holds for every search, whatever it finds: rows do not depend on their company,
 * callbacks hear what is decided and may stop or cancel it, nothing leaks, memory is
 * taken once, and what cannot be done is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../faults/faults.h"
#include "ocelli.h"

#define TINY "tests/data/models/gen_trocr"
#define PICTURES TINY "/beam_3.in.safetensors"

static oc_context *cx;
static oc_model *model;
static oc_tensors *pictures;

static const struct { const char *name, *options; } searches[] = {
    { "greedy", "\"max_length\": 12" },
    { "sample", "\"max_length\": 12, \"do_sample\": true, \"top_k\": 7, \"top_p\": 0.9,"
                " \"num_return_sequences\": 2" },
    { "beams", "\"max_length\": 12, \"num_beams\": 4, \"num_return_sequences\": 3" },
    { "groups", "\"max_length\": 12, \"num_beams\": 4, \"num_beam_groups\": 2,"
                " \"diversity_penalty\": 0.5" },
    { "beam sample", "\"max_length\": 12, \"num_beams\": 3, \"do_sample\": true,"
                     " \"typical_p\": 0.9" },
    { "contrastive", "\"max_length\": 12, \"penalty_alpha\": 0.6, \"top_k\": 4" },
};
enum { SEARCHES = sizeof searches / sizeof *searches };

static int set_up(void **state)
{
    (void)state;
    cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 2));
    model = oc_model_open(cx, TINY, NULL);
    pictures = oc_tensors_open(cx, PICTURES);
    return oc_context_status(cx) == OC_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    oc_tensors_free(pictures);
    oc_model_close(model);
    bool left = oc_context_memory(cx).live_count > 8;
    oc_context_free(cx);
    return left;
}

static const char *config_of(int search, const char *more)
{
    static char config[512];
    snprintf(config, sizeof config, "{%s%s%s}", searches[search].options,
             *more ? ", " : "", more);
    return config;
}

static oc_tensors *generate(const oc_tensors *in, const char *config,
                            const oc_generate_options *how)
{
    oc_generate_options o = OC_OPTIONS(oc_generate_options, .output_logprobs = true);
    if (how) o = *how;
    o.config = config;
    return oc_generate(cx, model, in, &o);
}

static oc_tensors *expect(const oc_tensors *in, const char *config,
                          const oc_generate_options *how)
{
    oc_tensors *out = generate(in, config, how);
    if (!out) fail_msg("%s: %s", config, oc_context_message(cx));
    return out;
}

static oc_tensor_view find(const oc_tensors *set, const char *name)
{
    oc_tensor_view v = { 0 };
    if (!oc_tensors_find(set, name, &v)) fail_msg("%s: missing", name);
    return v;
}

static oc_tensors *one_picture(int64_t b)
{
    oc_tensor_view v = find(pictures, "pixel_values");
    const int64_t shape[] = { 1, 3, 8, 8 };
    oc_tensors *in = oc_tensors_create(cx);
    oc_tensors_add(cx, in, v.name, OC_F32, 4, shape, (const float *)v.data + b * 192);
    return in;
}

/* ---- company ----------------------------------------------------------------------- */

/* Ids and their log-probabilities, bit for bit; beyond the
 * shorter width all is padding. */
static void expect_rows(const oc_tensors *all, int64_t first, const oc_tensors *one)
{
    oc_tensor_view a = find(all, "sequences"), b = find(one, "sequences");
    oc_tensor_view p = find(all, "token_logprobs"), q = find(one, "token_logprobs");
    for (int64_t r = 0; r < b.shape[0]; r++) {
        const int64_t *x = (const int64_t *)a.data + (first + r) * a.shape[1];
        const int64_t *y = (const int64_t *)b.data + r * b.shape[1];
        size_t n = (size_t)(a.shape[1] < b.shape[1] ? a.shape[1] : b.shape[1]);
        assert_memory_equal(x, y, n * sizeof *x);
        for (int64_t t = (int64_t)n; t < a.shape[1]; t++) assert_int_equal(x[t], 1);
        n = (size_t)(p.shape[1] < q.shape[1] ? p.shape[1] : q.shape[1]);
        assert_memory_equal((const float *)p.data + (first + r) * p.shape[1],
                            (const float *)q.data + r * q.shape[1], n * sizeof(float));
    }
}

static void rows_do_not_depend_on_their_company(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++) {
        oc_tensors *all = expect(pictures, config_of(s, ""), NULL);
        for (int64_t b = 0; b < 3; b++) {
            oc_generate_options o = OC_OPTIONS(oc_generate_options,
                                               .output_logprobs = true,
                                               .first_picture = b);
            oc_tensors *in = one_picture(b), *one = expect(in, config_of(s, ""), &o);
            expect_rows(all, b * find(one, "sequences").shape[0], one);
            oc_tensors_free(one);
            oc_tensors_free(in);
        }
        oc_tensors_free(all);
    }
}

/* Rows that would leave the batch stay when their outputs are
 * wanted; the ids are the same. */
static void outputs_do_not_change_the_ids(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++) {
        oc_generate_options o = OC_OPTIONS(oc_generate_options, .output_scores = true,
                                           .output_attentions = true,
                                           .output_hidden_states = true,
                                           .output_logprobs = true);
        oc_tensors *plain = expect(pictures, config_of(s, ""), NULL);
        oc_tensors *full = expect(pictures, config_of(s, ""), &o);
        expect_rows(full, 0, plain);
        find(full, "scores.0");
        find(full, "encoder_attentions.0");
        find(full, "encoder_hidden_states.2");
        find(full, "decoder_attentions.1.1");
        find(full, "cross_attentions.1.0");
        find(full, "decoder_hidden_states.1.2");
        oc_tensors_free(plain);
        oc_tensors_free(full);
    }
}

/* ---- callbacks --------------------------------------------------------------------- */

typedef struct listener {
    int64_t ids[64][64], count[64], calls;
    int64_t stop_row, stop_after;           /* -1: never */
    int64_t cancel_at;                      /* -1: never */
} listener;

static bool listen(void *user, int64_t row, int64_t token, const char *text)
{
    listener *l = user;
    assert_null(text);                      /* the folder has no tokenizer */
    l->ids[row][l->count[row]++] = token;
    if (l->calls++ == l->cancel_at) oc_context_cancel(cx);
    return row != l->stop_row || l->count[row] < l->stop_after;
}

static void callbacks_hear_every_token(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++) {
        static listener l;
        l = (listener){ .stop_row = -1, .cancel_at = -1 };
        oc_generate_options o = OC_OPTIONS(oc_generate_options, .callback = listen,
                                           .callback_user = &l);
        oc_tensors *out = expect(pictures, config_of(s, ""), &o);
        oc_tensor_view v = find(out, "sequences");
        for (int64_t r = 0; r < v.shape[0]; r++) {
            const int64_t *ids = (const int64_t *)v.data + r * v.shape[1] + 1;
            assert_memory_equal(l.ids[r], ids, (size_t)l.count[r] * sizeof *ids);
            for (int64_t t = l.count[r]; t + 1 < v.shape[1]; t++)
                assert_int_equal(ids[t], 1);
        }
        oc_tensors_free(out);
    }
}

/* A row that the callback stops has no more tokens; the others are none the wiser. */
static void a_callback_stops_its_row(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++) {
        static listener free_one, l;
        free_one = (listener){ .stop_row = -1, .cancel_at = -1 };
        l = (listener){ .stop_row = 0, .stop_after = 2, .cancel_at = -1 };
        oc_generate_options o = OC_OPTIONS(oc_generate_options, .callback = listen,
                                           .callback_user = &free_one);
        oc_tensors_free(expect(pictures, config_of(s, ""), &o));
        o.callback_user = &l;
        oc_tensors *out = expect(pictures, config_of(s, ""), &o);
        assert_int_equal(l.count[0], 2);
        for (int64_t r = 1; r < find(out, "sequences").shape[0]; r++) {
            assert_int_equal(l.count[r], free_one.count[r]);
            assert_memory_equal(l.ids[r], free_one.ids[r], sizeof l.ids[r]);
        }
        oc_tensors_free(out);
    }
}

static void cancelling_at_every_token(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++) {
        int64_t most = 1;
        for (int64_t at = 0; at < most; at++) {
            static listener l;
            l = (listener){ .stop_row = -1, .cancel_at = at };
            oc_generate_options o = OC_OPTIONS(oc_generate_options, .callback = listen,
                                               .callback_user = &l);
            assert_null(generate(pictures, config_of(s, ""), &o));
            assert_int_equal(oc_context_status(cx), OC_E_CANCELLED);
            oc_context_clear(cx);
            if (at == 0) {      /* how many tokens there are */
                l = (listener){ .stop_row = -1, .cancel_at = -1 };
                oc_tensors_free(expect(pictures, config_of(s, ""), &o));
                most = l.calls;
                assert_true(most > 10);
            }
        }
    }
}

/* ---- prefix_allowed_tokens --------------------------------------------------------- */

static const int64_t *even_or_odd(void *user, int64_t picture, const int64_t *ids,
                                  size_t count, size_t *allowed)
{
    static int64_t lists[2][21];
    int64_t *calls = user;
    ++*calls;
    assert_true(picture >= 0 && picture < 3 && ids[0] == 2 && count >= 1);
    for (int64_t i = 0; i < 20; i++) {
        lists[0][i] = 2 * i;
        lists[1][i] = 2 * i + 1;
    }
    *allowed = 20;
    return lists[picture % 2];
}

static void a_prefix_function_rules(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++) {
        int64_t calls = 0;
        oc_generate_options o = OC_OPTIONS(oc_generate_options,
            .prefix_allowed_tokens = even_or_odd, .prefix_user = &calls);
        oc_tensors *out = expect(pictures, config_of(s, "\"eos_token_id\": 38"), &o);
        oc_tensor_view v = find(out, "sequences");
        const int64_t *ids = v.data;
        for (int64_t i = 0; i < v.shape[0] * v.shape[1]; i++) {
            int64_t b = i / v.shape[1] / (v.shape[0] / 3);
            bool ended = false;
            for (int64_t t = i / v.shape[1] * v.shape[1]; t < i; t++)
                ended |= ids[t] == 38;
            if (i % v.shape[1] && !ended && ids[i] != 38)
                assert_int_equal(ids[i] % 2, b % 2);
        }
        assert_true(calls >= 3 * 10);
        oc_tensors_free(out);
    }
}

static const int64_t *wrong(void *user, int64_t picture, const int64_t *ids, size_t count,
                            size_t *allowed)
{
    static const int64_t outside[] = { 3, 40 };
    (void)picture;
    (void)ids;
    *allowed = *(const int *)user == 1 && count > 2 ? 0 : 2;
    return *(const int *)user == 2 ? NULL : outside + (*allowed == 0);
}

static void a_prefix_function_that_errs(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++)
        for (int how = 0; how < 3; how++) {
            oc_generate_options o = OC_OPTIONS(oc_generate_options,
                .prefix_allowed_tokens = wrong, .prefix_user = &how);
            assert_null(generate(pictures, config_of(s, ""), &o));
            assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
            assert_non_null(strstr(oc_context_message(cx), "prefix_allowed_tokens"));
            oc_context_clear(cx);
        }
}

/* ---- memory ------------------------------------------------------------------------ */

/* After the first steps no search but the contrastive one, which keeps hidden states by
 * name, takes memory: longer texts allocate as often as short ones. */
static void no_allocation_in_the_loop(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES - 1; s++) {
        uint64_t counts[3];
        static const char *const lengths[] = {
            "\"max_new_tokens\": 20, \"eos_token_id\": -1",
            "\"max_new_tokens\": 5, \"eos_token_id\": -1",
            "\"max_new_tokens\": 20, \"eos_token_id\": -1" };
        for (int i = 0; i < 3; i++) {
            uint64_t before = oc_context_memory(cx).total_count;
            oc_tensors_free(expect(pictures, config_of(s, lengths[i]), NULL));
            counts[i] = oc_context_memory(cx).total_count - before;
        }
        assert_int_equal(counts[1], counts[2]);
    }
}

static void job(oc_context *own, void *user)
{
    oc_model *m = oc_model_open(own, TINY, NULL);
    oc_tensors *in = oc_tensors_open(own, PICTURES);
    char config[512];
    snprintf(config, sizeof config, "{%s, \"max_new_tokens\": 3}", (const char *)user);
    oc_generate_options o = OC_OPTIONS(oc_generate_options, .config = config,
        .output_scores = true, .output_logprobs = true, .output_hidden_states = true);
    oc_tensors_free(oc_generate(own, m, in, &o));
    oc_tensors_free(in);
    oc_model_close(m);
}

static void no_refused_request_leaks(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++)
        fault_loop(&(fault_plan){ .job = job, .step = 5, .dense = 20,
                                  .user = (char *)(uintptr_t)searches[s].options });
}

/* ---- what is refused --------------------------------------------------------------- */

static void refuses(const oc_tensors *in, const char *config, oc_status status,
                    const char *part)
{
    assert_null(generate(in, config, NULL));
    if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), part))
        fail_msg("%s: expected \"%s\", found %s: %s", config, part,
                 oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    oc_context_clear(cx);
}

static void what_cannot_be_done_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *config; oc_status status; const char *part;
    } cases[] = {
        { "{\"constraints\": [1], \"num_beams\": 2}", OC_E_UNSUPPORTED, "constraints" },
        { "{\"force_words_ids\": [[1]], \"num_beams\": 2}", OC_E_UNSUPPORTED,
          "force_words_ids" },
        { "{\"guidance_scale\": 1.5}", OC_E_UNSUPPORTED, "guidance_scale" },
        { "{\"prompt_lookup_num_tokens\": 3}", OC_E_UNSUPPORTED,
          "prompt_lookup_num_tokens" },
        { "{\"encoder_repetition_penalty\": 2.0}", OC_E_UNSUPPORTED, "pictures" },
        { "{\"encoder_no_repeat_ngram_size\": 2}", OC_E_UNSUPPORTED, "pictures" },
        { "{\"diversity_penalty\": 0.5}", OC_E_ARGUMENT, "groups of beams" },
        { "{\"diversity_penalty\": 0.5, \"num_beams\": 3}", OC_E_ARGUMENT,
          "groups of beams" },
        { "{\"num_beams\": 5000}", OC_E_LIMIT, "3 pictures of 5000 rows" },
        { "{\"num_beams\": 2147483647}", OC_E_LIMIT, "rows in a batch" },
        { "{\"do_sample\": true, \"num_return_sequences\": 2147483647}", OC_E_LIMIT,
          "rows" },
        { "{\"penalty_alpha\": 0.5, \"top_k\": 9007199254740992}", OC_E_LIMIT, "rows" },
        { "{\"penalty_alpha\": 0.5, \"top_k\": 50}", OC_E_ARGUMENT, "vocabulary's 40" },
        { "{\"penalty_alpha\": 0.5, \"top_k\": 4, \"use_cache\": false}", OC_E_ARGUMENT,
          "use_cache" },
        { "{\"num_beams\": 2, \"max_length\": 1}", OC_E_ARGUMENT, "max_length" },
        { "{\"do_sample\": true, \"typical_p\": 0.0}", OC_E_ARGUMENT, "typical_p" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(pictures, cases[i].config, cases[i].status, cases[i].part);
}

static void pictures_and_prompts_of_no_size(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++) {
        oc_tensors *in = oc_tensors_create(cx);
        oc_tensors_add(cx, in, "pixel_values", OC_F32, 4, (const int64_t[]){ 0, 3, 8, 8 },
                       NULL);
        refuses(in, config_of(s, ""), OC_E_MALFORMED, "pixel_values");
        oc_tensors_free(in);
        in = one_picture(0);
        oc_tensors_add(cx, in, "decoder_input_ids", OC_I64, 2, (const int64_t[]){ 1, 0 },
                       NULL);
        refuses(in, config_of(s, ""), OC_E_MALFORMED, "decoder_input_ids");
        oc_tensors_free(in);
        in = one_picture(0);
        oc_tensors_add(cx, in, "decoder_input_ids", OC_I64, 2, (const int64_t[]){ 2, 3 },
                       NULL);
        refuses(in, config_of(s, ""), OC_E_MALFORMED, "decoder_input_ids");
        oc_tensors_free(in);
    }
}

/* Texts that would go on past the decoder's positions, or
 * past the limit on a sequence. */
static void texts_without_an_end(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++)
        refuses(pictures, config_of(s, "\"max_new_tokens\": 9007199254740991,"
                                       " \"eos_token_id\": -1"),
                OC_E_MALFORMED, "position");
}

/* A time that is over at once: one token, and a whole result. */
static void no_time(void **state)
{
    (void)state;
    for (int s = 0; s < SEARCHES; s++) {
        oc_tensors *out = expect(pictures, config_of(s, "\"max_time\": 0.0"), NULL);
        assert_true(find(out, "sequences").shape[1] <= 3);
        oc_tensors_free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_do_not_depend_on_their_company),
        cmocka_unit_test(outputs_do_not_change_the_ids),
        cmocka_unit_test(callbacks_hear_every_token),
        cmocka_unit_test(a_callback_stops_its_row),
        cmocka_unit_test(cancelling_at_every_token),
        cmocka_unit_test(a_prefix_function_rules),
        cmocka_unit_test(a_prefix_function_that_errs),
        cmocka_unit_test(no_allocation_in_the_loop),
        cmocka_unit_test(no_refused_request_leaks),
        cmocka_unit_test(what_cannot_be_done_is_named),
        cmocka_unit_test(pictures_and_prompts_of_no_size),
        cmocka_unit_test(texts_without_an_end),
        cmocka_unit_test(no_time),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
