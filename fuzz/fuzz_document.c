/* Donut's tokens to JSON, over any bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static oc_context *cx;
    oc_context_options options = { .size = sizeof options, .threads = 1 };
    if (!cx && !(cx = oc_context_create(&options))) abort();
    oc_context_clear(cx);
    char *json = oc_document_json(cx, (const char *)data, size, NULL);
    if ((json != NULL) != (oc_context_status(cx) == OC_OK)) abort();
    /* What comes out is JSON that our own reader takes. */
    oci_json doc;
    if (json && !oci_json_parse(cx, &doc, "document", json, strlen(json))) abort();
    if (json) oci_json_close(&doc);
    oc_string_free(json);
    if (oc_context_memory(cx).live_count || oc_context_memory(cx).live_bytes) abort();
    return 0;
}
