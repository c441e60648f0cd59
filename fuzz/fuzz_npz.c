/* Zip archives of arrays over any bytes: libzip behind our rules,
 * then each entry as .npy. */
#include <string.h>

#include "arrays.h"

static void parse(oc_context *cx, const uint8_t *data, size_t size)
{
    oci_buffer *bytes = oci_buffer_create(cx, size);
    if (!bytes) abort();
    if (size) memcpy(bytes->data, data, size);
    oc_tensors *set = oci_npz_parse(cx, "fuzz.npz", bytes);
    if ((set != NULL) != (oc_context_status(cx) == OC_OK)) abort();
    check_tensors(set);
    oc_tensors_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_arrays(parse, data, size);
}
