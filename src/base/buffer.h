/* Shared bytes with a count of users: weights, mapped files, caches, images. The last
 * unref releases them. Counting is safe between threads; the bytes are not guarded. */
#ifndef OCI_BASE_BUFFER_H
#define OCI_BASE_BUFFER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "ocelli.h"

typedef struct oci_buffer {
    atomic_int refs;
    bool read_only;             /* mapped files: writing would fault */
    unsigned char *data;
    size_t size;
    void (*release)(struct oci_buffer *buffer);   /* frees data, not the struct;
                                                     NULL: none */
    void *owner;                /* for release: what `data` is a part of; NULL: unused */
} oci_buffer;

/* `size` bytes, not cleared, 64-byte aligned. */
OC_NODISCARD oci_buffer *oci_buffer_create(oc_context *cx, size_t size);
/* Wraps foreign memory. On failure `release` is not called
 * and data stays the caller's. */
OC_NODISCARD oci_buffer *oci_buffer_wrap(oc_context *cx, void *data, size_t size,
                                         bool read_only, void (*release)(oci_buffer *));

/* Blocks that many buffers are cut from, so that weights of some hundred kilobytes each
 * lie in large pages; a block goes with the last buffer of it. Starts as { .block_size =
 * … }; for one thread at a time. */
typedef struct oci_slab {
    oci_buffer *block;          /* the newest one, or NULL */
    size_t used, block_size;
} oci_slab;

/* As oci_buffer_create; what is large beside a block has memory of its own, and so has
 * all without a slab (NULL). */
OC_NODISCARD oci_buffer *oci_buffer_cut(oc_context *cx, oci_slab *slab, size_t size);
/* Lets go of the newest block; its buffers stay. */
void oci_slab_deinit(oci_slab *slab);

oci_buffer *oci_buffer_ref(oci_buffer *buffer);
void oci_buffer_unref(oci_buffer **buffer);       /* sets *buffer to NULL; accepts NULL */

#endif
