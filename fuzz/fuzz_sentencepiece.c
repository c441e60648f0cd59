/* SentencePiece models. The first byte chooses the class; the rest is the file, and, with
 * the bytes that are no ASCII left out, a text for it as well. */
#include "tokens.h"

static const char sample[] = "a  \xe2\x96\x81"
                             "b <s>\xef\xbc\x9cs\xef\xbc\x9e e\xcc\x81\xcc\xa3 "
                             "\xe4\xb8\xad\xf0\x9f\x98\x80\xe2\x80\x8d\xc2\xa9 <mask>";

static void load(oc_context *cx, const char *folder, const uint8_t *data, size_t size)
{
    oc_tokenizer *t = oci_calloc(cx, 1, sizeof *t);
    oci_loader in = { .cx = cx, .t = t, .folder = folder };
    bool ok = oci_config_open(&in) && oci_load_spm(&in, "fuzz", data, size) &&
              oci_config_apply(&in, true) && oci_load_class_post(&in);
    require(ok == !oci_failed(cx));
    oci_config_close(&in);
    if (ok) {
        use_tokenizer(cx, t, sample, sizeof sample - 1);
        char *text = malloc(size + 1);
        size_t n = 0;
        require(text);
        for (size_t i = 0; i < size; i++)
            if (data[i] < 0x80) text[n++] = (char)data[i];
        use_tokenizer(cx, t, text, n);
        free(text);
    }
    oc_tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static oc_context *cx;
    if (!cx) {
        oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1,
                                          .memory_budget = UINT64_C(1) << 28);
        cx = oc_context_create(&o);
        if (!cx) abort();
    }
    if (size == 0) return 0;
    uint64_t before = oc_context_memory(cx).live_count;
    static const char *const folders[] = { "tests/data/text/unigram-slow",
                                           "tests/data/text/mbart-slow",
                                           "tests/data/text/llama-slow" };
    load(cx, folders[data[0] % 3], data + 1, size - 1);
    oc_context_clear(cx);
    require(oc_context_memory(cx).live_count == before);
    return 0;
}
