/* The JSON reader: what it refuses, with which status and place, and the getters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/context.h"
#include "io/json.h"
#include "support/check.h"
#include "support/cpu_time.h"

static oc_context *cx;

static int clear(void **state)
{
    (void)state;
    oc_context_clear(cx);
    cx->limits = oci_default_limits;
    return 0;
}

static void expect_error(const char *what, oc_status status, const char *part)
{
    check_error(cx, what, status, part);
}

static oci_json parse(const char *text)
{
    oci_json doc;
    if (!oci_json_parse(cx, &doc, "x.json", text, strlen(text)))
        fail_msg("%s: %s", text, oc_context_message(cx));
    return doc;
}

/* ---- what is refused --------------------------------------------------------------- */

static const struct {
    const char *text;
    const char *message;
} bad[] = {
    { "", "x.json: line 1, column 0: '[' or '{' expected" },
    { "   ", "'[' or '{' expected" },
    { "{", "line 1, column 1: string or '}' expected" },
    { "{\n\n  \"a\" 1}", "line 3, column 7: ':' expected" },
    { "{\"a\":}", "unexpected token" },
    { "{\"a\":1,}", "string or '}' expected" },
    { "[1,]", "unexpected token" },
    { "[1 2]", "']' expected" },
    { "[1", "']' expected" },
    { "[\"abc", "premature end of input" },
    { "[\"abc\\", "invalid escape" },
    { "{} x", "end of file expected" },
    { "{}{}", "end of file expected" },
    { "1", "'[' or '{' expected" },
    { "\"text\"", "'[' or '{' expected" },
    { "\xef\xbb\xbf{}", "'[' or '{' expected" },
    { "[nul]", "invalid token" },
    { "[NaN]", "invalid token near 'NaN'" },
    { "[Infinity]", "invalid token" },
    { "[-Infinity]", "invalid token" },
    { "[1e999]", "real number overflow" },
    { "[-1e999]", "real number overflow" },
    { "[01]", "invalid token" },
    { "[+1]", "invalid token" },
    { "[.5]", "invalid token" },
    { "[1.]", "invalid token" },
    { "[1e]", "invalid token" },
    { "[0x10]", "']' expected" },
    { "[12345678901234567890-12]", "too big integer" },
    { "{\"a\":1,\"b\":2,\"a\":3}", "duplicate object key near '\"a\"'" },
    { "{\"a\\u0000b\":1}", "NUL byte in object key" },
    { "{'a':1}", "string or '}' expected" },
    { "{a:1}", "string or '}' expected" },
    { "{1:2}", "string or '}' expected" },
    { "[1] // c", "end of file expected" },
    { "[\"\x01\"]", "control character 0x1" },
    { "[\"a\nb\"]", "unexpected newline" },
    { "[\"\\x41\"]", "invalid escape" },
    { "[\"\\ud83d\"]", "invalid Unicode" },
    { "[\"\\udc1d\"]", "invalid Unicode" },
    { "[\"\\ud83d\\u0041\"]", "invalid Unicode" },
    { "[\"\xff\"]", "unable to decode byte 0xff" },
    { "[\"\xc0\xaf\"]", "unable to decode byte 0xc0" },
    { "[\"\xed\xa0\x80\"]", "unable to decode byte 0xed" },
    { "[\"\xf4\x90\x80\x80\"]", "unable to decode byte 0xf4" },
    { "[\"\xe2\x82\"]", "unable to decode byte 0xe2" },
};

static void bad_text_is_malformed(void **state)
{
    (void)state;
    oci_json doc;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(
            oci_json_parse(cx, &doc, "x.json", bad[i].text, strlen(bad[i].text)));
        assert_null(doc.root);
        assert_null(doc.name);
        expect_error(bad[i].text, OC_E_MALFORMED, bad[i].message);
        assert_int_equal(oc_context_memory(cx).live_bytes, 0);
        assert_int_equal(oc_context_memory(cx).live_count, 0);
    }
    assert_false(oci_json_parse(cx, &doc, "x.json", "{}", 3));     /* a NUL behind it */
    expect_error("NUL", OC_E_MALFORMED, "end of file expected");
}

