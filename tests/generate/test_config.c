/* GenerationConfig against what Transformers 4.37.2 makes of the same files and options
 * (tools/goldens/make_processors.py), and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../faults/faults.h"
#include "generate/config.h"
#include "support/context.h"

/* ---- every field, once more: the test's own list, so that a
 * slip in the table shows ---- */

typedef enum kind { INT, REAL, BOOL, EARLY, LIST, PAIRS, WORDS, BIAS, DECAY } kind;

#define ROW(name, kind, fallback) \
    { #name, kind, offsetof(oci_generation_config, name), fallback }
static const struct row {
    const char *name;
    kind kind;
    size_t offset;
    double fallback;
} rows[] = {
    ROW(max_length, INT, 20), ROW(max_new_tokens, INT, -1), ROW(min_length, INT, 0),
    ROW(min_new_tokens, INT, -1), ROW(early_stopping, EARLY, 0), ROW(max_time, REAL, -1),
    ROW(do_sample, BOOL, 0), ROW(num_beams, INT, 1), ROW(num_beam_groups, INT, 1),
    ROW(penalty_alpha, REAL, -1), ROW(use_cache, BOOL, 1), ROW(temperature, REAL, 1),
    ROW(top_k, INT, 50), ROW(top_p, REAL, 1), ROW(typical_p, REAL, 1),
    ROW(epsilon_cutoff, REAL, 0), ROW(eta_cutoff, REAL, 0),
    ROW(diversity_penalty, REAL, 0),
    ROW(repetition_penalty, REAL, 1), ROW(encoder_repetition_penalty, REAL, 1),
    ROW(length_penalty, REAL, 1), ROW(no_repeat_ngram_size, INT, 0),
    ROW(bad_words_ids, WORDS, 0), ROW(renormalize_logits, BOOL, 0),
    ROW(forced_bos_token_id, INT, -1), ROW(forced_eos_token_id, LIST, 0),
    ROW(remove_invalid_values, BOOL, 0),
    { "exponential_decay_length_penalty", DECAY,
      offsetof(oci_generation_config, decay_start), -1 },
    ROW(suppress_tokens, LIST, 0), ROW(begin_suppress_tokens, LIST, 0),
    ROW(forced_decoder_ids, PAIRS, 0), ROW(sequence_bias, BIAS, 0),
    ROW(guidance_scale, REAL, -1), ROW(num_return_sequences, INT, 1),
    ROW(output_attentions, BOOL, 0), ROW(output_hidden_states, BOOL, 0),
    ROW(output_scores, BOOL, 0), ROW(return_dict_in_generate, BOOL, 0),
    ROW(pad_token_id, INT, -1), ROW(bos_token_id, INT, -1), ROW(eos_token_id, LIST, 0),
    ROW(encoder_no_repeat_ngram_size, INT, 0), ROW(decoder_start_token_id, INT, -1),
    ROW(prompt_lookup_num_tokens, INT, -1),
};

static int64_t id_at(const json_t *list, size_t i)
{
    const json_t *id = json_is_array(list) ? json_array_get(list, i) : list;
    return json_is_null(id) ? -1 : json_integer_value(id);
}

static bool same_ids(const oci_ids *ids, const json_t *want)
{
    size_t n = json_is_array(want) ? json_array_size(want) : want && !json_is_null(want);
    bool same = ids->count == n;
    for (size_t i = 0; same && i < n; i++) same = ids->at[i] == id_at(want, i);
    return same;
}

static bool same_pairs(const oci_ids *ids, const json_t *want)
{
    bool same = ids->count == 2 * json_array_size(want);
    for (size_t i = 0; same && i < ids->count; i++)
        same = ids->at[i] == id_at(json_array_get(want, i / 2), i % 2);
    return same;
}

static bool same_words(const oci_biases *list, const json_t *want, bool bias)
{
    bool same = list->count == json_array_size(want);
    for (size_t i = 0; same && i < list->count; i++) {
        const json_t *entry = json_array_get(want, i);
        same = same_ids(&list->at[i].ids, bias ? json_array_get(entry, 0) : entry) &&
               list->at[i].bias ==
                   (bias ? (float)json_number_value(json_array_get(entry, 1))
                         : -INFINITY);
    }
    return same;
}

/* want NULL: the default. */
static bool same_field(const oci_generation_config *g, const struct row *row,
                       const json_t *want)
{
    const void *at = (const char *)g + row->offset;
    bool null = !want || json_is_null(want);
    double number = json_is_boolean(want) ? json_is_true(want) : json_number_value(want);
    number = null ? row->fallback : number;
    switch (row->kind) {
    case INT: return (double)*(const int64_t *)at == number;
    case REAL: return *(const double *)at == number;
    case BOOL: return *(const bool *)at == (number != 0);
    case EARLY:
        if (json_is_string(want))
            return *(const oci_early_stopping *)at == OCI_EARLY_NEVER;
        return *(const oci_early_stopping *)at ==
               (number != 0 ? OCI_EARLY_YES : OCI_EARLY_NO);
    case LIST: return same_ids(at, want);
    case PAIRS: return same_pairs(at, want);
    case WORDS: return same_words(at, want, false);
    case BIAS: return same_words(at, want, true);
    case DECAY:
        return g->decay_start == (null ? -1 : id_at(want, 0)) &&
               (null || g->decay_factor == json_number_value(json_array_get(want, 1)));
    }
    return false;
}

/* ---- goldens ----------------------------------------------------------------------- */

/* A borrowed document around a part of another. */
static oci_json part_of(const json_t *value, char *name)
{
    json_t *root = json_is_null(value) ? NULL : (json_t *)(uintptr_t)value;
    return (oci_json){ .name = name, .root = root };
}

static void check_golden(size_t i, const json_t *item)
{
    char generation_name[] = "generation_config.json", config_name[] = "config.json";
    oci_json generation = part_of(json_object_get(item, "generation"), generation_name);
    oci_json config = part_of(json_object_get(item, "config"), config_name);
    char *options = json_dumps(json_object_get(item, "options"), JSON_COMPACT);
    const json_t *want = json_object_get(item, "expected");
    oci_generation_config g;
    bool good = oci_generation_config_read(cx, &g, &generation, &config, options);
    if (good != (want != NULL) || (!good && oc_context_status(cx) != OC_E_ARGUMENT))
        fail_msg("case %zu %s: %s %s", i, options, good ? "accepted" : "refused:",
                 oc_context_message(cx));
    for (size_t k = 0; good && k < sizeof rows / sizeof *rows; k++)
        if (!same_field(&g, &rows[k], json_object_get(want, rows[k].name)))
            fail_msg("case %zu %s: %s differs", i, options, rows[k].name);
    oci_generation_config_deinit(&g);
    oc_context_clear(cx);
    free(options);
}

static void files_and_options_as_in_the_reference(void **state)
{
    (void)state;
    oci_json doc;
    assert_true(oci_json_open(cx, &doc, "tests/data/generate/config.json"));
    assert_true(json_array_size(doc.root) > 40);
    for (size_t i = 0; i < json_array_size(doc.root); i++)
        check_golden(i, json_array_get(doc.root, i));
    oci_json_close(&doc);
}

/* ---- faults ------------------------------------------------------------------------ */

static void refuses(const char *options, const char *part)
{
    oci_generation_config g;
    bool good = oci_generation_config_read(cx, &g, NULL, NULL, options);
    if (good || oc_context_status(cx) != OC_E_ARGUMENT ||
        !strstr(oc_context_message(cx), part))
        fail_msg("%s: expected \"%s\", found %s", options, part, oc_context_message(cx));
    oci_generation_config_deinit(&g);
    oc_context_clear(cx);
}

static void options_are_checked(void **state)
{
    (void)state;
    refuses("{\"max_lenght\": 4}", "max_length");
    refuses("{\"beams\": 4}", "num_beams");
    refuses("{\"\": 4}", "expected a name");
    refuses("{\"streamer\": null}", "expected a name");
    refuses("[]", "expected a JSON object");
    refuses("{\"num_beams\": \"x\"}", "generation options: num_beams: expected an "
                                      "integer in 1..2147483647 or null, found \"x\"");
    refuses("{\"num_beams\": 2.0}", "found 2.0");
    refuses("{\"num_beams\": 0}", "found 0");
    refuses("{\"max_length\": -1}", "an integer from 0 on");
    refuses("{\"max_length\": 1e30}", "max_length");
    refuses("{\"repetition_penalty\": 0}", "greater than 0");
    refuses("{\"repetition_penalty\": -1.5}", "greater than 0");
    refuses("{\"repetition_penalty\": \"1.5\"}", "repetition_penalty");
    refuses("{\"length_penalty\": null}", "a number, found null");
    refuses("{\"do_sample\": 1}", "true or false");
    refuses("{\"do_sample\": null}", "true or false");
    refuses("{\"do_sample\": true, \"temperature\": 0.0}", "temperature");
    refuses("{\"early_stopping\": 3}", "never");
    refuses("{\"eos_token_id\": [2, \"a\"]}", "eos_token_id");
    refuses("{\"eos_token_id\": {}}", "eos_token_id");
    refuses("{\"pad_token_id\": 4294967296}", "pad_token_id");
    refuses("{\"suppress_tokens\": [-1]}", "suppress_tokens");
    refuses("{\"bad_words_ids\": []}", "not empty");
    refuses("{\"bad_words_ids\": [[]]}", "bad_words_ids");
    refuses("{\"bad_words_ids\": [3]}", "bad_words_ids");
    refuses("{\"bad_words_ids\": [[3, -1]]}", "found [3,-1]");
    refuses("{\"bad_words_ids\": 3}", "bad_words_ids");
    refuses("{\"sequence_bias\": []}", "not empty");
    refuses("{\"sequence_bias\": {\"(1,)\": 2.0}}", "sequence_bias");
    refuses("{\"sequence_bias\": [[[1], 2.0, 3]]}", "sequence_bias");
    refuses("{\"sequence_bias\": [[[], 2.0]]}", "sequence_bias");
    refuses("{\"sequence_bias\": [[[1], \"2\"]]}", "sequence_bias");
    refuses("{\"exponential_decay_length_penalty\": [1]}", "[start, factor]");
    refuses("{\"exponential_decay_length_penalty\": [1.5, 2.0]}", "[start, factor]");
    refuses("{\"forced_decoder_ids\": [[1]]}", "forced_decoder_ids");
    refuses("{\"forced_decoder_ids\": [[null, 1]]}", "forced_decoder_ids");
    refuses("{\"forced_decoder_ids\": 7}", "forced_decoder_ids");
    refuses("{\"max_length\": [1000000000, 1000000000, 1000000000, 1000000000, "
            "1000000000, 1000000000, 1]}",
            "found a long array");
    refuses("{\"bad_words_ids\": "
            "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaa\"]}",
            "found aaa");
}

/* A wrong type in a file is the file's fault, and unknown names there are none. */
static void files_are_checked(void **state)
{
    (void)state;
    oci_json doc, empty = { 0 };
    oci_generation_config g;
    static const char text[] = "{\"max_new_tokens\": \"6\"}";
    assert_true(oci_json_parse(cx, &doc, "F/generation_config.json", text, strlen(text)));
    assert_false(oci_generation_config_read(cx, &g, &doc, &empty, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
    assert_non_null(strstr(oc_context_message(cx), "F/generation_config.json: "
                                                   "max_new_tokens: expected an "
                                                   "integer"));
    oci_generation_config_deinit(&g);
    oci_json_close(&doc);
    oc_context_clear(cx);

    static const char config[] = "{\"decoder\": {\"eos_token_id\": \"</s>\"}}";
    assert_true(oci_json_parse(cx, &doc, "F/config.json", config, strlen(config)));
    assert_false(oci_generation_config_read(cx, &g, &empty, &doc, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
    assert_non_null(strstr(oc_context_message(cx), "F/config.json: "
                                                   "decoder.eos_token_id"));
    oci_generation_config_deinit(&g);
    oci_json_close(&doc);
    oc_context_clear(cx);
}

/* Our own name, lists given twice (the later holds), and sequences given twice. */
static void later_values_replace_earlier_ones(void **state)
{
    (void)state;
    static const char text[] = "{\"eos_token_id\": [1, 2, 3], \"bad_words_ids\": [[1], "
                               "[2, 3]], \"forced_decoder_ids\": [[1, 2]], "
                               "\"sequence_bias\": [[[4], 1.0], [[5, 6], 2.0], [[4], "
                               "3.0], [[5], 4.0]]}";
    oci_json doc;
    oci_generation_config g;
    assert_true(oci_json_parse(cx, &doc, "f", text, strlen(text)));
    assert_true(oci_generation_config_read(cx, &g, &doc, NULL, "{\"seed\": 7}"));
    assert_int_equal(g.seed, 7);
    assert_int_equal(g.sequence_bias.count, 3);
    assert_int_equal(g.sequence_bias.at[0].ids.at[0], 4);
    assert_float_equal(g.sequence_bias.at[0].bias, 3.0f, 0);
    assert_int_equal(g.sequence_bias.at[1].ids.count, 2);
    assert_int_equal(g.sequence_bias.at[2].ids.at[0], 5);
    oci_generation_config_deinit(&g);
    assert_true(oci_generation_config_read(cx, &g, &doc, NULL,
        "{\"eos_token_id\": 9, \"bad_words_ids\": [[7, 8]], \"sequence_bias\": null}"));
    assert_int_equal(g.eos_token_id.count, 1);
    assert_int_equal(g.bad_words_ids.count, 1);
    assert_int_equal(g.bad_words_ids.at[0].ids.at[1], 8);
    assert_int_equal(g.sequence_bias.count, 0);
    assert_int_equal(g.forced_decoder_ids.count, 2);
    oci_generation_config_deinit(&g);
    oci_json_close(&doc);
}

static void count_warnings(void *user, oc_log_level level, const char *message)
{
    int *count = user;
    (void)message;
    *count += level == OC_LOG_WARNING;
}

static void idle_fields_are_warned_of(void **state)
{
    (void)state;
    static const struct { const char *options; int warnings; } cases[] = {
        { "{}", 0 }, { "{\"temperature\": 0.5}", 1 }, { "{\"top_k\": 4}", 1 },
        { "{\"top_k\": 4, \"penalty_alpha\": 0.6}", 0 },
        { "{\"early_stopping\": true}", 1 }, { "{\"length_penalty\": 2.0, "
                                               "\"num_beam_groups\": 2}", 2 },
        { "{\"length_penalty\": 2.0, \"num_beams\": 2}", 0 },
        { "{\"do_sample\": true, \"top_p\": 0.5, \"temperature\": 0.5}", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int warnings = 0;
        oc_context_options options = { .size = sizeof options, .threads = 1,
                                       .log = count_warnings, .log_user = &warnings };
        oc_context *own = oc_context_create(&options);
        oci_generation_config g;
        assert_true(oci_generation_config_read(own, &g, NULL, NULL, cases[i].options));
        if (warnings != cases[i].warnings)
            fail_msg("%s: %d warnings", cases[i].options, warnings);
        oci_generation_config_deinit(&g);
        oc_context_free(own);
    }
}

/* Lists that come again and again from hostile text: time must
 * stay linear, more or less. */
static void many_equal_sequences(void **state)
{
    (void)state;
    enum { N = 50000 };
    static char text[N * 10 + 64];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"sequence_bias\": [");
    for (int i = 0; i < N; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s[[%d],1]", i ? "," : "",
                              i % 7);
    snprintf(text + n, sizeof text - n, "]}");
    oci_generation_config g;
    assert_true(oci_generation_config_read(cx, &g, NULL, NULL, text));
    assert_int_equal(g.sequence_bias.count, 7);
    oci_generation_config_deinit(&g);
}

static void read_all_kinds(oc_context *c, void *user)
{
    static const char text[] =
        "{\"decoder\": {\"model_type\": \"mbart\", \"suppress_tokens\": [1, 2]},"
        " \"bad_words_ids\": [[1], [2, 3]]}";
    static const char options[] = "{\"eos_token_id\": [4, 5], \"bad_words_ids\": [[3, "
                                  "4], [5]], \"suppress_tokens\": [6], "
                                  "\"forced_decoder_ids\": [[1, 2], [3, null]], "
                                  "\"sequence_bias\": [[[1], 2.0], [[1], 3.0]]}";
    (void)user;
    oci_json doc;
    oci_generation_config g;
    oci_json_parse(c, &doc, "config.json", text, strlen(text));
    oci_generation_config_read(c, &g, NULL, &doc, options);
    oci_generation_config_deinit(&g);
    oci_json_close(&doc);
}

static void no_refused_request_leaks(void **state)
{
    (void)state;
    assert_true(fault_loop(&(fault_plan){ .job = read_all_kinds }) >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_and_options_as_in_the_reference),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(files_are_checked),
        cmocka_unit_test(later_values_replace_earlier_ones),
        cmocka_unit_test(idle_fields_are_warned_of),
        cmocka_unit_test(many_equal_sequences),
        cmocka_unit_test(no_refused_request_leaks),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
