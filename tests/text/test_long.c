/* Long texts of the kinds that made other tokenizers quadratic: a megabyte of each must
 * take about as long as a megabyte of prose. The bound is loose, for sanitizers and slow
 * machines, and of processor time; quadratic time would be hours. Prints what it
 * measured. */
#include "support/cpu_time.h"
#include "text_support.h"

enum { SIZE = 1 << 20 };

static const double most_seconds = 20;

static void fill(char *text, const char *unit)
{
    size_t n = strlen(unit);
    for (size_t i = 0; i < SIZE; i++) text[i] = unit[i % n];
    for (size_t i = SIZE - SIZE % n; i < SIZE; i++)
        text[i] = ' '; /* no half code point */
}

static const char *const all_units[] = {
    "a", " ", "\n", "\t ", "ab", "'", "'s", "!", "0", "😀", "\u00e9", "é ", "\u0301",
    "ĠaĠ", "<mask>", "<mask", "<mask> ", " <mask>", "<|endoftext|>", "[LEFT]",
    " [LEFT]", "[BOTH]  ", "[A][AB][ABC",
    "The committee met on the third of May, and it wasn't late. ", NULL
};

/* Long words, rows of marks in no order, clusters without end. */
static const char *const model_units[] = {
    "a", " ", "a ", "中", "\u0323\u0301", "e\u0301", "Ａ", "\x01", "a\x01", "\u0600",
    "\u1100", "👩\u200d", "<s>", "＜s＞", "▁", "##", NULL
};

static void encode_all(const char *folder, const char *const *units)
{
    char *text = malloc(SIZE);
    assert_non_null(text);
    oc_context *cx = quiet_context();
    double start = cpu_seconds();
    oc_tokenizer *t = open_or_fail(cx, folder);
    print_message("%s: opened in %.1f ms\n", folder, (cpu_seconds() - start) * 1e3);
    for (size_t i = 0; units[i]; i++) {
        fill(text, units[i]);
        start = cpu_seconds();
        oc_encoding *e = oc_encode(cx, t, text, SIZE, NULL, 0, NULL);
        assert_fine(cx);
        double encoded = cpu_seconds();
        size_t size, count = oc_encoding_count(e);
        char *back =
            oc_decode(cx, t, oc_encoding_ids(e), count, false, OC_CLEAN_UP_YES, &size);
        assert_fine(cx);
        double decoded = cpu_seconds();
        print_message("  %-20.20s %8zu ids, %6.0f ms, decoded in %4.0f ms\n",
                      (unsigned char)*units[i] < ' ' ? "(white)" : units[i], count,
                      (encoded - start) * 1e3, (decoded - encoded) * 1e3);
        assert_true(decoded - start < most_seconds);
        oc_string_free(back);
        oc_encoding_free(e);
    }
    oc_tokenizer_close(t);
    oc_context_free(cx);
    free(text);
}

static void megabytes(void **state)
{
    (void)state;
    encode_all("tests/data/text/flags", all_units);
    const char *folder = shared_vocab("roberta-base");
    if (folder) encode_all(folder, all_units);
}

static void models(void **state)
{
    (void)state;
    encode_all("tests/data/text/wordpiece", model_units);
    encode_all("tests/data/text/unigram-slow", model_units);
    encode_all("tests/data/text/part-long", model_units);
    encode_all("tests/data/text/clip", model_units);
    encode_all("tests/data/text/llama-slow", model_units);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(megabytes),
                                       cmocka_unit_test(models) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