/* `n` times `text` between `before` and `after`, in a new block. */
static char *repeat(const char *before, const char *text, size_t n, const char *after)
{
    size_t k = strlen(text), at = strlen(before);
    char *all = malloc(at + n * k + strlen(after) + 1);
    assert_non_null(all);
    memcpy(all, before, at);
    for (size_t i = 0; i < n; i++, at += k) memcpy(all + at, text, k);
    memcpy(all + at, after, strlen(after) + 1);
    return all;
}

static void bounds_hold(void **state)
{
    (void)state;
    oci_json doc;
    for (int objects = 0; objects < 2; objects++) {
        char *text = repeat("", objects ? "{\"a\":" : "[", 64, objects ? "1" : "");
        char *whole = repeat(text, objects ? "}" : "]", 64, "");
        doc = parse(whole);
        oci_json_close(&doc);
        cx->limits.json_depth = 63;
        assert_false(oci_json_parse(cx, &doc, "x.json", whole, strlen(whole)));
        expect_error("depth", OC_E_LIMIT, "nested deeper than 63");
        cx->limits = oci_default_limits;
        free(whole);
        free(text);
    }
    char *deep = repeat("\n\n", "[", 1000000, "");
    assert_false(oci_json_parse(cx, &doc, "x.json", deep, strlen(deep)));
    expect_error("depth", OC_E_LIMIT, "x.json: line 3, column 65: nested deeper than 64");
    free(deep);
    doc = parse("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                "\"]");
    oci_json_close(&doc);

    char *number = repeat("[0.", "1", 511, "]");
    assert_false(oci_json_parse(cx, &doc, "x.json", number, strlen(number)));
    expect_error("digits", OC_E_MALFORMED,
                 "line 1, column 2: a number of too many digits");
    free(number);
    number = repeat("[0.", "1", 510, "]");
    doc = parse(number);
    oci_json_close(&doc);
    free(number);

    cx->limits.json_bytes = 3;
    assert_false(oci_json_parse(cx, &doc, "x.json", "[12]", 4));
    expect_error("size", OC_E_LIMIT, "x.json: expected at most 3 bytes of JSON, found 4");
    doc = parse("[1]");
    oci_json_close(&doc);
}

