/* Nougat's markup put right, against NougatTokenizerFast.post_process_generation of
 * Transformers 4.37.2; and texts that are slow there, or grow. An argument names another
 * file of cases (tools/goldens/make_markup.py --check). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/context.h"
#include "faults/faults.h"
#include "generate/rewrite.h"
#include "io/json.h"
#include "support/cpu_time.h"

static const char *cases = "tests/data/documents/markup.jsonl";

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

static void check(oc_context *cx, const json_t *text, const json_t *want, bool fix,
                  int number)
{
    size_t size;
    char *found = oc_document_markup(cx, json_string_value(text),
                                     json_string_length(text), fix, &size);
    if (!found) fail_msg("line %d: %s", number, oc_context_message(cx));
    if (size != json_string_length(want) ||
        memcmp(found, json_string_value(want), size) != 0)
        fail_msg("line %d\n%s\n---- expected\n%s\n---- found\n%s", number,
                 json_string_value(text), json_string_value(want), found);
    oc_string_free(found);
}

/* [text, without fix_markdown, with it]; null: as before it. */
static void test_equals_transformers(void **state)
{
    static char line[1 << 20];
    (void)state;
    oc_context *cx = one_thread();
    FILE *file = fopen(cases, "r");
    assert_non_null(file);
    int count = 0;
    while (fgets(line, sizeof line, file)) {
        oci_json doc;
        count++;
        if (!oci_json_parse(cx, &doc, cases, line, strlen(line)))
            fail_msg("%s", oc_context_message(cx));
        const json_t *text = json_array_get(doc.root, 0),
                     *plain = json_array_get(doc.root, 1);
        const json_t *fixed = json_array_get(doc.root, 2);
        if (json_is_null(plain)) plain = text;
        if (json_is_null(fixed)) fixed = plain;
        check(cx, text, plain, false, count);
        check(cx, text, fixed, true, count);
        oci_json_close(&doc);
    }
    fclose(file);
    assert_true(count > 300);
    free_context(cx);
}

/* `text` must end with `status` in half a second at most per 100 KB (a sanitizer's
 * seconds are longer), and leave nothing behind. */
static void expect(const char *text, size_t size, oc_status status)
{
    oc_context *cx = one_thread();
    double start = cpu_seconds();
    char *made = oc_document_markup(cx, text, size, true, NULL);
    double took = cpu_seconds() - start;
    if (took > 10) fail_msg("%zu bytes took %f s", size, took);
    if (oc_context_status(cx) != status)
        fail_msg("%.40s: expected %s, found %s: %s", text, oc_status_name(status),
                 oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    assert_true((made != NULL) == (status == OC_OK));
    oc_string_free(made);
    free_context(cx);
}

/* `head`, then `piece` as often as it takes for a megabyte, each with its number in front
 * of it if `numbered`, then `tail`. */
static void expect_long(const char *head, const char *piece, bool numbered,
                        const char *tail, oc_status status)
{
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE + 1);
    assert_non_null(text);
    size_t size = (size_t)snprintf(text, SIZE, "%s", head), room = SIZE - strlen(tail);
    for (int i = 0; size + strlen(piece) + 16 < room; i++) {
        if (numbered)
            size += (size_t)snprintf(text + size, 16, "%c%06d", 'a' + i % 16, i);
        memcpy(text + size, piece, strlen(piece));
        size += strlen(piece);
    }
    memcpy(text + size, tail, strlen(tail));
    expect(text, size + strlen(tail), status);
    free(text);
}

static void test_hostile_texts(void **state)
{
    (void)state;
    expect("\xff", 1, OC_E_MALFORMED);
    expect("a\0b", 3, OC_OK);
    expect_long("", "x", false, "", OC_OK);
    /* What backtracks in the reference, some without end. */
    expect_long("# ", "i", false, "!", OC_OK);
    expect_long("# ", ".i", false, "..", OC_OK);
    expect_long("# ", "1", false, "", OC_OK);
    expect_long("x", "\n", false, "x", OC_OK);
    expect_long("x", "# \n", false, "x", OC_OK);
    expect_long("```", " \n", false, "x", OC_OK);
    expect_long("", "``` ", false, "", OC_OK);
    expect_long("", "\\mbox{\\boldmath$", false, "", OC_OK);
    expect_long("", "[FOOTNOTE:x]", false, "", OC_OK);
    expect_long("\nFootnote ", ": thanks: ", false, "", OC_OK);
    expect_long("", "\n* [1] A.", false, "", OC_OK);
    expect_long("* [1]", " A..", false, "", OC_OK);
    expect_long("", "http://a", false, "", OC_OK);
    expect_long("http://a", ".b", false, "", OC_OK);
    expect_long("\\[", "\\] (1) \\[", false, "", OC_OK);
    expect_long("\\begin{tabular}{ll}", " & ", false, "", OC_OK);
    expect_long("", "**S. A. B.**", false, "", OC_OK);
    expect_long("", "\\begin{tab", false, "", OC_OK);
    expect_long("* x", " * 1.1 y", false, "", OC_OK);
    expect_long("", "\xce\xa3'", false, "", OC_OK);
    /* Many lines alike, and many that are no tables: the work has a bound. */
    expect_long("", "the very same line again and again and again\n", true, "", OC_OK);
    expect_long("", "ab\n", false, "", OC_OK);
    static char wide[1024];
    memset(wide, '&', 401);
    wide[401] = '\n';
    expect_long("", wide, true, "", OC_E_LIMIT);
}

