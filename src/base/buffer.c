#include "base/buffer.h"

#include "base/alloc.h"
#include "base/cpu.h"

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

static void release_cut(oci_buffer *buffer)
{
    oci_buffer *block = buffer->owner;
    oci_buffer_unref(&block);
}

/* A block with room for `size` more bytes; NULL: error set. */
static oci_buffer *room_in(oc_context *cx, oci_slab *slab, size_t size)
{
    if (slab->block && size <= slab->block->size - slab->used) return slab->block;
    oci_buffer_unref(&slab->block);
    slab->block = oci_buffer_create(cx, slab->block_size);
    slab->used = 0;
    if (slab->block) oci_cpu_large_pages(slab->block->data, slab->block->size);
    return slab->block;
}

oci_buffer *oci_buffer_cut(oc_context *cx, oci_slab *slab, size_t size)
{
    enum { LINE = 64 };                         /* the alignment of every buffer */
    if (!slab || size > slab->block_size / 4) return oci_buffer_create(cx, size);
    const size_t whole = (size + LINE - 1) / LINE * LINE;
    oci_buffer *block = room_in(cx, slab, whole);
    oci_buffer *cut = block ? oci_buffer_wrap(cx, block->data + slab->used, size, false,
                                              release_cut) : NULL;
    if (!cut) return NULL;
    cut->owner = oci_buffer_ref(block);
    slab->used += whole;
    return cut;
}

void oci_slab_deinit(oci_slab *slab)
{
    oci_buffer_unref(&slab->block);
    slab->used = 0;
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
