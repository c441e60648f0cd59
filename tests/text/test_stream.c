/* The streaming detokenizer: its pieces, joined, are oc_decode of all ids; no piece is
 * broken UTF-8; and nothing waits that is certain. */
#include "text_support.h"

#include "base/context.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

static uint64_t state = 99;

static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % n);
}

/* Streams ids and checks each piece; returns all of them joined (free). */
static char *stream(oc_context *cx, const oc_tokenizer *t, const int64_t *ids,
                    size_t count, bool skip, oc_clean_up clean, size_t *size)
{
    char *joined = malloc(count * 1024 + 64);
    assert_non_null(joined);
    *size = 0;
    oci_detokenizer *s = oci_detokenizer_create(cx, t, skip, clean);
    assert_non_null(s);
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const char *piece = i + 1 < count
                                ? oci_detokenizer_push(cx, s, ids[i], &n)
                                : oci_detokenizer_push_last(cx, s, ids[i], &n);
        assert_fine(cx);
        assert_true(oci_utf8_valid(piece, n));
        memcpy(joined + *size, piece, n);
        *size += n;
    }
    oci_detokenizer_free(s);
    return joined;
}

static void check(oc_context *cx, const oc_tokenizer *t, const int64_t *ids, size_t count,
                  bool skip, oc_clean_up clean)
{
    size_t want_size, have_size;
    char *want = oc_decode(cx, t, ids, count, skip, clean, &want_size);
    char *have = stream(cx, t, ids, count, skip, clean, &have_size);
    if (have_size != want_size || memcmp(want, have, want_size))
        fail_msg("stream gave \"%.*s\", not \"%s\"", (int)have_size, have, want);
    oc_string_free(want);
    free(have);
}

static void random_ids(oc_context *cx, const char *folder, int rounds)
{
    oc_tokenizer *t = open_or_fail(cx, folder);
    uint32_t size = (uint32_t)oc_tokenizer_vocab_size(t);
    for (int i = 0; i < rounds; i++) {
        int64_t ids[40];
        size_t count = below(40);
        for (size_t k = 0; k < count; k++) ids[k] = (int64_t)below(size + 2) - 1;
        check(cx, t, ids, count, below(2), (oc_clean_up)below(3));
    }
    oc_tokenizer_close(t);
}

static void streams_are_decodings(void **unused)
{
    (void)unused;
    oc_context *cx = quiet_context();
    random_ids(cx, "models/printed-line-ocr", 3000);
    random_ids(cx, "tests/data/text/flags", 1000);
    random_ids(cx, "tests/data/text/plain", 1000);
    random_ids(cx, "tests/data/text/wordpiece", 1000);
    random_ids(cx, "tests/data/text/clip", 1000);
    random_ids(cx, "tests/data/text/clip-slow", 500);
    random_ids(cx, "tests/data/text/unigram-slow", 1000);
    random_ids(cx, "tests/data/text/unigram-odd", 500);
    random_ids(cx, "tests/data/text/llama", 1000);
    random_ids(cx, "tests/data/text/llama-unknown", 1000);
    random_ids(cx, "tests/data/text/llama-pieces", 1000);
    const char *folder = shared_vocab("gpt2");
    if (folder) random_ids(cx, folder, 3000);
    oc_context_free(cx);
}

/* Byte tokens: id 4 + place of the byte's character in the bundled vocabulary. */
static size_t byte_ids(oc_context *cx, const oc_tokenizer *t, const char *text,
                       size_t size, int64_t *ids)
{
    int64_t table[256];
    for (int64_t id = 0; id < oc_tokenizer_vocab_size(t); id++) {
        size_t n;
        char *byte = oc_decode(cx, t, &id, 1, true, OC_CLEAN_UP_NO, &n);
        if (n == 1) table[(unsigned char)*byte] = id;
        /* Bytes over 127 decode to U+FFFD alone; their character's code tells them. */
        uint32_t code = 0;
        const char *token = oc_tokenizer_token(t, id);
        if (n == 3 && oci_utf8_decode(token, strlen(token), &code) == 2)
            for (int b = 128; b < 256; b++)
                if ((b >= 161 && b != 173 && code == (uint32_t)b) ||
                    (b < 161 && code == 256u + 33 + (uint32_t)b - 127) ||
                    (b == 173 && code == 256 + 67))
                    table[b] = id;
        oc_string_free(byte);
    }
    for (size_t i = 0; i < size; i++) ids[i] = table[(unsigned char)text[i]];
    return size;
}

/* Python's bytes.decode(errors="replace"): one U+FFFD for each maximal broken part. */
static void broken_utf8(void **unused)
{
    (void)unused;
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        { "\xff", "\xef\xbf\xbd" },
        { "a\xf0\x9f\x98" "b", "a\xef\xbf\xbd" "b" },
        { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xe2\x82", "\xef\xbf\xbd" },
        { "\xe2\x82\xe2\x82\xac", "\xef\xbf\xbd\xe2\x82\xac" },
        { "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xc3\xa9\xc3", "\xc3\xa9\xef\xbf\xbd" },
    };
    oc_context *cx = quiet_context();
    oc_tokenizer *t = open_or_fail(cx, "models/printed-line-ocr");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ids[16];
        size_t n = byte_ids(cx, t, cases[i].bytes, strlen(cases[i].bytes), ids), size;
        char *text = oc_decode(cx, t, ids, n, true, OC_CLEAN_UP_NO, &size);
        assert_string_equal(text, cases[i].text);
        oc_string_free(text);
        check(cx, t, ids, n, true, OC_CLEAN_UP_NO);
    }
    oc_tokenizer_close(t);
    oc_context_free(cx);
}

/* What waits, after each character, for clean-up. */
static void clean_up_waits_for_little(void **unused)
{
    (void)unused;
    static const char *const texts[] = { "a . b",         "it ' s", "do n't", "a  ,b",
                                         " ' ",           "x '",    "' 's",   " ' ' . ",
                                         "we 've 're 'm", " n'",    " 'v e",  "  !  ?" };
    oc_context *cx = quiet_context();
    oc_tokenizer *t = open_or_fail(cx, "models/printed-line-ocr");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t ids[64];
        size_t n = byte_ids(cx, t, texts[i], strlen(texts[i]), ids);
        for (size_t k = 0; k <= n; k++) check(cx, t, ids, k, true, OC_CLEAN_UP_YES);
    }
    int64_t ids[64];
    static const char text[] = "ab c ' d";
    /* The last space waits too: " '" and " ." would become " '." */
    static const char *const pieces[] = { "a", "b", "", " c", "", "", "", "'d" };
    size_t n = byte_ids(cx, t, text, strlen(text), ids);
    oci_detokenizer *s = oci_detokenizer_create(cx, t, true, OC_CLEAN_UP_YES);
    for (size_t i = 0; i + 1 < n; i++)
        assert_string_equal(oci_detokenizer_push(cx, s, ids[i], NULL), pieces[i]);
    assert_string_equal(oci_detokenizer_push_last(cx, s, ids[n - 1], NULL),
                        pieces[n - 1]);
    oci_detokenizer_free(s);
    oc_tokenizer_close(t);
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_decodings),
        cmocka_unit_test(broken_utf8),
        cmocka_unit_test(clean_up_waits_for_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
