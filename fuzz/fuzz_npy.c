/* The .npy reader over any bytes. What it accepts must be of the
 * size that its shape says. */
#include "arrays.h"

static void parse(oc_context *cx, const uint8_t *data, size_t size)
{
    oc_tensors *set = oc_tensors_create(cx);
    if (!set) abort();
    bool ok = oci_npy_parse(cx, set, "x", "fuzz.npy", data, size) == OC_OK;
    if (ok != (oc_context_status(cx) == OC_OK) || oc_tensors_count(set) != ok) abort();
    check_tensors(set);
    oc_tensors_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_arrays(parse, data, size);
}
