/* Donut's tokens to JSON, over any bytes. */
#include <string.h>

#include "context.h"
#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    oc_context *cx = fuzz_context(0);
    char *json = oc_document_json(cx, (const char *)data, size, NULL);
    if ((json != NULL) != (oc_context_status(cx) == OC_OK)) abort();
    /* What comes out is JSON that our own reader takes. */
    oci_json doc;
    if (json && !oci_json_parse(cx, &doc, "document", json, strlen(json))) abort();
    if (json) oci_json_close(&doc);
    oc_string_free(json);
    fuzz_nothing_left(cx);
    return 0;
}
