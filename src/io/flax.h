/* flax_model.msgpack: a tree of maps with arrays as its leaves (flax 0.7.5,
 * serialization.py), or, in a shard, one flat map. Names come out with dots between their
 * parts; nothing is renamed or transposed here (io/layout.h does that).
 *
 * msgpack is read in place by a scanner of our own: it allocates nothing by the counts
 * that a file claims, and leaves arrays where they lie; msgpack-c does neither. */
#ifndef OCI_IO_FLAX_H
#define OCI_IO_FLAX_H

#include "base/arena.h"
#include "io/safetensors.h"

typedef struct oci_flax {
    char *path;
    oci_buffer *bytes;              /* the file mapped, or NULL: */
    oci_file *source;               /* the open file */
    oci_arena arena;                /* names */
    oci_entry *entries;             /* sorted by name; offset: index of the first piece */
    size_t count, room;
    struct oci_flax_piece { uint64_t offset; size_t bytes; } *pieces;
    size_t piece_count, piece_room;
} oci_flax;

/* Reads what is not an array, or maps the file. False: error set, *file empty. */
bool oci_flax_open(oc_context *cx, oci_flax *file, const char *path, bool map);
void oci_flax_close(oci_flax *file);
/* Copies a tensor's bytes, C order, to `to` [entry->bytes]. */
bool oci_flax_read(oc_context *cx, const oci_flax *file, const oci_entry *entry,
                   void *to);
/* Where they lie, if mapped and in one piece at a multiple of the
 * element's size; else NULL. */
const void *oci_flax_peek(const oci_flax *file, const oci_entry *entry);

/* Writes the tensors, whose names are paths ("vit/embeddings/cls_token"), into a save
 * begun for `path`: as a tree, or of a shard flat. Arrays of more than `chunk` bytes are
 * cut into pieces of that size, which is a multiple of every element's. */
enum { OCI_FLAX_CHUNK = 1 << 30 };      /* flax' own */
oc_status oci_flax_write(oc_context *cx, oci_save *save, const char *path,
                         const oci_save_tensor *const *tensors, size_t count, bool shard,
                         size_t chunk, const oci_save_source *source);

#endif
