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
 * not read yet is OC_E_UNSUPPORTED naming them. headers_only as for `inspect`. */
bool oci_weights_open(oc_context *cx, oci_weights *weights, const char *folder, bool map,
                      bool headers_only);
void oci_weights_close(oci_weights *weights);
const oci_weight_ref *oci_weights_find(const oci_weights *weights, const char *name);

#endif
