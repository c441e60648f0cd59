/* Opening, encoding, decoding and streaming while the n-th request for memory or a file
 * fails, for every n. */
#include "text_support.h"

#include "faults/faults.h"
#include "text/tokenizer.h"

static void job(oc_context *cx, void *user)
{
    static const char text[] =
        " <mask> naïve 😀 bridge [LEFT] x a\u0323\u0301\u0327 ＜s＞ Éa ab";
    oc_tokenizer *t = oc_tokenizer_open(cx, user);
    oc_encode_options o =
        OC_OPTIONS(oc_encode_options, .max_length = 12, .overflow = true,
                   .truncation = OC_TRUNCATE_LONGEST_FIRST, .stride = 1);
    oc_encoding *e = oc_encode(cx, t, text, sizeof text - 1, text, sizeof text - 1, &o);
    const int64_t *ids = oc_encoding_ids(e);
    size_t count = oc_encoding_count(e);
    oc_string_free(oc_decode(cx, t, ids, count, false, OC_CLEAN_UP_YES, NULL));
    oci_detokenizer *s = oci_detokenizer_create(cx, t, true, OC_CLEAN_UP_YES);
    for (size_t i = 0; i + 1 < count; i++) oci_detokenizer_push(cx, s, ids[i], NULL);
    if (count) oci_detokenizer_push_last(cx, s, ids[count - 1], NULL);
    oci_detokenizer_free(s);
    oc_encoding_free(e);
    oc_tokenizer_close(t);
}

static void every_fault(void **state)
{
    (void)state;
    /* A companion file that cannot be looked at counts as absent, which is no error. */
    static const char *const folders[] = {
        "tests/data/text/flags",          "tests/data/text/template",
        "tests/data/text/roberta-slow",   "tests/data/text/wordpiece-cased",
        "tests/data/text/wordpiece-map",  "tests/data/text/unigram-hub",
        "tests/data/text/mbart-slow",     "tests/data/text/part-long",
        "tests/data/text/part-behaviors", "models/printed-line-ocr",
        "tests/data/text/clip-unknown",   "tests/data/text/clip-slow",
        "tests/data/text/llama",          "tests/data/text/llama-slow",
        "tests/data/text/llama-unigram"
    };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        fault_plan plan = { .job = job, .user = (void *)(uintptr_t)folders[i],
                            .may_recover = true };
        long asked = fault_loop(&plan);
        print_message("%s: %ld requests\n", folders[i], asked);
        assert_true(asked > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_fault) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
