/* Donut's tokens as JSON, against DonutProcessor.token2json of Transformers 4.37.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/context.h"
#include "faults/faults.h"
#include "io/json.h"

#define DATA "tests/data/documents/"

static oc_context *one_thread(void)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1);
    oc_context *cx = oc_context_create(&o);
    assert_non_null(cx);
    return cx;
}

static void free_context(oc_context *cx)
{
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    oc_context_free(cx);
}

static oc_tokenizer *open_tokenizer(oc_context *cx)
{
    oc_tokenizer *tokenizer = oc_tokenizer_open(cx, DATA "tokenizer");
    if (!tokenizer) fail_msg("%s", oc_context_message(cx));
    return tokenizer;
}

static void test_trees_equal_transformers(void **state)
{
    static char line[1 << 16];
    (void)state;
    oc_context *cx = one_thread();
    oc_tokenizer *tokenizer = open_tokenizer(cx);
    FILE *file = fopen(DATA "trees.jsonl", "r");
    assert_non_null(file);
    int count = 0;
    for (; fgets(line, sizeof line, file); count++) {
        oci_json doc;
        if (!oci_json_parse(cx, &doc, "trees.jsonl", line, strlen(line)))
            fail_msg("%s", oc_context_message(cx));
        const json_t *text = json_array_get(doc.root, 0);
        char *want = oci_json_text_of(cx, json_array_get(doc.root, 1));
        char *found = oc_document_json(cx, json_string_value(text),
                                       json_string_length(text), tokenizer);
        if (!found) fail_msg("%s: %s", json_string_value(text), oc_context_message(cx));
        if (strcmp(want, found) != 0)
            fail_msg("%s\nexpected %s\nfound    %s", json_string_value(text), want,
                     found);
        oci_free(want);
        oc_string_free(found);
        oci_json_close(&doc);
    }
    fclose(file);
    assert_true(count > 1500);
    oc_tokenizer_close(tokenizer);
    free_context(cx);
}

static void test_without_a_tokenizer(void **state)
{
    (void)state;
    static const char text[] = "<s_a><yes/></s_a>";
    oc_context *cx = one_thread();
    char *json = oc_document_json(cx, text, sizeof text - 1, NULL);
    assert_string_equal(json, "{\"a\":\"<yes/>\"}");
    oc_string_free(json);
    assert_null(oc_document_json(cx, NULL, 0, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oc_document_json(NULL, text, 1, NULL));
    free_context(cx);
}

/* `text` must end with `status`, and leave nothing behind. */
static void expect(const char *text, size_t size, oc_status status)
{
    oc_context *cx = one_thread();
    char *json = oc_document_json(cx, text, size, NULL);
    if (oc_context_status(cx) != status)
        fail_msg("expected %s, found %s: %s", oc_status_name(status),
                 oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    assert_true((json != NULL) == (status == OC_OK));
    oc_string_free(json);
    free_context(cx);
}

/* `piece` as often as it fits, then `end` as often. */
static void expect_repeated(const char *piece, size_t times, const char *end,
                            oc_status status)
{
    size_t size = strlen(piece), end_size = strlen(end);
    char *text = malloc(times * (size + end_size) + 1), *to = text;
    assert_non_null(text);
    for (size_t i = 0; i < times; i++, to += size) memcpy(to, piece, size);
    for (size_t i = 0; i < times; i++, to += end_size) memcpy(to, end, end_size);
    expect(text, (size_t)(to - text), status);
    free(text);
}

static void test_hostile_texts(void **state)
{
    (void)state;
    expect("<s_a>\xff</s_a>", 13, OC_E_MALFORMED);
    expect("<s_\0>x</s_\0>", 12, OC_E_UNSUPPORTED);
    expect("<s_a>\0</s_a>", 12, OC_OK);
    expect_repeated("<s_a><s_b>", 20, "</s_b></s_a>", OC_OK);
    expect_repeated("x", 1 << 20, "", OC_OK);
    expect_repeated("x", (1 << 20) + 1, "", OC_E_LIMIT);
    expect_repeated("<s_a>1</s_a>", 80000, "", OC_OK);
    expect_repeated("<s_a>1</s_a><sep/>", 50000, "", OC_OK);
    expect_repeated("<s_a>", 200000, "", OC_OK);
    /* Quadratic in the reference; here it may end early, but it ends soon. */
    expect_repeated("<s_", 300000, "", OC_E_LIMIT);
    expect_repeated("<s_a>\n", 150000, "</s_a>", OC_E_LIMIT);
}

/* 70 pairs of tags of different names, one in the other. */
static void test_depth(void **state)
{
    (void)state;
    char text[4096];
    size_t size = 0;
    for (int i = 0; i < 70; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "<s_k%d>", i);
    for (int i = 69; i >= 0; i--)
        size += (size_t)snprintf(text + size, sizeof text - size, "</s_k%d>", i);
    expect(text, size, OC_E_LIMIT);
}

static void job(oc_context *cx, void *user)
{
    char *made = oc_document_json(cx, user, strlen(user), NULL);
    assert_true(!made == oci_failed(cx));
    oc_string_free(made);
}

static void check_status(oc_status status, void *user)
{
    (void)user;
    assert_true(status == OC_OK || status == OC_E_MEMORY);
}

static void test_every_fault(void **state)
{
    (void)state;
    static char text[] = "<s_x><s_a>x</s_a><s_b>y<sep/>z</s_b></s_x>"
                         "<sep/><s_q><s_a>x</s_a>";
    fault_plan plan = { .job = job, .check = check_status, .user = text };
    assert_true(fault_loop(&plan) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees_equal_transformers),
        cmocka_unit_test(test_without_a_tokenizer), cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_depth), cmocka_unit_test(test_every_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
