/* The search in a .tsv over any bytes: fed whole and in pieces, with an id and without,
 * it must find the same. */
#include "arrays.h"
#include "io/regions_tsv.h"

/* The status, and how many bytes of tensors came out. */
static size_t search(oc_context *cx, const uint8_t *data, size_t size, const char *id,
                     size_t piece, oc_status *status)
{
    oci_tsv_search s;
    size_t sum = 0;
    oci_tsv_begin(cx, &s, "fuzz.tsv", id);
    for (size_t at = 0; at < size; at += piece)
        if (!oci_tsv_feed(cx, &s, (const char *)data + at,
                          size - at < piece ? size - at : piece))
            break;
    oc_tensors *set = oci_tsv_end(cx, &s);
    *status = oc_context_status(cx);
    if ((set != NULL) != (*status == OC_OK)) abort();
    check_tensors(set);
    for (size_t i = 0; i < oc_tensors_count(set); i++)
        sum += oc_tensors_get(set, i).bytes;
    oc_tensors_free(set);
    oc_context_clear(cx);
    return sum;
}

static void parse(oc_context *cx, const uint8_t *data, size_t size)
{
    static const char *const ids[] = { NULL, "123", "" };
    for (int i = 0; i < 3; i++) {
        oc_status whole, pieces;
        size_t a = search(cx, data, size, ids[i], size + 1, &whole);
        size_t b = search(cx, data, size, ids[i], 7, &pieces);
        if (a != b || whole != pieces) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_arrays(parse, data, size);
}
