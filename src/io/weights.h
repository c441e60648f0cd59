/* The weights of a checkpoint folder behind one table, whatever files hold them: today
 * model.safetensors, alone or in shards (model.safetensors.index.json). Lookup is by
 * Transformers' parameter name. */
#ifndef OCI_IO_WEIGHTS_H
#define OCI_IO_WEIGHTS_H

#include "io/safetensors.h"

typedef struct oci_weights {
    char *folder;
    oci_safetensors *files;
    size_t file_count;
    struct oci_weight_ref *refs;    /* sorted by name */
    size_t count;
} oci_weights;

typedef struct oci_weight_ref {
    const char *name;               /* after key normalisation (gamma/beta) */
    const oci_entry *entry;
    const oci_safetensors *file;
} oci_weight_ref;

/* Opens what the folder has in from_pretrained's order; a folder with only formats that are
 * not read yet is OC_E_UNSUPPORTED naming them. The files' headers are read and checked, and
 * tensors when they are asked for; or the files are mapped. */
bool oci_weights_open(oc_context *cx, oci_weights *weights, const char *folder, bool map);
void oci_weights_close(oci_weights *weights);
const oci_weight_ref *oci_weights_find(const oci_weights *weights, const char *name);

/* Room for one tensor's bytes; starts as { 0 }, and its owner frees `block` (oci_free). */
typedef struct oci_weight_room {
    unsigned char *block;
    size_t size;
} oci_weight_room;

/* A tensor's bytes [ref->entry->bytes], aligned to its element: where they lie, or read into the
 * room, which grows to the largest tensor that it was used for. Valid until the room's next use
 * and while the weights are open. NULL: error set. */
OC_NODISCARD const void *oci_weight_bytes(oc_context *cx, const oci_weight_ref *ref,
                                          oci_weight_room *room);

#endif
