/* The weights of a checkpoint folder behind one table, whatever files hold them:
 * safetensors, PyTorch's, Keras' or Flax', alone or in shards with an index. Lookup is by
 * Transformers' parameter name as PyTorch has it. */
#ifndef OCI_IO_WEIGHTS_H
#define OCI_IO_WEIGHTS_H

#include "base/arena.h"
#include "io/blocks.h"
#include "io/weight_file.h"

typedef struct oci_weights {
    char *folder;
    oci_weight_file *files;
    size_t file_count;
    struct oci_weight_ref *refs;    /* sorted by name */
    size_t count;
    oci_arena arena;                /* names and shapes that are not the file's own */
} oci_weights;

typedef struct oci_weight_ref {
    const char *name;               /* PyTorch's, after key normalisation (gamma/beta) */
    const oci_entry *entry;         /* shape and bytes as PyTorch has them */
    oci_weight_file *file;
    const oci_entry *stored;        /* as the file has them; else the same as `entry` */
    const int *order;               /* of its dimensions (io/layout.h); NULL: as they
                                       are */
} oci_weight_ref;

/* Opens what the folder has, in from_pretrained's order, or, if `file` is not NULL, that
 * file or index in it. Headers are read and checked, and tensors when they are asked for;
 * or the files are mapped. */
bool oci_weights_open(oc_context *cx, oci_weights *weights, const char *folder,
                      const char *file, bool map);
void oci_weights_close(oci_weights *weights);
const oci_weight_ref *oci_weights_find(const oci_weights *weights, const char *name);

/* Room for one tensor's bytes, and for another form of them; starts as { 0 }. */
typedef struct oci_weight_room {
    struct oci_weight_block { unsigned char *bytes; size_t size; } blocks[2];
    const oci_weight_ref *whole;    /* what oci_weight_part had to read whole, … */
    const unsigned char *data;      /* … and where its bytes are */
} oci_weight_room;
void oci_weight_room_free(oci_weight_room *room);

/* A tensor's bytes [ref->entry->bytes], aligned to its element: where they lie, or read
 * into the room, which grows to the largest tensor that it was used for. Valid until the
 * room's next use and while the weights are open. NULL: error set. */
OC_NODISCARD const void *oci_weight_bytes(oc_context *cx, const oci_weight_ref *ref,
                                          oci_weight_room *room);
/* `size` of those bytes from `at` on, which begins an element. Where a format
 * can, no more than these are read; else the tensor is, with its first part,
 * and kept for the next ones. */
OC_NODISCARD const void *oci_weight_part(oc_context *cx, const oci_weight_ref *ref,
                                         size_t at, size_t size, oci_weight_room *room);
/* The bytes in a mapping of their file; NULL without an error: they cannot be mapped. */
OC_NODISCARD oci_buffer *oci_weight_map(oc_context *cx, const oci_weight_ref *ref);

#endif
