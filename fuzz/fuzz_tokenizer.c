/* Tokenizer files and texts. An input that begins with "{" is a tokenizer.json, and after
 * a NUL a tokenizer_config.json, and after another a text; any other input is text and
 * ids for the bundled tokenizer. */
#include "tokens.h"

/* ---- files ------------------------------------------------------------------------- */

static void load(oc_context *cx, const char *data, size_t size)
{
    const char *end = memchr(data, 0, size);
    size_t json = end ? (size_t)(end - data) : size;
    const char *config = end ? end + 1 : data + size;
    const char *text = memchr(config, 0, size - (size_t)(config - data));
    size_t config_size = text ? (size_t)(text - config) : 0;

    oc_tokenizer *t = oci_calloc(cx, 1, sizeof *t);
    oci_loader in = { .cx = cx, .t = t, .folder = "fuzz" };
    bool ok = oci_json_parse(cx, &in.json, "tokenizer.json", data, json);
    if (ok && config_size)
        ok = oci_json_parse(cx, &in.config, "tokenizer_config.json", config,
                            config_size) &&
             json_is_object(in.config.root);
    ok = ok && oci_load_tokenizer_json(&in) && oci_config_apply(&in, false);
    require(ok == !oci_failed(cx) || json_is_array(in.config.root));
    oci_config_close(&in);
    if (ok && text) use_tokenizer(cx, t, text + 1, size - (size_t)(text + 1 - data));
    oc_tokenizer_close(t);
}

/* ---- texts ------------------------------------------------------------------------- */

/* Without added tokens in it a text comes back as it was. */
static void check_round_trip(oc_context *cx, const oc_tokenizer *t, const char *text,
                             size_t size)
{
    if (memchr(text, '<', size) || !oci_utf8_valid(text, size)) return;
    oc_encoding *e = oc_encode(cx, t, text, size, NULL, 0, NULL);
    require(e);
    size_t n;
    char *back = oc_decode(cx, t, oc_encoding_ids(e), oc_encoding_count(e), true,
                           OC_CLEAN_UP_NO, &n);
    require(back && n == size && !memcmp(back, text, n));
    oc_string_free(back);
    oc_encoding_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static oc_context *cx;
    static oc_tokenizer *bundled;
    if (!cx) {
        oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1,
                                          .memory_budget = UINT64_C(1) << 28);
        cx = oc_context_create(&o);
        bundled = oc_tokenizer_open(cx, "models/printed-line-ocr");
        if (!bundled) abort();
    }
    const char *text = (const char *)data;
    uint64_t before = oc_context_memory(cx).live_count;
    if (size > 0 && data[0] == '{') {
        load(cx, text, size);
    } else if (size > 0) {
        use_tokenizer(cx, bundled, text, size);
        check_round_trip(cx, bundled, text, size);
        int64_t *ids = malloc(size * sizeof *ids);
        require(ids);
        for (size_t i = 0; i < size; i++) ids[i] = data[i] + (data[i] < 16 ? 250 : 0);
        check_stream(cx, bundled, ids, size, data[0] & 1, (oc_clean_up)(data[0] % 3));
        free(ids);
    }
    oc_context_clear(cx);
    require(oc_context_memory(cx).live_count == before);
    return 0;
}