/* A megabyte of anything costs about the same: nothing is quadratic. */
static void time_is_linear(void **state)
{
    (void)state;
    static const struct { const char *before, *text, *after; } cases[] = {
        { "[\"", "\\\\", "\"]" }, { "[", "1,", "1]" }, { "[", "[],", "1]" },
        { "[", "\n", "]" }, { "[", "12345678901234567890123,", "1]" },
        { "[\"", "\\u00e9", "\"]" }, { "", "]", "" }, { "[", "-", "]" },
        { "[\"", "\xff", "\"]" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = repeat(cases[i].before, cases[i].text,
                            1000000 / strlen(cases[i].text), cases[i].after);
        oci_json doc;
        double start = cpu_seconds();
        if (oci_json_parse(cx, &doc, "x.json", text, strlen(text))) oci_json_close(&doc);
        /* tens of milliseconds; sanitizers: more */
        assert_true(cpu_seconds() - start < 5.0);
        oc_context_clear(cx);
        free(text);
    }
}

/* What jansson takes by itself is under the budget, by an estimate. */
static void budget_covers_values(void **state)
{
    (void)state;
    oc_context_options o = { .size = sizeof o, .threads = 1, .memory_budget = 1 << 20 };
    oc_context *small = oc_context_create(&o);
    oci_json doc;
    char *text = repeat("[", "[],", 10000, "1]");
    assert_false(oci_json_parse(small, &doc, "x.json", text, strlen(text)));
    assert_int_equal(oc_context_status(small), OC_E_MEMORY);
    assert_int_equal(oc_context_memory(small).live_bytes, 0);
    oc_context_clear(small);
    assert_true(oci_json_parse(small, &doc, "x.json", "[1]", 3));
    assert_true(oc_context_memory(small).live_bytes > 3);
    oci_json_close(&doc);
    assert_int_equal(oc_context_memory(small).live_bytes, 0);
    oc_context_free(small);
    free(text);
}

/* ---- getters ----------------------------------------------------------------------- */

static void getters_read(void **state)
{
    (void)state;
    oci_json d = parse("{\"i\":-7,\"r\":2.5,\"e\":1e-05,\"t\":true,\"f\":false,\"n\":"
                       "null,\"s\":\"text\",\"o\":{\"i\":3},\"a\":[1],\"big\":"
                       "9223372036854775807}");
    const json_t *r = d.root;
    assert_int_equal(oci_json_int(cx, &d, r, "i", 0, -10, 10), -7);
    assert_int_equal(oci_json_int(cx, &d, r, "i", 0, -7, -7), -7);
    assert_true(oci_json_int(cx, &d, r, "big", 0, 0, INT64_MAX) == INT64_MAX);
    assert_int_equal(oci_json_int(cx, &d, r, "absent", 42, 0, 1), 42);
    assert_int_equal(oci_json_int(cx, &d, r, "n", 42, 0, 1), 42);
    assert_int_equal(oci_json_int(cx, &d, oci_json_object(cx, &d, r, "o"), "o.i", 0, 0,
                                  9),
                     3);
    assert_int_equal(oci_json_int(cx, &d, NULL, "x.i", 5, 0, 9), 5);
    assert_true(oci_json_real(cx, &d, r, "r", 0, 0, 3) == 2.5);
    assert_true(oci_json_real(cx, &d, r, "e", 0, 0, 3) == 1e-05);
    assert_true(oci_json_real(cx, &d, r, "i", 0, -10, 3) == -7.0);
    assert_true(oci_json_real(cx, &d, r, "absent", 0.5, 0, 3) == 0.5);
    assert_true(oci_json_bool(cx, &d, r, "t", false));
    assert_false(oci_json_bool(cx, &d, r, "f", true));
    assert_true(oci_json_bool(cx, &d, r, "absent", true));
    assert_string_equal(oci_json_text(cx, &d, r, "s", NULL), "text");
    assert_null(oci_json_text(cx, &d, r, "n", NULL));
    assert_string_equal(oci_json_text(cx, &d, r, "absent", "x"), "x");
    assert_non_null(oci_json_array(cx, &d, r, "a"));
    assert_null(oci_json_array(cx, &d, r, "n"));
    assert_null(oci_json_object(cx, &d, r, "absent"));
    assert_int_equal(oc_context_status(cx), OC_OK);
    oci_json_close(&d);
}

static void getters_refuse(void **state)
{
    (void)state;
    oci_json d = parse("{\"i\":-7,\"r\":3.0,\"t\":true,\"s\":\"3\",\"o\":{},\"a\":[1,2],"
                       "\"z\":\"a\\u0000b\",\"big\":1000000000000000019884624838656}");
    const json_t *r = d.root;
    oci_json_int(cx, &d, r, "c.r", 0, 0, 9);
    expect_error("r", OC_E_MALFORMED,
                 "x.json: c.r: expected an integer in 0..9, found 3");
    oci_json_int(cx, &d, r, "i", 0, 0, 9);
    expect_error("i", OC_E_MALFORMED, "i: expected an integer in 0..9, found -7");
    oci_json_int(cx, &d, r, "s", 0, 0, 9);
    expect_error("s", OC_E_MALFORMED, "found \"3\"");
    oci_json_int(cx, &d, r, "t", 0, 0, 9);
    expect_error("t", OC_E_MALFORMED, "found true");
    oci_json_int(cx, &d, r, "big", 0, 0, INT64_MAX);
    expect_error("big", OC_E_MALFORMED, "expected an integer in 0..9223372036854775807, "
                                        "found 1e+30");
    oci_json_real(cx, &d, r, "i", 0, 0, 1);
    expect_error("real", OC_E_MALFORMED, "i: expected a number in 0..1, found -7");
    oci_json_real(cx, &d, r, "a", 0, 0, 1);
    expect_error("real", OC_E_MALFORMED, "found an array of 2");
    oci_json_bool(cx, &d, r, "i", false);
    expect_error("bool", OC_E_MALFORMED, "i: expected true or false, found -7");
    oci_json_text(cx, &d, r, "o", NULL);
    expect_error("text", OC_E_MALFORMED, "o: expected a text, found an object");
    oci_json_text(cx, &d, r, "z", NULL);
    expect_error("text", OC_E_MALFORMED, "z: expected a text without U+0000");
    oci_json_object(cx, &d, r, "a");
    expect_error("object", OC_E_MALFORMED, "a: expected an object, found an array of 2");
    oci_json_array(cx, &d, r, "o");
    expect_error("array", OC_E_MALFORMED, "o: expected an array, found an object");
    /* With an error set they give the fallback and keep the first error. */
    oci_fail(cx, OC_E_FAILED, "first");
    assert_int_equal(oci_json_int(cx, &d, r, "i", 5, -9, 9), 5);
    assert_null(oci_json_object(cx, &d, r, "o"));
    expect_error("sticky", OC_E_FAILED, "first");
    oci_json_close(&d);
}

/* Beyond 64 bits an integer is the nearest real; up to there it is exact. */
static void long_integers(void **state)
{
    (void)state;
    oci_json d = parse("[9223372036854775807,9223372036854775808,"
                       "1000000000000000019884624838656,-1000000000000000019884624838656,"
                       "\"10000000000000000198\",-9223372036854775807]");
    assert_true(json_integer_value(json_array_get(d.root, 0)) == INT64_MAX);
    assert_true(json_real_value(json_array_get(d.root, 1)) == 0x1p63);
    assert_true(json_real_value(json_array_get(d.root, 2)) == 1e30);
    assert_true(json_real_value(json_array_get(d.root, 3)) == -1e30);
    assert_string_equal(json_string_value(json_array_get(d.root, 4)), "100000000000000001"
                                                                      "98");
    assert_true(json_integer_value(json_array_get(d.root, 5)) == -INT64_MAX);
    oci_json_close(&d);
}

static void text_with_nul(void **state)
{
    (void)state;
    oci_json d = parse("[\"a\\u0000b\",\"\\ud83d\\udc1d\"]");
    assert_int_equal(json_string_length(json_array_get(d.root, 0)), 3);
    assert_string_equal(json_string_value(json_array_get(d.root, 1)), "\xf0\x9f\x90\x9d");
    oci_json_close(&d);
}

/* A found value is shortened, and kept from steering a terminal. */
static void found_values_are_short(void **state)
{
    (void)state;
    char *text = repeat("{\"a\":\"\\u001b[2J", "\xc3\xbc", 5000, "\"}");
    oci_json d = parse(text);
    oci_json_int(cx, &d, d.root, "a", 0, 0, 1);
    assert_true(strlen(oc_context_message(cx)) < 300);
    assert_null(strchr(oc_context_message(cx), 0x1b));
    assert_non_null(strstr(oc_context_message(cx), "\xc3\xbc...\""));
    oci_json_close(&d);
    free(text);
}

static void files(void **state)
{
    (void)state;
    oci_json d;
    assert_false(oci_json_open(cx, &d, "tests/data/io/absent.json"));
    expect_error("absent", OC_E_FILE, "tests/data/io/absent.json: open: no such file");
    assert_false(oci_json_open(cx, &d, "tests"));
    expect_error("folder", OC_E_FILE, "tests: expected a file, found a folder");
    assert_true(oci_json_open(cx, &d, "models/printed-line-ocr/config.json"));
    assert_int_equal(oc_context_memory(cx).live_count, 1);      /* its name */
    assert_string_equal(oci_json_text(cx, &d, d.root, "model_type", ""),
                        "vision-encoder-decoder");
    oci_json_close(&d);
    assert_true(oci_json_open(cx, &d, "models/printed-line-ocr/tokenizer_config.json"));
    assert_true(oci_json_real(cx, &d, d.root, "model_max_length", 0, 0, 1e31) == 1e30);
    oci_json_close(&d);
    cx->limits.config_bytes = 10;
    assert_false(oci_json_open(cx, &d, "models/printed-line-ocr/config.json"));
    expect_error("config_bytes", OC_E_LIMIT, "expected at most 10 bytes");
    assert_int_equal(oc_context_memory(cx).live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(bad_text_is_malformed, clear),
        cmocka_unit_test_setup(bounds_hold, clear),
        cmocka_unit_test_setup(time_is_linear, clear),
        cmocka_unit_test_setup(budget_covers_values, clear),
        cmocka_unit_test_setup(getters_read, clear),
        cmocka_unit_test_setup(getters_refuse, clear),
        cmocka_unit_test_setup(long_integers, clear),
        cmocka_unit_test_setup(text_with_nul, clear),
        cmocka_unit_test_setup(found_values_are_short, clear),
        cmocka_unit_test_setup(files, clear),
    };
    cx = oc_context_create(&(oc_context_options){ .size = sizeof(oc_context_options),
                                                  .threads = 1 });
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    oc_context_free(cx);
    return failed;
}
