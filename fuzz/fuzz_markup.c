/* Nougat's markup put right, over any bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static oc_context *cx;
    oc_context_options options = { .size = sizeof options, .threads = 1 };
    if (!cx && !(cx = oc_context_create(&options))) abort();
    oc_context_clear(cx);
    size_t made_size = 0;
    char *made = oc_document_markup(cx, (const char *)data, size, size % 2, &made_size);
    if ((made != NULL) != (oc_context_status(cx) == OC_OK)) abort();
    if (made && !oci_utf8_valid(made, made_size)) abort();
    /* What is UTF-8 and not long is markup, unless it grows without end. */
    oc_status status = oc_context_status(cx);
    if (status != OC_OK && status != OC_E_LIMIT && status != OC_E_MALFORMED) abort();
    oc_string_free(made);
    if (oc_context_memory(cx).live_count || oc_context_memory(cx).live_bytes) abort();
    return 0;
}