/* A slice whose text comes out empty goes between all characters, in the reference, too;
 * twenty of them would make 24^20 of one. */
static void test_growth(void **state)
{
    (void)state;
    static char text[1 << 16];
    size_t size = 0;
    for (int slice = 0; slice < 20; slice++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "%c\n", 'A' + slice);
        for (int i = 0; i < 20; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "%c%c%c%c\n",
                                     'a' + slice, 'a' + slice, 'a' + slice, 'a' + slice);
        size += (size_t)snprintf(text + size, sizeof text - size,
                                 "quite something else * [1] x\n\n\n\n\n\n");
    }
    expect(text, size, OC_E_LIMIT);
}

static void test_limits_and_arguments(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    char *big = calloc(1, (1 << 20) + 1);
    assert_non_null(big);
    assert_null(oc_document_markup(cx, big, (1 << 20) + 1, true, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    assert_null(oc_document_markup(cx, "x", 1, true, NULL));   /* the first error stays */
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
    assert_null(oc_document_markup(cx, NULL, 0, true, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    assert_null(oc_document_markup(NULL, "x", 1, true, NULL));
    free(big);
    free_context(cx);
}

/* A pattern that is none of Python's, or matches nothing, is a slip of ours: refused. */
static void test_patterns(void **state)
{
    (void)state;
    static const uint32_t word[] = { 'a', 'b', 'a', 'b', '\n' };
    static const struct { const char *pattern, *replacement, *want; } rows[] = {
        { "(?:a|b)+", "<\\1>", "<>\n" }, { "(a|ab)(b?)", "\\2\\1,", "ba,ba,\n" },
        { "a(.)??", "\\1-", "-b-b\n" }, { "(a)|(b)", "[\\1\\2]", "[a][b][a][b]\n" },
        { "b$", "c", "abac\n" }, { "^a", "c", "cbab\n" }, { "(ab){2,2}\\s", "x", "x" },
        { "a*", NULL, NULL }, { "(a", NULL, NULL },
        { "a)", NULL, NULL }, { "a{x", NULL, NULL }, { "[a", NULL, NULL },
        { "(a|b", NULL, NULL }, { "a{2", NULL, NULL }, { "(", NULL, NULL },
        { "[a-", NULL, NULL }, { "[\\", NULL, NULL }, { "(a|(b|", NULL, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        oc_context *cx = one_thread();
        oci_points out = { 0 };
        oci_rewrite(cx, rows[i].pattern, rows[i].want ? rows[i].replacement : "", 0,
                    (oci_span){ word, 5 }, &out);
        if (rows[i].want) {
            assert_int_equal(out.count, strlen(rows[i].want));
            assert_true(oci_span_begins(oci_points_span(&out), rows[i].want));
        } else {
            assert_int_equal(oc_context_status(cx), OC_E_FAILED);
        }
        oci_free(out.at);
        free_context(cx);
    }
}

static void job(oc_context *cx, void *user)
{
    char *made = oc_document_markup(cx, user, strlen(user), true, NULL);
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
    static char text[1 << 12] = "# 1\n- a b - c d\n";
    for (int i = 0; i < 20; i++) strcat(text, "a line that is the same\n");
    strcat(text, "and another one, http://a.bc");
    fault_plan plan = { .job = job, .check = check_status, .user = text };
    assert_true(fault_loop(&plan) > 50);
}

int main(int argc, char **argv)
{
    if (argc > 1) cases = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_transformers), cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_growth), cmocka_unit_test(test_limits_and_arguments),
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_every_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
