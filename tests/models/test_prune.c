/* oc_model_prune_heads: what it refuses, and that a refusal or a fault leaves the model
 * as it was. What it computes is in test_goldens_pruned.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "faults/faults.h"
#include "ocelli.h"

#define DATA "tests/data/models/"

static const struct refusal {
    const char *model, *heads;
    oc_status status;
    const char *message;        /* has this in it */
} refusals[] = {
    { "ved_bert", "{\"0\": [1]}", OC_E_ARGUMENT, "found \"0\"" },
    { "ved_bert", "{\"decoder\": {\"0\": 1}}", OC_E_ARGUMENT, "at \"0\"" },
    { "ved_bert", "{\"decoder\": {\"0\": [true]}}", OC_E_ARGUMENT, "at \"0\"" },
    { "ved_bert", "{\"decoder\": {\"2\": [1]}}", OC_E_MALFORMED, "2 layers and 3 heads" },
    { "ved_bert", "{\"decoder\": {\"0x\": [1]}}", OC_E_MALFORMED,
      "decoder.pruned_heads" },
    { "ved_bert", "{\"decoder\": {\"\": [1]}}", OC_E_MALFORMED, "decoder.pruned_heads" },
    { "ved_bert", "{\"decoder\": {\"0\": [3]}}", OC_E_MALFORMED, "2 layers and 3 heads" },
    { "ved_bert", "{\"decoder\": {\"0\": [-1]}}", OC_E_ARGUMENT, "at \"0\"" },
    { "ved_bert", "{\"decoder\": {\"1\": [2, 0, 1, 0]}}", OC_E_UNSUPPORTED,
      "in layer 1" },
    { "ved_bart", "{\"decoder\": {\"0\": [1]}}", OC_E_UNSUPPORTED, "heads of a bart" },
    { "ved_base", "{\"encoder\": {\"0\": [1]}, \"decoder\": {\"0\": [1]}}",
      OC_E_UNSUPPORTED, "heads of a trocr" },
    { "swin", "{\"0\": [1]}", OC_E_UNSUPPORTED, "heads of a swin" },
    { "beit_relative", "{\"0\": [1]}", OC_E_UNSUPPORTED, "relative position biases" },
    { "bert_base", "[[0, 1]]", OC_E_MALFORMED, "an object" },
    { "bert_base", "{\"0\": [1]", OC_E_MALFORMED, "heads to prune" },
};

static void refusals_leave_the_model(void **state)
{
    (void)state;
    char folder[128];
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *r = &refusals[i];
        oc_context *cx = oc_context_create(NULL);
        snprintf(folder, sizeof folder, DATA "%s", r->model);
        oc_model *model = oc_model_open(cx, folder, NULL);
        int64_t before = oc_model_parameters(cx, model);
        assert_true(before > 0);
        oc_status status = oc_model_prune_heads(cx, model, r->heads);
        if (status != r->status || !strstr(oc_context_message(cx), r->message))
            fail_msg("%zu: %s: %s", i, oc_status_name(status), oc_context_message(cx));
        oc_context_clear(cx);
        assert_int_equal(oc_model_parameters(cx, model), before);
        oc_model_close(model);
        oc_context_free(cx);
    }
}

/* 5 numbers a head in q, k and v, with their biases; 5 columns a
 * head in the product behind. */
static void heads_go_once(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    oc_model *model = oc_model_open(cx, DATA "gpt2_lm", NULL);
    int64_t D = 15, head = 5 * (3 * (D + 1) + D), all = oc_model_parameters(cx, model);
    assert_int_equal(oc_model_prune_heads(cx, model, "{}"), OC_OK);
    assert_int_equal(oc_model_parameters(cx, model), all);
    assert_int_equal(oc_model_prune_heads(cx, model, "{\"0\": [2], \"1\": []}"), OC_OK);
    assert_int_equal(oc_model_parameters(cx, model), all - head);
    assert_int_equal(oc_model_prune_heads(cx, model, "{\"0\": [2, 1], \"1\": [0]}"),
                     OC_OK);
    assert_int_equal(oc_model_parameters(cx, model), all - 3 * head);
    assert_int_equal(oc_model_resize_tokens(cx, model, 44, 0, 1), OC_OK);
    assert_int_equal(oc_model_parameters(cx, model), all - 3 * head + 4 * D);
    oc_model_close(model);
    oc_context_free(cx);
}

/* A million heads, and a list that names one of them a million times: a step for each
 * number. One for each number and head would not end within the test's time. */
static void lists_are_looked_at_once(void **state)
{
    (void)state;
    enum { NUMBERS = 1 << 20 };
    static const char head[] =
        "{\"model_type\":\"bert\",\"hidden_size\":1048576,"
        "\"num_attention_heads\":1048576,\"pruned_heads\":{\"0\":[0";
    static const char tail[] = "],\"beyond\":[]}}";
    static char config[sizeof head + sizeof tail + 2 * NUMBERS];
    size_t n = sizeof head - 1;
    memcpy(config, head, n);
    for (int i = 0; i < NUMBERS; i++, n += 2) memcpy(config + n, ",0", 2);
    memcpy(config + n, tail, sizeof tail);
    oc_context *cx = oc_context_create(NULL);
    assert_null(oc_model_create(cx, config, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
    assert_non_null(strstr(oc_context_message(cx), "pruned_heads: expected"));
    oc_context_free(cx);
}

static void job(oc_context *cx, void *user)
{
    oc_model_options o = OC_OPTIONS(oc_model_options, .weights_only = true);
    oc_model *model = oc_model_open(cx, user, &o);
    oc_model_prune_heads(cx, model, "{\"decoder\": {\"0\": [2], \"1\": [0, 1]}}");
    oc_model_close(model);
}

static void faults_leave_nothing(void **state)
{
    (void)state;
    fault_loop(
        &(fault_plan){ .job = job, .user = DATA "ved_gpt2", .step = 5, .dense = 40 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_leave_the_model), cmocka_unit_test(heads_go_once),
        cmocka_unit_test(lists_are_looked_at_once),
        cmocka_unit_test(faults_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
