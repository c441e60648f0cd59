/* The safetensors reader over any bytes. What it accepts must hold its promises: every
 * tensor inside the buffer, aligned, of the right size, and found by its name. */
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "io/blocks.h"
#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static oc_context *new_context(void)
{
    oc_context_options options = { .size = sizeof options, .threads = 1,
                                   .memory_budget = UINT64_C(1) << 28 };
    oc_context *cx = oc_context_create(&options);
    if (!cx) abort();
    cx->limits.header_bytes = 1 << 20;
    cx->limits.tensors = 1000;
    return cx;
}

static void check(const oci_safetensors *file)
{
    volatile unsigned sum = 0;      /* reads every byte, for the sanitizers */
    for (size_t i = 0; i < file->count; i++) {
        const oci_entry *e = &file->entries[i];
        size_t bytes;
        if (!oci_shape_bytes(e->dtype, e->rank, e->shape, &bytes) || bytes != e->bytes)
            abort();
        if (e->offset > file->bytes->size || e->bytes > file->bytes->size - e->offset)
            abort();
        if (e->offset % oci_dtype_size(e->dtype)) abort();
        if (oci_safetensors_find(file, e->name) != e) abort();
        for (size_t k = 0; k < e->bytes; k++) sum += file->bytes->data[e->offset + k];
    }
    for (size_t i = 0; i < file->metadata_count; i++)
        if (!oci_safetensors_metadata(file, file->metadata[2 * i])) abort();
    (void)sum;
}

/* What is taken for weights in blocks is as long as its shape wants, so that reading its
 * scales stays inside. */
static void check_blocks(oc_context *cx, oci_safetensors *file)
{
    size_t found = 0;
    if (!oci_blocks_read(cx, file)) return;
    for (size_t i = 0; i < file->count; i++) {
        const oci_entry *e = &file->entries[i];
        if (!oci_dtype_is_blocks(e->dtype)) continue;
        const int64_t groups = oci_blocks_groups(e->shape[e->turned]);
        const int64_t K = e->shape[!e->turned];
        found++;
        if (e->rank != 2 || e->offset % OCI_BLOCKS_ALIGN) abort();
        if ((uint64_t)(oci_blocks_group_bytes(e->dtype, K) * groups) != e->bytes) abort();
        (void)oci_blocks_finite(e->dtype, K, file->bytes->data + e->offset, groups);
    }
    if (found != file->blocks) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static oc_context *cx;
    if (!cx) cx = new_context();
    oci_safetensors file;
    oc_context_clear(cx);
    oci_buffer *bytes = oci_buffer_create(cx, size);
    if (!bytes) abort();
    if (size) memcpy(bytes->data, data, size);
    bool ok = oci_safetensors_parse(cx, &file, "fuzz.safetensors", bytes);
    if (ok != (oc_context_status(cx) == OC_OK)) abort();
    if (ok) check(&file);
    if (ok) check_blocks(cx, &file);
    oci_safetensors_close(&file);
    if (oc_context_memory(cx).live_count || oc_context_memory(cx).live_bytes) abort();
    return 0;
}
