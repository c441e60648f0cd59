/* The JSON reader and its getters, over any bytes. */
#include <stdlib.h>

#include "base/context.h"
#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static oc_context *new_context(void)
{
    oc_context_options options = { .size = sizeof options, .threads = 1,
                                   .memory_budget = UINT64_C(1) << 28 };
    oc_context *cx = oc_context_create(&options);
    if (!cx) abort();
    cx->limits.json_bytes = 1 << 20;
    cx->limits.json_depth = 32;
    return cx;
}

/* Every getter on every member of every object; depth is bounded by the reader. */
static void visit(oc_context *cx, const oci_json *doc, json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;
    json_array_foreach(value, i, member) visit(cx, doc, member);
    if (!json_is_object(value)) return;
    json_object_foreach(value, key, member) {
        oci_json_int(cx, doc, value, key, 0, -5, 5);
        oc_context_clear(cx);
        oci_json_real(cx, doc, value, key, 0, -1.0, 1e9);
        oc_context_clear(cx);
        oci_json_bool(cx, doc, value, key, false);
        oc_context_clear(cx);
        oci_json_text(cx, doc, value, key, "");
        oc_context_clear(cx);
        oci_json_object(cx, doc, value, key);
        oc_context_clear(cx);
        oci_json_array(cx, doc, value, key);
        oc_context_clear(cx);
        visit(cx, doc, member);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static oc_context *cx;
    if (!cx) cx = new_context();
    oci_json doc;
    oc_context_clear(cx);
    bool ok = oci_json_parse(cx, &doc, "fuzz.json", (const char *)data, size);
    if (ok != (oc_context_status(cx) == OC_OK)) abort();
    if (ok) visit(cx, &doc, doc.root);
    oci_json_close(&doc);
    if (oc_context_memory(cx).live_count || oc_context_memory(cx).live_bytes) abort();
    return 0;
}
