/* Nougat's markup put right, over any bytes. */
#include "context.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    oc_context *cx = fuzz_context(0);
    size_t made_size = 0;
    char *made = oc_document_markup(cx, (const char *)data, size, size % 2, &made_size);
    if ((made != NULL) != (oc_context_status(cx) == OC_OK)) abort();
    if (made && !oci_utf8_valid(made, made_size)) abort();
    /* What is UTF-8 and not long is markup, unless it grows without end. */
    oc_status status = oc_context_status(cx);
    if (status != OC_OK && status != OC_E_LIMIT && status != OC_E_MALFORMED) abort();
    oc_string_free(made);
    fuzz_nothing_left(cx);
    return 0;
}
