/* Index files over any bytes, without the checksum of the whole, which would keep nearly
 * all of them out. What is accepted must hold its promises: every path ends, every vector
 * lies in the file, and a search finds each picture once. */
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/hash.h"
#include "embed/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(oc_context *cx, const oc_index *x)
{
    size_t count = oc_index_count(x), width = oc_index_width(x), sum = 0;
    float *vector = malloc(width * sizeof *vector);
    oc_hit *hits = malloc((count + 1) * sizeof *hits);
    unsigned char *seen = calloc(count + 1, 1);
    if (!vector || !hits || !seen) abort();
    sum += strlen(oc_index_model_name(x));
    for (size_t i = 0; i < count; i++) {
        sum += strlen(oc_index_path(x, i));
        if (i && strcmp(oc_index_path(x, i - 1), oc_index_path(x, i)) >= 0) abort();
        if (!oc_index_vector(x, i, vector)) abort();
    }
    for (size_t i = 0; i < width; i++) vector[i] = (float)(i % 7) - 3;
    size_t found = oc_index_search(cx, x, vector, 1, count + 1, hits);
    if (found != count) abort();
    for (size_t i = 0; i < found; i++) {
        if (hits[i].picture >= count || seen[hits[i].picture]++) abort();
        if (i && !(hits[i - 1].score >= hits[i].score)) abort();
    }
    if (sum > oc_index_count(x) + x->header.text_bytes) abort();
    free(vector);
    free(hits);
    free(seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static oc_context *cx;
    oc_context_options options = { .size = sizeof options, .threads = 1,
                                   .memory_budget = UINT64_C(1) << 28 };
    if (!cx) cx = oc_context_create(&options);
    if (!cx) abort();
    oc_context_clear(cx);
    oci_buffer *bytes = oci_buffer_create(cx, size);
    if (!bytes) abort();
    if (size) memcpy(bytes->data, data, size);
    /* The header's checksum is made right, or nothing behind it would ever be tried. */
    if (size >= sizeof(oci_index_header)) {
        uint64_t sum = oci_hash_of(bytes->data, sizeof(oci_index_header) - sizeof sum);
        memcpy(bytes->data + sizeof(oci_index_header) - sizeof sum, &sum, sizeof sum);
    }
    oc_index *x = oci_index_parse(cx, "fuzz.idx", bytes, false);
    if (!!x != (oc_context_status(cx) == OC_OK)) abort();
    if (x) check(cx, x);
    oc_index_close(x);
    oc_context_clear(cx);
    if (oc_context_memory(cx).live_count || oc_context_memory(cx).live_bytes) abort();
    return 0;
}
