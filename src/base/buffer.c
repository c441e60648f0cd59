#include "base/buffer.h"

#include "base/alloc.h"

static void release_block(oci_buffer *buffer)
{
    oci_free(buffer->data);
}

oci_buffer *oci_buffer_create(oc_context *cx, size_t size)
{
    void *data = oci_alloc(cx, size);
    if (!data) return NULL;
    oci_buffer *buffer = oci_buffer_wrap(cx, data, size, false, release_block);
    if (!buffer) oci_free(data);
    return buffer;
}

oci_buffer *oci_buffer_wrap(oc_context *cx, void *data, size_t size, bool read_only,
                            void (*release)(oci_buffer *))
{
    oci_buffer *buffer = oci_alloc(cx, sizeof *buffer);
    if (!buffer) return NULL;
    *buffer = (oci_buffer){ .read_only = read_only, .data = data, .size = size,
                            .release = release };
    atomic_init(&buffer->refs, 1);
    return buffer;
}

oci_buffer *oci_buffer_ref(oci_buffer *buffer)
{
    atomic_fetch_add(&buffer->refs, 1);
    return buffer;
}

void oci_buffer_unref(oci_buffer **buffer)
{
    oci_buffer *b = *buffer;
    *buffer = NULL;
    if (!b || atomic_fetch_sub(&b->refs, 1) > 1) return;
    if (b->release) b->release(b);
    oci_free(b);
}
